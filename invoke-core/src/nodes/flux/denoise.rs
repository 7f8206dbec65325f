//! Denoising.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use half::bf16;
use invoke_macros::Node;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{extras, load};
use crate::{
    diffusion::{
        ModelError,
        denoise::Outcome,
        flux::{
            Conditions, DyPe, DyPePreset, Flux, FluxConditioning, FluxText, Inpaint, JoinedText, LATENT_CHANNELS, Place, Reference,
            RegionalPrompt, Sampler, Sampling, Velocity, clipped, guidance_by_step, in_half, join, noise, pack, places_of, schedule,
        },
    },
    domain::shape::choices,
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{
            ControlLoRAField, DenoiseMaskField, FluxConditioningField, FluxControlNetField, FluxFillConditioningField,
            FluxKontextConditioningField, FluxReduxConditioningField, IPAdapterField, LatentsField, OneOrMany, TransformerField, VAEField,
        },
        latents::{
            denoise::{LatentsMetaOutput, described_loras, finish, json as as_json},
            load::installed,
            watch::Follower,
        },
        outputs::LatentsOutput,
        workbench::{make_room, tensor},
    },
};

pub(super) const NODES: &[NodeEntry] = &[entry::<FluxDenoise>(), entry::<FluxDenoiseLatentsMeta>()];

choices! {
    /// How steps are made.
    enum FluxScheduler { Euler = "euler", Heun = "heun", Lcm = "lcm" }
}

choices! {
    /// When and how places are stretched for pictures beyond the trained size.
    enum FluxDyPe { Off = "off", Manual = "manual", Auto = "auto", Area = "area", FourK = "4k" }
}

/// Declares a node with the inputs of a denoiser. Both of them have the same, and derives know no inheritance.
macro_rules! denoiser {
    ($(#[$attr:meta])* $name:ident) => {
        $(#[$attr])*
        struct $name {
            #[field(input = connection)]
            latents: Option<LatentsField>,
            #[field(input = connection)]
            noise: Option<LatentsField>,
            #[field(input = connection)]
            denoise_mask: Option<DenoiseMaskField>,
            #[field(default = 0.0, ge = 0, le = 1)]
            denoising_start: f64,
            #[field(default = 1.0, ge = 0, le = 1)]
            denoising_end: f64,
            #[field(default = true)]
            add_noise: bool,
            #[field(input = connection, title = "Transformer")]
            transformer: TransformerField,
            #[field(input = connection, title = "Control LoRA")]
            control_lora: Option<ControlLoRAField>,
            #[field(input = connection)]
            positive_text_conditioning: OneOrMany<FluxConditioningField>,
            #[field(input = connection)]
            negative_text_conditioning: Option<OneOrMany<FluxConditioningField>>,
            #[field(input = connection)]
            redux_conditioning: Option<OneOrMany<FluxReduxConditioningField>>,
            #[field(input = connection)]
            fill_conditioning: Option<FluxFillConditioningField>,
            #[field(default = 1.0, title = "CFG Scale")]
            cfg_scale: OneOrMany<f64>,
            #[field(default = 0, title = "CFG Scale Start Step")]
            cfg_scale_start_step: i64,
            #[field(default = -1, title = "CFG Scale End Step")]
            cfg_scale_end_step: i64,
            #[field(default = 1024, multiple_of = 16)]
            width: i64,
            #[field(default = 1024, multiple_of = 16)]
            height: i64,
            #[field(default = 4)]
            num_steps: i64,
            #[field(default = "euler", choices("euler" = "Euler", "heun" = "Heun (2nd order)", "lcm" = "LCM"))]
            scheduler: FluxScheduler,
            #[field(default = 4.0)]
            guidance: f64,
            #[field(default = 0)]
            seed: i64,
            #[field(input = connection)]
            control: Option<OneOrMany<FluxControlNetField>>,
            #[field(input = connection)]
            controlnet_vae: Option<VAEField>,
            #[field(input = connection, title = "IP-Adapter")]
            ip_adapter: Option<OneOrMany<IPAdapterField>>,
            #[field(input = connection)]
            kontext_conditioning: Option<OneOrMany<FluxKontextConditioningField>>,
            #[field(default = "off", order = 100, choices("off" = "Off", "manual" = "Manual", "auto" = "Auto (>1536px)", "area" = "Area (auto)", "4k" = "4K Optimized"))]
            dype_preset: FluxDyPe,
            #[field(ge = 0, le = 8, order = 101)]
            dype_scale: Option<f64>,
            #[field(ge = 0, le = 1000, order = 102)]
            dype_exponent: Option<f64>,
        }

        impl From<$name> for Inputs {
            fn from(node: $name) -> Self {
                let absent = [
                    ("control_lora", node.control_lora.is_some()),
                    ("redux_conditioning", !many(node.redux_conditioning).is_empty()),
                    ("control", !many(node.control).is_empty()),
                    ("ip_adapter", !many(node.ip_adapter).is_empty()),
                ];
                Self {
                    unsupported: absent.into_iter().find_map(|(field, given)| given.then_some(field)),
                    latents: node.latents,
                    noise: node.noise,
                    mask: node.denoise_mask,
                    part: (node.denoising_start, node.denoising_end),
                    add_noise: node.add_noise,
                    transformer: node.transformer,
                    positive: node.positive_text_conditioning.into_vec(),
                    negative: node.negative_text_conditioning.map(OneOrMany::into_vec),
                    fill: node.fill_conditioning,
                    cfg_scale: node.cfg_scale,
                    cfg_part: (node.cfg_scale_start_step, node.cfg_scale_end_step),
                    size: (node.width, node.height),
                    steps: node.num_steps,
                    scheduler: node.scheduler,
                    guidance: node.guidance,
                    seed: node.seed,
                    vae: node.controlnet_vae,
                    references: many(node.kontext_conditioning),
                    dype: (node.dype_preset, node.dype_scale, node.dype_exponent),
                }
            }
        }
    };
}

fn many<T>(field: Option<OneOrMany<T>>) -> Vec<T> {
    field.map(OneOrMany::into_vec).unwrap_or_default()
}

denoiser! {
    /// Denoises latents.
    #[derive(Debug, Deserialize, Node)]
    #[node(id = "flux_denoise", title = "FLUX Denoise", version = "4.6.0", category = "latents", tags("image", "flux"), output = LatentsOutput)]
    FluxDenoise
}

denoiser! {
    /// Denoises latents and says with what.
    #[derive(Debug, Deserialize, Node)]
    #[node(id = "flux_denoise_meta", title = "FLUX Denoise + Metadata", version = "1.0.1", category = "metadata", tags("flux", "latents", "denoise", "txt2img", "t2i", "t2l", "img2img", "i2i", "l2l"), output = LatentsMetaOutput, metadata)]
    FluxDenoiseLatentsMeta
}

/// What a denoiser is given.
#[derive(Debug)]
struct Inputs {
    /// The first input given of those that nothing here takes.
    unsupported: Option<&'static str>,
    latents: Option<LatentsField>,
    noise: Option<LatentsField>,
    mask: Option<DenoiseMaskField>,
    /// Start and end.
    part: (f64, f64),
    add_noise: bool,
    transformer: TransformerField,
    positive: Vec<FluxConditioningField>,
    negative: Option<Vec<FluxConditioningField>>,
    fill: Option<FluxFillConditioningField>,
    cfg_scale: OneOrMany<f64>,
    cfg_part: (i64, i64),
    /// Width and height.
    size: (i64, i64),
    steps: i64,
    scheduler: FluxScheduler,
    guidance: f64,
    seed: i64,
    vae: Option<VAEField>,
    references: Vec<FluxKontextConditioningField>,
    dype: (FluxDyPe, Option<f64>, Option<f64>),
}

impl Invoke for FluxDenoise {
    fn invoke(self, cx: &dyn NodeCx) -> Result<LatentsOutput, NodeError> {
        run(cx, &Inputs::from(self))
    }
}

impl Invoke for FluxDenoiseLatentsMeta {
    fn invoke(self, cx: &dyn NodeCx) -> Result<LatentsMetaOutput, NodeError> {
        let inputs = Inputs::from(self);
        let output = run(cx, &inputs)?;
        let described = described(&inputs, output.width, output.height)?;
        Ok(LatentsMetaOutput::of(cx, output, described))
    }
}

/// The settings of a run as pictures' metadata name them.
fn described(inputs: &Inputs, width: i64, height: i64) -> Result<Map<String, Value>, NodeError> {
    let given = inputs.noise.as_ref().and_then(|noise| noise.seed);
    let seed = given
        .filter(|_| inputs.latents.is_none() || inputs.add_noise)
        .unwrap_or(inputs.seed);
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("width", width.into());
    put("height", height.into());
    put("steps", inputs.steps.into());
    put("guidance", inputs.guidance.into());
    put("denoising_start", inputs.part.0.into());
    put("denoising_end", inputs.part.1.into());
    put("model", as_json(&inputs.transformer.transformer)?);
    put("seed", seed.into());
    put("cfg_scale", as_json(&inputs.cfg_scale)?);
    put("cfg_scale_start_step", inputs.cfg_part.0.into());
    put("cfg_scale_end_step", inputs.cfg_part.1.into());
    if !inputs.transformer.loras.is_empty() {
        put("loras", described_loras(&inputs.transformer.loras)?);
    }
    Ok(out)
}

/// What a run begins with.
struct Start {
    latents: Option<Tensor>,
    noise: Option<Tensor>,
    /// Sides of the latents, height and width.
    size: (usize, usize),
}

/// Width and height as numbers of pixels.
fn pixels(size: (i64, i64)) -> Result<(usize, usize), NodeError> {
    const MOST: i64 = 1 << 15;
    let side = |name: &str, side: i64| {
        let fits = (16..=MOST).contains(&side) && side % 16 == 0;
        let error = || NodeError::value(format!("{name} is {side}, expected a multiple of 16 up to {MOST}"));
        usize::try_from(side).ok().filter(|_| fits).ok_or_else(error)
    };
    Ok((side("width", size.0)?, side("height", size.1)?))
}

/// Latents and noise, rounded as the original rounds them.
fn start(cx: &dyn NodeCx, inputs: &Inputs) -> Result<Start, NodeError> {
    let kept = |field: &LatentsField, name: &str| -> Result<Tensor, NodeError> {
        let found = in_half(&tensor(cx, &field.latents_name)?)?;
        match *found.dims() {
            [1, LATENT_CHANNELS, h, w] if h > 0 && w > 0 && h % 2 == 0 && w % 2 == 0 => Ok(found),
            _ => Err(NodeError::value(format!(
                "{name}: its shape is {:?}, expected one picture of {LATENT_CHANNELS} channels with even sides",
                found.dims()
            ))),
        }
    };
    let latents = inputs.latents.as_ref().map(|field| kept(field, "latents")).transpose()?;
    let (width, height) = pixels(inputs.size)?;
    let is_needed = latents.is_none() || inputs.add_noise || inputs.mask.is_some();
    let noise = match &inputs.noise {
        _ if !is_needed => None,
        Some(field) => {
            let noise = kept(field, "noise")?;
            let expected = [1, LATENT_CHANNELS, height / 8, width / 8];
            if noise.dims() != expected {
                return Err(NodeError::value(format!(
                    "Expected noise with shape {expected:?}, got {:?}",
                    noise.dims()
                )));
            }
            Some(noise)
        }
        None => {
            make_room(cx, (width * height) as u64 * 3, &format!("noise for {width}×{height} pixels"))?;
            Some(noise(inputs.seed as u64, width, height)?)
        }
    };
    let Some(first) = latents.as_ref().or(noise.as_ref()) else {
        return Err(NodeError::runtime("neither latents nor noise are there"));
    };
    let (_, _, h, w) = first.dims4()?;
    if let Some(noise) = noise.as_ref().filter(|noise| noise.dims() != first.dims()) {
        return Err(NodeError::value(format!(
            "latents are {w}×{h}, width and height ask for {}×{}",
            noise.dims()[3],
            noise.dims()[2]
        )));
    }
    Ok(Start {
        latents,
        noise,
        size: (h, w),
    })
}

/// Encoded prompts, rounded as the original rounds them, and where they hold, for a picture of so many rows and columns of tokens.
fn prompts(cx: &dyn NodeCx, input: &str, fields: &[FluxConditioningField], grid: (usize, usize)) -> Result<JoinedText, NodeError> {
    let kept = |field: &FluxConditioningField| {
        let name = &field.conditioning_name;
        let kept = cx.workbench().store.get::<FluxConditioning>(cx.owner(), name);
        kept.ok_or_else(|| NodeError::new("FileNotFoundError", format!("there is no conditioning named {name}")))
    };
    let kept = fields.iter().map(kept).collect::<Result<Vec<_>, _>>()?;
    let shapes = kept.iter().map(|kept| kept.tokens.dims3()).collect::<Result<Vec<_>, _>>()?;
    if shapes.iter().any(|(_, _, width)| *width != shapes[0].2) {
        return Err(NodeError::value(format!(
            "{input}: its prompts are from text encoders of different widths"
        )));
    }
    // Copies, and for regions who sees whom: before any of it is made.
    let copies: u64 = shapes.iter().map(|(_, words, width)| 12 * (words * width) as u64).sum();
    let all = (shapes.iter().map(|(_, words, _)| words).sum::<usize>() + grid.0 * grid.1) as u64;
    let seen = if is_regional(fields) {
        all.saturating_mul(all).saturating_mul(4)
    } else {
        0
    };
    make_room(cx, copies.saturating_add(seen), &format!("{input}: what is made of its prompts"))?;
    let one = |(field, kept): (&FluxConditioningField, Arc<FluxConditioning>)| {
        let mask = field.mask.as_ref().map(|mask| tensor(cx, &mask.tensor_name)).transpose()?;
        Ok(RegionalPrompt {
            conditioning: FluxConditioning {
                tokens: in_half(&kept.tokens)?,
                pooled: in_half(&kept.pooled)?,
            },
            mask,
        })
    };
    let prompts = fields.iter().zip(kept).map(one).collect::<Result<Vec<_>, NodeError>>()?;
    Ok(join(&prompts, grid)?)
}

/// Whether a prompt holds for a part of the picture alone.
fn is_regional(fields: &[FluxConditioningField]) -> bool {
    fields.iter().any(|field| field.mask.is_some())
}

/// The transformer with all that stays the same over the steps of a run.
struct Model<'a> {
    cx: &'a (dyn NodeCx + 'a),
    flux: &'a Flux,
    positive: FluxText,
    negative: Option<FluxText>,
    places: Vec<Place>,
    /// Channels beside the latents'.
    beside: Option<Tensor>,
    /// Tokens behind the latents'.
    behind: Option<Tensor>,
    guidance: f32,
    by_step: Vec<f64>,
    dype: Option<DyPe>,
}

/// A number times a thousand, rounded as the original rounds it on the way to the model: to bfloat16 before and after.
fn in_thousands(number: f64) -> f32 {
    bf16::from_f32(bf16::from_f64(number).to_f32() * 1000.0).to_f32()
}

impl Model<'_> {
    fn slope(&self, tokens: &Tensor, at: Velocity) -> Result<Tensor, ModelError> {
        let mut seen = tokens.clone();
        if let Some(beside) = &self.beside {
            seen = Tensor::cat(&[&seen, beside], 2)?;
        }
        if let Some(behind) = &self.behind {
            seen = Tensor::cat(&[&seen, behind], 1)?;
        }
        let conditions = Conditions {
            time: in_thousands(at.level),
            guidance: self.guidance,
            dype: self.dype.as_ref().map(|dype| (dype, at.level)),
            between: &|| self.cx.check_canceled().map_err(|_| ModelError::Stopped),
        };
        let predicted = |text: &FluxText| -> Result<Tensor, ModelError> {
            let all = self.flux.forward(&seen, &self.places, text, &conditions)?;
            Ok(all.narrow(1, 0, tokens.dim(1)?)?)
        };
        let positive = predicted(&self.positive)?;
        let scale = self.by_step.get(at.step).copied().unwrap_or(1.0);
        match &self.negative {
            Some(negative) if is_guided(scale) => {
                let negative = predicted(negative)?;
                Ok((&negative + ((positive - &negative)? * scale)?)?)
            }
            _ => Ok(positive),
        }
    }
}

/// Whether a scale is other than 1.
fn is_guided(scale: f64) -> bool {
    (scale - 1.0).abs() > 1e-9 * scale.abs().max(1.0)
}

fn run(cx: &dyn NodeCx, inputs: &Inputs) -> Result<LatentsOutput, NodeError> {
    if let Some(field) = inputs.unsupported {
        return Err(NodeError::value(format!(
            "{field}: this server has none of these for FLUX; leave it unconnected"
        )));
    }
    if let Some(seat) = cx.seat() {
        seat.stay_away();
    }
    const MOST_STEPS: i64 = 10_000;
    let steps = usize::try_from(inputs.steps)
        .ok()
        .filter(|_| (1..=MOST_STEPS).contains(&inputs.steps));
    let steps = steps.ok_or_else(|| NodeError::value(format!("num_steps is {}, expected 1 to {MOST_STEPS}", inputs.steps)))?;
    let start = start(cx, inputs)?;
    let (h, w) = start.size;
    let grid = (h / 2, w / 2);
    let record = installed(cx, &inputs.transformer.transformer)?.record;
    let variant = record["variant"].as_str().unwrap_or_default();
    let levels = clipped(
        &schedule(steps, grid.0 * grid.1, variant != "schnell"),
        inputs.part.0,
        inputs.part.1,
    )?;
    let begin = match (&start.latents, &start.noise) {
        (Some(latents), Some(noise)) if inputs.add_noise => ((noise * levels[0])? + (latents * (1.0 - levels[0]))?)?,
        (Some(latents), _) => latents.clone(),
        (None, _) if inputs.part.0 > 1e-5 => {
            return Err(NodeError::value(
                "denoising_start should be 0 when initial latents are not provided.",
            ));
        }
        (None, Some(noise)) => noise.clone(),
        (None, None) => return Err(NodeError::runtime("neither latents nor noise are there")),
    };
    if levels.len() <= 1 {
        return finish(cx, Some(Outcome::Done(begin)));
    }
    let scales = match &inputs.cfg_scale {
        OneOrMany::One(scale) => vec![*scale; levels.len() - 1],
        OneOrMany::Many(scales) => scales.clone(),
    };
    let by_step = guidance_by_step(&scales, levels.len() - 1, inputs.cfg_part)?;
    if by_step.iter().any(|scale| is_guided(*scale)) && inputs.negative.is_none() {
        return Err(NodeError::value(
            "Negative text conditioning is required when cfg_scale is not 1.0.",
        ));
    }
    let fills = variant == "dev_fill";
    let negative = inputs.negative.as_ref().filter(|_| by_step.iter().any(|scale| is_guided(*scale)));
    if !inputs.references.is_empty() && (fills || is_regional(&inputs.positive) || negative.is_some_and(|fields| is_regional(fields))) {
        return Err(NodeError::value(
            "kontext_conditioning: pictures to refer to go neither with prompts for parts of the picture nor with a model made to fill",
        ));
    }
    let inpaint = inpaint(cx, inputs, &start)?;
    let positive = prompts(cx, "positive_text_conditioning", &inputs.positive, grid)?;
    let negative = negative
        .map(|fields| prompts(cx, "negative_text_conditioning", fields, grid))
        .transpose()?;
    // Pictures are encoded before the transformer takes the room.
    let beside = match (fills, &inputs.fill) {
        (true, fill) => Some(extras::fill(cx, fill.as_ref(), inputs.vae.as_ref(), (w * 8, h * 8))?),
        (false, Some(_)) => {
            return Err(NodeError::value(
                "fill_conditioning was provided, but the model is not a FLUX Fill model.",
            ));
        }
        (false, None) => None,
    };
    let references = extras::references(cx, &inputs.references, inputs.vae.as_ref())?;
    let colours = load::latent_rgb(cx, &inputs.transformer.transformer, inputs.vae.as_ref());
    let flux = load::transformer(cx, &inputs.transformer)?;
    let device = flux.device();
    let placed = |t: &Tensor| t.to_device(device);
    let mut places = places_of(0, grid, (0, 0));
    if let Some(Reference { places: more, .. }) = &references {
        places.extend(more);
    }
    let texts = [Some(&positive), negative.as_ref()].into_iter().flatten();
    let words = texts.clone().map(|text| text.tokens.dim(1)).collect::<Result<Vec<_>, _>>()?;
    let tokens = places.len() + words.into_iter().max().unwrap_or(0);
    let mut bytes = flux.config().working_bytes(tokens, flux.width());
    if !device.is_cpu() {
        // Copies of the masks, single floats of norms, and the scores of some queries at a time.
        let masks: usize = texts.filter_map(|text| text.mask.as_ref()).map(Tensor::elem_count).sum();
        bytes += 4 * (masks + 4 * tokens * flux.config().hidden) as u64 + (1 << 30);
    }
    make_room(cx, bytes, &format!("denoising {}×{} pixels", w * 8, h * 8))?;
    let model = Model {
        cx,
        positive: flux.prepare(&positive)?,
        negative: negative.as_ref().map(|text| flux.prepare(text)).transpose()?,
        flux: &flux,
        places,
        beside: beside.as_ref().map(placed).transpose()?,
        behind: references.as_ref().map(|reference| placed(&reference.tokens)).transpose()?,
        guidance: in_thousands(inputs.guidance),
        by_step,
        dype: dype(inputs)?,
    };
    let follower = Follower::new(cx, colours);
    let inpaint = inpaint.map(|inpaint| inpaint.to_device(device)).transpose()?;
    let sampling = Sampling {
        sampler: match inputs.scheduler {
            FluxScheduler::Euler => Sampler::Euler,
            FluxScheduler::Heun => Sampler::Heun,
            FluxScheduler::Lcm => Sampler::Lcm,
        },
        levels: &levels,
        inpaint: inpaint.as_ref(),
        seed: inputs.seed as u64,
        size: start.size,
        watcher: &follower,
    };
    let outcome = sampling.run(&placed(&pack(&in_half(&begin)?)?)?, |tokens, at| model.slope(tokens, at))?;
    let outcome = match outcome {
        Outcome::Done(latents) => Outcome::Done(latents.to_dtype(DType::F32)?.to_device(&Device::Cpu)?),
        Outcome::Cancelled => Outcome::Cancelled,
    };
    finish(cx, Some(outcome))
}

/// What stays, where a mask says so.
fn inpaint(cx: &dyn NodeCx, inputs: &Inputs, start: &Start) -> Result<Option<Inpaint>, NodeError> {
    let Some(field) = &inputs.mask else { return Ok(None) };
    let (Some(latents), Some(noise)) = (&start.latents, &start.noise) else {
        return Err(NodeError::value("denoise_mask: latents are needed for what stays of them"));
    };
    let mask = tensor(cx, &field.mask_name)?;
    let dims = mask.dims().to_vec();
    let [.., h, w] = dims[..] else {
        return Err(NodeError::value(format!("denoise_mask: its shape is {dims:?}, expected a picture")));
    };
    if mask.elem_count() != h * w || h * w == 0 {
        return Err(NodeError::value(format!(
            "denoise_mask: its shape is {dims:?}, expected one picture"
        )));
    }
    make_room(
        cx,
        8 * 64 * (start.size.0 * start.size.1) as u64,
        "the mask of what is painted anew",
    )?;
    Ok(Some(Inpaint::new(&mask.reshape((1, 1, h, w))?, latents, noise)?))
}

fn dype(inputs: &Inputs) -> Result<Option<DyPe>, NodeError> {
    let (preset, scale, exponent) = inputs.dype;
    let preset = match preset {
        FluxDyPe::Off => DyPePreset::Off,
        FluxDyPe::Manual => DyPePreset::Manual,
        FluxDyPe::Auto => DyPePreset::Auto,
        FluxDyPe::Area => DyPePreset::Area,
        FluxDyPe::FourK => DyPePreset::FourK,
    };
    Ok(DyPe::of(preset, pixels(inputs.size)?, scale, exponent))
}
