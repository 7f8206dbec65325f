//! What a model's `scheduler_config.json` says, and how the betas follow from it.

use serde::Deserialize;

use super::{Built, Error};

/// What the denoiser's output means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionType {
    /// The noise in the sample.
    #[default]
    Epsilon,
    /// The velocity of Salimans and Ho (2022).
    VPrediction,
    /// The clean sample.
    Sample,
}

/// How the steps of a run are spread over the training steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSpacing {
    /// Evenly, both ends included.
    Linspace,
    /// Whole multiples from below, shifted by `steps_offset`.
    Leading,
    /// Whole multiples from above.
    Trailing,
}

/// Shape of the training noise schedule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// Even steps in beta.
    #[default]
    Linear,
    /// Even steps in the square root of beta.
    ScaledLinear,
    /// Nichol and Dhariwal's cosine.
    SquaredcosCapV2,
}

/// Fields of a diffusers scheduler config. What a file leaves out stays `None`, because classes differ in their defaults;
/// fields that no class here reads are ignored.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SchedulerConfig {
    /// Steps the model was trained with; 1000 if absent.
    pub num_train_timesteps: Option<usize>,
    /// First beta.
    pub beta_start: Option<f64>,
    /// Last beta.
    pub beta_end: Option<f64>,
    /// Curve between the two.
    pub beta_schedule: Option<BetaSchedule>,
    /// Betas given one by one, in place of a curve.
    pub trained_betas: Option<Vec<f32>>,
    /// What the denoiser predicts.
    pub prediction_type: Option<PredictionType>,
    /// How steps are spread.
    pub timestep_spacing: Option<TimestepSpacing>,
    /// Shift for leading spacing.
    pub steps_offset: Option<i64>,
    /// Whether predicted pictures are clipped.
    pub clip_sample: Option<bool>,
    /// Clipping range if so.
    pub clip_sample_range: Option<f64>,
    /// Whether the step past the last is noise-free (otherwise it has the first training step's noise).
    pub set_alpha_to_one: Option<bool>,
    /// Whether betas are stretched so that the last step is pure noise.
    pub rescale_betas_zero_snr: Option<bool>,
    /// Dynamic thresholding, of pixel-space models alone.
    pub thresholding: Option<bool>,
    /// PNDM: leave out the Runge-Kutta warm-up.
    pub skip_prk_steps: Option<bool>,
    /// DDPM: which variance the added noise has.
    pub variance_type: Option<String>,
    /// Multistep solvers: highest order.
    pub solver_order: Option<usize>,
    /// DPM-Solver: family of updates.
    pub algorithm_type: Option<String>,
    /// Multistep solvers: variant of the update.
    pub solver_type: Option<String>,
    /// Multistep solvers: lower order towards the end of short runs.
    pub lower_order_final: Option<bool>,
    /// DPM-Solver: first order for the last step.
    pub euler_at_final: Option<bool>,
    /// Noise left at the end: `zero` or `sigma_min`.
    pub final_sigmas_type: Option<String>,
    /// Smallest sigma of a Karras schedule.
    pub sigma_min: Option<f64>,
    /// Largest sigma of a Karras schedule.
    pub sigma_max: Option<f64>,
    /// UniPC: whether the solver works on the clean sample.
    pub predict_x0: Option<bool>,
    /// UniPC: steps whose corrector is left out.
    pub disable_corrector: Option<Vec<usize>>,
    /// LCM and TCD: steps of the distilled schedule.
    pub original_inference_steps: Option<usize>,
    /// LCM: factor on timesteps in the boundary conditions.
    pub timestep_scaling: Option<f64>,
}

impl SchedulerConfig {
    /// Reads a `scheduler_config.json`.
    pub fn from_json(text: &str) -> Built<Self> {
        serde_json::from_str(text).map_err(|e| Error::Config(e.to_string()))
    }

    /// Training steps.
    pub fn train_timesteps(&self) -> usize {
        self.num_train_timesteps.unwrap_or(1000)
    }

    pub(super) fn prediction(&self) -> PredictionType {
        self.prediction_type.unwrap_or_default()
    }

    pub(super) fn ends_at_zero(&self) -> Built<bool> {
        match self.final_sigmas_type.as_deref() {
            None | Some("zero") => Ok(true),
            Some("sigma_min") => Ok(false),
            Some(other) => Err(Error::unsupported("final_sigmas_type", other, "zero or sigma_min")),
        }
    }

    /// The config as seen by a class that knows neither a Karras range nor the stretching of betas.
    pub(super) fn plain(&self) -> Self {
        Self {
            sigma_min: None,
            sigma_max: None,
            rescale_betas_zero_snr: None,
            ..self.clone()
        }
    }

    /// Clipping range of predicted samples, if the config or else the class's default asks for it.
    pub(super) fn clip(&self, default: bool) -> Option<f64> {
        self.clip_sample.unwrap_or(default).then(|| self.clip_sample_range.unwrap_or(1.0))
    }
}

/// The training noise schedule: one entry a training step, growing noise.
#[derive(Debug, Clone)]
pub(super) struct Training {
    /// Share of the picture's variance that is left.
    pub(super) alphas_cumprod: Vec<f32>,
    /// Noise relative to the picture, `sqrt((1 - a) / a)`.
    pub(super) sigmas: Vec<f32>,
}

impl Training {
    /// Computes the schedule with the class's own default betas. `floor_last` replaces a last step without any picture left by
    /// the smallest share that half precision can tell from none, as the sigma-based classes need it.
    pub(super) fn new(config: &SchedulerConfig, defaults: (f64, f64, BetaSchedule), floor_last: bool) -> Built<Self> {
        if config.thresholding == Some(true) {
            return Err(Error::unsupported("thresholding", "true", "false"));
        }
        let steps = config.train_timesteps();
        if !(2..=100_000).contains(&steps) {
            return Err(Error::unsupported("num_train_timesteps", &steps.to_string(), "2 to 100000"));
        }
        let (start, end) = (config.beta_start.unwrap_or(defaults.0), config.beta_end.unwrap_or(defaults.1));
        let mut betas = match (&config.trained_betas, config.beta_schedule.unwrap_or(defaults.2)) {
            (Some(betas), _) if betas.len() == steps => betas.clone(),
            (Some(betas), _) => {
                return Err(Error::unsupported(
                    "trained_betas",
                    &format!("{} values", betas.len()),
                    "one value per training step",
                ));
            }
            (None, BetaSchedule::Linear) => linspace(start as f32, end as f32, steps),
            (None, BetaSchedule::ScaledLinear) => linspace(start.sqrt() as f32, end.sqrt() as f32, steps)
                .into_iter()
                .map(|x| x * x)
                .collect(),
            (None, BetaSchedule::SquaredcosCapV2) => cosine_betas(steps),
        };
        let rescale = config.rescale_betas_zero_snr.unwrap_or(false);
        if rescale {
            betas = zero_terminal_snr(&betas);
        }
        let mut alphas_cumprod = cumulative_product(betas.iter().map(|beta| 1.0 - beta));
        if rescale
            && floor_last
            && let Some(last) = alphas_cumprod.last_mut()
        {
            *last = 2f32.powi(-24);
        }
        let sigmas = alphas_cumprod.iter().map(|a| ((1.0 - a) / a).sqrt()).collect();
        Ok(Self { alphas_cumprod, sigmas })
    }
}

/// Torch's single-precision `linspace`, which counts from both ends and rounds once per value.
fn linspace(start: f32, end: f32, count: usize) -> Vec<f32> {
    let step = (end - start) / (count - 1) as f32;
    let value = |i: usize| {
        if i < count / 2 {
            step.mul_add(i as f32, start)
        } else {
            step.mul_add(-((count - i - 1) as f32), end)
        }
    };
    (0..count).map(value).collect()
}

fn cosine_betas(count: usize) -> Vec<f32> {
    let share = |t: f64| ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    let at = |i: usize| share(i as f64 / count as f64);
    (0..count).map(|i| (1.0 - at(i + 1) / at(i)).min(0.999) as f32).collect()
}

/// Running product, summed up in double precision and stored in single, as torch's `cumprod`.
fn cumulative_product(factors: impl Iterator<Item = f32>) -> Vec<f32> {
    factors
        .scan(1.0_f64, |product, factor| {
            *product *= f64::from(factor);
            Some(*product as f32)
        })
        .collect()
}

/// Stretches betas so that nothing of the picture is left at the last step (Lin et al., 2023, algorithm 1).
fn zero_terminal_snr(betas: &[f32]) -> Vec<f32> {
    let roots: Vec<f32> = cumulative_product(betas.iter().map(|beta| 1.0 - beta))
        .into_iter()
        .map(f32::sqrt)
        .collect();
    let (first, last) = (roots[0], roots[roots.len() - 1]);
    let scale = first / (first - last);
    let shares: Vec<f32> = roots.iter().map(|root| ((root - last) * scale).powi(2)).collect();
    std::iter::once(1.0 - shares[0])
        .chain(shares.windows(2).map(|pair| 1.0 - pair[1] / pair[0]))
        .collect()
}
