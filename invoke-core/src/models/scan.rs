//! Looking through folders for models.

use std::path::{Path, PathBuf};

/// Most entries that one scan looks at.
const MOST_ENTRIES: usize = 200_000;
/// Extensions of files that may be models by themselves.
const FILES: &[&str] = &["safetensors", "ckpt", "pt", "pth", "bin", "gguf"];
/// Files whose presence makes a folder a model.
const MARKERS: &[&str] = &[
    "model_index.json",
    "config.json",
    "learned_embeds.bin",
    "pytorch_lora_weights.bin",
    "image_encoder.txt",
];

/// Why a folder could not be scanned.
#[derive(Debug, thiserror::Error)]
#[error("{path} could not be scanned: {reason}", path = .path.display())]
pub struct ScanError {
    path: PathBuf,
    reason: String,
}

/// Whether a folder is a model by itself.
fn is_model(folder: &Path) -> bool {
    MARKERS.iter().any(|marker| folder.join(marker).is_file())
}

/// Files and folders below `root` that look like models, or `root` itself if it does. A folder that is one is not looked into.
pub fn find_models(root: &Path) -> Result<Vec<PathBuf>, ScanError> {
    let fail = |path: &Path, reason: String| ScanError {
        path: path.to_owned(),
        reason,
    };
    if is_model(root) {
        return Ok(vec![root.to_owned()]);
    }
    let mut found = Vec::new();
    let mut seen = 0_usize;
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|e| fail(&folder, e.to_string()))?;
        for entry in entries {
            let entry = entry.map_err(|e| fail(&folder, e.to_string()))?;
            seen += 1;
            if seen > MOST_ENTRIES {
                return Err(fail(root, format!("it holds more than {MOST_ENTRIES} entries")));
            }
            let path = entry.path();
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            let Ok(kind) = entry.file_type() else { continue };
            if hidden || kind.is_symlink() && path.starts_with(std::fs::read_link(&path).unwrap_or_default()) {
                continue;
            }
            if path.is_dir() {
                if is_model(&path) {
                    found.push(path);
                } else {
                    waiting.push(path);
                }
            } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| FILES.contains(&e)) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Files of weights below a folder, at any depth, with their bytes.
pub fn weight_files(folder: &Path) -> Result<Vec<(PathBuf, u64)>, ScanError> {
    let fail = |path: &Path, reason: String| ScanError {
        path: path.to_owned(),
        reason,
    };
    let (mut found, mut waiting, mut seen) = (Vec::new(), vec![folder.to_owned()], 0_usize);
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|e| fail(&folder, e.to_string()))?.flatten() {
            seen += 1;
            if seen > MOST_ENTRIES {
                return Err(fail(&folder, format!("it holds more than {MOST_ENTRIES} entries")));
            }
            let (path, kind) = (entry.path(), entry.file_type());
            let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
            if kind.is_ok_and(|kind| kind.is_dir()) {
                waiting.push(path);
            } else if FILES.contains(&&*ending) || ending == "onnx" {
                let bytes = entry.metadata().map_or(0, |about| about.len());
                found.push((path, bytes));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Bytes of a file, or of all files below a folder.
pub fn size_of(path: &Path) -> std::io::Result<u64> {
    let about = std::fs::metadata(path)?;
    if !about.is_dir() {
        return Ok(about.len());
    }
    let mut total = 0;
    for entry in std::fs::read_dir(path)? {
        total += size_of(&entry?.path())?;
    }
    Ok(total)
}
