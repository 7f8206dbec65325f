//! The image encoder of Segment Anything 2: a transformer in four stages, each but the first at half the size of the one before.

use candle_core::Tensor;
use serde::Deserialize;
use serde_json::Value;

use super::windows::{join, split};
use crate::{
    diffusion::{
        ModelError, Result,
        ops::{
            AttentionMask, Conv2d, ConvConfig, LayerNorm, Linear, add, attention, enlarge_nearest, gelu, max_pool_2x2, pick,
            pixels_as_tokens, resize_bicubic, tokens_as_pixels,
        },
        weights::Weights,
    },
    vision::layers::{conv, conv_with},
};

const EPS: f64 = 1e-6;
/// Step of the patches.
const STRIDE: usize = 4;
const STAGES: usize = 4;

/// What `config.json` says of the encoder; what it leaves out is as in the smallest model.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
struct Config {
    blocks_per_stage: Vec<usize>,
    num_attention_heads_per_stage: Vec<usize>,
    window_size_per_stage: Vec<usize>,
    global_attention_blocks: Vec<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            blocks_per_stage: vec![1, 2, 7, 2],
            num_attention_heads_per_stage: vec![1, 2, 4, 8],
            window_size_per_stage: vec![8, 4, 14, 7],
            global_attention_blocks: vec![5, 7, 9],
        }
    }
}

#[derive(Debug)]
struct Block {
    norms: [LayerNorm; 2],
    qkv: Linear,
    out: Linear,
    heads: usize,
    /// Side of the windows; 0 for all of the picture.
    window: usize,
    /// Where the width changes, at the first block of a stage: what is added is widened, and all is halved.
    change: Option<Linear>,
    widen: Linear,
    narrow: Linear,
}

/// The largest of each 2×2 places of `x [b, h * w, c]`.
fn halved(x: &Tensor, h: usize, w: usize) -> Result<Tensor> {
    Ok(pixels_as_tokens(&max_pool_2x2(&tokens_as_pixels(&x.contiguous()?, h, w)?)?)?)
}

impl Block {
    fn load(weights: &Weights, heads: usize, window: usize) -> Result<Self> {
        let (wide, inputs) = match weights.require("attn.qkv.weight")?.as_slice() {
            [wide, inputs] if wide % 3 == 0 && *wide > 0 => (*wide, *inputs),
            other => return Err(weights.corrupt(format!("`{}.attn.qkv.weight` has shape {other:?}", weights.path()))),
        };
        let width = wide / 3;
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(weights.corrupt(format!("`{}`: {width} channels do not divide into {heads} heads", weights.path())));
        }
        let inner = weights.require("mlp.proj_in.weight")?.first().copied().unwrap_or_default();
        Ok(Self {
            norms: [
                weights.at("layer_norm1").layer_norm(inputs, EPS)?,
                weights.at("layer_norm2").layer_norm(width, EPS)?,
            ],
            qkv: weights.at("attn.qkv").linear(inputs, wide)?,
            out: weights.at("attn.proj").linear(width, width)?,
            heads,
            window,
            change: (inputs != width).then(|| weights.at("proj").linear(inputs, width)).transpose()?,
            widen: weights.at("mlp.proj_in").linear(width, inner)?,
            narrow: weights.at("mlp.proj_out").linear(inner, width)?,
        })
    }

    /// `x [1, h * w, c]`, and the size of the result.
    fn forward(&self, x: &Tensor, h: usize, w: usize) -> Result<(Tensor, usize, usize)> {
        let normed = self.norms[0].forward(x)?;
        let (residual, step) = match &self.change {
            Some(change) => (halved(&change.forward(&normed)?, h, w)?, 2),
            None => (x.clone(), 1),
        };
        let (new_h, new_w) = (h / step, w / step);
        let side = |n: usize| if self.window == 0 { n } else { self.window };
        let (windows, tall, broad) = split(&normed, [h, w], [side(h), side(w)])?;
        let qkv = self.qkv.forward(&windows)?;
        let width = qkv.dim(2)? / 3;
        let part = |i: usize| qkv.narrow(2, i * width, width);
        let queries = if step == 2 {
            halved(&part(0)?, side(h), side(w))?
        } else {
            part(0)?
        };
        let seen = attention(&queries, &part(1)?, &part(2)?, self.heads, AttentionMask::None)?;
        let seen = self.out.forward(&seen)?;
        let seen = join(&seen, [tall / step, broad / step], [side(h) / step, side(w) / step], [new_h, new_w])?;
        let x = add(&residual, &seen)?;
        let inner = gelu(&self.widen.forward(&self.norms[1].forward(&x)?)?)?;
        Ok((self.narrow.forward_add(&inner, &x)?, new_h, new_w))
    }
}

/// The encoder.
#[derive(Debug)]
pub(super) struct Hiera {
    patches: Conv2d,
    /// `[1, c, n, n]`, to be enlarged to the grid.
    positions: Tensor,
    /// `[1, c, n, n]`, to be repeated over the grid.
    within: Tensor,
    stages: Vec<Vec<Block>>,
    /// From each stage, the last one first, to features of one width.
    neck: Vec<Conv2d>,
}

impl Hiera {
    /// `config` is the JSON of the model's config, `weights` the vision encoder's.
    pub(super) fn load(config: &Value, weights: &Weights) -> Result<Self> {
        let given = config["vision_config"]["backbone_config"].clone();
        let config: Config = match given {
            Value::Null => Config::default(),
            given => serde_json::from_value(given).map_err(|e| weights.corrupt(format!("config.json: backbone_config: {e}")))?,
        };
        let (heads, windows) = (&config.num_attention_heads_per_stage, &config.window_size_per_stage);
        if [config.blocks_per_stage.len(), heads.len(), windows.len()] != [STAGES; 3] || windows.contains(&0) {
            return Err(weights.corrupt(format!("config.json: backbone_config must describe {STAGES} stages")));
        }
        let backbone = weights.at("backbone");
        let mut stages = Vec::new();
        let mut index = 0;
        for (stage, count) in config.blocks_per_stage.iter().enumerate() {
            let mut blocks = Vec::new();
            for block in 0..*count {
                // The first block of a stage still has the windows of the one before.
                let window = if block == 0 && stage > 0 {
                    windows[stage - 1]
                } else {
                    windows[stage]
                };
                let window = if config.global_attention_blocks.contains(&index) {
                    0
                } else {
                    window
                };
                blocks.push(Block::load(&backbone.at("blocks").at(index), heads[stage], window)?);
                index += 1;
            }
            stages.push(blocks);
        }
        let patches = ConvConfig {
            stride: STRIDE,
            padding: [3; 4],
        };
        Ok(Self {
            patches: conv_with(&backbone.at("patch_embed.projection"), patches)?,
            positions: backbone.read("pos_embed")?,
            within: backbone.read("pos_embed_window")?,
            stages,
            neck: (0..STAGES).map(|i| conv(&weights.at("neck.convs").at(i))).collect::<Result<_>>()?,
        })
    }

    /// Features of `x [1, 3, h, w]` at a sixteenth, a quarter and an eighth of its size.
    pub(super) fn forward(&self, x: &Tensor) -> Result<[Tensor; 3]> {
        let x = self.patches.forward(&x.to_dtype(self.positions.dtype())?)?;
        let (_, _, mut h, mut w) = x.dims4()?;
        if h % 8 != 0 || w % 8 != 0 || h * w == 0 {
            return Err(ModelError::Input(format!(
                "a picture of {}x{}, expected multiples of 32",
                w * STRIDE,
                h * STRIDE
            )));
        }
        let repeated = |n: usize, axis: usize| -> Result<Vec<usize>> {
            let side = self.within.dim(axis)?;
            Ok((0..n).map(|i| i % side).collect())
        };
        let positions = add(
            &resize_bicubic(&self.positions, h, w)?,
            &pick(&self.within, &repeated(h, 2)?, &repeated(w, 3)?)?,
        )?;
        let mut x = pixels_as_tokens(&add(&x, &positions)?)?;
        let mut seen = Vec::new();
        for blocks in &self.stages {
            for block in blocks {
                (x, h, w) = block.forward(&x, h, w)?;
            }
            seen.push(tokens_as_pixels(&x, h, w)?);
        }
        let side = |stage: usize| self.neck[STAGES - 1 - stage].forward(&seen[stage]);
        let coarse = add(&side(2)?, &enlarge_nearest(&side(3)?, 2)?)?;
        Ok([coarse, side(0)?, side(1)?])
    }
}
