//! T5's encoder (version 1.1: gated feed-forward, no biases).

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use crate::diffusion::error::{ModelError, Result, parse_checked, read_checked};
use crate::diffusion::ops::{AttentionMask, Linear, RmsNorm, add, attention, tanh_gelu};
use crate::diffusion::weights::{Source, Weights};

/// The encoder's `config.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct T5Config {
    /// Width of the embeddings.
    pub d_model: usize,
    /// Width of a head.
    pub d_kv: usize,
    /// Width inside the feed-forward layers.
    pub d_ff: usize,
    /// Layers.
    pub num_layers: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Tokens the embedding table has.
    pub vocab_size: usize,
    /// Kinds of distances that attention tells apart.
    #[serde(default = "buckets")]
    pub relative_attention_num_buckets: usize,
    /// Distances from here on count as one.
    #[serde(default = "farthest")]
    pub relative_attention_max_distance: usize,
    /// Epsilon of the norms.
    #[serde(default = "eps")]
    pub layer_norm_epsilon: f64,
    /// The feed-forward layers' kind.
    #[serde(default = "gated")]
    pub feed_forward_proj: String,
}

fn buckets() -> usize {
    32
}
fn farthest() -> usize {
    128
}
fn eps() -> f64 {
    1e-6
}
fn gated() -> String {
    "gated-gelu".into()
}

impl T5Config {
    /// Reads `config.json`.
    pub fn read(path: &Path) -> Result<Self> {
        read_checked(path, Self::check)
    }

    /// Parses the text of a `config.json`.
    pub fn parse(text: &str) -> Result<Self> {
        parse_checked(Path::new("config.json"), text, Self::check)
    }

    /// The shapes of an encoder under transformers' names, for files without a config.
    pub fn of(source: &dyn Source) -> Result<Self> {
        let axes = |name: &str| -> Result<[usize; 2]> {
            match source.info(name).map(|info| info.shape).as_deref() {
                Some(&[a, b]) => Ok([a, b]),
                Some(other) => Err(ModelError::Corrupt {
                    file: source.label(),
                    reason: format!("tensor `{name}` has shape {other:?}, expected two axes"),
                }),
                None => Err(ModelError::MissingTensor {
                    file: source.label(),
                    tensor: name.to_owned(),
                }),
            }
        };
        let layer = |number: usize, name: &str| format!("encoder.block.{number}.layer.{name}.weight");
        let [vocab_size, d_model] = axes("shared.weight")?;
        let [inner, _] = axes(&layer(0, "0.SelfAttention.q"))?;
        let [buckets, num_heads] = axes(&layer(0, "0.SelfAttention.relative_attention_bias"))?;
        let [d_ff, _] = axes(&layer(0, "1.DenseReluDense.wi_0"))?;
        let num_layers = (0..256)
            .take_while(|i| source.info(&layer(*i, "0.SelfAttention.q")).is_some())
            .count();
        let config = Self {
            d_model,
            d_kv: inner / num_heads.max(1),
            d_ff,
            num_layers,
            num_heads,
            vocab_size,
            relative_attention_num_buckets: buckets,
            relative_attention_max_distance: farthest(),
            layer_norm_epsilon: eps(),
            feed_forward_proj: gated(),
        };
        config.check().map_err(|reason| ModelError::Corrupt {
            file: source.label(),
            reason,
        })?;
        Ok(config)
    }

    fn check(&self) -> std::result::Result<(), String> {
        if self.feed_forward_proj != "gated-gelu" {
            return Err(format!(
                "`feed_forward_proj` must be `gated-gelu` (T5 1.1), not `{}`",
                self.feed_forward_proj
            ));
        }
        let sizes = [
            ("d_model", self.d_model, 1 << 16),
            ("d_kv", self.d_kv, 1 << 12),
            ("d_ff", self.d_ff, 1 << 18),
            ("num_layers", self.num_layers, 256),
            ("num_heads", self.num_heads, 1 << 10),
            ("vocab_size", self.vocab_size, 1 << 24),
        ];
        if let Some((name, found, most)) = sizes.into_iter().find(|(_, found, most)| !(1..=*most).contains(found)) {
            return Err(format!("`{name}` is {found}, 1 to {most} expected"));
        }
        let (buckets, farthest) = (self.relative_attention_num_buckets, self.relative_attention_max_distance);
        if !(4..=4096).contains(&buckets) || buckets % 4 != 0 || farthest <= buckets / 4 {
            return Err(format!(
                "`relative_attention_num_buckets` is {buckets} and `relative_attention_max_distance` {farthest}: expected a multiple of 4 up to 4096, and more than its fourth"
            ));
        }
        Ok(())
    }

    /// The kind of a distance (tokens from the one that looks to the one looked at), as T5 counts them: each for itself up to a fourth of the kinds, longer
    /// ones by their logarithm; forwards apart from backwards.
    fn bucket(&self, distance: i64) -> usize {
        let half = self.relative_attention_num_buckets / 2;
        let base = if distance > 0 { half } else { 0 };
        let (distance, exact) = (distance.unsigned_abs() as usize, half / 2);
        if distance < exact {
            return base + distance;
        }
        let far = (self.relative_attention_max_distance as f64 / exact as f64).ln() as f32;
        // In single precision, as it was trained.
        let part = (distance as f32 / exact as f32).ln() / far * (half - exact) as f32;
        base + (exact + part as usize).min(half - 1)
    }
}

/// An encoder with its weights.
#[derive(Debug, Clone)]
pub struct T5Encoder {
    config: T5Config,
    tokens: Tensor,
    layers: Vec<Layer>,
    /// By kind of distance and head, in single floats in main memory.
    distances: Tensor,
    norm: RmsNorm,
    dtype: DType,
    device: Device,
}

#[derive(Debug, Clone)]
struct Layer {
    norm1: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    norm2: RmsNorm,
    gate: Linear,
    widen: Linear,
    narrow: Linear,
}

impl T5Encoder {
    /// Reads the weights of an encoder of the given shapes, under transformers' names.
    pub fn load(config: T5Config, weights: &Weights) -> Result<Self> {
        let (width, inner, eps) = (config.d_model, config.num_heads * config.d_kv, config.layer_norm_epsilon);
        let table = ["shared.weight", "encoder.embed_tokens.weight"]
            .into_iter()
            .find(|name| weights.has(name))
            .unwrap_or("shared.weight");
        let layer = |i: usize| -> Result<Layer> {
            let weights = weights.at(format_args!("encoder.block.{i}.layer"));
            let (own, forward) = (weights.at("0.SelfAttention"), weights.at("1.DenseReluDense"));
            Ok(Layer {
                norm1: weights.rms_norm("0.layer_norm.weight", width, eps)?,
                query: own.at("q").linear(width, inner)?,
                key: own.at("k").linear(width, inner)?,
                value: own.at("v").linear(width, inner)?,
                out: own.at("o").linear(inner, width)?,
                norm2: weights.rms_norm("1.layer_norm.weight", width, eps)?,
                gate: forward.at("wi_0").linear(width, config.d_ff)?,
                widen: forward.at("wi_1").linear(width, config.d_ff)?,
                narrow: forward.at("wo").linear(config.d_ff, width)?,
            })
        };
        let distances = weights.get(
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            &[config.relative_attention_num_buckets, config.num_heads],
        )?;
        Ok(Self {
            tokens: weights.get(table, &[config.vocab_size, width])?,
            layers: (0..config.num_layers).map(layer).collect::<Result<_>>()?,
            distances: distances.to_device(&Device::Cpu)?.to_dtype(DType::F32)?,
            norm: weights.rms_norm("encoder.final_layer_norm.weight", width, eps)?,
            dtype: weights.computes_in(),
            device: weights.device().clone(),
            config,
        })
    }

    /// The model's shapes.
    pub fn config(&self) -> &T5Config {
        &self.config
    }

    /// Embeds one sequence, every token of which sees every other: `[1, tokens, width]` in single floats. `between` is asked before each layer; its error ends
    /// the work.
    pub fn encode(&self, ids: &[u32], between: &dyn Fn() -> Result<()>) -> Result<Tensor> {
        if let Some(beyond) = ids.iter().find(|id| **id as usize >= self.config.vocab_size) {
            return Err(ModelError::Input(format!(
                "token {beyond} is beyond the {} that this text encoder knows: its tokenizer is of another model",
                self.config.vocab_size
            )));
        }
        let n = ids.len();
        let ids = Tensor::from_slice(ids, n, &self.device)?;
        let mut x = self.tokens.index_select(&ids, 0)?.to_dtype(self.dtype)?.unsqueeze(0)?;
        let bias = self.bias(n)?;
        for layer in &self.layers {
            between()?;
            x = layer.forward(&x, &bias, &self.config)?;
        }
        Ok(self.norm.forward(&x)?.to_dtype(DType::F32)?)
    }

    /// What distance adds to scores, `[heads, n, n]`.
    fn bias(&self, n: usize) -> Result<Tensor> {
        let by_kind: Vec<Vec<f32>> = self.distances.t()?.to_vec2()?;
        let kinds: Vec<usize> = (0..2 * n).map(|i| self.config.bucket(i as i64 - n as i64)).collect();
        let mut bias = Vec::with_capacity(by_kind.len() * n * n);
        for head in &by_kind {
            for from in 0..n {
                bias.extend((0..n).map(|to| head[kinds[n + to - from]]));
            }
        }
        Ok(Tensor::from_vec(bias, (by_kind.len(), n, n), &Device::Cpu)?.to_device(&self.device)?)
    }
}

impl Layer {
    fn forward(&self, x: &Tensor, bias: &Tensor, config: &T5Config) -> candle_core::Result<Tensor> {
        let (_, n, _) = x.dims3()?;
        let h = self.norm1.forward(x)?;
        // A head is a row of a batch: each has a bias of its own.
        let heads = |y: Tensor| y.reshape((n, config.num_heads, config.d_kv))?.transpose(0, 1)?.contiguous();
        // T5 does not scale its scores, attention does.
        let query = heads((self.query.forward(&h)? * (config.d_kv as f64).sqrt())?)?;
        let (key, value) = (heads(self.key.forward(&h)?)?, heads(self.value.forward(&h)?)?);
        let seen = attention(&query, &key, &value, 1, AttentionMask::Bias(bias))?;
        let seen = seen
            .transpose(0, 1)?
            .contiguous()?
            .reshape((1, n, config.num_heads * config.d_kv))?;
        let x = self.out.forward_add(&seen, x)?;
        let h = self.norm2.forward(&x)?;
        let gated = (tanh_gelu(&self.gate.forward(&h)?)? * self.widen.forward(&h)?)?;
        add(&self.narrow.forward(&gated)?, &x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_distances_share_a_kind() {
        let config = T5Config::parse(r#"{"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2, "vocab_size": 9}"#).unwrap();
        let kinds = [0, -1, -7, -8, -11, -12, -127, -128, -5000, 1, 7, 8, 12, 5000].map(|d| config.bucket(d));
        assert_eq!(kinds, [0, 1, 7, 8, 8, 9, 15, 15, 15, 17, 23, 24, 25, 31]);
    }

    #[test]
    fn other_kinds_are_refused() {
        let refused = |change: &str| {
            let text = format!(r#"{{"d_model": 8, "d_kv": 4, "d_ff": 8, "num_heads": 2, "vocab_size": 9, "num_layers": 1 {change}}}"#);
            T5Config::parse(&text).unwrap_err().to_string()
        };
        assert!(refused(r#", "feed_forward_proj": "relu""#).contains("feed_forward_proj"));
        assert!(refused(r#", "relative_attention_num_buckets": 3"#).contains("relative_attention_num_buckets"));
    }
}
