//! What people point at, as tokens.

use candle_core::{DType, Tensor};

use crate::diffusion::{Result, weights::Weights};

/// What a point says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Nothing at all: there is no point.
    Absent,
    /// Nothing: the model was trained to take it for a filler.
    Filler,
    /// What is there does not belong to the thing.
    Outside,
    /// What is there belongs to the thing.
    Inside,
}

/// What people point at, in pixels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prompt {
    /// Points, across and down.
    pub points: Vec<((f64, f64), Label)>,
    /// A box's upper left and lower right corner.
    pub corners: Option<[(f64, f64); 2]>,
}

impl Prompt {
    /// In pixels of a picture so many times as wide and as tall.
    pub(super) fn scaled(&self, across: f64, down: f64) -> Self {
        let scaled = |(x, y): (f64, f64)| (x * across, y * down);
        Self {
            points: self.points.iter().map(|(at, label)| (scaled(*at), *label)).collect(),
            corners: self.corners.map(|corners| corners.map(scaled)),
        }
    }
}

/// The encoder of prompts.
#[derive(Debug)]
pub(super) struct Prompts {
    /// Directions across and down: `[2, c / 2]`.
    directions: Tensor,
    filler: Tensor,
    /// What is added for a point outside, a point inside, and a box's two corners.
    kinds: [Tensor; 4],
    /// Whether boxes are followed by a filler, too.
    fills_boxes: bool,
    /// What stands for no mask: `[1, c, 1, 1]`.
    pub(super) nothing: Tensor,
}

impl Prompts {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let part = weights.at("prompt_encoder");
        let nothing = part.read("no_mask_embed.weight")?;
        let width = nothing.elem_count();
        let one = |name: &str| part.get(&format!("{name}.weight"), &[1, width]);
        // The second model keeps the kinds in one table.
        let fills_boxes = part.has("point_embed.weight");
        let kinds = if fills_boxes {
            let table = part.get("point_embed.weight", &[4, width])?;
            [
                table.narrow(0, 0, 1)?,
                table.narrow(0, 1, 1)?,
                table.narrow(0, 2, 1)?,
                table.narrow(0, 3, 1)?,
            ]
        } else {
            [
                one("point_embed.0")?,
                one("point_embed.1")?,
                one("point_embed.2")?,
                one("point_embed.3")?,
            ]
        };
        Ok(Self {
            directions: weights.get("shared_image_embedding.positional_embedding", &[2, width / 2])?,
            filler: one("not_a_point_embed")?,
            kinds,
            fills_boxes,
            nothing: nothing.reshape((1, width, 1, 1))?,
        })
    }

    /// Waves for places from 0 to 1 across and down: `[n, c]`.
    fn waves(&self, places: &[(f64, f64)]) -> Result<Tensor> {
        let values: Vec<f32> = places
            .iter()
            .flat_map(|(x, y)| [2.0 * x - 1.0, 2.0 * y - 1.0])
            .map(|v| v as f32)
            .collect();
        let places = Tensor::from_vec(values, (places.len(), 2), self.directions.device())?;
        let angles = (places.matmul(&self.directions.to_dtype(DType::F32)?)? * std::f64::consts::TAU)?;
        Ok(Tensor::cat(&[angles.sin()?, angles.cos()?], 1)?.to_dtype(self.directions.dtype())?)
    }

    /// Tokens `[n, c]` of a prompt in pixels of a view of `side` pixels.
    pub(super) fn tokens(&self, prompt: &Prompt, side: usize) -> Result<Tensor> {
        // Pixels are pointed at in their middle.
        let place = |(x, y): (f64, f64)| ((x + 0.5) / side as f64, (y + 0.5) / side as f64);
        let waves = |at: (f64, f64), kind: usize| -> Result<Tensor> { Ok((self.waves(&[place(at)])? + &self.kinds[kind])?) };
        let mut tokens = Vec::new();
        for (at, label) in &prompt.points {
            tokens.push(match label {
                Label::Absent => self.filler.zeros_like()?,
                Label::Filler => self.filler.clone(),
                Label::Outside => waves(*at, 0)?,
                Label::Inside => waves(*at, 1)?,
            });
        }
        if let Some([start, end]) = prompt.corners {
            tokens.push(waves(start, 2)?);
            tokens.push(waves(end, 3)?);
        }
        // Points alone are followed by a filler.
        if prompt.corners.is_none() || self.fills_boxes {
            tokens.push(self.filler.clone());
        }
        Ok(Tensor::cat(&tokens, 0)?)
    }

    /// Waves for all places of a grid: `[1, h * w, c]`.
    pub(super) fn places(&self, h: usize, w: usize) -> Result<Tensor> {
        let place = |i: usize| (((i % w) as f64 + 0.5) / w as f64, ((i / w) as f64 + 0.5) / h as f64);
        Ok(self.waves(&(0..h * w).map(place).collect::<Vec<_>>())?.unsqueeze(0)?)
    }
}
