//! Between the eyes and the detector: features of all sizes brought to one width, and where each of their pixels lies.

use candle_core::Tensor;

use super::layers::waves;
use crate::diffusion::{
    Result,
    ops::{Conv2d, ConvConfig, GroupNorm, pixels_as_tokens},
    weights::Weights,
};

const EPS: f64 = 1e-5;
const GROUPS: usize = 32;
/// The most sizes of features.
const MOST_LEVELS: usize = 8;
/// Keeps the last row and column from being a whole turn.
const LESS: f32 = 1e-6;

/// What the detector looks at: pixels of pictures of several sizes, one after another.
#[derive(Debug)]
pub(super) struct Scene {
    /// `[1, n, width]`
    pub(super) pixels: Tensor,
    /// Where each pixel lies, and in which picture: `[1, n, width]`.
    pub(super) positions: Tensor,
    /// The same as shares of width and height: `[n, 2]`.
    pub(super) places: Tensor,
    /// Height and width of each picture.
    pub(super) sizes: Vec<[usize; 2]>,
}

/// The neck.
#[derive(Debug)]
pub(super) struct Neck {
    levels: Vec<(Conv2d, GroupNorm)>,
    /// One row a level: `[levels, width]`.
    embeddings: Tensor,
    temperature: f32,
}

impl Neck {
    /// For features of these widths; the levels beyond them follow from the last one.
    pub(super) fn load(weights: &Weights, widths: &[usize], temperature: f64) -> Result<Self> {
        let (levels, width) = match weights.require("level_embed")?.as_slice() {
            [levels, width] if *levels <= MOST_LEVELS && *levels >= widths.len() && width % GROUPS == 0 && *width > 0 => (*levels, *width),
            other => {
                return Err(weights.corrupt(format!(
                    "`level_embed` has shape {other:?}, expected {} to {MOST_LEVELS} rows of a multiple of {GROUPS}",
                    widths.len()
                )));
            }
        };
        let Some(last) = widths.last() else {
            return Err(weights.corrupt("the backbone hands out no features"));
        };
        let level = |i: usize| {
            let weights = weights.at("input_proj_vision").at(i);
            let (inputs, kernel, config) = match widths.get(i) {
                Some(inputs) => (*inputs, 1, ConvConfig::padded(0)),
                None => {
                    let config = ConvConfig {
                        stride: 2,
                        padding: [1; 4],
                    };
                    (if i == widths.len() { *last } else { width }, 3, config)
                }
            };
            Ok((
                weights.at(0).conv(inputs, width, kernel, config)?,
                weights.at(1).group_norm(GROUPS, width, EPS)?,
            ))
        };
        Ok(Self {
            levels: (0..levels).map(level).collect::<Result<_>>()?,
            embeddings: weights.get("level_embed", &[levels, width])?,
            temperature: temperature as f32,
        })
    }

    /// Width of all features.
    pub(super) fn width(&self) -> Result<usize> {
        Ok(self.embeddings.dim(1)?)
    }

    /// How many sizes of features there are.
    pub(super) fn levels(&self) -> usize {
        self.levels.len()
    }

    /// `features [1, c, h, w]`, one for each width.
    pub(super) fn forward(&self, features: &[Tensor]) -> Result<Scene> {
        let mut maps: Vec<Tensor> = Vec::new();
        for (i, (conv, norm)) in self.levels.iter().enumerate() {
            // The first level beyond the features still follows from the widest of them, not from what was made of that.
            let from = match features.get(i) {
                Some(feature) => feature,
                None if i == features.len() => &features[i - 1],
                None => &maps[i - 1],
            };
            maps.push(norm.forward(&conv.forward(from)?)?);
        }
        let (mut positions, mut places, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
        for (i, map) in maps.iter().enumerate() {
            let (_, _, h, w) = map.dims4()?;
            positions.push(self.positions(h, w)?.broadcast_add(&self.embeddings.get(i)?)?);
            let at = |i: usize, n: usize| (i as f32 + 0.5) / n as f32;
            places.extend((0..h * w).flat_map(|i| [at(i % w, w), at(i / w, h)]));
            sizes.push([h, w]);
        }
        let device = self.embeddings.device();
        let tokens: Vec<Tensor> = maps.iter().map(|map| Ok(pixels_as_tokens(map)?)).collect::<Result<_>>()?;
        Ok(Scene {
            pixels: Tensor::cat(&tokens, 1)?,
            positions: Tensor::cat(&positions, 0)?.unsqueeze(0)?,
            places: Tensor::from_vec(places, ((), 2), device)?.to_dtype(self.embeddings.dtype())?,
            sizes,
        })
    }

    /// Waves along the height, then along the width: `[h * w, width]`.
    fn positions(&self, h: usize, w: usize) -> Result<Tensor> {
        let width = self.width()?;
        let along = |n: usize| {
            let mut rows = Vec::with_capacity(n * width / 2);
            for i in 1..=n {
                let turn = i as f32 / (n as f32 + LESS) * std::f32::consts::TAU;
                waves(turn, width / 2, self.temperature, &mut rows);
            }
            rows
        };
        let (down, across) = (along(h), along(w));
        let mut all = Vec::with_capacity(h * w * width);
        for row in down.chunks_exact(width / 2) {
            for column in across.chunks_exact(width / 2) {
                all.extend_from_slice(row);
                all.extend_from_slice(column);
            }
        }
        let embeddings = &self.embeddings;
        Ok(Tensor::from_vec(all, (h * w, width), embeddings.device())?.to_dtype(embeddings.dtype())?)
    }
}
