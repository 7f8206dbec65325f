//! Content hashes of models, as InvokeAI computes them by default.

use std::path::{Path, PathBuf};

/// Files of a folder that count as weights.
const WEIGHTS: &[&str] = &["ckpt", "safetensors", "bin", "pt", "pth"];

/// Why a model could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("{path} could not be read: {source}", path = .path.display())]
pub struct HashError {
    path: PathBuf,
    source: std::io::Error,
}

/// `blake3:` and the hash in hexadecimal: of a file's bytes, or, for a folder, of its weight files' hashes in the order of their paths.
pub fn hash_path(path: &Path) -> Result<String, HashError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| HashError { path, source }
    };
    if !path.is_dir() {
        return Ok(format!("blake3:{}", hash_file(path).map_err(failed(path))?));
    }
    let mut files = Vec::new();
    collect(path, &mut files).map_err(failed(path))?;
    files.sort();
    let mut all = blake3::Hasher::new();
    for file in &files {
        all.update(hash_file(file).map_err(failed(file))?.to_hex().as_bytes());
    }
    Ok(format!("blake3:{}", all.finalize()))
}

fn hash_file(path: &Path) -> std::io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap(path)?;
    Ok(hasher.finalize())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| WEIGHTS.contains(&e)) {
            files.push(path);
        }
    }
    Ok(())
}
