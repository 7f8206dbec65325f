//! Latents to pictures.

use candle_core::Tensor;

use super::VaeConfig;
use super::mid::{EPS, MidBlock, shape};
use crate::diffusion::blocks::{ResnetBlock, Strips, Upsample, strip_rows};
use crate::diffusion::error::Result;
use crate::diffusion::ops::{Conv2d, ConvConfig, GroupNorm, PaddingMode, channels_first};
use crate::diffusion::weights::Weights;

#[derive(Debug, Clone)]
pub(super) struct Decoder {
    conv_in: Conv2d,
    mid: MidBlock,
    blocks: Vec<(Vec<ResnetBlock>, Option<Upsample>)>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Decoder {
    pub(super) fn load(weights: &Weights, config: &VaeConfig) -> Result<Self> {
        let channels = &config.block_out_channels;
        let (first, last) = (channels[0], channels[channels.len() - 1]);
        let mut inputs = last;
        let mut blocks = Vec::new();
        for (i, &outputs) in channels.iter().rev().enumerate() {
            let weights = weights.at(format_args!("up_blocks.{i}"));
            let mut layers = Vec::new();
            for layer in 0..=config.layers_per_block {
                layers.push(ResnetBlock::load(
                    &weights.at(format_args!("resnets.{layer}")),
                    shape(config, inputs, outputs),
                )?);
                inputs = outputs;
            }
            let larger = if i + 1 < channels.len() {
                Some(Upsample::load(&weights.at("upsamplers.0"), outputs)?)
            } else {
                None
            };
            blocks.push((layers, larger));
        }
        Ok(Self {
            conv_in: weights.at("conv_in").conv(config.latent_channels, last, 3, ConvConfig::padded(1))?,
            mid: MidBlock::load(&weights.at("mid_block"), config, last)?,
            blocks,
            norm_out: weights.at("conv_norm_out").group_norm(config.norm_num_groups, first, EPS)?,
            conv_out: weights.at("conv_out").conv(first, config.out_channels, 3, ConvConfig::padded(1))?,
        })
    }

    /// `[b, latent channels, h, w]` to `[b, 3, h*8, w*8]`. From the level on where a picture's layers are `large`, they are worked on in strips.
    pub(super) fn forward(&self, z: &Tensor, mode: [PaddingMode; 2], large: usize) -> candle_core::Result<Tensor> {
        let mut x = self.conv_in.forward_with(z, mode, None)?;
        x = self.mid.forward(&x, mode)?;
        for (level, (layers, larger)) in self.blocks.iter().enumerate() {
            for layer in layers {
                x = layer.forward(&x, None, mode)?;
            }
            if let Some(larger) = larger {
                let (b, c, h, w) = x.dims4()?;
                if let Some(rows) = strip_rows((b, c, h * 2, w * 2), mode, large) {
                    return self.in_strips(level, Strips::cut(&x, rows / 2)?, mode);
                }
                x = larger.forward(&x, None, mode)?;
            }
        }
        channels_first(&self.conv_out.forward_with(&self.norm_out.forward_silu(&x)?, mode, None)?)
    }

    /// The rest of the way, from the upsampling of a level on.
    fn in_strips(&self, level: usize, mut x: Strips, mode: [PaddingMode; 2]) -> candle_core::Result<Tensor> {
        for (next, (layers, larger)) in self.blocks.iter().enumerate().skip(level) {
            if next > level {
                for layer in layers {
                    x = layer.forward_strips(x, mode)?;
                }
            }
            if let Some(larger) = larger {
                x = larger.forward_strips(x, mode)?;
            }
        }
        let norm = self.norm_out.measure(x.iter())?;
        let picture = x.walk(|window| {
            let y = self.conv_out.forward_with(&norm.forward_silu(&window.around)?, mode, None)?;
            window.inner(&y, 1)
        })?;
        channels_first(&picture.join()?)
    }
}
