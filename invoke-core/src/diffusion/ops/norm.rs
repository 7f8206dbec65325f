//! Normalisation layers.

use candle_core::{D, DType, Device, Result, Tensor};

use super::cpu;

/// Group normalisation over `[b, c, ...]`.
#[derive(Debug, Clone)]
pub struct GroupNorm {
    groups: usize,
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl GroupNorm {
    /// `weight` and `bias` are `[channels]`; `groups` divides the channels.
    pub fn new(groups: usize, weight: Tensor, bias: Tensor, eps: f64) -> Result<Self> {
        let channels = weight.dims1()?;
        if groups == 0 || channels % groups != 0 {
            candle_core::bail!("group norm: {channels} channels do not divide into {groups} groups");
        }
        Ok(Self {
            groups,
            weight: cpu::single(weight)?.contiguous()?,
            bias: cpu::single(bias)?.contiguous()?,
            eps,
        })
    }

    /// Normalise.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, false)
    }

    /// Normalise and apply SiLU in one pass.
    pub fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, true)
    }

    /// What normalises one picture that is given in strips of rows, `[1, c, rows, w]` each and at least one: as [`Self::forward_silu`] would the whole.
    pub fn measure<'a>(&self, strips: impl IntoIterator<Item = &'a Tensor>) -> Result<MeasuredNorm> {
        let strips: Vec<&Tensor> = strips.into_iter().collect();
        let channels = self.weight.elem_count();
        if strips.is_empty() || strips.iter().any(|x| x.elem_count() == 0 || x.dims()[..2] != [1, channels]) {
            let dims: Vec<&[usize]> = strips.iter().map(|x| x.dims()).collect();
            candle_core::bail!("group norm of one picture of {channels} channels got strips of {dims:?}");
        }
        if !strips.iter().all(|x| cpu::suits(x)) || !cpu::suits(&self.weight) {
            return self.measure_on_candle(&strips);
        }
        let last = strips.into_iter().map(cpu::channels_last).collect::<Result<Vec<_>>>()?;
        let floats = last.iter().map(cpu::floats).collect::<Result<Vec<_>>>()?;
        let parts = floats.iter().map(cpu::Floats::slice).collect::<Result<Vec<_>>>()?;
        let (weight, bias) = (cpu::floats(&self.weight)?, cpu::floats(&self.bias)?);
        let factors = invoke_kernels::GroupFactors::measure(&parts, self.groups, weight.slice()?, bias.slice()?, self.eps);
        Ok(MeasuredNorm(Factors::Packed(factors)))
    }

    fn measure_on_candle(&self, strips: &[&Tensor]) -> Result<MeasuredNorm> {
        let channels = self.weight.elem_count();
        let count = strips.iter().map(|x| x.elem_count()).sum::<usize>() / self.groups;
        // In two passes, since squares of what is far from zero hide how much it varies.
        let sum = |part: &dyn Fn(&Tensor) -> Result<Tensor>| -> Result<Tensor> {
            let mut total: Option<Tensor> = None;
            for x in strips {
                let own = part(&x.to_dtype(DType::F32)?.reshape((self.groups, ()))?)?.sum_keepdim(1)?;
                total = Some(match total {
                    Some(total) => (total + own)?,
                    None => own,
                });
            }
            total.expect("`measure` checked that there is a strip") / count as f64
        };
        let mean = sum(&|x| Ok(x.clone()))?;
        let variance = sum(&|x| x.broadcast_sub(&mean)?.sqr())?;
        let by_channel = |x: Tensor| {
            x.broadcast_as((self.groups, channels / self.groups))?
                .contiguous()?
                .reshape((1, channels, 1, 1))
        };
        let (weight, bias) = (self.weight.to_dtype(DType::F32)?, self.bias.to_dtype(DType::F32)?);
        let scale = (by_channel((variance + self.eps)?.sqrt()?.recip()?)? * weight.reshape((1, channels, 1, 1))?)?;
        let shift = (bias.reshape((1, channels, 1, 1))? - (by_channel(mean)? * &scale)?)?;
        Ok(MeasuredNorm(Factors::Plain { scale, shift }))
    }

    fn apply(&self, x: &Tensor, silu: bool) -> Result<Tensor> {
        if !cpu::suits(x) || !cpu::suits(&self.weight) || x.elem_count() == 0 {
            let y = self.on_candle(x)?;
            return if silu { super::silu(&y) } else { Ok(y) };
        }
        let dims = x.dims();
        if dims.len() < 2 || dims[1] != self.weight.elem_count() {
            candle_core::bail!("group norm of {} channels got {dims:?}", self.weight.elem_count());
        }
        let (b, c) = (dims[0], dims[1]);
        let flat = match *dims {
            [_, _, _, _] => cpu::channels_last(x)?,
            _ => cpu::channels_last(&x.reshape((b, c, 1, ()))?)?,
        };
        let (weight, bias) = (cpu::floats(&self.weight)?, cpu::floats(&self.bias)?);
        let y = invoke_kernels::group_norm(
            cpu::floats(&flat)?.slice()?,
            b,
            self.groups,
            weight.slice()?,
            bias.slice()?,
            self.eps,
            silu,
        );
        match *dims {
            [b, c, h, w] => cpu::picture(y, (b, c, h, w)),
            _ => cpu::picture(y, (b, c, 1, x.elem_count() / b / c))?.reshape(dims),
        }
    }

    /// In single floats, whatever comes and goes: the squares of a large group overflow float16, and sums of them say little in bfloat16.
    fn on_candle(&self, x: &Tensor) -> Result<Tensor> {
        let dtype = x.dtype();
        let x = &x.to_dtype(DType::F32)?;
        let dims = x.dims();
        let (b, c) = (dims[0], dims[1]);
        let grouped = x.reshape((b, self.groups, ()))?;
        let mean = grouped.mean_keepdim(D::Minus1)?;
        let centred = grouped.broadcast_sub(&mean)?;
        let var = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let normed = centred.broadcast_div(&(var + self.eps)?.sqrt()?)?.reshape(dims)?;
        let mut shape = vec![1; dims.len()];
        shape[1] = c;
        normed
            .broadcast_mul(&self.weight.to_dtype(DType::F32)?.reshape(shape.clone())?)?
            .broadcast_add(&self.bias.to_dtype(DType::F32)?.reshape(shape)?)?
            .to_dtype(dtype)
    }
}

/// A [`GroupNorm`] that has seen all of a picture; see [`GroupNorm::measure`].
#[derive(Debug, Clone)]
pub struct MeasuredNorm(Factors);

/// A factor and a term for each channel.
#[derive(Debug, Clone)]
enum Factors {
    Packed(invoke_kernels::GroupFactors),
    /// `[1, c, 1, 1]`, in single floats.
    Plain {
        scale: Tensor,
        shift: Tensor,
    },
}

impl MeasuredNorm {
    /// Some rows of the picture, `[1, c, rows, w]`, normalised, and SiLU in the same pass.
    pub fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        match &self.0 {
            Factors::Packed(factors) => {
                let dims = x.dims4()?;
                let last = cpu::channels_last(x)?;
                cpu::picture(factors.apply(cpu::floats(&last)?.slice()?, true), dims)
            }
            Factors::Plain { scale, shift } => {
                let y = x.to_dtype(DType::F32)?.broadcast_mul(scale)?.broadcast_add(shift)?;
                super::silu(&y.to_dtype(x.dtype())?)
            }
        }
    }
}

/// Layer normalisation over the last axis.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// `weight` and `bias` are `[channels]`.
    pub fn new(weight: Tensor, bias: Tensor, eps: f64) -> Result<Self> {
        Ok(Self {
            weight: cpu::single(weight)?,
            bias: cpu::single(bias)?,
            eps,
        })
    }

    /// Normalise.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let width = self.weight.elem_count();
        if !cpu::suits(x) || !cpu::suits(&self.weight) || !cpu::suits(&self.bias) {
            return self.on_candle(x);
        }
        if x.dims().last() != Some(&width) || width == 0 {
            candle_core::bail!("layer norm of {width} channels got {:?}", x.dims());
        }
        let (whole, weight, bias) = (x.contiguous()?, cpu::floats(&self.weight)?, cpu::floats(&self.bias)?);
        let y = invoke_kernels::layer_norm(cpu::floats(&whole)?.slice()?, weight.slice()?, bias.slice()?, self.eps as f32);
        Tensor::from_vec(y, x.shape(), &Device::Cpu)
    }

    /// In single floats, as [`GroupNorm`] is.
    fn on_candle(&self, x: &Tensor) -> Result<Tensor> {
        let dtype = x.dtype();
        let x = x.to_dtype(DType::F32)?;
        let mean = x.mean_keepdim(D::Minus1)?;
        let centred = x.broadcast_sub(&mean)?;
        let var = centred.sqr()?.mean_keepdim(D::Minus1)?;
        centred
            .broadcast_div(&(var + self.eps)?.sqrt()?)?
            .broadcast_mul(&self.weight.to_dtype(DType::F32)?)?
            .broadcast_add(&self.bias.to_dtype(DType::F32)?)?
            .to_dtype(dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::super::twin::{close, noise, pictures};
    use super::*;

    /// As on an accelerator: groups whose sums of squares are beyond float16.
    #[test]
    fn few_bits_and_large_groups() -> Result<()> {
        let x = (noise(&[1, 4, 160, 160])? * 4.0)?;
        let (weight, bias) = (noise(&[4])?, noise(&[4])?);
        let want = GroupNorm::new(1, weight.clone(), bias.clone(), 1e-5)?.forward(&x)?;
        for (dtype, tolerance) in [(DType::F16, 2e-3), (DType::BF16, 2e-2)] {
            // As the device would have them; on the CPU a layer keeps its own in single floats.
            let norm = GroupNorm {
                weight: weight.to_dtype(dtype)?,
                bias: bias.to_dtype(dtype)?,
                groups: 1,
                eps: 1e-5,
            };
            close(&norm.forward(&x.to_dtype(dtype)?)?.to_dtype(DType::F32)?, &want, tolerance)?;
        }
        Ok(())
    }

    #[test]
    fn kernels_agree_with_candle() -> Result<()> {
        let norm = GroupNorm::new(3, noise(&[12])?, noise(&[12])?, 1e-5)?;
        let mut inputs = vec![noise(&[2, 12, 50])?, noise(&[1, 12])?];
        inputs.extend(pictures(2, 12, 9, 7)?);
        for x in inputs {
            let want = norm.on_candle(&x)?;
            close(&norm.forward(&x)?, &want, 1e-5)?;
            close(&norm.forward_silu(&x)?, &want.silu()?, 1e-5)?;
        }
        let norm = LayerNorm::new(noise(&[33])?, noise(&[33])?, 1e-5)?;
        let x = noise(&[2, 5, 33])?;
        close(&norm.forward(&x)?, &norm.on_candle(&x)?, 1e-5)
    }

    #[test]
    fn strips_are_normalised_as_the_whole() -> Result<()> {
        let norm = GroupNorm::new(3, noise(&[12])?, noise(&[12])?, 1e-5)?;
        for x in pictures(1, 12, 9, 7)? {
            let x = (x + 5.0)?;
            let want = norm.forward_silu(&x)?;
            let strips = [x.narrow(2, 0, 4)?, x.narrow(2, 4, 5)?];
            for measured in [norm.measure(&strips)?, norm.measure_on_candle(&[&strips[0], &strips[1]])?] {
                for (strip, start) in strips.iter().zip([0, 4]) {
                    close(&measured.forward_silu(strip)?, &want.narrow(2, start, strip.dim(2)?)?, 1e-5)?;
                }
            }
        }
        assert!(norm.measure(&[]).is_err() && norm.measure(&[noise(&[2, 12, 3, 3])?]).is_err());
        Ok(())
    }

    #[test]
    fn other_widths_are_refused() -> Result<()> {
        assert!(GroupNorm::new(5, noise(&[12])?, noise(&[12])?, 1e-5).is_err());
        assert!(
            GroupNorm::new(3, noise(&[12])?, noise(&[12])?, 1e-5)?
                .forward(&noise(&[1, 9, 4])?)
                .is_err()
        );
        assert!(LayerNorm::new(noise(&[4])?, noise(&[4])?, 1e-5)?.forward(&noise(&[2, 5])?).is_err());
        Ok(())
    }
}
