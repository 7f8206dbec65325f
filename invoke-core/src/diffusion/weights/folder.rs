//! A folder of weights: one file, or several with an index.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use candle_core::Tensor;
use serde::Deserialize;

use super::{BitsAndBytes, GgufFile, SafetensorsFile, Source, TensorInfo, TorchWeights};
use crate::diffusion::error::{ModelError, Result, read_json, short};
use crate::models::torch_file::is_torch_file;

/// The most shards an index may name.
const MAX_SHARDS: usize = 256;

/// Several safetensors files that together hold one model.
#[derive(Debug)]
pub struct ShardedFiles {
    label: String,
    shards: Vec<SafetensorsFile>,
    home: HashMap<String, usize>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

impl ShardedFiles {
    /// Opens the shards an index (`*.safetensors.index.json`) names. They must lie beside it.
    pub fn open(index: &Path) -> Result<Self> {
        let parsed: Index = read_json(index)?;
        let corrupt = |reason: String| ModelError::Corrupt {
            file: short(index),
            reason,
        };
        let files: BTreeSet<&String> = parsed.weight_map.values().collect();
        if files.len() > MAX_SHARDS {
            return Err(corrupt(format!(
                "it names {} files, at most {MAX_SHARDS} are supported",
                files.len()
            )));
        }
        let folder = index.parent().unwrap_or(Path::new("."));
        let mut shards = Vec::new();
        let mut number = HashMap::new();
        for file in files {
            let path = Path::new(file);
            if path.components().count() != 1 || !matches!(path.components().next(), Some(Component::Normal(_))) {
                return Err(corrupt(format!("it names `{file}`, which is not a file beside it")));
            }
            number.insert(file.clone(), shards.len());
            shards.push(SafetensorsFile::open(&folder.join(path))?);
        }
        let home: HashMap<String, usize> = parsed.weight_map.into_iter().map(|(name, file)| (name, number[&file])).collect();
        if let Some((name, _)) = home.iter().find(|(name, shard)| shards[**shard].info(name).is_none()) {
            return Err(corrupt(format!("it promises the tensor `{name}`, which its file lacks")));
        }
        Ok(Self {
            label: short(index),
            shards,
            home,
        })
    }
}

impl Source for ShardedFiles {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn names(&self) -> Vec<String> {
        self.home.keys().cloned().collect()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        self.shards[*self.home.get(name)?].info(name)
    }

    fn read(&self, name: &str) -> Result<Tensor> {
        match self.home.get(name) {
            Some(&shard) => self.shards[shard].read(name),
            None => Err(ModelError::MissingTensor {
                file: self.label(),
                tensor: name.to_owned(),
            }),
        }
    }
}

/// The file (or shard index) in `folder` that holds a diffusers or transformers model, a LoRA or an IP-Adapter, or `None`.
///
/// Names are tried in the order full precision, then the `fp16` variant; one file before shards.
pub fn find_weights(folder: &Path) -> Option<PathBuf> {
    for variant in ["", ".fp16"] {
        for stem in [
            "diffusion_pytorch_model",
            "model",
            "pytorch_lora_weights",
            "ip_adapter",
            "bnb_llm_int8_model",
        ] {
            let one = folder.join(format!("{stem}{variant}.safetensors"));
            let index = if variant.is_empty() {
                folder.join(format!("{stem}.safetensors.index.json"))
            } else {
                folder.join(format!("{stem}.safetensors.index{variant}.json"))
            };
            for path in [one, index] {
                if path.is_file() {
                    return Some(path);
                }
            }
        }
    }
    // Only where there is nothing better: these must be unpacked to be read.
    ["diffusion_pytorch_model", "pytorch_model", "ip_adapter"]
        .into_iter()
        .map(|stem| folder.join(format!("{stem}.bin")))
        .find(|path| path.is_file())
}

const NONE: &str = "the folder holds no weights that are known (`diffusion_pytorch_model` or `model`)";

/// Opens the weights of a model: a folder in diffusers' layout, a safetensors or GGUF file, a file that torch saved, or a shard index. A file's
/// beginning tells which it is. What bitsandbytes has packed is unpacked as it is read.
pub fn open_weights(path: &Path) -> Result<Arc<dyn Source>> {
    let file = if path.is_dir() {
        find_weights(path).ok_or_else(|| ModelError::Corrupt {
            file: short(path),
            reason: NONE.into(),
        })?
    } else {
        path.to_owned()
    };
    let extension = file.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    if extension == "json" {
        BitsAndBytes::unpacked(Arc::new(ShardedFiles::open(&file)?))
    } else if extension == "gguf" {
        Ok(Arc::new(GgufFile::open(&file)?))
    } else if is_torch_file(&file).map_err(|source| ModelError::Io {
        file: short(&file),
        source,
    })? {
        Ok(Arc::new(TorchWeights::open(&file)?))
    } else {
        BitsAndBytes::unpacked(Arc::new(SafetensorsFile::open(&file)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(folder: &Path, name: &str, tensor: &str) {
        let header = format!(r#"{{"{tensor}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#);
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.push(7);
        std::fs::write(folder.join(name), bytes).unwrap();
    }

    #[test]
    fn shards_are_found_by_their_index() {
        let dir = tempfile::tempdir().unwrap();
        shard(dir.path(), "a.safetensors", "x");
        shard(dir.path(), "b.safetensors", "y");
        let index = dir.path().join("diffusion_pytorch_model.safetensors.index.json");
        std::fs::write(&index, r#"{"weight_map":{"x":"a.safetensors","y":"b.safetensors"}}"#).unwrap();
        let source = open_weights(dir.path()).unwrap();
        assert_eq!(source.read("y").unwrap().to_vec1::<u8>().unwrap(), [7]);
        assert_eq!(source.names().len(), 2);
        std::fs::write(&index, r#"{"weight_map":{"x":"b.safetensors"}}"#).unwrap();
        assert!(open_weights(dir.path()).unwrap_err().to_string().contains("promises"));
    }

    #[test]
    fn an_index_cannot_leave_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let index = dir.path().join("model.safetensors.index.json");
        for file in ["../a.safetensors", "/etc/passwd", "sub/a.safetensors", ".."] {
            std::fs::write(&index, format!(r#"{{"weight_map":{{"x":"{file}"}}}}"#)).unwrap();
            assert!(
                open_weights(dir.path()).unwrap_err().to_string().contains("not a file beside it"),
                "{file}"
            );
        }
    }

    #[test]
    fn an_empty_folder_is_a_clear_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            open_weights(dir.path())
                .unwrap_err()
                .to_string()
                .contains("holds no weights that are known")
        );
    }
}
