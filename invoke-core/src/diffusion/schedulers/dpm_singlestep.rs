//! DPM-Solver++ of order two as a singlestep method: first order steps in between carry no error on.

use candle_core::{Result, Tensor};

use super::config::{SchedulerConfig, Training};
use super::ddim::PLAIN_BETAS;
use super::dpm_multistep::{Algorithm, Update, Variant, grid};
use super::timetable::{self, SigmaSchedule, alpha_sigma, clean_of_alpha_sigma, lambda};
use super::{Built, Scheduler, StepOutput, TorchGenerator, combine, noise_like};

#[derive(Debug, Clone)]
pub(super) struct DpmSinglestep {
    schedule: SigmaSchedule,
    config: SchedulerConfig,
    orders: Vec<usize>,
    algorithm: Algorithm,
    variant: Variant,
    /// Clean picture of the last step.
    clean: Option<Tensor>,
    /// Sample at the last first order step.
    start: Option<Tensor>,
}

impl DpmSinglestep {
    pub(super) fn new(config: &SchedulerConfig, steps: usize, karras: bool) -> Built<Self> {
        timetable::check_steps(steps, config.train_timesteps())?;
        let training = Training::new(&config.plain(), PLAIN_BETAS, false)?;
        // The spacing that the config names does not count here.
        let timesteps = timetable::multistep_linspace(config.train_timesteps(), steps);
        let (timesteps, sigmas) = grid(config, &training, timesteps, karras);
        let ends_at_zero = config.ends_at_zero()?;
        let last = if ends_at_zero { 0.0 } else { training.sigmas[0] };
        let sigmas = sigmas.into_iter().map(|s| s as f32).chain([last]).collect();
        let lower_order_final = config.lower_order_final.unwrap_or(false) || ends_at_zero || steps % 2 == 1;
        let mut orders: Vec<usize> = (0..steps).map(|i| i % 2 + 1).collect();
        if lower_order_final {
            orders[steps - 1] = 1;
        }
        Ok(Self {
            schedule: SigmaSchedule::new(timesteps, sigmas),
            config: config.clone(),
            orders,
            algorithm: Algorithm::of_config(config)?,
            variant: Variant::of_config(config)?,
            clean: None,
            start: None,
        })
    }
}

impl Scheduler for DpmSinglestep {
    fn timesteps(&self) -> &[f64] {
        &self.schedule.timesteps
    }

    fn train_timesteps(&self) -> usize {
        self.config.train_timesteps()
    }

    fn add_noise(&self, picture: &Tensor, noise: &Tensor, timestep: f64) -> Result<Tensor> {
        let (alpha, sigma) = alpha_sigma(self.schedule.sigmas[self.schedule.position(timestep)]);
        combine(&[(alpha, picture), (sigma, noise)])
    }

    fn step(&mut self, output: &Tensor, timestep: f64, sample: &Tensor, generator: &mut TorchGenerator) -> Result<StepOutput> {
        let at = self.schedule.current(timestep);
        let pair = |i: usize| alpha_sigma(self.schedule.sigmas[i]);
        let clean = clean_of_alpha_sigma(self.config.prediction(), pair(at), sample, output)?;
        let noise = match self.algorithm {
            Algorithm::Deterministic => None,
            Algorithm::Stochastic => Some(noise_like(output, generator)?),
        };
        let (mut moved, update);
        if let (2, Some(before), Some(start)) = (self.orders[at], &self.clean, &self.start) {
            // The whole of the two steps again, from where the first began.
            update = Update::new(self.algorithm, self.variant, pair(at - 1), pair(at + 1));
            let whole = lambda(pair(at + 1)) - lambda(pair(at - 1));
            let ratio = (lambda(pair(at)) - lambda(pair(at - 1))) / whole;
            let first = ((&clean - before)? * f64::from(1.0 / ratio))?;
            moved = combine(&[(update.sample, start), (update.clean, before), (update.first, &first)])?;
        } else {
            update = Update::new(self.algorithm, self.variant, pair(at), pair(at + 1));
            moved = combine(&[(update.sample, sample), (update.clean, &clean)])?;
            self.start = Some(sample.clone());
        }
        if let Some(noise) = noise {
            moved = combine(&[(1.0, &moved), (update.noise, &noise)])?;
        }
        self.clean = Some(clean.clone());
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
