//! Blending of latents.

use candle_core::{DType, Result, Tensor};

/// Above this cosine two tensors count as parallel and are mixed in a straight line.
const PARALLEL: f64 = 0.9995;

/// Spherical interpolation between two tensors of one shape, each taken as a single long vector; `t` of 0 gives `a`, 1 gives `b`.
pub fn blend(a: &Tensor, b: &Tensor, t: f64) -> Result<Tensor> {
    if a.dims() != b.dims() {
        candle_core::bail!(
            "latents of {:?} and {:?} cannot be blended: they must be of one size",
            a.dims(),
            b.dims()
        );
    }
    let values = |x: &Tensor| x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
    let (va, vb) = (values(a)?, values(b)?);
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let cosine = dot(&va, &vb) / (dot(&va, &va).sqrt() * dot(&vb, &vb).sqrt());
    // Tensors of zeros have no direction: what comes out of them is not a number, as in numpy.
    let (wa, wb) = if cosine.abs() > PARALLEL {
        (1.0 - t, t)
    } else {
        let angle = cosine.acos();
        ((angle * (1.0 - t)).sin() / angle.sin(), (angle * t).sin() / angle.sin())
    };
    (a * wa)? + (b * wb)?
}

/// `b` where the mask is 0, `a` where it is 1, for `mask [1, 1, h, w]` at the latents' size.
pub fn mix_by_mask(a: &Tensor, b: &Tensor, mask: &Tensor) -> Result<Tensor> {
    b + mask.to_dtype(b.dtype())?.broadcast_mul(&(a - b)?)?
}
