//! The transformer's blocks.

use candle_core::{DType, Result as Computed, Tensor};

use super::config::FluxConfig;
use crate::diffusion::error::Result;
use crate::diffusion::ops::{AttentionMask, LayerNorm, Linear, RmsNorm, Rotary, add_gated, attention_in, tanh_gelu};
use crate::diffusion::weights::Weights;

/// Epsilon of all norms.
const EPS: f64 = 1e-6;

/// Shift, scale and gate around one part of a block, each `[hidden]`.
struct Modulation {
    norm: LayerNorm,
    gate: Tensor,
}

impl Modulation {
    /// The `number`-th three of what a layer makes of the condition, `[1, 3 k hidden]`.
    fn of(all: &Tensor, number: usize, hidden: usize) -> Computed<Self> {
        let part = |i: usize| all.narrow(1, (3 * number + i) * hidden, hidden)?.flatten_all()?.contiguous();
        Ok(Self {
            norm: modulated(&part(0)?, &part(1)?)?,
            gate: part(2)?,
        })
    }
}

/// A norm whose result is scaled by `1 + scale` and shifted, in one.
pub(super) fn modulated(shift: &Tensor, scale: &Tensor) -> Computed<LayerNorm> {
    LayerNorm::new((scale + 1.0)?, shift.clone(), EPS)
}

/// The norms of queries and keys.
#[derive(Debug, Clone)]
struct QueryKeyNorm {
    query: RmsNorm,
    key: RmsNorm,
}

impl QueryKeyNorm {
    fn load(weights: &Weights, config: &FluxConfig) -> Result<Self> {
        Ok(Self {
            query: weights.rms_norm("query_norm.scale", config.head, EPS)?,
            key: weights.rms_norm("key_norm.scale", config.head, EPS)?,
        })
    }

    /// Queries, keys and values out of a product of `[1, n, 3 hidden or more]`, the first two normalised and turned.
    fn split(&self, product: &Tensor, hidden: usize, places: &Rotary) -> Computed<[Tensor; 3]> {
        Ok([
            self.query.forward_turned(&product.narrow(2, 0, hidden)?, places)?,
            self.key.forward_turned(&product.narrow(2, hidden, hidden)?, places)?,
            product.narrow(2, 2 * hidden, hidden)?,
        ])
    }
}

/// One half of a double block: the text's or the picture's.
#[derive(Debug, Clone)]
struct Stream {
    modulation: Linear,
    product: Linear,
    norm: QueryKeyNorm,
    out: Linear,
    widen: Linear,
    narrow: Linear,
    hidden: usize,
}

impl Stream {
    fn load(weights: &Weights, name: &str, config: &FluxConfig) -> Result<Self> {
        let (hidden, inner) = (config.hidden, config.inner);
        let own = weights.at(format_args!("{name}_attn"));
        let forward = weights.at(format_args!("{name}_mlp"));
        Ok(Self {
            modulation: weights.at(format_args!("{name}_mod.lin")).linear(hidden, 6 * hidden)?,
            product: own.at("qkv").linear(hidden, 3 * hidden)?,
            norm: QueryKeyNorm::load(&own.at("norm"), config)?,
            out: own.at("proj").linear(hidden, hidden)?,
            widen: forward.at("0").linear(hidden, inner)?,
            narrow: forward.at("2").linear(inner, hidden)?,
            hidden,
        })
    }

    fn modulation(&self, condition: &Tensor) -> Computed<[Modulation; 2]> {
        let all = self.modulation.forward(condition)?;
        Ok([Modulation::of(&all, 0, self.hidden)?, Modulation::of(&all, 1, self.hidden)?])
    }

    fn attended(&self, x: &Tensor, around: &Modulation, places: &Rotary) -> Computed<[Tensor; 3]> {
        self.norm
            .split(&self.product.forward(&around.norm.forward(x)?)?, self.hidden, places)
    }

    /// What comes after attention.
    fn finish(&self, x: &Tensor, attention: &Tensor, [first, second]: &[Modulation; 2]) -> Computed<Tensor> {
        let x = add_gated(x, &self.out.forward(attention)?, &first.gate)?;
        let wide = tanh_gelu(&self.widen.forward(&second.norm.forward(&x)?)?)?;
        add_gated(&x, &self.narrow.forward(&wide)?, &second.gate)
    }
}

/// A block that keeps text and picture apart but for attention.
#[derive(Debug, Clone)]
pub(super) struct DoubleBlock {
    picture: Stream,
    text: Stream,
    heads: usize,
}

/// Places of the text's tokens, of the picture's, and of both.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) text: Rotary,
    pub(super) picture: Rotary,
    pub(super) all: Rotary,
}

impl DoubleBlock {
    pub(super) fn load(weights: &Weights, config: &FluxConfig) -> Result<Self> {
        Ok(Self {
            picture: Stream::load(weights, "img", config)?,
            text: Stream::load(weights, "txt", config)?,
            heads: config.heads(),
        })
    }

    /// `picture [1, n, hidden]`, `text [1, m, hidden]`, `condition [1, hidden]` after its activation.
    pub(super) fn forward(
        &self,
        [text, picture]: [&Tensor; 2],
        condition: &Tensor,
        places: &Places,
        mask: AttentionMask<'_>,
    ) -> Computed<[Tensor; 2]> {
        let around = [self.text.modulation(condition)?, self.picture.modulation(condition)?];
        let from_text = self.text.attended(text, &around[0][0], &places.text)?;
        let from_picture = self.picture.attended(picture, &around[1][0], &places.picture)?;
        let joined = |i: usize| Tensor::cat(&[&from_text[i], &from_picture[i]], 1);
        let all = [joined(0)?, joined(1)?, joined(2)?];
        drop((from_text, from_picture));
        let halves = self.picture.product.of_halves();
        let attention = attention_in(all.each_ref(), self.heads, mask, halves)?;
        drop(all);
        let (m, n) = (text.dim(1)?, picture.dim(1)?);
        Ok([
            self.text.finish(text, &attention.narrow(1, 0, m)?, &around[0])?,
            self.picture.finish(picture, &attention.narrow(1, m, n)?, &around[1])?,
        ])
    }
}

/// A block over text and picture as one sequence, with attention and feed-forward side by side.
#[derive(Debug, Clone)]
pub(super) struct SingleBlock {
    modulation: Linear,
    product: Linear,
    norm: QueryKeyNorm,
    out: Linear,
    hidden: usize,
    inner: usize,
    heads: usize,
}

impl SingleBlock {
    pub(super) fn load(weights: &Weights, config: &FluxConfig) -> Result<Self> {
        let (hidden, inner) = (config.hidden, config.inner);
        Ok(Self {
            modulation: weights.at("modulation.lin").linear(hidden, 3 * hidden)?,
            product: weights.at("linear1").linear(hidden, 3 * hidden + inner)?,
            norm: QueryKeyNorm::load(&weights.at("norm"), config)?,
            out: weights.at("linear2").linear(hidden + inner, hidden)?,
            hidden,
            inner,
            heads: config.heads(),
        })
    }

    pub(super) fn forward(&self, x: &Tensor, condition: &Tensor, places: &Rotary, mask: AttentionMask<'_>) -> Computed<Tensor> {
        let around = Modulation::of(&self.modulation.forward(condition)?, 0, self.hidden)?;
        let product = self.product.forward(&around.norm.forward(x)?)?;
        let all = self.norm.split(&product, self.hidden, places)?;
        let attention = attention_in(all.each_ref(), self.heads, mask, self.product.of_halves())?;
        drop(all);
        let wide = tanh_gelu(&product.narrow(2, 3 * self.hidden, self.inner)?)?;
        drop(product);
        let y = self.out.forward(&Tensor::cat(&[&attention, &wide], 2)?)?;
        add_gated(x, &y, &around.gate)
    }
}

/// Two layers with a SiLU between them: how times, guidance and pooled texts are embedded.
#[derive(Debug, Clone)]
pub(super) struct Embedder {
    first: Linear,
    second: Linear,
}

impl Embedder {
    pub(super) fn load(weights: &Weights, inputs: usize, hidden: usize) -> Result<Self> {
        Ok(Self {
            first: weights.at("in_layer").linear(inputs, hidden)?,
            second: weights.at("out_layer").linear(hidden, hidden)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Computed<Tensor> {
        self.second.forward(&crate::diffusion::ops::silu(&self.first.forward(x)?)?)
    }
}

/// Width of the waves that stand for a number.
pub(super) const WAVES: usize = 256;

/// A number as cosines and sines of many lengths, `[1, WAVES]`.
pub(super) fn waves(number: f32, dtype: DType, device: &candle_core::Device) -> Computed<Tensor> {
    let half = WAVES / 2;
    let angle = |i: usize| {
        let frequency = (-(10_000_f64.ln() as f32) * i as f32 / half as f32).exp();
        number * frequency
    };
    let values: Vec<f32> = (0..half).map(|i| angle(i).cos()).chain((0..half).map(|i| angle(i).sin())).collect();
    Tensor::from_vec(values, (1, WAVES), device)?.to_dtype(dtype)
}
