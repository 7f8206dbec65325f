//! The residual block of UNets and autoencoders.

use candle_core::Tensor;

use crate::diffusion::error::Result;
use crate::diffusion::ops::{Conv2d, ConvConfig, Fused, GroupNorm, Linear, PaddingMode};
use crate::diffusion::weights::Weights;

/// Norm, SiLU, convolution, twice; the time embedding is added in between, the input at the end.
#[derive(Debug, Clone)]
pub(crate) struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    time: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
}

/// What a [`ResnetBlock`] is made for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResnetShape {
    /// Channels in.
    pub(crate) inputs: usize,
    /// Channels out.
    pub(crate) outputs: usize,
    /// Width of the time embedding, or `None` for a block without one.
    pub(crate) time: Option<usize>,
    /// Groups of both norms.
    pub(crate) groups: usize,
    /// Epsilon of both norms.
    pub(crate) eps: f64,
}

impl ResnetBlock {
    /// Reads `norm1 conv1 [time_emb_proj] norm2 conv2 [conv_shortcut]`.
    pub(crate) fn load(weights: &Weights, shape: ResnetShape) -> Result<Self> {
        let ResnetShape {
            inputs,
            outputs,
            time,
            groups,
            eps,
        } = shape;
        let shortcut = if inputs == outputs {
            None
        } else {
            Some(weights.at("conv_shortcut").conv(inputs, outputs, 1, ConvConfig::padded(0))?)
        };
        Ok(Self {
            norm1: weights.at("norm1").group_norm(groups, inputs, eps)?,
            conv1: weights.at("conv1").conv(inputs, outputs, 3, ConvConfig::padded(1))?,
            time: time.map(|width| weights.at("time_emb_proj").linear(width, outputs)).transpose()?,
            norm2: weights.at("norm2").group_norm(groups, outputs, eps)?,
            conv2: weights.at("conv2").conv(outputs, outputs, 3, ConvConfig::padded(1))?,
            shortcut,
        })
    }

    /// `x [b, inputs, h, w]`, `time [b or 1, width]` with its SiLU already applied; returns `[b, outputs, h, w]`.
    pub(crate) fn forward(&self, x: &Tensor, time: Option<&Tensor>, mode: [PaddingMode; 2]) -> candle_core::Result<Tensor> {
        let time = match (&self.time, time) {
            (Some(projection), Some(time)) => Some(projection.forward(time)?),
            _ => None,
        };
        let fused = Fused {
            per_picture: time.as_ref(),
            ..Fused::default()
        };
        let h = self.conv1.forward_fused(&self.norm1.forward_silu(x)?, mode, fused)?;
        let h = self.norm2.forward_silu(&h)?;
        match &self.shortcut {
            Some(shortcut) => self.conv2.forward_with(&h, mode, Some(&shortcut.forward(x)?)),
            None => self.conv2.forward_with(&h, mode, Some(x)),
        }
    }
}
