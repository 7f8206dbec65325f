//! The transformer layer of CLIP's text and image encoders.

use candle_core::Tensor;

use crate::diffusion::error::Result;
use crate::diffusion::ops::{AttentionMask, LayerNorm, Linear, attention, gelu, quick_gelu};
use crate::diffusion::weights::Weights;

/// What a [`ClipLayer`] is made for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerShape {
    /// Width of the embeddings.
    pub(crate) width: usize,
    /// Width inside the feed-forward part.
    pub(crate) inner: usize,
    /// Attention heads.
    pub(crate) heads: usize,
    /// Epsilon of the norms.
    pub(crate) eps: f64,
    /// Whether GELU is CLIP's approximation.
    pub(crate) quick: bool,
}

/// Attention and feed-forward, each after a norm and added to what came in.
#[derive(Debug, Clone)]
pub(crate) struct ClipLayer {
    norm1: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    norm2: LayerNorm,
    widen: Linear,
    narrow: Linear,
    heads: usize,
    quick: bool,
}

impl ClipLayer {
    /// Reads `layer_norm1 self_attn layer_norm2 mlp`.
    pub(crate) fn load(weights: &Weights, shape: LayerShape) -> Result<Self> {
        let LayerShape {
            width,
            inner,
            heads,
            eps,
            quick,
        } = shape;
        let own = weights.at("self_attn");
        Ok(Self {
            norm1: weights.at("layer_norm1").layer_norm(width, eps)?,
            query: own.at("q_proj").linear(width, width)?,
            key: own.at("k_proj").linear(width, width)?,
            value: own.at("v_proj").linear(width, width)?,
            out: own.at("out_proj").linear(width, width)?,
            norm2: weights.at("layer_norm2").layer_norm(width, eps)?,
            widen: weights.at("mlp.fc1").linear(width, inner)?,
            narrow: weights.at("mlp.fc2").linear(inner, width)?,
            heads,
            quick,
        })
    }

    /// `x [b, tokens, width]` to the same.
    pub(crate) fn forward(&self, x: &Tensor, mask: AttentionMask<'_>) -> candle_core::Result<Tensor> {
        let h = self.norm1.forward(x)?;
        let (q, k, v) = (self.query.forward(&h)?, self.key.forward(&h)?, self.value.forward(&h)?);
        let x = (self.out.forward(&attention(&q, &k, &v, self.heads, mask)?)? + x)?;
        let h = self.widen.forward(&self.norm2.forward(&x)?)?;
        let h = if self.quick { quick_gelu(&h)? } else { gelu(&h)? };
        self.narrow.forward(&h)? + x
    }
}
