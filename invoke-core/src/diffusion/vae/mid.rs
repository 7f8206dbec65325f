//! The middle of encoder and decoder: two residual blocks around one-headed attention.

use candle_core::Tensor;

use super::VaeConfig;
use crate::diffusion::blocks::{ResnetBlock, ResnetShape};
use crate::diffusion::error::Result;
use crate::diffusion::ops::{AttentionMask, GroupNorm, Linear, PaddingMode, attention, pixels_as_tokens, tokens_as_pixels};
use crate::diffusion::weights::Weights;

/// Epsilon of every norm of an autoencoder.
pub(super) const EPS: f64 = 1e-6;

#[derive(Debug, Clone)]
pub(super) struct MidBlock {
    first: ResnetBlock,
    attention: Option<Attention>,
    second: ResnetBlock,
}

#[derive(Debug, Clone)]
struct Attention {
    norm: GroupNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
}

pub(super) fn shape(config: &VaeConfig, inputs: usize, outputs: usize) -> ResnetShape {
    ResnetShape {
        inputs,
        outputs,
        time: None,
        groups: config.norm_num_groups,
        eps: EPS,
    }
}

impl MidBlock {
    pub(super) fn load(weights: &Weights, config: &VaeConfig, channels: usize) -> Result<Self> {
        let attention = if config.mid_block_add_attention {
            Some(Attention::load(&weights.at("attentions.0"), config, channels)?)
        } else {
            None
        };
        Ok(Self {
            first: ResnetBlock::load(&weights.at("resnets.0"), shape(config, channels, channels))?,
            attention,
            second: ResnetBlock::load(&weights.at("resnets.1"), shape(config, channels, channels))?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, mode: [PaddingMode; 2]) -> candle_core::Result<Tensor> {
        let mut x = self.first.forward(x, None, mode)?;
        if let Some(attention) = &self.attention {
            x = attention.forward(&x)?;
        }
        self.second.forward(&x, None, mode)
    }
}

impl Attention {
    fn load(weights: &Weights, config: &VaeConfig, channels: usize) -> Result<Self> {
        // Files from before 2023 use the second names.
        let part = |new: &str, old: &str| {
            let name = if weights.has(&format!("{new}.weight")) { new } else { old };
            weights.at(name).linear(channels, channels)
        };
        Ok(Self {
            norm: weights.at("group_norm").group_norm(config.norm_num_groups, channels, EPS)?,
            query: part("to_q", "query")?,
            key: part("to_k", "key")?,
            value: part("to_v", "value")?,
            out: part("to_out.0", "proj_attn")?,
        })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let tokens = pixels_as_tokens(&self.norm.forward(x)?)?;
        let (q, k, v) = (
            self.query.forward(&tokens)?,
            self.key.forward(&tokens)?,
            self.value.forward(&tokens)?,
        );
        let y = self
            .out
            .forward_add(&attention(&q, &k, &v, 1, AttentionMask::None)?, &pixels_as_tokens(x)?)?;
        tokens_as_pixels(&y, h, w)
    }
}
