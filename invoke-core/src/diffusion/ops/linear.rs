//! Matrix products with owned weights.

use candle_core::{DType, Device, Result, Tensor};
use invoke_kernels::{Matrix, Weight};

use super::{Held, add, cpu, geglu};

/// `y = x Wᵀ + b`.
#[derive(Debug, Clone)]
pub struct Linear {
    outputs: usize,
    weights: Weights,
}

#[derive(Debug, Clone)]
enum Weights {
    /// On the CPU, packed; shared by clones of the layer.
    Packed(std::sync::Arc<Matrix>),
    /// Everything else.
    Plain(Held, Option<Tensor>),
}

impl Linear {
    /// From torch's layout: `weight [out, in]`, `bias [out]`.
    pub fn new(weight: impl Into<Held>, bias: Option<Tensor>) -> Result<Self> {
        let weight = weight.into();
        let (outputs, inputs) = weight.tensor().dims2()?;
        check_bias(bias.as_ref(), outputs)?;
        let weights = match weight {
            Held::Here(weight) if cpu::suits_weights(&weight) && inputs > 0 => {
                Weights::Packed(pack(&weight, bias, Plain { inputs })?.into())
            }
            weight => Weights::Plain(weight, bias.map(cpu::single).transpose()?),
        };
        Ok(Self { outputs, weights })
    }

    /// Applies to the last axis of `x [..., in]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.weights {
            Weights::Packed(matrix) => packed(matrix, x, None),
            Weights::Plain(weight, bias) => plain(&weight.beside(x)?, bias.as_ref(), x),
        }
    }

    /// As [`forward`](Self::forward), and adds `residual` (of the output's shape) in the same pass.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        match &self.weights {
            Weights::Packed(matrix) if cpu::suits(residual) => packed(matrix, x, Some(residual)),
            _ => add(&self.forward(x)?, residual),
        }
    }

    /// Whether it rounds what it is given to half floats, the weights being such, and gives single floats.
    pub fn of_halves(&self) -> bool {
        matches!(&self.weights, Weights::Packed(matrix) if matrix.of_halves())
    }

    /// Width of the output.
    pub fn outputs(&self) -> usize {
        self.outputs
    }
}

/// A matrix product followed by a gated GELU: `value * gelu(gate)` where `[value, gate] = x Wᵀ + b`.
#[derive(Debug, Clone)]
pub struct GatedLinear {
    weights: Weights,
}

impl GatedLinear {
    /// From torch's layout: `weight [2 * out, in]`, values first, then gates; `bias [2 * out]`.
    pub fn new(weight: impl Into<Held>, bias: Option<Tensor>) -> Result<Self> {
        let weight = weight.into();
        let (outputs, inputs) = weight.tensor().dims2()?;
        check_bias(bias.as_ref(), outputs)?;
        if outputs % 2 != 0 {
            candle_core::bail!("a gated layer: {outputs} outputs do not divide into values and gates");
        }
        let weights = match weight {
            Held::Here(weight) if cpu::suits_weights(&weight) && inputs > 0 => {
                Weights::Packed(pack(&weight, bias, Gated { inputs })?.into())
            }
            weight => Weights::Plain(weight, bias.map(cpu::single).transpose()?),
        };
        Ok(Self { weights })
    }

    /// Applies to the last axis of `x [..., in]`; returns `[..., out]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.weights {
            Weights::Packed(matrix) => packed(matrix, x, None),
            Weights::Plain(weight, bias) => geglu(&plain(&weight.beside(x)?, bias.as_ref(), x)?),
        }
    }
}

fn check_bias(bias: Option<&Tensor>, outputs: usize) -> Result<()> {
    match bias {
        Some(bias) if bias.dims() != [outputs] => candle_core::bail!("a bias of shape {:?} for {outputs} outputs", bias.dims()),
        _ => Ok(()),
    }
}

/// A kind of layer that is made from packed weights.
pub(super) trait Pack {
    /// The layer.
    type Layer;
    /// Packs its weights.
    fn pack<W: Weight>(self, weight: &[W], bias: Option<&[f32]>) -> Self::Layer;
}

struct Plain {
    inputs: usize,
}

impl Pack for Plain {
    type Layer = Matrix;
    fn pack<W: Weight>(self, weight: &[W], bias: Option<&[f32]>) -> Matrix {
        Matrix::new(weight, self.inputs, bias)
    }
}

struct Gated {
    inputs: usize,
}

impl Pack for Gated {
    type Layer = Matrix;
    fn pack<W: Weight>(self, weight: &[W], bias: Option<&[f32]>) -> Matrix {
        Matrix::gated(weight, self.inputs, bias)
    }
}

/// Packs a weight of single or half floats on the CPU, and its bias.
pub(super) fn pack<P: Pack>(weight: &Tensor, bias: Option<Tensor>, layer: P) -> Result<P::Layer> {
    let bias = bias.map(|bias| cpu::single(bias)?.contiguous()).transpose()?;
    let floats = bias.as_ref().map(cpu::floats).transpose()?;
    let bias = floats.as_ref().map(cpu::Floats::slice).transpose()?;
    if weight.dtype() == DType::BF16 {
        return Ok(layer.pack(&cpu::halves(weight)?, bias));
    }
    let weight = weight.contiguous()?;
    let weight = cpu::floats(&weight)?;
    Ok(layer.pack(weight.slice()?, bias))
}

fn packed(matrix: &Matrix, x: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
    let mut dims = x.dims().to_vec();
    let Some(last) = dims.last_mut().filter(|n| **n == matrix.inputs()) else {
        candle_core::bail!("a linear layer of {} inputs got {:?}", matrix.inputs(), x.dims());
    };
    *last = matrix.outputs();
    if let Some(r) = residual.filter(|r| r.dims() != dims) {
        candle_core::bail!("a residual of shape {:?} for an output of {dims:?}", r.dims());
    }
    let x = x.contiguous()?;
    let residual = residual.map(Tensor::contiguous).transpose()?;
    let floats = residual.as_ref().map(cpu::floats).transpose()?;
    let y = matrix.product(cpu::floats(&x)?.slice()?, floats.as_ref().map(cpu::Floats::slice).transpose()?);
    Tensor::from_vec(y, dims, &Device::Cpu)
}

fn plain(weight: &Tensor, bias: Option<&Tensor>, x: &Tensor) -> Result<Tensor> {
    let dims = x.dims().to_vec();
    let Some((last, rest)) = dims.split_last() else {
        candle_core::bail!("a linear layer's input has at least one axis")
    };
    let y = x.reshape(((), *last))?.matmul(&weight.t()?)?;
    let y = match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    };
    y.reshape([rest, &[weight.dims()[0]]].concat())
}

#[cfg(test)]
mod tests {
    use super::super::twin::{close, noise};
    use super::*;

    #[test]
    fn kernels_agree_with_candle() -> Result<()> {
        for (rows, inputs, outputs) in [(vec![1], 5, 3), (vec![2, 33], 40, 70), (vec![2, 3, 5], 64, 64)] {
            let x = noise(&[&rows[..], &[inputs]].concat())?;
            let y = noise(&[&rows[..], &[outputs]].concat())?;
            let (w, b) = (noise(&[outputs, inputs])?, noise(&[outputs])?);
            let layer = Linear::new(w.clone(), Some(b.clone()))?;
            assert_eq!(layer.outputs(), outputs);
            let want = plain(&w, Some(&b), &x)?;
            close(&layer.forward(&x)?, &want, 1e-5)?;
            close(&layer.forward_add(&x, &y)?, &(want + y)?, 1e-5)?;
            close(&Linear::new(w.clone(), None)?.forward(&x)?, &plain(&w, None, &x)?, 1e-5)?;
            let (w, b) = (noise(&[2 * outputs, inputs])?, noise(&[2 * outputs])?);
            let both = plain(&w, Some(&b), &x)?;
            let axis = rows.len();
            let want = (both.narrow(axis, 0, outputs)? * both.narrow(axis, outputs, outputs)?.contiguous()?.gelu_erf()?)?;
            close(&GatedLinear::new(w, Some(b))?.forward(&x)?, &want, 1e-5)?;
        }
        Ok(())
    }

    #[test]
    fn half_floats_agree_with_candle_as_far_as_they_round() -> Result<()> {
        let (x, w, b) = (noise(&[2, 33, 40])?, noise(&[70, 40])?, noise(&[70])?);
        let halves = w.to_dtype(DType::BF16)?;
        let layer = Linear::new(halves.clone(), Some(b.to_dtype(DType::BF16)?))?;
        let y = layer.forward(&x)?;
        assert_eq!(y.dtype(), DType::F32);
        let b = b.to_dtype(DType::BF16)?.to_dtype(DType::F32)?;
        let want = plain(&halves.to_dtype(DType::F32)?, Some(&b), &x)?;
        close(&y, &want, 4e-3)?;
        // They are halves indeed, and no single floats in disguise.
        let apart = (y - plain(&w, Some(&b), &x)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(apart > 1e-4, "{apart}");
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() -> Result<()> {
        let layer = Linear::new(noise(&[3, 4])?, None)?;
        assert!(layer.forward(&noise(&[2, 5])?).is_err());
        assert!(layer.forward_add(&noise(&[2, 4])?, &noise(&[2, 4])?).is_err());
        assert!(Linear::new(noise(&[3, 4])?, Some(noise(&[4])?)).is_err());
        assert!(GatedLinear::new(noise(&[3, 4])?, None).is_err());
        Ok(())
    }
}
