//! `RRDBNet` of ESRGAN, Real-ESRGAN, BSRGAN and ESRGAN+: dense blocks within residual blocks, then doublings.

use candle_core::Tensor;

use super::{
    Network, Shape,
    walk::{Between, walk},
};
use crate::{
    diffusion::{
        ModelError, Result,
        ops::{Border, Conv2d, ConvConfig, Fused, PaddingMode, add, cat_channels, crop, leaky_relu_owned, pad, pixel_unshuffle, scaled},
        weights::Weights,
    },
    models::upscalers::EsrganNames,
    vision::layers::{bias, conv},
};

/// Slope of the activations below zero.
const SLOPE: f32 = 0.2;
/// How much of a block is added to what it was given.
const RESIDUAL: f32 = 0.2;
/// Most doublings: a picture 256 times as large.
const MOST_DOUBLINGS: usize = 8;

impl EsrganNames {
    fn first(self) -> &'static str {
        if self == Self::Sequence { "model.0" } else { "conv_first" }
    }

    fn dense(self, block: usize, part: usize) -> String {
        match self {
            Self::Sequence => format!("model.1.sub.{block}.RDB{part}"),
            Self::Trunk => format!("RRDB_trunk.{block}.RDB{part}"),
            Self::Body => format!("body.{block}.rdb{part}"),
        }
    }

    fn in_dense(self, number: usize) -> String {
        if self == Self::Sequence {
            format!("conv{number}.0")
        } else {
            format!("conv{number}")
        }
    }

    fn after_blocks(self, blocks: usize) -> String {
        match self {
            Self::Sequence => format!("model.1.sub.{blocks}"),
            Self::Trunk => "trunk_conv".into(),
            Self::Body => "conv_body".into(),
        }
    }

    /// The convolution after the `number`-th doubling, from 1.
    fn doubling(self, number: usize) -> String {
        match self {
            Self::Sequence => format!("model.{}", number * 3),
            Self::Trunk => format!("upconv{number}"),
            Self::Body => format!("conv_up{number}"),
        }
    }

    /// The two convolutions at the size of the result.
    fn last_two(self, doublings: usize) -> [String; 2] {
        match self {
            Self::Sequence => [2, 4].map(|n| format!("model.{}", doublings * 3 + n)),
            Self::Trunk => ["HRconv".into(), "conv_last".into()],
            Self::Body => ["conv_hr".into(), "conv_last".into()],
        }
    }
}

/// Five convolutions, each of which sees the results of those before it.
#[derive(Debug)]
struct Dense {
    convs: [Conv2d; 4],
    last: Conv2d,
    /// ESRGAN+: from the input to the second result.
    shortcut: Option<Conv2d>,
}

impl Dense {
    fn load(weights: &Weights, names: EsrganNames) -> Result<Self> {
        let one = |number: usize| conv(&weights.at(names.in_dense(number)));
        let last = weights.at(names.in_dense(5));
        let shrink = |t: Tensor| t * f64::from(RESIDUAL);
        let (kernel, shift) = (shrink(last.read("weight")?)?, bias(&last)?.map(shrink).transpose()?);
        Ok(Self {
            convs: [one(1)?, one(2)?, one(3)?, one(4)?],
            last: Conv2d::new(kernel, shift, ConvConfig::padded(1))?,
            shortcut: if weights.has("conv1x1.weight") {
                Some(conv(&weights.at("conv1x1"))?)
            } else {
                None
            },
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let step = |conv: &Conv2d, seen: &Tensor| -> Result<Tensor> { Ok(leaky_relu_owned(conv.forward(seen)?, SLOPE)?) };
        let [first, second, third, fourth] = &self.convs;
        let seen = cat_channels(x, &step(first, x)?)?;
        let mut two = step(second, &seen)?;
        if let Some(shortcut) = &self.shortcut {
            two = add(&two, &shortcut.forward(x)?)?;
        }
        let seen = cat_channels(&seen, &two)?;
        let seen = cat_channels(&seen, &step(third, &seen)?)?;
        let mut four = step(fourth, &seen)?;
        if self.shortcut.is_some() {
            four = add(&four, &two)?;
        }
        let seen = cat_channels(&seen, &four)?;
        Ok(self.last.forward_with(&seen, [PaddingMode::Zeros; 2], Some(x))?)
    }
}

/// The network.
#[derive(Debug)]
pub(super) struct Rrdb {
    first: Conv2d,
    blocks: Vec<[Dense; 3]>,
    after_blocks: Conv2d,
    doublings: Vec<Conv2d>,
    last_two: [Conv2d; 2],
    /// Side of the squares of pixels that are made channels at the start.
    unshuffle: usize,
    shape: Shape,
}

impl Rrdb {
    pub(super) fn load(weights: &Weights, names: EsrganNames) -> Result<Self> {
        let first = weights.at(names.first());
        let inputs = first.require("weight")?.get(1).copied().unwrap_or_default();
        let mut blocks = Vec::new();
        while weights.has(&format!("{}.{}.weight", names.dense(blocks.len(), 1), names.in_dense(1))) {
            let part = |part: usize| Dense::load(&weights.at(names.dense(blocks.len(), part)), names);
            blocks.push([part(1)?, part(2)?, part(3)?]);
        }
        let mut doublings = Vec::new();
        // In a sequence the place of the next doubling holds a convolution only if there is one.
        let next = |n: usize| names.doubling(n + 1) + ".weight";
        while doublings.len() < MOST_DOUBLINGS && weights.has(&next(doublings.len())) {
            doublings.push(conv(&weights.at(names.doubling(doublings.len() + 1)))?);
        }
        let last_two = names.last_two(doublings.len()).map(|name| conv(&weights.at(name)));
        let [high, last] = last_two;
        let (high, last) = (high?, last?);
        let channels = last.out_channels();
        let unshuffle = match inputs {
            n if n == channels => 1,
            n if n == channels * 4 => 2,
            n if n == channels * 16 => 4,
            n => return Err(weights.corrupt(format!("it takes {n} channels and gives {channels}"))),
        };
        let enlarged = 1 << doublings.len();
        if enlarged % unshuffle != 0 {
            return Err(weights.corrupt(format!(
                "it makes pictures smaller: {unshuffle} times, then {enlarged} times larger"
            )));
        }
        Ok(Self {
            first: conv(&first)?,
            after_blocks: conv(&weights.at(names.after_blocks(blocks.len())))?,
            blocks,
            doublings,
            last_two: [high, last],
            unshuffle,
            shape: Shape {
                scale: enlarged / unshuffle,
                channels,
                minimum: 2,
                multiple: if unshuffle > 1 { 4 } else { 1 },
            },
        })
    }
}

impl Network for Rrdb {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let n = self.unshuffle;
        let start = if n > 1 {
            let (below, beside) = (h.next_multiple_of(n) - h, w.next_multiple_of(n) - w);
            if below >= h || beside >= w {
                return Err(ModelError::Input(format!("a picture of {w}x{h} is too small for this model")));
            }
            pixel_unshuffle(&pad(x, [0, below, 0, beside], Border::Reflect)?, n)?
        } else {
            x.clone()
        };
        let start = self.first.forward(&start)?;
        let mut out = start.clone();
        for block in &self.blocks {
            let inner = walk(out.clone(), block, between, |x, dense| dense.forward(&x))?;
            out = add(&scaled(&inner, RESIDUAL)?, &out)?;
        }
        between()?;
        out = self.after_blocks.forward_with(&out, [PaddingMode::Zeros; 2], Some(&start))?;
        let fused = Fused {
            doubled: true,
            ..Fused::default()
        };
        out = walk(out, &self.doublings, between, |out, conv| {
            Ok(leaky_relu_owned(conv.forward_fused(&out, [PaddingMode::Zeros; 2], fused)?, SLOPE)?)
        })?;
        let [high, last] = &self.last_two;
        between()?;
        let out = leaky_relu_owned(high.forward(&out)?, SLOPE)?;
        between()?;
        let out = last.forward(&out)?;
        Ok(if n > 1 {
            crop(&out, h * self.shape.scale, w * self.shape.scale)?
        } else {
            out
        })
    }
}
