//! `unet/config.json` and `controlnet/config.json`.

use std::path::Path;

use serde::Deserialize;

use crate::diffusion::error::{Result, config_error, read_json};

/// One value for all blocks, or one a block.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum PerBlock<T> {
    /// One a block, first to last. (Tried first, so that a list of lists is read as one.)
    Each(Vec<T>),
    /// The same everywhere.
    Same(T),
}

impl<T: Clone> PerBlock<T> {
    fn expand(&self, blocks: usize) -> Option<Vec<T>> {
        match self {
            Self::Same(value) => Some(vec![value.clone(); blocks]),
            Self::Each(values) if values.len() == blocks => Some(values.clone()),
            Self::Each(_) => None,
        }
    }
}

/// The config as diffusers writes it. Fields that change nothing that is computed here are left out.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RawConfig {
    #[serde(default = "four")]
    in_channels: usize,
    #[serde(default = "four")]
    out_channels: usize,
    block_out_channels: Vec<usize>,
    #[serde(default)]
    down_block_types: Vec<String>,
    #[serde(default)]
    up_block_types: Vec<String>,
    #[serde(default)]
    mid_block_type: Option<String>,
    #[serde(default = "two")]
    layers_per_block: PerBlock<usize>,
    #[serde(default = "eight")]
    attention_head_dim: PerBlock<usize>,
    #[serde(default)]
    num_attention_heads: Option<PerBlock<usize>>,
    #[serde(default = "context_width")]
    cross_attention_dim: PerBlock<usize>,
    #[serde(default = "one")]
    transformer_layers_per_block: PerBlock<PerBlock<usize>>,
    #[serde(default)]
    reverse_transformer_layers_per_block: Option<Vec<PerBlock<usize>>>,
    #[serde(default = "groups")]
    norm_num_groups: Option<usize>,
    #[serde(default = "eps")]
    norm_eps: f64,
    #[serde(default = "yes")]
    flip_sin_to_cos: bool,
    #[serde(default)]
    freq_shift: f64,
    #[serde(default = "one_usize")]
    downsample_padding: usize,
    #[serde(default)]
    addition_embed_type: Option<String>,
    #[serde(default)]
    addition_time_embed_dim: Option<usize>,
    #[serde(default)]
    projection_class_embeddings_input_dim: Option<usize>,
    #[serde(default)]
    time_embedding_dim: Option<usize>,
    // Of a ControlNet.
    #[serde(default = "three")]
    conditioning_channels: usize,
    #[serde(default)]
    conditioning_embedding_out_channels: Option<Vec<usize>>,
    #[serde(default)]
    controlnet_conditioning_channel_order: Option<String>,
    #[serde(default)]
    global_pool_conditions: bool,
    // What must have its usual value.
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

fn one() -> PerBlock<PerBlock<usize>> {
    PerBlock::Same(PerBlock::Same(1))
}
fn one_usize() -> usize {
    1
}
fn two() -> PerBlock<usize> {
    PerBlock::Same(2)
}
fn three() -> usize {
    3
}
fn four() -> usize {
    4
}
fn eight() -> PerBlock<usize> {
    PerBlock::Same(8)
}
fn context_width() -> PerBlock<usize> {
    PerBlock::Same(1280)
}
#[expect(clippy::unnecessary_wraps, reason = "a serde default has the field's type")]
fn groups() -> Option<usize> {
    Some(32)
}
fn eps() -> f64 {
    1e-5
}
fn yes() -> bool {
    true
}

/// Shapes of a UNet, checked and spelt out for each block.
#[derive(Debug, Clone, PartialEq)]
pub struct UNetConfig {
    /// Channels of the latents that come in: 4, or 9 for an inpainting model.
    pub in_channels: usize,
    /// Channels of the prediction.
    pub out_channels: usize,
    /// The blocks on the way down, largest picture first.
    pub down: Vec<BlockConfig>,
    /// The blocks on the way up, smallest picture first.
    pub up: Vec<BlockConfig>,
    /// Depth of the transformer in the middle and its heads.
    pub mid: AttentionConfig,
    /// Groups of all group norms.
    pub groups: usize,
    /// Epsilon of the residual blocks' norms.
    pub eps: f64,
    /// Whether the timestep's cosines come first.
    pub flip_sin_to_cos: bool,
    /// Shift of the timestep's frequencies.
    pub freq_shift: f64,
    /// Padding of the strided convolutions.
    pub downsample_padding: usize,
    /// Width of the time embedding.
    pub time_width: usize,
    /// SDXL's added conditioning: `(width of one time id's embedding, width of the whole)`.
    pub added: Option<(usize, usize)>,
    /// What a ControlNet adds.
    pub(crate) control: ControlConfig,
}

/// One block of a UNet.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockConfig {
    /// Channels the block works with.
    pub channels: usize,
    /// Residual layers (one more on the way up).
    pub layers: usize,
    /// Its transformers: one a layer, or none in a block without attention.
    pub attention: Option<Vec<AttentionConfig>>,
    /// Whether the block changes the picture's size at its end.
    pub resamples: bool,
}

/// A transformer's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionConfig {
    /// Heads.
    pub heads: usize,
    /// Blocks one after another.
    pub depth: usize,
    /// Width of the context.
    pub context: usize,
}

/// Shapes of a ControlNet beyond those of a UNet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ControlConfig {
    pub(crate) channels: usize,
    pub(crate) embedding: Vec<usize>,
    pub(crate) bgr: bool,
    pub(crate) global_pool: bool,
}

impl UNetConfig {
    /// Reads `config.json`.
    pub fn read(path: &Path) -> Result<Self> {
        let raw: RawConfig = read_json(path)?;
        Self::from_raw(raw).map_err(|reason| config_error(path, reason))
    }

    /// Parses the text of a `config.json`.
    pub fn parse(text: &str) -> Result<Self> {
        let raw: RawConfig = serde_json::from_str(text).map_err(|e| config_error(Path::new("config.json"), e))?;
        Self::from_raw(raw).map_err(|reason| config_error(Path::new("config.json"), reason))
    }

    fn from_raw(raw: RawConfig) -> std::result::Result<Self, String> {
        raw.check_rest()?;
        let n = raw.block_out_channels.len();
        if n == 0 || n > 8 || raw.down_block_types.len() != n {
            return Err(format!(
                "`block_out_channels` has {n} entries, `down_block_types` {}; one to eight of each expected",
                raw.down_block_types.len()
            ));
        }
        if !raw.up_block_types.is_empty() && raw.up_block_types.len() != n {
            return Err(format!("`up_block_types` has {} entries, expected {n}", raw.up_block_types.len()));
        }
        let each = |field: &str| format!("`{field}` must be a number or a list of {n}");
        let layers = raw.layers_per_block.expand(n).ok_or_else(|| each("layers_per_block"))?;
        // diffusers named the count of heads `attention_head_dim` and has kept to it.
        let heads = raw.num_attention_heads.as_ref().unwrap_or(&raw.attention_head_dim);
        let heads = heads.expand(n).ok_or_else(|| each("attention_head_dim"))?;
        let context = raw.cross_attention_dim.expand(n).ok_or_else(|| each("cross_attention_dim"))?;
        let depth = raw
            .transformer_layers_per_block
            .expand(n)
            .ok_or_else(|| each("transformer_layers_per_block"))?;
        let up_depth = match &raw.reverse_transformer_layers_per_block {
            Some(depth) if depth.len() == n => depth.clone(),
            Some(_) => return Err(each("reverse_transformer_layers_per_block")),
            None => depth.iter().rev().cloned().collect(),
        };
        if layers.iter().any(|&l| l == 0 || l > 16) {
            return Err("`layers_per_block` must be 1 to 16".into());
        }
        let attention = |block: usize, depth: &PerBlock<usize>, layers: usize| -> std::result::Result<Vec<AttentionConfig>, String> {
            let depth = depth.expand(layers).ok_or_else(|| each("transformer_layers_per_block"))?;
            if depth.iter().any(|&d| d > 64) {
                return Err("`transformer_layers_per_block` must be at most 64".into());
            }
            Ok(depth
                .into_iter()
                .map(|depth| AttentionConfig {
                    heads: heads[block],
                    depth,
                    context: context[block],
                })
                .collect())
        };
        let mut down = Vec::new();
        let mut up = Vec::new();
        for i in 0..n {
            let attention_here = match raw.down_block_types[i].as_str() {
                "CrossAttnDownBlock2D" => Some(attention(i, &depth[i], layers[i])?),
                "DownBlock2D" => None,
                other => return Err(format!("`down_block_types`: `{other}` is not supported")),
            };
            down.push(BlockConfig {
                channels: raw.block_out_channels[i],
                layers: layers[i],
                attention: attention_here,
                resamples: i + 1 < n,
            });
        }
        for (i, kind) in raw.up_block_types.iter().enumerate() {
            let mirror = n - 1 - i;
            let count = layers[mirror] + 1;
            let attention_here = match kind.as_str() {
                "CrossAttnUpBlock2D" => Some(attention(mirror, &up_depth[i], count)?),
                "UpBlock2D" => None,
                other => return Err(format!("`up_block_types`: `{other}` is not supported")),
            };
            up.push(BlockConfig {
                channels: raw.block_out_channels[mirror],
                layers: count,
                attention: attention_here,
                resamples: i + 1 < n,
            });
        }
        let PerBlock::Same(mid_depth) = depth[n - 1] else {
            return Err("`transformer_layers_per_block`: the last entry must be a number".into());
        };
        let groups = raw.norm_num_groups.ok_or("`norm_num_groups` must be a number")?;
        if groups == 0 || raw.block_out_channels.iter().any(|c| *c == 0 || c % groups != 0) {
            return Err(format!(
                "`block_out_channels` {:?} must be divisible by `norm_num_groups` {groups}",
                raw.block_out_channels
            ));
        }
        let added = match raw.addition_embed_type.as_deref() {
            None => None,
            Some("text_time") => Some((
                raw.addition_time_embed_dim.ok_or("`addition_time_embed_dim` is missing")?,
                raw.projection_class_embeddings_input_dim
                    .ok_or("`projection_class_embeddings_input_dim` is missing")?,
            )),
            Some(other) => return Err(format!("`addition_embed_type`: `{other}` is not supported")),
        };
        Ok(Self {
            in_channels: raw.in_channels,
            out_channels: raw.out_channels,
            down,
            up,
            mid: AttentionConfig {
                heads: heads[n - 1],
                depth: mid_depth,
                context: context[n - 1],
            },
            groups,
            eps: raw.norm_eps,
            flip_sin_to_cos: raw.flip_sin_to_cos,
            freq_shift: raw.freq_shift,
            downsample_padding: raw.downsample_padding,
            time_width: raw.time_embedding_dim.unwrap_or(raw.block_out_channels[0] * 4),
            added,
            control: ControlConfig {
                channels: raw.conditioning_channels,
                embedding: raw.conditioning_embedding_out_channels.unwrap_or_else(|| vec![16, 32, 96, 256]),
                bgr: raw.controlnet_conditioning_channel_order.as_deref() == Some("bgr"),
                global_pool: raw.global_pool_conditions,
            },
        })
    }

    /// Channels of the largest picture's block.
    pub fn first_channels(&self) -> usize {
        self.down[0].channels
    }

    /// Channels of the smallest picture's block.
    pub fn last_channels(&self) -> usize {
        self.down[self.down.len() - 1].channels
    }
}

impl RawConfig {
    /// Refuses what would be computed differently from the usual.
    fn check_rest(&self) -> std::result::Result<(), String> {
        if self.mid_block_type.as_deref().is_some_and(|t| t != "UNetMidBlock2DCrossAttn") {
            return Err(format!(
                "`mid_block_type`: `{}` is not supported",
                self.mid_block_type.as_deref().unwrap_or_default()
            ));
        }
        let usual: &[(&str, &[serde_json::Value])] = &[
            ("act_fn", &["silu".into(), "swish".into()]),
            ("resnet_time_scale_shift", &["default".into()]),
            ("time_embedding_type", &["positional".into()]),
            ("attention_type", &["default".into()]),
            ("only_cross_attention", &[false.into()]),
            ("dual_cross_attention", &[false.into()]),
            ("center_input_sample", &[false.into()]),
            ("resnet_skip_time_act", &[false.into()]),
            ("class_embeddings_concat", &[false.into()]),
            ("mid_block_only_cross_attention", &[false.into()]),
            ("mid_block_scale_factor", &[1.into(), 1.0.into()]),
            ("resnet_out_scale_factor", &[1.into(), 1.0.into()]),
            ("conv_in_kernel", &[3.into()]),
            ("conv_out_kernel", &[3.into()]),
        ];
        for (field, allowed) in usual {
            if let Some(value) = self.rest.get(*field)
                && !value.is_null()
                && !allowed.contains(value)
            {
                return Err(format!("`{field}` = {value} is not supported"));
            }
        }
        for field in [
            "class_embed_type",
            "num_class_embeds",
            "encoder_hid_dim_type",
            "encoder_hid_dim",
            "time_cond_proj_dim",
            "timestep_post_act",
            "time_embedding_act_fn",
            "cross_attention_norm",
        ] {
            if let Some(value) = self.rest.get(field)
                && !value.is_null()
            {
                return Err(format!("`{field}` = {value} is not supported"));
            }
        }
        Ok(())
    }
}
