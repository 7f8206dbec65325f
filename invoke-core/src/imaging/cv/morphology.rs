//! Dilation and erosion. What lies outside the picture takes no part.

use crate::imaging::Picture;

/// Which value of a neighbourhood is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extreme {
    /// The largest: dilation.
    Max,
    /// The smallest: erosion.
    Min,
}

impl Extreme {
    fn of(self, a: u8, b: u8) -> u8 {
        match self {
            Self::Max => a.max(b),
            Self::Min => a.min(b),
        }
    }
}

/// The extreme over `before` samples before to `after` samples after each, along a line of samples `stride` apart, by van Herk's method:
/// its cost does not depend on the window.
fn line(data: &mut [u8], start: usize, stride: usize, length: usize, before: usize, after: usize, which: Extreme) {
    let window = before + after + 1;
    if window == 1 || length == 0 {
        return;
    }
    let source: Vec<u8> = (0..length).map(|i| data[start + i * stride]).collect();
    // Running extremes from the start and from the end of blocks as long as the window.
    let mut forward = source.clone();
    let mut backward = source.clone();
    for i in 1..length {
        if i % window != 0 {
            forward[i] = which.of(forward[i], forward[i - 1]);
        }
    }
    for i in (0..length - 1).rev() {
        if (i + 1) % window != 0 {
            backward[i] = which.of(backward[i], backward[i + 1]);
        }
    }
    for i in 0..length {
        let first = i.saturating_sub(before);
        let last = (i + after).min(length - 1);
        data[start + i * stride] = if first / window == last / window {
            // Inside one block only at the ends of the line, where one of the running extremes starts at the line's end.
            if first == 0 {
                forward[last]
            } else if last == length - 1 {
                backward[first]
            } else {
                which.of(backward[first], forward[last])
            }
        } else {
            which.of(backward[first], forward[last])
        };
    }
}

/// `iterations` passes of a square of `side` pixels, whose centre is at `side` / 2; a side of 0 counts as 3. All bands alike.
pub fn square(picture: &Picture, side: usize, iterations: usize, which: Extreme) -> Picture {
    let mut out = picture.clone();
    let side = if side == 0 { 3 } else { side };
    let before = side / 2 * iterations;
    let after = (side - 1 - side / 2) * iterations;
    let (width, height) = out.size();
    let n = out.bands();
    let data = out.data_mut();
    for band in 0..n {
        for y in 0..height {
            line(data, y * width * n + band, n, width, before, after, which);
        }
        for x in 0..width {
            line(data, x * n + band, width * n, height, before, after, which);
        }
    }
    out
}

/// One pass of an ellipse 2 x `radius_x` + 1 across and 2 x `radius_y` + 1 down. All bands alike.
pub fn ellipse(picture: &Picture, radius_x: usize, radius_y: usize, which: Extreme) -> Picture {
    let (width, height) = picture.size();
    let n = picture.bands();
    let stride = width * n;
    let mut out = picture.clone();
    let mut widened: Option<(usize, Picture)> = None;
    for dy in 0..=radius_y {
        let half = if radius_y == 0 {
            0
        } else {
            let (r, y) = (radius_y as f64, dy as f64);
            (radius_x as f64 * ((r * r - y * y) * (1.0 / (r * r))).sqrt()).round_ties_even() as usize
        };
        if widened.as_ref().is_none_or(|(w, _)| *w != half) {
            let mut rows = picture.clone();
            let data = rows.data_mut();
            for y in 0..height {
                for band in 0..n {
                    line(data, y * stride + band, n, width, half, half, which);
                }
            }
            widened = Some((half, rows));
        }
        let rows = &widened.as_ref().expect("set above").1;
        for y in 0..height {
            for from in [y.checked_sub(dy), Some(y + dy).filter(|v| *v < height)].into_iter().flatten() {
                let target = &mut out.data_mut()[y * stride..(y + 1) * stride];
                for (to, from) in target.iter_mut().zip(rows.row(from)) {
                    *to = which.of(*to, *from);
                }
            }
        }
    }
    out
}
