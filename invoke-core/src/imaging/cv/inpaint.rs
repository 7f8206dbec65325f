//! Telea's inpainting by fast marching (2004), in the order and arithmetic of `cv2.inpaint`.

use std::{cmp::Ordering, collections::BinaryHeap};

use crate::imaging::{ImagingError, Mode, Picture};

/// A pixel on the front. Earlier distances first, and among equal ones the one pushed first.
struct Front {
    distance: f32,
    order: u64,
    at: usize,
}

impl PartialEq for Front {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Front {}

impl PartialOrd for Front {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Front {
    fn cmp(&self, other: &Self) -> Ordering {
        other.distance.total_cmp(&self.distance).then(other.order.cmp(&self.order))
    }
}

#[derive(Default)]
struct Queue {
    heap: BinaryHeap<Front>,
    pushed: u64,
}

impl Queue {
    fn push(&mut self, at: usize, distance: f32) {
        self.heap.push(Front {
            distance,
            order: self.pushed,
            at,
        });
        self.pushed += 1;
    }

    fn pop(&mut self) -> Option<usize> {
        self.heap.pop().map(|front| front.at)
    }
}

/// The fields of the march, each with a rim of one pixel around the picture.
struct March {
    stride: usize,
    rows: usize,
    /// Pixels whose value is not known yet.
    inside: Vec<bool>,
    distance: Vec<f32>,
}

impl March {
    /// Distance at a pixel from one vertical and one horizontal neighbour.
    fn solve(&self, unknown: &[bool], a: usize, b: usize) -> f32 {
        let (ta, tb) = (f64::from(self.distance[a]), f64::from(self.distance[b]));
        let value = match (unknown[a], unknown[b]) {
            (false, false) if (ta - tb).abs() >= 1.0 => 1.0 + ta.min(tb),
            (false, false) => (ta + tb + (2.0 - (ta - tb) * (ta - tb)).sqrt()) * 0.5,
            (false, true) => 1.0 + ta,
            (true, false) => 1.0 + tb,
            (true, true) => 1.0 + ta.min(tb),
        };
        value as f32
    }

    fn distance_at(&self, unknown: &[bool], at: usize) -> f32 {
        let (up, down, left, right) = (at - self.stride, at + self.stride, at - 1, at + 1);
        let corners = [(up, left), (down, left), (up, right), (down, right)];
        corners
            .into_iter()
            .map(|(a, b)| self.solve(unknown, a, b))
            .fold(f32::INFINITY, f32::min)
    }

    fn neighbours(&self, at: usize) -> [usize; 4] {
        [at - self.stride, at - 1, at + self.stride, at + 1]
    }

    /// Whether a pixel lies in the picture rather than on the rim.
    fn in_picture(&self, at: usize) -> bool {
        let (y, x) = (at / self.stride, at % self.stride);
        y > 0 && x > 0 && y < self.rows - 1 && x < self.stride - 1
    }

    /// Negative distances in the ring of known pixels around the hole.
    fn march_outwards(&mut self, mut ring: Vec<bool>, band: &[usize]) {
        let mut queue = Queue::default();
        let mut changed = Vec::new();
        for at in band {
            queue.push(*at, 0.0);
        }
        while let Some(at) = queue.pop() {
            changed.push(at);
            for next in self.neighbours(at) {
                if self.in_picture(next) && ring[next] {
                    let distance = self.distance_at(&ring, next);
                    self.distance[next] = distance;
                    ring[next] = false;
                    queue.push(next, distance);
                }
            }
        }
        for at in changed {
            self.distance[at] = -self.distance[at];
        }
    }

    /// The slope of a field of distances or samples along one axis, from the sides that are known.
    fn distance_slope(&self, at: usize, step: usize) -> f32 {
        let (before, after) = (at - step, at + step);
        match (self.inside[after], self.inside[before]) {
            (false, false) => (self.distance[after] - self.distance[before]) * 0.5,
            (false, true) => self.distance[after] - self.distance[at],
            (true, false) => self.distance[at] - self.distance[before],
            (true, true) => 0.0,
        }
    }
}

/// The RGB picture with the pixels where `mask` (grey, of the same size) is not zero filled from `radius` pixels around.
pub fn inpaint_telea(picture: &Picture, mask: &Picture, radius: usize) -> Result<Picture, ImagingError> {
    if mask.size() != picture.size() {
        return Err(ImagingError::Size(picture.size(), mask.size()));
    }
    if picture.mode() != Mode::Rgb {
        return Err(ImagingError::Mode(Mode::Rgb, picture.mode()));
    }
    let (width, height) = picture.size();
    let (stride, rows) = (width + 2, height + 2);
    let mut inside = vec![false; stride * rows];
    for y in 0..height {
        for x in 0..width {
            inside[(y + 1) * stride + x + 1] = mask.data()[y * width + x] != 0;
        }
    }
    let mut march = March {
        stride,
        rows,
        inside,
        distance: vec![1.0e6; stride * rows],
    };
    // The narrow band: known pixels next to the hole.
    let band: Vec<usize> = (0..stride * rows)
        .filter(|at| march.in_picture(*at) && !march.inside[*at] && march.neighbours(*at).iter().any(|n| march.inside[*n]))
        .collect();
    for at in &band {
        march.distance[*at] = 0.0;
    }
    let reach = radius as i64;
    let mut ring = vec![false; stride * rows];
    for (at, hole) in march.inside.iter().enumerate() {
        if *hole {
            let (y, x) = ((at / stride) as i64, (at % stride) as i64);
            for ny in (y - reach).max(1)..=(y + reach).min(rows as i64 - 2) {
                for nx in (x - reach).max(1)..=(x + reach).min(stride as i64 - 2) {
                    ring[ny as usize * stride + nx as usize] = true;
                }
            }
        }
    }
    for (ring, hole) in ring.iter_mut().zip(&march.inside) {
        *ring &= !hole;
    }
    for at in &band {
        ring[*at] = false;
    }
    march.march_outwards(ring, &band);

    let mut out = picture.clone();
    let mut queue = Queue::default();
    for at in &band {
        queue.push(*at, 0.0);
    }
    while let Some(at) = queue.pop() {
        for next in march.neighbours(at) {
            if march.in_picture(next) && march.inside[next] {
                let distance = march.distance_at(&march.inside, next);
                march.distance[next] = distance;
                fill(&march, &mut out, next, reach);
                march.inside[next] = false;
                queue.push(next, distance);
            }
        }
    }
    Ok(out)
}

/// Computes one pixel's samples from the known pixels around it.
fn fill(march: &March, out: &mut Picture, at: usize, reach: i64) {
    let stride = march.stride;
    let (width, height) = out.size();
    let (i, j) = ((at / stride) as i64, (at % stride) as i64);
    let slope = [march.distance_slope(at, 1), march.distance_slope(at, stride)];
    let mut sums = [[0.0f32; 3]; 3];
    let mut total = [1.0e-20f32; 3];
    for k in (i - reach).max(1)..=(i + reach).min(height as i64) {
        // Rows and columns of the samples that stand for a pixel and its neighbours; at the picture's edge they move inwards.
        let km = k - 1 + i64::from(k == 1);
        let kp = k - 1 - i64::from(k == height as i64);
        for l in (j - reach).max(1)..=(j + reach).min(width as i64) {
            let lm = l - 1 + i64::from(l == 1);
            let lp = l - 1 - i64::from(l == width as i64);
            let there = k as usize * stride + l as usize;
            if march.inside[there] || (l - j) * (l - j) + (k - i) * (k - i) > reach * reach {
                continue;
            }
            let (ry, rx) = ((i - k) as f32, (j - l) as f32);
            let square = rx * rx + ry * ry;
            let near = (1.0 / (f64::from(square) * f64::from(square).sqrt())) as f32;
            let level = (1.0 / (1.0 + f64::from((march.distance[there] - march.distance[at]).abs()))) as f32;
            let mut direction = rx * slope[0] + ry * slope[1];
            if direction.abs() <= 0.01 {
                direction = 0.000_001;
            }
            let weight = (near * level * direction).abs();
            let (right, left) = (!march.inside[there + 1], !march.inside[there - 1]);
            let (below, above) = (!march.inside[there + stride], !march.inside[there - stride]);
            for band in 0..3 {
                let sample = |y: i64, x: i64| {
                    let y = y.clamp(0, height as i64 - 1) as usize;
                    let x = x.clamp(0, width as i64 - 1) as usize;
                    f32::from(out.data()[(y * width + x) * 3 + band])
                };
                let gx = match (right, left) {
                    (true, true) => (sample(km, lp + 1) - sample(km, lm - 1)) * 2.0,
                    (true, false) => sample(km, lp + 1) - sample(km, lm),
                    (false, true) => sample(km, lp) - sample(km, lm - 1),
                    (false, false) => 0.0,
                };
                let gy = match (below, above) {
                    (true, true) => (sample(kp + 1, lm) - sample(km - 1, lm)) * 2.0,
                    (true, false) => sample(kp + 1, lm) - sample(km, lm),
                    (false, true) => sample(kp, lm) - sample(km - 1, lm),
                    (false, false) => 0.0,
                };
                sums[band][0] += weight * sample(k - 1, l - 1);
                sums[band][1] -= weight * (gx * rx);
                sums[band][2] -= weight * (gy * ry);
                total[band] += weight;
            }
        }
    }
    for band in 0..3 {
        let [value, x, y] = sums[band];
        let result = value / total[band] + (x + y) / ((x * x + y * y).sqrt() + 1.0e-20) + 0.5;
        let at = (((i - 1) as usize) * width + (j - 1) as usize) * 3 + band;
        out.data_mut()[at] = f64::from(result).round_ties_even().clamp(0.0, 255.0) as u8;
    }
}
