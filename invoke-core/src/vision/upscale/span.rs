//! `SPAN`: six small blocks that weigh their own results, each convolution of which was several in training.

use candle_core::{DType, Tensor};

use super::{
    Network, Shape,
    compact::scale_of,
    frame::means,
    walk::{Between, walk},
};
use crate::{
    diffusion::{
        Result,
        ops::{Conv2d, ConvConfig, add, cat_channels, pixel_shuffle, scaled, sigmoid, silu},
        weights::Weights,
    },
    vision::layers::{conv, conv_with},
};

const BLOCKS: usize = 6;
/// What pictures in 0 to 1 are multiplied with where the network does so at all.
const RANGE: f32 = 255.0;

/// Three convolutions one after another and one beside them, as one.
fn merged(weights: &Weights) -> Result<Conv2d> {
    let read = |name: &str| -> Result<Tensor> { Ok(weights.read(name)?.to_dtype(DType::F32)?) };
    let (first, middle, last) = (read("conv.0.weight")?, read("conv.1.weight")?, read("conv.2.weight")?);
    let (wide_out, wide_in, h, w) = middle.dims4()?;
    let (inputs, outputs) = (first.dim(1)?, last.dim(0)?);
    // [out, wide_out] · [wide_out, wide_in · 9] by places, then · [wide_in, in].
    let (first, last) = (first.reshape((wide_in, inputs))?, last.reshape((outputs, wide_out))?);
    let places = last
        .matmul(&middle.reshape((wide_out, wide_in * h * w))?)?
        .reshape((outputs, wide_in, h * w))?;
    let kernel = places
        .transpose(1, 2)?
        .contiguous()?
        .reshape((outputs * h * w, wide_in))?
        .matmul(&first)?;
    let kernel = kernel
        .reshape((outputs, h * w, inputs))?
        .transpose(1, 2)?
        .contiguous()?
        .reshape((outputs, inputs, h, w))?;
    let column = |t: Tensor| t.unsqueeze(1);
    let shift = middle.sum(3)?.sum(2)?.matmul(&column(read("conv.0.bias")?)?)?;
    let shift = last.matmul(&(shift + column(read("conv.1.bias")?)?)?)?.squeeze(1)?;
    let shift = ((shift + read("conv.2.bias")?)? + read("sk.bias")?)?;
    let beside = read("sk.weight")?
        .pad_with_zeros(2, h / 2, h / 2)?
        .pad_with_zeros(3, w / 2, w / 2)?;
    let kernel = (kernel + beside)?.to_dtype(weights.dtype())?;
    Ok(Conv2d::new(
        kernel,
        Some(shift.to_dtype(weights.dtype())?),
        ConvConfig::padded(h / 2),
    )?)
}

/// The network.
#[derive(Debug)]
pub(super) struct Span {
    mean: Option<Tensor>,
    first: Conv2d,
    blocks: Vec<[Conv2d; 3]>,
    second: Conv2d,
    join: Conv2d,
    last: Conv2d,
    shape: Shape,
}

impl Span {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let channels = weights.require("conv_1.sk.weight")?.get(1).copied().unwrap_or_default();
        let last = conv(&weights.at("upsampler.0"))?;
        let scale = scale_of(&last, channels, weights)?;
        let block = |n: usize| -> Result<[Conv2d; 3]> {
            let part = weights.at(format_args!("block_{n}"));
            Ok([merged(&part.at("c1_r"))?, merged(&part.at("c2_r"))?, merged(&part.at("c3_r"))?])
        };
        Ok(Self {
            mean: (!weights.has("no_norm")).then(|| means(weights, channels)).transpose()?,
            first: merged(&weights.at("conv_1"))?,
            blocks: (1..=BLOCKS).map(block).collect::<Result<_>>()?,
            second: merged(&weights.at("conv_2"))?,
            join: conv_with(&weights.at("conv_cat"), ConvConfig::padded(0))?,
            last,
            shape: Shape {
                scale,
                channels,
                minimum: 0,
                multiple: 1,
            },
        })
    }
}

/// A block's result, and what its first convolution found.
fn weighed([first, second, third]: &[Conv2d; 3], x: &Tensor) -> Result<(Tensor, Tensor)> {
    let found = silu(&first.forward(x)?)?;
    let out = third.forward(&silu(&second.forward(&found)?)?)?;
    let weight = sigmoid(&out)?.affine(1.0, -0.5)?;
    Ok(((add(&out, x)? * weight)?, found))
}

impl Network for Span {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor> {
        let x = match &self.mean {
            Some(mean) => scaled(&x.broadcast_sub(mean)?, RANGE)?,
            None => x.clone(),
        };
        let start = self.first.forward(&x)?;
        between()?;
        let (first, _) = weighed(&self.blocks[0], &start)?;
        let (out, found) = walk((first.clone(), first.clone()), &self.blocks[1..], between, |(out, _), block| {
            weighed(block, &out)
        })?;
        between()?;
        let joined = cat_channels(&cat_channels(&start, &self.second.forward(&out)?)?, &cat_channels(&first, &found)?)?;
        Ok(pixel_shuffle(&self.last.forward(&self.join.forward(&joined)?)?, self.shape.scale)?)
    }
}
