//! DPM-Solver++ (Lu et al., 2022) as a multistep method of order one to three, deterministic or as a stochastic equation.

use candle_core::{Result, Tensor};

use super::config::{SchedulerConfig, Training};
use super::ddim::PLAIN_BETAS;
use super::timetable::{self, SigmaSchedule, alpha_sigma, clean_of_alpha_sigma, lambda};
use super::{Built, Error, Scheduler, StepOutput, TorchGenerator, combine, noise_like};

/// Whether fresh noise is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Deterministic,
    Stochastic,
}

impl Algorithm {
    /// What a config asks for. Configs of DEIS models name their own solver, which means the plain one here.
    pub(super) fn of_config(config: &SchedulerConfig) -> Built<Self> {
        match config.algorithm_type.as_deref() {
            None | Some("dpmsolver++" | "deis") => Ok(Self::Deterministic),
            Some("sde-dpmsolver++") => Ok(Self::Stochastic),
            Some(other) => Err(Error::unsupported("algorithm_type", other, "dpmsolver++ or sde-dpmsolver++")),
        }
    }
}

/// How the second order term is weighted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    Midpoint,
    Heun,
}

impl Variant {
    pub(super) fn of_config(config: &SchedulerConfig) -> Built<Self> {
        match config.solver_type.as_deref() {
            // Names of other solvers' variants are taken for the default, as diffusers takes them.
            None | Some("midpoint" | "logrho" | "bh1" | "bh2") => Ok(Self::Midpoint),
            Some("heun") => Ok(Self::Heun),
            Some(other) => Err(Error::unsupported("solver_type", other, "midpoint or heun")),
        }
    }
}

/// Coefficients of an update over a step of length `h` in λ, from `(alpha, sigma)` to `(alpha, sigma)`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Update {
    /// Of the sample.
    pub(super) sample: f32,
    /// Of the newest clean picture.
    pub(super) clean: f32,
    /// Of its first difference.
    pub(super) first: f32,
    /// Of its first and second difference, in a third order update.
    pub(super) third: (f32, f32),
    /// Of fresh noise.
    pub(super) noise: f32,
}

impl Update {
    pub(super) fn new(algorithm: Algorithm, variant: Variant, from: (f32, f32), to: (f32, f32)) -> Self {
        let h = lambda(to) - lambda(from);
        let (alpha, sigma) = to;
        let ratio = sigma / from.1;
        match algorithm {
            Algorithm::Deterministic => {
                let decay = (-h).exp() - 1.0;
                let linear = decay / h + 1.0;
                Self {
                    sample: ratio,
                    clean: -(alpha * decay),
                    first: match variant {
                        Variant::Midpoint => -(0.5 * (alpha * decay)),
                        Variant::Heun => alpha * linear,
                    },
                    third: (alpha * linear, -(alpha * ((decay + h) / (h * h) - 0.5))),
                    noise: 0.0,
                }
            }
            Algorithm::Stochastic => {
                let decay = 1.0 - (-2.0 * h).exp();
                let linear = decay / (-2.0 * h) + 1.0;
                Self {
                    sample: ratio * (-h).exp(),
                    clean: alpha * decay,
                    first: match variant {
                        Variant::Midpoint => 0.5 * (alpha * decay),
                        Variant::Heun => alpha * linear,
                    },
                    third: (alpha * linear, alpha * ((decay - 2.0 * h) / ((2.0 * h) * (2.0 * h)) - 0.5)),
                    noise: sigma * decay.sqrt(),
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct DpmMultistep {
    schedule: SigmaSchedule,
    config: SchedulerConfig,
    order: usize,
    algorithm: Algorithm,
    variant: Variant,
    ends_at_zero: bool,
    /// Clean pictures of the last steps, the newest last.
    cleans: Vec<Tensor>,
}

impl DpmMultistep {
    pub(super) fn new(config: &SchedulerConfig, steps: usize, karras: bool, order: usize, algorithm: Algorithm) -> Built<Self> {
        let training = Training::new(config, PLAIN_BETAS, true)?;
        let ends_at_zero = config.ends_at_zero()?;
        let (timesteps, sigmas) = grid(config, &training, timetable::multistep(config, steps)?, karras);
        let last = if ends_at_zero { 0.0 } else { training.sigmas[0] };
        let sigmas = sigmas.into_iter().map(|s| s as f32).chain([last]).collect();
        Ok(Self {
            schedule: SigmaSchedule::new(timesteps, sigmas),
            config: config.clone(),
            order,
            algorithm,
            variant: Variant::of_config(config)?,
            ends_at_zero,
            cleans: Vec::new(),
        })
    }
}

/// Timesteps and sigmas of a multistep solver: those given, or Karras sigmas over the whole range with whole timesteps.
pub(super) fn grid(config: &SchedulerConfig, training: &Training, timesteps: Vec<f64>, karras: bool) -> (Vec<f64>, Vec<f64>) {
    if !karras {
        let sigmas = timesteps.iter().map(|&t| timetable::sigma_at(training, t)).collect();
        return (timesteps, sigmas);
    }
    let sigmas = timetable::karras_of_training(config, training, timesteps.len());
    // On a cosine schedule fractions are kept, but a timestep becomes a whole number in the end all the same.
    let cosine = config.beta_schedule == Some(super::BetaSchedule::SquaredcosCapV2);
    let whole = |t: f64| if cosine { t.trunc() } else { timetable::round(t) };
    (sigmas.iter().map(|&s| whole(timetable::timestep_of(training, s))).collect(), sigmas)
}

impl Scheduler for DpmMultistep {
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

    fn step(&mut self, output: &Tensor, timestep: f64, sample: &Tensor, generator: &mut TorchGenerator) -> Result<StepOutput> {
        let at = self.schedule.current(timestep);
        let count = self.schedule.timesteps.len();
        let pair = |i: usize| alpha_sigma(self.schedule.sigmas[i]);
        let clean = clean_of_alpha_sigma(self.config.prediction(), pair(at), sample, output)?;

        let short = self.config.lower_order_final.unwrap_or(true) && count < 15;
        let euler_at_final = self.config.euler_at_final.unwrap_or(false);
        let known = self.cleans.len().min(self.order);
        let order = if self.order == 1 || known < 1 || (at + 1 == count && (short || euler_at_final || self.ends_at_zero)) {
            1
        } else if self.order == 2 || known < 2 || (at + 2 == count && short) {
            2
        } else {
            3
        };
        let update = Update::new(self.algorithm, self.variant, pair(at), pair(at + 1));
        let h = lambda(pair(at + 1)) - lambda(pair(at));
        // Past steps in units of this one.
        let ratio = |back: usize| (lambda(pair(at - back)) - lambda(pair(at - back - 1))) / h;
        let noise = match self.algorithm {
            Algorithm::Deterministic => None,
            Algorithm::Stochastic => Some(noise_like(output, generator)?),
        };
        let past = |back: usize| &self.cleans[self.cleans.len() - back];
        let mut moved = combine(&[(update.sample, sample), (update.clean, &clean)])?;
        if order == 2 {
            let first = ((&clean - past(1))? * f64::from(1.0 / ratio(0)))?;
            moved = combine(&[(1.0, &moved), (update.first, &first)])?;
        } else if order == 3 {
            let (r0, r1) = (ratio(0), ratio(1));
            let near = ((&clean - past(1))? * f64::from(1.0 / r0))?;
            let far = ((past(1) - past(2))? * f64::from(1.0 / r1))?;
            let change = (&near - far)?;
            let first = combine(&[(1.0, &near), (r0 / (r0 + r1), &change)])?;
            let second = (change * f64::from(1.0 / (r0 + r1)))?;
            moved = combine(&[(1.0, &moved), (update.third.0, &first), (update.third.1, &second)])?;
        }
        if let Some(noise) = noise {
            moved = combine(&[(1.0, &moved), (update.noise, &noise)])?;
        }
        self.cleans.push(clean.clone());
        if self.cleans.len() > self.order {
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
