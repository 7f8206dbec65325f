//! Latent consistency models: each step foresees the clean picture and noises it again.

use candle_core::{Result, Tensor};

use super::config::{BetaSchedule, SchedulerConfig};
use super::ddim::{Shares, clipped};
use super::timetable::{self, linspace};
use super::{Built, Error, PredictionType, Scheduler, StepOutput, TorchGenerator, combine, noise_like};

/// The betas that both consistency methods assume where a config names none.
pub(super) const SD_BETAS: (f64, f64, BetaSchedule) = (0.000_85, 0.012, BetaSchedule::ScaledLinear);

#[derive(Debug, Clone)]
pub(super) struct Lcm {
    schedule: timetable::SigmaSchedule,
    shares: Shares,
    prediction: PredictionType,
    clip: Option<f64>,
    timestep_scaling: f32,
}

/// Falling timesteps: a selection from the (as a rule 50) steps of the distilled schedule.
pub(super) fn distilled_timesteps(config: &SchedulerConfig, steps: usize) -> Built<Vec<f64>> {
    let train = config.train_timesteps();
    let original = config.original_inference_steps.unwrap_or(50);
    if original == 0 || original > train {
        return Err(Error::unsupported(
            "original_inference_steps",
            &original.to_string(),
            "at most num_train_timesteps",
        ));
    }
    timetable::check_steps(steps, original)?;
    let stride = train / original;
    // Both ends of the selection lie within: its end point is left out.
    let places = linspace(0.0, original as f64, steps + 1).into_iter().take(steps);
    Ok(places.map(|place| ((original - place as usize) * stride - 1) as f64).collect())
}

impl Lcm {
    pub(super) fn new(config: &SchedulerConfig, steps: usize) -> Built<Self> {
        Ok(Self {
            schedule: timetable::SigmaSchedule::new(distilled_timesteps(config, steps)?, Vec::new()),
            shares: Shares::new(config, SD_BETAS, true)?,
            prediction: config.prediction(),
            clip: config.clip(false),
            timestep_scaling: config.timestep_scaling.unwrap_or(10.0) as f32,
        })
    }
}

impl Scheduler for Lcm {
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
        const DATA: f32 = 0.5;
        let at = self.schedule.current(timestep);
        let (clean, _) = Shares::split(self.shares.at(timestep as i64), self.prediction, sample, output)?;
        let clean = clipped(clean, self.clip)?;
        // Boundary condition: at timestep zero the sample is the picture.
        let t = timestep as f32 * self.timestep_scaling;
        let norm = t * t + DATA * DATA;
        let denoised = combine(&[(t / norm.sqrt(), &clean), (DATA * DATA / norm, sample)])?;
        let moved = match self.schedule.timesteps.get(at + 1) {
            Some(&next) => {
                let share = self.shares.at(next as i64);
                let noise = noise_like(output, generator)?;
                combine(&[(share.sqrt(), &denoised), ((1.0 - share).sqrt(), &noise)])?
            }
            None => denoised.clone(),
        };
        self.schedule.advance();
        Ok(StepOutput {
            sample: moved,
            predicted: Some(denoised),
        })
    }

    fn fork(&self) -> Box<dyn Scheduler> {
        Box::new(self.clone())
    }
}
