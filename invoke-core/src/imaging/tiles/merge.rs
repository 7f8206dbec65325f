//! Putting tiles together.

use super::{Tile, TileError, seam};
use crate::imaging::{Mode, Picture};

/// How tiles meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TileBlend {
    /// A ramp in the middle of what overlaps.
    Linear,
    /// Along the line where both differ least, softened.
    Seam,
}

/// The weight of a tile at each of its pixels across an overlap of `overlap`: 0, a ramp of `blend` in the middle, then 1.
fn ramp(overlap: usize, blend: usize, length: usize) -> Vec<f64> {
    let mut weights = vec![1.0; length];
    if overlap > 0 {
        let start = overlap / 2 - blend / 2;
        weights[..start.min(length)].fill(0.0);
        for (i, w) in weights.iter_mut().skip(start).take(blend).enumerate() {
            *w = if blend == 1 || i == 0 {
                0.0
            } else if i + 1 == blend {
                1.0
            } else {
                i as f64 * (1.0 / (blend - 1) as f64)
            };
        }
    }
    weights
}

fn check(overlap: usize, blend: usize) -> Result<(), TileError> {
    if overlap > 0 && overlap < blend {
        Err(TileError::Blend { overlap, blend })
    } else {
        Ok(())
    }
}

/// Lays `image` on `base` at (`left`, `top`), weighted pixel by pixel, truncated to bytes.
fn lay(base: &mut Picture, image: &Picture, left: usize, top: usize, weight: impl Fn(usize, usize) -> f64) {
    let width = base.width();
    for y in 0..image.height() {
        for x in 0..image.width() {
            let w = weight(x, y);
            let at = ((top + y) * width + left + x) * 3;
            for (to, from) in base.data_mut()[at..at + 3].iter_mut().zip(image.pixel(x, y)) {
                *to = (f64::from(*from) * w + f64::from(*to) * (1.0 - w)) as u8;
            }
        }
    }
}

/// The RGB picture of all tiles, blended by `blend` pixels where they overlap; the picture ends with the tiles.
pub fn merge(mut tiles: Vec<(Tile, Picture)>, kind: TileBlend, blend: usize) -> Result<Picture, TileError> {
    if tiles.is_empty() {
        return Err(TileError::Empty);
    }
    for (tile, image) in &mut tiles {
        let size = (
            tile.coords.right.saturating_sub(tile.coords.left),
            tile.coords.bottom.saturating_sub(tile.coords.top),
        );
        if image.size() != size {
            return Err(TileError::Size(image.size(), size));
        }
        *image = image.convert(Mode::Rgb);
    }
    let width = tiles.iter().map(|(t, _)| t.coords.right).max().unwrap_or(0);
    let height = tiles.iter().map(|(t, _)| t.coords.bottom).max().unwrap_or(0);
    tiles.sort_by_key(|(t, _)| (t.coords.top, t.coords.left));
    let mut out = Picture::new(Mode::Rgb, width, height);
    for row in tiles.chunk_by(|(a, _), (b, _)| (a.coords.top, a.coords.bottom) == (b.coords.top, b.coords.bottom)) {
        let first = row[0].0;
        let row_height = first.coords.bottom - first.coords.top;
        let mut strip = Picture::new(Mode::Rgb, width, row_height);
        for (tile, image) in row {
            check(tile.overlap.left, blend)?;
            match kind {
                TileBlend::Linear => {
                    let weights = ramp(tile.overlap.left, blend, image.width());
                    lay(&mut strip, image, tile.coords.left, 0, |x, _| weights[x]);
                }
                TileBlend::Seam => {
                    let shared = tile.overlap.left.min(image.width());
                    let left = tile.coords.left as i64;
                    let mut image = image.clone();
                    if shared > 0 {
                        let before = strip.crop(left, 0, left + shared as i64, row_height as i64);
                        let after = image.crop(0, 0, shared as i64, row_height as i64);
                        image.copy_from(&seam::blend(&before, &after, blend, false)?, 0, 0);
                    }
                    strip.copy_from(&image, left, 0);
                }
            }
        }
        check(first.overlap.top, blend)?;
        match kind {
            TileBlend::Linear => {
                let weights = ramp(first.overlap.top, blend, row_height);
                lay(&mut out, &strip, 0, first.coords.top, |_, y| weights[y]);
            }
            TileBlend::Seam => {
                let shared = first.overlap.top.min(row_height) as i64;
                let top = first.coords.top as i64;
                if shared > 0 {
                    let before = out.crop(0, top, width as i64, top + shared);
                    let after = strip.crop(0, 0, width as i64, shared);
                    strip.copy_from(&seam::blend(&before, &after, blend, true)?, 0, 0);
                }
                out.copy_from(&strip, 0, top);
            }
        }
    }
    Ok(out)
}
