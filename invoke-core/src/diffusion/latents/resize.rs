//! torch's `interpolate` for `[b, c, h, w]` tensors.
//!
//! Every mode is separable: a pixel of the result is a weighted sum over a run of pixels along each axis. The weights are computed
//! in single precision where torch computes them so.

use std::str::FromStr;

use candle_core::{DType, Device, Result, Tensor};

/// How pixels between pixels are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// The pixel at the left or upper end of the place.
    Nearest,
    /// The pixel at the middle of the place.
    NearestExact,
    /// Between two neighbours.
    Bilinear,
    /// A cubic through four neighbours.
    Bicubic,
    /// The mean over the place.
    Area,
}

impl FromStr for Interpolation {
    type Err = String;

    /// By torch's name. `linear` and `trilinear` exist there for other numbers of axes and are refused here as torch refuses them.
    fn from_str(name: &str) -> std::result::Result<Self, String> {
        Ok(match name {
            "nearest" => Self::Nearest,
            "nearest-exact" => Self::NearestExact,
            "bilinear" => Self::Bilinear,
            "bicubic" => Self::Bicubic,
            "area" => Self::Area,
            other => {
                return Err(format!(
                    "mode: `{other}` cannot resize latents, expected nearest, nearest-exact, bilinear, bicubic or area"
                ));
            }
        })
    }
}

/// Resizes to `height` by `width` (in the tensor's own pixels, at least 1). `antialias` widens the filter when shrinking, for
/// bilinear and bicubic alone.
pub fn resize(x: &Tensor, height: usize, width: usize, mode: Interpolation, antialias: bool) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let vertical = taps(h, height, h as f32 / height as f32, mode, antialias)?;
    let horizontal = taps(w, width, w as f32 / width as f32, mode, antialias)?;
    apply(x, &vertical, &horizontal)
}

/// Resizes by a factor (above zero); the sizes are rounded down.
pub fn scale(x: &Tensor, factor: f64, mode: Interpolation, antialias: bool) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let size = |n: usize| (n as f64 * factor).floor() as usize;
    let step = (1.0 / factor) as f32;
    apply(
        x,
        &taps(h, size(h), step, mode, antialias)?,
        &taps(w, size(w), step, mode, antialias)?,
    )
}

/// For each pixel of the result along one axis: the first pixel it is made of, and the weights of that and those after it.
type Taps = Vec<(usize, Vec<f32>)>;

/// `step` is the distance between pixels of the result, measured in pixels of the input.
fn taps(input: usize, output: usize, step: f32, mode: Interpolation, antialias: bool) -> Result<Taps> {
    if input == 0 || output == 0 {
        candle_core::bail!("cannot resize {input} pixels to {output}");
    }
    let last = input - 1;
    let one = |at: usize| (at.min(last), vec![1.0]);
    Ok((0..output)
        .map(|i| match mode {
            Interpolation::Nearest => one((i as f32 * step).floor() as usize),
            Interpolation::NearestExact => one(((i as f32 + 0.5) * step).floor() as usize),
            Interpolation::Area => {
                let (start, end) = (i * input / output, ((i + 1) * input).div_ceil(output));
                (start, vec![1.0 / (end - start) as f32; end - start])
            }
            Interpolation::Bilinear if antialias => widened(i, input, step, 1.0, |x| (1.0 - x.abs()).max(0.0)),
            Interpolation::Bicubic if antialias => widened(i, input, step, 2.0, |x| cubic(x, -0.5)),
            Interpolation::Bilinear => {
                let at = (step * (i as f32 + 0.5) - 0.5).max(0.0);
                let start = (at as usize).min(last);
                if start == last {
                    one(last)
                } else {
                    (start, vec![1.0 - (at - start as f32), at - start as f32])
                }
            }
            Interpolation::Bicubic => {
                let at = step * (i as f32 + 0.5) - 0.5;
                let floor = at.floor();
                // Neighbours beyond an edge are the edge: their weights go to it.
                let places = (-1..3).map(|k| floor as isize + k);
                let clamped = |place: isize| place.clamp(0, last as isize) as usize;
                let start = clamped(floor as isize - 1);
                let mut weights = vec![0.0; clamped(floor as isize + 2) - start + 1];
                for place in places {
                    weights[clamped(place) - start] += cubic(at - place as f32, -0.75);
                }
                (start, weights)
            }
        })
        .collect())
}

/// The piecewise cubic convolution kernel with parameter `a`.
fn cubic(x: f32, a: f32) -> f32 {
    let x = x.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

/// A filter of the given radius, widened by the step when shrinking and normalised.
fn widened(i: usize, input: usize, step: f32, radius: f32, filter: impl Fn(f32) -> f32) -> (usize, Vec<f32>) {
    let stretch = step.max(1.0);
    let support = radius * stretch;
    let centre = step * (i as f32 + 0.5);
    let start = ((centre - support + 0.5) as isize).max(0) as usize;
    let end = ((centre + support + 0.5) as usize).min(input);
    let weights: Vec<f32> = (start..end).map(|j| filter((j as f32 - centre + 0.5) / stretch)).collect();
    let total: f32 = weights.iter().sum();
    (start, weights.into_iter().map(|w| w / total).collect())
}

fn apply(x: &Tensor, vertical: &Taps, horizontal: &Taps) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    let (height, width) = (vertical.len(), horizontal.len());
    let values: Vec<f32> = x.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    let mut out = Vec::with_capacity(b * c * height * width);
    let mut rows = vec![0f32; h * width];
    for plane in values.chunks_exact(h * w) {
        for (row, line) in rows.chunks_exact_mut(width).zip(plane.chunks_exact(w)) {
            for (value, (start, weights)) in row.iter_mut().zip(horizontal) {
                *value = weights.iter().zip(&line[*start..]).map(|(w, v)| w * v).sum();
            }
        }
        for (start, weights) in vertical {
            let first = out.len();
            out.resize(first + width, 0.0);
            for (weight, row) in weights.iter().zip(rows[start * width..].chunks_exact(width)) {
                for (sum, v) in out[first..].iter_mut().zip(row) {
                    *sum += weight * v;
                }
            }
        }
    }
    Tensor::from_vec(out, (b, c, height, width), &Device::Cpu)?
        .to_device(x.device())?
        .to_dtype(x.dtype())
}
