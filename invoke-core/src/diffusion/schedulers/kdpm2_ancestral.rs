//! DPM2 with ancestral noise: each step goes further down than it ends, and fresh noise makes up for it.

use candle_core::{Result, Tensor};

use super::config::SchedulerConfig;
use super::euler::ancestral;
use super::heun::doubled;
use super::kdpm2::{geometric_middle, grid};
use super::sigma_method::{SigmaMethod, SigmaRun, Step};
use super::{Built, TorchGenerator, combine, noise_like};

#[derive(Debug, Clone)]
pub(super) struct Kdpm2Ancestral {
    run: SigmaRun,
    /// For the step that begins at an entry: sigma in its middle, sigma it goes down to, noise it then adds.
    steps: Vec<(f32, f32, f32)>,
    start: Option<Tensor>,
}

impl Kdpm2Ancestral {
    pub(super) fn new(config: &SchedulerConfig, steps: usize, karras: bool) -> Built<Self> {
        let grid = grid(config, steps, karras)?;
        let mut parts: Vec<(f32, f32, f32)> = grid
            .sigmas
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
        Ok(Self {
            run: grid.run(config, |i| parts[i - 1].0),
            steps: doubled(&parts),
            start: None,
        })
    }
}

impl SigmaMethod for Kdpm2Ancestral {
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
            Some(_) => self.steps[at - 1].0,
        }
    }

    fn moved(&mut self, step: &Step<'_>, generator: &mut TorchGenerator) -> Result<Tensor> {
        let slope = step.slope()?;
        match self.start.take() {
            None => {
                self.start = Some(step.sample.clone());
                combine(&[(1.0, step.sample), (self.steps[step.at].0 - step.sigma, &slope)])
            }
            Some(start) => {
                let (sigma, (_, down, up)) = (self.run.schedule.sigmas[step.at - 1], self.steps[step.at - 1]);
                let noise = noise_like(step.sample, generator)?;
                combine(&[(1.0, &start), (down - sigma, &slope), (up, &noise)])
            }
        }
    }
}
