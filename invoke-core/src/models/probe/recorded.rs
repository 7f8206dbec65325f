//! What the original takes models for, and what we do.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Map, Value, json};

use super::{ProbeError, identify};
use crate::models::classes::classified;

/// Made-up models that we recognise and the original does not, with what we take them for: names of PEFT and of old diffusers inside single files
/// and folders of LoRA, control models of SDXL under their first names, the base of control models under diffusers' names, XLabs' control models,
/// which have a transformer's first blocks.
const MORE: &[(&str, &str, &str)] = &[
    ("peft-sd1.safetensors", "lora", "sd-1"),
    ("old-diffusers.safetensors", "lora", "sd-1"),
    ("lora-folder-peft", "lora", "sd-1"),
    ("control-xl4-depth.safetensors", "controlnet", "sdxl"),
    ("flux-xlabs-depth-full.safetensors", "controlnet", "flux"),
];

/// Bases that we know no models of.
const OTHERS: &[&str] = &["flux2", "qwen-image"];

/// Writes a safetensors file of zeros, half precision.
fn safetensors(path: &Path, tensors: &Map<String, Value>, metadata: &Map<String, Value>) {
    let mut end = 0;
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), json!(metadata));
    }
    for (name, shape) in tensors {
        let elements: u64 = shape.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).product();
        header.insert(
            name.clone(),
            json!({"dtype": "F16", "shape": shape, "data_offsets": [end, end + elements * 2]}),
        );
        end += elements * 2;
    }
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + usize::try_from(end).unwrap(), 0);
    std::fs::write(path, bytes).unwrap();
}

/// Writes a GGUF file of zeros: in blocks of 8 bits where a row is made of whole blocks, in single floats elsewhere.
fn gguf(path: &Path, tensors: &Map<String, Value>) {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3u32.to_le_bytes());
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    let mut data = 0u64;
    for (name, shape) in tensors {
        let shape: Vec<u64> = shape.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        bytes.extend((name.len() as u64).to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend((shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|side| bytes.extend(side.to_le_bytes()));
        let elements: u64 = shape.iter().product();
        let (kind, length) = match shape.last() {
            Some(row) if row % 32 == 0 => (8u32, elements / 32 * 34),
            _ => (0, elements * 4),
        };
        bytes.extend(kind.to_le_bytes());
        bytes.extend(data.to_le_bytes());
        data += length.next_multiple_of(32);
    }
    bytes.resize(bytes.len().next_multiple_of(32) + usize::try_from(data).unwrap(), 0);
    std::fs::write(path, bytes).unwrap();
}

fn write(root: &Path, case: &Value) -> std::path::PathBuf {
    let place = root.join(case["name"].as_str().unwrap());
    for (inner, content) in case["files"].as_object().unwrap() {
        let path = if inner.is_empty() { place.clone() } else { place.join(inner) };
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if let Some(tensors) = content["tensors"].as_object() {
            safetensors(&path, tensors, content["metadata"].as_object().unwrap());
        } else if let Some(tensors) = content["gguf"].as_object() {
            gguf(&path, tensors);
        } else if let Some(text) = content["text"].as_str() {
            std::fs::write(&path, text).unwrap();
        } else {
            std::fs::write(&path, content["json"].to_string()).unwrap();
        }
    }
    place
}

#[test]
fn models_are_taken_for_what_the_original_takes_them_for() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/probe/probe.json");
    let recorded: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // As texts, since the order of fields counts.
    let text = |value: &Value| value.to_string();
    let mut wrong = BTreeMap::new();
    for case in recorded.as_array().unwrap() {
        let place = write(folder.path(), case);
        let name = case["name"].as_str().unwrap();
        let found = match identify(&place) {
            Ok(found) => {
                if let Some(title) = case["title"].as_str() {
                    assert_eq!(found.name, title);
                }
                // As a record has it: its class decides which fields there are and in which order.
                let mut record = Map::new();
                for (key, value) in [
                    ("key", ""),
                    ("hash", ""),
                    ("path", ""),
                    ("name", ""),
                    ("source", ""),
                    ("source_type", "path"),
                ] {
                    record.insert(key.into(), json!(value));
                }
                record.insert("file_size".into(), json!(0));
                record.extend(found.class);
                let record = classified(&record, false).unwrap_or_else(|issues| panic!("{name}: {issues:?}"));
                Value::Object(record.into_iter().skip(11).collect())
            }
            Err(ProbeError::Unknown(_)) => json!({"base": "unknown", "type": "unknown", "format": "unknown"}),
            Err(ProbeError::NoModel { .. }) => json!({"refused": "ValueError"}),
            Err(error) => json!({"error": error.to_string()}),
        };
        if let Some((_, kind, base)) = MORE.iter().find(|(known, _, _)| *known == name) {
            assert_eq!((&found["type"], &found["base"]), (&json!(kind), &json!(base)), "{name}");
        } else if case["found"]["base"].as_str().is_some_and(|base| OTHERS.contains(&base)) {
            assert_eq!(found["type"], "unknown", "{name}");
        } else if text(&found) != text(&case["found"]) {
            wrong.insert(name.to_owned(), format!("{found}\n instead of {}", case["found"]));
        }
    }
    assert!(wrong.is_empty(), "{} of them: {wrong:#?}", wrong.len());
}
