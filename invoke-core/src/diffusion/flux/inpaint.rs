//! Parts of a picture that stay.

use candle_core::{DType, Device, Result as Computed, Tensor};

use super::latents::{pack, resized};
use crate::diffusion::error::Result;

/// What closes the gap of rounding between a mask and a noise level.
const CLOSE: f64 = 1e-4;

/// A mask at work, all in packed form.
#[derive(Debug, Clone)]
pub struct Inpaint {
    /// 1 where the picture is made anew, 0 where it stays.
    change: Tensor,
    original: Tensor,
    noise: Tensor,
}

impl Inpaint {
    /// From `mask [1, 1, h, w]` of any size (1 stays, 0 is made anew), latents that stay and the noise of the run, `[1, c, h, w]` both.
    pub fn new(mask: &Tensor, original: &Tensor, noise: &Tensor) -> Result<Self> {
        let (_, _, h, w) = original.dims4()?;
        let anew = mask.to_dtype(DType::F32)?.affine(-1.0, 1.0)?;
        // The original holds the mask in bfloat16; what lies between all and nothing is compared with levels.
        let anew = resized(&anew, (h, w))?.to_dtype(DType::BF16)?.to_dtype(DType::F32)?;
        let anew = anew.to_device(original.device())?.broadcast_as(original.shape())?.contiguous()?;
        Ok(Self {
            change: pack(&anew)?,
            original: pack(original)?,
            noise: pack(noise)?,
        })
    }

    /// The same on another device.
    pub fn to_device(&self, device: &Device) -> Computed<Self> {
        Ok(Self {
            change: self.change.to_device(device)?,
            original: self.original.to_device(device)?,
            noise: self.noise.to_device(device)?,
        })
    }

    /// Puts back, at the noise level `t`, what must not have changed yet: where the mask is below the level. What lies between joins late.
    pub fn merge(&self, tokens: &Tensor, t: f64) -> Computed<Tensor> {
        let kept = ((&self.noise * t)? + (&self.original * (1.0 - t))?)?;
        // As the original compares them.
        let limit = half::bf16::from_f64(t + CLOSE).to_f64();
        self.change.ge(limit)?.where_cond(tokens, &kept)
    }
}
