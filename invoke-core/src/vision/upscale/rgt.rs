//! `RGT`: attention by turns within windows, as `DAT` has it, and to a picture made so small that each pixel sees the whole of it.

use candle_core::Tensor;

use super::{
    Network, Shape,
    dat::{Gated, Windows},
    frame::{Convs, EPS, Frame, numbered, widths},
    walk::{Between, walk},
};
use crate::{
    diffusion::{
        Result,
        ops::{
            AttentionMask, Depthwise, LayerNorm, Linear, add, attention, crop, gelu, pixel_unshuffle, pixels_as_tokens, scale_channels,
            scaled, tokens_as_pixels,
        },
        weights::Weights,
    },
    vision::layers::{at_least, depthwise},
};

/// How many times smaller each pass makes the picture, along a side.
const SMALLER: usize = 4;
/// Pixels that look at a time: elsewhere than on the CPU, what each sees is a number in memory.
const AT_A_TIME: usize = 1 << 13;

/// One pixel of each square, by a weight for each place and channel.
#[derive(Debug)]
struct Reduce {
    /// `[1, c * places]`
    weight: Tensor,
    /// `[1, c, 1, 1]`
    bias: Tensor,
}

impl Reduce {
    fn load(weights: &Weights, width: usize) -> Result<Self> {
        let weight = weights.get("weight", &[width, 1, SMALLER, SMALLER])?;
        Ok(Self {
            weight: weight.reshape((1, width * SMALLER * SMALLER))?,
            bias: weights.get("bias", &[width])?.reshape((1, width, 1, 1))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, c, h, w) = x.dims4()?;
        let (h, w) = (h / SMALLER, w / SMALLER);
        let squares = pixel_unshuffle(&crop(x, h * SMALLER, w * SMALLER)?, SMALLER)?;
        let weighed = scale_channels(&squares, &self.weight)?.contiguous()?;
        let sums = weighed.reshape((1, c, SMALLER * SMALLER, h * w))?.sum(2)?.reshape((1, c, h, w))?;
        Ok(sums.broadcast_add(&self.bias)?)
    }
}

/// Attention to all of the picture, made small.
#[derive(Debug)]
struct Whole {
    reduce: Reduce,
    between: Depthwise,
    narrow: Linear,
    norm: LayerNorm,
    qkv: [Linear; 3],
    around: Depthwise,
    out: Linear,
    heads: usize,
}

impl Whole {
    fn load(weights: &Weights, width: usize, heads: usize) -> Result<Self> {
        let narrow = weights.require("conv.weight")?.first().copied().unwrap_or_default();
        if heads == 0 || narrow > width || ![narrow, width].iter().all(|n| n.is_multiple_of(heads)) {
            return Err(weights.corrupt(format!("`{}` has {heads} heads for {narrow} and {width} channels", weights.path())));
        }
        Ok(Self {
            reduce: Reduce::load(&weights.at("reduction1"), width)?,
            between: depthwise(&weights.at("dwconv"))?,
            narrow: weights.at("conv").linear(width, narrow)?,
            norm: weights.at("norm_act.0").layer_norm(narrow, EPS)?,
            qkv: [
                weights.at("q").linear(width, narrow)?,
                weights.at("k").linear(narrow, narrow)?,
                weights.at("v").linear(narrow, width)?,
            ],
            around: depthwise(&weights.at("cpe"))?,
            out: weights.at("proj").linear(width, width)?,
            heads,
        })
    }

    fn forward(&self, x: &Tensor, [h, w]: [usize; 2]) -> Result<Tensor> {
        // Twice for usual pictures, once more for each time that a side is again four times as long.
        let passes = (h.max(w) / 16).max(1).ilog(SMALLER).max(2);
        let picture = tokens_as_pixels(x, h, w)?;
        at_least(SMALLER.pow(passes), &picture)?;
        let small = (0..passes).try_fold(picture, |x, _| self.reduce.forward(&x))?;
        let (_, _, rows, columns) = small.dims4()?;
        let small = self.narrow.forward(&pixels_as_tokens(&self.between.forward(&small)?)?)?;
        let small = gelu(&self.norm.forward(&small)?)?;
        let [q, k, v] = &self.qkv;
        let values = tokens_as_pixels(&v.forward(&small)?, rows, columns)?;
        let values = pixels_as_tokens(&add(&values, &self.around.forward(&values)?)?)?;
        let (queries, keys) = (q.forward(x)?, k.forward(&small)?);
        let (width, narrow) = (values.dim(2)? / self.heads, keys.dim(2)? / self.heads);
        // Zeros make queries and keys as wide as values; attention divides by the root of the width.
        let wide = |x: &Tensor| -> Result<Tensor> {
            let n = x.dim(1)?;
            let heads = x.contiguous()?.reshape((1, n, self.heads, narrow))?;
            Ok(heads.pad_with_zeros(3, 0, width - narrow)?.reshape((1, n, self.heads * width))?)
        };
        let keys = wide(&keys)?;
        let mut seen = Vec::new();
        for from in (0..h * w).step_by(AT_A_TIME) {
            let part = wide(&queries.narrow(1, from, AT_A_TIME.min(h * w - from))?)?;
            let part = scaled(&part, (width as f32 / narrow as f32).sqrt())?;
            seen.push(attention(&part, &keys, &values, self.heads, AttentionMask::None)?);
        }
        Ok(self.out.forward(&Tensor::cat(&seen, 1)?)?)
    }
}

#[derive(Debug)]
enum Attention {
    /// Within windows, with a convolution of the values beside it.
    Windows {
        windows: Windows,
        beside: Depthwise,
        out: Linear,
    },
    Whole(Whole),
}

impl Attention {
    fn windows(weights: &Weights, width: usize, windows: Windows) -> Result<Self> {
        Ok(Self::Windows {
            windows,
            beside: depthwise(&weights.at("get_v"))?,
            out: weights.at("proj").linear(width, width)?,
        })
    }

    fn forward(&self, x: &Tensor, size: [usize; 2]) -> Result<Tensor> {
        match self {
            Self::Windows { windows, beside, out } => {
                let [seen, values] = windows.forward(x, size)?;
                Ok(out.forward(&pixels_as_tokens(&add(&seen, &beside.forward(&values)?)?)?)?)
            }
            Self::Whole(whole) => whole.forward(x, size),
        }
    }
}

#[derive(Debug)]
struct Block {
    norms: [LayerNorm; 2],
    attention: Attention,
    gated: Gated,
    /// How much of each channel it was given is added once more: `[1, 1, c]`.
    again: Tensor,
}

impl Block {
    fn forward(&self, given: &Tensor, size: [usize; 2]) -> Result<Tensor> {
        let x = add(given, &self.attention.forward(&self.norms[0].forward(given)?, size)?)?;
        let x = self.gated.forward_add(&self.norms[1].forward(&x)?, &x, size)?;
        Ok(add(&x, &given.broadcast_mul(&self.again)?)?)
    }
}

#[derive(Debug)]
struct Group {
    blocks: Vec<Block>,
    convs: Convs,
}

impl Group {
    fn load(weights: &Weights, width: usize, group: usize) -> Result<Self> {
        let mut heads = 0;
        let mut blocks = Vec::new();
        for (number, part) in numbered(&weights.at("blocks"), "norm1.weight").iter().enumerate() {
            let attention = part.at("attn");
            let attention = if number.is_multiple_of(2) {
                let windows = Windows::load(&attention, width, group, number)?;
                heads = windows.heads();
                Attention::windows(&attention, width, windows)?
            } else {
                Attention::Whole(Whole::load(&attention, width, heads)?)
            };
            blocks.push(Block {
                norms: [part.at("norm1").layer_norm(width, EPS)?, part.at("norm2").layer_norm(width, EPS)?],
                attention,
                gated: Gated::load(&part.at("mlp"), width)?,
                again: part.get("gamma", &[width])?.reshape((1, 1, width))?,
            });
        }
        let convs = Convs::load(&weights.at("conv"))?;
        Ok(Self { blocks, convs })
    }
}

/// The network.
#[derive(Debug)]
pub(super) struct Rgt {
    frame: Frame,
    groups: Vec<Group>,
}

impl Rgt {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let [_, width] = widths(weights)?;
        let groups = numbered(&weights.at("layers"), "blocks.0.norm1.weight");
        let groups = groups.iter().enumerate().map(|(number, part)| Group::load(part, width, number));
        let groups = groups.collect::<Result<_>>()?;
        let frame = Frame::load(weights, "before_RG.1", 1, 1.0)?;
        Ok(Self { frame, groups })
    }
}

impl Network for Rgt {
    fn shape(&self) -> Shape {
        self.frame.shape()
    }

    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor> {
        self.frame.forward(x, between, |pixels, size| {
            self.groups.iter().try_fold(pixels, |given, group| {
                let x = walk(given.clone(), &group.blocks, between, |x, block| block.forward(&x, size))?;
                group.convs.forward_add(&x, size, &given)
            })
        })
    }
}
