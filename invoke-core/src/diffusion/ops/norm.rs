//! Normalisation layers.

use candle_core::{D, Result, Tensor};

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
        Ok(Self { groups, weight, bias, eps })
    }

    /// Normalise.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
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
            .broadcast_mul(&self.weight.reshape(shape.clone())?)?
            .broadcast_add(&self.bias.reshape(shape)?)
    }

    /// Normalise and apply SiLU in one pass.
    pub fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        super::silu(&self.forward(x)?)
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
    pub fn new(weight: Tensor, bias: Tensor, eps: f64) -> Self {
        Self { weight, bias, eps }
    }

    /// Normalise.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mean = x.mean_keepdim(D::Minus1)?;
        let centred = x.broadcast_sub(&mean)?;
        let var = centred.sqr()?.mean_keepdim(D::Minus1)?;
        centred
            .broadcast_div(&(var + self.eps)?.sqrt()?)?
            .broadcast_mul(&self.weight)?
            .broadcast_add(&self.bias)
    }
}
