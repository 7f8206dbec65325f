//! Depth Anything: a DINOv2 transformer sees the picture in patches, a convolutional head (DPT) makes depths of what it saw.

use std::{path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use serde_json::Value;

use super::{
    layers::{Enlarging, bias, conv, conv_with, multiples_of},
    of_colours,
};
use crate::diffusion::{
    Result,
    ops::{
        Align, AttentionMask, Conv2d, ConvConfig, LayerNorm, Linear, add, attention, gelu, pixels_as_tokens, relu, resize_bicubic,
        resize_bilinear, sigmoid, tokens_as_pixels,
    },
    weights::{Source, Weights, open_weights},
};

/// What `config.json` says.
#[derive(Debug, Clone, Deserialize)]
struct Config {
    backbone_config: BackboneConfig,
    #[serde(default = "patch_size")]
    patch_size: usize,
    #[serde(default = "factors")]
    reassemble_factors: Vec<f64>,
    #[serde(default)]
    depth_estimation_type: Option<String>,
    #[serde(default)]
    max_depth: Option<f64>,
}

#[derive(Debug, Clone, Deserialize)]
struct BackboneConfig {
    hidden_size: usize,
    #[serde(default = "twelve")]
    num_hidden_layers: usize,
    num_attention_heads: usize,
    #[serde(default = "eps")]
    layer_norm_eps: f64,
    #[serde(default)]
    out_features: Option<Vec<String>>,
    #[serde(default)]
    out_indices: Option<Vec<usize>>,
    #[serde(default = "yes")]
    apply_layernorm: bool,
    #[serde(default)]
    use_swiglu_ffn: bool,
}

fn patch_size() -> usize {
    14
}
fn factors() -> Vec<f64> {
    vec![4.0, 2.0, 1.0, 0.5]
}
fn twelve() -> usize {
    12
}
fn eps() -> f64 {
    1e-6
}
fn yes() -> bool {
    true
}

impl BackboneConfig {
    /// After which layers the head looks, from 1.
    fn seen(&self) -> Option<Vec<usize>> {
        let seen: Vec<usize> = match (&self.out_features, &self.out_indices) {
            (Some(names), _) => {
                let number = |name: &String| name.strip_prefix("stage").and_then(|n| n.parse().ok());
                names.iter().map(number).collect::<Option<_>>()?
            }
            (None, Some(indices)) => indices.clone(),
            (None, None) => return None,
        };
        let fits = !seen.is_empty() && seen.iter().all(|n| (1..=self.num_hidden_layers).contains(n));
        (fits && self.num_hidden_layers <= 256).then_some(seen)
    }
}

/// How pictures are prepared, from `preprocessor_config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Preparation {
    /// Height and width that the nearer side is brought to.
    pub size: [usize; 2],
    /// What sides are rounded to multiples of.
    pub multiple: usize,
    /// Means of red, green and blue in 0 to 1.
    pub mean: [f32; 3],
    /// Their deviations.
    pub deviation: [f32; 3],
}

impl Default for Preparation {
    fn default() -> Self {
        Self {
            size: [518; 2],
            multiple: 14,
            mean: [0.485, 0.456, 0.406],
            deviation: [0.229, 0.224, 0.225],
        }
    }
}

impl Preparation {
    /// From the JSON of a processor; what it does not say is as it usually is.
    pub fn from_json(value: &Value) -> Self {
        let usual = Self::default();
        let side = |key: &str, usual: usize| match value["size"][key].as_u64() {
            Some(n @ 14..=4096) => n as usize,
            _ => usual,
        };
        Self {
            size: [side("height", usual.size[0]), side("width", usual.size[1])],
            multiple: match value["ensure_multiple_of"].as_u64() {
                Some(n @ 1..=256) => n as usize,
                _ => usual.multiple,
            },
            mean: of_colours(value, "image_mean", usual.mean),
            deviation: of_colours(value, "image_std", usual.deviation),
        }
    }

    /// Width and height that a picture is resized to: its shape kept as nearly as multiples allow.
    pub fn resized(&self, width: usize, height: usize) -> (usize, usize) {
        let (down, across) = (self.size[0] as f64 / height as f64, self.size[1] as f64 / width as f64);
        let scale = if (1.0 - across).abs() < (1.0 - down).abs() { across } else { down };
        let side = |n: usize| {
            let multiple = self.multiple as f64;
            let near = (scale * n as f64 / multiple).round_ties_even() * multiple;
            (near as usize).max(self.multiple)
        };
        (side(width), side(height))
    }
}

#[derive(Debug)]
struct Layer {
    norms: [LayerNorm; 2],
    qkv: Linear,
    out: Linear,
    widen: Linear,
    narrow: Linear,
}

/// A product whose outputs are scaled.
fn scaled(weights: &Weights, scale: &Tensor) -> Result<Linear> {
    let weight = weights.read("weight")?.broadcast_mul(&scale.unsqueeze(1)?)?;
    let shift = bias(weights)?.map(|bias| bias * scale).transpose()?;
    Ok(Linear::new(weight, shift)?)
}

impl Layer {
    fn load(weights: &Weights, config: &BackboneConfig) -> Result<Self> {
        let width = config.hidden_size;
        let scale = |name: &str| weights.get(&format!("{name}.lambda1"), &[width]);
        let norm = |name: &str| weights.at(name).layer_norm(width, config.layer_norm_eps);
        let attention = weights.at("attention");
        let inner = weights.at("mlp.fc1").require("weight")?.first().copied().unwrap_or_default();
        Ok(Self {
            norms: [norm("norm1")?, norm("norm2")?],
            qkv: attention.at("attention").joint(&["query", "key", "value"], width, width)?,
            out: scaled(&attention.at("output.dense"), &scale("layer_scale1")?)?,
            widen: weights.at("mlp.fc1").linear(width, inner)?,
            narrow: scaled(&weights.at("mlp.fc2"), &scale("layer_scale2")?)?,
        })
    }

    fn forward(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        let qkv = self.qkv.forward(&self.norms[0].forward(x)?)?;
        let width = x.dim(2)?;
        let part = |i: usize| qkv.narrow(2, i * width, width);
        let seen = attention(&part(0)?, &part(1)?, &part(2)?, heads, AttentionMask::None)?;
        let x = self.out.forward_add(&seen, x)?;
        let inner = gelu(&self.widen.forward(&self.norms[1].forward(&x)?)?)?;
        Ok(self.narrow.forward_add(&inner, &x)?)
    }
}

/// Two convolutions, each after an activation, added to what they were given.
#[derive(Debug)]
struct Residual([Conv2d; 2]);

impl Residual {
    fn load(weights: &Weights) -> Result<Self> {
        Ok(Self([conv(&weights.at("convolution1"))?, conv(&weights.at("convolution2"))?]))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [first, second] = &self.0;
        let y = second.forward(&relu(&first.forward(&relu(x)?)?)?)?;
        Ok(add(&y, x)?)
    }
}

#[derive(Debug)]
enum Resize {
    Larger(Enlarging),
    Same,
    Smaller(Conv2d),
}

/// What is made of one layer's patches.
#[derive(Debug)]
struct Stage {
    project: Conv2d,
    resize: Resize,
    conv: Conv2d,
}

#[derive(Debug)]
struct Fusion {
    project: Conv2d,
    first: Residual,
    second: Residual,
}

/// The model.
#[derive(Debug)]
pub struct DepthAnything {
    config: Config,
    class: Tensor,
    patches: Conv2d,
    positions: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
    seen: Vec<usize>,
    stages: Vec<Stage>,
    fusions: Vec<Fusion>,
    head: [Conv2d; 3],
    preparation: Preparation,
    dtype: DType,
    bytes: u64,
}

impl DepthAnything {
    /// Opens a folder as transformers saves it.
    pub fn open(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config = crate::diffusion::read_json(&folder.join("config.json"))?;
        let prepared = folder.join("preprocessor_config.json");
        let prepared = if prepared.is_file() {
            crate::diffusion::read_json(&prepared)?
        } else {
            Value::Null
        };
        Self::load(&config, &prepared, open_weights(folder)?, dtype, device)
    }

    /// From the JSON of a config and of a preparation, and weights.
    pub fn load(config: &Value, preparation: &Value, source: Arc<dyn Source>, dtype: DType, device: &Device) -> Result<Self> {
        let weights = Weights::new(source, dtype, device);
        let config: Config = serde_json::from_value(config.clone()).map_err(|e| weights.corrupt(format!("config.json: {e}")))?;
        let inner = &config.backbone_config;
        let width = inner.hidden_size;
        if inner.num_attention_heads == 0 || !width.is_multiple_of(inner.num_attention_heads) || inner.use_swiglu_ffn {
            return Err(weights.corrupt("config.json: backbone_config is of no kind that is supported"));
        }
        let seen = inner.seen();
        let seen = seen.ok_or_else(|| weights.corrupt("config.json: backbone_config.out_features must name layers of the model"))?;
        if seen.len() != config.reassemble_factors.len() || config.patch_size == 0 {
            return Err(weights.corrupt("config.json: reassemble_factors must be as many as out_features"));
        }
        let (backbone, neck) = (weights.at("backbone"), weights.at("neck"));
        let patch = ConvConfig {
            stride: config.patch_size,
            padding: [0; 4],
        };
        let stage = |(i, factor): (usize, &f64)| -> Result<Stage> {
            let part = neck.at(format_args!("reassemble_stage.layers.{i}"));
            let resize = part.at("resize");
            let halving = ConvConfig {
                stride: (1.0 / factor) as usize,
                padding: [1; 4],
            };
            Ok(Stage {
                project: conv(&part.at("projection"))?,
                resize: if *factor > 1.0 {
                    Resize::Larger(Enlarging::squares(&resize)?)
                } else if *factor < 1.0 {
                    Resize::Smaller(conv_with(&resize, halving)?)
                } else {
                    Resize::Same
                },
                conv: conv(&neck.at("convs").at(i))?,
            })
        };
        let fusion = |i: usize| -> Result<Fusion> {
            let part = neck.at(format_args!("fusion_stage.layers.{i}"));
            Ok(Fusion {
                project: conv(&part.at("projection"))?,
                first: Residual::load(&part.at("residual_layer1"))?,
                second: Residual::load(&part.at("residual_layer2"))?,
            })
        };
        let head = weights.at("head");
        let layer = |i| Layer::load(&backbone.at(format_args!("encoder.layer.{i}")), inner);
        let positions = backbone.read("embeddings.position_embeddings")?;
        match positions.dims() {
            [1, n, c] if *c == width && *n > 1 && (n - 1).isqrt().pow(2) == n - 1 => {}
            other => return Err(weights.corrupt(format!("its positions have shape {other:?}"))),
        }
        Ok(Self {
            class: backbone.get("embeddings.cls_token", &[1, 1, width])?,
            patches: conv_with(&backbone.at("embeddings.patch_embeddings.projection"), patch)?,
            positions,
            layers: (0..inner.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            norm: backbone.at("layernorm").layer_norm(width, inner.layer_norm_eps)?,
            stages: config.reassemble_factors.iter().enumerate().map(stage).collect::<Result<_>>()?,
            fusions: (0..seen.len()).map(fusion).collect::<Result<_>>()?,
            seen,
            head: [conv(&head.at("conv1"))?, conv(&head.at("conv2"))?, conv(&head.at("conv3"))?],
            preparation: Preparation::from_json(preparation),
            dtype,
            bytes: weights.bytes_loaded(),
            config,
        })
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How it wants pictures.
    pub fn preparation(&self) -> &Preparation {
        &self.preparation
    }

    /// Depths `[1, 1, h, w]`, larger for what is near, for a normalised picture `[1, 3, h, w]` whose sides are multiples of the patches'.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let side = self.config.patch_size;
        let (h, w) = multiples_of(side, x)?;
        let (down, across) = (h / side, w / side);
        let patches = pixels_as_tokens(&self.patches.forward(&x.to_dtype(self.dtype)?)?)?;
        let mut x = add(&Tensor::cat(&[&self.class, &patches], 1)?, &self.positions_for(down, across)?)?;
        let mut stages = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, self.config.backbone_config.num_attention_heads)?;
            if let Some(place) = self.seen.iter().position(|n| *n == i + 1) {
                let seen = if self.config.backbone_config.apply_layernorm {
                    self.norm.forward(&x)?
                } else {
                    x.clone()
                };
                let tokens = seen.narrow(1, 1, down * across)?.contiguous()?;
                stages.push(self.stages[place].forward(&tokens_as_pixels(&tokens, down, across)?)?);
            }
        }
        let mut fused: Option<Tensor> = None;
        for (i, fusion) in self.fusions.iter().enumerate() {
            let stage = &stages[stages.len() - 1 - i];
            let mut x = match fused {
                None => stage.clone(),
                Some(fused) => {
                    let (_, _, h, w) = fused.dims4()?;
                    let stage = if stage.dims() == fused.dims() {
                        stage.clone()
                    } else {
                        resize_bilinear(stage, h, w, Align::Edges)?
                    };
                    add(&fused, &fusion.first.forward(&stage)?)?
                }
            };
            x = fusion.second.forward(&x)?;
            let (_, _, h, w) = x.dims4()?;
            let (h, w) = match stages.len().checked_sub(i + 2) {
                Some(next) => (stages[next].dim(2)?, stages[next].dim(3)?),
                None => (h * 2, w * 2),
            };
            fused = Some(fusion.project.forward(&resize_bilinear(&x, h, w, Align::Corners)?)?);
        }
        let fused = fused.ok_or_else(|| candle_core::Error::Msg("there is at least one stage".into()))?;
        let [first, second, third] = &self.head;
        let y = resize_bilinear(&first.forward(&fused)?, h, w, Align::Corners)?;
        let y = third.forward(&relu(&second.forward(&y)?)?)?;
        let y = if self.config.depth_estimation_type.as_deref() == Some("metric") {
            sigmoid(&y)?
        } else {
            relu(&y)?
        };
        Ok((y * self.config.max_depth.unwrap_or(1.0))?)
    }

    /// The positions' embeddings for so many patches.
    fn positions_for(&self, down: usize, across: usize) -> Result<Tensor> {
        let (_, n, _) = self.positions.dims3()?;
        let side = (n - 1).isqrt();
        if (down, across) == (side, side) {
            return Ok(self.positions.clone());
        }
        let grid = tokens_as_pixels(&self.positions.narrow(1, 1, n - 1)?.contiguous()?, side, side)?;
        let grid = pixels_as_tokens(&resize_bicubic(&grid, down, across)?)?;
        Ok(Tensor::cat(&[&self.positions.narrow(1, 0, 1)?, &grid], 1)?)
    }
}

impl Stage {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.project.forward(x)?;
        let x = match &self.resize {
            Resize::Larger(resize) => resize.forward(&x)?,
            Resize::Smaller(resize) => resize.forward(&x)?,
            Resize::Same => x,
        };
        Ok(self.conv.forward(&x)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_keep_their_shape_in_multiples() {
        let usual = Preparation::default();
        assert_eq!(usual.resized(518, 518), (518, 518));
        assert_eq!(usual.resized(1024, 512), (1036, 518));
        assert_eq!(usual.resized(640, 480), (686, 518));
        let other = Preparation::from_json(
            &serde_json::json!({"size": {"height": 28, "width": 42}, "ensure_multiple_of": 14, "image_mean": [0.5, 0.5, 0.5]}),
        );
        assert_eq!((other.size, other.mean, other.deviation), ([28, 42], [0.5; 3], usual.deviation));
        assert_eq!(other.resized(10, 10), (28, 28));
        let short = Preparation::from_json(&serde_json::json!({"image_mean": [0.5], "image_std": [0.5, 0.5, 0.0]}));
        assert_eq!((short.mean, short.deviation), (usual.mean, usual.deviation));
        let tiny = Preparation::from_json(&serde_json::json!({"image_mean": [0.5, 1.5, 0.5], "image_std": [0.5, 0.5, 1e-60]}));
        assert_eq!((tiny.mean, tiny.deviation), (usual.mean, usual.deviation));
    }
}
