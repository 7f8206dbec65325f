//! One evaluation of the denoiser for all jobs of a batch.

use candle_core::{DType, Tensor};

use super::Denoiser;
use super::condition::{Half, batch};
use super::control::{AdapterInput, At, Controlled, ImageInput, sum_of_adapters, sum_of_controls};
use super::guidance::Guidance;
use super::mask::Masked;
use crate::diffusion::error::{ModelError, Result};
use crate::diffusion::unet::{ControlResiduals, ImagePrompt, StepInputs};

/// Which predictions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// For the negative prompts of all jobs, then for the positive ones.
    Both,
    /// For the positive prompts alone: at a guidance of 1 the negative one has no part in the result.
    Positive,
}

/// A job's part of a batch.
pub(super) struct Part<'a, 'c> {
    /// The sample as the denoiser wants it, `[1, c, h, w]`.
    pub(super) sample: Tensor,
    /// Negative and positive text.
    pub(super) text: [&'a Half; 2],
    pub(super) guidance: &'a Guidance,
    pub(super) mask: Option<&'a Masked>,
    pub(super) controls: &'a mut [Controlled<'c>],
    pub(super) adapters: &'a [AdapterInput],
    pub(super) images: &'a [ImageInput],
}

/// A denoiser with the contexts of a batch, kept while the batch stays the same.
pub(super) struct Evaluator<'a, D: Denoiser> {
    denoiser: &'a D,
    both: Option<D::Context>,
    positive: Option<D::Context>,
}

impl<'a, D: Denoiser> Evaluator<'a, D> {
    pub(super) fn new(denoiser: &'a D) -> Self {
        Self {
            denoiser,
            both: None,
            positive: None,
        }
    }

    /// Whether the denoiser sees masks itself.
    pub(super) fn inpaints(&self, latents: &Tensor) -> bool {
        latents
            .dims()
            .get(1)
            .is_some_and(|&channels| channels != self.denoiser.in_channels())
    }

    /// To be called when the jobs of the batch change.
    pub(super) fn forget(&mut self) {
        self.both = None;
        self.positive = None;
    }

    /// The guided prediction for each job, f32 `[1, c, h, w]`.
    pub(super) fn predict(&mut self, parts: &mut [Part<'_, '_>], at: At) -> Result<Vec<Tensor>> {
        let with_images = parts.iter().any(|part| !part.images.is_empty());
        if with_images && parts.len() > 1 {
            return Err(ModelError::Input("jobs with image prompts cannot share a batch".into()));
        }
        #[expect(clippy::float_cmp, reason = "exactly 1 is what makes the negative half cancel out")]
        let unguided = !with_images && parts.iter().all(|part| part.guidance.at(at.step) == 1.0);
        let rows = if unguided { Rows::Positive } else { Rows::Both };

        let sample = self.samples(parts, rows)?;
        let control = controls(parts, rows, at)?;
        let adapter = adapters(parts, rows, at)?;
        let scales = parts
            .iter()
            .flat_map(|part| part.images)
            .map(|image| Ok(image.window.at(at.step, at.total)?.unwrap_or(0.0)));
        let scales: Vec<f64> = scales.collect::<Result<_>>()?;
        let inputs = StepInputs {
            control: control.as_ref(),
            adapter: &adapter,
            image_scales: &scales,
            at: (at.step, at.total),
            ..StepInputs::default()
        };
        let denoiser = self.denoiser;
        let context = self.context(parts, rows)?;
        let output = denoiser.predict(&sample, at.timestep, context, inputs)?.to_dtype(DType::F32)?;
        let count = parts.len();
        let combine = |(i, part): (usize, &Part<'_, '_>)| -> Result<Tensor> {
            let row = |i: usize| output.narrow(0, i, 1);
            Ok(match rows {
                Rows::Positive => row(i)?,
                Rows::Both => part.guidance.combine(&row(i)?, &row(count + i)?, at.step)?,
            })
        };
        parts.iter().enumerate().map(combine).collect()
    }

    fn samples(&self, parts: &[Part<'_, '_>], rows: Rows) -> Result<Tensor> {
        let one = |part: &Part<'_, '_>| -> Result<Tensor> {
            let sample = &part.sample;
            if self.denoiser.in_channels() == sample.dim(1)? {
                return Ok(sample.clone());
            }
            let more = match part.mask {
                Some(mask) => mask.channels()?,
                None => Masked::no_channels(sample)?,
            };
            Ok(Tensor::cat(&[sample, &more], 1)?)
        };
        let samples = parts.iter().map(one).collect::<Result<Vec<_>>>()?;
        let twice = if rows == Rows::Both { 2 } else { 1 };
        Ok(Tensor::cat(
            &samples.iter().cycle().take(samples.len() * twice).collect::<Vec<_>>(),
            0,
        )?)
    }

    fn context(&mut self, parts: &[Part<'_, '_>], rows: Rows) -> Result<&D::Context> {
        let slot = match rows {
            Rows::Both => &mut self.both,
            Rows::Positive => &mut self.positive,
        };
        if slot.is_none() {
            let (_, _, h, w) = parts[0].sample.dims4()?;
            let mut halves: Vec<&Half> = Vec::new();
            if rows == Rows::Both {
                halves.extend(parts.iter().map(|part| part.text[0]));
            }
            halves.extend(parts.iter().map(|part| part.text[1]));
            let images: Vec<ImagePrompt> = parts
                .iter()
                .flat_map(|part| part.images)
                .map(|image| image.prompt.clone())
                .collect();
            *slot = Some(self.denoiser.prepare(&batch(&halves, (h, w), true)?, &images)?);
        }
        Ok(slot.as_ref().expect("it was filled just now"))
    }
}

/// ControlNets' residuals for all rows; jobs on which none acts get zeros. `None` if none acts on any.
fn controls(parts: &mut [Part<'_, '_>], rows: Rows, at: At) -> Result<Option<ControlResiduals>> {
    let each = parts
        .iter_mut()
        .map(|part| sum_of_controls(part.controls, &part.sample, part.text, rows, at));
    let each = each.collect::<Result<Vec<_>>>()?;
    if let [Some(only)] = each.as_slice() {
        return Ok(Some(only.clone()));
    }
    let Some(model) = each.iter().flatten().next() else {
        return Ok(None);
    };
    let gather = |pick: &dyn Fn(&ControlResiduals) -> Tensor| -> Result<Tensor> {
        let tensors: Vec<Tensor> = each
            .iter()
            .map(|residuals| match residuals {
                Some(residuals) => Ok(pick(residuals)),
                None => pick(model).zeros_like(),
            })
            .collect::<candle_core::Result<_>>()?;
        by_half(&tensors, rows)
    };
    let down = (0..model.down.len())
        .map(|i| gather(&|r| r.down[i].clone()))
        .collect::<Result<_>>()?;
    Ok(Some(ControlResiduals {
        down,
        mid: gather(&|r| r.mid.clone())?,
    }))
}

/// T2I-Adapters' states for all rows; empty if no job has any.
fn adapters(parts: &[Part<'_, '_>], rows: Rows, at: At) -> Result<Vec<Tensor>> {
    let each = parts
        .iter()
        .map(|part| sum_of_adapters(part.adapters, &part.sample, at))
        .collect::<Result<Vec<_>>>()?;
    let Some(model) = each.iter().find(|states| !states.is_empty()) else {
        return Ok(Vec::new());
    };
    (0..model.len())
        .map(|i| {
            let states = each.iter().map(|states| match states.get(i) {
                Some(state) => Ok(state.clone()),
                None => model[i].zeros_like(),
            });
            let states = states.collect::<candle_core::Result<Vec<_>>>()?;
            let twice = if rows == Rows::Both { 2 } else { 1 };
            Ok(Tensor::cat(
                &states.iter().cycle().take(states.len() * twice).collect::<Vec<_>>(),
                0,
            )?)
        })
        .collect()
}

/// Reorders tensors that hold both halves of one job each: the negative halves of all, then the positive ones.
fn by_half(tensors: &[Tensor], rows: Rows) -> Result<Tensor> {
    if rows == Rows::Positive {
        return Ok(Tensor::cat(tensors, 0)?);
    }
    let half = |i: usize| tensors.iter().map(move |t| t.narrow(0, i, 1));
    Ok(Tensor::cat(&half(0).chain(half(1)).collect::<candle_core::Result<Vec<_>>>()?, 0)?)
}
