//! Heun's method: an Euler step, then a step with the mean of the slopes at both ends.

use candle_core::{Result, Tensor};

use super::config::SchedulerConfig;
use super::ddim::clipped;
use super::euler::{scaled, sigma_grid, single};
use super::timetable::{SigmaSchedule, clean_of_sigma};
use super::{Built, Scheduler, StepOutput, TorchGenerator, combine};

#[derive(Debug, Clone)]
pub(super) struct Heun {
    schedule: SigmaSchedule,
    config: SchedulerConfig,
    /// Sample and slope at the beginning of a step whose second half is due.
    half: Option<(Tensor, Tensor)>,
}

/// Lists every value but the first twice, as methods with two evaluations a step count them.
pub(super) fn doubled<T: Copy>(values: &[T]) -> Vec<T> {
    values
        .iter()
        .take(1)
        .copied()
        .chain(values.iter().skip(1).flat_map(|&v| [v, v]))
        .collect()
}

impl Heun {
    pub(super) fn new(config: &SchedulerConfig, steps: usize, karras: bool) -> Built<Self> {
        let config = config.plain();
        let (timesteps, sigmas, _) = sigma_grid(&config, steps, karras)?;
        let timesteps: Vec<f64> = timesteps.into_iter().map(single).collect();
        let sigmas: Vec<f32> = sigmas.into_iter().map(|s| s as f32).collect();
        let sigmas = doubled(&sigmas).into_iter().chain([0.0]).collect();
        Ok(Self {
            schedule: SigmaSchedule::new(doubled(&timesteps), sigmas),
            config,
            half: None,
        })
    }
}

impl Scheduler for Heun {
    fn timesteps(&self) -> &[f64] {
        &self.schedule.timesteps
    }

    fn order(&self) -> usize {
        2
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
        // In the second half the schedule already stands at the end of the step.
        let first = if self.half.is_none() { at } else { at - 1 };
        let (sigma, next) = (self.schedule.sigmas[first], self.schedule.sigmas[first + 1]);
        let here = self.schedule.sigmas[at];
        let clean = clean_of_sigma(self.config.prediction(), here, sample, output)?;
        let clean = clipped(clean, self.config.clip(false))?;
        let slope = ((sample - &clean)? / f64::from(here))?;
        let moved = match self.half.take() {
            None => {
                let moved = combine(&[(1.0, sample), (next - sigma, &slope)])?;
                self.half = Some((sample.clone(), slope));
                moved
            }
            Some((start, start_slope)) => {
                let mean = ((start_slope + slope)? / 2.0)?;
                combine(&[(1.0, &start), (next - sigma, &mean)])?
            }
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
