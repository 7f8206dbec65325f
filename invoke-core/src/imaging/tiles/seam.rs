//! Joining two pictures of one place along the line where they differ least.

use super::TileError;
use crate::imaging::Picture;

/// A plane of numbers.
struct Plane {
    width: usize,
    height: usize,
    data: Vec<f64>,
}

impl Plane {
    fn at(&self, x: usize, y: usize) -> f64 {
        self.data[y * self.width + x]
    }

    /// A quarter turn, against the clock if `left`.
    fn turn(&self, left: bool) -> Self {
        let (width, height) = (self.height, self.width);
        let mut data = Vec::with_capacity(self.data.len());
        for y in 0..height {
            for x in 0..width {
                data.push(if left {
                    self.at(self.width - 1 - y, x)
                } else {
                    self.at(y, self.height - 1 - x)
                });
            }
        }
        Self { width, height, data }
    }

    /// Absolute slopes down and across, added; one-sided at the edges.
    fn energy(&self) -> Self {
        let slope = |get: &dyn Fn(usize) -> f64, i: usize, length: usize| {
            if i == 0 {
                get(1) - get(0)
            } else if i + 1 == length {
                get(i) - get(i - 1)
            } else {
                (get(i + 1) - get(i - 1)) / 2.0
            }
        };
        let mut data = Vec::with_capacity(self.data.len());
        for y in 0..self.height {
            for x in 0..self.width {
                let down = slope(&|i| self.at(x, i), y, self.height);
                let across = slope(&|i| self.at(i, y), x, self.width);
                data.push(down.abs() + across.abs());
            }
        }
        Self {
            width: self.width,
            height: self.height,
            data,
        }
    }

    /// The mean over a square of `side`, the picture mirrored at its edges without repeating them.
    fn mean(&self, side: usize) -> Self {
        let mirror = |i: i64, length: usize| {
            let length = length as i64;
            let mut i = i;
            if length == 1 {
                return 0;
            }
            while i < 0 || i >= length {
                i = if i < 0 { -i } else { 2 * length - 2 - i };
            }
            i as usize
        };
        let window = |i: usize| (0..side as i64).map(move |k| i as i64 - (side / 2) as i64 + k);
        let mut rows = vec![0.0; self.data.len()];
        for y in 0..self.height {
            for x in 0..self.width {
                rows[y * self.width + x] = window(x).map(|k| self.at(mirror(k, self.width), y)).sum();
            }
        }
        let mut data = vec![0.0; self.data.len()];
        let scale = 1.0 / (side * side) as f64;
        for y in 0..self.height {
            for x in 0..self.width {
                data[y * self.width + x] = window(y).map(|k| rows[mirror(k, self.height) * self.width + x]).sum::<f64>() * scale;
            }
        }
        Self {
            width: self.width,
            height: self.height,
            data,
        }
    }
}

/// The first of the smallest.
fn smallest(values: &[f64]) -> usize {
    let mut best = 0;
    for (i, v) in values.iter().enumerate() {
        if *v < values[best] {
            best = i;
        }
    }
    best
}

/// `first` before the seam and `second` behind it, blended over about `amount` pixels. The seam runs down, or across if `across`. Both are
/// RGB and of one size.
pub(super) fn blend(first: &Picture, second: &Picture, amount: usize, across: bool) -> Result<Picture, TileError> {
    let grey = |p: &[u8]| f64::from(p[0]) * 0.2989 + f64::from(p[1]) * 0.5870 + f64::from(p[2]) * 0.1140;
    let pairs = first.data().chunks_exact(3).zip(second.data().chunks_exact(3));
    let difference = Plane {
        width: first.width(),
        height: first.height(),
        data: pairs.map(|(a, b)| grey(b) - grey(a)).collect(),
    };
    let difference = if across { difference.turn(true) } else { difference };
    let (width, height) = (difference.width, difference.height);
    let min = amount.div_ceil(2);
    let max = width.saturating_sub(min);
    // The search leaves out the gutters and, in its first step, one more.
    if width < 2 || height < 2 || max < min + 2 {
        return Err(TileError::Blend {
            overlap: width,
            blend: amount,
        });
    }
    let energy = difference.energy();
    let row = |y: usize| &energy.data[y * width..(y + 1) * width];
    let mut total = row(0).to_vec();
    for y in 1..height {
        let here = row(y);
        for (x, sum) in total.iter_mut().enumerate() {
            let left = if x > 0 { here[x - 1] } else { 255.0 };
            let right = if x + 1 < width { here[x + 1] } else { 255.0 };
            *sum += here[x].min(left).min(right);
        }
    }
    let mut line = vec![0usize; height];
    // Counted from the gutter, as the original counts it.
    line[height - 1] = smallest(&total[min..max - 1]);
    for y in (0..height - 1).rev() {
        let below = line[y + 1];
        let from = below.saturating_sub(1).clamp(min, max - 1);
        let to = (below + 1).clamp(min, max - 1);
        line[y] = from + smallest(&row(y)[from..=to]);
    }
    let mut mask = Plane {
        width,
        height,
        data: vec![0.0; width * height],
    };
    for (y, end) in line.iter().enumerate() {
        mask.data[y * width..y * width + end].fill(1.0);
    }
    let mask = if across { mask.turn(false) } else { mask };
    let mask = if amount > 0 { mask.mean(amount) } else { mask };
    let mut out = first.clone();
    for ((to, from), w) in out
        .data_mut()
        .chunks_exact_mut(3)
        .zip(second.data().chunks_exact(3))
        .zip(&mask.data)
    {
        for (to, from) in to.iter_mut().zip(from) {
            *to = (f64::from(*to) * w + f64::from(*from) * (1.0 - w)) as u8;
        }
    }
    Ok(out)
}
