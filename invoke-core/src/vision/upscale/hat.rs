//! `HAT`: as SwinIR, with a convolution beside each attention and, at the end of each group, attention to windows that overlap.

use candle_core::{DType, Tensor};

use super::{
    Network, Shape,
    swin::{Convs, Enlarge, Mlp, means},
};
use crate::{
    diffusion::{
        Result,
        ops::{
            Border, Conv2d, LayerNorm, Linear, add, crop, gelu, pad, pixels_as_tokens, relu, scale_channels, scaled, sigmoid,
            tokens_as_pixels,
        },
        weights::Weights,
    },
    vision::{
        layers::{channel_means, conv},
        windows::{Cut, WindowAttention, wide_attention},
    },
};

const EPS: f64 = 1e-5;
/// How much of the convolution beside the attention counts.
const BESIDE: f32 = 0.01;

/// Two convolutions whose channels are weighed by what all of the picture says.
#[derive(Debug)]
struct Beside {
    convs: [Conv2d; 2],
    squeeze: [Conv2d; 2],
}

impl Beside {
    fn load(weights: &Weights) -> Result<Self> {
        let attention = weights.at("3.attention");
        Ok(Self {
            convs: [conv(&weights.at(0))?, conv(&weights.at(2))?],
            squeeze: [conv(&attention.at(1))?, conv(&attention.at(3))?],
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [first, second] = &self.convs;
        let x = second.forward(&gelu(&first.forward(x)?)?)?;
        let (b, c, _, _) = x.dims4()?;
        let [reduce, expand] = &self.squeeze;
        let weight = expand.forward(&relu(&reduce.forward(&channel_means(&x)?)?)?)?;
        Ok(scale_channels(&x, &sigmoid(&weight)?.contiguous()?.reshape((b, c))?)?)
    }
}

#[derive(Debug)]
struct Block {
    norms: [LayerNorm; 2],
    attention: WindowAttention,
    beside: Beside,
    mlp: Mlp,
}

/// Attention of each window to a larger one around it.
#[derive(Debug)]
struct Overlapping {
    norms: [LayerNorm; 2],
    qkv: Linear,
    out: Linear,
    /// `[heads, side², larger²]`
    bias: Tensor,
    heads: usize,
    larger: usize,
    mlp: Mlp,
}

impl Overlapping {
    fn load(weights: &Weights, width: usize, side: usize) -> Result<Self> {
        const TABLE: &str = "relative_position_bias_table";
        let shape = weights.require(TABLE)?;
        let wrong = || weights.corrupt(format!("`{}.{TABLE}` has shape {shape:?}", weights.path()));
        let [rows, heads] = *shape.as_slice() else { return Err(wrong()) };
        let all = rows.isqrt();
        let larger = (all + 1).saturating_sub(side);
        let fits = all * all == rows && larger >= side && (larger - side).is_multiple_of(2) && heads > 0 && width.is_multiple_of(heads);
        if !fits || larger > 256 {
            return Err(wrong());
        }
        // The original's numbers of the far places are negative, and count from the table's end.
        let place = |own: usize, other: usize| (other + side + 1) as i64 - (own + larger) as i64;
        let places: Vec<u32> = (0..side * side * larger * larger)
            .map(|i| {
                let (own, other) = (i / (larger * larger), i % (larger * larger));
                let (y, x) = (place(own / side, other / larger), place(own % side, other % larger));
                (y * all as i64 + x).rem_euclid(rows as i64) as u32
            })
            .collect();
        let count = places.len();
        let bias = weights
            .read(TABLE)?
            .index_select(&Tensor::from_vec(places, count, weights.device())?, 0)?;
        Ok(Self {
            norms: [
                weights.at("norm1").layer_norm(width, EPS)?,
                weights.at("norm2").layer_norm(width, EPS)?,
            ],
            qkv: weights.at("qkv").linear(width, 3 * width)?,
            out: weights.at("proj").linear(width, width)?,
            bias: bias.t()?.contiguous()?.reshape((heads, side * side, larger * larger))?,
            heads,
            larger,
            mlp: Mlp::load(&weights.at("mlp"), width)?,
        })
    }

    fn forward(&self, x: &Tensor, cut: &Cut) -> Result<Tensor> {
        let qkv = self.qkv.forward(&self.norms[0].forward(x)?)?;
        let width = qkv.dim(2)? / 3;
        let part = |i: usize| qkv.narrow(2, i * width, width);
        let queries = cut.windows(&part(0)?)?;
        let (keys, values) = (cut.around(&part(1)?, self.larger)?, cut.around(&part(2)?, self.larger)?);
        let seen = wide_attention([&queries, &keys, &values], self.heads, &self.bias, |_, _| Ok(None))?;
        let x = self.out.forward_add(&cut.pixels(&seen)?, x)?;
        self.mlp.forward_add(&self.norms[1].forward(&x)?, &x)
    }
}

#[derive(Debug)]
struct Group {
    blocks: Vec<Block>,
    overlapping: Overlapping,
    convs: Option<Convs>,
}

/// The network.
#[derive(Debug)]
pub(super) struct Hat {
    mean: Tensor,
    first: Conv2d,
    norm_in: Option<LayerNorm>,
    groups: Vec<Group>,
    norm_out: LayerNorm,
    after: Option<Convs>,
    enlarge: Enlarge,
    window: usize,
    shape: Shape,
}

/// Whether weights are of this architecture.
pub(super) fn matches(weights: &Weights) -> bool {
    let group = "layers.0.residual_group";
    ["overlap_attn.relative_position_bias_table", "blocks.0.conv_block.cab.0.weight"]
        .iter()
        .all(|name| weights.has(&format!("{group}.{name}")))
}

impl Hat {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        if weights.has("absolute_pos_embed") {
            return Err(weights.corrupt("HAT with absolute positions is not supported: it takes pictures of one size"));
        }
        let first = conv(&weights.at("conv_first"))?;
        let channels = weights.require("conv_first.weight")?[1];
        let width = first.out_channels();
        let optional = |part: &Weights| part.has("weight").then(|| Convs::load(part)).transpose();
        let mut window = 0;
        let mut groups = Vec::new();
        while weights.has(&format!("layers.{}.residual_group.blocks.0.norm1.weight", groups.len())) {
            let group = weights.at("layers").at(groups.len());
            let inner = group.at("residual_group");
            let mut blocks = Vec::new();
            while inner.has(&format!("blocks.{}.norm1.weight", blocks.len())) {
                let part = inner.at("blocks").at(blocks.len());
                let (attention, side) = WindowAttention::load(&part.at("attn"), width)?;
                if window != 0 && window != side {
                    return Err(weights.corrupt("its windows are of several sizes"));
                }
                window = side;
                blocks.push(Block {
                    norms: [part.at("norm1").layer_norm(width, EPS)?, part.at("norm2").layer_norm(width, EPS)?],
                    attention,
                    beside: Beside::load(&part.at("conv_block.cab"))?,
                    mlp: Mlp::load(&part.at("mlp"), width)?,
                });
            }
            groups.push(Group {
                blocks,
                overlapping: Overlapping::load(&inner.at("overlap_attn"), width, window)?,
                convs: optional(&group.at("conv"))?,
            });
        }
        let enlarge = Enlarge::load(weights, channels)?;
        let norm_in = weights.at("patch_embed.norm");
        Ok(Self {
            mean: means(weights, channels)?,
            first,
            norm_in: norm_in.has("weight").then(|| norm_in.layer_norm(width, EPS)).transpose()?,
            groups,
            norm_out: weights.at("norm").layer_norm(width, EPS)?,
            after: optional(&weights.at("conv_after_body"))?,
            shape: Shape {
                scale: enlarge.scale(),
                channels,
                minimum: 16,
                multiple: 1,
            },
            enlarge,
            window,
        })
    }
}

impl Network for Hat {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let more = |n: usize| n.next_multiple_of(self.window) - n;
        let picture = pad(&x.broadcast_sub(&self.mean)?, [0, more(h), 0, more(w)], Border::Reflect)?;
        let (_, _, tall, broad) = picture.dims4()?;
        let cut = |shift: usize| Cut::new(tall, broad, self.window, shift, x.device());
        let cuts = [cut(0)?, cut(self.window / 2)?];
        let first = self.first.forward(&picture)?;
        let mut x = pixels_as_tokens(&first)?;
        if let Some(norm) = &self.norm_in {
            x = norm.forward(&x)?;
        }
        for group in &self.groups {
            let start = x.clone();
            for (i, block) in group.blocks.iter().enumerate() {
                let normed = block.norms[0].forward(&x)?;
                let beside = block.beside.forward(&tokens_as_pixels(&normed, tall, broad)?)?;
                let seen = block.attention.forward(&normed, &cuts[i % 2])?;
                x = add(&add(&x, &seen)?, &scaled(&pixels_as_tokens(&beside)?, BESIDE)?)?;
                x = block.mlp.forward_add(&block.norms[1].forward(&x)?, &x)?;
            }
            x = group.overlapping.forward(&x, &cuts[0])?;
            if let Some(convs) = &group.convs {
                x = pixels_as_tokens(&convs.forward(&tokens_as_pixels(&x, tall, broad)?)?)?;
            }
            x = add(&x, &start)?;
        }
        let mut x = tokens_as_pixels(&self.norm_out.forward(&x)?, tall, broad)?;
        if let Some(after) = &self.after {
            x = after.forward(&x)?;
        }
        let y = self.enlarge.forward(&add(&x, &first)?, &picture)?.to_dtype(DType::F32)?;
        let y = y.broadcast_add(&self.mean.to_dtype(DType::F32)?)?;
        Ok(crop(&y, h * self.shape.scale, w * self.shape.scale)?)
    }
}
