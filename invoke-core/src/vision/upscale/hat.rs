//! What `HAT` has more than SwinIR: a convolution beside each attention and, at the end of each group, attention to windows that overlap.

use candle_core::Tensor;

use super::{frame::EPS, swin::Mlp};
use crate::{
    diffusion::{
        Result,
        ops::{Conv2d, LayerNorm, Linear, gelu, pixels_as_tokens, scaled, tokens_as_pixels},
        weights::Weights,
    },
    vision::{
        layers::{Squeeze, conv},
        windows::{BIASES, Cut, too_many_biases, wide_attention},
    },
};

/// How much of the convolution beside the attention counts.
const BESIDE: f32 = 0.01;

/// Two convolutions whose channels are weighed by what all of the picture says.
#[derive(Debug)]
pub(super) struct Beside {
    convs: [Conv2d; 2],
    squeeze: Squeeze,
}

impl Beside {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let attention = weights.at("3.attention");
        Ok(Self {
            convs: [conv(&weights.at(0))?, conv(&weights.at(2))?],
            squeeze: Squeeze::load(&attention.at(1), &attention.at(3))?,
        })
    }

    /// What is added to pixels `[1, h * w, c]`.
    pub(super) fn forward(&self, x: &Tensor, [h, w]: [usize; 2]) -> Result<Tensor> {
        let [first, second] = &self.convs;
        let x = second.forward(&gelu(&first.forward(&tokens_as_pixels(x, h, w)?)?)?)?;
        Ok(scaled(&pixels_as_tokens(&self.squeeze.forward(&x)?)?, BESIDE)?)
    }
}

/// Attention of each window to a larger one around it.
#[derive(Debug)]
pub(super) struct Overlapping {
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
    pub(super) fn load(weights: &Weights, width: usize, side: usize) -> Result<Self> {
        let shape = weights.require(BIASES)?;
        let wrong = || weights.corrupt(format!("`{}.{BIASES}` has shape {shape:?}", weights.path()));
        let [rows, heads] = *shape.as_slice() else { return Err(wrong()) };
        let all = rows.isqrt();
        let larger = (all + 1).saturating_sub(side);
        let fits = all * all == rows && larger >= side && (larger - side).is_multiple_of(2) && heads > 0 && width.is_multiple_of(heads);
        if !fits || larger > 256 || too_many_biases(heads, side * side, larger * larger) {
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
            .read(BIASES)?
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

    pub(super) fn forward(&self, x: &Tensor, cut: &Cut) -> Result<Tensor> {
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
