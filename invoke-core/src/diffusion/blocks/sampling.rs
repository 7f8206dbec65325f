//! Halving and doubling a picture's sides.

use candle_core::Tensor;

use super::strips::Strips;
use crate::diffusion::error::Result;
use crate::diffusion::ops::{Conv2d, ConvConfig, Fused, PaddingMode, channels_first, every_second};
use crate::diffusion::weights::Weights;

/// A convolution of stride 2.
#[derive(Debug, Clone)]
pub(crate) struct Downsample {
    conv: Conv2d,
    wraps: bool,
}

impl Downsample {
    /// Reads `conv`. With `padding` 0 the picture gets one row and column of zeros at its bottom and right, and never wraps
    /// around: autoencoders pad outside the convolution.
    pub(crate) fn load(weights: &Weights, channels: usize, padding: usize) -> Result<Self> {
        let sides = if padding == 0 { [0, 1, 0, 1] } else { [padding; 4] };
        let conv = weights
            .at("conv")
            .conv(channels, channels, 3, ConvConfig { stride: 2, padding: sides })?;
        Ok(Self { conv, wraps: padding != 0 })
    }

    /// `[b, c, h, w]` to `[b, c, ceil(h/2), ceil(w/2)]` (for padding 1).
    pub(crate) fn forward(&self, x: &Tensor, mode: [PaddingMode; 2]) -> candle_core::Result<Tensor> {
        self.conv
            .forward_with(x, if self.wraps { mode } else { [PaddingMode::Zeros; 2] }, None)
    }

    /// With the same weights to a quarter of the sides: stride 4, the kernel's points two pixels apart, and two pixels of zeros around. That is the
    /// usual convolution of every second pixel.
    pub(crate) fn forward_far(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.forward(&every_second(x)?, [PaddingMode::Zeros; 2])
    }
}

/// Nearest-neighbour doubling and a convolution.
#[derive(Debug, Clone)]
pub(crate) struct Upsample {
    conv: Conv2d,
}

impl Upsample {
    /// With a convolution at hand.
    #[cfg(test)]
    pub(crate) fn of(conv: Conv2d) -> Self {
        Self { conv }
    }

    /// Reads `conv`.
    pub(crate) fn load(weights: &Weights, channels: usize) -> Result<Self> {
        Ok(Self {
            conv: weights.at("conv").conv(channels, channels, 3, ConvConfig::padded(1))?,
        })
    }

    /// Doubles a picture strip by strip.
    pub(crate) fn forward_strips(&self, x: Strips, mode: [PaddingMode; 2]) -> candle_core::Result<Strips> {
        x.walk(|window| window.inner(&self.forward(&window.around, None, mode)?, 2))
    }

    /// Doubles `x [b, c, h, w]`, or brings it to `size` (height, width) where the level above has odd sides.
    pub(crate) fn forward(&self, x: &Tensor, size: Option<(usize, usize)>, mode: [PaddingMode; 2]) -> candle_core::Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        match size {
            Some((height, width)) if (height, width) != (h * 2, w * 2) => {
                self.conv
                    .forward_with(&channels_first(x)?.upsample_nearest2d(height, width)?, mode, None)
            }
            _ => self.conv.forward_fused(
                x,
                mode,
                Fused {
                    doubled: true,
                    ..Fused::default()
                },
            ),
        }
    }
}
