//! `RealCUGAN`: two networks one after the other, each of which looks at smaller pictures and comes back; nothing is added at the edges but once, before both.

use candle_core::Tensor;

use super::{Network, Shape, walk::Between};
use crate::{
    diffusion::{
        Result,
        ops::{Border, Conv2d, ConvConfig, add, crop, enlarge_nearest, leaky_relu_owned, pad, pick, pixel_shuffle, pixel_unshuffle},
        weights::Weights,
    },
    vision::layers::{Enlarging, HALVING, Squeeze, conv_with, side},
};

/// Slope of the activations below zero.
const SLOPE: f32 = 0.1;
/// What the `pro` networks take pictures in 0 to 1 in: so much of it, from there on.
const PRO: (f64, f64) = (0.7, 0.15);
/// Pixels that the second network's result is smaller, at each edge.
const LOST: usize = 20;

/// A convolution that adds nothing at the edges.
fn plain(weights: &Weights) -> Result<Conv2d> {
    conv_with(weights, ConvConfig::padded(0))
}

/// A picture without so many rows and columns at each edge.
fn without(x: &Tensor, edge: usize) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let kept = |n: usize| (edge..n.saturating_sub(edge)).collect::<Vec<_>>();
    Ok(pick(x, &kept(h), &kept(w))?)
}

fn activated(x: Tensor) -> Result<Tensor> {
    Ok(leaky_relu_owned(x, SLOPE)?)
}

/// Two convolutions, and channels weighed by their means.
#[derive(Debug)]
struct Pair {
    convs: [Conv2d; 2],
    squeeze: Option<Squeeze>,
}

impl Pair {
    fn load(weights: &Weights) -> Result<Self> {
        let (convs, squeeze) = (weights.at("conv"), weights.at("seblock"));
        Ok(Self {
            convs: [plain(&convs.at(0))?, plain(&convs.at(2))?],
            squeeze: if squeeze.has("conv1.weight") {
                Some(Squeeze::load(&squeeze.at("conv1"), &squeeze.at("conv2"))?)
            } else {
                None
            },
        })
    }

    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor> {
        between()?;
        let [first, second] = &self.convs;
        let x = activated(second.forward(&activated(first.forward(x)?)?)?)?;
        match &self.squeeze {
            Some(squeeze) => squeeze.forward(&x),
            None => Ok(x),
        }
    }
}

/// What ends a network.
#[derive(Debug)]
enum Bottom {
    Same(Conv2d),
    /// Twice as large, but for three pixels at each edge.
    Double(Enlarging),
    /// Three times as large, but for one pixel at each edge; `weight [in, out, 5, 5]`, `bias [1, out, 1, 1]`.
    Triple(Tensor, Tensor),
}

impl Bottom {
    fn load(weights: &Weights) -> Result<Self> {
        Ok(match side(weights)? {
            3 => Self::Same(plain(weights)?),
            4 => Self::Double(Enlarging::doubling(weights, None)?),
            5 => {
                let (weight, outputs) = (weights.read("weight")?, weights.require("weight")?[1]);
                Self::Triple(weight, weights.get("bias", &[outputs])?.reshape((1, outputs, 1, 1))?)
            }
            other => return Err(weights.corrupt(format!("`{}` has a kernel of {other}, expected 3, 4 or 5", weights.path()))),
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Same(conv) => Ok(conv.forward(x)?),
            Self::Double(conv) => without(&conv.forward(x)?, 2),
            Self::Triple(weight, bias) => {
                // Without padding, which is taken away after it, this is one product.
                let y = x.contiguous()?.conv_transpose2d(weight, 0, 0, 3, 1)?;
                Ok(without(&y, 2)?.broadcast_add(bias)?)
            }
        }
    }
}

/// Half as large, what `inner` makes of it, and as large again; added to the picture without what `inner` and this lost at each edge.
#[derive(Debug)]
struct Lower {
    down: Conv2d,
    up: Enlarging,
    lost: usize,
}

impl Lower {
    fn load(down: &Weights, up: &Weights, lost: usize) -> Result<Self> {
        Ok(Self {
            down: conv_with(down, HALVING)?,
            up: Enlarging::squares(up)?,
            lost,
        })
    }

    fn forward(&self, x: &Tensor, inner: impl FnOnce(Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let low = inner(activated(self.down.forward(x)?)?)?;
        Ok(add(&without(x, self.lost)?, &activated(self.up.forward(&low)?)?)?)
    }
}

/// The first network: once smaller.
#[derive(Debug)]
struct First {
    start: Pair,
    lower: Lower,
    low: Pair,
    after: Conv2d,
    bottom: Bottom,
}

impl First {
    fn load(weights: &Weights) -> Result<Self> {
        Ok(Self {
            start: Pair::load(&weights.at("conv1"))?,
            lower: Lower::load(&weights.at("conv1_down"), &weights.at("conv2_up"), 4)?,
            low: Pair::load(&weights.at("conv2"))?,
            after: plain(&weights.at("conv3"))?,
            bottom: Bottom::load(&weights.at("conv_bottom"))?,
        })
    }

    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor> {
        let x = self
            .lower
            .forward(&self.start.forward(x, between)?, |x| self.low.forward(&x, between))?;
        between()?;
        self.bottom.forward(&activated(self.after.forward(&x)?)?)
    }
}

/// The second: twice smaller.
#[derive(Debug)]
struct Second {
    start: Pair,
    lower: Lower,
    down: Pair,
    lowest: Lower,
    low: Pair,
    up: Pair,
    after: Conv2d,
    bottom: Bottom,
}

impl Second {
    fn load(weights: &Weights) -> Result<Self> {
        Ok(Self {
            start: Pair::load(&weights.at("conv1"))?,
            lower: Lower::load(&weights.at("conv1_down"), &weights.at("conv4_up"), 16)?,
            down: Pair::load(&weights.at("conv2"))?,
            lowest: Lower::load(&weights.at("conv2_down"), &weights.at("conv3_up"), 4)?,
            low: Pair::load(&weights.at("conv3"))?,
            up: Pair::load(&weights.at("conv4"))?,
            after: plain(&weights.at("conv5"))?,
            bottom: Bottom::load(&weights.at("conv_bottom"))?,
        })
    }

    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor> {
        let x = self.lower.forward(&self.start.forward(x, between)?, |x| {
            let x = self
                .lowest
                .forward(&self.down.forward(&x, between)?, |x| self.low.forward(&x, between))?;
            self.up.forward(&x, between)
        })?;
        between()?;
        self.bottom.forward(&activated(self.after.forward(&x)?)?)
    }
}

/// The network.
#[derive(Debug)]
pub(super) struct Cugan {
    first: First,
    second: Second,
    /// Makes pixels of channels at the end; the picture is then added.
    last: Option<Conv2d>,
    /// Whether channels are made of each 2×2 pixels at the start.
    is_fast: bool,
    is_pro: bool,
    /// Pixels that are added at each edge, and what the sides are made multiples of.
    edge: usize,
    multiple: usize,
    shape: Shape,
}

impl Cugan {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let first = First::load(&weights.at("unet1"))?;
        let inputs = weights.require("unet1.conv1.conv.0.weight")?[1];
        let last = weights.at("conv_final");
        let last = last.has("weight").then(|| plain(&last)).transpose()?;
        let is_fast = last.as_ref().is_some_and(|last| last.out_channels() == inputs);
        let (scale, edge, multiple) = match (&first.bottom, &last) {
            (Bottom::Double(_), Some(_)) if is_fast => (2, 38, 2),
            (Bottom::Double(_), Some(_)) => (4, 19, 2),
            (Bottom::Triple(..), None) => (3, 14, 4),
            (Bottom::Double(_), None) => (2, 18, 2),
            _ => return Err(weights.corrupt("RealCUGAN whose first network does not enlarge")),
        };
        Ok(Self {
            first,
            second: Second::load(&weights.at("unet2"))?,
            last,
            is_fast,
            is_pro: weights.has("pro") && !is_fast,
            edge,
            multiple,
            shape: Shape {
                scale,
                channels: if is_fast { inputs / 4 } else { inputs },
                minimum: if is_fast { 40 } else { 32 },
                multiple: if is_fast { 4 } else { 1 },
            },
        })
    }
}

impl Network for Cugan {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor> {
        let (scale, (_, _, h, w)) = (self.shape.scale, x.dims4()?);
        let given = if self.is_pro { x.affine(PRO.0, PRO.1)? } else { x.clone() };
        let more = |n: usize| self.edge + n.next_multiple_of(self.multiple) - n;
        let mut x = pad(&given, [self.edge, more(h), self.edge, more(w)], Border::Reflect)?;
        if self.is_fast {
            x = pixel_unshuffle(&x, 2)?;
        }
        let x = self.first.forward(&x, between)?;
        let mut y = add(&self.second.forward(&x, between)?, &without(&x, LOST)?)?;
        if let Some(last) = &self.last {
            y = pixel_shuffle(&without(&last.forward(&y)?, 1)?, 2)?;
        }
        y = crop(&y, h * scale, w * scale)?;
        if self.last.is_some() {
            y = add(&y, &enlarge_nearest(&given, scale)?)?;
        }
        Ok(if self.is_pro { y.affine(1.0 / PRO.0, -PRO.1 / PRO.0)? } else { y })
    }
}
