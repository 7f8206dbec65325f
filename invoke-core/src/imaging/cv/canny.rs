//! Canny's edge detector with a 3x3 Sobel and the L1 norm, as `cv2.Canny` computes it.

use crate::imaging::{Mode, Picture};

/// Fixed-point shift of the tangent comparison.
const SHIFT: i32 = 15;
/// tan 22.5 degrees.
const TG22: i32 = 13573;

/// No edge.
const NO: u8 = 0;
/// An edge if it touches one.
const MAYBE: u8 = 1;
/// An edge.
const EDGE: u8 = 2;

/// Sobel gradients of one band with the edge pixels repeated outwards.
fn sobel(plane: &[u8], stride: usize, offset: usize, width: usize, height: usize) -> (Vec<i16>, Vec<i16>) {
    let mut dx = vec![0i16; width * height];
    let mut dy = vec![0i16; width * height];
    for y in 0..height {
        let rows = [y.saturating_sub(1), y, (y + 1).min(height - 1)];
        for x in 0..width {
            let columns = [x.saturating_sub(1), x, (x + 1).min(width - 1)];
            let at = |r: usize, c: usize| i16::from(plane[(rows[r] * width + columns[c]) * stride + offset]);
            dx[y * width + x] = (at(0, 2) + 2 * at(1, 2) + at(2, 2)) - (at(0, 0) + 2 * at(1, 0) + at(2, 0));
            dy[y * width + x] = (at(2, 0) + 2 * at(2, 1) + at(2, 2)) - (at(0, 0) + 2 * at(0, 1) + at(0, 2));
        }
    }
    (dx, dy)
}

/// Edges of a grey or RGB picture as a grey picture of 0 and 255. Of a pixel's bands the one with the largest gradient counts. Gradients
/// above `high` start an edge, those above `low` continue one; the thresholds are swapped if they stand the wrong way round.
pub fn canny(picture: &Picture, low: i32, high: i32) -> Picture {
    let (low, high) = (low.min(high), low.max(high));
    let (width, height) = picture.size();
    let mut out = Picture::new(Mode::L, width, height);
    if width == 0 || height == 0 {
        return out;
    }
    let n = picture.bands();
    // OpenCV sees blue first, and ties go to the first band.
    let (mut dx, mut dy) = sobel(picture.data(), n, n - 1, width, height);
    for band in (0..n - 1).rev() {
        let (bx, by) = sobel(picture.data(), n, band, width, height);
        for i in 0..dx.len() {
            if bx[i].abs() + by[i].abs() > dx[i].abs() + dy[i].abs() {
                (dx[i], dy[i]) = (bx[i], by[i]);
            }
        }
    }
    // Magnitudes with a rim of zeros.
    let stride = width + 2;
    let mut magnitude = vec![0i32; stride * (height + 2)];
    for y in 0..height {
        for x in 0..width {
            let i = y * width + x;
            magnitude[(y + 1) * stride + x + 1] = i32::from(dx[i].abs()) + i32::from(dy[i].abs());
        }
    }
    let mut map = vec![NO; magnitude.len()];
    let mut stack = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let at = (y + 1) * stride + x + 1;
            let m = magnitude[at];
            if m <= low {
                continue;
            }
            let (xs, ys) = (i32::from(dx[y * width + x]), i32::from(dy[y * width + x]));
            let flat = xs.abs() * TG22;
            let steep = flat + (xs.abs() << (SHIFT + 1));
            let rise = ys.abs() << SHIFT;
            let peak = if rise < flat {
                m > magnitude[at - 1] && m >= magnitude[at + 1]
            } else if rise > steep {
                m > magnitude[at - stride] && m >= magnitude[at + stride]
            } else if (xs ^ ys) < 0 {
                m > magnitude[at - stride + 1] && m > magnitude[at + stride - 1]
            } else {
                m > magnitude[at - stride - 1] && m > magnitude[at + stride + 1]
            };
            if peak {
                map[at] = if m > high { EDGE } else { MAYBE };
                if m > high {
                    stack.push(at);
                }
            }
        }
    }
    while let Some(at) = stack.pop() {
        for row in [at - stride, at, at + stride] {
            for (next, state) in map[row - 1..=row + 1].iter_mut().enumerate() {
                if *state == MAYBE {
                    *state = EDGE;
                    stack.push(row - 1 + next);
                }
            }
        }
    }
    for y in 0..height {
        for x in 0..width {
            if map[(y + 1) * stride + x + 1] == EDGE {
                out.data_mut()[y * width + x] = 255;
            }
        }
    }
    out
}
