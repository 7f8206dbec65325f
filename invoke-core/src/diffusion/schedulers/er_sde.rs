//! Extended reverse-time SDE (Cui et al., 2023) of order three: a Taylor expansion of the clean picture in λ = sigma / alpha,
//! with the paper's fifth noise scale.

use candle_core::{Result, Tensor};

use super::config::{SchedulerConfig, Training};
use super::lcm::SD_BETAS;
use super::timetable::{self, SigmaSchedule, clean_of_alpha_sigma};
use super::{Built, Scheduler, StepOutput, TorchGenerator, combine, noise_like};

const ORDER: usize = 3;

/// Points of the left Riemann sums.
const POINTS: usize = 100;

#[derive(Debug, Clone)]
pub(super) struct ErSde {
    schedule: SigmaSchedule,
    config: SchedulerConfig,
    /// Clean pictures of the last steps with the λ of each, the newest last.
    cleans: Vec<(Tensor, f64)>,
}

impl ErSde {
    pub(super) fn new(config: &SchedulerConfig, steps: usize) -> Built<Self> {
        super::euler::not_sample(config)?;
        // Neither the picture's share at the far end nor a Karras range is adjusted here.
        let training = Training::new(&config.plain(), SD_BETAS, false)?;
        let timesteps = timetable::multistep(config, steps)?;
        let sigmas = timesteps
            .iter()
            .map(|&t| timetable::sigma_at(&training, t) as f32)
            .chain([0.0])
            .collect();
        Ok(Self {
            schedule: SigmaSchedule::new(timesteps, sigmas),
            config: config.clone(),
            cleans: Vec::new(),
        })
    }
}

/// The noise scale.
fn scale(x: f64) -> f64 {
    x * (x.powf(0.3).exp() + 10.0)
}

/// `∫ f(λ) / scale(λ) dλ` from `low` to `high` as a left Riemann sum.
fn integral(low: f64, high: f64, f: impl Fn(f64) -> f64) -> f64 {
    let step = (high - low) / POINTS as f64;
    (0..POINTS).map(|k| low + k as f64 * step).map(|x| step * f(x) / scale(x)).sum()
}

fn alpha_of(sigma: f64) -> f64 {
    1.0 / (1.0 + sigma * sigma).sqrt()
}

impl Scheduler for ErSde {
    fn timesteps(&self) -> &[f64] {
        &self.schedule.timesteps
    }

    fn train_timesteps(&self) -> usize {
        self.config.train_timesteps()
    }

    fn add_noise(&self, picture: &Tensor, noise: &Tensor, timestep: f64) -> Result<Tensor> {
        let (alpha, sigma) = timetable::alpha_sigma(self.schedule.sigmas[self.schedule.position(timestep)]);
        combine(&[(alpha, picture), (sigma, noise)])
    }

    fn step(&mut self, output: &Tensor, timestep: f64, sample: &Tensor, generator: &mut TorchGenerator) -> Result<StepOutput> {
        let at = self.schedule.current(timestep);
        // λ is the sigma of the schedule itself.
        let (from, to) = (f64::from(self.schedule.sigmas[at]), f64::from(self.schedule.sigmas[at + 1]));
        let (alpha_from, alpha_to) = (alpha_of(from), alpha_of(to));
        let pair = (alpha_from as f32, (from * alpha_from) as f32);
        let clean = clean_of_alpha_sigma(self.config.prediction(), pair, sample, output)?;

        let ratio = if to > 0.0 { scale(to) / scale(from) } else { 0.0 };
        let mut moved = combine(&[
            ((alpha_to / alpha_from * ratio) as f32, sample),
            ((alpha_to * (1.0 - ratio)) as f32, &clean),
        ])?;
        if to > 0.0 {
            let noise = noise_like(output, generator)?;
            let deviation = (to * to - from * from * ratio * ratio).max(0.0).sqrt() * alpha_to;
            moved = combine(&[(1.0, &moved), (deviation as f32, &noise)])?;
            if let Some((before, before_at)) = self.cleans.last() {
                let slope = ((&clean - before)? / (from - before_at))?;
                let weight = alpha_to * (to - from + integral(to, from, |_| 1.0) * scale(to));
                moved = combine(&[(1.0, &moved), (weight as f32, &slope)])?;
                if let Some((earlier, earlier_at)) = self.cleans.len().checked_sub(2).map(|i| &self.cleans[i]) {
                    let old_slope = ((before - earlier)? / (before_at - earlier_at))?;
                    let bend = ((slope - old_slope)? * (2.0 / (from - earlier_at)))?;
                    let second = (to - from).powi(2) / 2.0 + integral(to, from, |x| x - from) * scale(to);
                    moved = combine(&[(1.0, &moved), ((alpha_to * second) as f32, &bend)])?;
                }
            }
        }
        self.cleans.push((clean.clone(), from));
        if self.cleans.len() >= ORDER {
            self.cleans.remove(0);
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
