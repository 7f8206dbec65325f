//! Resizing, to the bit as Pillow's `Image.resize`.
//!
//! A separable filter, widened by the scale when shrinking, with weights in 22-bit fixed point; first across, then down, rounded to bytes
//! between; or first down and then across where the height loses more. Pictures with opacity are premultiplied for the filter and divided again after it.

use rayon::prelude::*;

use super::{Mode, PARALLEL_FROM, Picture, convert::mul_div_255};

/// The filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resample {
    /// The source pixel under the centre of the target pixel.
    Nearest,
    /// Mean of the source pixels covered.
    Box,
    /// Triangle.
    Bilinear,
    /// Sinc in a Hamming window, one pixel wide.
    Hamming,
    /// Cubic with a = -0.5.
    Bicubic,
    /// Sinc in a Lanczos window, three pixels wide.
    Lanczos,
}

impl Resample {
    /// Half the filter's width in source pixels at scale 1.
    fn support(self) -> f64 {
        match self {
            Self::Nearest | Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let sinc = |x: f64| {
            if x == 0.0 {
                1.0
            } else {
                let x = x * std::f64::consts::PI;
                x.sin() / x
            }
        };
        match self {
            Self::Nearest | Self::Box => {
                if x > -0.5 && x <= 0.5 {
                    1.0
                } else {
                    0.0
                }
            }
            Self::Bilinear => (1.0 - x.abs()).max(0.0),
            Self::Hamming => {
                let x = x.abs();
                if x == 0.0 {
                    1.0
                } else if x >= 1.0 {
                    0.0
                } else {
                    let x = x * std::f64::consts::PI;
                    x.sin() / x * (0.54 + 0.46 * x.cos())
                }
            }
            Self::Bicubic => {
                const A: f64 = -0.5;
                let x = x.abs();
                if x < 1.0 {
                    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
                } else if x < 2.0 {
                    (((x - 5.0) * x + 8.0) * x - 4.0) * A
                } else {
                    0.0
                }
            }
            Self::Lanczos => {
                if (-3.0..3.0).contains(&x) {
                    sinc(x) * sinc(x / 3.0)
                } else {
                    0.0
                }
            }
        }
    }
}

const PRECISION: u32 = 32 - 8 - 2;

/// For each target position, the first source position and the weights from there on.
struct Weights {
    starts: Vec<usize>,
    lengths: Vec<usize>,
    fixed: Vec<i32>,
    stride: usize,
}

impl Weights {
    /// Weights that map the stretch from `start` to `end` of `from` samples onto `to` samples.
    fn new(filter: Resample, from: usize, (start, end): (f32, f32), to: usize) -> Self {
        let scale = f64::from(end - start) / to as f64;
        let widen = scale.max(1.0);
        let support = filter.support() * widen;
        let stride = support.ceil() as usize * 2 + 1;
        let mut out = Self {
            starts: Vec::with_capacity(to),
            lengths: Vec::with_capacity(to),
            fixed: vec![0; stride * to],
            stride,
        };
        let mut exact = vec![0.0; stride];
        for i in 0..to {
            let centre = f64::from(start) + (i as f64 + 0.5) * scale;
            let first = ((centre - support + 0.5) as i64).max(0) as usize;
            let last = ((centre + support + 0.5) as usize).min(from);
            let len = last - first;
            let mut sum = 0.0;
            for (k, w) in exact[..len].iter_mut().enumerate() {
                *w = filter.weight(((k + first) as f64 - centre + 0.5) * (1.0 / widen));
                sum += *w;
            }
            for (w, fixed) in exact[..len].iter().zip(&mut out.fixed[i * stride..]) {
                let w = if sum == 0.0 { *w } else { w / sum } * f64::from(1 << PRECISION);
                *fixed = if w < 0.0 { (w - 0.5) as i32 } else { (w + 0.5) as i32 };
            }
            out.starts.push(first);
            out.lengths.push(len);
        }
        out
    }

    fn at(&self, i: usize) -> (usize, &[i32]) {
        (self.starts[i], &self.fixed[i * self.stride..i * self.stride + self.lengths[i]])
    }
}

fn finish(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

fn across<const N: usize>(source: &[u8], from: usize, span: (f32, f32), to: usize, height: usize, filter: Resample) -> Vec<u8> {
    let weights = Weights::new(filter, from, span, to);
    let mut out = vec![0u8; to * height * N];
    let row = |(target, source): (&mut [u8], &[u8])| {
        for (i, pixel) in target.chunks_exact_mut(N).enumerate() {
            let (start, w) = weights.at(i);
            let mut sums = [1i32 << (PRECISION - 1); N];
            for (sample, w) in source[start * N..].chunks_exact(N).zip(w) {
                for (sum, v) in sums.iter_mut().zip(sample) {
                    *sum += i32::from(*v) * w;
                }
            }
            for (v, sum) in pixel.iter_mut().zip(sums) {
                *v = finish(sum);
            }
        }
    };
    if out.len().max(source.len()) < PARALLEL_FROM {
        out.chunks_exact_mut(to * N).zip(source.chunks_exact(from * N)).for_each(row);
    } else {
        out.par_chunks_exact_mut(to * N)
            .zip(source.par_chunks_exact(from * N))
            .for_each(row);
    }
    out
}

fn down(source: &[u8], stride: usize, from: usize, span: (f32, f32), to: usize, filter: Resample) -> Vec<u8> {
    let weights = Weights::new(filter, from, span, to);
    let mut out = vec![0u8; stride * to];
    let row = |(i, target): (usize, &mut [u8])| {
        let (start, w) = weights.at(i);
        let mut sums = vec![1i32 << (PRECISION - 1); stride];
        for (source, w) in source[start * stride..].chunks_exact(stride).zip(w) {
            for (sum, v) in sums.iter_mut().zip(source) {
                *sum += i32::from(*v) * w;
            }
        }
        for (v, sum) in target.iter_mut().zip(sums) {
            *v = finish(sum);
        }
    };
    if out.len().max(source.len()) < PARALLEL_FROM {
        out.chunks_exact_mut(stride).enumerate().for_each(row);
    } else {
        out.par_chunks_exact_mut(stride).enumerate().for_each(row);
    }
    out
}

fn nearest(picture: &Picture, width: usize, height: usize) -> Picture {
    let positions = |from: usize, to: usize| {
        let scale = from as f64 / to as f64;
        // Summed step by step, as the original does, so that ties fall the same way.
        let mut at = scale * 0.5;
        (0..to)
            .map(|_| {
                let here = (at as usize).min(from - 1);
                at += scale;
                here
            })
            .collect::<Vec<_>>()
    };
    let columns = positions(picture.width(), width);
    let n = picture.bands();
    let mut data = Vec::with_capacity(width * height * n);
    for y in positions(picture.height(), height) {
        let row = picture.row(y);
        for x in &columns {
            data.extend_from_slice(&row[x * n..(x + 1) * n]);
        }
    }
    Picture::trusted(picture.mode(), width, height, data)
}

fn premultiply(data: &mut [u8], n: usize) {
    for pixel in data.chunks_exact_mut(n) {
        let a = pixel[n - 1];
        for v in &mut pixel[..n - 1] {
            *v = mul_div_255(*v, a);
        }
    }
}

fn unpremultiply(data: &mut [u8], n: usize) {
    for pixel in data.chunks_exact_mut(n) {
        let a = u32::from(pixel[n - 1]);
        if a != 0 && a != 255 {
            for v in &mut pixel[..n - 1] {
                *v = (255 * u32::from(*v) / a).min(255) as u8;
            }
        }
    }
}

/// The picture at another size; neither side may be zero.
pub fn resize(picture: &Picture, width: usize, height: usize, filter: Resample) -> Picture {
    assert!(width > 0 && height > 0, "a size of at least one pixel");
    if (width, height) == picture.size() || picture.width() == 0 || picture.height() == 0 {
        return picture.clone();
    }
    if filter == Resample::Nearest {
        return nearest(picture, width, height);
    }
    resize_part(
        picture,
        [0.0, 0.0, picture.width() as f32, picture.height() as f32],
        width,
        height,
        filter,
    )
}

/// The part of the picture from (`left`, `top`) to (`right`, `bottom`), which may lie between pixels, at another size; by a filter other
/// than `Nearest`.
#[expect(clippy::float_cmp, reason = "a pass is left out only where the part is exactly the whole")]
pub fn resize_part(picture: &Picture, [left, top, right, bottom]: [f32; 4], width: usize, height: usize, filter: Resample) -> Picture {
    let n = picture.bands();
    let alpha = picture.mode().has_alpha();
    let mut data = picture.data().to_vec();
    if alpha {
        premultiply(&mut data, n);
    }
    let (from_width, from_height) = picture.size();
    let mut rows = from_height;
    let mut columns = from_width;
    let squeeze = |data: &mut Vec<u8>, columns: &mut usize, rows: usize| {
        if width != from_width || left != 0.0 || right != width as f32 {
            let span = (left, right);
            *data = match n {
                1 => across::<1>(data, from_width, span, width, rows, filter),
                2 => across::<2>(data, from_width, span, width, rows, filter),
                3 => across::<3>(data, from_width, span, width, rows, filter),
                _ => across::<4>(data, from_width, span, width, rows, filter),
            };
            *columns = width;
        }
    };
    // Where the height loses more than twice what the width loses, Pillow goes down before it goes across.
    let down_first = from_height > height && from_height - height > 2 * from_width.saturating_sub(width);
    if !down_first {
        squeeze(&mut data, &mut columns, rows);
    }
    if height != from_height || top != 0.0 || bottom != height as f32 {
        data = down(&data, columns * n, from_height, (top, bottom), height, filter);
        rows = height;
    }
    if down_first {
        squeeze(&mut data, &mut columns, rows);
    }
    if alpha {
        unpremultiply(&mut data, n);
    }
    Picture::trusted(picture.mode(), width, height, data)
}

impl Picture {
    /// [`resize`] as a method.
    #[must_use]
    pub fn resize(&self, width: usize, height: usize, filter: Resample) -> Self {
        resize(self, width, height, filter)
    }

    /// The picture with each side lowered to a multiple of `multiple` by Lanczos resizing, as encoders want it.
    #[must_use]
    pub fn resize_to_grid(&self, multiple: usize) -> Self {
        let round = |v: usize| (v / multiple * multiple).max(multiple.min(v.max(1)));
        self.resize(round(self.width()), round(self.height()), Resample::Lanczos)
    }

    /// A copy in RGB, for encoders.
    #[must_use]
    pub fn to_rgb(&self) -> Self {
        self.convert(Mode::Rgb)
    }
}
