//! FreeU: stronger backbone features and weaker low frequencies of the skips in the first two blocks on the way up.

use std::f64::consts::TAU;

use candle_core::{DType, Result, Tensor};

use crate::diffusion::ops::channels_first;

/// Factors of FreeU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FreeU {
    /// Factors of the backbone's first half of channels in blocks 0 and 1.
    pub backbone: [f64; 2],
    /// Factors of the skips' low frequencies in blocks 0 and 1.
    pub skip: [f64; 2],
}

impl FreeU {
    /// From `b1 b2 s1 s2`. As in diffusers, a factor of 0 switches the whole off.
    pub fn new(b1: f64, b2: f64, s1: f64, s2: f64) -> Option<Self> {
        [b1, b2, s1, s2].iter().all(|f| *f != 0.0).then_some(Self {
            backbone: [b1, b2],
            skip: [s1, s2],
        })
    }

    /// Applies to what block `number` is about to join: the features so far and a skip, both `[b, c, h, w]`.
    pub(crate) fn apply(self, number: usize, x: Tensor, skip: Tensor) -> Result<(Tensor, Tensor)> {
        let (Some(&b), Some(&s)) = (self.backbone.get(number), self.skip.get(number)) else {
            return Ok((x, skip));
        };
        let (x, skip) = (channels_first(&x)?, channels_first(&skip)?);
        let channels = x.dim(1)?;
        let half = channels / 2;
        let x = Tensor::cat(&[&(x.narrow(1, 0, half)? * b)?, &x.narrow(1, half, channels - half)?], 1)?;
        Ok((x, scale_low_frequencies(&skip, s)?))
    }
}

/// Scales the four lowest frequencies (0 and -1 along each axis) of every channel and takes the real part.
///
/// A Fourier transform of the whole would be wasted: with `p` the projection of a channel on these four waves, the result is
/// `x + (scale - 1) Re(p)`. The waves are products of one along y and one along x, so two small matrix products give it.
fn scale_low_frequencies(x: &Tensor, scale: f64) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    let dtype = x.dtype();
    // Rows of an axis' wave matrix: the constant, cosine and sine of frequency -1 (which an axis of one pixel lacks).
    let waves = |n: usize| -> Result<Tensor> {
        let angle = |i: usize| -TAU * i as f64 / n as f64;
        let present = if n > 1 { 1.0 } else { 0.0 };
        let rows = [
            vec![1.0; n],
            (0..n).map(|i| angle(i).cos() * present).collect(),
            (0..n).map(|i| angle(i).sin() * present).collect(),
        ];
        let data: Vec<f32> = rows.iter().flatten().map(|&v: &f64| v as f32).collect();
        Tensor::from_vec(data, (3, n), x.device())
    };
    let (along_y, along_x) = (waves(h)?, waves(w)?);
    let flat = x.to_dtype(DType::F32)?.reshape((b * c * h, w))?;
    // m[i][j] = sum over y, x of wave_y[i](y) wave_x[j](x) x(y, x)
    let rows = flat.matmul(&along_x.t()?)?.reshape((b * c, h, 3))?;
    let m = along_y.unsqueeze(0)?.broadcast_matmul(&rows)?;
    // Re of the projection on e^{i(k y + l x)}: C = sum x cos, S = sum x sin, value C cos + S sin over h w pixels, where
    // cos(a + b) = cos a cos b - sin a sin b and sin(a + b) = sin a cos b + cos a sin b.
    let at = |i: usize, j: usize| -> Result<Tensor> { m.narrow(1, i, 1)?.narrow(2, j, 1) };
    let (cos_both, sin_both) = ((at(1, 1)? - at(2, 2)?)?, (at(2, 1)? + at(1, 2)?)?);
    let zero = cos_both.zeros_like()?;
    let row = |a: &Tensor, b: &Tensor, c: &Tensor| Tensor::cat(&[a, b, c], 2);
    let weights = Tensor::cat(
        &[
            &row(&at(0, 0)?, &at(0, 1)?, &at(0, 2)?)?,
            &row(&at(1, 0)?, &cos_both, &sin_both)?,
            &row(&at(2, 0)?, &sin_both, &(&zero - &cos_both)?)?,
        ],
        1,
    )?;
    let low = along_y
        .t()?
        .unsqueeze(0)?
        .broadcast_matmul(&weights.broadcast_matmul(&along_x.unsqueeze(0)?)?)?;
    let low = (low.reshape((b, c, h, w))? * ((scale - 1.0) / (h * w) as f64))?;
    x.to_dtype(DType::F32)?.add(&low)?.to_dtype(dtype)
}
