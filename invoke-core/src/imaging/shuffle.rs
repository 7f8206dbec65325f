//! Shuffling a picture's content about, like pushing wet paint.

use super::{Mode, Picture};

/// A smooth field of numbers from 0 to 1: uniform numbers `scale` pixels apart, cubically interpolated and stretched to the full range.
fn field(width: usize, height: usize, scale: usize, random: &mut dyn FnMut() -> f64) -> Vec<f64> {
    let (columns, rows) = (width / scale + 2, height / scale + 2);
    let grid: Vec<f64> = (0..columns * rows).map(|_| random()).collect();
    let taps = |from: usize, to: usize, i: usize| {
        const A: f64 = -0.75;
        let at = (i as f64 + 0.5) * (from as f64 / to as f64) - 0.5;
        let base = at.floor();
        let x = at - base;
        let w0 = ((A * (x + 1.0) - 5.0 * A) * (x + 1.0) + 8.0 * A) * (x + 1.0) - 4.0 * A;
        let w1 = ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
        let w2 = ((A + 2.0) * (1.0 - x) - (A + 3.0)) * (1.0 - x) * (1.0 - x) + 1.0;
        let weights = [w0, w1, w2, 1.0 - w0 - w1 - w2];
        let place = |k: i64| (base as i64 + k - 1).clamp(0, from as i64 - 1) as usize;
        [0, 1, 2, 3].map(|k| (place(k), weights[k as usize]))
    };
    let mut across = vec![0.0; width * rows];
    for x in 0..width {
        let taps = taps(columns, width + 2 * scale, x + scale);
        for y in 0..rows {
            across[y * width + x] = taps.iter().map(|(i, w)| grid[y * columns + i] * w).sum();
        }
    }
    let mut out = vec![0.0; width * height];
    for y in 0..height {
        let taps = taps(rows, height + 2 * scale, y + scale);
        for x in 0..width {
            out[y * width + x] = taps.iter().map(|(i, w)| across[i * width + x] * w).sum();
        }
    }
    let min = out.iter().copied().fold(f64::INFINITY, f64::min);
    let max = out.iter().copied().fold(f64::NEG_INFINITY, f64::max) - min;
    for v in &mut out {
        *v = (*v - min) / max;
    }
    out
}

/// The RGB picture with every pixel taken from a place that a random field gives, interpolated between pixels. `scale`, at least 1, is about
/// how far apart the field's peaks lie; `random` gives numbers in 0..1.
pub fn shuffle_content(picture: &Picture, scale: usize, mut random: impl FnMut() -> f64) -> Picture {
    let rgb = picture.convert(Mode::Rgb);
    let (width, height) = rgb.size();
    let xs = field(width, height, scale, &mut random);
    let ys = field(width, height, scale, &mut random);
    let mut data = Vec::with_capacity(rgb.data().len());
    for (x, y) in xs.into_iter().zip(ys) {
        // A field without any range has no place to give.
        let (x, y) = if x.is_finite() && y.is_finite() {
            (x * (width - 1) as f64, y * (height - 1) as f64)
        } else {
            (0.0, 0.0)
        };
        let (left, top) = (x as usize, y as usize);
        let (fx, fy) = (x - left as f64, y - top as f64);
        let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
        for band in 0..3 {
            let at = |x: usize, y: usize| f64::from(rgb.pixel(x, y)[band]);
            let upper = at(left, top) * (1.0 - fx) + at(right, top) * fx;
            let lower = at(left, bottom) * (1.0 - fx) + at(right, bottom) * fx;
            data.push((upper * (1.0 - fy) + lower * fy).round() as u8);
        }
    }
    Picture::trusted(Mode::Rgb, width, height, data)
}
