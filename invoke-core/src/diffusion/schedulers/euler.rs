//! Euler's method, plain and ancestral.

use candle_core::{Result, Tensor};

use super::config::{SchedulerConfig, TimestepSpacing, Training};
use super::ddim::PLAIN_BETAS;
use super::sigma_method::{SigmaMethod, SigmaRun, Step};
use super::timetable;
use super::{Built, Error, PredictionType, TorchGenerator, combine, noise_like};

/// The schedule of the k-diffusion family before any doubling: timesteps and the sigma at each, with the training schedule.
pub(super) fn sigma_grid(config: &SchedulerConfig, steps: usize, karras: bool) -> Built<(Vec<f64>, Vec<f64>, Training)> {
    exact_sigma_grid(
        config,
        timetable::plain(config, TimestepSpacing::Linspace, steps)?
            .into_iter()
            .map(single)
            .collect(),
        karras,
    )
}

/// The same from timesteps that are given, in whatever precision.
pub(super) fn exact_sigma_grid(config: &SchedulerConfig, timesteps: Vec<f64>, karras: bool) -> Built<(Vec<f64>, Vec<f64>, Training)> {
    let steps = timesteps.len();
    let training = Training::new(config, PLAIN_BETAS, true)?;
    let mut sigmas: Vec<f64> = timesteps.iter().map(|&t| timetable::sigma_at(&training, t)).collect();
    if !karras {
        return Ok((timesteps, sigmas, training));
    }
    let (largest, smallest) = (sigmas[0], sigmas[steps - 1]);
    sigmas = timetable::karras(config.sigma_max.unwrap_or(largest), config.sigma_min.unwrap_or(smallest), steps);
    let timesteps = sigmas.iter().map(|&s| timetable::timestep_of(&training, s)).collect();
    Ok((timesteps, sigmas, training))
}

/// Rounded to single precision.
pub(super) fn single(x: f64) -> f64 {
    f64::from(x as f32)
}

/// Methods of the family that cannot work with a denoiser that predicts the picture itself.
pub(super) fn not_sample(config: &SchedulerConfig) -> Built<PredictionType> {
    match config.prediction() {
        PredictionType::Sample => Err(Error::unsupported(
            "prediction_type",
            "sample",
            "epsilon or v_prediction for this scheduler",
        )),
        other => Ok(other),
    }
}

#[derive(Debug, Clone)]
pub(super) struct Euler {
    run: SigmaRun,
}

impl Euler {
    pub(super) fn new(config: &SchedulerConfig, steps: usize, karras: bool) -> Built<Self> {
        let (timesteps, sigmas, training) = sigma_grid(config, steps, karras)?;
        let last = if config.ends_at_zero()? { 0.0 } else { training.sigmas[0] };
        let sigmas = sigmas.into_iter().map(|s| s as f32).chain([last]).collect();
        let timesteps = timesteps.into_iter().map(single).collect();
        Ok(Self {
            run: SigmaRun::new(timesteps, sigmas, config.clone()),
        })
    }
}

impl SigmaMethod for Euler {
    fn run(&self) -> &SigmaRun {
        &self.run
    }

    fn run_mut(&mut self) -> &mut SigmaRun {
        &mut self.run
    }

    fn moved(&mut self, step: &Step<'_>, _: &mut TorchGenerator) -> Result<Tensor> {
        let next = self.run.schedule.sigmas[step.at + 1];
        combine(&[(1.0, step.sample), (next - step.sigma, &step.slope()?)])
    }
}

#[derive(Debug, Clone)]
pub(super) struct EulerAncestral {
    run: SigmaRun,
}

impl EulerAncestral {
    pub(super) fn new(config: &SchedulerConfig, steps: usize) -> Built<Self> {
        not_sample(config)?;
        let (timesteps, sigmas, _) = sigma_grid(config, steps, false)?;
        let sigmas = sigmas.into_iter().map(|s| s as f32).chain([0.0]).collect();
        Ok(Self {
            run: SigmaRun::new(timesteps, sigmas, config.clone()),
        })
    }
}

/// Splits the way from one sigma to a smaller one into a longer way down and fresh noise back up: `(down, up)`.
pub(super) fn ancestral(from: f32, to: f32) -> (f32, f32) {
    let up = (to * to * (from * from - to * to) / (from * from)).sqrt();
    ((to * to - up * up).sqrt(), up)
}

impl SigmaMethod for EulerAncestral {
    fn run(&self) -> &SigmaRun {
        &self.run
    }

    fn run_mut(&mut self) -> &mut SigmaRun {
        &mut self.run
    }

    fn moved(&mut self, step: &Step<'_>, generator: &mut TorchGenerator) -> Result<Tensor> {
        let (down, up) = ancestral(step.sigma, self.run.schedule.sigmas[step.at + 1]);
        let noise = noise_like(step.sample, generator)?;
        combine(&[(1.0, step.sample), (down - step.sigma, &step.slope()?), (up, &noise)])
    }
}
