//! The blocks of a UNet: on the way down, in the middle, on the way up.

use candle_core::{Result as Computed, Tensor};

use super::config::{AttentionConfig, BlockConfig, UNetConfig};
use super::context::Context;
use super::free_u::FreeU;
use super::hidiffusion::{HiStep, Place, Shift};
use crate::diffusion::blocks::{CrossLayers, Downsample, ResnetBlock, ResnetShape, Transformer2d, TransformerShape, Upsample};
use crate::diffusion::error::Result;
use crate::diffusion::ops::{PaddingMode, add, cat_channels};
use crate::diffusion::weights::Weights;

/// What every block of one step is given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a> {
    /// The time embedding with its SiLU applied, `[b or 1, time width]`.
    pub(crate) time: &'a Tensor,
    pub(crate) context: &'a Context,
    pub(crate) image_scales: &'a [f64],
    pub(crate) mode: [PaddingMode; 2],
    pub(crate) hi: Option<&'a HiStep>,
}

impl Step<'_> {
    fn windows(&self, place: Place, layer: usize) -> &[Shift] {
        self.hi.map_or(&[], |hi| hi.windows(place, layer))
    }

    /// How a block's change of size pads: HiDiffusion's own with zeros.
    fn resampling_mode(&self, place: Place) -> [PaddingMode; 2] {
        match self.hi.and_then(|hi| hi.resampling(place)) {
            Some(_) => [PaddingMode::Zeros; 2],
            None => self.mode,
        }
    }
}

#[derive(Debug, Clone)]
struct Layer {
    resnet: ResnetBlock,
    attention: Option<Transformer2d>,
}

impl Layer {
    fn forward(&self, x: &Tensor, step: Step<'_>, windows: &[Shift]) -> Computed<Tensor> {
        let x = self.resnet.forward(x, Some(step.time), step.mode)?;
        match &self.attention {
            Some(attention) => attention.forward(&x, step.context, step.image_scales, windows),
            None => Ok(x),
        }
    }
}

fn resnet(config: &UNetConfig, inputs: usize, outputs: usize) -> ResnetShape {
    ResnetShape {
        inputs,
        outputs,
        time: Some(config.time_width),
        groups: config.groups,
        eps: config.eps,
    }
}

fn transformer(config: &UNetConfig, channels: usize, attention: AttentionConfig) -> TransformerShape {
    let AttentionConfig { heads, depth, context } = attention;
    TransformerShape {
        channels,
        heads,
        depth,
        context,
        groups: config.groups,
    }
}

/// A block on the way down.
#[derive(Debug, Clone)]
pub(crate) struct DownBlock {
    layers: Vec<Layer>,
    downsample: Option<Downsample>,
}

impl DownBlock {
    pub(crate) fn load(
        weights: &Weights,
        config: &UNetConfig,
        block: &BlockConfig,
        inputs: usize,
        cross: &mut CrossLayers,
    ) -> Result<Self> {
        let layers = (0..block.layers)
            .map(|i| {
                let inputs = if i == 0 { inputs } else { block.channels };
                let attention = block.attention.as_ref().map(|a| {
                    let weights = weights.at(format_args!("attentions.{i}"));
                    Transformer2d::load(&weights, transformer(config, block.channels, a[i]), cross)
                });
                let weights = weights.at(format_args!("resnets.{i}"));
                Ok(Layer {
                    resnet: ResnetBlock::load(&weights, resnet(config, inputs, block.channels))?,
                    attention: attention.transpose()?,
                })
            })
            .collect::<Result<_>>()?;
        let downsample = if block.resamples {
            Some(Downsample::load(
                &weights.at("downsamplers.0"),
                block.channels,
                config.downsample_padding,
            )?)
        } else {
            None
        };
        Ok(Self { layers, downsample })
    }

    /// Pushes every layer's output to `skips` and returns the last. `number` counts the blocks on the way down from 0. `adapter` is a T2I-Adapter's state for this block: it is
    /// added to the last layer's output in a block with attention, to the block's in one without.
    pub(crate) fn forward(
        &self,
        x: Tensor,
        step: Step<'_>,
        number: usize,
        adapter: Option<&Tensor>,
        skips: &mut Vec<Tensor>,
    ) -> Computed<Tensor> {
        let place = Place::Down(number);
        let mut x = x;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, step, step.windows(place, i))?;
            if let (Some(state), Some(_), true) = (adapter, &layer.attention, i + 1 == self.layers.len()) {
                x = add(&x, state)?;
            }
            if let Some(hi) = step.hi {
                x = hi.after_down(number, i, x)?;
            }
            skips.push(x.clone());
        }
        if let Some(downsample) = &self.downsample {
            x = match step.hi.and_then(|hi| hi.resampling(place)) {
                Some(true) => downsample.forward_far(&x)?,
                _ => downsample.forward(&x, step.resampling_mode(place))?,
            };
            skips.push(x.clone());
        }
        if let (Some(state), false) = (adapter, self.has_attention()) {
            x = add(&x, state)?;
            // The block's output is also the last skip, and the original adds to both.
            if let Some(last) = skips.last_mut() {
                *last = x.clone();
            }
        }
        Ok(x)
    }

    fn has_attention(&self) -> bool {
        self.layers.iter().any(|layer| layer.attention.is_some())
    }

    /// How many tensors [`Self::forward`] pushes, and of how many channels.
    pub(crate) fn skips(block: &BlockConfig) -> Vec<usize> {
        vec![block.channels; block.layers + usize::from(block.resamples)]
    }
}

/// The block between the way down and the way up.
#[derive(Debug, Clone)]
pub(crate) struct MidBlock {
    first: ResnetBlock,
    attention: Transformer2d,
    second: ResnetBlock,
}

impl MidBlock {
    pub(crate) fn load(weights: &Weights, config: &UNetConfig, cross: &mut CrossLayers) -> Result<Self> {
        let channels = config.last_channels();
        Ok(Self {
            first: ResnetBlock::load(&weights.at("resnets.0"), resnet(config, channels, channels))?,
            attention: Transformer2d::load(&weights.at("attentions.0"), transformer(config, channels, config.mid), cross)?,
            second: ResnetBlock::load(&weights.at("resnets.1"), resnet(config, channels, channels))?,
        })
    }

    pub(crate) fn forward(&self, x: &Tensor, step: Step<'_>) -> Computed<Tensor> {
        let x = self.first.forward(x, Some(step.time), step.mode)?;
        let x = self.attention.forward(&x, step.context, step.image_scales, &[])?;
        self.second.forward(&x, Some(step.time), step.mode)
    }
}

/// A block on the way up.
#[derive(Debug, Clone)]
pub(crate) struct UpBlock {
    layers: Vec<Layer>,
    upsample: Option<Upsample>,
}

impl UpBlock {
    /// `inputs` are the channels of the block before, `skips` those of the outputs on the way down, last one last; as many as
    /// the block has layers are taken off.
    pub(crate) fn load(
        weights: &Weights,
        config: &UNetConfig,
        block: &BlockConfig,
        inputs: usize,
        skips: &mut Vec<usize>,
        cross: &mut CrossLayers,
    ) -> Result<Self> {
        let layers = (0..block.layers)
            .map(|i| {
                let before = if i == 0 { inputs } else { block.channels };
                let skip = skips
                    .pop()
                    .ok_or_else(|| weights.corrupt("there are more layers on the way up than on the way down"))?;
                let attention = block.attention.as_ref().map(|a| {
                    let weights = weights.at(format_args!("attentions.{i}"));
                    Transformer2d::load(&weights, transformer(config, block.channels, a[i]), cross)
                });
                let weights = weights.at(format_args!("resnets.{i}"));
                let shape = resnet(config, before + skip, block.channels);
                Ok(Layer {
                    resnet: ResnetBlock::load(&weights, shape)?,
                    attention: attention.transpose()?,
                })
            })
            .collect::<Result<_>>()?;
        let upsample = if block.resamples {
            Some(Upsample::load(&weights.at("upsamplers.0"), block.channels)?)
        } else {
            None
        };
        Ok(Self { layers, upsample })
    }

    /// Takes as many skips as there are layers. `number` counts the blocks on the way up from 0.
    pub(crate) fn forward(
        &self,
        x: Tensor,
        step: Step<'_>,
        number: usize,
        free_u: Option<FreeU>,
        skips: &mut Vec<Tensor>,
    ) -> Computed<Tensor> {
        let place = Place::Up(number);
        let mut x = x;
        for (i, layer) in self.layers.iter().enumerate() {
            let Some(mut skip) = skips.pop() else {
                candle_core::bail!("more layers on the way up than on the way down")
            };
            if let Some(free_u) = free_u {
                (x, skip) = free_u.apply(number, x, skip)?;
            }
            x = layer.forward(&cat_channels(&x, &skip)?, step, step.windows(place, i))?;
            if let Some(hi) = step.hi {
                x = hi.after_up(number, i, x)?;
            }
        }
        match &self.upsample {
            Some(upsample) => {
                let size = skips.last().map(Tensor::dims4).transpose()?.map(|(_, _, h, w)| (h, w));
                upsample.forward(&x, size, step.resampling_mode(place))
            }
            None => Ok(x),
        }
    }
}
