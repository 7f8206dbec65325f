//! Line drawings as of animated films: a network of halvings and doublings with a way across at each size.

use std::{path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor};

use crate::{
    diffusion::{
        Result,
        ops::{Conv2d, ConvConfig, GroupNorm, cat_channels, leaky_relu, relu, tanh},
        weights::{Source, Weights, open_weights},
    },
    vision::{
        layers::{Enlarging, conv_with, instance_norm, multiples_of},
        upscale::without_prefixes,
    },
};

/// Deepest that files may go.
const DEEPEST: usize = 12;

/// One size: the way down to it and up from it. The outermost and the innermost leave out normalisations.
#[derive(Debug)]
struct Level {
    down: Conv2d,
    down_norm: Option<GroupNorm>,
    up: Enlarging,
    up_norm: Option<GroupNorm>,
}

/// The network.
#[derive(Debug)]
pub struct AnimeLines {
    /// From the picture's size to the smallest.
    levels: Vec<Level>,
    dtype: DType,
    bytes: u64,
}

impl AnimeLines {
    /// Opens a file of weights.
    pub fn open(path: &Path, dtype: DType, device: &Device) -> Result<Self> {
        Self::load(open_weights(path)?, dtype, device)
    }

    /// From weights.
    pub fn load(source: Arc<dyn Source>, dtype: DType, device: &Device) -> Result<Self> {
        let weights = Weights::new(without_prefixes(source), dtype, device);
        let halving = ConvConfig {
            stride: 2,
            padding: [1; 4],
        };
        let mut levels = Vec::new();
        let mut part = weights.at("model.model");
        loop {
            // A level holds the next at a place that depends on what else it holds.
            let outermost = levels.is_empty();
            let inner = part.at(if outermost { "1.model" } else { "3.model" });
            let innermost = !inner.has("1.weight");
            let (down, up) = match (outermost, innermost) {
                (true, _) => (part.at(0), part.at(3)),
                (false, true) => (part.at(1), part.at(3)),
                (false, false) => (part.at(1), part.at(5)),
            };
            let down_conv = conv_with(&down, halving)?;
            let outputs = up.require("weight")?.get(1).copied().unwrap_or_default();
            let down_norm = (!outermost && !innermost).then(|| instance_norm(&down, down_conv.out_channels()));
            levels.push(Level {
                down: down_conv,
                down_norm: down_norm.transpose()?,
                up: Enlarging::doubling(&up, None)?,
                up_norm: (!outermost).then(|| instance_norm(&up, outputs)).transpose()?,
            });
            if innermost || levels.len() == DEEPEST {
                break;
            }
            part = inner;
        }
        Ok(Self {
            levels,
            dtype,
            bytes: weights.bytes_loaded(),
        })
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the sides of pictures must be multiples of.
    pub fn multiple(&self) -> usize {
        1 << self.levels.len()
    }

    /// Dark lines on white in -1 to 1, for `x [1, 3, h, w]` in -1 to 1.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        multiples_of(self.multiple(), x)?;
        let mut sizes = Vec::new();
        let mut x = x.to_dtype(self.dtype)?;
        for (i, level) in self.levels.iter().enumerate() {
            if i > 0 {
                x = leaky_relu(&x, 0.2)?;
                sizes.push(x.clone());
            }
            x = level.down.forward(&x)?;
            if let Some(norm) = &level.down_norm {
                x = norm.forward(&x)?;
            }
        }
        for (i, level) in self.levels.iter().enumerate().rev() {
            x = level.up.forward(&relu(&x)?)?;
            if let Some(norm) = &level.up_norm {
                x = norm.forward(&x)?;
            }
            if i > 0 {
                x = cat_channels(&sizes[i - 1], &x)?;
            }
        }
        Ok(tanh(&x)?)
    }
}
