//! Models in folders, by the configs that diffusers and transformers put there.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Header, ProbeError, adapter, class, main_settings};

/// Largest config that is read.
const MOST_CONFIG_BYTES: u64 = 1 << 20;

fn config(path: &Path) -> Result<Option<Map<String, Value>>, ProbeError> {
    let shown = path.display().to_string();
    let Ok(about) = std::fs::metadata(path) else { return Ok(None) };
    if about.len() > MOST_CONFIG_BYTES {
        return Err(ProbeError::Broken {
            path: shown,
            reason: format!("a config of {} bytes is too large", about.len()),
        });
    }
    let bytes = std::fs::read(path).map_err(|source| ProbeError::Unreadable {
        path: shown.clone(),
        source,
    })?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(map)) => Ok(Some(map)),
        Ok(_) => Err(ProbeError::Broken {
            path: shown,
            reason: "it holds no JSON object".into(),
        }),
        Err(error) => Err(ProbeError::Broken {
            path: shown,
            reason: error.to_string(),
        }),
    }
}

fn base_of_width(width: Option<u64>) -> Option<&'static str> {
    match width {
        Some(768) => Some("sd-1"),
        Some(1024) => Some("sd-2"),
        Some(2048) => Some("sdxl"),
        Some(1280) => Some("sdxl-refiner"),
        _ => None,
    }
}

/// `fp16` if some weight file says so in its name.
fn repo_variant(folder: &Path) -> &'static str {
    fn any_fp16(folder: &Path, depth: usize) -> bool {
        let Ok(entries) = std::fs::read_dir(folder) else { return false };
        entries.flatten().any(|entry| {
            let path = entry.path();
            if path.is_dir() {
                depth > 0 && any_fp16(&path, depth - 1)
            } else {
                path.to_string_lossy().contains(".fp16.")
            }
        })
    }
    if any_fp16(folder, 1) { "fp16" } else { "" }
}

/// The class of the model in a folder.
pub(super) fn class_of(folder: &Path) -> Result<Map<String, Value>, ProbeError> {
    let unknown = || ProbeError::Unknown(folder.display().to_string());
    for lora in ["pytorch_lora_weights.safetensors"] {
        if folder.join(lora).is_file() {
            let header = Header::read(&folder.join(lora))?;
            let base = adapter::lora_base(&header).ok_or_else(unknown)?;
            return Ok(class(json!({
                "type": "lora", "trigger_phrases": null, "default_settings": {"weight": null, "weight_min": null, "weight_max": null},
                "format": "diffusers", "base": base,
            })));
        }
    }
    if folder.join("image_encoder.txt").is_file() {
        return ip_adapter(folder).ok_or_else(unknown);
    }
    let root = match config(&folder.join("model_index.json"))? {
        Some(index) => index,
        None => config(&folder.join("config.json"))?.ok_or_else(unknown)?,
    };
    let kind = root
        .get("_class_name")
        .or_else(|| root.get("architectures").and_then(|a| a.get(0)))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let number = |key: &str| root.get(key).and_then(Value::as_u64);
    match kind {
        "StableDiffusionPipeline"
        | "StableDiffusionInpaintPipeline"
        | "StableDiffusionXLPipeline"
        | "StableDiffusionXLInpaintPipeline"
        | "StableDiffusionXLImg2ImgPipeline"
        | "LatentConsistencyModelPipeline" => main(folder)?.ok_or_else(unknown),
        "AutoencoderKL" | "AutoencoderTiny" => {
            let scaling = root.get("scaling_factor").and_then(Value::as_f64);
            let size = number("sample_size");
            let looks_xl = scaling == Some(0.13025) && matches!(size, Some(512 | 1024)) || name.to_lowercase().ends_with("xl");
            let base = if looks_xl { "sdxl" } else { "sd-1" };
            Ok(class(
                json!({"format": "diffusers", "repo_variant": repo_variant(folder), "type": "vae", "cpu_only": null, "base": base}),
            ))
        }
        "ControlNetModel" => {
            let base = base_of_width(number("cross_attention_dim")).ok_or_else(unknown)?;
            Ok(class(json!({
                "format": "diffusers", "repo_variant": repo_variant(folder), "type": "controlnet",
                "default_settings": {"preprocessor": adapter::preprocessor(&name), "fp8_storage": null}, "base": base,
            })))
        }
        "T2IAdapter" => {
            let base = if root.get("adapter_type").and_then(Value::as_str) == Some("full_adapter_xl") {
                "sdxl"
            } else {
                "sd-1"
            };
            Ok(class(json!({
                "format": "diffusers", "repo_variant": repo_variant(folder), "type": "t2i_adapter",
                "default_settings": {"preprocessor": adapter::preprocessor(&name), "fp8_storage": null}, "base": base,
            })))
        }
        "CLIPVisionModelWithProjection" => Ok(class(
            json!({"format": "diffusers", "repo_variant": repo_variant(folder), "base": "any", "type": "clip_vision", "cpu_only": null}),
        )),
        _ => Err(unknown()),
    }
}

fn ip_adapter(folder: &Path) -> Option<Map<String, Value>> {
    let file = ["ip_adapter.safetensors", "ip_adapter.bin"]
        .into_iter()
        .map(|f| folder.join(f))
        .find(|f| f.is_file())?;
    let header = Header::read(&file).ok()?;
    let width = header.shape("ip_adapter.1.to_k_ip.weight").and_then(|shape| shape.last().copied());
    let base = base_of_width(width.map(|w| w as u64))?;
    let encoder = std::fs::read_to_string(folder.join("image_encoder.txt")).ok()?;
    Some(class(
        json!({"type": "ip_adapter", "format": "invokeai", "image_encoder_model_id": encoder.trim(), "base": base}),
    ))
}

fn main(folder: &Path) -> Result<Option<Map<String, Value>>, ProbeError> {
    let Some(unet) = config(&folder.join("unet").join("config.json"))? else {
        return Ok(None);
    };
    let Some(base) = base_of_width(unet.get("cross_attention_dim").and_then(Value::as_u64)) else {
        return Ok(None);
    };
    let variant = match unet.get("in_channels").and_then(Value::as_u64) {
        Some(9) => "inpaint",
        Some(5) => "depth",
        _ => "normal",
    };
    let scheduler = config(&folder.join("scheduler").join("scheduler_config.json"))?;
    let prediction = scheduler
        .as_ref()
        .and_then(|s| s.get("prediction_type"))
        .and_then(Value::as_str)
        .unwrap_or("epsilon");
    let settings = match base {
        "sd-1" => main_settings(Some(512)),
        "sd-2" => main_settings(Some(768)),
        "sdxl" => main_settings(Some(1024)),
        _ => Value::Null,
    };
    Ok(Some(class(json!({
        "type": "main", "trigger_phrases": null, "default_settings": settings, "format": "diffusers", "repo_variant": repo_variant(folder),
        "prediction_type": prediction, "variant": variant, "base": base,
    }))))
}
