//! Denoising.

use std::str::FromStr;

use candle_core::{DType, Device, Tensor};
use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    adapters, codec, control, load, rows,
    together::{self, Order, Task},
    watch::Follower,
};
use crate::{
    diffusion::{
        denoise::{self as sampling, DenoiseMask, Guidance, GuidanceScale, Job, Outcome, Plan, Prompt, UNetDenoiser},
        schedulers::SchedulerName as Sampler,
        text::Conditioning,
        unet::{FreeU, HiDiffusion, HiDiffusionSettings, UNet},
    },
    graph::{meta::BrokenRule, model::without_nulls},
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{
            ConditioningField, ControlField, DenoiseMaskField, IPAdapterField, LatentsField, LoRAField, MetadataField, OneOrMany,
            SchedulerName, T2IAdapterField, UNetField,
        },
        outputs::LatentsOutput,
        workbench::{make_room, tensor},
    },
};

pub(super) const NODES: &[NodeEntry] = &[entry::<DenoiseLatents>(), entry::<DenoiseLatentsMeta>()];

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

/// Guidance is none at 1, and there is no less of it.
pub(super) fn check_guidance(values: &Map<String, Value>) -> Result<(), BrokenRule> {
    let fine = |scale: &Value| scale.as_f64().is_none_or(|scale| scale >= 1.0);
    let all_fine = match values.get("cfg_scale") {
        Some(Value::Array(scales)) => scales.iter().all(fine),
        scale => scale.is_none_or(fine),
    };
    if all_fine {
        Ok(())
    } else {
        Err(BrokenRule::of("cfg_scale", "cfg_scale must be at least 1"))
    }
}

/// Declares a node with the inputs of a denoiser. Both of them have the same, and derives know no inheritance.
macro_rules! denoiser {
    ($(#[$attr:meta])* $name:ident) => {
        $(#[$attr])*
        struct $name {
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
            hidiffusion_raunet: bool,
            #[field(default = true, title = "HiDiffusion: Window Attention")]
            hidiffusion_window_attn: bool,
            #[field(default = 0.4, ge = 0, le = 1, title = "HiDiffusion: T1 Ratio")]
            hidiffusion_t1_ratio: f64,
            #[field(default = 0.0, ge = 0, le = 1, title = "HiDiffusion: T2 Ratio")]
            hidiffusion_t2_ratio: f64,
            #[field(input = connection, order = 4)]
            latents: Option<LatentsField>,
            #[field(input = connection, order = 8)]
            denoise_mask: Option<DenoiseMaskField>,
        }

        impl From<$name> for Inputs {
            fn from(node: $name) -> Self {
                Self {
                    positive: node.positive_conditioning.into_vec(),
                    negative: node.negative_conditioning.into_vec(),
                    noise: node.noise,
                    latents: node.latents,
                    mask: node.denoise_mask,
                    steps: node.steps,
                    cfg_scale: node.cfg_scale,
                    cfg_rescale: node.cfg_rescale_multiplier,
                    part: (node.denoising_start, node.denoising_end),
                    scheduler: node.scheduler,
                    unet: node.unet,
                    controls: node.control.map(OneOrMany::into_vec).unwrap_or_default(),
                    images: node.ip_adapter.map(OneOrMany::into_vec).unwrap_or_default(),
                    adapters: node.t2i_adapter.map(OneOrMany::into_vec).unwrap_or_default(),
                    hidiffusion: node.hidiffusion,
                    hidiffusion_settings: HiDiffusionSettings {
                        raunet: node.hidiffusion_raunet,
                        window_attention: node.hidiffusion_window_attn,
                        t1: node.hidiffusion_t1_ratio,
                        t2: node.hidiffusion_t2_ratio,
                    },
                }
            }
        }
    };
}

denoiser! {
    /// Denoises latents.
    #[derive(Debug, Deserialize, Node)]
    #[node(id = "denoise_latents", check = check_guidance, title = "Denoise - SD1.5, SDXL", version = "1.6.0", category = "latents", tags("latents", "denoise", "txt2img", "t2i", "t2l", "img2img", "i2i", "l2l"), output = LatentsOutput)]
    DenoiseLatents
}

denoiser! {
    /// Denoises latents and says with what.
    #[derive(Debug, Deserialize, Node)]
    #[node(id = "denoise_latents_meta", check = check_guidance, title = "Denoise - SD1.5, SDXL + Metadata", version = "1.2.0", category = "metadata", tags("latents", "denoise", "txt2img", "t2i", "t2l", "img2img", "i2i", "l2l"), output = LatentsMetaOutput, metadata)]
    DenoiseLatentsMeta
}

/// Latents and how they were made.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "latents_meta_output")]
pub(in crate::nodes) struct LatentsMetaOutput {
    pub(in crate::nodes) metadata: MetadataField,
    pub(in crate::nodes) latents: LatentsField,
    pub(in crate::nodes) width: i64,
    pub(in crate::nodes) height: i64,
}

impl LatentsMetaOutput {
    /// What a run made, and its settings added to the metadata that the node was given.
    pub(in crate::nodes) fn of(cx: &dyn NodeCx, output: LatentsOutput, described: Map<String, Value>) -> Self {
        let mut metadata = match cx.frame().metadata.clone() {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        };
        metadata.extend(described);
        Self {
            metadata: MetadataField(metadata),
            latents: output.latents,
            width: output.width,
            height: output.height,
        }
    }
}

/// What a denoiser is given.
#[derive(Debug)]
struct Inputs {
    positive: Vec<ConditioningField>,
    negative: Vec<ConditioningField>,
    noise: Option<LatentsField>,
    latents: Option<LatentsField>,
    mask: Option<DenoiseMaskField>,
    steps: i64,
    cfg_scale: OneOrMany<f64>,
    cfg_rescale: f64,
    /// Start and end.
    part: (f64, f64),
    scheduler: SchedulerName,
    unet: UNetField,
    controls: Vec<ControlField>,
    images: Vec<IPAdapterField>,
    adapters: Vec<T2IAdapterField>,
    hidiffusion: bool,
    hidiffusion_settings: HiDiffusionSettings,
}

impl Invoke for DenoiseLatents {
    fn invoke(self, cx: &dyn NodeCx) -> Result<LatentsOutput, NodeError> {
        run(cx, &Inputs::from(self))
    }
}

impl Invoke for DenoiseLatentsMeta {
    fn invoke(self, cx: &dyn NodeCx) -> Result<LatentsMetaOutput, NodeError> {
        let inputs = Inputs::from(self);
        let output = run(cx, &inputs)?;
        let described = described(&inputs, output.width, output.height)?;
        Ok(LatentsMetaOutput::of(cx, output, described))
    }
}

/// The settings of a run as pictures' metadata name them.
fn described(inputs: &Inputs, width: i64, height: i64) -> Result<Map<String, Value>, NodeError> {
    let hi = &inputs.hidiffusion_settings;
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("width", width.into());
    put("height", height.into());
    put("steps", inputs.steps.into());
    put("cfg_scale", json(&inputs.cfg_scale)?);
    put("cfg_rescale_multiplier", inputs.cfg_rescale.into());
    put("denoising_start", inputs.part.0.into());
    put("denoising_end", inputs.part.1.into());
    put("scheduler", json(&inputs.scheduler)?);
    put("model", json(&inputs.unet.unet)?);
    put("hidiffusion", inputs.hidiffusion.into());
    put("hidiffusion_raunet", hi.raunet.into());
    put("hidiffusion_window_attn", hi.window_attention.into());
    put("hidiffusion_t1_ratio", hi.t1.into());
    put("hidiffusion_t2_ratio", hi.t2.into());
    if !inputs.controls.is_empty() {
        put("controlnets", without_nulls(json(&inputs.controls)?));
    }
    if !inputs.images.is_empty() {
        put("ipAdapters", without_nulls(json(&inputs.images)?));
    }
    if !inputs.adapters.is_empty() {
        put("t2iAdapters", without_nulls(json(&inputs.adapters)?));
    }
    if !inputs.unet.loras.is_empty() {
        put("loras", described_loras(&inputs.unet.loras)?);
    }
    if let Some(noise) = &inputs.noise {
        put("seed", noise.seed.into());
    }
    Ok(out)
}

/// LoRAs as pictures' metadata name them.
pub(in crate::nodes) fn described_loras(loras: &[LoRAField]) -> Result<Value, NodeError> {
    let one = |lora: &LoRAField| {
        Ok(without_nulls(
            serde_json::json!({"model": json(&lora.lora)?, "weight": lora.weight}),
        ))
    };
    loras.iter().map(one).collect::<Result<_, NodeError>>().map(Value::Array)
}

pub(in crate::nodes) fn json<T: Serialize>(value: &T) -> Result<Value, NodeError> {
    serde_json::to_value(value).map_err(NodeError::runtime)
}

fn run(cx: &dyn NodeCx, inputs: &Inputs) -> Result<LatentsOutput, NodeError> {
    let (latents, noise, seed) = start(cx, inputs.latents.as_ref(), inputs.noise.as_ref())?;
    let shape = latents.as_ref().or(noise.as_ref()).map(Tensor::dims4).transpose()?;
    let shape = shape.ok_or_else(|| NodeError::value("'latents' or 'noise' must be provided!"))?;
    let (count, _, h, w) = shape;
    let positive = prompts(cx, &inputs.positive)?;
    let negative = prompts(cx, &inputs.negative)?;
    let mask = match &inputs.mask {
        None => None,
        Some(field) => Some(DenoiseMask {
            mask: tensor(cx, &field.mask_name)?,
            gradient: field.gradient,
            masked_latents: field.masked_latents_name.as_deref().map(|name| tensor(cx, name)).transpose()?,
        }),
    };
    // Adapters see their pictures before the denoiser takes the room.
    let adapters = adapters::t2i(cx, &inputs.adapters, (h, w))?;
    let config = load::scheduler_config(cx, &inputs.unet)?;
    let unet = load::unet(cx, &inputs.unet)?;
    let bytes = unet_bytes(&unet, h, w);
    make_room(cx, bytes, &format!("denoising {}×{} pixels", w * 8, h * 8))?;
    let images = adapters::images(cx, &inputs.images, &unet, (h, w))?;
    let nets = control::load_all(cx, inputs.controls.clone(), w * 8, h * 8)?;
    let controls = control::inputs(&nets)?;
    let hidiffusion = inputs
        .hidiffusion
        .then(|| HiDiffusion::new(unet.config(), inputs.hidiffusion_settings, seed))
        .transpose()?;
    let task = Task {
        unet: &unet,
        denoiser: UNetDenoiser {
            unet: &unet,
            seamless: codec::seamless(&inputs.unet.seamless_axes),
            free_u: inputs.unet.freeu_config.as_ref().and_then(|f| FreeU::new(f.b1, f.b2, f.s1, f.s2)),
            hidiffusion: hidiffusion.as_ref(),
            sequential: cx.workbench().options.sequential,
        },
        plan: Plan {
            scheduler: sampler(&inputs.scheduler),
            config: &config,
            steps: steps(inputs.steps)?,
            start: inputs.part.0,
            end: inputs.part.1,
        },
        order: Order {
            latents,
            noise,
            seed,
            positive,
            negative,
            guidance: guidance(inputs.cfg_scale.clone(), inputs.cfg_rescale),
            mask,
            adapters,
        },
        shape,
        bytes,
    };
    let watcher = Follower::new(cx, Some(load::latent_rgb(cx, &inputs.unet.unet)));
    if count != 1 {
        return rows::denoise(cx, &task, count, (&controls, &images), &watcher);
    }
    if controls.is_empty() && images.is_empty() && hidiffusion.is_none() {
        return finish(cx, together::denoise(cx, &task, &watcher)?);
    }
    if let Some(seat) = cx.seat() {
        seat.stay_away();
    }
    let job = Job {
        controls,
        images,
        ..task.order.job(&watcher)
    };
    let outcome = sampling::denoise(&task.denoiser, &task.plan, std::slice::from_ref(&job))?.pop();
    finish(cx, outcome)
}

/// Bytes that a denoiser takes for latents of `h` by `w` besides its weights: the negative and the positive half, each with its skips and what a layer
/// works on, at the width of the largest picture.
pub(super) fn unet_bytes(unet: &UNet, h: usize, w: usize) -> u64 {
    let values = 2 * 16 * unet.config().first_channels() as u64;
    (h as u64).saturating_mul(w as u64).saturating_mul(4 * values)
}

/// Keeps what a run made.
pub(in crate::nodes) fn finish(cx: &dyn NodeCx, outcome: Option<Outcome>) -> Result<LatentsOutput, NodeError> {
    match outcome {
        Some(Outcome::Done(latents)) => codec::latents_output(cx, latents.to_device(&Device::Cpu)?, None),
        Some(Outcome::Cancelled) => Err(NodeError::Canceled),
        None => Err(NodeError::runtime("the denoising loop gave nothing back")),
    }
}
