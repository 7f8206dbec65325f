//! Denoising.

use std::str::FromStr;

use candle_core::{DType, Device, Tensor};
use invoke_macros::Node;
use serde::Deserialize;

use super::{codec, control, load, watch::Follower};
use crate::{
    diffusion::{
        Seamless,
        denoise::{self as sampling, DenoiseMask, Guidance, GuidanceScale, Job, Outcome, Plan, Prompt, UNetDenoiser},
        schedulers::SchedulerName as Sampler,
        text::Conditioning,
        unet::FreeU,
    },
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{
            ConditioningField, ControlField, DenoiseMaskField, IPAdapterField, LatentsField, OneOrMany, SchedulerName, T2IAdapterField,
            UNetField,
        },
        outputs::LatentsOutput,
        workbench::tensor,
    },
};

pub(super) const NODES: &[NodeEntry] = &[entry::<DenoiseLatents>()];

/// Encoded prompts and where they hold.
pub(super) fn prompts(cx: &dyn NodeCx, fields: &[ConditioningField]) -> Result<Vec<Prompt>, NodeError> {
    let mut prompts = Vec::with_capacity(fields.len());
    for field in fields {
        let name = &field.conditioning_name;
        let kept = cx.workbench().store.get::<Conditioning>(cx.owner(), name);
        let kept = kept.ok_or_else(|| NodeError::new("FileNotFoundError", format!("there is no conditioning named {name}")))?;
        let mask = field
            .mask
            .as_ref()
            .map(|mask| tensor(cx, &mask.tensor_name)?.to_dtype(DType::F32).map_err(NodeError::from))
            .transpose()?;
        prompts.push(Prompt {
            conditioning: kept.as_ref().clone(),
            mask,
        });
    }
    Ok(prompts)
}

/// Guidance as the nodes state it.
pub(super) fn guidance(scale: OneOrMany<f64>, rescale: f64) -> Guidance {
    let scale = match scale {
        OneOrMany::One(scale) => GuidanceScale::Fixed(scale),
        OneOrMany::Many(scales) => GuidanceScale::PerStep(scales),
    };
    Guidance { scale, rescale }
}

/// The sampler of a name; names that are none mean the first, as in the original.
pub(super) fn sampler(name: &SchedulerName) -> Sampler {
    Sampler::from_str(&name.0).unwrap_or(Sampler::Ddim)
}

/// Steps as a number of the loop's.
pub(super) fn steps(steps: i64) -> Result<usize, NodeError> {
    const MOST: i64 = 10_000;
    if !(1..=MOST).contains(&steps) {
        return Err(NodeError::value(format!("steps is {steps}, expected 1 to {MOST}")));
    }
    Ok(steps as usize)
}

/// Latents and noise on the engine's device.
pub(super) fn start(
    cx: &dyn NodeCx,
    latents: Option<&LatentsField>,
    noise: Option<&LatentsField>,
) -> Result<(Option<Tensor>, Option<Tensor>, u64), NodeError> {
    let placed = |field: Option<&LatentsField>| -> Result<Option<Tensor>, NodeError> {
        let Some(field) = field else { return Ok(None) };
        Ok(Some(tensor(cx, &field.latents_name)?.to_device(&cx.workbench().device)?))
    };
    if latents.is_none() && noise.is_none() {
        return Err(NodeError::value("'latents' or 'noise' must be provided!"));
    }
    let seed = noise
        .and_then(|field| field.seed)
        .or_else(|| latents.and_then(|field| field.seed))
        .unwrap_or(0);
    Ok((placed(latents)?, placed(noise)?, seed as u64))
}

/// Denoises latents.
#[derive(Debug, Deserialize, Node)]
#[node(id = "denoise_latents", title = "Denoise - SD1.5, SDXL", version = "1.6.0", category = "latents", tags("latents", "denoise", "txt2img", "t2i", "t2l", "img2img", "i2i", "l2l"), output = LatentsOutput)]
struct DenoiseLatents {
    #[field(input = connection, order = 0)]
    positive_conditioning: OneOrMany<ConditioningField>,
    #[field(input = connection, order = 1)]
    negative_conditioning: OneOrMany<ConditioningField>,
    #[field(input = connection, order = 3)]
    noise: Option<LatentsField>,
    #[field(default = 10, gt = 0)]
    steps: i64,
    #[field(default = 7.5)]
    cfg_scale: OneOrMany<f64>,
    #[field(default = 0.0, ge = 0, le = 1)]
    denoising_start: f64,
    #[field(default = 1.0, ge = 0, le = 1)]
    denoising_end: f64,
    #[field(default = "euler", ui_type = "SchedulerField")]
    scheduler: SchedulerName,
    #[field(input = connection, order = 2)]
    unet: UNetField,
    #[field(input = connection, order = 5)]
    control: Option<OneOrMany<ControlField>>,
    #[field(input = connection, order = 6, title = "IP-Adapter")]
    ip_adapter: Option<OneOrMany<IPAdapterField>>,
    #[field(input = connection, order = 7, title = "T2I-Adapter")]
    t2i_adapter: Option<OneOrMany<T2IAdapterField>>,
    #[field(default = 0, ge = 0, lt = 1)]
    cfg_rescale_multiplier: f64,
    #[field(default = false)]
    hidiffusion: bool,
    #[field(default = true, title = "HiDiffusion: RAU-Net")]
    #[serde(rename = "hidiffusion_raunet")]
    _hidiffusion_raunet: bool,
    #[field(default = true, title = "HiDiffusion: Window Attention")]
    #[serde(rename = "hidiffusion_window_attn")]
    _hidiffusion_window_attn: bool,
    #[field(default = 0.4, ge = 0, le = 1, title = "HiDiffusion: T1 Ratio")]
    #[serde(rename = "hidiffusion_t1_ratio")]
    _hidiffusion_t1_ratio: f64,
    #[field(default = 0.0, ge = 0, le = 1, title = "HiDiffusion: T2 Ratio")]
    #[serde(rename = "hidiffusion_t2_ratio")]
    _hidiffusion_t2_ratio: f64,
    #[field(input = connection, order = 4)]
    latents: Option<LatentsField>,
    #[field(input = connection, order = 8)]
    denoise_mask: Option<DenoiseMaskField>,
}

impl Invoke for DenoiseLatents {
    fn invoke(self, cx: &dyn NodeCx) -> Result<LatentsOutput, NodeError> {
        if self.hidiffusion {
            return Err(NodeError::new("NotImplementedError", "hidiffusion is not offered; switch it off"));
        }
        let none = |what: &str| NodeError::new("NotImplementedError", format!("{what} models are not offered"));
        if self.ip_adapter.is_some_and(|a| !a.into_vec().is_empty()) {
            return Err(none("IP-Adapter"));
        }
        if self.t2i_adapter.is_some_and(|a| !a.into_vec().is_empty()) {
            return Err(none("T2I-Adapter"));
        }
        let (latents, noise, seed) = start(cx, self.latents.as_ref(), self.noise.as_ref())?;
        let shape = latents.as_ref().or(noise.as_ref()).map(Tensor::dims4).transpose()?;
        let (_, _, h, w) = shape.ok_or_else(|| NodeError::value("'latents' or 'noise' must be provided!"))?;
        let positive = prompts(cx, &self.positive_conditioning.into_vec())?;
        let negative = prompts(cx, &self.negative_conditioning.into_vec())?;
        let mask = match &self.denoise_mask {
            None => None,
            Some(field) => Some(DenoiseMask {
                mask: tensor(cx, &field.mask_name)?,
                gradient: field.gradient,
                masked_latents: field.masked_latents_name.as_deref().map(|name| tensor(cx, name)).transpose()?,
            }),
        };
        let config = load::scheduler_config(cx, &self.unet)?;
        let unet = load::unet(cx, &self.unet)?;
        let nets = control::load_all(cx, self.control.map(OneOrMany::into_vec).unwrap_or_default(), w * 8, h * 8)?;
        let controls = control::inputs(&nets)?;
        let free_u = self.unet.freeu_config.as_ref().and_then(|f| FreeU::new(f.b1, f.b2, f.s1, f.s2));
        let seamless: Seamless = codec::seamless(&self.unet.seamless_axes);
        let denoiser = UNetDenoiser {
            unet: &unet,
            seamless,
            free_u,
        };
        let scheduler = sampler(&self.scheduler);
        let plan = Plan {
            scheduler,
            config: &config,
            steps: steps(self.steps)?,
            start: self.denoising_start,
            end: self.denoising_end,
        };
        let job = Job {
            latents,
            noise,
            seed,
            positive,
            negative,
            guidance: guidance(self.cfg_scale, self.cfg_rescale_multiplier),
            mask,
            controls,
            adapters: Vec::new(),
            images: Vec::new(),
            watcher: &Follower::new(cx, &self.unet.unet.base),
        };
        let outcome = sampling::denoise(&denoiser, &plan, std::slice::from_ref(&job))?.pop();
        finish(cx, outcome)
    }
}

/// Keeps what a run made.
pub(super) fn finish(cx: &dyn NodeCx, outcome: Option<Outcome>) -> Result<LatentsOutput, NodeError> {
    match outcome {
        Some(Outcome::Done(latents)) => codec::latents_output(cx, latents.to_device(&Device::Cpu)?, None),
        Some(Outcome::Cancelled) => Err(NodeError::Canceled),
        None => Err(NodeError::runtime("the denoising loop gave nothing back")),
    }
}
