//! The spatial transformer: self-attention over pixels, cross-attention to a context, feed-forward.

use candle_core::Tensor;

use super::FeedForward;
use crate::diffusion::error::Result;
use crate::diffusion::ops::{AttentionMask, GroupNorm, LayerNorm, Linear, attention_in, pixels_as_tokens, tokens_as_pixels};
use crate::diffusion::unet::Context;
use crate::diffusion::unet::hidiffusion::{Shift, cut, join};
use crate::diffusion::weights::Weights;

/// What a [`Transformer2d`] is made for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TransformerShape {
    /// Channels in and out.
    pub(crate) channels: usize,
    /// Attention heads.
    pub(crate) heads: usize,
    /// Blocks one after another.
    pub(crate) depth: usize,
    /// Width of the context.
    pub(crate) context: usize,
    /// Groups of the norm.
    pub(crate) groups: usize,
}

/// The key and value products of all cross-attention layers of a model, in the order the layers are read.
///
/// They are kept in one place because a context is multiplied with them once a run, not once a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct CrossLayers {
    layers: Vec<CrossLayer>,
}

#[derive(Debug, Clone)]
struct CrossLayer {
    path: String,
    key: Linear,
    value: Linear,
    heads: usize,
}

impl CrossLayers {
    /// Reads `to_k` and `to_v` and returns the layer's number.
    fn push(&mut self, weights: &Weights, context: usize, inner: usize, heads: usize) -> Result<usize> {
        let layer = CrossLayer {
            path: weights.path().to_owned(),
            key: weights.at("to_k").linear(context, inner)?,
            value: weights.at("to_v").linear(context, inner)?,
            heads,
        };
        self.layers.push(layer);
        Ok(self.layers.len() - 1)
    }

    /// Keys and values of `embeds [b, tokens, context]` for every layer, each `[b, tokens, inner]`.
    pub(crate) fn keys_and_values(&self, embeds: &Tensor) -> candle_core::Result<Vec<(Tensor, Tensor)>> {
        self.layers
            .iter()
            .map(|layer| Ok((layer.key.forward(embeds)?, layer.value.forward(embeds)?)))
            .collect()
    }

    /// The layers' names in the model, as in `down_blocks.2.attentions.0.transformer_blocks.0.attn2`.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|layer| layer.path.as_str())
    }

    /// Attention heads of each layer.
    pub(crate) fn heads(&self) -> impl Iterator<Item = usize> {
        self.layers.iter().map(|layer| layer.heads)
    }
}

/// Size of the picture and shift of the windows.
type Window = ((usize, usize), Shift);

/// `norm`, `proj_in`, blocks, `proj_out`, and the input added.
#[derive(Debug, Clone)]
pub(crate) struct Transformer2d {
    norm: GroupNorm,
    enter: Linear,
    blocks: Vec<Block>,
    leave: Linear,
}

#[derive(Debug, Clone)]
struct Block {
    norm1: LayerNorm,
    attn1: SelfAttention,
    norm2: LayerNorm,
    attn2: CrossAttention,
    norm3: LayerNorm,
    feed_forward: FeedForward,
}

#[derive(Debug, Clone)]
struct SelfAttention {
    /// Queries, keys and values one after another on the last axis.
    joint: Linear,
    out: Linear,
    heads: usize,
}

#[derive(Debug, Clone)]
struct CrossAttention {
    query: Linear,
    out: Linear,
    heads: usize,
    layer: usize,
}

impl Transformer2d {
    /// Reads the layer; its cross-attention's key and value products go to `cross`.
    pub(crate) fn load(weights: &Weights, shape: TransformerShape, cross: &mut CrossLayers) -> Result<Self> {
        let TransformerShape {
            channels,
            heads,
            depth,
            context,
            groups,
        } = shape;
        if heads == 0 || !channels.is_multiple_of(heads) {
            return Err(weights.corrupt(format!("{channels} channels do not divide into {heads} attention heads")));
        }
        let blocks = (0..depth)
            .map(|i| {
                let weights = weights.at(format_args!("transformer_blocks.{i}"));
                let (own, other) = (weights.at("attn1"), weights.at("attn2"));
                Ok(Block {
                    norm1: weights.at("norm1").layer_norm(channels, 1e-5)?,
                    attn1: SelfAttention {
                        joint: own.joint(&["to_q", "to_k", "to_v"], channels, channels)?,
                        out: own.at("to_out.0").linear(channels, channels)?,
                        heads,
                    },
                    norm2: weights.at("norm2").layer_norm(channels, 1e-5)?,
                    attn2: CrossAttention {
                        query: other.at("to_q").linear(channels, channels)?,
                        out: other.at("to_out.0").linear(channels, channels)?,
                        heads,
                        layer: cross.push(&other, context, channels, heads)?,
                    },
                    norm3: weights.at("norm3").layer_norm(channels, 1e-5)?,
                    feed_forward: FeedForward::load(&weights.at("ff"), channels)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            norm: weights.at("norm").group_norm(groups, channels, 1e-6)?,
            enter: weights.at("proj_in").linear(channels, channels)?,
            blocks,
            leave: weights.at("proj_out").linear(channels, channels)?,
        })
    }

    /// `x [b, c, h, w]` to the same. The first blocks' self-attention looks at windows where `windows` says how they are shifted.
    pub(crate) fn forward(&self, x: &Tensor, context: &Context, image_scales: &[f64], windows: &[Shift]) -> candle_core::Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let mut tokens = self.enter.forward(&pixels_as_tokens(&self.norm.forward(x)?)?)?;
        for (i, block) in self.blocks.iter().enumerate() {
            let window = windows.get(i).map(|shift| ((h, w), *shift));
            tokens = block.forward(&tokens, context, image_scales, window)?;
        }
        tokens_as_pixels(&self.leave.forward_add(&tokens, &pixels_as_tokens(x)?)?, h, w)
    }
}

impl Block {
    fn forward(&self, x: &Tensor, context: &Context, image_scales: &[f64], window: Option<Window>) -> candle_core::Result<Tensor> {
        let normed = self.norm1.forward(x)?;
        let x = match window {
            None => self.attn1.forward(&normed, x)?,
            Some((size, shift)) => {
                let seen = self.attn1.attend(&cut(&normed, size, shift)?)?;
                (join(&self.attn1.out.forward(&seen)?, size, shift)? + x)?
            }
        };
        let x = self.attn2.forward(&self.norm2.forward(&x)?, &x, context, image_scales)?;
        self.feed_forward.forward(&self.norm3.forward(&x)?, &x)
    }
}

impl SelfAttention {
    fn forward(&self, x: &Tensor, residual: &Tensor) -> candle_core::Result<Tensor> {
        self.out.forward_add(&self.attend(x)?, residual)
    }

    /// What is seen, before the last product.
    fn attend(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let joint = self.joint.forward(x)?;
        let width = joint.dim(2)? / 3;
        let part = |i: usize| joint.narrow(2, i * width, width);
        attention_in(
            [&part(0)?, &part(1)?, &part(2)?],
            self.heads,
            AttentionMask::None,
            self.joint.of_halves(),
        )
    }
}

impl CrossAttention {
    fn forward(&self, x: &Tensor, residual: &Tensor, context: &Context, image_scales: &[f64]) -> candle_core::Result<Tensor> {
        let q = self.query.forward(x)?;
        let queries = q.dim(1)?;
        let (k, v) = context.text(self.layer);
        let mask = match context.bias(queries)? {
            Some(bias) => AttentionMask::Bias(bias),
            None => AttentionMask::None,
        };
        let halves = self.query.of_halves();
        let mut y = attention_in([&q, k, v], self.heads, mask, halves)?;
        for (image, &scale) in context.images().iter().zip(image_scales) {
            let Some((k, v)) = image.layer(self.layer) else { continue };
            let seen = (attention_in([&q, k, v], self.heads, AttentionMask::None, halves)? * scale)?;
            y = match image.mask(queries)? {
                Some(mask) => (y + seen.broadcast_mul(mask)?)?,
                None => (y + seen)?,
            };
        }
        self.out.forward_add(&y, residual)
    }
}
