//! What the methods of the k-diffusion family have in common: a sample is `picture + sigma · noise`, and a schedule says which sigma comes when.

use candle_core::{Result, Tensor};

use super::config::SchedulerConfig;
use super::timetable::{SigmaSchedule, clean_of_sigma};
use super::{Scheduler, StepOutput, TorchGenerator, combine};

/// A run through a schedule, by the config that it was made from.
#[derive(Debug, Clone)]
pub(super) struct SigmaRun {
    pub(super) schedule: SigmaSchedule,
    pub(super) config: SchedulerConfig,
}

impl SigmaRun {
    pub(super) fn new(timesteps: Vec<f64>, sigmas: Vec<f32>, config: SchedulerConfig) -> Self {
        Self {
            schedule: SigmaSchedule::new(timesteps, sigmas),
            config,
        }
    }
}

/// A step that is due.
pub(super) struct Step<'a> {
    /// Its place in the schedule.
    pub(super) at: usize,
    /// Where the sample stands.
    pub(super) sigma: f32,
    pub(super) sample: &'a Tensor,
    /// The clean picture as the denoiser foresees it from there.
    pub(super) clean: &'a Tensor,
}

impl Step<'_> {
    /// How the sample changes with sigma.
    pub(super) fn slope(&self) -> Result<Tensor> {
        (self.sample - self.clean)? / f64::from(self.sigma)
    }
}

/// A method of the family.
pub(super) trait SigmaMethod: Clone + Send + 'static {
    /// Model evaluations per step.
    const EVALUATIONS: usize = 1;

    fn run(&self) -> &SigmaRun;

    fn run_mut(&mut self) -> &mut SigmaRun;

    /// Where the sample stands at a place of the schedule: at its sigma, unless the method has gone half a step.
    fn sigma(&self, at: usize) -> f32 {
        self.run().schedule.sigmas[at]
    }

    /// What becomes of the clean picture that is foreseen.
    fn foreseen(&self, clean: Tensor) -> Result<Tensor> {
        Ok(clean)
    }

    /// The sample after the step.
    fn moved(&mut self, step: &Step<'_>, generator: &mut TorchGenerator) -> Result<Tensor>;
}

impl<M: SigmaMethod> Scheduler for M {
    fn timesteps(&self) -> &[f64] {
        &self.run().schedule.timesteps
    }

    fn order(&self) -> usize {
        M::EVALUATIONS
    }

    fn train_timesteps(&self) -> usize {
        self.run().config.train_timesteps()
    }

    fn init_noise_sigma(&self) -> f64 {
        let SigmaRun { schedule, config } = self.run();
        schedule.init_noise_sigma(config)
    }

    /// Divided by the norm that a sample has at its sigma.
    fn scale_model_input(&mut self, sample: &Tensor, timestep: f64) -> Result<Tensor> {
        let at = self.run_mut().schedule.current(timestep);
        let sigma = self.sigma(at);
        sample / f64::from((sigma * sigma + 1.0).sqrt())
    }

    fn add_noise(&self, picture: &Tensor, noise: &Tensor, timestep: f64) -> Result<Tensor> {
        let schedule = &self.run().schedule;
        combine(&[(1.0, picture), (schedule.sigmas[schedule.position(timestep)], noise)])
    }

    fn step(&mut self, output: &Tensor, timestep: f64, sample: &Tensor, generator: &mut TorchGenerator) -> Result<StepOutput> {
        let at = self.run_mut().schedule.current(timestep);
        let sigma = self.sigma(at);
        let clean = self.foreseen(clean_of_sigma(self.run().config.prediction(), sigma, sample, output)?)?;
        let step = Step {
            at,
            sigma,
            sample,
            clean: &clean,
        };
        let moved = self.moved(&step, generator)?;
        self.run_mut().schedule.advance();
        Ok(StepOutput {
            sample: moved,
            predicted: Some(clean),
        })
    }

    fn fork(&self) -> Box<dyn Scheduler> {
        Box::new(self.clone())
    }
}
