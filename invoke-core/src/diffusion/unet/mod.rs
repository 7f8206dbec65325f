//! The denoiser of Stable Diffusion 1, 2 and XL (diffusers' `UNet2DConditionModel`).
//!
//! ```text
//! let unet = UNet::open(folder, DType::F32, &Device::Cpu)?;
//! let context = unet.prepare(&embeds, CrossBias::None, None)?;      // once a run
//! let noise = unet.forward(&latents, t, &context, &StepInputs::default())?; // each step
//! ```

mod blocks;
mod config;
mod context;
mod free_u;
pub(crate) mod hidiffusion;
pub mod regions;

use std::path::Path;

use candle_core::{DType, Device, Tensor};

pub(crate) use blocks::{DownBlock, MidBlock, Step};
pub use config::{AttentionConfig, BlockConfig, PerBlock, UNetConfig};
pub(crate) use context::row_of;
pub use context::{Context, CrossBias, ImagePrompt};
pub use free_u::FreeU;
pub use hidiffusion::{HiDiffusion, HiDiffusionSettings, HiStep};

use blocks::UpBlock;

use super::blocks::{CrossLayers, Seamless, TimeEmbedding, sinusoids};
use super::error::{ModelError, Result};
use super::latents::{Interpolation, resize};
use super::ops::{Conv2d, ConvConfig, GroupNorm, add, channels_first, silu};
use super::weights::{Weights, open_weights};

/// SDXL's added conditioning.
#[derive(Debug, Clone, Copy)]
pub struct Added<'a> {
    /// Pooled text embedding, `[b, width]`.
    pub pooled: &'a Tensor,
    /// Sizes and crops: six numbers a sample (five for the refiner), `[b, n]`.
    pub time_ids: &'a Tensor,
}

/// What a ControlNet hands to a UNet.
#[derive(Debug, Clone)]
pub struct ControlResiduals {
    /// One for each skip connection, first to last, `[b, c, h, w]`.
    pub down: Vec<Tensor>,
    /// For the middle, `[b, c, h, w]`.
    pub mid: Tensor,
}

impl ControlResiduals {
    /// Those of one row of the batch.
    pub(crate) fn row(&self, i: usize) -> candle_core::Result<Self> {
        Ok(Self {
            down: self.down.iter().map(|x| row_of(x, i)).collect::<candle_core::Result<_>>()?,
            mid: row_of(&self.mid, i)?,
        })
    }
}

/// What may vary from step to step besides latents and timestep.
#[derive(Debug, Clone, Copy, Default)]
pub struct StepInputs<'a> {
    /// Residuals of ControlNets, already weighted and summed.
    pub control: Option<&'a ControlResiduals>,
    /// States of T2I-Adapters, one for each block on the way down (SDXL: and one for the middle), already weighted and summed.
    pub adapter: &'a [Tensor],
    /// Scale of each image prompt of the context.
    pub image_scales: &'a [f64],
    /// Axes that wrap around.
    pub seamless: Seamless,
    /// FreeU's factors.
    pub free_u: Option<FreeU>,
    /// HiDiffusion at this evaluation.
    pub hi: Option<&'a HiStep>,
    /// Which evaluation of a run it is, counted from 0, and of how many.
    pub at: (usize, usize),
}

/// The way down and the middle: what a UNet and a ControlNet have in common.
#[derive(Debug, Clone)]
pub(crate) struct Trunk {
    conv_in: Conv2d,
    time: TimeEmbedding,
    added: Option<TimeEmbedding>,
    down: Vec<DownBlock>,
    mid: MidBlock,
    cross: CrossLayers,
    dtype: DType,
}

impl Trunk {
    pub(crate) fn load(weights: &Weights, config: &UNetConfig) -> Result<Self> {
        let first = config.first_channels();
        let mut cross = CrossLayers::default();
        let mut inputs = first;
        let mut down = Vec::new();
        for (i, block) in config.down.iter().enumerate() {
            down.push(DownBlock::load(
                &weights.at(format_args!("down_blocks.{i}")),
                config,
                block,
                inputs,
                &mut cross,
            )?);
            inputs = block.channels;
        }
        let added = config
            .added
            .map(|(_, width)| TimeEmbedding::load(&weights.at("add_embedding"), width, config.time_width));
        Ok(Self {
            conv_in: weights.at("conv_in").conv(config.in_channels, first, 3, ConvConfig::padded(1))?,
            time: TimeEmbedding::load(&weights.at("time_embedding"), first, config.time_width)?,
            added: added.transpose()?,
            down,
            mid: MidBlock::load(&weights.at("mid_block"), config, &mut cross)?,
            cross,
            dtype: weights.computes_in(),
        })
    }

    /// See [`UNet::prepare`].
    pub(crate) fn prepare(&self, config: &UNetConfig, embeds: &Tensor, bias: CrossBias, added: Option<Added<'_>>) -> Result<Context> {
        let (b, _, width) = embeds.dims3()?;
        if let Some(expected) = self.context_width(config)
            && width != expected
        {
            return Err(ModelError::Input(format!(
                "the context is {width} wide, this model takes {expected}: is the prompt from another base?"
            )));
        }
        let embeds = embeds.to_dtype(self.dtype)?;
        let added = match (&self.added, config.added, added) {
            (Some(embedding), Some((time_width, total)), Some(added)) => {
                let ids: Vec<Vec<f32>> = added.time_ids.to_dtype(DType::F32)?.to_vec2()?;
                let flat: Vec<f64> = ids.iter().flatten().map(|&id| f64::from(id)).collect();
                let times = sinusoids(&flat, time_width, config.flip_sin_to_cos, config.freq_shift, embeds.device())?;
                let times = times.reshape((ids.len(), ()))?;
                let joined = Tensor::cat(&[&added.pooled.to_dtype(DType::F32)?, &times], 1)?;
                if joined.dims2()? != (b, total) {
                    let message = format!(
                        "pooled text and time ids make {:?} numbers, this model takes [{b}, {total}]",
                        joined.dims()
                    );
                    return Err(ModelError::Input(message));
                }
                Some(embedding.forward(&joined, self.dtype)?)
            }
            (Some(_), _, _) => {
                return Err(ModelError::Input(
                    "this model needs pooled text and time ids, as SDXL's prompts have them".into(),
                ));
            }
            (None, _, _) => None,
        };
        Ok(Context {
            text: self.cross.keys_and_values(&embeds)?,
            bias,
            images: Vec::new(),
            added,
        })
    }

    fn context_width(&self, config: &UNetConfig) -> Option<usize> {
        self.cross.paths().next().map(|_| config.mid.context)
    }

    /// The time embedding of a step with its SiLU applied, `[b or 1, time width]`.
    pub(crate) fn embed_time(&self, config: &UNetConfig, timestep: f64, context: &Context, device: &Device) -> candle_core::Result<Tensor> {
        let sines = sinusoids(
            &[timestep],
            config.first_channels(),
            config.flip_sin_to_cos,
            config.freq_shift,
            device,
        )?;
        let time = self.time.forward(&sines, self.dtype)?;
        match &context.added {
            Some(added) => silu(&time.broadcast_add(added)?),
            None => silu(&time),
        }
    }

    pub(crate) fn enter(&self, sample: &Tensor, seamless: Seamless, residual: Option<&Tensor>) -> candle_core::Result<Tensor> {
        self.conv_in.forward_with(&sample.to_dtype(self.dtype)?, seamless.modes(), residual)
    }

    /// From the first convolution's output to all skips and the input of the middle.
    pub(crate) fn descend(&self, x: Tensor, step: Step<'_>, adapter: &[Tensor]) -> candle_core::Result<(Vec<Tensor>, Tensor)> {
        let mut skips = vec![x.clone()];
        let mut x = x;
        for (i, block) in self.down.iter().enumerate() {
            x = block.forward(x, step, i, adapter.get(i), &mut skips)?;
        }
        Ok((skips, x))
    }

    /// The data type the model computes in.
    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    pub(crate) fn middle(&self, x: &Tensor, step: Step<'_>) -> candle_core::Result<Tensor> {
        self.mid.forward(x, step)
    }
}

/// A ControlNet's residual at the size that HiDiffusion gave the denoiser's picture.
fn fitting(residual: &Tensor, to: &Tensor, hi: Option<&HiStep>) -> candle_core::Result<Tensor> {
    let ((_, _, h, w), (_, _, height, width)) = (residual.dims4()?, to.dims4()?);
    if hi.is_none() || (h, w) == (height, width) {
        return Ok(residual.clone());
    }
    resize(residual, height, width, Interpolation::Bicubic, false)
}

/// Channels of every skip, first to last.
pub(crate) fn skip_channels(config: &UNetConfig) -> Vec<usize> {
    let down = config.down.iter().flat_map(DownBlock::skips);
    std::iter::once(config.first_channels()).chain(down).collect()
}

/// A UNet with its weights.
#[derive(Debug, Clone)]
pub struct UNet {
    config: UNetConfig,
    trunk: Trunk,
    up: Vec<UpBlock>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    bytes: u64,
}

impl UNet {
    /// Reads a folder with `config.json` and safetensors weights, in `dtype`, onto `device`. With `BF16` on the CPU weights alone are such, and what goes
    /// in and comes out is single floats.
    pub fn open(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config = UNetConfig::read(&folder.join("config.json"))?;
        Self::load(config, &Weights::new(open_weights(folder)?, dtype, device))
    }

    /// Reads the weights of a UNet of the given shapes.
    pub fn load(config: UNetConfig, weights: &Weights) -> Result<Self> {
        let before = weights.bytes_loaded();
        let mut trunk = Trunk::load(weights, &config)?;
        let mut skips = skip_channels(&config);
        let mut inputs = config.last_channels();
        let mut up = Vec::new();
        for (i, block) in config.up.iter().enumerate() {
            let weights = weights.at(format_args!("up_blocks.{i}"));
            up.push(UpBlock::load(&weights, &config, block, inputs, &mut skips, &mut trunk.cross)?);
            inputs = block.channels;
        }
        if up.len() != config.down.len() {
            return Err(weights.corrupt("the config has no `up_block_types`: is it a ControlNet's?"));
        }
        let norm_out = weights.at("conv_norm_out").group_norm(config.groups, inputs, config.eps)?;
        let conv_out = weights.at("conv_out").conv(inputs, config.out_channels, 3, ConvConfig::padded(1))?;
        Ok(Self {
            trunk,
            up,
            norm_out,
            conv_out,
            bytes: weights.bytes_loaded() - before,
            config,
        })
    }

    /// The model's shapes.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// Bytes its weights take.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Prepares a context for all steps of a run.
    ///
    /// `embeds` is `[b, tokens, width]` with the width of the config's `cross_attention_dim`; `b` is the batch of the latents
    /// to come. SDXL models need `added`, others ignore it. Errors if a width does not fit.
    pub fn prepare(&self, embeds: &Tensor, bias: CrossBias, added: Option<Added<'_>>) -> Result<Context> {
        self.trunk.prepare(&self.config, embeds, bias, added)
    }

    /// Names of the cross-attention layers, and their heads, in the order image prompts number them.
    pub fn cross_layers(&self) -> impl Iterator<Item = (&str, usize)> {
        self.trunk.cross.paths().zip(self.trunk.cross.heads())
    }

    /// Predicts from `sample [b, in_channels, h, w]` (scaled as the scheduler wants it) at `timestep` (0 to 999, may be
    /// fractional); returns `[b, out_channels, h, w]` in the model's data type.
    pub fn forward(&self, sample: &Tensor, timestep: f64, context: &Context, inputs: &StepInputs<'_>) -> Result<Tensor> {
        let channels = sample.dims4()?.1;
        if channels != self.config.in_channels {
            let expected = self.config.in_channels;
            return Err(ModelError::Input(format!(
                "the latents have {channels} channels, this model takes {expected}"
            )));
        }
        let blocks = self.config.down.len();
        if !(inputs.adapter.is_empty() || (blocks..=blocks + 1).contains(&inputs.adapter.len())) {
            let (found, expected) = (inputs.adapter.len(), blocks);
            return Err(ModelError::Input(format!(
                "the T2I-Adapter gives {found} states, this model takes {expected}"
            )));
        }
        if inputs.image_scales.len() != context.images.len() {
            let (found, expected) = (inputs.image_scales.len(), context.images.len());
            return Err(ModelError::Input(format!(
                "{found} image prompt scales for {expected} image prompts"
            )));
        }
        let time = self.trunk.embed_time(&self.config, timestep, context, sample.device())?;
        let step = Step {
            time: &time,
            context,
            image_scales: inputs.image_scales,
            mode: inputs.seamless.modes(),
            hi: inputs.hi,
        };
        let x = self.trunk.enter(sample, inputs.seamless, None)?;
        let adapter = inputs.adapter.iter().map(|state| state.to_dtype(self.trunk.dtype()));
        let adapter = adapter.collect::<candle_core::Result<Vec<_>>>()?;
        let (mut skips, x) = self.trunk.descend(x, step, &adapter)?;
        let mut x = self.trunk.middle(&x, step)?;
        // SDXL's adapters have one state more than the denoiser has blocks; it goes to the middle.
        if let Some(state) = adapter.get(blocks)
            && state.dims() == x.dims()
        {
            x = add(&x, state)?;
        }
        if let Some(control) = inputs.control {
            if control.down.len() != skips.len() {
                let (found, expected) = (control.down.len(), skips.len());
                return Err(ModelError::Input(format!(
                    "the ControlNet gives {found} residuals, this model takes {expected}"
                )));
            }
            for (skip, residual) in skips.iter_mut().zip(&control.down) {
                *skip = add(skip, &fitting(residual, skip, inputs.hi)?)?;
            }
            x = add(&x, &fitting(&control.mid, &x, inputs.hi)?)?;
        }
        for (i, block) in self.up.iter().enumerate() {
            x = block.forward(x, step, i, inputs.free_u, &mut skips)?;
        }
        let x = self.norm_out.forward_silu(&x)?;
        Ok(channels_first(&self.conv_out.forward_with(&x, step.mode, None)?)?)
    }
}
