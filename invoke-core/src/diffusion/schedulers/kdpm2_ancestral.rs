//! DPM2 with ancestral noise: each step goes further down than it ends, and fresh noise makes up for it.

use candle_core::{Result, Tensor};

use super::config::SchedulerConfig;
use super::euler::{ancestral, scaled};
use super::heun::doubled;
use super::kdpm2::{geometric_middle, grid};
use super::timetable::{SigmaSchedule, clean_of_sigma};
use super::{Built, Scheduler, StepOutput, TorchGenerator, combine, noise_like};

#[derive(Debug, Clone)]
pub(super) struct Kdpm2Ancestral {
    schedule: SigmaSchedule,
    /// For the step that begins at an entry: sigma in its middle, sigma it goes down to, noise it then adds.
    steps: Vec<(f32, f32, f32)>,
    config: SchedulerConfig,
    start: Option<Tensor>,
}

impl Kdpm2Ancestral {
    pub(super) fn new(config: &SchedulerConfig, steps: usize, karras: bool) -> Built<Self> {
        let grid = grid(config, steps, karras)?;
        let (timesteps, sigmas) = (&grid.timesteps, &grid.sigmas);
        let mut parts: Vec<(f32, f32, f32)> = sigmas
            .windows(2)
            .map(|pair| {
                let (down, up) = ancestral(pair[0], pair[1]);
                (geometric_middle(pair[0], down), down, up)
            })
            .collect();
        // The last step is a plain one to zero and has no middle.
        if let Some(last) = parts.last_mut() {
            last.0 = 0.0;
        }
        let visits = timesteps.iter().take(1).copied();
        let visits = visits
            .chain((1..steps).flat_map(|i| [grid.timestep(parts[i - 1].0), timesteps[i]]))
            .collect();
        let sigmas = doubled(sigmas).into_iter().chain([0.0]).collect();
        Ok(Self {
            schedule: SigmaSchedule::new(visits, sigmas),
            steps: doubled(&parts),
            config: config.clone(),
            start: None,
        })
    }
}

impl Scheduler for Kdpm2Ancestral {
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
            self.steps[at - 1].0
        };
        scaled(sample, sigma)
    }

    fn add_noise(&self, picture: &Tensor, noise: &Tensor, timestep: f64) -> Result<Tensor> {
        combine(&[(1.0, picture), (self.schedule.sigmas[self.schedule.position(timestep)], noise)])
    }

    fn step(&mut self, output: &Tensor, timestep: f64, sample: &Tensor, generator: &mut TorchGenerator) -> Result<StepOutput> {
        let at = self.schedule.current(timestep);
        let (moved, clean) = match self.start.take() {
            None => {
                let (sigma, middle) = (self.schedule.sigmas[at], self.steps[at].0);
                let clean = clean_of_sigma(self.config.prediction(), sigma, sample, output)?;
                let slope = ((sample - &clean)? / f64::from(sigma))?;
                self.start = Some(sample.clone());
                (combine(&[(1.0, sample), (middle - sigma, &slope)])?, clean)
            }
            Some(start) => {
                let (sigma, (middle, down, up)) = (self.schedule.sigmas[at - 1], self.steps[at - 1]);
                let clean = clean_of_sigma(self.config.prediction(), middle, sample, output)?;
                let slope = ((sample - &clean)? / f64::from(middle))?;
                let noise = noise_like(output, generator)?;
                (combine(&[(1.0, &start), (down - sigma, &slope), (up, &noise)])?, clean)
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
