//! The denoising loop of Stable Diffusion 1, 2 and XL: from noise or a noised picture to latents that an autoencoder decodes.
//!
//! ```text
//! let plan = Plan { scheduler, config: &config, steps: 30, start: 0.0, end: 1.0 };
//! let outcomes = denoise(&unet, &plan, vec![job])?;
//! ```
//!
//! Several jobs of one shape and one plan run as one batch: each keeps its own seed, prompts, guidance, masks and watcher, its
//! result does not depend on the company, and one that is cancelled leaves without holding up the others.

mod condition;
mod control;
mod evaluate;
mod guidance;
mod mask;
mod plan;
mod run;
#[cfg(test)]
mod tests;
mod tiled;

use candle_core::Tensor;

pub use condition::{Prompt, TextBatch};
pub use control::{AdapterInput, ControlInput, ControlMode, ImageInput, Weight, Window};
pub use guidance::{Guidance, GuidanceScale};
pub use mask::DenoiseMask;
pub use plan::Plan;
pub use run::{Job, Outcome, Progress, Stage, Watcher, denoise};
pub use tiled::{Tile, denoise_tiled, tiles_with_overlap};

use super::Seamless;
use super::error::Result;
use super::unet::{Added, Context, FreeU, HiDiffusion, ImagePrompt, StepInputs, UNet, row_of};

/// What the loop needs of a model: [`UNetDenoiser`] in earnest, small functions in tests.
pub trait Denoiser {
    /// Text prepared for the model's layers.
    type Context;

    /// Channels of the input: those of the latents, and five more for models trained to inpaint.
    fn in_channels(&self) -> usize;

    /// Prepares texts (one a row of the batch to come) and image prompts for all the steps they stay the same.
    fn prepare(&self, text: &TextBatch, images: &[ImagePrompt]) -> Result<Self::Context>;

    /// Predicts from `sample [b, channels, h, w]`; returns the latents' shape.
    fn predict(&self, sample: &Tensor, timestep: f64, context: &Self::Context, inputs: StepInputs<'_>) -> Result<Tensor>;
}

/// A UNet with what is set for a whole run.
#[derive(Debug, Clone, Copy)]
pub struct UNetDenoiser<'a> {
    /// The model, LoRAs already in its weights.
    pub unet: &'a UNet,
    /// Axes that wrap around.
    pub seamless: Seamless,
    /// FreeU's factors.
    pub free_u: Option<FreeU>,
    /// HiDiffusion. A run that has it serves one job.
    pub hidiffusion: Option<&'a HiDiffusion>,
    /// One row of a batch at a time: slower, in less memory.
    pub sequential: bool,
}

impl Denoiser for UNetDenoiser<'_> {
    type Context = Context;

    fn in_channels(&self) -> usize {
        self.unet.config().in_channels
    }

    fn prepare(&self, text: &TextBatch, images: &[ImagePrompt]) -> Result<Context> {
        let added = text.added.as_ref().map(|(pooled, time_ids)| Added { pooled, time_ids });
        let context = self.unet.prepare(&text.embeds, text.bias.clone(), added)?;
        Ok(images.iter().cloned().fold(context, Context::with_image))
    }

    fn predict(&self, sample: &Tensor, timestep: f64, context: &Context, inputs: StepInputs<'_>) -> Result<Tensor> {
        let (_, _, h, w) = sample.dims4()?;
        let (step, total) = inputs.at;
        let hi = self.hidiffusion.map(|hi| hi.at(step, total, (h, w)));
        let inputs = StepInputs {
            seamless: self.seamless,
            free_u: self.free_u,
            hi: hi.as_ref(),
            ..inputs
        };
        let rows = sample.dim(0)?;
        if !self.sequential || rows == 1 {
            return self.unet.forward(sample, timestep, context, &inputs);
        }
        let row = |i: usize| {
            let control = inputs.control.map(|control| control.row(i)).transpose()?;
            let adapter: Vec<Tensor> = inputs
                .adapter
                .iter()
                .map(|state| row_of(state, i))
                .collect::<candle_core::Result<_>>()?;
            let inputs = StepInputs {
                control: control.as_ref(),
                adapter: &adapter,
                ..inputs
            };
            self.unet.forward(&row_of(sample, i)?, timestep, &context.row(i)?, &inputs)
        };
        Ok(Tensor::cat(&(0..rows).map(row).collect::<Result<Vec<_>>>()?, 0)?)
    }
}
