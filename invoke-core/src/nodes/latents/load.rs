//! From identifiers of models to models in memory.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::DType;
use serde_json::Value;

use crate::{
    diffusion::{
        ModelError,
        control::ControlNet,
        lora::{Lora, Part, patch},
        schedulers::SchedulerConfig,
        text::{ClipConfig, ClipTextModel, Tokenizer},
        unet::{UNet, UNetConfig},
        vae::Vae,
        weights::{Source, Weights, open_weights},
    },
    models::PartKey,
    nodes::{
        ModelOnDisk, NodeCx, NodeError,
        fields::{CLIPField, LoRAField, ModelIdentifierField, UNetField, VAEField},
    },
};

/// A text encoder with its tokenizer.
pub(super) struct TextEncoder {
    pub(super) tokenizer: Tokenizer,
    pub(super) model: ClipTextModel,
}

/// An installed model; an error if there is none of this key.
pub(super) fn installed(cx: &dyn NodeCx, model: &ModelIdentifierField) -> Result<ModelOnDisk, NodeError> {
    cx.model(&model.key)?
        .ok_or_else(|| NodeError::new("UnknownModelException", format!("Unknown model: {}", model.key)))
}

/// The folder of a part of a model in diffusers' layout; the model's own folder if it is that part by itself.
fn folder_of(found: &ModelOnDisk, part: &str) -> Result<PathBuf, NodeError> {
    if found.path.is_file() {
        let text = format!(
            "{} is a single file; install the model as a folder in diffusers' layout",
            found.path.display()
        );
        return Err(NodeError::new("NotImplementedError", text));
    }
    let own = found.path.join(part);
    Ok(if own.is_dir() { own } else { found.path.clone() })
}

/// Bytes of the files in a folder: what its weights may take, roughly.
fn expected_bytes(folder: &Path) -> u64 {
    crate::models::size_of(folder).unwrap_or(0)
}

fn variant_of(dtype: DType, loras: &[LoRAField]) -> String {
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
fn patched(cx: &dyn NodeCx, source: Arc<dyn Source>, loras: &[LoRAField], part: Part) -> Result<Arc<dyn Source>, NodeError> {
    let mut patches = Vec::new();
    for lora in loras {
        let found = installed(cx, &lora.lora)?;
        let key = PartKey {
            model: lora.lora.key.clone(),
            part: "lora",
            variant: String::new(),
        };
        let loaded = cx.workbench().cache.get_or_load(key, expected_bytes(&found.path), || {
            announced(cx, &lora.lora, "lora", || {
                let lora = Lora::read(&*open_weights(&found.path)?)?;
                let bytes = lora.bytes();
                Ok((lora, bytes))
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
    let dtype = bench.dtype();
    let folder = folder_of(&installed(cx, &field.unet)?, "unet")?;
    let key = PartKey {
        model: field.unet.key.clone(),
        part: "unet",
        variant: variant_of(dtype, &field.loras),
    };
    bench.cache.get_or_load(key, expected_bytes(&folder), || {
        announced(cx, &field.unet, "unet", || {
            let config = UNetConfig::read(&folder.join("config.json"))?;
            let source = patched(cx, open_weights(&folder)?, &field.loras, Part::UNet)?;
            let unet = UNet::load(config, &Weights::new(source, dtype, &bench.device))?;
            let bytes = unet.bytes();
            Ok((unet, bytes))
        })
    })
}

/// A text encoder, with its LoRAs. Small, and its rounding shows: it computes in full precision on every device.
pub(super) fn text_encoder(cx: &dyn NodeCx, field: &CLIPField) -> Result<Arc<TextEncoder>, NodeError> {
    let bench = cx.workbench();
    let found = installed(cx, &field.text_encoder)?;
    let is_second = field.text_encoder.submodel_type.as_deref() == Some("text_encoder_2");
    let (part, tokens, patched_part) = match (is_second, field.text_encoder.base.starts_with("sdxl")) {
        (true, _) => ("text_encoder_2", "tokenizer_2", Part::SecondText),
        (false, _) => ("text_encoder", "tokenizer", Part::Text),
    };
    let folder = folder_of(&found, part)?;
    let key = PartKey {
        model: field.text_encoder.key.clone(),
        part,
        variant: variant_of(DType::F32, &field.loras),
    };
    bench.cache.get_or_load(key, expected_bytes(&folder), || {
        announced(cx, &field.text_encoder, part, || {
            let config = ClipConfig::read(&folder.join("config.json"))?;
            let tokenizer = Tokenizer::open(&folder_of(&found, tokens)?)?;
            let source = patched(cx, open_weights(&folder)?, &field.loras, patched_part)?;
            let model = ClipTextModel::load(config, &Weights::new(source, DType::F32, &bench.device))?;
            let bytes = model.bytes();
            Ok((TextEncoder { tokenizer, model }, bytes))
        })
    })
}

/// The picture encoder and decoder. It computes in full precision: half of it overflows for SDXL's.
pub(super) fn vae(cx: &dyn NodeCx, field: &VAEField) -> Result<Arc<Vae>, NodeError> {
    let bench = cx.workbench();
    let folder = folder_of(&installed(cx, &field.vae)?, "vae")?;
    let key = PartKey {
        model: field.vae.key.clone(),
        part: "vae",
        variant: variant_of(DType::F32, &[]),
    };
    bench.cache.get_or_load(key, expected_bytes(&folder), || {
        announced(cx, &field.vae, "vae", || {
            let vae = Vae::open(&folder, DType::F32, &bench.device)?;
            let bytes = vae.bytes();
            Ok((vae, bytes))
        })
    })
}

/// A ControlNet.
pub(super) fn control_net(cx: &dyn NodeCx, model: &ModelIdentifierField) -> Result<Arc<ControlNet>, NodeError> {
    let bench = cx.workbench();
    let dtype = bench.dtype();
    let folder = folder_of(&installed(cx, model)?, "controlnet")?;
    let key = PartKey {
        model: model.key.clone(),
        part: "controlnet",
        variant: variant_of(dtype, &[]),
    };
    bench.cache.get_or_load(key, expected_bytes(&folder), || {
        announced(cx, model, "controlnet", || {
            let net = ControlNet::open(&folder, dtype, &bench.device)?;
            let bytes = net.bytes();
            Ok((net, bytes))
        })
    })
}

/// The settings of the model's scheduler, with the kind of prediction that its record states.
pub(super) fn scheduler_config(cx: &dyn NodeCx, field: &UNetField) -> Result<SchedulerConfig, NodeError> {
    let found = installed(cx, &field.unet)?;
    let file = found.path.join("scheduler").join("scheduler_config.json");
    let shown = file.display();
    let text = std::fs::read_to_string(&file).map_err(|e| NodeError::new("FileNotFoundError", format!("{shown}: {e}")))?;
    let Ok(Value::Object(mut config)) = serde_json::from_str(&text) else {
        return Err(NodeError::from(ModelError::Input(format!("{shown} holds no JSON object"))));
    };
    if let Some(kind) = found.record["prediction_type"].as_str() {
        config.insert("prediction_type".into(), kind.into());
    }
    SchedulerConfig::from_json(&Value::Object(config).to_string()).map_err(NodeError::runtime)
}
