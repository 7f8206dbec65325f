//! The projection of "plus" IP-Adapters: learned queries look at all of an image encoder's patches.

use candle_core::Tensor;

use crate::diffusion::error::Result;
use crate::diffusion::ops::{AttentionMask, LayerNorm, Linear, attention, gelu};
use crate::diffusion::weights::Weights;

/// Width of one attention head, which the files do not say.
const HEAD: usize = 64;
/// The most layers a file may have.
const MAX_LAYERS: usize = 32;

#[derive(Debug, Clone)]
pub(super) struct Resampler {
    queries: Tensor,
    enter: Linear,
    layers: Vec<Layer>,
    leave: Linear,
    norm: LayerNorm,
}

#[derive(Debug, Clone)]
struct Layer {
    norm_image: LayerNorm,
    norm_query: LayerNorm,
    query: Linear,
    key_value: Linear,
    out: Linear,
    heads: usize,
    norm: LayerNorm,
    widen: Linear,
    narrow: Linear,
}

impl Resampler {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let shape = weights.require("latents")?;
        let &[1, queries, width] = shape.as_slice() else {
            return Err(weights.corrupt(format!("`latents` has shape {shape:?}, [1, queries, width] expected")));
        };
        let axis = |name: &str, axis: usize| -> Result<usize> {
            weights
                .require(name)?
                .get(axis)
                .copied()
                .ok_or_else(|| weights.corrupt(format!("`{name}` has too few axes")))
        };
        let features = axis("proj_in.weight", 1)?;
        let outputs = axis("norm_out.weight", 0)?;
        let mut layers = Vec::new();
        while layers.len() < MAX_LAYERS && weights.has(&format!("layers.{}.0.to_q.weight", layers.len())) {
            let inner = axis(&format!("layers.{}.0.to_q.weight", layers.len()), 0)?;
            let middle = axis(&format!("layers.{}.1.1.weight", layers.len()), 0)?;
            if !inner.is_multiple_of(HEAD) {
                return Err(weights.corrupt(format!("the projection's attention is {inner} wide, a multiple of {HEAD} expected")));
            }
            let (attend, forward) = (
                weights.at(format_args!("layers.{}.0", layers.len())),
                weights.at(format_args!("layers.{}.1", layers.len())),
            );
            layers.push(Layer {
                norm_image: attend.at("norm1").layer_norm(width, 1e-5)?,
                norm_query: attend.at("norm2").layer_norm(width, 1e-5)?,
                query: attend.at("to_q").linear(width, inner)?,
                key_value: attend.at("to_kv").linear(width, inner * 2)?,
                out: attend.at("to_out").linear(inner, width)?,
                heads: inner / HEAD,
                norm: forward.at("0").layer_norm(width, 1e-5)?,
                widen: forward.at("1").linear(width, middle)?,
                narrow: forward.at("3").linear(middle, width)?,
            });
        }
        Ok(Self {
            queries: weights.get("latents", &[1, queries, width])?.to_dtype(weights.computes_in())?,
            enter: weights.at("proj_in").linear(features, width)?,
            layers,
            leave: weights.at("proj_out").linear(width, outputs)?,
            norm: weights.at("norm_out").layer_norm(outputs, 1e-5)?,
        })
    }

    /// `[images, patches, features]` to `[images, queries, outputs]`.
    pub(super) fn forward(&self, features: &Tensor) -> candle_core::Result<Tensor> {
        let image = self.enter.forward(features)?;
        let mut x = self.queries.repeat((image.dim(0)?, 1, 1))?;
        for layer in &self.layers {
            let (seen, queries) = (layer.norm_image.forward(&image)?, layer.norm_query.forward(&x)?);
            let key_value = layer.key_value.forward(&Tensor::cat(&[&seen, &queries], 1)?)?.chunk(2, 2)?;
            let (key, value) = (key_value[0].contiguous()?, key_value[1].contiguous()?);
            let seen = attention(&layer.query.forward(&queries)?, &key, &value, layer.heads, AttentionMask::None)?;
            x = (layer.out.forward(&seen)? + x)?;
            x = (layer.narrow.forward(&gelu(&layer.widen.forward(&layer.norm.forward(&x)?)?)?)? + x)?;
        }
        self.norm.forward(&self.leave.forward(&x)?)
    }
}
