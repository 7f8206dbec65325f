//! Normalisation.

use super::{Isa, Kernel, Simd, math};
use crate::buffer::Shared;

struct Moments<'a> {
    x: &'a [f32],
    origin: &'a [f32],
    sums: &'a mut [f32],
    squares: &'a mut [f32],
}

/// For pixels `x` of `origin.len()` channels: the sums of `x - origin` and of its squares, by channel.
pub(crate) fn moments(isa: Isa, x: &[f32], origin: &[f32], sums: &mut [f32], squares: &mut [f32]) {
    assert!(
        sums.len() == origin.len() && squares.len() == origin.len() && x.len().is_multiple_of(origin.len()),
        "moments by channel"
    );
    sums.fill(0.0);
    squares.fill(0.0);
    isa.run(Moments { x, origin, sums, squares });
}

impl Kernel for Moments<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        const TOGETHER: usize = 8;
        let channels = self.origin.len();
        let pixels = self.x.len() / channels;
        for pixel in (0..pixels).step_by(TOGETHER) {
            let count = TOGETHER.min(pixels - pixel);
            for c in (0..channels).step_by(S::LANES) {
                let n = channels - c;
                // SAFETY: `moments` checked that all slices hold whole pixels or the channels of one.
                unsafe {
                    let origin = s.load_some(self.origin.as_ptr().add(c), n);
                    let mut sum = s.load_some(self.sums.as_ptr().add(c), n);
                    let mut square = s.load_some(self.squares.as_ptr().add(c), n);
                    for i in 0..count {
                        let x = s.sub(s.load_some(self.x.as_ptr().add((pixel + i) * channels + c), n), origin);
                        sum = s.add(sum, x);
                        square = s.fma(x, x, square);
                    }
                    s.store_some(self.sums.as_mut_ptr().add(c), sum, n);
                    s.store_some(self.squares.as_mut_ptr().add(c), square, n);
                }
            }
        }
    }
}

struct ScaleShift<'a> {
    x: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    silu: bool,
    out: *mut f32,
}

/// `out = x * scale + shift` by channel, then SiLU if asked for.
///
/// # Safety
/// `out` must have room for as many floats as `x`, and no other thread may touch them.
pub(crate) unsafe fn scale_shift(isa: Isa, x: &[f32], scale: &[f32], shift: &[f32], silu: bool, out: *mut f32) {
    assert!(
        scale.len() == shift.len() && x.len().is_multiple_of(scale.len()),
        "a scale and a shift for each channel"
    );
    isa.run(ScaleShift {
        x,
        scale,
        shift,
        silu,
        out,
    });
}

impl Kernel for ScaleShift<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.scale.len();
        for (pixel, x) in self.x.chunks_exact(channels).enumerate() {
            for c in (0..channels).step_by(S::LANES) {
                let n = channels - c;
                // SAFETY: `scale_shift` checked the slices and has the caller's word for the output.
                unsafe {
                    let (scale, shift) = (
                        s.load_some(self.scale.as_ptr().add(c), n),
                        s.load_some(self.shift.as_ptr().add(c), n),
                    );
                    let mut y = s.fma(s.load_some(x.as_ptr().add(c), n), scale, shift);
                    if self.silu {
                        y = math::silu(s, y);
                    }
                    s.store_some(self.out.add(pixel * channels + c), y, n);
                }
            }
        }
    }
}

struct Layer<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f32,
    rows: std::ops::Range<usize>,
    out: Shared,
}

/// Layer normalisation of some rows.
///
/// # Safety
/// `out` must have room for all rows up to the last, and no other thread may touch these.
pub(crate) unsafe fn normalise_rows(
    isa: Isa,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    eps: f32,
    rows: std::ops::Range<usize>,
    out: Shared,
) {
    assert!(
        weight.len() == bias.len() && x.len() >= rows.end * weight.len(),
        "rows to normalise"
    );
    isa.run(Layer {
        x,
        weight,
        bias,
        eps,
        rows,
        out,
    });
}

impl Kernel for Layer<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.weight.len();
        let scale = 1.0 / width as f32;
        let whole = width / S::LANES * S::LANES;
        for row in self.rows {
            // SAFETY: `normalise_rows` checked the slices and has the caller's word for the output.
            unsafe {
                let x = self.x.as_ptr().add(row * width);
                let mut sum = s.zero();
                for i in (0..whole).step_by(S::LANES) {
                    sum = s.add(sum, s.load(x.add(i)));
                }
                let mut mean = s.sum(sum);
                for i in whole..width {
                    mean += *x.add(i);
                }
                mean *= scale;
                let centre = s.splat(mean);
                let mut square = s.zero();
                for i in (0..whole).step_by(S::LANES) {
                    let d = s.sub(s.load(x.add(i)), centre);
                    square = s.fma(d, d, square);
                }
                let mut variance = s.sum(square);
                for i in whole..width {
                    variance += (*x.add(i) - mean) * (*x.add(i) - mean);
                }
                let factor = s.splat(1.0 / (variance * scale + self.eps).sqrt());
                for i in (0..width).step_by(S::LANES) {
                    let n = width - i;
                    let d = s.mul(s.sub(s.load_some(x.add(i), n), centre), factor);
                    let y = s.fma(
                        d,
                        s.load_some(self.weight.as_ptr().add(i), n),
                        s.load_some(self.bias.as_ptr().add(i), n),
                    );
                    s.store_some(self.out.at(row * width + i), y, n);
                }
            }
        }
    }
}
