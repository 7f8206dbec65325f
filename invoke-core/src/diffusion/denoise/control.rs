//! Pictures that steer a run: ControlNets, T2I-Adapters and image prompts, each during a part of the steps.

use candle_core::Tensor;

use super::condition::{Half, batch};
use super::evaluate::Rows;
use crate::diffusion::control::{ControlNet, ControlStrength};
use crate::diffusion::error::{ModelError, Result};
use crate::diffusion::unet::{Added, Context, ControlResiduals, ImagePrompt};

/// Strength over the steps.
#[derive(Debug, Clone, PartialEq)]
pub enum Weight {
    /// The same at every step.
    Fixed(f64),
    /// One value an evaluation.
    PerStep(Vec<f64>),
}

/// When and how strongly a picture acts.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// How strongly.
    pub weight: Weight,
    /// Share of the steps before it begins, 0 to 1.
    pub begin: f64,
    /// Share of the steps at which it ends, 0 to 1.
    pub end: f64,
}

impl Window {
    /// The weight at an evaluation of `total`, counted from 0; `None` outside the window.
    pub(super) fn at(&self, step: usize, total: usize) -> Result<Option<f64>> {
        let (first, last) = ((self.begin * total as f64).floor(), (self.end * total as f64).ceil());
        if (step as f64) < first || step as f64 > last {
            return Ok(None);
        }
        match &self.weight {
            Weight::Fixed(weight) => Ok(Some(*weight)),
            Weight::PerStep(weights) => match weights.get(step) {
                Some(weight) => Ok(Some(*weight)),
                None => Err(ModelError::Input(format!(
                    "weight: {} values, expected one for each of {total} evaluations",
                    weights.len()
                ))),
            },
        }
    }
}

/// What a ControlNet's say weighs against the prompt's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlMode {
    /// Equally.
    Balanced,
    /// Less: finer layers count for little.
    MorePrompt,
    /// More: it acts against the negative prompt too, and finer layers count for little.
    MoreControl,
    /// More: it acts against the negative prompt too.
    Unbalanced,
}

impl std::str::FromStr for ControlMode {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        match name {
            "balanced" => Ok(Self::Balanced),
            "more_prompt" => Ok(Self::MorePrompt),
            "more_control" => Ok(Self::MoreControl),
            "unbalanced" => Ok(Self::Unbalanced),
            other => Err(format!(
                "control_mode: `{other}`, expected balanced, more_prompt, more_control or unbalanced"
            )),
        }
    }
}

impl ControlMode {
    const fn ramp(self) -> bool {
        matches!(self, Self::MorePrompt | Self::MoreControl)
    }

    const fn positive_only(self) -> bool {
        matches!(self, Self::MoreControl | Self::Unbalanced)
    }
}

/// A ControlNet with its picture.
#[derive(Debug, Clone)]
pub struct ControlInput<'a> {
    /// The model.
    pub net: &'a ControlNet,
    /// `[1, channels, 8 h, 8 w]` for latents of `h` by `w`, values from 0 to 1.
    pub picture: Tensor,
    /// When and how strongly.
    pub window: Window,
    /// Against the prompt.
    pub mode: ControlMode,
}

/// A T2I-Adapter's states for a picture.
#[derive(Debug, Clone)]
pub struct AdapterInput {
    /// One `[1, c, h, w]` for each block of the denoiser's way down.
    pub states: Vec<Tensor>,
    /// When and how strongly.
    pub window: Window,
}

/// An image prompt (IP-Adapter).
#[derive(Debug, Clone)]
pub struct ImageInput {
    /// Keys and values for the denoiser's layers, of both halves.
    pub prompt: ImagePrompt,
    /// When and how strongly.
    pub window: Window,
}

/// A ControlNet ready for a run.
#[derive(Debug)]
pub(super) struct Controlled<'a> {
    input: &'a ControlInput<'a>,
    /// The picture after the net's embedding, `[1, c, h, w]`.
    hint: Tensor,
    /// Text for both halves, and for the positive one alone.
    contexts: [Option<Context>; 2],
}

impl<'a> Controlled<'a> {
    /// `part` cuts a piece (top, left, height, width, in latent pixels) out of the picture.
    pub(super) fn new(input: &'a ControlInput<'a>, part: Option<[usize; 4]>) -> Result<Self> {
        let picture = match part {
            None => input.picture.clone(),
            Some(part) => {
                let [top, left, height, width] = part.map(|n| n * crate::diffusion::latents::SCALE);
                crate::diffusion::latents::crop(&input.picture, top, left, height, width)?
            }
        };
        Ok(Self {
            hint: input.net.embed_picture(&picture)?,
            input,
            contexts: [None, None],
        })
    }

    /// Residuals for one job, whose `sample` is scaled as the denoiser gets it. `None` outside the window.
    fn residuals(&mut self, sample: &Tensor, text: [&Half; 2], rows: Rows, at: At) -> Result<Option<ControlResiduals>> {
        let Some(weight) = self.input.window.at(at.step, at.total)? else {
            return Ok(None);
        };
        let (net, mode) = (self.input.net, self.input.mode);
        let positive_only = rows == Rows::Positive || mode.positive_only();
        let (_, _, h, w) = sample.dims4()?;
        let slot = &mut self.contexts[usize::from(positive_only)];
        if slot.is_none() {
            let halves = if positive_only { vec![text[1]] } else { text.to_vec() };
            let text = batch(&halves, (h, w), false)?;
            let added = text.added.as_ref().map(|(pooled, time_ids)| Added { pooled, time_ids });
            *slot = Some(net.prepare(&text.embeds, text.bias.clone(), added)?);
        }
        let context = slot.as_ref().expect("it was filled just now");
        let sample = if positive_only {
            sample.clone()
        } else {
            Tensor::cat(&[sample, sample], 0)?
        };
        let strength = ControlStrength { weight, ramp: mode.ramp() };
        let residuals = net.forward(&sample, at.timestep, context, &self.hint, strength)?;
        Ok(Some(if positive_only && rows == Rows::Both {
            residuals.after_zeros(1)?
        } else {
            residuals
        }))
    }
}

/// The evaluation that is being made.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) timestep: f64,
    pub(super) step: usize,
    pub(super) total: usize,
}

/// The sum of a job's ControlNets; `None` if none acts now. Rows are the negative half, then the positive.
pub(super) fn sum_of_controls(
    nets: &mut [Controlled<'_>],
    sample: &Tensor,
    text: [&Half; 2],
    rows: Rows,
    at: At,
) -> Result<Option<ControlResiduals>> {
    let mut sum: Option<ControlResiduals> = None;
    for net in nets {
        if let Some(residuals) = net.residuals(sample, text, rows, at)? {
            sum = Some(match sum {
                Some(sum) => sum.add(&residuals)?,
                None => residuals,
            });
        }
    }
    Ok(sum)
}

/// The sum of a job's T2I-Adapters, `[1, c, h, w]` each, grown with zeros to what the denoiser has at that depth.
pub(super) fn sum_of_adapters(inputs: &[AdapterInput], sample: &Tensor, at: At) -> Result<Vec<Tensor>> {
    let mut sum: Vec<Tensor> = Vec::new();
    for input in inputs {
        let weight = input.window.at(at.step, at.total)?.unwrap_or(0.0);
        for (i, state) in input.states.iter().enumerate() {
            let state = (state * weight)?;
            match sum.get_mut(i) {
                Some(sum) => *sum = (&*sum + state)?,
                None => sum.push(state),
            }
        }
    }
    let (_, _, h, w) = sample.dims4()?;
    let grow = |state: Tensor| -> Result<Tensor> {
        let (_, _, sh, sw) = state.dims4()?;
        let factor = (w / sw.max(1)).max(1);
        let (down, right) = (h.div_ceil(factor).saturating_sub(sh), w.div_ceil(factor).saturating_sub(sw));
        Ok(state.pad_with_zeros(2, 0, down)?.pad_with_zeros(3, 0, right)?)
    };
    sum.into_iter().map(grow).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_includes_both_its_ends() {
        let window = Window {
            weight: Weight::Fixed(0.8),
            begin: 0.1,
            end: 0.7,
        };
        let active: Vec<usize> = (0..20).filter(|&i| window.at(i, 20).unwrap().is_some()).collect();
        assert_eq!(active, (2..=14).collect::<Vec<_>>());
        let short = Window {
            weight: Weight::PerStep(vec![1.0]),
            begin: 0.0,
            end: 1.0,
        };
        assert_eq!(short.at(0, 3).unwrap(), Some(1.0));
        assert!(short.at(1, 3).unwrap_err().to_string().starts_with("weight: 1 values"));
    }
}
