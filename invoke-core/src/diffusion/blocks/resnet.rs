//! The residual block of UNets and autoencoders.

use candle_core::Tensor;

use super::strips::Strips;
use crate::diffusion::error::Result;
use crate::diffusion::ops::{Conv2d, ConvConfig, Fused, GroupNorm, Linear, PaddingMode, add};
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
        // Each layer's input goes before the next layer runs: at a picture's full size they are what takes most memory.
        let mut h = self.norm1.forward_silu(x)?;
        h = self.conv1.forward_fused(&h, mode, fused)?;
        h = self.norm2.forward_silu(&h)?;
        match &self.shortcut {
            Some(shortcut) => self.conv2.forward_with(&h, mode, Some(&shortcut.forward(x)?)),
            None => self.conv2.forward_with(&h, mode, Some(x)),
        }
    }

    /// As [`Self::forward`] for a block without time embedding, strip by strip. Never a picture and its normalised copy, nor more than two pictures
    /// of the block's widths, are in memory at once.
    pub(crate) fn forward_strips(&self, x: Strips, mode: [PaddingMode; 2]) -> candle_core::Result<Strips> {
        let norm = self.norm1.measure(x.iter())?;
        let mut beside = Strips::default();
        let h = x.walk(|window| {
            let h = self.conv1.forward_with(&norm.forward_silu(&window.around)?, mode, None)?;
            let h = window.inner(&h, 1)?;
            beside.push(match &self.shortcut {
                Some(shortcut) => shortcut.forward(&window.strip)?,
                None => window.strip,
            });
            Ok(h)
        })?;
        let norm = self.norm2.measure(h.iter())?;
        h.walk_with(beside, |window, beside| {
            let h = self.conv2.forward_with(&norm.forward_silu(&window.around)?, mode, None)?;
            add(&window.inner(&h, 1)?, &beside)
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Result;

    use super::*;
    use crate::diffusion::blocks::Upsample;
    use crate::diffusion::ops::twin::{close, noise};

    fn conv(outputs: usize, inputs: usize, kernel: usize) -> Result<Conv2d> {
        let padding = ConvConfig::padded(kernel / 2);
        Conv2d::new(noise(&[outputs, inputs, kernel, kernel])?, Some(noise(&[outputs])?), padding)
    }

    fn norm(channels: usize) -> Result<GroupNorm> {
        GroupNorm::new(2, noise(&[channels])?, noise(&[channels])?, 1e-6)
    }

    #[test]
    fn strips_come_out_as_the_whole() -> Result<()> {
        let up = Upsample::of(conv(8, 8, 3)?);
        for shortcut in [None, Some(conv(6, 8, 1)?)] {
            let outputs = shortcut.as_ref().map_or(8, |_| 6);
            let block = ResnetBlock {
                norm1: norm(8)?,
                conv1: conv(outputs, 8, 3)?,
                time: None,
                norm2: norm(outputs)?,
                conv2: conv(outputs, outputs, 3)?,
                shortcut,
            };
            let x = noise(&[1, 8, 9, 12])?;
            for mode in [[PaddingMode::Zeros; 2], [PaddingMode::Zeros, PaddingMode::Circular]] {
                let want = block.forward(&up.forward(&x, None, mode)?, None, mode)?;
                for rows in [1, 2, 4, 9] {
                    let larger = up.forward_strips(Strips::cut(&x, rows)?, mode)?;
                    close(&block.forward_strips(larger, mode)?.join()?, &want, 2e-6)?;
                }
            }
        }
        Ok(())
    }
}
