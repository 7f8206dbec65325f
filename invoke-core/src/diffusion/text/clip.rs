//! CLIP's text encoder.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use super::Inversions;
use super::layer::{ClipLayer, LayerShape};
use crate::diffusion::error::{ModelError, Result, parse_checked, read_checked};
use crate::diffusion::ops::{AttentionMask, LayerNorm, Linear};
use crate::diffusion::weights::{Weights, open_weights};

/// `text_encoder/config.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ClipConfig {
    /// Width of the embeddings.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Tokens in a sequence.
    #[serde(default = "positions")]
    pub max_position_embeddings: usize,
    /// Tokens the embedding table has.
    pub vocab_size: usize,
    /// `quick_gelu` or `gelu`.
    #[serde(default = "activation")]
    pub hidden_act: String,
    /// Epsilon of the norms.
    #[serde(default = "eps")]
    pub layer_norm_eps: f64,
    /// Width of the projected, pooled output.
    #[serde(default)]
    pub projection_dim: Option<usize>,
    /// The end token, or 2 in configs that got it wrong, where the largest token number is meant.
    #[serde(default = "end")]
    pub eos_token_id: u32,
}

fn positions() -> usize {
    77
}
fn activation() -> String {
    "quick_gelu".into()
}
fn eps() -> f64 {
    1e-5
}
fn end() -> u32 {
    49407
}

impl ClipConfig {
    /// Reads `config.json`.
    pub fn read(path: &Path) -> Result<Self> {
        read_checked(path, Self::check)
    }

    /// Parses the text of a `config.json`.
    pub fn parse(text: &str) -> Result<Self> {
        parse_checked(Path::new("config.json"), text, Self::check)
    }

    fn check(&self) -> std::result::Result<(), String> {
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(format!(
                "`hidden_size` {} must be divisible by `num_attention_heads` {}",
                self.hidden_size, self.num_attention_heads
            ));
        }
        if self.num_hidden_layers > 256 || self.max_position_embeddings < 3 {
            return Err("`num_hidden_layers` must be at most 256, `max_position_embeddings` at least 3".into());
        }
        if self.hidden_act != "quick_gelu" && self.hidden_act != "gelu" {
            return Err(format!("`hidden_act` must be `quick_gelu` or `gelu`, not `{}`", self.hidden_act));
        }
        Ok(())
    }
}

/// Which of the encoder's states are the embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HiddenState {
    /// The last layer's, normalised: Stable Diffusion 1 and 2.
    Last,
    /// Those before the last layer, not normalised: SDXL.
    Penultimate,
}

/// A text encoder with its weights.
#[derive(Debug, Clone)]
pub struct ClipTextModel {
    config: ClipConfig,
    tokens: Tensor,
    positions: Tensor,
    layers: Vec<ClipLayer>,
    norm: LayerNorm,
    projection: Option<Linear>,
}

impl ClipTextModel {
    /// Reads a folder with `config.json` and safetensors weights, in `dtype`, onto `device`.
    pub fn open(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config = ClipConfig::read(&folder.join("config.json"))?;
        Self::load(config, &Weights::new(open_weights(folder)?, dtype, device))
    }

    /// Reads the weights of an encoder of the given shapes, with or without the prefix `text_model.`.
    pub fn load(config: ClipConfig, weights: &Weights) -> Result<Self> {
        let top = weights;
        let prefixed = weights.at("text_model");
        let weights = if prefixed.has("final_layer_norm.weight") {
            &prefixed
        } else {
            weights
        };
        let width = config.hidden_size;
        let shape = LayerShape {
            width,
            inner: config.intermediate_size,
            heads: config.num_attention_heads,
            eps: config.layer_norm_eps,
            quick: config.hidden_act == "quick_gelu",
        };
        let layer = |i| ClipLayer::load(&weights.at(format_args!("encoder.layers.{i}")), shape);
        let layers = (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?;
        let projection = match top.shape("text_projection.weight") {
            Some(shape) => Some(
                top.at("text_projection")
                    .linear(width, config.projection_dim.or(shape.first().copied()).unwrap_or(width))?,
            ),
            None => None,
        };
        Ok(Self {
            tokens: weights.get("embeddings.token_embedding.weight", &[config.vocab_size, width])?,
            positions: weights.get("embeddings.position_embedding.weight", &[config.max_position_embeddings, width])?,
            layers,
            norm: weights.at("final_layer_norm").layer_norm(width, config.layer_norm_eps)?,
            projection,
            config,
        })
    }

    /// The model's shapes.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Embeds sequences of equal length (at most `max_position_embeddings`), leaving out the last `skip` layers.
    ///
    /// `seen[i][j]` says whether sequence `i`'s token `j` may be looked at; `None` means all may. The first token of a sequence
    /// must be seen. Returns `[sequences, tokens, width]`.
    pub fn encode(
        &self,
        sequences: &[&[u32]],
        seen: Option<&[&[bool]]>,
        state: HiddenState,
        skip: usize,
        inversions: Option<&Inversions>,
    ) -> Result<Tensor> {
        let count = self.config.num_hidden_layers;
        let needed = skip + usize::from(state == HiddenState::Penultimate);
        if needed > count {
            return Err(ModelError::Input(format!(
                "`skipped_layers` is {skip}, but this text encoder has {count} layers"
            )));
        }
        let x = self.run(sequences, seen, count - needed, inversions)?;
        match state {
            HiddenState::Last => Ok(self.norm.forward(&x)?),
            HiddenState::Penultimate => Ok(x),
        }
    }

    /// The normalised last state at each sequence's end token, projected if the model has a projection: `[sequences, width]`.
    pub fn pooled(&self, sequences: &[&[u32]], skip: usize, inversions: Option<&Inversions>) -> Result<Tensor> {
        let rows = self.at_end(sequences, skip, inversions)?;
        match &self.projection {
            Some(projection) => Ok(projection.forward(&rows)?),
            None => Ok(rows),
        }
    }

    /// The same, never projected.
    pub fn at_end(&self, sequences: &[&[u32]], skip: usize, inversions: Option<&Inversions>) -> Result<Tensor> {
        let count = self.config.num_hidden_layers;
        let layers = count.checked_sub(skip);
        let layers =
            layers.ok_or_else(|| ModelError::Input(format!("`skipped_layers` is {skip}, but this text encoder has {count} layers")))?;
        let x = self.norm.forward(&self.run(sequences, None, layers, inversions)?)?;
        let rows: Vec<Tensor> = sequences
            .iter()
            .enumerate()
            .map(|(i, ids)| x.get(i)?.get(self.end_of(ids)))
            .collect::<candle_core::Result<_>>()?;
        Ok(Tensor::stack(&rows, 0)?)
    }

    /// Where a sequence ends: its first end token.
    fn end_of(&self, ids: &[u32]) -> usize {
        if self.config.eos_token_id == 2 {
            // Configs from before 2023 name the wrong token; the end token has the largest number.
            let largest = ids.iter().max();
            return ids.iter().position(|id| Some(id) == largest).unwrap_or(0);
        }
        ids.iter().position(|id| *id == self.config.eos_token_id).unwrap_or(0)
    }

    fn run(&self, sequences: &[&[u32]], seen: Option<&[&[bool]]>, layers: usize, inversions: Option<&Inversions>) -> Result<Tensor> {
        let length = sequences.first().map_or(0, |s| s.len());
        if length == 0 || length > self.config.max_position_embeddings || sequences.iter().any(|s| s.len() != length) {
            let most = self.config.max_position_embeddings;
            return Err(ModelError::Input(format!(
                "token sequences must have one length of 1 to {most}, not {length}"
            )));
        }
        let x = self.embed(sequences, inversions)?;
        let mut x = x.broadcast_add(&self.positions.narrow(0, 0, length)?)?;
        let bias = seen.map(|seen| bias(seen, length, x.dtype(), x.device())).transpose()?;
        let mask = bias.as_ref().map_or(AttentionMask::Causal, AttentionMask::Bias);
        for layer in &self.layers[..layers] {
            x = layer.forward(&x, mask)?;
        }
        Ok(x)
    }

    /// Rows of the embedding table, and of textual inversions: `[sequences, tokens, width]`.
    fn embed(&self, sequences: &[&[u32]], inversions: Option<&Inversions>) -> Result<Tensor> {
        let (n, length, width) = (sequences.len(), sequences[0].len(), self.config.hidden_size);
        let flat: Vec<u32> = sequences.iter().flat_map(|s| s.iter().copied()).collect();
        let foreign: Vec<Option<&Tensor>> = flat.iter().map(|id| inversions.and_then(|i| i.row(*id))).collect();
        let known: Vec<u32> = flat
            .iter()
            .zip(&foreign)
            .map(|(id, row)| if row.is_some() { 0 } else { *id })
            .collect();
        if let Some(id) = known.iter().find(|id| **id as usize >= self.config.vocab_size) {
            let size = self.config.vocab_size;
            return Err(ModelError::Input(format!(
                "token {id} is beyond the text encoder's {size}: the tokenizer is another model's"
            )));
        }
        let index = Tensor::from_vec(known, n * length, self.tokens.device())?;
        let mut rows = self.tokens.index_select(&index, 0)?;
        if foreign.iter().any(Option::is_some) {
            let parts: Vec<Tensor> = foreign
                .iter()
                .enumerate()
                .map(|(i, row)| match row {
                    Some(row) => row.to_dtype(rows.dtype())?.to_device(rows.device()),
                    None => rows.get(i),
                })
                .collect::<candle_core::Result<_>>()?;
            rows = Tensor::stack(&parts, 0)?;
        }
        Ok(rows.reshape((n, length, width))?)
    }
}

/// Causal, and hiding what is not seen: `[sequences, tokens, tokens]`.
fn bias(seen: &[&[bool]], length: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    let mut data = Vec::with_capacity(seen.len() * length * length);
    for seen in seen {
        for query in 0..length {
            data.extend((0..length).map(|key| if key <= query && seen[key] { 0.0f32 } else { f32::NEG_INFINITY }));
        }
    }
    Ok(Tensor::from_vec(data, (seen.len(), length, length), device)?.to_dtype(dtype)?)
}
