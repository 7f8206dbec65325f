//! DEIS: exponential integration of the noise, its past fitted by a polynomial in log ρ (ρ = sigma / alpha).

use candle_core::{Result, Tensor};

use super::config::{SchedulerConfig, Training};
use super::ddim::PLAIN_BETAS;
use super::dpm_multistep::grid;
use super::timetable::{self, SigmaSchedule, alpha_sigma, clean_of_alpha_sigma, lambda};
use super::{Built, Error, Scheduler, StepOutput, TorchGenerator, combine};

#[derive(Debug, Clone)]
pub(super) struct Deis {
    schedule: SigmaSchedule,
    config: SchedulerConfig,
    order: usize,
    /// Noise of the last steps, the newest last.
    noises: Vec<Tensor>,
}

impl Deis {
    pub(super) fn new(config: &SchedulerConfig, steps: usize, karras: bool) -> Built<Self> {
        let order = config.solver_order.unwrap_or(2);
        if !(1..=3).contains(&order) {
            return Err(Error::unsupported("solver_order", &order.to_string(), "1 to 3"));
        }
        let training = Training::new(&config.plain(), PLAIN_BETAS, false)?;
        let range = SchedulerConfig {
            beta_schedule: None,
            ..config.clone()
        };
        let (timesteps, sigmas) = grid(&range, &training, timetable::multistep(config, steps)?, karras);
        let mut sigmas: Vec<f32> = sigmas.into_iter().map(|s| s as f32).collect();
        // Noise is never taken away altogether: the solver is singular at zero.
        sigmas.push(if karras { sigmas[steps - 1] } else { training.sigmas[0] });
        Ok(Self {
            schedule: SigmaSchedule::new(timesteps, sigmas),
            config: config.clone(),
            order,
            noises: Vec::new(),
        })
    }
}

/// Integral of the linear Lagrange polynomial in log ρ that is 1 at `b` and 0 at `c`.
fn second(t: f32, b: f32, c: f32) -> f32 {
    t * (-c.ln() + t.ln() - 1.0) / (b.ln() - c.ln())
}

/// Integral of the quadratic Lagrange polynomial in log ρ that is 1 at `b` and 0 at `c` and `d`.
fn third(t: f32, b: f32, c: f32, d: f32) -> f32 {
    let (lt, lb, lc, ld) = (t.ln(), b.ln(), c.ln(), d.ln());
    t * (lc * (ld - lt + 1.0) - ld * lt + ld + lt * lt - 2.0 * lt + 2.0) / ((lb - lc) * (lb - ld))
}

impl Scheduler for Deis {
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

    fn step(&mut self, output: &Tensor, timestep: f64, sample: &Tensor, _: &mut TorchGenerator) -> Result<StepOutput> {
        let at = self.schedule.current(timestep);
        let count = self.schedule.timesteps.len();
        let pair = |i: usize| alpha_sigma(self.schedule.sigmas[i]);
        let (from, to) = (pair(at), pair(at + 1));
        let clean = clean_of_alpha_sigma(self.config.prediction(), from, sample, output)?;
        let noise = (combine(&[(1.0, sample), (-from.0, &clean)])? / f64::from(from.1))?;

        let short = self.config.lower_order_final.unwrap_or(true) && count < 15;
        let known = self.noises.len();
        let past = |back: usize| &self.noises[known - back];
        let rho = |i: usize| pair(i).1 / pair(i).0;
        let moved = if self.order == 1 || known < 1 || (at + 1 == count && short) {
            let h = lambda(to) - lambda(from);
            combine(&[(to.0 / from.0, sample), (-(to.1 * (h.exp() - 1.0)), &noise)])?
        } else if self.order == 2 || known < 2 || (at + 2 == count && short) {
            let (t, s0, s1) = (rho(at + 1), rho(at), rho(at - 1));
            let (c0, c1) = (second(t, s0, s1) - second(s0, s0, s1), second(t, s1, s0) - second(s0, s1, s0));
            (combine(&[(1.0 / from.0, sample), (c0, &noise), (c1, past(1))])? * f64::from(to.0))?
        } else {
            let (t, s0, s1, s2) = (rho(at + 1), rho(at), rho(at - 1), rho(at - 2));
            let c0 = third(t, s0, s1, s2) - third(s0, s0, s1, s2);
            let c1 = third(t, s1, s2, s0) - third(s0, s1, s2, s0);
            let c2 = third(t, s2, s0, s1) - third(s0, s2, s0, s1);
            (combine(&[(1.0 / from.0, sample), (c0, &noise), (c1, past(1)), (c2, past(2))])? * f64::from(to.0))?
        };
        self.noises.push(noise);
        if self.noises.len() > self.order {
            self.noises.remove(0);
        }
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
