//! DPM-Solver++ as a stochastic equation with midpoint steps, its noise taken from one Brownian path.

use candle_core::{Result, Tensor};

use super::config::{SchedulerConfig, TimestepSpacing};
use super::euler::{exact_sigma_grid, not_sample, scaled};
use super::heun::doubled;
use super::timetable::{self, SigmaSchedule, clean_of_sigma, timestep_of};
use super::{Built, Scheduler, StepOutput, TorchGenerator, combine};
use crate::diffusion::noise::BrownianTree;

#[derive(Debug, Clone)]
pub(super) struct DpmSde {
    schedule: SigmaSchedule,
    config: SchedulerConfig,
    seed: u64,
    path: Option<BrownianTree>,
    /// Sample at the beginning of a step whose second half is due, and the sigma half way.
    half: Option<(Tensor, f32)>,
}

/// Time is minus the logarithm of sigma.
fn time(sigma: f32) -> f32 {
    -sigma.ln()
}

fn sigma_of(time: f32) -> f32 {
    (-time).exp()
}

impl DpmSde {
    pub(super) fn new(config: &SchedulerConfig, steps: usize, karras: bool, seed: u64) -> Built<Self> {
        not_sample(config)?;
        let config = config.plain();
        // Unlike its relatives this method keeps timesteps in double precision.
        let timesteps = timetable::plain(&config, TimestepSpacing::Linspace, steps)?;
        let (timesteps, sigmas, training) = exact_sigma_grid(&config, timesteps, karras)?;
        let mut visits = doubled(&timesteps);
        for (i, pair) in sigmas.windows(2).enumerate() {
            let (from, to) = (-pair[0].ln(), -pair[1].ln());
            visits[2 * i + 1] = timestep_of(&training, (-(from + (to - from) * 0.5)).exp());
        }
        let sigmas: Vec<f32> = sigmas.into_iter().map(|s| s as f32).collect();
        let sigmas = doubled(&sigmas).into_iter().chain([0.0]).collect();
        Ok(Self {
            schedule: SigmaSchedule::new(visits, sigmas),
            config,
            seed,
            path: None,
            half: None,
        })
    }

    /// Standard normal noise of the path between two sigmas.
    fn noise(&mut self, like: &Tensor, from: f32, to: f32) -> Result<Tensor> {
        let sigmas = &self.schedule.sigmas;
        let (seed, len) = (self.seed, like.elem_count());
        let path = self.path.get_or_insert_with(|| {
            let smallest = sigmas.iter().copied().filter(|&s| s > 0.0).fold(f32::INFINITY, f32::min);
            let largest = sigmas.iter().copied().fold(0.0, f32::max);
            BrownianTree::new(f64::from(smallest), f64::from(largest), len, seed)
        });
        let increment = Tensor::from_vec(path.increment(f64::from(from), f64::from(to)), like.dims(), like.device())?;
        increment / f64::from((to - from).abs().sqrt())
    }
}

impl Scheduler for DpmSde {
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
        scaled(sample, self.half.as_ref().map_or(self.schedule.sigmas[at], |(_, middle)| *middle))
    }

    fn add_noise(&self, picture: &Tensor, noise: &Tensor, timestep: f64) -> Result<Tensor> {
        combine(&[(1.0, picture), (self.schedule.sigmas[self.schedule.position(timestep)], noise)])
    }

    fn step(&mut self, output: &Tensor, timestep: f64, sample: &Tensor, _: &mut TorchGenerator) -> Result<StepOutput> {
        let at = self.schedule.current(timestep);
        let half = self.half.take();
        let first = if half.is_none() { at } else { at - 1 };
        let (sigma, next) = (self.schedule.sigmas[first], self.schedule.sigmas[first + 1]);
        let (from, to) = (time(sigma), time(next));
        let middle = from + (to - from) * 0.5;
        let here = if half.is_none() { sigma } else { sigma_of(middle) };
        let clean = clean_of_sigma(self.config.prediction(), here, sample, output)?;
        self.schedule.advance();
        if next == 0.0 {
            let slope = ((sample - &clean)? / f64::from(sigma))?;
            let moved = combine(&[(1.0, sample), (next - sigma, &slope)])?;
            return Ok(StepOutput {
                sample: moved,
                predicted: Some(clean),
            });
        }
        let (end, start) = match half {
            None => (middle, sample.clone()),
            Some((start, _)) => (to, start),
        };
        let (sigma_from, sigma_to) = (sigma_of(from), sigma_of(end));
        let up = (sigma_to * sigma_to * (sigma_from * sigma_from - sigma_to * sigma_to) / (sigma_from * sigma_from)).sqrt();
        let up = sigma_to.min(up);
        let down = (sigma_to * sigma_to - up * up).sqrt();
        let ancestral = time(down);
        let noise = self.noise(sample, sigma_from, sigma_to)?;
        let moved = combine(&[
            (sigma_of(ancestral) / sigma_of(from), &start),
            (-(from - ancestral).exp_m1(), &clean),
            (up, &noise),
        ])?;
        if at == first {
            self.half = Some((start, sigma_to));
        }
        Ok(StepOutput {
            sample: moved,
            predicted: Some(clean),
        })
    }

    fn fork(&self) -> Box<dyn Scheduler> {
        Box::new(self.clone())
    }
}
