//! T2I-Adapter: a small network that turns a picture into one state for each block of a denoiser's way down.

use std::path::Path;

use candle_core::{DType, Tensor};
use serde::Deserialize;

use crate::diffusion::error::{ModelError, Result, config_error, read_json};
use crate::diffusion::ops::{Conv2d, ConvConfig, add, channels_first, halve};
use crate::diffusion::weights::Weights;

#[derive(Debug, Clone, Deserialize)]
struct Config {
    #[serde(default = "three")]
    in_channels: usize,
    #[serde(default = "channels")]
    channels: Vec<usize>,
    #[serde(default = "two")]
    num_res_blocks: usize,
    #[serde(default = "eight")]
    downscale_factor: usize,
    #[serde(default = "full")]
    adapter_type: String,
}

fn two() -> usize {
    2
}
fn three() -> usize {
    3
}
fn eight() -> usize {
    8
}
fn channels() -> Vec<usize> {
    vec![320, 640, 1280, 1280]
}
fn full() -> String {
    "full_adapter".into()
}

/// A T2I-Adapter with its weights.
#[derive(Debug, Clone)]
pub struct T2iAdapter {
    config: Config,
    /// First convolution of the full variants.
    enter: Option<Conv2d>,
    blocks: Vec<Block>,
    dtype: DType,
}

#[derive(Debug, Clone)]
struct Block {
    halves: bool,
    enter: Option<Conv2d>,
    layers: Vec<(Conv2d, Conv2d)>,
    leave: Option<Conv2d>,
}

impl T2iAdapter {
    /// From the `config.json` of a folder and its weights.
    pub fn open(folder: &Path, weights: &Weights) -> Result<Self> {
        let path = folder.join("config.json");
        let config: Config = read_json(&path)?;
        let n = config.channels.len();
        if n == 0 || n > 8 || config.num_res_blocks > 16 || !(1..=64).contains(&config.downscale_factor) {
            return Err(config_error(
                &path,
                "`channels`, `num_res_blocks` or `downscale_factor` is out of range",
            ));
        }
        Self::load(config, weights)
    }

    fn load(config: Config, weights: &Weights) -> Result<Self> {
        let weights = &weights.at("adapter");
        let pixels = config.in_channels * config.downscale_factor * config.downscale_factor;
        let c = &config.channels;
        let (first, last) = (c[0], c[c.len() - 1]);
        let body = |i: usize| weights.at(format_args!("body.{i}"));
        let n = config.num_res_blocks;
        let mut blocks = Vec::new();
        let mut enter = None;
        match config.adapter_type.as_str() {
            "light_adapter" => {
                let steps = [pixels].iter().chain(c).chain([&last]).copied().collect::<Vec<_>>();
                for (i, pair) in steps.windows(2).enumerate() {
                    blocks.push(Block::light(&body(i), pair[0], pair[1], n, i > 0)?);
                }
            }
            kind @ ("full_adapter" | "full_adapter_xl") => {
                enter = Some(weights.at("conv_in").conv(pixels, first, 3, ConvConfig::padded(1))?);
                let steps = [first].iter().chain(c).copied().collect::<Vec<_>>();
                for (i, pair) in steps.windows(2).enumerate() {
                    let halves = if kind == "full_adapter" { i > 0 } else { i == 2 };
                    blocks.push(Block::full(&body(i), pair[0], pair[1], n, halves)?);
                }
            }
            other => return Err(weights.corrupt(format!("`adapter_type`: `{other}` is not supported"))),
        }
        Ok(Self {
            enter,
            blocks,
            dtype: weights.computes_in(),
            config,
        })
    }

    /// What the sides of a picture must be multiples of.
    pub fn multiple(&self) -> usize {
        let halvings = self.blocks.iter().filter(|b| b.halves).count();
        self.config.downscale_factor << halvings
    }

    /// Channels of a picture: 3, or 1 for sketches.
    pub fn picture_channels(&self) -> usize {
        self.config.in_channels
    }

    /// States for `picture [b, channels, h, w]` in 0 to 1, whose sides are multiples of the downscale factor.
    pub fn forward(&self, picture: &Tensor) -> Result<Vec<Tensor>> {
        let (_, channels, h, w) = picture.dims4()?;
        let factor = self.config.downscale_factor;
        if channels != self.config.in_channels || h % factor != 0 || w % factor != 0 {
            let expected = self.config.in_channels;
            return Err(ModelError::Input(format!(
                "the adapter's picture is {channels}×{h}×{w}; {expected} channels and sides that are multiples of {factor} expected"
            )));
        }
        let mut x = unshuffle(&picture.to_dtype(self.dtype)?, factor)?;
        if let Some(enter) = &self.enter {
            x = enter.forward(&x)?;
        }
        let mut states = Vec::new();
        for block in &self.blocks {
            x = block.forward(&x)?;
            states.push(channels_first(&x)?);
        }
        Ok(states)
    }
}

impl Block {
    fn full(weights: &Weights, inputs: usize, outputs: usize, layers: usize, halves: bool) -> Result<Self> {
        let enter = if inputs == outputs {
            None
        } else {
            Some(weights.at("in_conv").conv(inputs, outputs, 1, ConvConfig::padded(0))?)
        };
        Ok(Self {
            halves,
            enter,
            layers: Self::layers(weights, outputs, layers, 1)?,
            leave: None,
        })
    }

    fn light(weights: &Weights, inputs: usize, outputs: usize, layers: usize, halves: bool) -> Result<Self> {
        let mid = outputs / 4;
        Ok(Self {
            halves,
            enter: Some(weights.at("in_conv").conv(inputs, mid, 1, ConvConfig::padded(0))?),
            layers: Self::layers(weights, mid, layers, 3)?,
            leave: Some(weights.at("out_conv").conv(mid, outputs, 1, ConvConfig::padded(0))?),
        })
    }

    fn layers(weights: &Weights, channels: usize, layers: usize, second_kernel: usize) -> Result<Vec<(Conv2d, Conv2d)>> {
        let layer = |i: usize| {
            let weights = weights.at(format_args!("resnets.{i}"));
            let second = ConvConfig::padded(second_kernel / 2);
            Ok((
                weights.at("block1").conv(channels, channels, 3, ConvConfig::padded(1))?,
                weights.at("block2").conv(channels, channels, second_kernel, second)?,
            ))
        };
        (0..layers).map(layer).collect()
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = if self.halves { halve(x)? } else { x.clone() };
        if let Some(enter) = &self.enter {
            x = enter.forward(&x)?;
        }
        for (first, second) in &self.layers {
            x = add(&second.forward(&first.forward(&x)?.relu()?)?, &x)?;
        }
        match &self.leave {
            Some(leave) => leave.forward(&x),
            None => Ok(x),
        }
    }
}

/// Blocks of `factor`² pixels become channels: `[b, c, h, w]` to `[b, c factor², h/factor, w/factor]`.
fn unshuffle(x: &Tensor, factor: usize) -> candle_core::Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    x.reshape(&[b, c, h / factor, factor, w / factor, factor][..])?
        .permute(vec![0, 1, 3, 5, 2, 4])?
        .contiguous()?
        .reshape((b, c * factor * factor, h / factor, w / factor))
}
