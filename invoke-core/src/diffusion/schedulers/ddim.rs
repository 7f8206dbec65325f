//! DDIM with η = 0.

use candle_core::{Result, Tensor};

use super::config::{BetaSchedule, SchedulerConfig, TimestepSpacing, Training};
use super::{Built, PredictionType, Scheduler, StepOutput, TorchGenerator, combine, timetable};

#[derive(Debug, Clone)]
pub(super) struct Ddim {
    timesteps: Vec<f64>,
    shares: Shares,
    stride: i64,
    prediction: PredictionType,
    clip: Option<f64>,
}

/// The picture's share of a sample's variance, by whole timestep: what DDIM, DDPM, PNDM, LCM and TCD are written in.
#[derive(Debug, Clone)]
pub(super) struct Shares {
    alphas_cumprod: Vec<f32>,
    last: f32,
}

impl Shares {
    /// Beyond the clean end lies `1` or the first training step, as `set_alpha_to_one` says.
    pub(super) fn new(config: &SchedulerConfig, betas: (f64, f64, BetaSchedule), to_one: bool) -> Built<Self> {
        let alphas_cumprod = Training::new(config, betas, false)?.alphas_cumprod;
        let last = if config.set_alpha_to_one.unwrap_or(to_one) {
            1.0
        } else {
            alphas_cumprod[0]
        };
        Ok(Self { alphas_cumprod, last })
    }

    /// Share at a timestep; beyond the clean end for a negative one.
    pub(super) fn at(&self, timestep: i64) -> f32 {
        match usize::try_from(timestep) {
            Ok(i) => self.alphas_cumprod[i.min(self.alphas_cumprod.len() - 1)],
            Err(_) => self.last,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.alphas_cumprod.len()
    }

    /// Mixes picture and noise at a timestep.
    pub(super) fn add_noise(&self, picture: &Tensor, noise: &Tensor, timestep: f64) -> Result<Tensor> {
        let share = self.at(timestep as i64);
        combine(&[(share.sqrt(), picture), ((1.0 - share).sqrt(), noise)])
    }

    /// Clean picture and noise that the denoiser's output stands for.
    pub(super) fn split(share: f32, prediction: PredictionType, sample: &Tensor, output: &Tensor) -> Result<(Tensor, Tensor)> {
        let (alpha, sigma) = (share.sqrt(), (1.0 - share).sqrt());
        let clean = timetable::clean_of_alpha_sigma(prediction, (alpha, sigma), sample, output)?;
        let noise = match prediction {
            PredictionType::Epsilon => output.clone(),
            PredictionType::Sample => (combine(&[(1.0, sample), (-alpha, output)])? / f64::from(sigma))?,
            PredictionType::VPrediction => combine(&[(alpha, output), (sigma, sample)])?,
        };
        Ok((clean, noise))
    }
}

/// The betas that most classes assume where a config names none.
pub(super) const PLAIN_BETAS: (f64, f64, BetaSchedule) = (0.0001, 0.02, BetaSchedule::Linear);

/// Clips a predicted picture if so configured.
pub(super) fn clipped(clean: Tensor, clip: Option<f64>) -> Result<Tensor> {
    match clip {
        Some(range) => clean.clamp(-range, range),
        None => Ok(clean),
    }
}

/// Whole falling timesteps, leading unless configured otherwise.
pub(super) fn whole_timesteps(config: &SchedulerConfig, steps: usize) -> Built<Vec<f64>> {
    Ok(timetable::plain(config, TimestepSpacing::Leading, steps)?
        .into_iter()
        .map(timetable::round)
        .collect())
}

impl Ddim {
    pub(super) fn new(config: &SchedulerConfig, steps: usize) -> Built<Self> {
        Ok(Self {
            timesteps: whole_timesteps(config, steps)?,
            shares: Shares::new(config, PLAIN_BETAS, true)?,
            stride: (config.train_timesteps() / steps) as i64,
            prediction: config.prediction(),
            clip: config.clip(true),
        })
    }
}

impl Scheduler for Ddim {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn train_timesteps(&self) -> usize {
        self.shares.len()
    }

    fn add_noise(&self, picture: &Tensor, noise: &Tensor, timestep: f64) -> Result<Tensor> {
        self.shares.add_noise(picture, noise, timestep)
    }

    fn step(&mut self, output: &Tensor, timestep: f64, sample: &Tensor, _: &mut TorchGenerator) -> Result<StepOutput> {
        let timestep = timestep as i64;
        let next = self.shares.at(timestep - self.stride);
        let (clean, noise) = Shares::split(self.shares.at(timestep), self.prediction, sample, output)?;
        let clean = clipped(clean, self.clip)?;
        let sample = combine(&[(next.sqrt(), &clean), ((1.0 - next).sqrt(), &noise)])?;
        Ok(StepOutput {
            sample,
            predicted: Some(clean),
        })
    }

    fn fork(&self) -> Box<dyn Scheduler> {
        Box::new(self.clone())
    }
}
