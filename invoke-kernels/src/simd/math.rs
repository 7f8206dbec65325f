//! Functions of vectors.

use super::Simd;

/// `e^x`, to about two units in the last place, for x in -87.3..=88.3; beyond that as at the bound.
#[inline(always)]
pub(super) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    let x = s.min(s.max(x, s.splat(-87.3)), s.splat(88.3));
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    // x - n ln 2 in two steps: the first constant has so few bits that its product with n is exact.
    let r = s.fnma(n, s.splat(0.693_359_4), x);
    let r = s.fnma(n, s.splat(-2.121_944_4e-4), r);
    let p = s.splat(1.987_569_2e-4);
    let p = s.fma(p, r, s.splat(1.398_199_9e-3));
    let p = s.fma(p, r, s.splat(8.333_452e-3));
    let p = s.fma(p, r, s.splat(4.166_579_6e-2));
    let p = s.fma(p, r, s.splat(1.666_666_5e-1));
    let p = s.fma(p, r, s.splat(0.5));
    let p = s.fma(p, s.mul(r, r), r);
    s.mul(s.add(p, s.splat(1.0)), s.exp2(n))
}

/// `2^x` for x <= 0, to 2e-7; no less than 2^-126.
#[inline(always)]
pub(super) fn exp2_of_negative<S: Simd>(s: S, x: S::V) -> S::V {
    let x = s.max(x, s.splat(-126.0));
    let n = s.round(x);
    let r = s.sub(x, n);
    let p = s.splat(1.540_353e-4);
    let p = s.fma(p, r, s.splat(1.333_355_8e-3));
    let p = s.fma(p, r, s.splat(9.618_129e-3));
    let p = s.fma(p, r, s.splat(5.550_411e-2));
    let p = s.fma(p, r, s.splat(2.402_265e-1));
    let p = s.fma(p, r, s.splat(std::f32::consts::LN_2));
    let p = s.fma(p, r, s.splat(1.0));
    s.mul(p, s.exp2(n))
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(super) fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.zero(), x))))
}

/// `x sigmoid(x)`.
#[inline(always)]
pub(super) fn silu<S: Simd>(s: S, x: S::V) -> S::V {
    s.div(x, s.add(s.splat(1.0), exp(s, s.sub(s.zero(), x))))
}

/// `x Φ(x)` with the normal distribution's Φ, to 3e-7 absolute.
#[inline(always)]
pub(super) fn gelu<S: Simd>(s: S, x: S::V) -> S::V {
    let z = s.mul(s.abs(x), s.splat(std::f32::consts::FRAC_1_SQRT_2));
    let half = s.mul(x, s.splat(0.5));
    s.fma(half, s.with_sign(erf_of_positive(s, z), x), half)
}

/// The error function of `z >= 0` (Abramowitz and Stegun 7.1.26, error 1.5e-7).
#[inline(always)]
fn erf_of_positive<S: Simd>(s: S, z: S::V) -> S::V {
    let one = s.splat(1.0);
    let t = s.div(one, s.fma(z, s.splat(0.327_591_1), one));
    let p = s.splat(1.061_405_4);
    let p = s.fma(p, t, s.splat(-1.453_152));
    let p = s.fma(p, t, s.splat(1.421_413_7));
    let p = s.fma(p, t, s.splat(-0.284_496_74));
    let p = s.fma(p, t, s.splat(0.254_829_6));
    let tail = s.mul(s.mul(p, t), exp(s, s.sub(s.zero(), s.mul(z, z))));
    s.sub(one, tail)
}
