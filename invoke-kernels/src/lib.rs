//! Arithmetic of diffusion models on CPUs: matrix products with packed weights, convolution, attention, normalisation and activations.
//! Activations and results are single floats; weights are too, or half floats ([`Weight`]).
//!
//! Pictures are stored channels-last (`[batch, height, width, channels]`): a pixel's channels lie together, so that one layout
//! serves convolutions, matrix products over pixels and normalisation, and all inner loops run over channels. Sequences are
//! `[batch, tokens, channels]`. All functions take contiguous slices and return new vectors.
//!
//! The instruction set is chosen at run time ([`Isa`]); work is spread over a small pool of threads of this crate whose
//! hand-over costs about a microsecond, because the layers of a small model take no longer than a few dozen.
//!
//! `unsafe` is found in `simd` (the kernels), `parallel` (lending a closure to other threads), `buffer` (uninitialised outputs and
//! aligned scratch memory), and where the public functions cut their output into parts for the threads. Those check every length
//! first. Each kernel is tested against a plain twin on odd shapes, for every instruction set the machine has.

#![cfg_attr(test, expect(clippy::float_cmp, reason = "what is only moved stays as it is"))]

#[expect(unsafe_code, reason = "threads write disjoint parts of one output")]
mod attention;
#[expect(
    unsafe_code,
    reason = "aligned scratch memory and outputs that are not cleared before they are written"
)]
mod buffer;
#[expect(unsafe_code, reason = "threads write disjoint parts of one output")]
mod conv;
#[expect(unsafe_code, reason = "threads write disjoint parts of one output")]
mod elementwise;
#[expect(unsafe_code, reason = "threads write disjoint parts of one output")]
mod layout;
#[expect(unsafe_code, reason = "threads write disjoint parts of one output")]
mod matrix;
#[expect(unsafe_code, reason = "threads write disjoint parts of one output")]
mod norm;
#[expect(unsafe_code, reason = "threads write disjoint parts of one output")]
mod panels;
#[expect(unsafe_code, reason = "a job's closure is lent to the pool's threads")]
mod parallel;
#[expect(unsafe_code, reason = "vector instructions and raw pointers")]
#[expect(
    clippy::inline_always,
    reason = "what is not inlined into a kernel's entry is compiled without its instructions"
)]
#[expect(clippy::needless_range_loop, reason = "loops over registers go by constant indices")]
mod simd;
#[expect(unsafe_code, reason = "threads write disjoint parts of one output")]
mod tiles;
#[cfg(test)]
mod twin;
mod weight;

pub use attention::{AttentionShape, Mask, attention};
pub use conv::{Conv, ConvInput, Edges, Epilogue, Geometry};
pub use elementwise::{add, geglu, gelu, quick_gelu, silu, tanh_gelu};
pub use layout::{concat_channels, to_channels_first, to_channels_last, upsample_2x};
pub use matrix::Matrix;
pub use norm::{GroupFactors, group_norm, layer_norm};
pub use parallel::threads;
pub use simd::Isa;
pub use weight::{Weight, holds_halves};
