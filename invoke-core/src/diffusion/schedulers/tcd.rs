//! Trajectory consistency distillation with full stochasticity (η = 1), as InvokeAI runs it.

use candle_core::{Result, Tensor};

use super::config::SchedulerConfig;
use super::ddim::Shares;
use super::lcm::{SD_BETAS, distilled_timesteps};
use super::{Built, PredictionType, Scheduler, StepOutput, TorchGenerator, combine, noise_like, timetable};

#[derive(Debug, Clone)]
pub(super) struct Tcd {
    schedule: timetable::SigmaSchedule,
    shares: Shares,
    prediction: PredictionType,
}

impl Tcd {
    pub(super) fn new(config: &SchedulerConfig, steps: usize) -> Built<Self> {
        Ok(Self {
            schedule: timetable::SigmaSchedule::new(distilled_timesteps(config, steps)?, Vec::new()),
            shares: Shares::new(config, SD_BETAS, true)?,
            prediction: config.prediction(),
        })
    }
}

impl Scheduler for Tcd {
    fn timesteps(&self) -> &[f64] {
        &self.schedule.timesteps
    }

    fn train_timesteps(&self) -> usize {
        self.shares.len()
    }

    fn add_noise(&self, picture: &Tensor, noise: &Tensor, timestep: f64) -> Result<Tensor> {
        self.shares.add_noise(picture, noise, timestep)
    }

    fn step(&mut self, output: &Tensor, timestep: f64, sample: &Tensor, generator: &mut TorchGenerator) -> Result<StepOutput> {
        let at = self.schedule.current(timestep);
        let (clean, noise) = Shares::split(self.shares.at(timestep as i64), self.prediction, sample, output)?;
        // With η = 1 the deterministic part of a step goes all the way to timestep zero.
        let bottom = self.shares.at(0);
        let landed = combine(&[(bottom.sqrt(), &clean), ((1.0 - bottom).sqrt(), &noise)])?;
        let moved = match self.schedule.timesteps.get(at + 1) {
            Some(&next) => {
                let ratio = self.shares.at(next as i64) / bottom;
                let fresh = noise_like(output, generator)?;
                combine(&[(ratio.sqrt(), &landed), ((1.0 - ratio).sqrt(), &fresh)])?
            }
            None => landed,
        };
        self.schedule.advance();
        Ok(StepOutput {
            sample: moved,
            predicted: Some(clean),
        })
    }

    fn fork(&self) -> Box<dyn Scheduler> {
        Box::new(self.clone())
    }
}
