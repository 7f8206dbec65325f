//! DPM-Solver++ as a stochastic equation with midpoint steps, its noise taken from one Brownian path.

use candle_core::{Result, Tensor};

use super::config::{SchedulerConfig, TimestepSpacing};
use super::euler::{exact_sigma_grid, not_sample};
use super::heun::doubled;
use super::sigma_method::{SigmaMethod, SigmaRun, Step};
use super::timetable::{self, timestep_of};
use super::{Built, TorchGenerator, combine};
use crate::diffusion::noise::BrownianTree;

#[derive(Debug, Clone)]
pub(super) struct DpmSde {
    run: SigmaRun,
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
            run: SigmaRun::new(visits, sigmas, config),
            seed,
            path: None,
            half: None,
        })
    }

    /// Standard normal noise of the path between two sigmas.
    fn noise(&mut self, like: &Tensor, from: f32, to: f32) -> Result<Tensor> {
        let sigmas = &self.run.schedule.sigmas;
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

impl SigmaMethod for DpmSde {
    const EVALUATIONS: usize = 2;

    fn run(&self) -> &SigmaRun {
        &self.run
    }

    fn run_mut(&mut self) -> &mut SigmaRun {
        &mut self.run
    }

    fn sigma(&self, at: usize) -> f32 {
        self.half.as_ref().map_or(self.run.schedule.sigmas[at], |(_, middle)| *middle)
    }

    fn moved(&mut self, step: &Step<'_>, _: &mut TorchGenerator) -> Result<Tensor> {
        let half = self.half.take();
        let first = if half.is_none() { step.at } else { step.at - 1 };
        let (sigma, next) = (self.run.schedule.sigmas[first], self.run.schedule.sigmas[first + 1]);
        if next == 0.0 {
            return combine(&[(1.0, step.sample), (next - sigma, &step.slope()?)]);
        }
        let (from, to) = (time(sigma), time(next));
        let (end, start) = match &half {
            None => (from + (to - from) * 0.5, step.sample.clone()),
            Some((start, _)) => (to, start.clone()),
        };
        let (sigma_from, sigma_to) = (sigma_of(from), sigma_of(end));
        let up = (sigma_to * sigma_to * (sigma_from * sigma_from - sigma_to * sigma_to) / (sigma_from * sigma_from)).sqrt();
        let up = sigma_to.min(up);
        let down = (sigma_to * sigma_to - up * up).sqrt();
        let ancestral = time(down);
        let noise = self.noise(step.sample, sigma_from, sigma_to)?;
        let moved = combine(&[
            (sigma_of(ancestral) / sigma_of(from), &start),
            (-(from - ancestral).exp_m1(), step.clean),
            (up, &noise),
        ])?;
        if half.is_none() {
            self.half = Some((start, sigma_to));
        }
        Ok(moved)
    }
}
