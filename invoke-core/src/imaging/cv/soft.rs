//! `cv2.GaussianBlur`, and the thinning of soft edges to strokes that edge detectors build on it.

use crate::imaging::{Mode, Picture};

/// The place in `0..n` of a place outside, mirrored at the edges without repeating them.
fn mirrored(at: isize, n: usize) -> usize {
    let n = n as isize;
    if n == 1 {
        return 0;
    }
    let period = 2 * (n - 1);
    let at = at.rem_euclid(period);
    (if at < n { at } else { period - at }) as usize
}

/// The normal distribution's values around its middle, which sum to 1.
fn bell(size: usize, sigma: f64) -> Vec<f64> {
    let middle = (size / 2) as f64;
    let values: Vec<f64> = (0..size)
        .map(|i| (-(i as f64 - middle).powi(2) / (2.0 * sigma * sigma)).exp())
        .collect();
    let sum: f64 = values.iter().sum();
    values.into_iter().map(|v| v / sum).collect()
}

/// The bell in 256ths, each rounded with what the rounding of those before left over, the middle making the sum whole.
fn bell_of_bytes(size: usize, sigma: f64) -> Vec<u32> {
    let values = bell(size, sigma);
    let mut whole = vec![0_u32; size];
    let (mut left, mut sum) = (0.0, 0);
    for i in 0..size / 2 {
        let exact = values[i] * 256.0 + left;
        let rounded = exact.round_ties_even();
        left = exact - rounded;
        (whole[i], whole[size - 1 - i]) = (rounded as u32, rounded as u32);
        sum += 2 * rounded as u32;
    }
    whole[size / 2] = 256 - sum.min(256);
    whole
}

/// Blurs every band of a picture; the size of the neighbourhood follows from `sigma`, as OpenCV takes it for bytes.
pub fn gaussian_blur(picture: &Picture, sigma: f64) -> Picture {
    let size = (sigma * 6.0 + 1.0).round_ties_even() as usize | 1;
    let (kernel, reach) = (bell_of_bytes(size, sigma), (size / 2) as isize);
    let ((width, height), n) = (picture.size(), picture.bands());
    let mut rows = vec![0_u32; picture.data().len()];
    for y in 0..height {
        let row = picture.row(y);
        for x in 0..width {
            for band in 0..n {
                let taps = kernel.iter().enumerate();
                let sum = taps.map(|(k, w)| w * u32::from(row[mirrored(x as isize + k as isize - reach, width) * n + band]));
                rows[(y * width + x) * n + band] = sum.sum();
            }
        }
    }
    let stride = width * n;
    let mut data = Vec::with_capacity(rows.len());
    for y in 0..height {
        let lines: Vec<usize> = (0..size).map(|k| mirrored(y as isize + k as isize - reach, height)).collect();
        for i in 0..stride {
            let sum: u32 = kernel.iter().zip(&lines).map(|(w, line)| w * rows[line * stride + i]).sum();
            data.push(((sum + (1 << 15)) >> 16).min(255) as u8);
        }
    }
    Picture::trusted(picture.mode(), width, height, data)
}

/// Blurs grey values in single floats, over the larger neighbourhood that OpenCV takes for them.
fn blur_floats(picture: &Picture, sigma: f64) -> Vec<f32> {
    let size = (sigma * 8.0 + 1.0).round_ties_even() as usize | 1;
    let kernel: Vec<f32> = bell(size, sigma).into_iter().map(|v| v as f32).collect();
    let reach = (size / 2) as isize;
    let (width, height) = picture.size();
    let mut rows = vec![0.0_f32; width * height];
    for y in 0..height {
        let row = picture.row(y);
        for x in 0..width {
            let taps = kernel.iter().enumerate();
            rows[y * width + x] = taps
                .map(|(k, w)| w * f32::from(row[mirrored(x as isize + k as isize - reach, width)]))
                .sum();
        }
    }
    let mut out = vec![0.0_f32; width * height];
    for y in 0..height {
        for (k, w) in kernel.iter().enumerate() {
            let line = mirrored(y as isize + k as isize - reach, height) * width;
            for x in 0..width {
                out[y * width + x] += w * rows[line + x];
            }
        }
    }
    out
}

/// Soft edges as strokes, white on black: blurred, kept where they are the crest along one of four directions, and drawn thick again.
pub fn scribble(edges: &Picture) -> Picture {
    const SIGMA: f64 = 3.0;
    const CREST: f32 = 127.0;
    const STROKE: u8 = 4;
    let edges = if edges.mode() == Mode::L {
        edges.clone()
    } else {
        edges.convert(Mode::L)
    };
    let (width, height) = edges.size();
    let soft = blur_floats(&edges, SIGMA);
    let at = |x: isize, y: isize| {
        let inside = x >= 0 && y >= 0 && x < width as isize && y < height as isize;
        inside.then(|| soft[y as usize * width + x as usize])
    };
    let mut crests = Vec::with_capacity(soft.len());
    for (i, value) in soft.iter().enumerate() {
        let (x, y) = ((i % width) as isize, (i / width) as isize);
        let is_crest = |(dx, dy): (isize, isize)| {
            let lower = |v: Option<f32>| v.is_none_or(|v| v <= *value);
            lower(at(x + dx, y + dy)) && lower(at(x - dx, y - dy))
        };
        let crest = *value > CREST && [(1, 0), (0, 1), (1, 1), (1, -1)].into_iter().any(is_crest);
        crests.push(if crest { 255 } else { 0 });
    }
    let strokes = gaussian_blur(&Picture::trusted(Mode::L, width, height, crests), SIGMA);
    strokes.map(|v| if v > STROKE { 255 } else { 0 })
}
