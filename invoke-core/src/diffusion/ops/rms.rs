//! Normalisation by the root mean square, and the turning of pairs by which attention knows places.

use candle_core::{D, DType, Device, Result, Tensor};
use rayon::prelude::*;

use super::cpu;

/// Normalisation by the root mean square over the last axis: nothing is subtracted, nothing is added.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// `weight` is `[channels]`.
    pub fn new(weight: Tensor, eps: f64) -> Result<Self> {
        weight.dims1()?;
        Ok(Self {
            weight: cpu::single(weight)?.contiguous()?,
            eps,
        })
    }

    /// Normalise `x [..., channels]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let width = self.weight.elem_count();
        if x.dims().last() != Some(&width) || width == 0 {
            candle_core::bail!("RMS norm of {width} channels got {:?}", x.dims());
        }
        if !cpu::suits(x) || !cpu::suits(&self.weight) {
            return self.on_candle(x);
        }
        let whole = x.contiguous()?;
        let (floats, weight) = (cpu::floats(&whole)?, cpu::floats(&self.weight)?);
        let (from, weight) = (floats.slice()?, weight.slice()?);
        let mut out = vec![0.0; from.len()];
        out.par_chunks_mut(width)
            .zip(from.par_chunks(width))
            .for_each(|(out, row)| scaled(row, weight, self.eps, out));
        Tensor::from_vec(out, x.shape(), &Device::Cpu)
    }

    /// In single floats, whatever comes and goes: squares overflow float16, and sums of them say little in bfloat16.
    fn on_candle(&self, x: &Tensor) -> Result<Tensor> {
        let dtype = x.dtype();
        let x = x.to_dtype(DType::F32)?;
        let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
        x.broadcast_div(&(mean + self.eps)?.sqrt()?)?
            .broadcast_mul(&self.weight.to_dtype(DType::F32)?)?
            .to_dtype(dtype)
    }

    /// Normalise each head of `x [b, n, heads * channels]` for itself and turn it by its token's place; `x` may be a part of a wider tensor's last axis.
    pub fn forward_turned(&self, x: &Tensor, places: &Rotary) -> Result<Tensor> {
        let (b, n, wide) = x.dims3()?;
        let width = self.weight.elem_count();
        let (tokens, half) = places.cos.dims2()?;
        if width == 0 || wide % width != 0 || 2 * half != width || tokens != n {
            candle_core::bail!(
                "heads of {width} channels and {tokens} places of {half} pairs do not fit {:?}",
                x.dims()
            );
        }
        if !cpu::suits(x) || !cpu::suits(&self.weight) || b * n * wide == 0 {
            return self.turned_on_candle(x, places);
        }
        let Some((floats, stride)) = cpu::rows(x)? else {
            return self.forward_turned(&x.contiguous()?, places);
        };
        let (weight, cos, sin) = (cpu::floats(&self.weight)?, cpu::floats(&places.cos)?, cpu::floats(&places.sin)?);
        let (from, weight, cos, sin) = (floats.slice()?, weight.slice()?, cos.slice()?, sin.slice()?);
        let mut out = vec![0.0; b * n * wide];
        out.par_chunks_mut(wide).enumerate().for_each(|(row, out)| {
            let place = (row % n) * half..(row % n + 1) * half;
            let (cos, sin) = (&cos[place.clone()], &sin[place]);
            let from = &from[row * stride..][..wide];
            for (head, out) in from.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                scaled(head, weight, self.eps, out);
                for (pair, (cos, sin)) in out.as_chunks_mut::<2>().0.iter_mut().zip(cos.iter().zip(sin)) {
                    let [a, b] = *pair;
                    *pair = [cos * a - sin * b, sin * a + cos * b];
                }
            }
        });
        Tensor::from_vec(out, (b, n, wide), &Device::Cpu)
    }

    fn turned_on_candle(&self, x: &Tensor, places: &Rotary) -> Result<Tensor> {
        let (b, n, wide) = x.dims3()?;
        let width = self.weight.elem_count();
        let heads = self.on_candle(&x.contiguous()?.reshape((b, n, wide / width, width))?.to_dtype(DType::F32)?)?;
        let pairs = heads.reshape((b, n, wide / width, width / 2, 2))?;
        let (first, second) = (pairs.narrow(4, 0, 1)?, pairs.narrow(4, 1, 1)?);
        let places_of = |t: &Tensor| t.to_device(x.device())?.reshape((1, n, 1, width / 2, 1));
        let (cos, sin) = (places_of(&places.cos)?, places_of(&places.sin)?);
        let left = (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?;
        let right = (first.broadcast_mul(&sin)? + second.broadcast_mul(&cos)?)?;
        Tensor::cat(&[left, right], 4)?.reshape((b, n, wide))?.to_dtype(x.dtype())
    }
}

/// One row over its root mean square, times the weights.
fn scaled(row: &[f32], weight: &[f32], eps: f64, out: &mut [f32]) {
    let mut sums = [0.0_f32; 8];
    let (eights, rest) = row.as_chunks::<8>();
    for eight in eights {
        for (sum, v) in sums.iter_mut().zip(eight) {
            *sum += v * v;
        }
    }
    let squares = sums.iter().sum::<f32>() + rest.iter().map(|v| v * v).sum::<f32>();
    let factor = 1.0 / (squares / row.len() as f32 + eps as f32).sqrt();
    for ((out, v), weight) in out.iter_mut().zip(row).zip(weight) {
        *out = v * factor * weight;
    }
}

/// By how much each token's pairs of channels are turned.
#[derive(Debug, Clone)]
pub struct Rotary {
    cos: Tensor,
    sin: Tensor,
}

impl Rotary {
    /// From angles in the order of tokens, `pairs` for each.
    pub fn new(angles: &[f64], pairs: usize, device: &Device) -> Result<Self> {
        let tokens = angles.len() / pairs.max(1);
        let of = |f: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|angle| f(*angle) as f32).collect();
            Tensor::from_vec(values, (tokens, pairs), &Device::Cpu)?.to_device(device)
        };
        Ok(Self {
            cos: of(f64::cos)?,
            sin: of(f64::sin)?,
        })
    }
}

/// `x + gate * y` for `x, y [b, n, channels]` and `gate [channels]`.
pub fn add_gated(x: &Tensor, y: &Tensor, gate: &Tensor) -> Result<Tensor> {
    let width = gate.elem_count();
    if x.dims() != y.dims() || x.dims().last() != Some(&width) {
        candle_core::bail!("a gate of {width} channels for {:?} and {:?}", x.dims(), y.dims());
    }
    if ![x, y, gate].iter().all(|t| cpu::suits(t)) || width == 0 {
        return x + y.broadcast_mul(&gate.flatten_all()?.to_dtype(y.dtype())?)?;
    }
    let all = [x.contiguous()?, y.contiguous()?, gate.contiguous()?];
    let [x_floats, y_floats, gate] = [cpu::floats(&all[0])?, cpu::floats(&all[1])?, cpu::floats(&all[2])?];
    let (x_floats, y_floats, gate) = (x_floats.slice()?, y_floats.slice()?, gate.slice()?);
    let mut out = vec![0.0; x_floats.len()];
    out.par_chunks_mut(width)
        .zip(x_floats.par_chunks(width).zip(y_floats.par_chunks(width)))
        .for_each(|(out, (x, y))| {
            for (((out, x), y), gate) in out.iter_mut().zip(x).zip(y).zip(gate) {
                *out = x + gate * y;
            }
        });
    Tensor::from_vec(out, x.shape(), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::super::twin::{close, noise};
    use super::*;

    fn places(tokens: usize, pairs: usize) -> Result<Rotary> {
        let angles: Vec<f64> = (0..tokens * pairs).map(|i| (i as f64 * 0.37).sin() * 9.0).collect();
        Rotary::new(&angles, pairs, &Device::Cpu)
    }

    #[test]
    fn kernels_agree_with_candle() -> Result<()> {
        let norm = RmsNorm::new(noise(&[20])?, 1e-6)?;
        let x = noise(&[2, 7, 20])?;
        close(&norm.forward(&x)?, &norm.on_candle(&x)?, 1e-5)?;
        // Three heads in the middle of a wider tensor.
        let wide = noise(&[2, 7, 100])?;
        let (part, places) = (wide.narrow(2, 20, 60)?, places(7, 10)?);
        let turned = norm.forward_turned(&part, &places)?;
        close(&turned, &norm.turned_on_candle(&part, &places)?, 1e-5)?;
        // Turning leaves the length of pairs as it is.
        let plain = norm.forward(&part.reshape((2, 21, 20))?)?.reshape((2, 7, 30, 2))?.sqr()?.sum(3)?;
        close(&turned.reshape((2, 7, 30, 2))?.sqr()?.sum(3)?, &plain, 1e-5)?;
        let gate = noise(&[20])?;
        let want = (&x + (&x * 2.0)?.broadcast_mul(&gate)?)?;
        close(&add_gated(&x, &(&x * 2.0)?, &gate)?, &want, 1e-6)
    }

    #[test]
    fn a_pair_is_turned_by_its_angle() -> Result<()> {
        let quarter = Rotary::new(&[std::f64::consts::FRAC_PI_2], 1, &Device::Cpu)?;
        let x = Tensor::new(&[[[3f32, -4.0]]], &Device::Cpu)?;
        // Their root mean square is √12.5.
        let size = 12.5_f32.sqrt();
        let want = Tensor::new(&[[[4f32 / size, 3.0 / size]]], &Device::Cpu)?;
        let norm = RmsNorm::new(Tensor::ones(2, DType::F32, &Device::Cpu)?, 0.0)?;
        close(&norm.forward_turned(&x, &quarter)?, &want, 1e-6)
    }

    #[test]
    fn few_bits_are_normalised_in_single_floats() -> Result<()> {
        let (x, weight) = ((noise(&[1, 9, 64])? * 300.0)?, noise(&[64])?);
        let want = RmsNorm::new(weight.clone(), 1e-6)?.forward(&x)?;
        for (dtype, tolerance) in [(DType::F16, 2e-3), (DType::BF16, 2e-2)] {
            let norm = RmsNorm {
                weight: weight.to_dtype(dtype)?,
                eps: 1e-6,
            };
            close(&norm.forward(&x.to_dtype(dtype)?)?.to_dtype(DType::F32)?, &want, tolerance)?;
        }
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() -> Result<()> {
        let norm = RmsNorm::new(noise(&[4])?, 1e-6)?;
        assert!(norm.forward(&noise(&[2, 5])?).is_err());
        assert!(norm.forward_turned(&noise(&[1, 3, 6])?, &places(3, 2)?).is_err());
        assert!(norm.forward_turned(&noise(&[1, 3, 8])?, &places(2, 2)?).is_err());
        assert!(add_gated(&noise(&[1, 3, 4])?, &noise(&[1, 3, 4])?, &noise(&[3])?).is_err());
        Ok(())
    }
}
