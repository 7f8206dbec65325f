//! The eyes: a Swin transformer, whose later stages' features are what the detector looks at.

use candle_core::Tensor;

use super::{config::BackboneConfig, layers::outputs};
use crate::{
    diffusion::{
        ModelError, Result,
        ops::{Border, Conv2d, ConvConfig, LayerNorm, Linear, crop, gelu, pad, pick, pixels_as_tokens, tokens_as_pixels},
        weights::Weights,
    },
    vision::{
        layers::{conv_with, side},
        windows::{BIASES, Cut, WindowAttention},
    },
};

/// Of the normalisations that no config tells of.
const EPS: f64 = 1e-5;

#[derive(Debug)]
struct Block {
    norms: [LayerNorm; 2],
    attention: WindowAttention,
    widen: Linear,
    narrow: Linear,
}

impl Block {
    /// With the side of its windows.
    fn load(weights: &Weights, width: usize, eps: f64) -> Result<(Self, usize)> {
        let attention = weights.at("attention");
        let own = attention.at("self");
        let qkv = own.joint(&["query", "key", "value"], width, width)?;
        let out = attention.at("output.dense").linear(width, width)?;
        let (attention, side) = WindowAttention::new(&own, BIASES, width, qkv, out)?;
        let inner = outputs(weights, "intermediate.dense")?;
        let block = Self {
            norms: [
                weights.at("layernorm_before").layer_norm(width, eps)?,
                weights.at("layernorm_after").layer_norm(width, eps)?,
            ],
            attention,
            widen: weights.at("intermediate.dense").linear(width, inner)?,
            narrow: weights.at("output.dense").linear(inner, width)?,
        };
        Ok((block, side))
    }

    /// `x [1, h * w, width]`; zeros fill up the last windows.
    fn forward(&self, x: &Tensor, [h, w]: [usize; 2], [tall, broad]: [usize; 2], cut: &Cut) -> Result<Tensor> {
        let normed = tokens_as_pixels(&self.norms[0].forward(x)?, h, w)?;
        let framed = pixels_as_tokens(&pad(&normed, [0, tall - h, 0, broad - w], Border::Zeros)?)?;
        let seen = tokens_as_pixels(&self.attention.forward(&framed, cut)?, tall, broad)?;
        let x = (pixels_as_tokens(&crop(&seen, h, w)?)? + x)?;
        let inner = gelu(&self.widen.forward(&self.norms[1].forward(&x)?)?)?;
        Ok(self.narrow.forward_add(&inner, &x)?)
    }
}

/// Of each 2×2 pixels one of twice the width.
#[derive(Debug)]
struct Merge {
    norm: LayerNorm,
    reduction: Linear,
}

impl Merge {
    fn forward(&self, x: &Tensor, [h, w]: [usize; 2]) -> Result<Tensor> {
        let picture = pad(&tokens_as_pixels(x, h, w)?, [0, h % 2, 0, w % 2], Border::Zeros)?;
        let every = |n: usize, first: usize| (0..n.div_ceil(2)).map(|i| 2 * i + first).collect::<Vec<_>>();
        let part =
            |down: usize, across: usize| -> Result<Tensor> { Ok(pixels_as_tokens(&pick(&picture, &every(h, down), &every(w, across))?)?) };
        let parts = [part(0, 0)?, part(1, 0)?, part(0, 1)?, part(1, 1)?];
        Ok(self.reduction.forward(&self.norm.forward(&Tensor::cat(&parts, 2)?)?)?)
    }
}

#[derive(Debug)]
struct Stage {
    /// With the side of its windows; every other one's windows are shifted.
    blocks: Vec<(Block, usize)>,
    /// Of the features that are handed out, for stages that hand them out.
    norm: Option<LayerNorm>,
    merge: Option<Merge>,
    width: usize,
}

impl Stage {
    fn load(weights: &Weights, norms: &Weights, number: usize, depth: usize, width: usize, eps: f64) -> Result<Self> {
        let merge = weights.at("downsample");
        let blocks = (0..depth)
            .map(|i| Block::load(&weights.at("blocks").at(i), width, eps))
            .collect::<Result<_>>()?;
        let name = format!("stage{}", number + 1);
        let norm = norms.has(&format!("{name}.weight")).then(|| norms.at(&name).layer_norm(width, EPS));
        let merge = merge.has("reduction.weight").then(|| -> Result<Merge> {
            Ok(Merge {
                norm: merge.at("norm").layer_norm(4 * width, EPS)?,
                reduction: merge.at("reduction").linear(4 * width, 2 * width)?,
            })
        });
        Ok(Self {
            blocks,
            norm: norm.transpose()?,
            merge: merge.transpose()?,
            width,
        })
    }

    fn blocks<E: From<ModelError>>(&self, mut x: Tensor, [h, w]: [usize; 2], between: &dyn Fn() -> Result<(), E>) -> Result<Tensor, E> {
        for (i, (block, side)) in self.blocks.iter().enumerate() {
            between()?;
            let framed = [h.next_multiple_of(*side), w.next_multiple_of(*side)];
            let shift = if i % 2 == 0 { 0 } else { side / 2 };
            let cut = Cut::new(framed[0], framed[1], *side, shift, x.device())?;
            x = block.forward(&x, [h, w], framed, &cut)?;
        }
        Ok(x)
    }
}

/// The backbone.
#[derive(Debug)]
pub(super) struct Backbone {
    patches: Conv2d,
    patch: usize,
    norm: LayerNorm,
    stages: Vec<Stage>,
}

impl Backbone {
    pub(super) fn load(weights: &Weights, config: &BackboneConfig) -> Result<Self> {
        let projection = weights.at("embeddings.patch_embeddings.projection");
        let patch = side(&projection)?;
        let config_of_patches = ConvConfig {
            stride: patch,
            padding: [0; 4],
        };
        let patches = conv_with(&projection, config_of_patches)?;
        if projection.require("weight")?.get(1) != Some(&3) {
            return Err(weights.corrupt(format!("`{}` takes no pictures of three colours", projection.path())));
        }
        let norms = weights.at("hidden_states_norms");
        let layers = weights.at("encoder");
        let mut width = patches.out_channels();
        let mut stages: Vec<Stage> = Vec::new();
        for (number, depth) in config.depths.iter().enumerate() {
            if stages.last().is_some_and(|stage| stage.merge.is_none()) {
                return Err(weights.corrupt(format!(
                    "the backbone's stage {number} is followed by none, expected {}",
                    config.depths.len()
                )));
            }
            let stage = Stage::load(
                &layers.at("layers").at(number),
                &norms,
                number,
                *depth,
                width,
                config.layer_norm_eps,
            )?;
            stages.push(stage);
            width *= 2;
        }
        Ok(Self {
            norm: weights.at("embeddings.norm").layer_norm(patches.out_channels(), EPS)?,
            patches,
            patch,
            stages,
        })
    }

    /// Widths of the features that it hands out.
    pub(super) fn widths(&self) -> Vec<usize> {
        self.stages
            .iter()
            .filter(|stage| stage.norm.is_some())
            .map(|stage| stage.width)
            .collect()
    }

    /// Features `[1, c, h, w]` of `x [1, 3, h, w]`, the largest first. `between` is asked before each block whether to go on.
    pub(super) fn forward<E: From<ModelError>>(&self, x: &Tensor, between: &dyn Fn() -> Result<(), E>) -> Result<Vec<Tensor>, E> {
        let (mut x, mut size) = self.begin(x)?;
        let mut features = Vec::new();
        for stage in &self.stages {
            x = stage.blocks(x, size, between)?;
            features.extend(Self::feature(stage, &x, size)?);
            if let Some(merge) = &stage.merge {
                x = merge.forward(&x, size)?;
                size = size.map(|n| n.div_ceil(2));
            }
        }
        Ok(features)
    }

    fn begin(&self, x: &Tensor) -> Result<(Tensor, [usize; 2])> {
        let (_, _, h, w) = x.dims4()?;
        let more = |n: usize| n.next_multiple_of(self.patch) - n;
        let x = self.patches.forward(&pad(x, [0, more(h), 0, more(w)], Border::Zeros)?)?;
        let (_, _, h, w) = x.dims4()?;
        Ok((self.norm.forward(&pixels_as_tokens(&x)?)?, [h, w]))
    }

    fn feature(stage: &Stage, x: &Tensor, [h, w]: [usize; 2]) -> Result<Option<Tensor>> {
        let Some(norm) = &stage.norm else { return Ok(None) };
        Ok(Some(tokens_as_pixels(&norm.forward(x)?, h, w)?))
    }
}
