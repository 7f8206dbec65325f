//! `vae/config.json`.

use std::path::Path;

use serde::Deserialize;

use crate::diffusion::error::{Result, parse_checked, read_checked};

/// Shapes and factors of an autoencoder.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct VaeConfig {
    /// Channels of a picture.
    #[serde(default = "three")]
    pub in_channels: usize,
    /// Channels of a decoded picture.
    #[serde(default = "three")]
    pub out_channels: usize,
    /// Channels of latents.
    #[serde(default = "four")]
    pub latent_channels: usize,
    /// Channels of the blocks, largest picture first.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks a block has on the way down; one more on the way up.
    #[serde(default = "one")]
    pub layers_per_block: usize,
    /// Groups of all group norms.
    #[serde(default = "groups")]
    pub norm_num_groups: usize,
    /// Side in pixels that the model was made for, which is also the tile size where none is given.
    #[serde(default = "sample_size")]
    pub sample_size: usize,
    /// What latents are multiplied by for the denoiser.
    #[serde(default = "scaling")]
    pub scaling_factor: f64,
    /// What is taken off latents before that.
    #[serde(default, deserialize_with = "or_zero")]
    pub shift_factor: f64,
    /// Whether half floats overflow, so that pictures come out black.
    #[serde(default = "yes")]
    pub force_upcast: bool,
    /// Whether there is a convolution after the encoder.
    #[serde(default = "yes")]
    pub use_quant_conv: bool,
    /// Whether there is a convolution before the decoder.
    #[serde(default = "yes")]
    pub use_post_quant_conv: bool,
    /// Whether the middle has attention.
    #[serde(default = "yes")]
    pub mid_block_add_attention: bool,
    #[serde(default)]
    down_block_types: Vec<String>,
    #[serde(default)]
    up_block_types: Vec<String>,
    #[serde(default)]
    act_fn: Option<String>,
}

fn one() -> usize {
    1
}
fn three() -> usize {
    3
}
fn four() -> usize {
    4
}
fn groups() -> usize {
    32
}
fn sample_size() -> usize {
    32
}
fn scaling() -> f64 {
    0.18215
}
fn yes() -> bool {
    true
}
fn or_zero<'de, D: serde::Deserializer<'de>>(de: D) -> std::result::Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(de)?.unwrap_or_default())
}

impl VaeConfig {
    /// Reads `config.json`.
    pub fn read(path: &Path) -> Result<Self> {
        read_checked(path, Self::check)
    }

    /// Parses the text of a `config.json`.
    pub fn parse(text: &str) -> Result<Self> {
        parse_checked(Path::new("config.json"), text, Self::check)
    }

    /// Pixels a latent stands for along each axis: 8 for all of Stable Diffusion.
    pub fn scale(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }

    fn check(&self) -> std::result::Result<(), String> {
        let n = self.block_out_channels.len();
        if n == 0 || n > 8 {
            return Err(format!("`block_out_channels` has {n} entries, one to eight expected"));
        }
        if self.norm_num_groups == 0 || self.block_out_channels.iter().any(|c| *c == 0 || c % self.norm_num_groups != 0) {
            return Err(format!(
                "`block_out_channels` {:?} must be divisible by `norm_num_groups`",
                self.block_out_channels
            ));
        }
        if self.layers_per_block == 0 || self.layers_per_block > 16 {
            return Err("`layers_per_block` must be 1 to 16".into());
        }
        for (field, kinds, expected) in [
            ("down_block_types", &self.down_block_types, "DownEncoderBlock2D"),
            ("up_block_types", &self.up_block_types, "UpDecoderBlock2D"),
        ] {
            if let Some(other) = kinds.iter().find(|k| *k != expected) {
                return Err(format!("`{field}`: `{other}` is not supported"));
            }
        }
        if self.act_fn.as_deref().is_some_and(|a| a != "silu" && a != "swish") {
            return Err("`act_fn` must be `silu`".into());
        }
        if !(self.scaling_factor.is_finite() && self.scaling_factor != 0.0) {
            return Err("`scaling_factor` must be a number other than 0".into());
        }
        Ok(())
    }
}
