//! Helpers for comparing the kernels with candle.

use candle_core::{Device, Result, Tensor};

/// Reproducible numbers in -1..1, different for different shapes.
pub(in crate::diffusion) fn noise(dims: &[usize]) -> Result<Tensor> {
    let count: usize = dims.iter().product();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ count as u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    Tensor::from_vec((0..count).map(|_| next()).collect::<Vec<f32>>(), dims, &Device::Cpu)
}

/// The same picture in both memory layouts.
pub(super) fn pictures(b: usize, c: usize, h: usize, w: usize) -> Result<[Tensor; 2]> {
    let first = noise(&[b, c, h, w])?;
    let last = first.permute((0, 2, 3, 1))?.contiguous()?.permute((0, 3, 1, 2))?;
    Ok([first, last])
}

/// Fails unless both have the same shape and differ by no more than `tolerance` times the largest magnitude (at least 1).
pub(in crate::diffusion) fn close(got: &Tensor, want: &Tensor, tolerance: f32) -> Result<()> {
    assert_eq!(got.dims(), want.dims());
    let (got, want) = (got.flatten_all()?.to_vec1::<f32>()?, want.flatten_all()?.to_vec1::<f32>()?);
    let scale = want.iter().fold(1.0_f32, |m, x| m.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        assert!((got - want).abs() <= tolerance * scale, "at {i}: {got} instead of {want}");
    }
    Ok(())
}
