//! A linear multistep method: Adams-Bashforth of order four on uneven steps.

use candle_core::{Result, Tensor};

use super::config::SchedulerConfig;
use super::euler::{scaled, sigma_grid, single};
use super::timetable::{SigmaSchedule, clean_of_sigma};
use super::{Built, Scheduler, StepOutput, TorchGenerator, combine};

const ORDER: usize = 4;

#[derive(Debug, Clone)]
pub(super) struct Lms {
    schedule: SigmaSchedule,
    config: SchedulerConfig,
    /// Slopes of the last steps, the newest last.
    slopes: Vec<Tensor>,
}

impl Lms {
    pub(super) fn new(config: &SchedulerConfig, steps: usize, karras: bool) -> Built<Self> {
        let config = config.plain();
        let (timesteps, sigmas, _) = sigma_grid(&config, steps, karras)?;
        let sigmas = sigmas.into_iter().map(|s| s as f32).chain([0.0]).collect();
        let schedule = SigmaSchedule::new(timesteps.into_iter().map(single).collect(), sigmas);
        Ok(Self {
            schedule,
            config,
            slopes: Vec::new(),
        })
    }

    /// Integral over the step at `at` of the Lagrange polynomial that is 1 at the slope `back` steps ago and 0 at the others.
    fn coefficient(&self, order: usize, at: usize, back: usize) -> f64 {
        let sigma = |i: usize| f64::from(self.schedule.sigmas[i]);
        let polynomial = |x: f64| {
            let others = (0..order).filter(|&k| k != back);
            others
                .map(|k| (x - sigma(at - k)) / (sigma(at - back) - sigma(at - k)))
                .product::<f64>()
        };
        // Gauss-Legendre with three points is exact up to degree five.
        let (from, to) = (sigma(at), sigma(at + 1));
        let (middle, half) = (0.5 * (from + to), 0.5 * (to - from));
        let reach = half * 0.6_f64.sqrt();
        half * (5.0 * polynomial(middle - reach) + 8.0 * polynomial(middle) + 5.0 * polynomial(middle + reach)) / 9.0
    }
}

impl Scheduler for Lms {
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
        let sigma = self.schedule.sigmas[at];
        let clean = clean_of_sigma(self.config.prediction(), sigma, sample, output)?;
        self.slopes.push(((sample - &clean)? / f64::from(sigma))?);
        if self.slopes.len() > ORDER {
            self.slopes.remove(0);
        }
        // A run that begins in the middle has fewer slopes than its place in the schedule allows: the coefficients are those of
        // the place, applied to the slopes there are.
        let order = ORDER.min(at + 1);
        let mut terms = vec![(1.0, sample)];
        for (back, slope) in self.slopes.iter().rev().enumerate().take(order) {
            terms.push((self.coefficient(order, at, back) as f32, slope));
        }
        let moved = combine(&terms)?;
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
