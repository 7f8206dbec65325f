//! Activations and sums.

use crate::buffer::filled;
use crate::parallel::{run_if, split};
use crate::simd::{Isa, Unary, binary_add, gated, unary};

/// Elements worth a second thread.
const WORTH: usize = 16_384;

fn map(x: &[f32], f: Unary) -> Vec<f32> {
    let (isa, (parts, range)) = (Isa::best(), split(x.len(), 64, 2));
    // SAFETY: the parts cover all elements.
    unsafe {
        filled(x.len(), |out| {
            run_if(x.len() > WORTH, parts, |i| unary(isa, f, &x[range(i)], out.at(range(i).start)));
        })
    }
}

/// `x sigmoid(x)`.
pub fn silu(x: &[f32]) -> Vec<f32> {
    map(x, Unary::Silu)
}

/// `x Φ(x)` with the normal distribution's Φ.
pub fn gelu(x: &[f32]) -> Vec<f32> {
    map(x, Unary::Gelu)
}

/// `x sigmoid(1.702 x)`.
pub fn quick_gelu(x: &[f32]) -> Vec<f32> {
    map(x, Unary::QuickGelu)
}

/// GELU with the hyperbolic tangent for Φ: `x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2`.
pub fn tanh_gelu(x: &[f32]) -> Vec<f32> {
    map(x, Unary::TanhGelu)
}

/// `value * gelu(gate)` for rows of `width` values and as many gates.
pub fn geglu(x: &[f32], width: usize) -> Vec<f32> {
    assert!(width > 0 && x.len().is_multiple_of(2 * width), "rows of {width} values and gates");
    let (isa, (parts, range)) = (Isa::best(), split(x.len() / width / 2, 1, 2));
    // SAFETY: the parts cover all rows.
    unsafe {
        filled(x.len() / 2, |out| {
            run_if(x.len() > WORTH, parts, |i| gated(isa, x, width, range(i), out));
        })
    }
}

/// `a + b`.
pub fn add(a: &[f32], b: &[f32]) -> Vec<f32> {
    assert_eq!(a.len(), b.len(), "terms of a sum");
    let (isa, (parts, range)) = (Isa::best(), split(a.len(), 64, 1));
    // SAFETY: the parts cover all elements.
    unsafe {
        filled(a.len(), |out| {
            run_if(a.len() > 4 * WORTH, parts, |i| {
                binary_add(isa, &a[range(i)], &b[range(i)], out.at(range(i).start));
            });
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twin::{self, close, noise};

    #[test]
    fn activations_agree_with_their_formulas() {
        for len in [0, 1, 17, 1000, 70_001] {
            let x: Vec<f32> = noise(len, 1).iter().map(|x| x * 12.0).collect();
            let each = |f: fn(f32) -> f32| x.iter().map(|x| f(*x)).collect::<Vec<_>>();
            close(&silu(&x), &each(twin::silu), 1e-6);
            close(&gelu(&x), &each(twin::gelu), 1e-6);
            close(&quick_gelu(&x), &each(|x| x / (1.0 + (-1.702 * x).exp())), 1e-6);
            let tanh = |x: &f32| {
                let x = f64::from(*x);
                let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
                (x * (1.0 + u.tanh()) / 2.0) as f32
            };
            close(&tanh_gelu(&x), &x.iter().map(tanh).collect::<Vec<_>>(), 1e-6);
            close(
                &add(&x, &noise(len, 2)),
                &x.iter().zip(noise(len, 2)).map(|(a, b)| a + b).collect::<Vec<_>>(),
                0.0,
            );
        }
    }

    #[test]
    fn far_values_stay_finite() {
        let x = [-1e4, -200.0, -88.0, 88.0, 200.0, 1e4];
        for (got, x) in silu(&x).into_iter().zip(x) {
            assert!((got - x.max(0.0)).abs() < 1e-5, "{got} {x}");
        }
        for (got, x) in gelu(&x).into_iter().chain(tanh_gelu(&x)).zip(x.into_iter().chain(x)) {
            assert!((got - x.max(0.0)).abs() < 1e-5, "{got} {x}");
        }
    }

    #[test]
    fn gated_rows() {
        for (rows, width) in [(1, 1), (5, 20), (200, 130)] {
            let x = noise(rows * width * 2, 3);
            let want: Vec<f32> = x
                .chunks(2 * width)
                .flat_map(|r| (0..width).map(|i| r[i] * twin::gelu(r[width + i])))
                .collect();
            close(&geglu(&x, width), &want, 1e-6);
        }
    }
}
