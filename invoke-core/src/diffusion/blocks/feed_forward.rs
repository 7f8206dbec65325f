//! The gated feed-forward layer of transformers.

use candle_core::Tensor;

use crate::diffusion::error::Result;
use crate::diffusion::ops::{GatedLinear, Linear};
use crate::diffusion::weights::Weights;

/// A matrix product to twice four times the width, gated GELU, and a product back.
#[derive(Debug, Clone)]
pub(crate) struct FeedForward {
    widen: GatedLinear,
    narrow: Linear,
}

impl FeedForward {
    /// Reads `net.0.proj` and `net.2`.
    pub(crate) fn load(weights: &Weights, width: usize) -> Result<Self> {
        Ok(Self {
            widen: weights.at("net.0.proj").gated(width, width * 4)?,
            narrow: weights.at("net.2").linear(width * 4, width)?,
        })
    }

    /// `[b, n, width]` to the same, with `residual` of that shape added.
    pub(crate) fn forward(&self, x: &Tensor, residual: &Tensor) -> candle_core::Result<Tensor> {
        self.narrow.forward_add(&self.widen.forward(x)?, residual)
    }
}
