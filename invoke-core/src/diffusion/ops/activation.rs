//! Element-wise functions.

use candle_core::{Device, Result, Tensor};

use super::cpu;

/// A function of single elements: in the order they have in memory, where the kernels apply.
fn map(x: &Tensor, kernel: fn(&[f32]) -> Vec<f32>, other: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    if !cpu::suits(x) {
        return other(x);
    }
    if x.is_contiguous() {
        let y = kernel(cpu::floats(x)?.slice()?);
        return Tensor::from_vec(y, x.shape(), &Device::Cpu);
    }
    if let [b, c, h, w] = *x.dims() {
        let x = cpu::channels_last(x)?;
        let y = kernel(cpu::floats(&x)?.slice()?);
        return cpu::picture(y, (b, c, h, w));
    }
    map(&x.contiguous()?, kernel, other)
}

/// `x * sigmoid(x)`.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    map(x, invoke_kernels::silu, Tensor::silu)
}

/// GELU by the error function (what torch calls `gelu` with `approximate="none"`).
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    map(x, invoke_kernels::gelu, Tensor::gelu_erf)
}

/// `x * sigmoid(1.702 x)`, CLIP's approximation.
pub fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    map(x, invoke_kernels::quick_gelu, |x| {
        x * ((x * 1.702)?.neg()?.exp()? + 1.0)?.recip()?
    })
}

/// GELU by the hyperbolic tangent (what torch calls `gelu` with `approximate="tanh"`, and transformers `gelu_new`).
pub fn tanh_gelu(x: &Tensor) -> Result<Tensor> {
    map(x, invoke_kernels::tanh_gelu, Tensor::gelu)
}

/// Gated GELU: the last axis holds `[value, gate]`; returns `value * gelu(gate)`. After a matrix product, [`GatedLinear`](super::GatedLinear)
/// does both at once.
pub fn geglu(x: &Tensor) -> Result<Tensor> {
    let mut dims = x.dims().to_vec();
    let Some(last) = dims.last_mut().filter(|n| n.is_multiple_of(2)) else {
        candle_core::bail!("gated GELU: the last axis of {:?} does not divide into values and gates", x.dims());
    };
    *last /= 2;
    if cpu::suits(x) && *last > 0 {
        let (width, x) = (*last, x.contiguous()?);
        let y = invoke_kernels::geglu(cpu::floats(&x)?.slice()?, width);
        return Tensor::from_vec(y, dims, &Device::Cpu);
    }
    let halves = x.chunk(2, candle_core::D::Minus1)?;
    halves[0].contiguous()? * gelu(&halves[1].contiguous()?)?
}

/// `a + b` of equal shapes. Pictures keep their memory layout, which candle's own sum does not do.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if !cpu::suits(a) || !cpu::suits(b) || a.dims() != b.dims() {
        return a + b;
    }
    if a.is_contiguous() && b.is_contiguous() {
        let y = invoke_kernels::add(cpu::floats(a)?.slice()?, cpu::floats(b)?.slice()?);
        return Tensor::from_vec(y, a.shape(), &Device::Cpu);
    }
    if let [batch, c, h, w] = *a.dims() {
        let (a, b) = (cpu::channels_last(a)?, cpu::channels_last(b)?);
        let y = invoke_kernels::add(cpu::floats(&a)?.slice()?, cpu::floats(&b)?.slice()?);
        return cpu::picture(y, (batch, c, h, w));
    }
    a + b
}

#[cfg(test)]
mod tests {
    use super::super::twin::{close, noise, pictures};
    use super::*;

    #[test]
    fn activations_agree_with_candle() -> Result<()> {
        let mut inputs = vec![noise(&[3, 7, 10])?, noise(&[3, 7, 10])?.transpose(0, 1)?];
        inputs.extend(pictures(2, 5, 6, 4)?);
        for x in inputs {
            let x = (x * 5.0)?;
            close(&silu(&x)?, &x.silu()?, 1e-6)?;
            close(&gelu(&x)?, &x.gelu_erf()?, 1e-6)?;
            close(&quick_gelu(&x)?, &(&x * ((&x * 1.702)?.neg()?.exp()? + 1.0)?.recip()?)?, 1e-6)?;
            close(&tanh_gelu(&x)?, &x.gelu()?, 1e-6)?;
            close(&add(&x, &x)?, &(&x * 2.0)?, 0.0)?;
        }
        let x = noise(&[3, 7, 10])?;
        close(
            &geglu(&x)?,
            &(x.narrow(2, 0, 5)? * x.narrow(2, 5, 5)?.contiguous()?.gelu_erf()?)?,
            1e-6,
        )?;
        assert!(geglu(&noise(&[2, 3])?).is_err());
        Ok(())
    }

    #[test]
    fn sums_of_pictures_in_different_layouts() -> Result<()> {
        let [first, last] = pictures(2, 5, 6, 4)?;
        close(&add(&first, &last)?, &(&first * 2.0)?, 0.0)?;
        close(&add(&last, &first)?, &(&first * 2.0)?, 0.0)
    }
}
