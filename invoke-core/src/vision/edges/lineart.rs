//! Line drawings: the generator of "Informative Drawings".

use std::{path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor};

use crate::{
    diffusion::{
        Result,
        ops::{Border, Conv2d, ConvConfig, GroupNorm, add, crop, pad, relu, sigmoid},
        weights::{Source, Weights, open_weights},
    },
    vision::layers::{Enlarging, at_least, conv_with, instance_norm},
};

/// A convolution with its normalisation.
type Normed = (Conv2d, GroupNorm);

/// The network.
#[derive(Debug)]
pub struct Lineart {
    first: Normed,
    halvings: Vec<Normed>,
    blocks: Vec<[Normed; 2]>,
    doublings: Vec<(Enlarging, GroupNorm)>,
    last: Conv2d,
    dtype: DType,
    bytes: u64,
}

fn normed(weights: &Weights, config: ConvConfig) -> Result<Normed> {
    let conv = conv_with(weights, config)?;
    let norm = instance_norm(weights, conv.out_channels())?;
    Ok((conv, norm))
}

impl Lineart {
    /// Opens a file of weights.
    pub fn open(path: &Path, dtype: DType, device: &Device) -> Result<Self> {
        Self::load(open_weights(path)?, dtype, device)
    }

    /// From weights.
    pub fn load(source: Arc<dyn Source>, dtype: DType, device: &Device) -> Result<Self> {
        let weights = Weights::new(source, dtype, device);
        let bare = ConvConfig::padded(0);
        let halving = ConvConfig {
            stride: 2,
            padding: [1; 4],
        };
        let mut blocks = Vec::new();
        while weights.has(&format!("model2.{}.conv_block.1.weight", blocks.len())) {
            let part = weights.at(format_args!("model2.{}.conv_block", blocks.len()));
            blocks.push([normed(&part.at(1), bare)?, normed(&part.at(5), bare)?]);
        }
        let doubling = |index: usize| -> Result<_> {
            let part = weights.at("model3").at(index);
            let outputs = part.require("weight")?.get(1).copied().unwrap_or_default();
            Ok((Enlarging::doubling(&part, None)?, instance_norm(&part, outputs)?))
        };
        Ok(Self {
            first: normed(&weights.at("model0.1"), bare)?,
            halvings: vec![normed(&weights.at("model1.0"), halving)?, normed(&weights.at("model1.3"), halving)?],
            blocks,
            doublings: vec![doubling(0)?, doubling(3)?],
            last: conv_with(&weights.at("model4.1"), bare)?,
            dtype,
            bytes: weights.bytes_loaded(),
        })
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Dark lines on white in 0 to 1, for `x [1, 3, h, w]` in 0 to 1. Sides that are no multiples of 4 become those above, as in the original.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        at_least(8, x)?;
        let step = |(conv, norm): &Normed, x: &Tensor| -> Result<Tensor> { Ok(norm.forward(&conv.forward(x)?)?) };
        let frame = |x: &Tensor, n: usize| pad(x, [n; 4], Border::Reflect);
        let mut x = relu(&step(&self.first, &frame(&x.to_dtype(self.dtype)?, 3)?)?)?;
        for layer in &self.halvings {
            x = relu(&step(layer, &x)?)?;
        }
        for [one, two] in &self.blocks {
            let inner = relu(&step(one, &frame(&x, 1)?)?)?;
            x = add(&step(two, &frame(&inner, 1)?)?, &x)?;
        }
        for (conv, norm) in &self.doublings {
            x = relu(&norm.forward(&conv.forward(&x)?)?)?;
        }
        Ok(sigmoid(&self.last.forward(&frame(&x, 3)?)?)?)
    }

    /// As [`forward`](Self::forward), of the size of `x`.
    pub fn lines(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        Ok(crop(&self.forward(x)?, h, w)?)
    }
}
