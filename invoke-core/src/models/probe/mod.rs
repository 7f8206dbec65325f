//! Telling what a model is from its content: the names and shapes of its tensors, the configs beside them. Names of files decide nothing but ties.

mod adapter;
mod flux;
mod folder;
mod header;
mod main_model;
#[cfg(test)]
mod recorded;

use std::path::Path;

use serde_json::{Map, Value, json};

pub(crate) use header::Header;

use super::torch_file::is_torch_file;

/// What a model was found to be.
#[derive(Debug, Clone)]
pub struct Identified {
    /// Its name: that of its file or folder, the file's without an ending that is only that of a container of tensors.
    pub name: String,
    /// A description found beside it.
    pub description: Option<String>,
    /// The fields of its class, in the order of the wire; `type`, `format` and `base` among them.
    pub class: Map<String, Value>,
}

/// Why a model was not recognised.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nothing there, or no leave to read it.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file whose format is known and whose content is broken.
    #[error("Model at {path} cannot be used: {reason}")]
    Broken {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Nothing that we know.
    #[error("Could not identify model for {0}")]
    Unknown(String),
    /// Nothing that could be a model at all.
    #[error("{path} does not look like a model: {reason}")]
    NoModel {
        /// The file or folder.
        path: String,
        /// What is missing.
        reason: &'static str,
    },
}

impl ProbeError {
    /// The class by which jobs name it.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "FileNotFoundError",
            Self::Broken { .. } | Self::Unknown(_) => "InvalidModelConfigException",
            Self::NoModel { .. } => "ValueError",
        }
    }
}

impl Identified {
    /// A model of which nothing is known but where it lies.
    pub fn unknown(path: &Path) -> Self {
        Self {
            name: name_of(path),
            description: None,
            class: class(json!({"base": "unknown", "type": "unknown", "format": "unknown"})),
        }
    }
}

/// The name that a model has at first: that of its file or folder, without an ending that says no more than that it holds tensors.
fn name_of(path: &Path) -> String {
    const LEFT_OUT: [&str; 4] = ["safetensors", "bin", "pt", "ckpt"];
    let is_left_out = path.extension().and_then(|e| e.to_str()).is_some_and(|e| LEFT_OUT.contains(&e));
    let name = if is_left_out { path.file_stem() } else { path.file_name() };
    name.map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn class(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Default settings of a main model that knows none.
fn main_settings(size: Option<u32>) -> Value {
    json!({
        "vae": null, "vae_precision": null, "scheduler": null, "steps": null, "cfg_scale": null, "cfg_rescale_multiplier": null,
        "width": size, "height": size, "guidance": null, "cpu_only": null, "fp8_storage": null,
    })
}

/// Identifies a file or folder.
pub fn identify(path: &Path) -> Result<Identified, ProbeError> {
    let shown = path.display().to_string();
    let about = std::fs::metadata(path).map_err(|source| ProbeError::Unreadable {
        path: shown.clone(),
        source,
    })?;
    if about.is_dir() {
        let class = folder::class_of(path)?;
        return Ok(Identified {
            name: name_of(path),
            description: None,
            class,
        });
    }
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "safetensors" | "gguf" => {}
        "ckpt" | "pt" | "pth" | "bin" => {
            // Other pickles are programs.
            let saved_by_torch = is_torch_file(path).map_err(|source| ProbeError::Unreadable {
                path: shown.clone(),
                source,
            })?;
            if !saved_by_torch {
                let reason =
                    "it is no file of tensors as torch saves them, and nothing else of its kind is opened: such files can carry programs";
                return Err(ProbeError::Broken {
                    path: shown,
                    reason: reason.into(),
                });
            }
        }
        "onnx" => return Err(ProbeError::Unknown(shown)),
        _ => {
            let reason = "its name ends with none of .safetensors .gguf .onnx .ckpt .pt .pth .bin";
            return Err(ProbeError::NoModel { path: shown, reason });
        }
    }
    let header = Header::read(path)?;
    let name = name_of(path);
    let found = main_model::class_of(&header)
        .or_else(|| flux::main(&header))
        .or_else(|| adapter::class_of(&header, &name))
        .ok_or(ProbeError::Unknown(shown))?;
    let (description, trigger_phrases) = beside(path);
    let mut class = found;
    if let (Some(phrases), Some(slot)) = (trigger_phrases, class.get_mut("trigger_phrases")) {
        *slot = phrases;
    }
    Ok(Identified { name, description, class })
}

/// Description and trigger phrases from a `<stem>.json` that model sites put beside a LoRA.
fn beside(path: &Path) -> (Option<String>, Option<Value>) {
    const MOST_BYTES: u64 = 1 << 20;
    let notes = path.with_extension("json");
    let small = std::fs::metadata(&notes).is_ok_and(|about| about.is_file() && about.len() <= MOST_BYTES);
    let Some(Value::Object(map)) = small
        .then(|| std::fs::read(&notes).ok())
        .flatten()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
    else {
        return (None, None);
    };
    let description = map
        .get("description")
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .map(str::to_owned);
    let phrases: Vec<&str> = map
        .get("activation text")
        .and_then(Value::as_str)
        .into_iter()
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .filter(|t| !t.is_empty())
        .collect();
    (description, (!phrases.is_empty()).then(|| json!(phrases)))
}
