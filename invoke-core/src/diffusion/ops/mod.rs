//! Everything the models compute with: convolution, attention, normalisation, matrix products, activations.
//!
//! The models call nothing else for arithmetic of weight, so a faster kernel is put in one place. Layers own their weights in
//! whatever layout their kernel likes best; tensors between them are ordinary contiguous candle tensors (NCHW for pictures,
//! `[batch, tokens, channels]` for sequences).

mod activation;
mod attention;
mod conv;
mod linear;
mod norm;
mod resample;

pub use activation::{geglu, gelu, quick_gelu, silu};
pub use attention::{AttentionMask, attention};
pub use conv::{Conv2d, ConvConfig, PaddingMode};
pub use linear::Linear;
pub use norm::{GroupNorm, LayerNorm};
pub use resample::upsample_nearest_2x;
