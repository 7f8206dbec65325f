//! Prompts, noise, denoising and pictures for the Stable Diffusion families.

mod adapters;
mod borrow;
pub(super) mod codec;
mod compel;
mod control;
pub(super) mod denoise;
mod denoise_mask;
pub(super) mod load;
mod noise;
mod resize;
mod rows;
mod tensor_mask;
#[cfg(test)]
pub(super) mod tests;
mod tiled;
mod together;
pub(super) mod watch;

use image::DynamicImage;

pub use together::DenoiseSeat;

use super::{NodeEntry, NodeError};
use crate::imaging::{Mode, Picture};

/// The nodes of this folder.
pub(super) const NODES: &[&[NodeEntry]] = &[
    codec::NODES,
    compel::NODES,
    denoise::NODES,
    denoise_mask::NODES,
    noise::NODES,
    resize::NODES,
    tensor_mask::NODES,
    tiled::NODES,
];

/// A picture's grey values, as Pillow weighs the colours.
fn grey(picture: &DynamicImage) -> Result<Picture, NodeError> {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let picture = match picture {
        DynamicImage::ImageLuma8(grey) => return Picture::from_samples(Mode::L, w, h, grey.as_raw().clone()).map_err(NodeError::runtime),
        other => Picture::from_samples(Mode::Rgb, w, h, other.to_rgb8().into_raw()),
    };
    Ok(picture.map_err(NodeError::runtime)?.convert(Mode::L))
}
