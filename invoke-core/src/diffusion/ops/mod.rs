//! Everything the models compute with: convolution, attention, normalisation, matrix products, activations.
//!
//! The models call little else for arithmetic of weight (some products that are small beside the rest are candle's), so a faster kernel is put in one place. Layers own their weights in
//! whatever layout their kernel likes best. Tensors between them are `[b, c, h, w]` for pictures and `[batch, tokens, channels]`
//! for sequences.
//!
//! On the CPU single floats, and `bfloat16` where the operation has a kernel for it, are computed by `invoke-kernels`, all else by candle. On the CPU a picture's memory is channels-last
//! behind its usual shape; candle's own operations on such a tensor are right but slow, so models use [`add`], [`cat_channels`],
//! [`pixels_as_tokens`] and [`tokens_as_pixels`] instead of `+`, `cat`, `flatten` and `transpose`, and let a layer do what comes
//! before or after it ([`Conv2d::forward_fused`], [`Linear::forward_add`], [`GatedLinear`], [`GroupNorm::forward_silu`]).

mod activation;
mod attention;
mod conv;
mod cpu;
mod deformable;
mod held;
mod linear;
mod norm;
mod pairs;
mod pool;
mod rectify;
mod resample;
mod rms;
mod spatial;
#[cfg(test)]
pub(super) mod twin;

pub use activation::{add, geglu, gelu, quick_gelu, silu, tanh_gelu};
pub use attention::{AttentionMask, attention, attention_in};
pub use conv::{Conv2d, ConvConfig, Fused, PaddingMode};
pub use deformable::sample_places;
pub use held::Held;
pub use linear::{GatedLinear, Linear};
pub use norm::{GroupNorm, LayerNorm, MeasuredNorm};
pub use pairs::pairwise;
pub use pool::{Pool, pool};
pub use rectify::{leaky_relu, leaky_relu_owned, mish, prelu, relu, relu6, scale_channels, scaled, sigmoid, tanh};
pub use resample::{cat_channels, cat_rows, channels_first, every_second, halve, pixels_as_tokens, tokens_as_pixels, upsample_nearest_2x};
pub use rms::{RmsNorm, Rotary, add_gated};
pub use spatial::{
    Align, Border, Depthwise, crop, enlarge_nearest, max_pool_2x2, pad, pick, pixel_shuffle, pixel_unshuffle, resize_bicubic,
    resize_bilinear,
};
