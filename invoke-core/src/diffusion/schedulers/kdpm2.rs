//! DPM2 of k-diffusion: the slope at the logarithmic middle of a step carries the whole step.

use candle_core::{Result, Tensor};

use super::config::{SchedulerConfig, Training};
use super::euler::{not_sample, sigma_grid, single};
use super::heun::doubled;
use super::sigma_method::{SigmaMethod, SigmaRun, Step};
use super::timetable::{round, timestep_of};
use super::{Built, TorchGenerator, combine};

#[derive(Debug, Clone)]
pub(super) struct Kdpm2 {
    run: SigmaRun,
    /// Sigma in the middle of the step that ends at this entry, counted as the schedule counts.
    middles: Vec<f32>,
    start: Option<Tensor>,
}

/// Sigma half way in the logarithm, rounded as torch's `log`, `lerp` and `exp` in single precision round.
pub(super) fn geometric_middle(a: f32, b: f32) -> f32 {
    let (a, b) = (a.ln(), b.ln());
    (b - (b - a) * 0.5).exp()
}

/// What both DPM2 methods start from.
pub(super) struct Grid {
    timesteps: Vec<f64>,
    /// Sigma at each timestep, and zero.
    pub(super) sigmas: Vec<f32>,
    training: Training,
    single: bool,
}

impl Grid {
    /// Timestep of a sigma, in the precision of the list.
    fn timestep(&self, sigma: f32) -> f64 {
        let t = timestep_of(&self.training, f64::from(sigma));
        if self.single { single(t) } else { t }
    }

    /// The run of a method that asks at each timestep and in the middle of the step that ends there; `middle` says its sigma for all but the first.
    pub(super) fn run(&self, config: &SchedulerConfig, middle: impl Fn(usize) -> f32) -> SigmaRun {
        let timesteps = &self.timesteps;
        let others = (1..timesteps.len()).flat_map(|i| [self.timestep(middle(i)), timesteps[i]]);
        let visits = timesteps.iter().take(1).copied().chain(others).collect();
        let sigmas = doubled(&self.sigmas).into_iter().chain([0.0]).collect();
        SigmaRun::new(visits, sigmas, config.clone())
    }
}

/// The grid of both DPM2 methods: Karras timesteps are whole here.
pub(super) fn grid(config: &SchedulerConfig, steps: usize, karras: bool) -> Built<Grid> {
    not_sample(config)?;
    let config = config.plain();
    let (mut timesteps, sigmas, training) = sigma_grid(&config, steps, karras)?;
    if karras {
        for t in &mut timesteps {
            *t = round(*t);
        }
    }
    let sigmas = sigmas.into_iter().map(|s| s as f32).chain([0.0]).collect();
    Ok(Grid {
        timesteps,
        sigmas,
        training,
        single: !karras,
    })
}

impl Kdpm2 {
    pub(super) fn new(config: &SchedulerConfig, steps: usize, karras: bool) -> Built<Self> {
        let grid = grid(config, steps, karras)?;
        let sigmas = &grid.sigmas;
        // The first entry ends no step and is never read.
        let middles: Vec<f32> = (0..sigmas.len())
            .map(|i| if i == 0 { 0.0 } else { geometric_middle(sigmas[i], sigmas[i - 1]) })
            .collect();
        Ok(Self {
            run: grid.run(config, |i| middles[i]),
            middles: doubled(&middles).into_iter().chain([0.0]).collect(),
            start: None,
        })
    }
}

impl SigmaMethod for Kdpm2 {
    const EVALUATIONS: usize = 2;

    fn run(&self) -> &SigmaRun {
        &self.run
    }

    fn run_mut(&mut self) -> &mut SigmaRun {
        &mut self.run
    }

    fn sigma(&self, at: usize) -> f32 {
        match self.start {
            None => self.run.schedule.sigmas[at],
            Some(_) => self.middles[at],
        }
    }

    fn moved(&mut self, step: &Step<'_>, _: &mut TorchGenerator) -> Result<Tensor> {
        let (sigmas, at, slope) = (&self.run.schedule.sigmas, step.at, step.slope()?);
        match self.start.take() {
            None => {
                self.start = Some(step.sample.clone());
                combine(&[(1.0, step.sample), (self.middles[at + 1] - step.sigma, &slope)])
            }
            Some(start) => combine(&[(1.0, &start), (sigmas[at] - sigmas[at - 1], &slope)]),
        }
    }
}
