//! Inpainting: what a mask keeps is put back at every step, with the noise that it would have there.

use candle_core::{DType, Device, Result, Tensor};

use crate::diffusion::latents::{Interpolation, resize};
use crate::diffusion::schedulers::Scheduler;

/// Where a job may change the picture.
#[derive(Debug, Clone)]
pub struct DenoiseMask {
    /// `[1, 1, h, w]` of any size, resized to the latents: 1 keeps, 0 denoises.
    pub mask: Tensor,
    /// Whether values in between join the denoising late, rather than mix.
    pub gradient: bool,
    /// For models trained to inpaint: the latents of the picture without what is to change. By default the latents themselves
    /// where the mask keeps them.
    pub masked_latents: Option<Tensor>,
}

/// A mask at work, in the latents' size.
#[derive(Debug, Clone)]
pub(super) struct Masked {
    /// `[1, 1, h, w]`, 1 where the picture may change.
    change: Tensor,
    gradient: bool,
    original: Tensor,
    masked_latents: Tensor,
}

impl Masked {
    pub(super) fn new(mask: &DenoiseMask, original: &Tensor) -> Result<Self> {
        let (_, _, h, w) = original.dims4()?;
        let place = |x: &Tensor| x.to_dtype(DType::F32)?.to_device(original.device());
        let keep = resize(&place(&mask.mask)?, h, w, Interpolation::Bilinear, false)?;
        let masked_latents = match &mask.masked_latents {
            Some(given) => place(given)?,
            None => keep
                .lt(0.5)?
                .broadcast_as(original.shape())?
                .where_cond(&original.zeros_like()?, original)?,
        };
        let change = keep.affine(-1.0, 1.0)?;
        Ok(Self {
            change,
            gradient: mask.gradient,
            original: original.clone(),
            masked_latents,
        })
    }

    /// Puts back the original, noised to `timestep`, where the sample must not have changed yet.
    pub(super) fn apply(&self, latents: &Tensor, noise: &Tensor, sampler: &dyn Scheduler, timestep: f64) -> Result<Tensor> {
        let kept = sampler.add_noise(&self.original, noise, timestep)?;
        if self.gradient {
            self.select(timestep / sampler.train_timesteps() as f64, latents, &kept)
        } else {
            self.mix(latents, &kept)
        }
    }

    /// Puts back the original itself, after the last step.
    pub(super) fn finish(&self, latents: &Tensor) -> Result<Tensor> {
        if self.gradient {
            self.select(0.0, latents, &self.original)
        } else {
            self.mix(latents, &self.original)
        }
    }

    /// What models trained to inpaint see beside the latents: the mask and the masked picture, `[1, 5, h, w]`.
    pub(super) fn channels(&self) -> Result<Tensor> {
        Tensor::cat(&[&self.change, &self.masked_latents], 1)
    }

    /// The same where nothing is masked: everything may change, and there is no picture.
    pub(super) fn no_channels(latents: &Tensor) -> Result<Tensor> {
        let one = latents.narrow(1, 0, 1)?.ones_like()?;
        Tensor::cat(&[&one, &latents.zeros_like()?], 1)
    }

    fn select(&self, threshold: f64, changed: &Tensor, kept: &Tensor) -> Result<Tensor> {
        let limit = Tensor::new(threshold as f32, &Device::Cpu)?.to_device(self.change.device())?;
        self.change
            .broadcast_gt(&limit)?
            .broadcast_as(changed.shape())?
            .where_cond(changed, kept)
    }

    fn mix(&self, changed: &Tensor, kept: &Tensor) -> Result<Tensor> {
        kept + (changed - kept)?.broadcast_mul(&self.change)?
    }
}
