//! Arithmetic on latents and masks outside the denoiser: resizing, blending, cropping.

mod blend;
mod resize;
#[cfg(test)]
mod tests;

pub use blend::{blend, mix_by_mask};
pub use resize::{Interpolation, resize, scale};

use candle_core::{Result, Tensor};

/// Pixels of a picture to one latent pixel, in both directions.
pub const SCALE: usize = 8;

/// Cuts `[b, c, h, w]` latents; all measures in latent pixels. The rectangle must lie within, as far as it does not it is cut off,
/// as slicing in torch does.
pub fn crop(latents: &Tensor, top: usize, left: usize, height: usize, width: usize) -> Result<Tensor> {
    let (_, _, h, w) = latents.dims4()?;
    let (rows, columns) = (height.min(h.saturating_sub(top)), width.min(w.saturating_sub(left)));
    if rows == 0 || columns == 0 {
        candle_core::bail!("the crop at ({left}, {top}) lies outside latents of {w} by {h}");
    }
    latents.narrow(2, top, rows)?.narrow(3, left, columns)?.contiguous()
}
