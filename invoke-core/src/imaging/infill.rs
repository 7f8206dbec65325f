//! Filling transparent parts of RGBA pictures.

use super::{ImagingError, Mode, Picture, alpha_composite, cv, fill_with_patches, paste};
use crate::numeric_rng::DefaultRng;

/// Transparent parts become `color`. The result is RGBA.
pub fn with_color(picture: &Picture, color: [u8; 4]) -> Result<Picture, ImagingError> {
    let ground = Picture::filled(Mode::Rgba, picture.width(), picture.height(), &color);
    let mut out = alpha_composite(&ground, picture)?;
    paste(&mut out, picture, 0, 0, Some(picture))?;
    Ok(out)
}

/// Transparent parts become opaque squares of the picture, chosen by `seed`. The result is RGB; none where the picture has no opaque square
/// of `side` pixels on its grid.
pub fn with_tiles(picture: &Picture, side: usize, seed: u64) -> Option<Picture> {
    let (width, height) = picture.size();
    let opaque = |x: usize, y: usize| (y..y + side).all(|y| (x..x + side).all(|x| picture.pixel(x, y)[3] == 255));
    let mut pool = Vec::new();
    for y in (0..(height + 1).saturating_sub(side)).step_by(side) {
        for x in (0..(width + 1).saturating_sub(side)).step_by(side) {
            if opaque(x, y) {
                pool.push((x, y));
            }
        }
    }
    if pool.is_empty() {
        return None;
    }
    let mut rng = DefaultRng::new(seed);
    let colours = picture.convert(Mode::Rgb);
    let mut out = Picture::new(Mode::Rgb, width, height);
    for y in (0..height).step_by(side) {
        for x in (0..width).step_by(side) {
            let (left, top) = pool[rng.integer(0, pool.len() as i64).expect("the pool is not empty") as usize];
            let tile = colours.crop(left as i64, top as i64, (left + side) as i64, (top + side) as i64);
            out.copy_from(&tile, x as i64, y as i64);
        }
    }
    paste(&mut out, &colours, 0, 0, picture.alpha().as_ref()).ok()?;
    Some(out)
}

/// Pixels that are not fully opaque, as a grey picture without zeros there.
fn hole(picture: &Picture) -> Picture {
    picture
        .alpha()
        .map_or_else(|| Picture::new(Mode::L, picture.width(), picture.height()), |a| a.map(|v| 255 - v))
}

/// What is not fully opaque is filled with patches of the picture, the picture laid over it by its opacity. The result is RGB.
pub fn with_patches(picture: &Picture) -> Result<Picture, ImagingError> {
    let colours = picture.convert(Mode::Rgb);
    let mut out = fill_with_patches(&colours, &hole(picture));
    paste(&mut out, &colours, 0, 0, picture.alpha().as_ref())?;
    Ok(out)
}

/// What is not fully opaque is inpainted from three pixels around. The result is RGB.
pub fn by_inpainting(picture: &Picture) -> Result<Picture, ImagingError> {
    cv::inpaint_telea(&picture.convert(Mode::Rgb), &hole(picture), 3)
}
