//! Functions of single elements.

use super::{Isa, Kernel, Simd, math};
use crate::buffer::Shared;

/// A function of one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unary {
    /// `x sigmoid(x)`.
    Silu,
    /// `x Φ(x)`.
    Gelu,
    /// `x sigmoid(1.702 x)`.
    QuickGelu,
    /// `x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2`.
    TanhGelu,
}

#[inline(always)]
fn apply<S: Simd>(s: S, f: Unary, x: S::V) -> S::V {
    match f {
        Unary::Silu => math::silu(s, x),
        Unary::Gelu => math::gelu(s, x),
        Unary::QuickGelu => s.mul(x, math::sigmoid(s, s.mul(x, s.splat(1.702)))),
        Unary::TanhGelu => {
            // (1 + tanh(u)) / 2 is sigmoid(2 u).
            let cubic = s.add(x, s.mul(s.mul(x, s.splat(0.044_715)), s.mul(x, x)));
            s.mul(x, math::sigmoid(s, s.mul(cubic, s.splat(1.595_769))))
        }
    }
}

struct Map<'a>(Unary, &'a [f32], *mut f32);

/// `out[i] = f(x[i])`.
///
/// # Safety
/// `out` must have room for as many floats as `x`, and no other thread may touch them.
pub(crate) unsafe fn unary(isa: Isa, f: Unary, x: &[f32], out: *mut f32) {
    isa.run(Map(f, x, out));
}

impl Kernel for Map<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(f, x, out) = self;
        for i in (0..x.len()).step_by(S::LANES) {
            let n = x.len() - i;
            // SAFETY: `n` floats are left in both.
            unsafe { s.store_some(out.add(i), apply(s, f, s.load_some(x.as_ptr().add(i), n)), n) };
        }
    }
}

struct Sum<'a>(&'a [f32], &'a [f32], *mut f32);

/// `out[i] = a[i] + b[i]`.
///
/// # Safety
/// `out` must have room for as many floats as `a`, and no other thread may touch them.
pub(crate) unsafe fn binary_add(isa: Isa, a: &[f32], b: &[f32], out: *mut f32) {
    assert_eq!(a.len(), b.len(), "terms of a sum");
    isa.run(Sum(a, b, out));
}

impl Kernel for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(a, b, out) = self;
        for i in (0..a.len()).step_by(S::LANES) {
            let n = a.len() - i;
            // SAFETY: `n` floats are left in all three.
            unsafe {
                s.store_some(
                    out.add(i),
                    s.add(s.load_some(a.as_ptr().add(i), n), s.load_some(b.as_ptr().add(i), n)),
                    n,
                );
            };
        }
    }
}

struct Gated<'a> {
    x: &'a [f32],
    half: usize,
    rows: std::ops::Range<usize>,
    out: Shared,
}

/// `out[r][i] = x[r][i] * gelu(x[r][half + i])` for some rows.
///
/// # Safety
/// `out` must have room for rows of `half` floats up to the last, and no other thread may touch these rows.
pub(crate) unsafe fn gated(isa: Isa, x: &[f32], half: usize, rows: std::ops::Range<usize>, out: Shared) {
    assert!(x.len() >= rows.end * 2 * half, "rows of values and gates");
    isa.run(Gated { x, half, rows, out });
}

impl Kernel for Gated<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for row in self.rows {
            for i in (0..self.half).step_by(S::LANES) {
                let n = self.half - i;
                // SAFETY: `gated` checked the input and has the caller's word for the output.
                unsafe {
                    let value = self.x.as_ptr().add(row * 2 * self.half + i);
                    let gate = math::gelu(s, s.load_some(value.add(self.half), n));
                    s.store_some(self.out.at(row * self.half + i), s.mul(s.load_some(value, n), gate), n);
                }
            }
        }
    }
}
