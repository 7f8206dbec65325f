//! The activations of picture models: element by element, or with a slope for each channel.

use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Result, Tensor};
use rayon::prelude::*;

use super::cpu;

/// Elements that one thread takes at a time.
const PIECE: usize = 1 << 14;

/// A function of single elements, in the order they have in memory on the CPU.
fn map(x: &Tensor, f: impl Fn(f32) -> f32 + Sync, other: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    if !cpu::suits(x) {
        return other(x);
    }
    let apply = |x: &Tensor| -> Result<Vec<f32>> {
        let floats = cpu::floats(x)?;
        let mut y = floats.slice()?.to_vec();
        y.par_chunks_mut(PIECE).for_each(|piece| piece.iter_mut().for_each(|v| *v = f(*v)));
        Ok(y)
    };
    match *x.dims() {
        _ if x.is_contiguous() => Tensor::from_vec(apply(x)?, x.shape(), &Device::Cpu),
        [b, c, h, w] => cpu::picture(apply(&cpu::channels_last(x)?)?, (b, c, h, w)),
        _ => Tensor::from_vec(apply(&x.contiguous()?)?, x.shape(), &Device::Cpu),
    }
}

/// `max(x, 0)`.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    map(x, |v| v.max(0.0), Tensor::relu)
}

/// `max(x, 0)`, at most 6.
pub fn relu6(x: &Tensor) -> Result<Tensor> {
    map(x, |v| v.clamp(0.0, 6.0), |x| x.clamp(0f32, 6f32))
}

/// `x` where it is positive, `slope * x` elsewhere.
pub fn leaky_relu(x: &Tensor, slope: f32) -> Result<Tensor> {
    map(
        x,
        move |v| if v > 0.0 { v } else { v * slope },
        |x| x.maximum(&(x * f64::from(slope))?),
    )
}

/// [`leaky_relu`] of what a layer just gave and nobody else holds: computed in its own memory on the CPU, which halves what large pictures need.
pub fn leaky_relu_owned(x: Tensor, slope: f32) -> Result<Tensor> {
    if !cpu::suits(&x) {
        return leaky_relu(&x, slope);
    }
    x.inplace_op1(&LeakyRelu(slope))?;
    Ok(x)
}

struct LeakyRelu(f32);

impl InplaceOp1 for LeakyRelu {
    fn name(&self) -> &'static str {
        "leaky-relu"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let CpuStorage::F32(all) = storage else {
            candle_core::bail!("single floats on the cpu were expected");
        };
        if layout.start_offset() != 0 || layout.shape().elem_count() != all.len() {
            candle_core::bail!("a part of a tensor cannot be rectified in its memory");
        }
        all.par_chunks_mut(PIECE).for_each(|piece| {
            for v in piece {
                *v = if *v > 0.0 { *v } else { *v * self.0 };
            }
        });
        Ok(())
    }
}

/// `1 / (1 + exp(-x))`.
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    map(x, |v| 1.0 / (1.0 + (-v).exp()), |x| (x.neg()?.exp()? + 1.0)?.recip())
}

/// Hyperbolic tangent.
pub fn tanh(x: &Tensor) -> Result<Tensor> {
    map(x, f32::tanh, Tensor::tanh)
}

/// `x * tanh(ln(1 + exp(x)))`.
pub fn mish(x: &Tensor) -> Result<Tensor> {
    // Beyond this the logarithm is `x` itself, and its exponential would overflow.
    const LINEAR: f32 = 20.0;
    let f = |v: f32| v * if v > LINEAR { v } else { v.exp().ln_1p() }.tanh();
    map(x, f, |x| {
        let soft = (x.minimum(f64::from(LINEAR))?.exp()? + 1.0)?.log()?;
        x * soft.maximum(x)?.tanh()?
    })
}

/// `scale * x`.
pub fn scaled(x: &Tensor, scale: f32) -> Result<Tensor> {
    map(x, move |v| v * scale, |x| x * f64::from(scale))
}

/// `x` of `[b, c, h, w]` where it is positive, elsewhere times its channel's slope; `slopes` is `[c]`, or `[1]` for all channels.
pub fn prelu(x: &Tensor, slopes: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    let slopes = slopes.flatten_all()?.broadcast_as(c)?.contiguous()?;
    if !cpu::suits(x) || !cpu::suits(&slopes) || x.elem_count() == 0 {
        let negative = x.minimum(&x.zeros_like()?)?.broadcast_mul(&slopes.reshape((1, c, 1, 1))?)?;
        return x.relu()? + negative;
    }
    let last = cpu::channels_last(x)?;
    let (floats, slopes) = (cpu::floats(&last)?, cpu::floats(&slopes)?);
    let slopes = slopes.slice()?;
    let mut y = floats.slice()?.to_vec();
    y.par_chunks_mut(c * (PIECE / c + 1)).for_each(|piece| {
        for pixel in piece.chunks_exact_mut(c) {
            for (v, slope) in pixel.iter_mut().zip(slopes) {
                *v = if *v > 0.0 { *v } else { *v * slope };
            }
        }
    });
    cpu::picture(y, (b, c, h, w))
}

/// `x` of `[b, c, h, w]` times a factor for each channel of each picture, `factors [b or 1, c]`.
pub fn scale_channels(x: &Tensor, factors: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    let factors = factors.broadcast_as((b, c))?.contiguous()?;
    if !cpu::suits(x) || !cpu::suits(&factors) || x.elem_count() == 0 {
        return x.broadcast_mul(&factors.reshape((b, c, 1, 1))?);
    }
    let last = cpu::channels_last(x)?;
    let (floats, factors) = (cpu::floats(&last)?, cpu::floats(&factors)?);
    let factors = factors.slice()?;
    let mut y = floats.slice()?.to_vec();
    y.par_chunks_mut(w * c).enumerate().for_each(|(row, pixels)| {
        let own = &factors[row / h * c..][..c];
        for pixel in pixels.chunks_exact_mut(c) {
            pixel.iter_mut().zip(own).for_each(|(v, f)| *v *= f);
        }
    });
    cpu::picture(y, (b, c, h, w))
}

#[cfg(test)]
mod tests {
    use super::super::twin::{close, noise, pictures};
    use super::*;

    #[test]
    fn both_layouts_agree_with_candle() -> Result<()> {
        let slopes = noise(&[5])?;
        let [first, last] = pictures(2, 5, 6, 4)?;
        for x in [&first, &last, &noise(&[3, 7, 10])?.transpose(0, 1)?] {
            close(&relu(x)?, &x.relu()?, 0.0)?;
            close(&leaky_relu(x, 0.2)?, &x.maximum(&(x * 0.2)?)?, 1e-7)?;
            let owned = (x + 0.0)?;
            close(&leaky_relu_owned(owned, 0.2)?, &leaky_relu(x, 0.2)?, 0.0)?;
            close(&tanh(x)?, &x.tanh()?, 1e-6)?;
            close(&sigmoid(x)?, &(x.neg()?.exp()? + 1.0)?.recip()?, 1e-6)?;
            let soft = (x.exp()? + 1.0)?.log()?;
            close(&mish(x)?, &(x * soft.tanh()?)?, 1e-6)?;
            close(&scaled(x, 0.3)?, &(x * 0.3)?, 1e-7)?;
        }
        for x in [&first, &last] {
            let negative = (&first - first.relu()?)?.broadcast_mul(&slopes.reshape((1, 5, 1, 1))?)?;
            close(&prelu(x, &slopes)?, &(first.relu()? + negative)?, 1e-6)?;
            let factors = noise(&[2, 5])?;
            let want = first.broadcast_mul(&factors.reshape((2, 5, 1, 1))?)?;
            close(&scale_channels(x, &factors)?, &want, 0.0)?;
        }
        Ok(())
    }
}
