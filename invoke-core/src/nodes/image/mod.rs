//! Nodes that compute with pictures.
//!
//! Each reads its pictures, hands them to `imaging`, and stores the result: what is computed stands there, what people can set stands here.

mod css_color;
mod loading;
mod pixels;
#[cfg(test)]
mod tests;

pub(super) mod basic;
pub(super) mod blend;
pub(super) mod channels;
pub(super) mod color;
pub(super) mod control;
pub(super) mod detect;
pub(super) mod effects;
pub(super) mod faces;
pub(super) mod infill;
pub(super) mod masks;
pub(super) mod material;
pub(super) mod panels;
pub(super) mod pose;
pub(super) mod preprocess;
pub(super) mod safety;
pub(super) mod save;
pub(super) mod segment;
pub(super) mod tiles;
pub(super) mod upscale;

pub use pixels::{from_dynamic, into_dynamic};

use super::{
    NodeCx, NodeError,
    fields::{BoundingBoxField, ColorField, ImageField},
    outputs::ImageOutput,
};
use crate::{
    diffusion::ModelError,
    domain::{image::ImageCategory, shape::choices},
    imaging::{ImagingError, Mode, Picture, Resample},
};

/// Most pixels of a picture that a node makes: 2^28.
const MOST_PIXELS: i64 = 1 << 28;

impl From<ImagingError> for NodeError {
    fn from(error: ImagingError) -> Self {
        Self::value(error.to_string())
    }
}

choices! {
    enum ResampleMode { Nearest = "nearest", Box = "box", Bilinear = "bilinear", Hamming = "hamming", Bicubic = "bicubic", Lanczos = "lanczos" }
}

impl ResampleMode {
    fn filter(self) -> Resample {
        match self {
            Self::Nearest => Resample::Nearest,
            Self::Box => Resample::Box,
            Self::Bilinear => Resample::Bilinear,
            Self::Hamming => Resample::Hamming,
            Self::Bicubic => Resample::Bicubic,
            Self::Lanczos => Resample::Lanczos,
        }
    }
}

/// What a network asks before each of its blocks: whether the node is still wanted.
fn going_on(cx: &dyn NodeCx) -> impl Fn() -> Result<(), ModelError> {
    || cx.check_canceled().map_err(|_| ModelError::Stopped)
}

/// A stored picture.
fn load(cx: &dyn NodeCx, image: &ImageField) -> Result<Picture, NodeError> {
    Ok(from_dynamic(&*cx.load_image(&image.image_name)?))
}

/// A stored picture in a mode.
fn load_as(cx: &dyn NodeCx, image: &ImageField, mode: Mode) -> Result<Picture, NodeError> {
    let picture = load(cx, image)?;
    Ok(if picture.mode() == mode { picture } else { picture.convert(mode) })
}

/// Stores a result.
fn store(cx: &dyn NodeCx, picture: Picture) -> Result<ImageOutput, NodeError> {
    super::save(cx, into_dynamic(picture))
}

/// Stores a mask.
fn store_mask(cx: &dyn NodeCx, picture: Picture) -> Result<ImageOutput, NodeError> {
    super::save_as(cx, into_dynamic(picture), ImageCategory::Mask)
}

/// A picture handed on under its own name, nothing stored.
fn pass(image: ImageField, picture: &Picture) -> ImageOutput {
    ImageOutput {
        image,
        width: picture.width() as i64,
        height: picture.height() as i64,
    }
}

/// A size that a picture may have.
fn size(width: i64, height: i64) -> Result<(usize, usize), NodeError> {
    if width < 1 || height < 1 {
        return Err(NodeError::value(format!(
            "width and height must be at least 1, got {width}x{height}"
        )));
    }
    if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
        return Err(NodeError::value(format!("a picture of {width}x{height} pixels is too large")));
    }
    Ok((width as usize, height as usize))
}

/// A coordinate, kept so near that sums of coordinates cannot overflow; beyond lies no picture.
fn place(value: i64) -> i64 {
    const FAR: i64 = 1 << 32;
    value.clamp(-FAR, FAR)
}

/// Left, top, right and bottom of a rectangle.
fn sides(bounds: &BoundingBoxField) -> [i64; 4] {
    [place(bounds.x_min), place(bounds.y_min), place(bounds.x_max), place(bounds.y_max)]
}

/// Red, green, blue and opacity.
fn color_bytes(color: ColorField) -> [u8; 4] {
    [color.r, color.g, color.b, color.a].map(|v| v.clamp(0, 255) as u8)
}
