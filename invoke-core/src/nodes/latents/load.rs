//! From identifiers of models to models in memory.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::DType;
use serde_json::Value;

use super::borrow::holder;
use crate::{
    diffusion::{
        Base, Opened,
        control::{ClipVisionModel, ControlNet, IpAdapter, T2iAdapter},
        has_text_encoder, has_vae,
        lora::{Lora, Part, patch},
        open_control_net, open_scheduler, open_text_encoder, open_tokenizer, open_unet, open_vae,
        preview::LatentRgb,
        schedulers::SchedulerConfig,
        text::{ClipTextModel, Inversion, Tokenizer},
        unet::UNet,
        vae::Vae,
        weights::{Source, TextPart, Weights, open_weights},
    },
    models::{Footprint, PartKey},
    nodes::{
        ModelOnDisk, NodeCx, NodeError,
        fields::{CLIPField, LoRAField, ModelIdentifierField, UNetField, VAEField},
        workbench::{Workbench, make_room_for_weights},
    },
};

/// A text encoder with its tokenizer.
pub(in crate::nodes) struct TextEncoder {
    pub(in crate::nodes) tokenizer: Tokenizer,
    pub(in crate::nodes) model: ClipTextModel,
}

/// An installed model; an error if there is none of this key.
pub(in crate::nodes) fn installed(cx: &dyn NodeCx, model: &ModelIdentifierField) -> Result<ModelOnDisk, NodeError> {
    cx.model(&model.key)?
        .ok_or_else(|| NodeError::new("UnknownModelException", format!("Unknown model: {}", model.key)))
}

/// Where a part of a model lies: its folder below a model in diffusers' layout; else the model's own folder or file.
pub(in crate::nodes) fn place_of(found: &ModelOnDisk, part: &str) -> PathBuf {
    let own = found.path.join(part);
    if own.is_dir() { own } else { found.path.clone() }
}

fn key_of(model: &ModelIdentifierField, part: &'static str, variant: String) -> PartKey {
    PartKey {
        model: model.key.clone(),
        part,
        variant,
    }
}

/// The part of this key from memory, or opened and loaded. `open` reads no more than headers; `build` makes the part, with so many bytes on the device at
/// most, and says what it takes.
pub(in crate::nodes) fn cached<T: Send + Sync + 'static, O>(
    cx: &dyn NodeCx,
    (model, part, variant): (&ModelIdentifierField, &'static str, String),
    bytes: impl Fn(&O) -> u64,
    open: impl Fn() -> Result<O, NodeError>,
    build: impl FnOnce(O, u64) -> Result<(T, Footprint), NodeError>,
) -> Result<Arc<T>, NodeError> {
    let bench = cx.workbench();
    let key = key_of(model, part, variant);
    let prepare = || -> Result<(O, u64, Footprint), NodeError> {
        let opened = open()?;
        let expected = bytes(&opened);
        let room = make_room_for_weights(cx, expected, &format!("the {part} of {}", model.name))?;
        Ok((opened, room, bench.footprint(expected, expected.saturating_sub(room))))
    };
    if bench.cache.has(&key) {
        // Unless it was dropped this very moment.
        return bench.cache.get_or_load(key, Footprint::default(), || {
            let (opened, room, _) = prepare()?;
            announced(cx, model, part, || build(opened, room))
        });
    }
    let (opened, room, expected) = prepare()?;
    let load = || announced(cx, model, part, || build(opened, room));
    bench.cache.get_or_load(key, expected, load)
}

/// What was read through a view takes.
pub(in crate::nodes) fn took(bench: &Workbench, weights: &Weights) -> Footprint {
    bench.footprint(weights.bytes_loaded(), weights.bytes_resting())
}

/// Bytes that opened weights will take in a data type.
pub(in crate::nodes) fn weight_of<C>(dtype: DType) -> impl Fn(&Opened<C>) -> u64 {
    move |(_, source)| Weights::new(source.clone(), dtype, &candle_core::Device::Cpu).bytes()
}

/// Bytes of the files of a model: what its weights may take, roughly.
fn expected_bytes(path: &Path) -> u64 {
    crate::models::size_of(path).unwrap_or(0)
}

pub(in crate::nodes) fn variant_of(dtype: DType, loras: &[LoRAField]) -> String {
    let mut text = format!("{dtype:?}");
    for lora in loras {
        text.push_str(&format!("+{}@{}", lora.lora.key, lora.weight));
    }
    text
}

/// Tells about the loading around it.
fn announced<T>(
    cx: &dyn NodeCx,
    model: &ModelIdentifierField,
    part: &str,
    load: impl FnOnce() -> Result<T, NodeError>,
) -> Result<T, NodeError> {
    cx.check_canceled()?;
    cx.model_loading(&model.key, Some(part), false);
    cx.progress(&format!("Loading model {} ({part})", model.name), None, None);
    let loaded = load()?;
    cx.model_loading(&model.key, Some(part), true);
    Ok(loaded)
}

/// Puts LoRAs on top of a model's own weights.
pub(in crate::nodes) fn patched(
    cx: &dyn NodeCx,
    source: Arc<dyn Source>,
    loras: &[LoRAField],
    part: Part,
) -> Result<Arc<dyn Source>, NodeError> {
    let mut patches = Vec::new();
    for lora in loras {
        let found = installed(cx, &lora.lora)?;
        let key = PartKey {
            model: lora.lora.key.clone(),
            part: "lora",
            variant: String::new(),
        };
        // LoRAs are added where weights are read: in main memory.
        let expected = Footprint::of_main(expected_bytes(&found.path));
        let loaded = cx.workbench().cache.get_or_load(key, expected, || {
            announced(cx, &lora.lora, "lora", || {
                let lora = Lora::read(&*open_weights(&found.path)?)?;
                let size = Footprint::of_main(lora.bytes());
                Ok((lora, size))
            })
        })?;
        patches.push((loaded, lora.weight));
    }
    Ok(if patches.is_empty() {
        source
    } else {
        patch(source, part, &patches)
    })
}

/// The denoiser, with its LoRAs.
pub(super) fn unet(cx: &dyn NodeCx, field: &UNetField) -> Result<Arc<UNet>, NodeError> {
    let bench = cx.workbench();
    let dtype = bench.denoiser_dtype();
    let place = place_of(&installed(cx, &field.unet)?, "unet");
    cached(
        cx,
        (&field.unet, "unet", variant_of(dtype, &field.loras)),
        weight_of(dtype),
        || Ok(open_unet(&place)?),
        |(config, source), room| {
            let source = patched(cx, source, &field.loras, Part::UNet)?;
            let weights = Weights::new(source, dtype, &bench.device).within(room);
            Ok((UNet::load(config, &weights)?, took(bench, &weights)))
        },
    )
}

/// A text encoder, with its LoRAs. Small, and its rounding shows: it computes in full precision on every device.
pub(in crate::nodes) fn text_encoder(cx: &dyn NodeCx, field: &CLIPField) -> Result<Arc<TextEncoder>, NodeError> {
    let bench = cx.workbench();
    let is_second = field.text_encoder.submodel_type.as_deref() == Some("text_encoder_2");
    let (part, tokens, patched_part, text_part) = if is_second {
        ("text_encoder_2", "tokenizer_2", Part::SecondText, TextPart::Second)
    } else {
        ("text_encoder", "tokenizer", Part::Text, TextPart::First)
    };
    let variant = variant_of(DType::F32, &field.loras);
    let is_loaded = bench.cache.has(&key_of(&field.text_encoder, part, variant.clone()));
    let (model, found) = holder(cx, &field.text_encoder, part, is_loaded, |path| has_text_encoder(path, text_part))?;
    let place = place_of(&found, part);
    cached(
        cx,
        (&model, part, variant),
        weight_of(DType::F32),
        || Ok(open_text_encoder(&place, text_part)?),
        |(config, source), room| {
            let tokenizer = open_tokenizer(&place_of(&found, tokens), text_part)?;
            let source = patched(cx, source, &field.loras, patched_part)?;
            let weights = Weights::new(source, DType::F32, &bench.device).within(room);
            let model = ClipTextModel::load(config, &weights)?;
            Ok((TextEncoder { tokenizer, model }, took(bench, &weights)))
        },
    )
}

/// The picture encoder and decoder. It computes in full precision: half of it overflows for SDXL's.
pub(super) fn vae(cx: &dyn NodeCx, field: &VAEField) -> Result<Arc<Vae>, NodeError> {
    let bench = cx.workbench();
    let variant = variant_of(DType::F32, &[]);
    let is_loaded = bench.cache.has(&key_of(&field.vae, "vae", variant.clone()));
    let (model, found) = holder(cx, &field.vae, "vae", is_loaded, has_vae)?;
    let place = place_of(&found, "vae");
    let base = found.record["base"].as_str().and_then(Base::of_name);
    cached(
        cx,
        (&model, "vae", variant),
        weight_of(DType::F32),
        || Ok(open_vae(&place, base)?),
        |(config, source), room| {
            let weights = Weights::new(source, DType::F32, &bench.device).within(room);
            Ok((Vae::load(config, &weights)?, took(bench, &weights)))
        },
    )
}

/// A ControlNet.
pub(super) fn control_net(cx: &dyn NodeCx, model: &ModelIdentifierField) -> Result<Arc<ControlNet>, NodeError> {
    let bench = cx.workbench();
    let dtype = bench.denoiser_dtype();
    let place = place_of(&installed(cx, model)?, "controlnet");
    cached(
        cx,
        (model, "controlnet", variant_of(dtype, &[])),
        weight_of(dtype),
        || Ok(open_control_net(&place)?),
        |(config, source), room| {
            let weights = Weights::new(source, dtype, &bench.device).within(room);
            Ok((ControlNet::load(config, &weights)?, took(bench, &weights)))
        },
    )
}

/// A T2I-Adapter.
pub(super) fn t2i_adapter(cx: &dyn NodeCx, model: &ModelIdentifierField) -> Result<Arc<T2iAdapter>, NodeError> {
    let bench = cx.workbench();
    let dtype = bench.dtype();
    let place = folder_of(cx, model, "T2I-Adapter")?;
    cached(
        cx,
        (model, "t2i_adapter", variant_of(dtype, &[])),
        |()| expected_bytes(&place),
        || Ok(()),
        |(), room| {
            let weights = Weights::new(open_weights(&place)?, dtype, &bench.device).within(room);
            Ok((T2iAdapter::open(&place, &weights)?, took(bench, &weights)))
        },
    )
}

/// An IP-Adapter: a file of safetensors, or a folder with one.
pub(super) fn ip_adapter(cx: &dyn NodeCx, model: &ModelIdentifierField) -> Result<Arc<IpAdapter>, NodeError> {
    let bench = cx.workbench();
    let dtype = bench.dtype();
    let place = place_of(&installed(cx, model)?, "ip_adapter");
    cached(
        cx,
        (model, "ip_adapter", variant_of(dtype, &[])),
        |source: &Arc<dyn Source>| Weights::new(source.clone(), dtype, &bench.device).bytes(),
        || Ok(open_weights(&place)?),
        |source, room| {
            let weights = Weights::new(source, dtype, &bench.device).within(room);
            Ok((IpAdapter::load(&weights)?, took(bench, &weights)))
        },
    )
}

/// An encoder of pictures.
pub(super) fn clip_vision(cx: &dyn NodeCx, model: &ModelIdentifierField) -> Result<Arc<ClipVisionModel>, NodeError> {
    let bench = cx.workbench();
    let dtype = bench.dtype();
    let place = folder_of(cx, model, "image encoder")?;
    cached(
        cx,
        (model, "image_encoder", variant_of(dtype, &[])),
        |()| expected_bytes(&place),
        || Ok(()),
        |(), room| {
            let weights = Weights::new(open_weights(&place)?, dtype, &bench.device).within(room);
            Ok((ClipVisionModel::open(&place, &weights)?, took(bench, &weights)))
        },
    )
}

/// A textual inversion under the name a prompt has for it: a file, or a folder with a `learned_embeds.safetensors`.
pub(super) fn inversion(cx: &dyn NodeCx, model: &ModelIdentifierField, trigger: &str) -> Result<Arc<Inversion>, NodeError> {
    let mut place = installed(cx, model)?.path;
    if place.is_dir() {
        place.push("learned_embeds.safetensors");
    }
    cached(
        cx,
        (model, "embedding", trigger.to_owned()),
        // Some rows, which lie in main memory.
        |()| 0,
        || Ok(()),
        |(), _| {
            let inversion = Inversion::read(trigger, &*open_weights(&place)?)?;
            let elements = inversion.embedding.elem_count() + inversion.second.as_ref().map_or(0, candle_core::Tensor::elem_count);
            Ok((inversion, Footprint::of_main(4 * elements as u64)))
        },
    )
}

/// The folder of a model of a kind that comes in folders alone.
fn folder_of(cx: &dyn NodeCx, model: &ModelIdentifierField, kind: &str) -> Result<PathBuf, NodeError> {
    let found = installed(cx, model)?;
    let place = place_of(&found, "image_encoder");
    if place.is_file() {
        let text = format!("{}: an {kind} is a folder in diffusers' layout, this is a single file", model.name);
        return Err(NodeError::value(text));
    }
    Ok(place)
}

/// The settings of the model's scheduler, with the kind of prediction that its record states.
pub(super) fn scheduler_config(cx: &dyn NodeCx, field: &UNetField) -> Result<SchedulerConfig, NodeError> {
    let found = installed(cx, &field.unet)?;
    let mut config = open_scheduler(&found.path)?;
    if let Some(kind) = found.record["prediction_type"].as_str() {
        config.insert("prediction_type".into(), kind.into());
    }
    SchedulerConfig::from_json(&Value::Object(config).to_string()).map_err(NodeError::runtime)
}

/// The colours of a model's latents: from a file beside it, or those of its base.
pub(super) fn latent_rgb(cx: &dyn NodeCx, model: &ModelIdentifierField) -> LatentRgb {
    let own = || -> Option<LatentRgb> {
        let found = cx.model(&model.key).ok()??;
        LatentRgb::read(&found.path.join("latent_rgb.json"))
    };
    own().unwrap_or_else(|| LatentRgb::of_base(&model.base))
}
