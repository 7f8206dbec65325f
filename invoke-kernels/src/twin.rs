//! Plain twins of the kernels and helpers for comparing with them.

/// Reproducible noise in -1..1.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x1234_5678_9ABC_DEF1);
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Fails unless both are as long and differ by no more than `tolerance` times the largest magnitude (at least 1).
pub(crate) fn close(got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(1.0_f32, |m, x| m.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!(
            (got - want).abs() <= tolerance * scale,
            "at {i}: {got} instead of {want} (scale {scale})"
        );
    }
}

/// The error function by its series.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let mut term = x;
    let mut sum = x;
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

/// `x Φ(x)`.
pub(crate) fn gelu(x: f32) -> f32 {
    let x = f64::from(x);
    (0.5 * x * (1.0 + erf(x / 2.0_f64.sqrt()))) as f32
}

/// `x sigmoid(x)`.
pub(crate) fn silu(x: f32) -> f32 {
    x / (1.0 + (-x).exp())
}

/// A convolution of `x [b, h, w, c]` with `weight [o, c, kh, kw]`; edges wrap where `wrap` says so (`[y, x]`), else are zero.
pub(crate) fn conv(
    x: &[f32],
    dims: [usize; 4],
    weight: &[f32],
    kernel: [usize; 2],
    stride: usize,
    padding: [usize; 4],
    wrap: [bool; 2],
) -> (Vec<f32>, [usize; 2]) {
    let [b, h, w, c] = dims;
    let [kh, kw] = kernel;
    let outputs = weight.len() / (c * kh * kw);
    let oh = (h + padding[0] + padding[1] - kh) / stride + 1;
    let ow = (w + padding[2] + padding[3] - kw) / stride + 1;
    let place = |at: usize, before: usize, n: usize, wrap: bool| -> Option<usize> {
        let at = at as i64 - before as i64;
        if wrap {
            Some(at.rem_euclid(n as i64) as usize)
        } else {
            usize::try_from(at).ok().filter(|at| *at < n)
        }
    };
    let mut y = Vec::with_capacity(b * oh * ow * outputs);
    for (image, oy, ox, o) in
        (0..b).flat_map(|b| (0..oh).flat_map(move |y| (0..ow).flat_map(move |x| (0..outputs).map(move |o| (b, y, x, o)))))
    {
        let mut sum = 0.0_f64;
        for (ky, kx) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
            let at = place(oy * stride + ky, padding[0], h, wrap[0]).zip(place(ox * stride + kx, padding[2], w, wrap[1]));
            if let Some((iy, ix)) = at {
                for ch in 0..c {
                    sum += f64::from(x[((image * h + iy) * w + ix) * c + ch]) * f64::from(weight[((o * c + ch) * kh + ky) * kw + kx]);
                }
            }
        }
        y.push(sum as f32);
    }
    (y, [oh, ow])
}
