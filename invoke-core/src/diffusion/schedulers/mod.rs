//! The samplers of Stable Diffusion: which timesteps a run visits and how a sample moves from one to the next.
//!
//! Each follows the class of diffusers that InvokeAI gives its name to, in the same single precision and the same order of
//! operations where rounding matters. A sampler is built for a run ([`SchedulerName::build`]), carries the run's history, and is
//! thrown away with it.
#![expect(clippy::float_cmp, reason = "a timestep is looked up in the list that it was taken from")]

mod config;
mod ddim;
mod ddpm;
mod deis;
mod dpm_multistep;
mod dpm_sde;
mod dpm_singlestep;
mod er_sde;
mod euler;
mod heun;
mod kdpm2;
mod kdpm2_ancestral;
mod lcm;
mod lms;
mod name;
mod pndm;
mod sigma_method;
mod tcd;
#[cfg(test)]
mod tests;
mod timetable;
mod unipc;

use candle_core::{Result, Tensor};

use super::noise::TorchGenerator;
pub use config::{BetaSchedule, PredictionType, SchedulerConfig, TimestepSpacing};
pub use name::SchedulerName;

/// Why a sampler could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The config is not what a scheduler config looks like.
    #[error("scheduler_config.json: {0}")]
    Config(String),
    /// A setting that none of the samplers here follows.
    #[error("scheduler_config.json: {field} is {value}, expected {expected}")]
    Unsupported {
        /// Field of the config.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// Too few or too many steps.
    #[error("steps: {steps} is out of range, expected 1 to {limit}")]
    Steps {
        /// Steps asked for.
        steps: usize,
        /// Most that the sampler can take.
        limit: usize,
    },
}

/// What building a sampler gives.
pub type Built<T> = std::result::Result<T, Error>;

impl Error {
    fn unsupported(field: &'static str, value: &str, expected: &'static str) -> Self {
        Self::Unsupported {
            field,
            value: value.to_owned(),
            expected,
        }
    }
}

/// What a step leads to.
#[derive(Debug, Clone)]
pub struct StepOutput {
    /// The sample at the next timestep.
    pub sample: Tensor,
    /// The clean picture as foreseen at this step, if the method computes it.
    pub predicted: Option<Tensor>,
}

/// A sampler in the middle of a run. Samples are f32 tensors of any one shape, `[batch, channels, height, width]` as a rule.
pub trait Scheduler: Send {
    /// The timesteps to visit, in order; fractional for some methods. A run may begin at any of them.
    fn timesteps(&self) -> &[f64];

    /// Model evaluations per step of the user's: 1 or 2. A run begins and ends at a multiple of it.
    fn order(&self) -> usize {
        1
    }

    /// Training steps; timesteps lie below.
    fn train_timesteps(&self) -> usize;

    /// Standard deviation of a sample of pure noise.
    fn init_noise_sigma(&self) -> f64 {
        1.0
    }

    /// What the denoiser wants to see of the sample.
    fn scale_model_input(&mut self, sample: &Tensor, _timestep: f64) -> Result<Tensor> {
        Ok(sample.clone())
    }

    /// A clean picture with as much noise as a sample has at this timestep.
    fn add_noise(&self, picture: &Tensor, noise: &Tensor, timestep: f64) -> Result<Tensor>;

    /// Moves the sample on, given the denoiser's output for it. `generator` is drawn from by the stochastic methods alone.
    fn step(&mut self, output: &Tensor, timestep: f64, sample: &Tensor, generator: &mut TorchGenerator) -> Result<StepOutput>;

    /// A copy with its own history, for a tile of the same run.
    fn fork(&self) -> Box<dyn Scheduler>;
}

/// `Σ coefficient · tensor`, over at least one term. Terms with a coefficient of zero are left out unless they are all there is.
fn combine(terms: &[(f32, &Tensor)]) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    for &(coefficient, tensor) in terms {
        if coefficient == 0.0 && (sum.is_some() || terms.len() > 1) {
            continue;
        }
        let term = if coefficient == 1.0 {
            tensor.clone()
        } else {
            (tensor * f64::from(coefficient))?
        };
        sum = Some(match sum {
            Some(sum) => (sum + term)?,
            None => term,
        });
    }
    match (sum, terms.first()) {
        (Some(sum), _) => Ok(sum),
        (None, Some((_, tensor))) => tensor.zeros_like(),
        (None, None) => candle_core::bail!("a combination of no tensors"),
    }
}

/// Standard normal noise of a tensor's shape on its device.
fn noise_like(tensor: &Tensor, generator: &mut TorchGenerator) -> Result<Tensor> {
    super::noise::randn(tensor.dims(), generator, tensor.device())
}
