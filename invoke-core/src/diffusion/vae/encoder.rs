//! Pictures to the moments of their latents.

use candle_core::Tensor;

use super::VaeConfig;
use super::mid::{EPS, MidBlock, shape};
use crate::diffusion::blocks::{Downsample, ResnetBlock, Strips, strip_rows};
use crate::diffusion::error::Result;
use crate::diffusion::ops::{Conv2d, ConvConfig, GroupNorm, PaddingMode, channels_first};
use crate::diffusion::weights::Weights;

#[derive(Debug, Clone)]
pub(super) struct Encoder {
    conv_in: Conv2d,
    blocks: Vec<(Vec<ResnetBlock>, Option<Downsample>)>,
    mid: MidBlock,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Encoder {
    pub(super) fn load(weights: &Weights, config: &VaeConfig) -> Result<Self> {
        let channels = &config.block_out_channels;
        let (first, last) = (channels[0], channels[channels.len() - 1]);
        let mut inputs = first;
        let mut blocks = Vec::new();
        for (i, &outputs) in channels.iter().enumerate() {
            let weights = weights.at(format_args!("down_blocks.{i}"));
            let mut layers = Vec::new();
            for layer in 0..config.layers_per_block {
                layers.push(ResnetBlock::load(
                    &weights.at(format_args!("resnets.{layer}")),
                    shape(config, inputs, outputs),
                )?);
                inputs = outputs;
            }
            let smaller = if i + 1 < channels.len() {
                Some(Downsample::load(&weights.at("downsamplers.0"), outputs, 0)?)
            } else {
                None
            };
            blocks.push((layers, smaller));
        }
        Ok(Self {
            conv_in: weights.at("conv_in").conv(config.in_channels, first, 3, ConvConfig::padded(1))?,
            blocks,
            mid: MidBlock::load(&weights.at("mid_block"), config, last)?,
            norm_out: weights.at("conv_norm_out").group_norm(config.norm_num_groups, last, EPS)?,
            conv_out: weights
                .at("conv_out")
                .conv(last, config.latent_channels * 2, 3, ConvConfig::padded(1))?,
        })
    }

    /// `[b, 3, h, w]` to `[b, 2 * latent channels, h/8, w/8]`. Encoding never wraps around. Where the first level's layers
    /// are `large`, they are worked on in strips.
    pub(super) fn forward(&self, x: &Tensor, large: usize) -> candle_core::Result<Tensor> {
        let mode = [PaddingMode::Zeros; 2];
        let mut x = self.first_level(x, mode, large)?;
        for (level, (layers, smaller)) in self.blocks.iter().enumerate() {
            for layer in layers.iter().filter(|_| level > 0) {
                x = layer.forward(&x, None, mode)?;
            }
            if let Some(smaller) = smaller {
                x = smaller.forward(&x, mode)?;
            }
        }
        let x = self.mid.forward(&x, mode)?;
        channels_first(&self.conv_out.forward(&self.norm_out.forward_silu(&x)?)?)
    }

    /// What is done at the picture's full size.
    fn first_level(&self, x: &Tensor, mode: [PaddingMode; 2], large: usize) -> candle_core::Result<Tensor> {
        let layers = self.blocks.first().map_or(&[][..], |(layers, _)| layers);
        let (b, _, h, w) = x.dims4()?;
        let Some(rows) = strip_rows((b, self.conv_in.out_channels(), h, w), mode, large) else {
            let x = self.conv_in.forward(x)?;
            return layers.iter().try_fold(x, |x, layer| layer.forward(&x, None, mode));
        };
        let x = Strips::cut(x, rows)?.walk(|window| window.inner(&self.conv_in.forward(&window.around)?, 1))?;
        layers.iter().try_fold(x, |x, layer| layer.forward_strips(x, mode))?.join()
    }
}
