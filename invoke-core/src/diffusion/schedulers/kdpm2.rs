//! DPM2 of k-diffusion: the slope at the logarithmic middle of a step carries the whole step.

use candle_core::{Result, Tensor};

use super::config::{SchedulerConfig, Training};
use super::euler::{not_sample, scaled, sigma_grid, single};
use super::heun::doubled;
use super::timetable::{SigmaSchedule, clean_of_sigma, round, timestep_of};
use super::{Built, Scheduler, StepOutput, TorchGenerator, combine};

#[derive(Debug, Clone)]
pub(super) struct Kdpm2 {
    schedule: SigmaSchedule,
    /// Sigma in the middle of the step that ends at this entry, counted as the schedule counts.
    middles: Vec<f32>,
    config: SchedulerConfig,
    start: Option<Tensor>,
}

/// Sigma half way in the logarithm, rounded as torch's `log`, `lerp` and `exp` in single precision round.
pub(super) fn geometric_middle(a: f32, b: f32) -> f32 {
    let (a, b) = (a.ln(), b.ln());
    (b - (b - a) * 0.5).exp()
}

/// What both DPM2 methods start from.
pub(super) struct Grid {
    pub(super) timesteps: Vec<f64>,
    /// Sigma at each timestep, and zero.
    pub(super) sigmas: Vec<f32>,
    training: Training,
    single: bool,
}

impl Grid {
    /// Timestep of a sigma, in the precision of the list.
    pub(super) fn timestep(&self, sigma: f32) -> f64 {
        let t = timestep_of(&self.training, f64::from(sigma));
        if self.single { single(t) } else { t }
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
        let (timesteps, sigmas) = (&grid.timesteps, &grid.sigmas);
        // The first entry ends no step and is never read.
        let middles: Vec<f32> = (0..sigmas.len())
            .map(|i| if i == 0 { 0.0 } else { geometric_middle(sigmas[i], sigmas[i - 1]) })
            .collect();
        let visits = timesteps.iter().take(1).copied();
        let visits = visits
            .chain((1..steps).flat_map(|i| [grid.timestep(middles[i]), timesteps[i]]))
            .collect();
        let sigmas = doubled(sigmas).into_iter().chain([0.0]).collect();
        let middles = doubled(&middles).into_iter().chain([0.0]).collect();
        Ok(Self {
            schedule: SigmaSchedule::new(visits, sigmas),
            middles,
            config: config.clone(),
            start: None,
        })
    }
}

impl Scheduler for Kdpm2 {
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
        let sigma = if self.start.is_none() {
            self.schedule.sigmas[at]
        } else {
            self.middles[at]
        };
        scaled(sample, sigma)
    }

    fn add_noise(&self, picture: &Tensor, noise: &Tensor, timestep: f64) -> Result<Tensor> {
        combine(&[(1.0, picture), (self.schedule.sigmas[self.schedule.position(timestep)], noise)])
    }

    fn step(&mut self, output: &Tensor, timestep: f64, sample: &Tensor, _: &mut TorchGenerator) -> Result<StepOutput> {
        let at = self.schedule.current(timestep);
        let sigmas = &self.schedule.sigmas;
        let (moved, clean) = match self.start.take() {
            None => {
                let (sigma, middle) = (sigmas[at], self.middles[at + 1]);
                let clean = clean_of_sigma(self.config.prediction(), sigma, sample, output)?;
                let slope = ((sample - &clean)? / f64::from(sigma))?;
                self.start = Some(sample.clone());
                (combine(&[(1.0, sample), (middle - sigma, &slope)])?, clean)
            }
            Some(start) => {
                let (sigma, middle, next) = (sigmas[at - 1], self.middles[at], sigmas[at]);
                let clean = clean_of_sigma(self.config.prediction(), middle, sample, output)?;
                let slope = ((sample - &clean)? / f64::from(middle))?;
                (combine(&[(1.0, &start), (next - sigma, &slope)])?, clean)
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
