//! `MoSR`: gated blocks, a part of whose channels sees far by convolutions of each channel by itself.

use candle_core::Tensor;

use super::{
    Network, Shape,
    compact::{scale_of, squares},
    plksr::Sampler,
    walk::{Between, walk},
};
use crate::{
    diffusion::{
        Result,
        ops::{Conv2d, ConvConfig, Depthwise, LayerNorm, add, cat_channels, mish, pixel_shuffle, pixels_as_tokens, tokens_as_pixels},
        weights::Weights,
    },
    vision::layers::{bias, conv, depthwise, side},
};

const EPS: f64 = 1e-6;
/// What is taken away from what goes around blocks.
const LESS: f64 = 0.5;
/// Results of which the mean is taken, in networks that make several.
const RESULTS: usize = 8;
/// Groups of the sampler, times two directions.
const DIRECTIONS: usize = 8;

#[derive(Debug)]
struct Block {
    norm: LayerNorm,
    widen: Conv2d,
    far: Depthwise,
    narrow: Conv2d,
    /// Channels of the gate, and those that see far.
    parts: [usize; 2],
}

impl Block {
    fn load(weights: &Weights, width: usize) -> Result<Self> {
        let (widen, far) = (conv(&weights.at("fc1"))?, weights.at("conv"));
        let parts = [
            widen.out_channels() / 2,
            far.require("weight")?.first().copied().unwrap_or_default(),
        ];
        if parts[1] > parts[0] {
            return Err(weights.corrupt(format!("`{}` has {parts:?} channels that see near and far", weights.path())));
        }
        Ok(Self {
            norm: weights.at("norm").layer_norm(width, EPS)?,
            widen,
            far: depthwise(&far)?,
            narrow: conv(&weights.at("fc2"))?,
            parts,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let ((_, _, h, w), [gate, far]) = (x.dims4()?, self.parts);
        let wide = tokens_as_pixels(&self.norm.forward(&pixels_as_tokens(x)?)?, h, w)?;
        let wide = self.widen.forward(&wide)?;
        let seen = self.far.forward(&wide.narrow(1, 2 * gate - far, far)?)?;
        let kept = if far < gate {
            cat_channels(&wide.narrow(1, gate, gate - far)?, &seen)?
        } else {
            seen
        };
        let gated = (mish(&wide.narrow(1, 0, gate)?)? * kept)?;
        Ok(add(&mish(&self.narrow.forward(&gated)?)?, &x.affine(1.0, -LESS)?)?)
    }
}

/// How pixels are made of channels.
#[derive(Debug)]
enum Enlarge {
    Shuffle(Conv2d),
    Sample(Sampler),
}

/// A convolution that is the mean of several.
fn mean(weights: &Weights) -> Result<Conv2d> {
    let edge = side(weights)? / 2;
    let all = weights.read("weight")?;
    let (outputs, inputs, h, w) = all.dims4()?;
    if !outputs.is_multiple_of(RESULTS) {
        return Err(weights.corrupt(format!("`{}` has {outputs} outputs, no {RESULTS} results", weights.path())));
    }
    let outputs = outputs / RESULTS;
    let kernel = all
        .reshape((RESULTS, outputs * inputs * h * w))?
        .mean(0)?
        .reshape((outputs, inputs, h, w))?;
    let shift = bias(weights)?.map(|shift| shift.reshape((RESULTS, outputs))?.mean(0));
    Ok(Conv2d::new(kernel, shift.transpose()?, ConvConfig::padded(edge))?)
}

/// The network.
#[derive(Debug)]
pub(super) struct Mosr {
    first: Conv2d,
    blocks: Vec<Block>,
    /// Two with an activation behind each, and one.
    last: [Conv2d; 3],
    around: [Conv2d; 2],
    beside: Conv2d,
    enlarge: Enlarge,
    shape: Shape,
}

impl Mosr {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let parts = weights.at("gblocks");
        let first = conv(&parts.at(0))?;
        let channels = parts.require("0.weight")?[1];
        let mut blocks = Vec::new();
        while parts.has(&format!("{}.fc1.weight", blocks.len() + 1)) {
            blocks.push(Block::load(&parts.at(blocks.len() + 1), first.out_channels())?);
        }
        let after = |more: usize| conv(&parts.at(blocks.len() + more));
        let last = [after(1)?, after(3)?, after(5)?];
        let (up, shortcut) = (weights.at("upsampler"), weights.at("shortcut"));
        let (enlarge, scale) = if up.has("init_pos") {
            let offsets = up.require("offset.weight")?.first().copied().unwrap_or_default();
            let scale = squares(offsets, DIRECTIONS).ok_or_else(|| weights.corrupt(format!("its sampler has {offsets} outputs")))?;
            (Enlarge::Sample(Sampler::load(&up, scale)?), scale)
        } else {
            let means = up.at("in_to_k");
            let last = if means.has("weight") { mean(&means)? } else { conv(&up.at(0))? };
            let scale = scale_of(&last, channels, weights)?;
            (Enlarge::Shuffle(last), scale)
        };
        Ok(Self {
            first,
            blocks,
            last,
            around: [conv(&shortcut.at("block.0"))?, conv(&shortcut.at("block.2"))?],
            beside: conv(&shortcut.at("conv11"))?,
            enlarge,
            shape: Shape {
                scale,
                channels,
                minimum: 0,
                multiple: 1,
            },
        })
    }
}

impl Network for Mosr {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor> {
        let (activated, scale) = (|conv: &Conv2d, x: &Tensor| mish(&conv.forward(x)?), self.shape.scale);
        let y = walk(self.first.forward(x)?, &self.blocks, between, |y, block| block.forward(&y))?;
        between()?;
        let [one, two, three] = &self.last;
        let y = three.forward(&activated(two, &activated(one, &y)?)?)?;
        let [one, two] = &self.around;
        let around = add(&activated(two, &activated(one, x)?)?, &self.beside.forward(x)?)?;
        let y = add(&y, &around.affine(1.0, -LESS)?)?;
        between()?;
        match &self.enlarge {
            Enlarge::Shuffle(conv) => Ok(pixel_shuffle(&conv.forward(&y)?, scale)?),
            Enlarge::Sample(sampler) => sampler.forward(&y, scale),
        }
    }
}
