//! ControlNet: a copy of the denoiser's way down that reads a picture and adds to every skip connection.

use std::path::Path;

use candle_core::{DType, Device, Tensor};

use crate::diffusion::blocks::Seamless;
use crate::diffusion::error::{ModelError, Result};
use crate::diffusion::ops::{Conv2d, ConvConfig, add, silu};
use crate::diffusion::unet::{Added, Context, ControlResiduals, CrossBias, Step, Trunk, UNetConfig, skip_channels};
use crate::diffusion::weights::{Weights, open_weights};

/// How strongly a ControlNet acts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ControlStrength {
    /// Factor of all residuals.
    pub weight: f64,
    /// Whether the residuals of larger pictures count less, from 0.1 to 1 (diffusers' "guess mode").
    pub ramp: bool,
}

/// A ControlNet with its weights.
#[derive(Debug, Clone)]
pub struct ControlNet {
    config: UNetConfig,
    trunk: Trunk,
    hint: Hint,
    zero: Vec<Conv2d>,
    zero_mid: Conv2d,
}

/// The embedding of the picture, at the latents' size.
#[derive(Debug, Clone)]
struct Hint {
    enter: Conv2d,
    blocks: Vec<Conv2d>,
    leave: Conv2d,
}

impl ControlNet {
    /// Reads a folder with `config.json` and safetensors weights, in `dtype`, onto `device`.
    pub fn open(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config = UNetConfig::read(&folder.join("config.json"))?;
        Self::load(config, &Weights::new(open_weights(folder)?, dtype, device))
    }

    /// Reads the weights of a ControlNet of the given shapes.
    pub fn load(config: UNetConfig, weights: &Weights) -> Result<Self> {
        let hint = Hint::load(&weights.at("controlnet_cond_embedding"), &config)?;
        let one_by_one = |weights: &Weights, channels| weights.conv(channels, channels, 1, ConvConfig::padded(0));
        let zero = skip_channels(&config).into_iter().enumerate();
        let zero = zero.map(|(i, channels)| one_by_one(&weights.at(format_args!("controlnet_down_blocks.{i}")), channels));
        Ok(Self {
            trunk: Trunk::load(weights, &config)?,
            hint,
            zero: zero.collect::<Result<_>>()?,
            zero_mid: one_by_one(&weights.at("controlnet_mid_block"), config.last_channels())?,
            config,
        })
    }

    /// The model's shapes.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// As [`UNet::prepare`](crate::diffusion::unet::UNet::prepare); a context belongs to the model that made it.
    pub fn prepare(&self, embeds: &Tensor, bias: CrossBias, added: Option<Added<'_>>) -> Result<Context> {
        self.trunk.prepare(&self.config, embeds, bias, added)
    }

    /// Embeds the picture once for all steps of a run: `[b, 3, 8 h, 8 w]` in 0 to 1 for latents of `h` by `w`.
    pub fn embed_picture(&self, picture: &Tensor) -> Result<Tensor> {
        let (_, channels, _, _) = picture.dims4()?;
        if channels != self.config.control.channels {
            let expected = self.config.control.channels;
            return Err(ModelError::Input(format!(
                "the control picture has {channels} channels, this ControlNet takes {expected}"
            )));
        }
        let picture = if self.config.control.bgr {
            Tensor::cat(
                &(0..channels)
                    .rev()
                    .map(|c| picture.narrow(1, c, 1))
                    .collect::<candle_core::Result<Vec<_>>>()?,
                1,
            )?
        } else {
            picture.clone()
        };
        Ok(self.hint.forward(&picture.to_dtype(self.trunk.dtype())?)?)
    }

    /// Residuals for `sample [b, c, h, w]` at `timestep`; `picture` is what [`Self::embed_picture`] gave, of the same batch or 1.
    pub fn forward(
        &self,
        sample: &Tensor,
        timestep: f64,
        context: &Context,
        picture: &Tensor,
        strength: ControlStrength,
    ) -> Result<ControlResiduals> {
        let (b, _, h, w) = sample.dims4()?;
        let (pictures, channels, ph, pw) = picture.dims4()?;
        if (ph, pw) != (h, w) || (pictures != b && pictures != 1) {
            return Err(ModelError::Input(format!(
                "the control picture is {pw}×{ph} latents, the sample {w}×{h}"
            )));
        }
        let picture = picture.broadcast_as((b, channels, h, w))?.contiguous()?;
        let time = self.trunk.embed_time(&self.config, timestep, context, sample.device())?;
        let none = Seamless::default();
        let step = Step {
            time: &time,
            context,
            image_scales: &[],
            mode: none.modes(),
            hi: None,
        };
        let x = self.trunk.enter(sample, none, Some(&picture))?;
        let (skips, x) = self.trunk.descend(x, step, &[])?;
        let mid = self.trunk.middle(&x, step)?;
        // Points on a logarithmic scale from 0.1 to 1: one for each skip, and the last for the middle.
        let ramp = |i: usize| {
            if strength.ramp {
                10f64.powf(i as f64 / skips.len() as f64 - 1.0)
            } else {
                1.0
            }
        };
        let finish = |zero: &Conv2d, x: &Tensor, i: usize| -> Result<Tensor> {
            let y = (zero.forward(x)? * (strength.weight * ramp(i)))?;
            if self.config.control.global_pool {
                Ok(y.mean_keepdim(3)?.mean_keepdim(2)?.broadcast_as(y.shape())?.contiguous()?)
            } else {
                Ok(y)
            }
        };
        let down = self
            .zero
            .iter()
            .zip(&skips)
            .enumerate()
            .map(|(i, (zero, skip))| finish(zero, skip, i))
            .collect::<Result<_>>()?;
        Ok(ControlResiduals {
            down,
            mid: finish(&self.zero_mid, &mid, skips.len())?,
        })
    }
}

impl ControlResiduals {
    /// Adds another ControlNet's residuals.
    pub fn add(&self, other: &Self) -> Result<Self> {
        if self.down.len() != other.down.len() {
            return Err(ModelError::Input("ControlNets of different bases cannot act together".into()));
        }
        let down = self
            .down
            .iter()
            .zip(&other.down)
            .map(|(a, b)| add(a, b))
            .collect::<candle_core::Result<_>>()?;
        Ok(Self {
            down,
            mid: add(&self.mid, &other.mid)?,
        })
    }

    /// Puts `count` samples of zeros before the batch: residuals for the conditional half become residuals for both.
    pub fn after_zeros(&self, count: usize) -> Result<Self> {
        let grow = |t: &Tensor| t.pad_with_zeros(0, count, 0);
        Ok(Self {
            down: self.down.iter().map(grow).collect::<candle_core::Result<_>>()?,
            mid: grow(&self.mid)?,
        })
    }
}

impl Hint {
    fn load(weights: &Weights, config: &UNetConfig) -> Result<Self> {
        let channels = &config.control.embedding;
        let (Some(&first), Some(&last)) = (channels.first(), channels.last()) else {
            return Err(weights.corrupt("`conditioning_embedding_out_channels` is empty"));
        };
        let mut blocks = Vec::new();
        for pair in channels.windows(2) {
            let number = blocks.len();
            let block = |i: usize| weights.at(format_args!("blocks.{i}"));
            blocks.push(block(number).conv(pair[0], pair[0], 3, ConvConfig::padded(1))?);
            blocks.push(block(number + 1).conv(
                pair[0],
                pair[1],
                3,
                ConvConfig {
                    stride: 2,
                    padding: [1; 4],
                },
            )?);
        }
        Ok(Self {
            enter: weights
                .at("conv_in")
                .conv(config.control.channels, first, 3, ConvConfig::padded(1))?,
            blocks,
            leave: weights
                .at("conv_out")
                .conv(last, config.first_channels(), 3, ConvConfig::padded(1))?,
        })
    }

    fn forward(&self, picture: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = silu(&self.enter.forward(picture)?)?;
        for block in &self.blocks {
            x = silu(&block.forward(&x)?)?;
        }
        self.leave.forward(&x)
    }
}
