//! DDPM: the ancestral sampler of the original diffusion models.

use candle_core::{Result, Tensor};

use super::config::SchedulerConfig;
use super::ddim::{PLAIN_BETAS, Shares, clipped, whole_timesteps};
use super::{Built, Error, PredictionType, Scheduler, StepOutput, TorchGenerator, combine, noise_like};

#[derive(Debug, Clone)]
pub(super) struct Ddpm {
    timesteps: Vec<f64>,
    shares: Shares,
    prediction: PredictionType,
    clip: Option<f64>,
    variance: Variance,
}

#[derive(Debug, Clone, Copy)]
enum Variance {
    Small,
    Large,
}

impl Ddpm {
    pub(super) fn new(config: &SchedulerConfig, steps: usize) -> Built<Self> {
        let variance = match config.variance_type.as_deref() {
            // The logarithmic form of the small variance is the same number.
            None | Some("fixed_small" | "fixed_small_log") => Variance::Small,
            Some("fixed_large") => Variance::Large,
            Some(other) => return Err(Error::unsupported("variance_type", other, "fixed_small or fixed_large")),
        };
        Ok(Self {
            timesteps: whole_timesteps(config, steps)?,
            // Past the clean end nothing of the noise is left, whatever set_alpha_to_one says.
            shares: Shares::new(
                &SchedulerConfig {
                    set_alpha_to_one: Some(true),
                    ..config.clone()
                },
                PLAIN_BETAS,
                true,
            )?,
            prediction: config.prediction(),
            clip: config.clip(true),
            variance,
        })
    }
}

impl Scheduler for Ddpm {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn train_timesteps(&self) -> usize {
        self.shares.len()
    }

    fn add_noise(&self, picture: &Tensor, noise: &Tensor, timestep: f64) -> Result<Tensor> {
        self.shares.add_noise(picture, noise, timestep)
    }

    fn step(&mut self, output: &Tensor, timestep: f64, sample: &Tensor, generator: &mut TorchGenerator) -> Result<StepOutput> {
        let place = self.timesteps.iter().position(|&t| t == timestep);
        let next = place.and_then(|i| self.timesteps.get(i + 1)).map_or(-1, |&t| t as i64);
        let (share, next_share) = (self.shares.at(timestep as i64), self.shares.at(next));
        let (beta_share, next_beta_share) = (1.0 - share, 1.0 - next_share);
        let step_alpha = share / next_share;
        let step_beta = 1.0 - step_alpha;

        let (clean, _) = Shares::split(share, self.prediction, sample, output)?;
        let clean = clipped(clean, self.clip)?;
        let mean = [
            (next_share.sqrt() * step_beta / beta_share, &clean),
            (step_alpha.sqrt() * next_beta_share / beta_share, sample),
        ];
        let mut moved = combine(&mean)?;
        if timestep > 0.0 {
            let variance = match self.variance {
                Variance::Small => (next_beta_share / beta_share * step_beta).max(1e-20),
                Variance::Large => step_beta,
            };
            let noise = noise_like(output, generator)?;
            moved = (moved + (noise * f64::from(variance.sqrt()))?)?;
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
