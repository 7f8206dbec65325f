//! Matrix products with owned weights.

use candle_core::{Result, Tensor};

/// `y = x Wᵀ + b`.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// From torch's layout: `weight [out, in]`, `bias [out]`.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        weight.dims2()?;
        Ok(Self { weight, bias })
    }

    /// Applies to the last axis of `x [..., in]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let dims = x.dims().to_vec();
        let (last, rest) = dims.split_last().expect("a linear layer's input has at least one axis");
        let y = x.reshape(((), *last))?.matmul(&self.weight.t()?)?;
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        y.reshape([rest, &[self.weight.dims()[0]]].concat())
    }
}
