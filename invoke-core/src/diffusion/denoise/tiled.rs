//! Multi-diffusion (Bar-Tal et al., 2023): a picture larger than the model likes, denoised in overlapping tiles that are
//! merged after every evaluation.

use candle_core::{DType, Device, Tensor};

use super::Denoiser;
use super::control::{At, Controlled};
use super::evaluate::{Evaluator, Part};
use super::plan::Plan;
use super::run::{Job, Outcome, Progress, Stage};
use crate::diffusion::error::{ModelError, Result};
use crate::diffusion::latents::crop;
use crate::diffusion::noise::TorchGenerator;
use crate::diffusion::schedulers::Scheduler;

/// A rectangle of latents with the width of its overlap on each side, in latent pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tile {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Rows shared with the tile above, rows shared with the one below, columns with the one to the left and to the right.
    pub overlap: [usize; 4],
}

/// Covers `height` by `width` with tiles of one size that overlap by `overlap` or more, in rows from the top.
/// A tile is no larger than the whole; the overlap must be smaller than a tile.
pub fn tiles_with_overlap(height: usize, width: usize, tile: (usize, usize), overlap: usize) -> Result<Vec<Tile>> {
    for (field, size) in [("tile_height", tile.0), ("tile_width", tile.1)] {
        if overlap >= size {
            return Err(ModelError::Input(format!(
                "tile_overlap: {overlap} is out of range, expected less than {field} ({size})"
            )));
        }
    }
    let axis = |whole: usize, tile: usize| -> Vec<(usize, usize, usize, usize)> {
        let tile = tile.min(whole);
        // A whole as small as the overlap takes one tile.
        let count = if whole <= tile {
            1
        } else {
            (whole - overlap).div_ceil(tile - overlap)
        };
        let place = |i: usize| if count > 1 { i * (whole - tile) / (count - 1) } else { 0 };
        let shared = |i: usize| (place(i - 1) + tile).saturating_sub(place(i));
        let before = |i: usize| if i > 0 { shared(i) } else { 0 };
        let after = |i: usize| if i + 1 < count { shared(i + 1) } else { 0 };
        (0..count).map(|i| (place(i), tile, before(i), after(i))).collect()
    };
    let columns = axis(width, tile.1);
    let tiles = axis(height, tile.0).into_iter().flat_map(|(top, height, above, below)| {
        columns.iter().map(move |&(left, width, before, after)| {
            let overlap = [above, below, before, after];
            Tile {
                top,
                left,
                height,
                width,
                overlap,
            }
        })
    });
    Ok(tiles.collect())
}

impl Tile {
    /// Weights of the tile's pixels, `[1, 1, height, width]`: 1 inside, falling to 0 over the overlaps.
    fn weights(&self, device: &Device) -> Result<Tensor> {
        let ramp = |i: usize, n: usize| if n > 1 { i as f32 / (n - 1) as f32 } else { 0.0 };
        // A ramp of one pixel is 0 where it rises and 1 where it falls, as a range of one number is its start.
        let axis = |size: usize, before: usize, after: usize| -> Vec<f32> {
            let rise = |i: usize| if i < before { ramp(i, before) } else { 1.0 };
            let fall = |i: usize| {
                if size - i <= after {
                    1.0 - ramp(i + after - size, after)
                } else {
                    1.0
                }
            };
            (0..size).map(|i| rise(i) * fall(i)).collect()
        };
        let [above, below, before, after] = self.overlap;
        let (rows, columns) = (axis(self.height, above, below), axis(self.width, before, after));
        let rows = Tensor::from_vec(rows, (1, 1, self.height, 1), device)?;
        Ok(rows.broadcast_mul(&Tensor::from_vec(columns, (1, 1, 1, self.width), device)?)?)
    }

    /// Puts a tile's values in their place among zeros.
    fn spread(&self, x: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
        let below = height - self.top - self.height;
        let right = width - self.left - self.width;
        Ok(x.pad_with_zeros(2, self.top, below)?.pad_with_zeros(3, self.left, right)?)
    }
}

/// Runs one job in tiles. Masks, T2I-Adapters, image prompts and prompts for parts of the picture do not go with tiles.
pub fn denoise_tiled<D: Denoiser>(denoiser: &D, plan: &Plan<'_>, job: &Job<'_>, tiles: &[Tile]) -> Result<Outcome> {
    let regional = job.positive.iter().chain(&job.negative).any(|prompt| prompt.mask.is_some());
    if regional || job.mask.is_some() || !job.adapters.is_empty() || !job.images.is_empty() {
        return Err(ModelError::Input(
            "tiles do not go with masks, T2I-Adapters, IP-Adapters or prompts for parts of the picture".into(),
        ));
    }
    let Some(first_tile) = tiles.first() else {
        return Err(ModelError::Input("tiles: none given, expected one or more".into()));
    };
    let start = job.start(plan, Some((first_tile.height, first_tile.width)))?;
    let course = plan.open(job.seed)?;
    let Some(first) = course.first else {
        return Ok(Outcome::Done(start.latents));
    };
    let mut latents = match &start.noise {
        Some(noise) => course.sampler.add_noise(&start.latents, noise, first)?,
        None => start.latents.clone(),
    };
    let (_, _, h, w) = latents.dims4()?;
    if tiles.iter().any(|tile| tile.top + tile.height > h || tile.left + tile.width > w) {
        return Err(ModelError::Input(format!("a tile lies outside latents of {w} by {h}")));
    }
    let device = latents.device().clone();

    let mut runs = Vec::new();
    let mut sum = Tensor::zeros((1, 1, h, w), DType::F32, &device)?;
    for tile in tiles {
        let part = [tile.top, tile.left, tile.height, tile.width];
        let controls = job
            .controls
            .iter()
            .map(|input| Controlled::new(input, Some(part)))
            .collect::<Result<Vec<_>>>()?;
        let weights = tile.weights(&device)?;
        sum = (sum + tile.spread(&weights, (h, w))?)?;
        let sampler: Box<dyn Scheduler> = course.sampler.fork();
        runs.push((tile, sampler, controls, weights));
    }
    // Where no tile has weight there is nothing to divide.
    let covered = sum.gt(0.0)?;
    let divisor = covered.where_cond(&sum, &sum.ones_like()?)?;

    let total = course.visits.len();
    let (order, train) = (course.sampler.order(), course.sampler.train_timesteps());
    job.watcher.progressed(Progress {
        stage: Stage {
            step: 0,
            total,
            order,
            timestep: train,
        },
        latents: &latents,
        predicted: None,
    });
    // One stream of noise serves all tiles in turn.
    let mut generator = TorchGenerator::for_steps(job.seed);
    let mut evaluator = Evaluator::new(denoiser);
    for (step, &timestep) in course.visits.iter().enumerate() {
        let mut merged = latents.zeros_like()?;
        let mut merged_clean: Option<Tensor> = None;
        for (tile, sampler, controls, weights) in &mut runs {
            if job.watcher.is_cancelled() {
                return Ok(Outcome::Cancelled);
            }
            let piece = crop(&latents, tile.top, tile.left, tile.height, tile.width)?;
            let part = Part {
                sample: sampler.scale_model_input(&piece, timestep)?,
                text: [&start.negative, &start.positive],
                guidance: &job.guidance,
                mask: None,
                controls,
                adapters: &[],
                images: &[],
            };
            let output = evaluator.predict(&mut [part], At { timestep, step, total })?.swap_remove(0);
            let moved = sampler.step(&output, timestep, &piece, &mut generator)?;
            merged = (merged + tile.spread(&moved.sample.broadcast_mul(weights)?, (h, w))?)?;
            if let Some(clean) = moved.predicted {
                let clean = tile.spread(&clean.broadcast_mul(weights)?, (h, w))?;
                merged_clean = Some(match merged_clean {
                    Some(sum) => (sum + clean)?,
                    None => clean,
                });
            }
        }
        latents = merged.broadcast_div(&divisor)?;
        let predicted = merged_clean.map(|clean| clean.broadcast_div(&divisor)).transpose()?;
        let predicted = predicted.as_ref();
        job.watcher.progressed(Progress {
            stage: Stage {
                step: step + 1,
                total,
                order,
                timestep: timestep as usize,
            },
            latents: &latents,
            predicted,
        });
    }
    Ok(Outcome::Done(latents))
}
