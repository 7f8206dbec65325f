//! IP-Adapter: pictures as prompts, through keys and values of their own in every cross-attention layer.

use std::collections::HashMap;

use candle_core::Tensor;

use super::resampler::Resampler;
use crate::diffusion::error::{ModelError, Result};
use crate::diffusion::ops::{LayerNorm, Linear, gelu};
use crate::diffusion::unet::regions::mask_pyramid;
use crate::diffusion::unet::{ImagePrompt, UNet};
use crate::diffusion::weights::Weights;

/// Tokens an image becomes in the plain variant.
const PLAIN_TOKENS: usize = 4;

/// Which of an image encoder's outputs an adapter reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFeatures {
    /// The projected embedding of the whole image, `[images, width]`.
    Pooled,
    /// The states before the last layer, `[images, patches, width]`.
    Penultimate,
}

/// Where in the denoiser an adapter acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpTarget<'a> {
    /// Parts of the names of the layers it acts in, such as `up_blocks.1`; `block` is in all of them.
    pub blocks: &'a [&'a str],
    /// Whether the picture's composition is taken away where [`COMPOSITION`] is named, instead of added.
    pub precise: bool,
}

/// The blocks that make for composition.
pub const COMPOSITION: [&str; 3] = ["down_blocks.2.attentions.1", "down_blocks.2", "mid_block"];

impl IpTarget<'_> {
    /// Everywhere.
    pub const ALL: IpTarget<'static> = IpTarget {
        blocks: &["block"],
        precise: false,
    };

    /// Whether the adapter acts in a layer, and if so, whether against the picture.
    fn acts_in(self, path: &str) -> Option<bool> {
        let block = self.blocks.iter().find(|block| path.contains(**block))?;
        Some(self.precise && COMPOSITION.contains(block))
    }
}

/// An IP-Adapter with its weights.
#[derive(Debug, Clone)]
pub struct IpAdapter {
    projection: Projection,
    /// Key and value products in the order of the denoiser's layers: down, up, middle.
    layers: Vec<(Linear, Linear)>,
}

#[derive(Debug, Clone)]
enum Projection {
    Plain { product: Linear, norm: LayerNorm, width: usize },
    Plus(Resampler),
    Full { first: Linear, second: Linear, norm: LayerNorm },
}

impl IpAdapter {
    /// Reads a file with `image_proj.…` and `ip_adapter.…`.
    pub fn load(weights: &Weights) -> Result<Self> {
        let image = weights.at("image_proj");
        let projection = Projection::load(&image)?;
        let layers = weights.at("ip_adapter");
        let mut numbers: Vec<usize> = weights
            .source()
            .names()
            .iter()
            .filter_map(|n| n.strip_prefix("ip_adapter.")?.strip_suffix(".to_k_ip.weight")?.parse().ok())
            .collect();
        numbers.sort_unstable();
        let layers = numbers
            .into_iter()
            .map(|n| {
                let layer = layers.at(n);
                let product = |name: &str| -> Result<Linear> {
                    match layer.at(name).require("weight")?.as_slice() {
                        &[outputs, inputs] => layer.at(name).linear(inputs, outputs),
                        shape => Err(layer.corrupt(format!("`{name}` has shape {shape:?}, two axes expected"))),
                    }
                };
                Ok((product("to_k_ip")?, product("to_v_ip")?))
            })
            .collect::<Result<_>>()?;
        Ok(Self { projection, layers })
    }

    /// Which of an image encoder's outputs it reads.
    pub fn features(&self) -> ImageFeatures {
        match self.projection {
            Projection::Plain { .. } => ImageFeatures::Pooled,
            Projection::Plus(_) | Projection::Full { .. } => ImageFeatures::Penultimate,
        }
    }

    /// Tokens for an image encoder's output (see [`Self::features`]): `[images, tokens, context width]`.
    pub fn embed(&self, features: &Tensor) -> Result<Tensor> {
        Ok(match &self.projection {
            Projection::Plain { product, norm, width } => {
                let y = product.forward(features)?;
                norm.forward(&y.reshape((features.dim(0)?, (), *width))?)?
            }
            Projection::Plus(resampler) => resampler.forward(features)?,
            Projection::Full { first, second, norm } => norm.forward(&second.forward(&gelu(&first.forward(features)?)?)?)?,
        })
    }

    /// Keys and values for a denoiser's layers.
    ///
    /// `embeds` is `[2, tokens, context width]`: what the unconditional and the conditional half see, several images' tokens one
    /// after another. `mask`, in latent pixels `[h, w]`, says where the picture acts.
    pub fn prompt(&self, unet: &UNet, embeds: &Tensor, target: IpTarget<'_>, mask: Option<&Tensor>) -> Result<ImagePrompt> {
        let paths: Vec<&str> = unet.cross_layers().map(|(path, _)| path).collect();
        if paths.len() != self.layers.len() {
            let (found, expected) = (self.layers.len(), paths.len());
            return Err(ModelError::Input(format!(
                "the IP-Adapter has {found} layers, this model {expected}: it is for another base"
            )));
        }
        let rank = |path: &str| {
            if path.starts_with("down_blocks") {
                0
            } else if path.starts_with("up_blocks") {
                1
            } else {
                2
            }
        };
        let mut order: Vec<usize> = (0..paths.len()).collect();
        order.sort_by_key(|i| rank(paths[*i]));
        let mut layers = vec![None; paths.len()];
        for (place, (key, value)) in order.into_iter().zip(&self.layers) {
            let Some(negative) = target.acts_in(paths[place]) else {
                continue;
            };
            let embeds = if negative {
                // The picture speaks against itself: the unconditional half sees it, the conditional sees nothing.
                let conditional = embeds.narrow(0, 1, 1)?;
                Tensor::cat(&[&conditional, &conditional.zeros_like()?], 0)?
            } else {
                embeds.clone()
            };
            layers[place] = Some((key.forward(&embeds)?, value.forward(&embeds)?));
        }
        let masks = match mask {
            None => None,
            Some(mask) => {
                let mut by_size = HashMap::new();
                for (pixels, values) in mask_pyramid(mask)? {
                    let column = Tensor::from_vec(values, (1, pixels, 1), embeds.device())?.to_dtype(embeds.dtype())?;
                    by_size.entry(pixels).or_insert(column);
                }
                Some(by_size)
            }
        };
        Ok(ImagePrompt::new(layers, masks))
    }
}

impl Projection {
    fn load(weights: &Weights) -> Result<Self> {
        let length = |name: &str, axis: usize| -> Result<usize> {
            weights
                .require(name)?
                .get(axis)
                .copied()
                .ok_or_else(|| weights.corrupt(format!("`{name}` has too few axes")))
        };
        if weights.has("latents") {
            return Ok(Self::Plus(Resampler::load(weights)?));
        }
        if weights.has("proj.3.weight") {
            let (inner, width) = (length("proj.0.weight", 0)?, length("proj.3.weight", 0)?);
            let first = weights.at("proj.0").linear(length("proj.0.weight", 1)?, inner)?;
            let second = weights.at("proj.2").linear(inner, width)?;
            return Ok(Self::Full {
                first,
                second,
                norm: weights.at("proj.3").layer_norm(width, 1e-5)?,
            });
        }
        let width = length("norm.weight", 0)?;
        let product = weights.at("proj").linear(length("proj.weight", 1)?, width * PLAIN_TOKENS)?;
        Ok(Self::Plain {
            product,
            norm: weights.at("norm").layer_norm(width, 1e-5)?,
            width,
        })
    }
}
