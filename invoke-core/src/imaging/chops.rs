//! Arithmetic between pictures, sample by sample, to the bit as Pillow's `ImageChops`, `ImageOps` and `Image.blend`.

use super::{ImagingError, Mode, Picture};

/// a x b / 255, truncated. The result has the common upper left rectangle of both; the modes must be the same.
pub fn multiply(a: &Picture, b: &Picture) -> Result<Picture, ImagingError> {
    if a.mode() != b.mode() {
        return Err(ImagingError::Mode(a.mode(), b.mode()));
    }
    let (width, height) = (a.width().min(b.width()), a.height().min(b.height()));
    let n = a.bands();
    let mut data = Vec::with_capacity(width * height * n);
    for y in 0..height {
        let pairs = a.row(y)[..width * n].iter().zip(&b.row(y)[..width * n]);
        data.extend(pairs.map(|(a, b)| (u32::from(*a) * u32::from(*b) / 255) as u8));
    }
    Ok(Picture::trusted(a.mode(), width, height, data))
}

/// 255 minus every sample, opacity included.
pub fn invert(picture: &Picture) -> Picture {
    picture.clone().map(|v| 255 - v)
}

/// `a` + `factor` x (`b` - `a`), truncated; clipped where `factor` lies outside 0..=1. Modes and sizes must agree.
pub fn blend(a: &Picture, b: &Picture, factor: f32) -> Result<Picture, ImagingError> {
    if a.mode() != b.mode() {
        return Err(ImagingError::Mode(a.mode(), b.mode()));
    }
    if a.size() != b.size() {
        return Err(ImagingError::Size(a.size(), b.size()));
    }
    let pairs = a.data().iter().zip(b.data());
    // A cast from float saturates, which is the clipping wanted outside 0..=1 and changes nothing inside.
    let data = pairs
        .map(|(a, b)| (f32::from(*a) + factor * (f32::from(*b) - f32::from(*a))) as u8)
        .collect();
    Ok(Picture::trusted(a.mode(), a.width(), a.height(), data))
}

/// A grey picture spread to `mode`, with `alpha` as its opacity where the mode has one.
pub(super) fn spread(grey: &Picture, mode: Mode, alpha: Option<&Picture>) -> Picture {
    let out = grey.convert(mode);
    match alpha {
        Some(alpha) => out.with_alpha(alpha).expect("opacity of a picture is of its size"),
        None => out,
    }
}
