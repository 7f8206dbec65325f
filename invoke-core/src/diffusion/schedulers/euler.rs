//! Euler's method, plain and ancestral.

use candle_core::{Result, Tensor};

use super::config::{SchedulerConfig, TimestepSpacing, Training};
use super::ddim::PLAIN_BETAS;
use super::timetable::{self, SigmaSchedule, clean_of_sigma};
use super::{Built, Error, PredictionType, Scheduler, StepOutput, TorchGenerator, combine, noise_like};

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

/// Divides a sample by the norm that it has at this sigma.
pub(super) fn scaled(sample: &Tensor, sigma: f32) -> Result<Tensor> {
    sample / f64::from((sigma * sigma + 1.0).sqrt())
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
    schedule: SigmaSchedule,
    config: SchedulerConfig,
}

impl Euler {
    pub(super) fn new(config: &SchedulerConfig, steps: usize, karras: bool) -> Built<Self> {
        let (timesteps, sigmas, training) = sigma_grid(config, steps, karras)?;
        let last = if config.ends_at_zero()? { 0.0 } else { training.sigmas[0] };
        let sigmas = sigmas.into_iter().map(|s| s as f32).chain([last]).collect();
        let schedule = SigmaSchedule::new(timesteps.into_iter().map(single).collect(), sigmas);
        Ok(Self {
            schedule,
            config: config.clone(),
        })
    }
}

impl Scheduler for Euler {
    fn timesteps(&self) -> &[f64] {
        &self.schedule.timesteps
    }

    fn train_timesteps(&self) -> usize {
        self.config.train_timesteps()
    }

    fn init_noise_sigma(&self) -> f64 {
        self.schedule.init_noise_sigma(&self.config)
    }

    fn scale_model_input(&mut self, sample: &Tensor, timestep: f64) -> Result<Tensor> {
        let at = self.schedule.current(timestep);
        scaled(sample, self.schedule.sigmas[at])
    }

    fn add_noise(&self, picture: &Tensor, noise: &Tensor, timestep: f64) -> Result<Tensor> {
        combine(&[(1.0, picture), (self.schedule.sigmas[self.schedule.position(timestep)], noise)])
    }

    fn step(&mut self, output: &Tensor, timestep: f64, sample: &Tensor, _: &mut TorchGenerator) -> Result<StepOutput> {
        let at = self.schedule.current(timestep);
        let (sigma, next) = (self.schedule.sigmas[at], self.schedule.sigmas[at + 1]);
        let clean = clean_of_sigma(self.config.prediction(), sigma, sample, output)?;
        let slope = ((sample - &clean)? / f64::from(sigma))?;
        let moved = combine(&[(1.0, sample), (next - sigma, &slope)])?;
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

#[derive(Debug, Clone)]
pub(super) struct EulerAncestral {
    schedule: SigmaSchedule,
    config: SchedulerConfig,
}

impl EulerAncestral {
    pub(super) fn new(config: &SchedulerConfig, steps: usize) -> Built<Self> {
        not_sample(config)?;
        let (timesteps, sigmas, _) = sigma_grid(config, steps, false)?;
        let sigmas = sigmas.into_iter().map(|s| s as f32).chain([0.0]).collect();
        Ok(Self {
            schedule: SigmaSchedule::new(timesteps, sigmas),
            config: config.clone(),
        })
    }
}

/// Splits the way from one sigma to a smaller one into a longer way down and fresh noise back up: `(down, up)`.
pub(super) fn ancestral(from: f32, to: f32) -> (f32, f32) {
    let up = (to * to * (from * from - to * to) / (from * from)).sqrt();
    ((to * to - up * up).sqrt(), up)
}

impl Scheduler for EulerAncestral {
    fn timesteps(&self) -> &[f64] {
        &self.schedule.timesteps
    }

    fn train_timesteps(&self) -> usize {
        self.config.train_timesteps()
    }

    fn init_noise_sigma(&self) -> f64 {
        self.schedule.init_noise_sigma(&self.config)
    }

    fn scale_model_input(&mut self, sample: &Tensor, timestep: f64) -> Result<Tensor> {
        let at = self.schedule.current(timestep);
        scaled(sample, self.schedule.sigmas[at])
    }

    fn add_noise(&self, picture: &Tensor, noise: &Tensor, timestep: f64) -> Result<Tensor> {
        combine(&[(1.0, picture), (self.schedule.sigmas[self.schedule.position(timestep)], noise)])
    }

    fn step(&mut self, output: &Tensor, timestep: f64, sample: &Tensor, generator: &mut TorchGenerator) -> Result<StepOutput> {
        let at = self.schedule.current(timestep);
        let (sigma, next) = (self.schedule.sigmas[at], self.schedule.sigmas[at + 1]);
        let clean = clean_of_sigma(self.config.prediction(), sigma, sample, output)?;
        let (down, up) = ancestral(sigma, next);
        let slope = ((sample - &clean)? / f64::from(sigma))?;
        let noise = noise_like(output, generator)?;
        let moved = combine(&[(1.0, sample), (down - sigma, &slope), (up, &noise)])?;
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
