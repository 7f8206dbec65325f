//! CLIP's image encoder, which IP-Adapters see pictures through.

use std::path::Path;

use candle_core::{DType, Tensor};
use serde::Deserialize;

use super::ImageFeatures;
use crate::diffusion::error::{ModelError, Result, config_error, read_json};
use crate::diffusion::ops::{AttentionMask, Conv2d, ConvConfig, LayerNorm, Linear};
use crate::diffusion::text::layer::{ClipLayer, LayerShape};
use crate::diffusion::weights::Weights;

/// Mean and deviation of red, green and blue that the encoder was trained with.
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const DEVIATION: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

#[derive(Debug, Clone, Deserialize)]
struct Config {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    #[serde(default = "size")]
    image_size: usize,
    patch_size: usize,
    #[serde(default = "activation")]
    hidden_act: String,
    #[serde(default = "eps")]
    layer_norm_eps: f64,
    projection_dim: usize,
}

fn size() -> usize {
    224
}
fn activation() -> String {
    "quick_gelu".into()
}
fn eps() -> f64 {
    1e-5
}

/// An image encoder with its weights.
#[derive(Debug, Clone)]
pub struct ClipVisionModel {
    config: Config,
    class: Tensor,
    patches: Conv2d,
    positions: Tensor,
    norm_in: LayerNorm,
    layers: Vec<ClipLayer>,
    norm_out: LayerNorm,
    projection: Linear,
    dtype: DType,
}

impl ClipVisionModel {
    /// From the `config.json` of a folder and its weights.
    pub fn open(folder: &Path, weights: &Weights) -> Result<Self> {
        Self::load(&read_json(&folder.join("config.json"))?, weights)
    }

    /// From the JSON of a config and weights under transformers' names, in their data type.
    pub fn load(config: &serde_json::Value, weights: &Weights) -> Result<Self> {
        let path = Path::new("config.json");
        let config: Config = serde_json::from_value(config.clone()).map_err(|e| config_error(path, e))?;
        let heads_fit = config.num_attention_heads > 0 && config.hidden_size.is_multiple_of(config.num_attention_heads);
        let patches_fit = config.patch_size > 0 && config.image_size.is_multiple_of(config.patch_size) && config.image_size <= 4096;
        if !heads_fit || !patches_fit || !(1..=256).contains(&config.num_hidden_layers) {
            return Err(config_error(
                path,
                "heads must divide the width and patches the image, with 1 to 256 layers",
            ));
        }
        if config.hidden_act != "quick_gelu" && config.hidden_act != "gelu" {
            return Err(config_error(
                path,
                format!("`hidden_act` must be `quick_gelu` or `gelu`, not `{}`", config.hidden_act),
            ));
        }
        let inner = weights.at("vision_model");
        let width = config.hidden_size;
        let shape = LayerShape {
            width,
            inner: config.intermediate_size,
            heads: config.num_attention_heads,
            eps: config.layer_norm_eps,
            quick: config.hidden_act == "quick_gelu",
        };
        let side = config.image_size / config.patch_size;
        let patch = ConvConfig {
            stride: config.patch_size,
            padding: [0; 4],
        };
        let layer = |i| ClipLayer::load(&inner.at(format_args!("encoder.layers.{i}")), shape);
        Ok(Self {
            class: inner.get("embeddings.class_embedding", &[width])?.to_dtype(weights.computes_in())?,
            patches: inner.at("embeddings.patch_embedding").conv(3, width, config.patch_size, patch)?,
            positions: inner
                .get("embeddings.position_embedding.weight", &[side * side + 1, width])?
                .to_dtype(weights.computes_in())?,
            norm_in: inner.at("pre_layrnorm").layer_norm(width, config.layer_norm_eps)?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            norm_out: inner.at("post_layernorm").layer_norm(width, config.layer_norm_eps)?,
            projection: weights.at("visual_projection").linear(width, config.projection_dim)?,
            dtype: weights.computes_in(),
            config,
        })
    }

    /// Side in pixels of the square pictures it takes.
    pub fn image_size(&self) -> usize {
        self.config.image_size
    }

    /// Brings pictures `[b, 3, side, side]` in 0 to 1 to the range the encoder was trained with.
    pub fn normalise(&self, pictures: &Tensor) -> Result<Tensor> {
        let column = |values: &[f32; 3]| Tensor::from_slice(values, (1, 3, 1, 1), pictures.device());
        let pictures = pictures.to_dtype(DType::F32)?;
        Ok(pictures.broadcast_sub(&column(&MEAN)?)?.broadcast_div(&column(&DEVIATION)?)?)
    }

    /// Encodes normalised pictures `[b, 3, side, side]`: `[b, projected width]`, or `[b, patches + 1, width]`.
    pub fn encode(&self, pictures: &Tensor, features: ImageFeatures) -> Result<Tensor> {
        let (b, channels, h, w) = pictures.dims4()?;
        let side = self.config.image_size;
        if (channels, h, w) != (3, side, side) {
            return Err(ModelError::Input(format!(
                "the image encoder takes pictures of 3×{side}×{side}, not {channels}×{h}×{w}"
            )));
        }
        let patches = self
            .patches
            .forward(&pictures.to_dtype(self.dtype)?)?
            .flatten_from(2)?
            .transpose(1, 2)?;
        let class = self.class.reshape((1, 1, ()))?.broadcast_as((b, 1, self.config.hidden_size))?;
        let x = Tensor::cat(&[&class, &patches], 1)?.broadcast_add(&self.positions)?;
        let mut x = self.norm_in.forward(&x)?;
        let count = match features {
            ImageFeatures::Pooled => self.layers.len(),
            ImageFeatures::Penultimate => self.layers.len() - 1,
        };
        for layer in &self.layers[..count] {
            x = layer.forward(&x, AttentionMask::None)?;
        }
        match features {
            ImageFeatures::Pooled => Ok(self
                .projection
                .forward(&self.norm_out.forward(&x.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?)?)?),
            ImageFeatures::Penultimate => Ok(x),
        }
    }
}
