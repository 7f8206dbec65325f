//! Names and shapes of a file's tensors: of safetensors, GGUF, and of what torch saves.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use serde::Deserialize;

use super::ProbeError;
use crate::models::{
    gguf_header,
    torch_file::{TorchFile, TorchFileError, is_torch_file},
};

/// Largest header that is read: a million tensors would fit.
const MOST_HEADER_BYTES: u64 = 100 << 20;

/// Names and shapes.
#[derive(Debug, Default)]
pub(crate) struct Header {
    shapes: BTreeMap<String, Vec<usize>>,
    metadata: std::collections::HashMap<String, String>,
    is_gguf: bool,
}

/// An entry of a header: a tensor, or the notes under `__metadata__`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Tensor { shape: Vec<usize>, data_offsets: (u64, u64) },
    Notes(std::collections::HashMap<String, String>),
}

impl Header {
    /// Reads the description of a file's tensors and checks that they lie within the file. Nothing of the file is run.
    pub(crate) fn read(path: &Path) -> Result<Self, ProbeError> {
        let shown = || path.display().to_string();
        let torch = is_torch_file(path).map_err(|source| ProbeError::Unreadable { path: shown(), source })?;
        if !torch {
            let is_gguf = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
            return if is_gguf {
                Self::read_gguf(path)
            } else {
                Self::read_safetensors(path)
            };
        }
        let file = TorchFile::open(path).map_err(|error| match error {
            TorchFileError::Io(source) => ProbeError::Unreadable { path: shown(), source },
            TorchFileError::Refused(reason) => ProbeError::Broken { path: shown(), reason },
        })?;
        let shapes = file.tensors().iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone()));
        Ok(Self {
            shapes: shapes.collect(),
            ..Self::default()
        })
    }

    fn read_gguf(path: &Path) -> Result<Self, ProbeError> {
        let shown = || path.display().to_string();
        let tensors = File::open(path)
            .and_then(|file| gguf_header::read(&file))
            .map_err(|source| ProbeError::Unreadable { path: shown(), source })?
            .map_err(|reason| ProbeError::Broken { path: shown(), reason })?;
        Ok(Self {
            shapes: tensors.into_iter().map(|(name, tensor)| (name, tensor.shape)).collect(),
            is_gguf: true,
            ..Self::default()
        })
    }

    fn read_safetensors(path: &Path) -> Result<Self, ProbeError> {
        let shown = path.display().to_string();
        let unreadable = |source| ProbeError::Unreadable {
            path: shown.clone(),
            source,
        };
        let broken = |reason: String| ProbeError::Broken {
            path: shown.clone(),
            reason,
        };
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut file = BufReader::new(file);
        let mut size = [0; 8];
        file.read_exact(&mut size)
            .map_err(|_| broken("it is shorter than the 8 bytes that every safetensors file begins with".into()))?;
        let size = u64::from_le_bytes(size);
        if size > MOST_HEADER_BYTES || size + 8 > length {
            return Err(broken(format!("its header claims {size} bytes, the file has {length}")));
        }
        let mut head = vec![0; size as usize];
        file.read_exact(&mut head).map_err(unreadable)?;
        let entries: BTreeMap<String, Entry> = serde_json::from_slice(&head).map_err(|e| broken(format!("its header is wrong: {e}")))?;
        let mut header = Self::default();
        let mut end = 0;
        for (name, entry) in entries {
            match entry {
                Entry::Tensor {
                    shape,
                    data_offsets: (from, to),
                } => {
                    if from > to {
                        return Err(broken(format!("its tensor `{name}` begins at {from} and ends at {to}")));
                    }
                    end = end.max(to);
                    header.shapes.insert(name, shape);
                }
                Entry::Notes(notes) => header.metadata = notes,
            }
        }
        let end = end.saturating_add(size + 8);
        if end != length {
            return Err(broken(format!("its tensors end at byte {end}, the file at {length}")));
        }
        Ok(header)
    }

    /// Whether a tensor's name begins so.
    pub(super) fn any_starts(&self, prefixes: &[&str]) -> bool {
        prefixes.iter().any(|prefix| {
            self.shapes
                .range((*prefix).to_owned()..)
                .next()
                .is_some_and(|(name, _)| name.starts_with(prefix))
        })
    }

    /// Whether a tensor's name ends so.
    pub(super) fn any_ends(&self, suffixes: &[&str]) -> bool {
        self.shapes.keys().any(|name| suffixes.iter().any(|suffix| name.ends_with(suffix)))
    }

    /// A tensor's shape.
    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.shapes.get(name).map(Vec::as_slice)
    }

    /// All names and shapes in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[usize])> + Clone {
        self.shapes.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()))
    }

    /// Number of tensors.
    pub(super) fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Whether it is that of a GGUF file.
    pub(super) fn is_gguf(&self) -> bool {
        self.is_gguf
    }

    /// Whether the file has metadata.
    pub(super) fn has_notes(&self) -> bool {
        !self.metadata.is_empty()
    }

    /// A text of the file's metadata.
    pub(super) fn note(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    #[cfg(test)]
    pub(super) fn of(shapes: &[(&str, &[usize])]) -> Self {
        Self {
            shapes: shapes.iter().map(|(n, s)| ((*n).to_owned(), s.to_vec())).collect(),
            ..Self::default()
        }
    }
}
