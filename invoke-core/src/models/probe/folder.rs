//! Models in folders, by the configs that diffusers and transformers put there.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Header, ProbeError, adapter, class, flux, main_settings};

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

/// Whether a name says that its model is one of SDXL: `xl` at the end of a word.
fn names_xl(name: &str) -> bool {
    let lower = name.to_lowercase();
    lower.match_indices("xl").any(|(at, found)| {
        let next = lower[at + found.len()..].chars().next();
        next.is_none_or(|c| !(c.is_alphanumeric() || c == '_'))
    })
}

/// Files of weights in a folder, some levels deep.
fn weights(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            if depth > 0 {
                weights(&path, depth - 1, found);
            }
        } else if path.extension().is_some_and(|e| e == "safetensors" || e == "bin" || e == "pt") && found.len() < 1000 {
            found.push(path);
        }
    }
}

/// The class of the model in a folder.
pub(super) fn class_of(folder: &Path) -> Result<Map<String, Value>, ProbeError> {
    let unknown = || ProbeError::Unknown(folder.display().to_string());
    let lora = folder.join("pytorch_lora_weights.safetensors");
    if lora.is_file() {
        let header = Header::read(&lora)?;
        let base = if flux::is_lora(&header, true) {
            "flux"
        } else {
            adapter::lora_base(&header).ok_or_else(unknown)?
        };
        return Ok(class(json!({
            "type": "lora", "trigger_phrases": null, "default_settings": {"weight": null, "weight_min": null, "weight_max": null},
            "format": "diffusers", "base": base,
        })));
    }
    if folder.join("image_encoder.txt").is_file() {
        return ip_adapter(folder).ok_or_else(unknown);
    }
    let root = match config(&folder.join("model_index.json"))? {
        Some(index) => Some(index),
        None => config(&folder.join("config.json"))?,
    };
    if let Some(found) = root.as_ref().map(|root| by_config(folder, root)).transpose()?.flatten() {
        return Ok(found);
    }
    if let Some(nested) = config(&folder.join("text_encoder").join("config.json"))?
        && let Some(found) = text_encoder(folder, &nested)
    {
        return Ok(found);
    }
    let mut files = Vec::new();
    weights(folder, 3, &mut files);
    files.sort();
    if let Some(found) = t5(folder, &files)? {
        return Ok(found);
    }
    let base = files.iter().find_map(|file| adapter::embedding_base(&Header::read(file).ok()?));
    match base {
        Some(base) => Ok(class(json!({"type": "embedding", "format": "embedding_folder", "base": base}))),
        None if root.is_none() && files.is_empty() && !holds_models(folder, 2) => Err(ProbeError::NoModel {
            path: folder.display().to_string(),
            reason: "it holds neither a config nor a file of weights",
        }),
        None => Err(unknown()),
    }
}

/// Whether there is a file in a folder, some levels deep, that could be a model's.
fn holds_models(folder: &Path, depth: usize) -> bool {
    const FILES: &[&str] = &["safetensors", "ckpt", "pt", "pth", "bin", "gguf", "onnx"];
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            depth > 0 && holds_models(&path, depth - 1)
        } else {
            path.extension()
                .and_then(|e| e.to_str())
                .is_some_and(|e| FILES.contains(&&*e.to_ascii_lowercase()))
        }
    })
}

/// The name by which diffusers and transformers know what a config describes.
fn class_name(config: &Map<String, Value>) -> &str {
    config
        .get("_class_name")
        .or_else(|| config.get("architectures").and_then(|a| a.get(0)))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A text encoder by itself.
fn text_encoder(folder: &Path, config: &Map<String, Value>) -> Option<Map<String, Value>> {
    let variant = match config.get("hidden_size").and_then(Value::as_u64) {
        Some(768) => "large",
        Some(1280) => "gigantic",
        _ => return None,
    };
    let known = matches!(class_name(config), "CLIPModel" | "CLIPTextModel" | "CLIPTextModelWithProjection");
    known.then(|| {
        class(json!({
            "format": "diffusers", "repo_variant": repo_variant(folder), "base": "any", "type": "clip_embed", "cpu_only": null, "variant": variant,
        }))
    })
}

/// The class of a T5 encoder in a folder of a pipeline's layout: with an index of its weights it is plain, with a file of the name that the original's
/// conversion gives and scales in it, it has 8 bits a weight.
fn t5(folder: &Path, files: &[PathBuf]) -> Result<Option<Map<String, Value>>, ProbeError> {
    let inner = folder.join("text_encoder_2");
    let Some(found) = config(&inner.join("config.json"))? else {
        return Ok(None);
    };
    if class_name(&found) != "T5EncoderModel" {
        return Ok(None);
    }
    let format = if inner.join("model.safetensors.index.json").is_file() {
        "t5_encoder"
    } else {
        match files {
            [file] if file.to_string_lossy().contains("llm_int8") && Header::read(file)?.any_ends(&["SCB"]) => "bnb_quantized_int8b",
            _ => return Ok(None),
        }
    };
    Ok(Some(class(
        json!({"base": "any", "type": "t5_encoder", "format": format, "cpu_only": null}),
    )))
}

/// The class of a pipeline of FLUX.1, by its transformer's config.
fn flux_pipeline(folder: &Path) -> Result<Option<Map<String, Value>>, ProbeError> {
    let inner = folder.join("transformer");
    let Some(transformer) = config(&inner.join("config.json"))? else {
        return Ok(None);
    };
    // The original loads those that were quantized by SDNQ by another class.
    let quantization = config(&inner.join("quantization_config.json"))?;
    if quantization.is_some_and(|q| q.get("quant_method").and_then(Value::as_str) == Some("sdnq")) {
        return Ok(None);
    }
    let guided = transformer.get("guidance_embeds").and_then(Value::as_bool).unwrap_or(false);
    let variant = match (transformer.get("in_channels").and_then(Value::as_u64), guided) {
        (Some(384), _) => "dev_fill",
        (_, true) => "dev",
        (_, false) => "schnell",
    };
    Ok(Some(class(json!({
        "type": "main", "trigger_phrases": null, "default_settings": null, "format": "diffusers", "repo_variant": repo_variant(folder), "base": "flux",
        "variant": variant,
    }))))
}

/// The class by the config of a folder's root; `None` if it is of none that is known.
fn by_config(folder: &Path, root: &Map<String, Value>) -> Result<Option<Map<String, Value>>, ProbeError> {
    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let number = |key: &str| root.get(key).and_then(Value::as_u64);
    let control = |kind: &str, base: &str| {
        class(json!({
            "format": "diffusers", "repo_variant": repo_variant(folder), "type": kind,
            "default_settings": {"preprocessor": adapter::preprocessor(&name), "fp8_storage": null}, "base": base,
        }))
    };
    Ok(match class_name(root) {
        "StableDiffusionPipeline"
        | "StableDiffusionInpaintPipeline"
        | "StableDiffusionXLPipeline"
        | "StableDiffusionXLInpaintPipeline"
        | "StableDiffusionXLImg2ImgPipeline"
        | "LatentConsistencyModelPipeline" => main(folder)?,
        "FluxPipeline" | "FluxFillPipeline" | "FluxTransformer2DModel" => flux_pipeline(folder)?,
        "AutoencoderKL" | "AutoencoderTiny" => {
            let scaling = root.get("scaling_factor").and_then(Value::as_f64);
            let by_config = scaling == Some(0.13025) && matches!(number("sample_size"), Some(512 | 1024));
            let base = if by_config || names_xl(&name) { "sdxl" } else { "sd-1" };
            // The original never asks the files of a VAE what they say.
            Some(class(
                json!({"format": "diffusers", "repo_variant": "", "type": "vae", "cpu_only": null, "base": base}),
            ))
        }
        "ControlNetModel" => base_of_width(number("cross_attention_dim"))
            .filter(|base| *base != "sdxl-refiner")
            .map(|base| control("controlnet", base)),
        "FluxControlNetModel" => Some(control("controlnet", "flux")),
        "SiglipModel" => Some(class(json!({
            "format": "diffusers", "repo_variant": repo_variant(folder), "type": "siglip", "base": "any", "cpu_only": null,
        }))),
        "T2IAdapter" => match root.get("adapter_type").and_then(Value::as_str) {
            Some("full_adapter_xl") => Some(control("t2i_adapter", "sdxl")),
            Some("full_adapter" | "light_adapter") => Some(control("t2i_adapter", "sd-1")),
            _ => None,
        },
        "CLIPVisionModelWithProjection" => Some(clip_vision(folder)),
        "CLIPModel" if root.contains_key("vision_config") => Some(text_encoder(folder, root).unwrap_or_else(|| clip_vision(folder))),
        _ => text_encoder(folder, root),
    })
}

fn clip_vision(folder: &Path) -> Map<String, Value> {
    class(json!({"format": "diffusers", "repo_variant": repo_variant(folder), "base": "any", "type": "clip_vision", "cpu_only": null}))
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
        Some(4) => "normal",
        Some(5) if base == "sd-2" => "depth",
        Some(9) => "inpaint",
        _ => return Ok(None),
    };
    let Some(scheduler) = config(&folder.join("scheduler").join("scheduler_config.json"))? else {
        return Ok(None);
    };
    let prediction = match scheduler.get("prediction_type").map(Value::as_str) {
        None => "epsilon",
        Some(Some(known @ ("epsilon" | "v_prediction"))) => known,
        _ => return Ok(None),
    };
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
