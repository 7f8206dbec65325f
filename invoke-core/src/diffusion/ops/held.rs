//! Where a layer's weight lies while nobody uses it.

use candle_core::{Result, Tensor};

/// The weight of a layer.
#[derive(Debug, Clone)]
pub enum Held {
    /// On the device that computes.
    Here(Tensor),
    /// In main memory, from where it is copied for each use: the device has no room for it.
    Resting(Tensor),
}

impl Held {
    /// The weight, wherever it lies.
    pub(super) fn tensor(&self) -> &Tensor {
        match self {
            Self::Here(tensor) | Self::Resting(tensor) => tensor,
        }
    }

    /// The weight where `x` is, in the numbers of `x`.
    pub(super) fn beside(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Here(tensor) => Ok(tensor.clone()),
            Self::Resting(tensor) => tensor.to_device(x.device())?.to_dtype(x.dtype()),
        }
    }
}

impl From<Tensor> for Held {
    fn from(tensor: Tensor) -> Self {
        Self::Here(tensor)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::super::twin::{close, noise};
    use super::super::{Conv2d, ConvConfig, Fused, GatedLinear, Linear};
    use super::*;

    #[test]
    fn layers_whose_weights_rest_give_the_same() -> Result<()> {
        let (w, b, x, y) = (noise(&[70, 40])?, noise(&[70])?, noise(&[2, 33, 40])?, noise(&[2, 33, 70])?);
        for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::BF16, 4e-3)] {
            let (w, b) = (w.to_dtype(dtype)?, b.to_dtype(dtype)?);
            let rests = |w: &Tensor| Held::Resting(w.clone());
            let (here, there) = (Linear::new(w.clone(), Some(b.clone()))?, Linear::new(rests(&w), Some(b.clone()))?);
            close(&there.forward(&x)?, &here.forward(&x)?, tolerance)?;
            close(&there.forward_add(&x, &y)?, &here.forward_add(&x, &y)?, tolerance)?;
            let (here, there) = (
                GatedLinear::new(w.clone(), Some(b.clone()))?,
                GatedLinear::new(rests(&w), Some(b.clone()))?,
            );
            close(&there.forward(&x)?, &here.forward(&x)?, tolerance)?;
            let (kernel, shift) = (noise(&[9, 8, 3, 3])?.to_dtype(dtype)?, Some(noise(&[9])?.to_dtype(dtype)?));
            let config = ConvConfig::padded(1);
            let here = Conv2d::new(kernel.clone(), shift.clone(), config)?;
            let there = Conv2d::new(rests(&kernel), shift, config)?;
            let (picture, fused) = (noise(&[1, 8, 6, 7])?, Fused::default());
            let mode = [super::super::PaddingMode::Circular; 2];
            close(
                &there.forward_fused(&picture, mode, fused)?,
                &here.forward_fused(&picture, mode, fused)?,
                tolerance,
            )?;
        }
        Ok(())
    }
}
