//! Heun's method: an Euler step, then a step with the mean of the slopes at both ends.

use candle_core::{Result, Tensor};

use super::config::SchedulerConfig;
use super::ddim::clipped;
use super::euler::{sigma_grid, single};
use super::sigma_method::{SigmaMethod, SigmaRun, Step};
use super::{Built, TorchGenerator, combine};

#[derive(Debug, Clone)]
pub(super) struct Heun {
    run: SigmaRun,
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
            run: SigmaRun::new(doubled(&timesteps), sigmas, config),
            half: None,
        })
    }
}

impl SigmaMethod for Heun {
    const EVALUATIONS: usize = 2;

    fn run(&self) -> &SigmaRun {
        &self.run
    }

    fn run_mut(&mut self) -> &mut SigmaRun {
        &mut self.run
    }

    fn foreseen(&self, clean: Tensor) -> Result<Tensor> {
        clipped(clean, self.run.config.clip(false))
    }

    fn moved(&mut self, step: &Step<'_>, _: &mut TorchGenerator) -> Result<Tensor> {
        let sigmas = &self.run.schedule.sigmas;
        let slope = step.slope()?;
        match self.half.take() {
            None => {
                let moved = combine(&[(1.0, step.sample), (sigmas[step.at + 1] - step.sigma, &slope)])?;
                self.half = Some((step.sample.clone(), slope));
                Ok(moved)
            }
            // The schedule already stands at the end of the step.
            Some((start, start_slope)) => {
                let mean = ((start_slope + slope)? / 2.0)?;
                combine(&[(1.0, &start), (step.sigma - sigmas[step.at - 1], &mean)])
            }
        }
    }
}
