//! Layers made from a view on weights. Shapes are those the config calls for; anything else in the file is an error.

use candle_core::Tensor;

use super::Weights;
use crate::diffusion::error::Result;
use crate::diffusion::ops::{Conv2d, ConvConfig, GatedLinear, GroupNorm, LayerNorm, Linear, RmsNorm};

impl Weights {
    /// `weight [outputs, inputs]` and, if the file has one, `bias [outputs]`. A 1×1 convolution's kernel is taken too.
    pub fn linear(&self, inputs: usize, outputs: usize) -> Result<Linear> {
        let weight = self.held(self.matrix(inputs, outputs)?)?;
        Ok(Linear::new(weight, self.bias(outputs)?)?)
    }

    /// Several products of one input as one: their outputs one after another on the last axis. All have a bias, or none has.
    pub fn joint(&self, names: &[&str], inputs: usize, outputs: usize) -> Result<Linear> {
        let parts: Vec<Self> = names.iter().map(|name| self.at(name)).collect();
        let weights: Vec<Tensor> = parts.iter().map(|part| part.matrix(inputs, outputs)).collect::<Result<_>>()?;
        let biased = parts.iter().any(|part| part.has("bias"));
        let bias = if biased {
            let biases: Vec<Tensor> = parts.iter().map(|part| part.get("bias", &[outputs])).collect::<Result<_>>()?;
            Some(Tensor::cat(&biases, 0)?)
        } else {
            None
        };
        Ok(Linear::new(self.held(Tensor::cat(&weights, 0)?)?, bias)?)
    }

    /// A product and a gated GELU: `weight [2 outputs, inputs]`, values first, then gates.
    pub fn gated(&self, inputs: usize, outputs: usize) -> Result<GatedLinear> {
        let weight = self.held(self.matrix(inputs, outputs * 2)?)?;
        Ok(GatedLinear::new(weight, self.bias(outputs * 2)?)?)
    }

    /// `weight [outputs, inputs]` in main memory, also from the kernel of a 1×1 convolution.
    fn matrix(&self, inputs: usize, outputs: usize) -> Result<Tensor> {
        Ok(match self.require("weight")?.as_slice() {
            [_, _, 1, 1] => self.stored("weight", Some(&[outputs, inputs, 1, 1]))?.reshape((outputs, inputs))?,
            [_, _, 1] => self.stored("weight", Some(&[outputs, inputs, 1]))?.reshape((outputs, inputs))?,
            _ => self.stored("weight", Some(&[outputs, inputs]))?,
        })
    }

    /// `bias [outputs]`, if the file has one.
    fn bias(&self, outputs: usize) -> Result<Option<Tensor>> {
        self.has("bias").then(|| self.get("bias", &[outputs])).transpose()
    }

    /// A square convolution: `weight [outputs, inputs, kernel, kernel]`, `bias [outputs]`.
    pub fn conv(&self, inputs: usize, outputs: usize, kernel: usize, config: ConvConfig) -> Result<Conv2d> {
        let weight = match (kernel, self.require("weight")?.len()) {
            (1, 2) => self.stored("weight", Some(&[outputs, inputs]))?.reshape((outputs, inputs, 1, 1))?,
            _ => self.stored("weight", Some(&[outputs, inputs, kernel, kernel]))?,
        };
        Ok(Conv2d::new(self.held(weight)?, self.bias(outputs)?, config)?)
    }

    /// Group normalisation with `weight` and `bias` of `[channels]`.
    pub fn group_norm(&self, groups: usize, channels: usize, eps: f64) -> Result<GroupNorm> {
        Ok(GroupNorm::new(
            groups,
            self.get("weight", &[channels])?,
            self.get("bias", &[channels])?,
            eps,
        )?)
    }

    /// Normalisation by the root mean square, with the tensor `name` of `[channels]`.
    pub fn rms_norm(&self, name: &str, channels: usize, eps: f64) -> Result<RmsNorm> {
        Ok(RmsNorm::new(self.get(name, &[channels])?, eps)?)
    }

    /// Layer normalisation with `weight` and `bias` of `[channels]`.
    pub fn layer_norm(&self, channels: usize, eps: f64) -> Result<LayerNorm> {
        Ok(LayerNorm::new(
            self.get("weight", &[channels])?,
            self.get("bias", &[channels])?,
            eps,
        )?)
    }
}
