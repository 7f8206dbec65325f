//! Embedding of the timestep and of other plain numbers.

use candle_core::{DType, Device, Tensor};

use crate::diffusion::error::Result;
use crate::diffusion::ops::{Linear, silu};
use crate::diffusion::weights::Weights;

/// Sines and cosines of each value at `width / 2` frequencies, always in f32: near 1000, half floats are too coarse.
///
/// Returns `[values, width]`, cosines first if `flip`.
pub(crate) fn sinusoids(values: &[f64], width: usize, flip: bool, shift: f64, device: &Device) -> candle_core::Result<Tensor> {
    let half = width / 2;
    let step = -(10000f64.ln()) as f32;
    let span = (half as f64 - shift) as f32;
    let mut data = Vec::with_capacity(values.len() * width);
    for &value in values {
        let angles: Vec<f32> = (0..half).map(|i| value as f32 * (step * i as f32 / span).exp()).collect();
        let (sines, cosines) = (angles.iter().map(|a| a.sin()), angles.iter().map(|a| a.cos()));
        if flip {
            data.extend(cosines.chain(sines));
        } else {
            data.extend(sines.chain(cosines));
        }
        if width % 2 == 1 {
            data.push(0.0);
        }
    }
    Tensor::from_vec(data, (values.len(), width), device)
}

/// Two matrix products with a SiLU between.
#[derive(Debug, Clone)]
pub(crate) struct TimeEmbedding {
    first: Linear,
    second: Linear,
}

impl TimeEmbedding {
    /// Reads `linear_1` and `linear_2`.
    pub(crate) fn load(weights: &Weights, inputs: usize, outputs: usize) -> Result<Self> {
        Ok(Self {
            first: weights.at("linear_1").linear(inputs, outputs)?,
            second: weights.at("linear_2").linear(outputs, outputs)?,
        })
    }

    /// `[b, inputs]` to `[b, outputs]`, computed in `dtype`.
    pub(crate) fn forward(&self, x: &Tensor, dtype: DType) -> candle_core::Result<Tensor> {
        self.second.forward(&silu(&self.first.forward(&x.to_dtype(dtype)?)?)?)
    }
}
