//! Classifier-free guidance.

use candle_core::{D, Result, Tensor};

/// How strongly the prompt pulls away from the negative prompt: 1 and more.
#[derive(Debug, Clone, PartialEq)]
pub enum GuidanceScale {
    /// The same at every step.
    Fixed(f64),
    /// One value a step; the last one holds for evaluations beyond.
    PerStep(Vec<f64>),
}

/// Guidance of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Guidance {
    /// The scale.
    pub scale: GuidanceScale,
    /// How far the result's contrast is drawn back to the conditional prediction's, 0 (not at all) to below 1 (Lin et al., 2023).
    pub rescale: f64,
}

impl Guidance {
    /// A fixed scale without rescaling.
    pub const fn fixed(scale: f64) -> Self {
        Self {
            scale: GuidanceScale::Fixed(scale),
            rescale: 0.0,
        }
    }

    /// The scale at an evaluation, counted from 0.
    pub(super) fn at(&self, step: usize) -> f64 {
        match &self.scale {
            GuidanceScale::Fixed(scale) => *scale,
            GuidanceScale::PerStep(scales) => scales.get(step).or(scales.last()).copied().unwrap_or(1.0),
        }
    }

    /// Whether it needs the prediction for the negative prompt at any evaluation.
    pub fn is_guided(&self) -> bool {
        match &self.scale {
            GuidanceScale::Fixed(scale) => *scale > 1.0,
            GuidanceScale::PerStep(scales) => scales.iter().any(|scale| *scale > 1.0),
        }
    }

    /// Names what is wrong with it, if anything is, for a run of `steps` steps.
    pub(super) fn problem(&self, steps: usize) -> Option<String> {
        let scales = match &self.scale {
            GuidanceScale::Fixed(scale) => std::slice::from_ref(scale),
            GuidanceScale::PerStep(scales) if scales.len() == steps => scales.as_slice(),
            GuidanceScale::PerStep(scales) => {
                return Some(format!(
                    "cfg_scale: {} values, expected one for each of the {steps} steps",
                    scales.len()
                ));
            }
        };
        if let Some(scale) = scales.iter().find(|scale| !(**scale >= 1.0 && scale.is_finite())) {
            return Some(format!("cfg_scale: {scale} is out of range, expected 1 or more"));
        }
        let rescale = self.rescale;
        (!(0.0..1.0).contains(&rescale)).then(|| format!("cfg_rescale_multiplier: {rescale} is out of range, expected 0 to below 1"))
    }

    /// Combines the predictions for the negative and the positive prompt, `[1, c, h, w]` each.
    pub(super) fn combine(&self, negative: &Tensor, positive: &Tensor, step: usize) -> Result<Tensor> {
        let guided = (negative + ((positive - negative)? * self.at(step))?)?;
        if self.rescale <= 0.0 {
            return Ok(guided);
        }
        let ratio = (deviation(positive)? / deviation(&guided)?)?;
        let rescaled = guided.broadcast_mul(&ratio)?;
        (rescaled * self.rescale)? + (guided * (1.0 - self.rescale))?
    }
}

/// Standard deviation of each sample (with Bessel's correction, as torch's), `[b, 1, 1, 1]`.
fn deviation(x: &Tensor) -> Result<Tensor> {
    let b = x.dim(0)?;
    let flat = x.reshape((b, ()))?;
    let centred = flat.broadcast_sub(&flat.mean_keepdim(D::Minus1)?)?;
    let variance = (centred.sqr()?.sum_keepdim(D::Minus1)? / (flat.dim(1)? as f64 - 1.0))?;
    variance.sqrt()?.reshape((b, 1, 1, 1))
}
