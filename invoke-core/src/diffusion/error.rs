//! What can go wrong when a model is read or run.

use std::path::Path;

/// A model that cannot be read, or that does not fit what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file could not be opened or read.
    #[error("cannot read `{file}`: {source}")]
    Io {
        /// The file, by its folder and name.
        file: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is not what its name promises: truncated, inconsistent, or of an unknown kind.
    #[error("`{file}` is damaged or not of a supported kind: {reason}")]
    Corrupt {
        /// The file, by its folder and name.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A weight the model needs is not in its file.
    #[error("`{file}` lacks the tensor `{tensor}`")]
    MissingTensor {
        /// The file, by its folder and name.
        file: String,
        /// Name of the tensor.
        tensor: String,
    },
    /// A weight has a shape other than its config promises.
    #[error("`{file}`: tensor `{tensor}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The file, by its folder and name.
        file: String,
        /// Name of the tensor.
        tensor: String,
        /// What the config calls for.
        expected: Vec<usize>,
        /// What the file holds.
        found: Vec<usize>,
    },
    /// A config file asks for something that is not supported, or contradicts itself.
    #[error("`{file}`: {reason}")]
    Config {
        /// The file, by its folder and name.
        file: String,
        /// The field and what was expected of it.
        reason: String,
    },
    /// An input to a model is out of its range.
    #[error("{0}")]
    Input(String),
    /// Whoever runs the model asked it to end before it was done.
    #[error("it was asked to end")]
    Stopped,
    /// The arithmetic failed (shapes that do not fit, memory, a device fault).
    #[error(transparent)]
    Compute(#[from] candle_core::Error),
}

/// Short for results of loading and running models.
pub type Result<T, E = ModelError> = std::result::Result<T, E>;

/// Whether arithmetic failed because a device's memory ran out.
pub(crate) fn is_lack_of_memory(error: &candle_core::Error) -> bool {
    let text = error.to_string();
    text.to_ascii_lowercase().contains("out of memory") || text.contains("OUT_OF_MEMORY")
}

/// How a file is named in messages: its folder and name, never the whole path.
pub(crate) fn short(path: &Path) -> String {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    match path.parent().and_then(Path::file_name) {
        Some(folder) => format!("{}/{name}", folder.to_string_lossy()),
        None => name,
    }
}

/// A [`ModelError::Config`] for the file at `path`.
pub(crate) fn config_error(path: &Path, reason: impl std::fmt::Display) -> ModelError {
    ModelError::Config {
        file: short(path),
        reason: reason.to_string(),
    }
}

/// Bytes of the largest config that is read.
const LARGEST_CONFIG: u64 = 4 << 20;

/// Reads and parses a JSON config of at most a few megabytes.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    read_checked(path, |_| Ok(()))
}

/// The same, checked.
pub(crate) fn read_checked<T: serde::de::DeserializeOwned>(path: &Path, check: impl FnOnce(&T) -> Result<(), String>) -> Result<T> {
    parse_checked(path, &read_text(path, LARGEST_CONFIG)?, check)
}

/// Parses the text of a JSON config, of the file at `path`, and checks it.
pub(crate) fn parse_checked<T: serde::de::DeserializeOwned>(
    path: &Path,
    text: &str,
    check: impl FnOnce(&T) -> Result<(), String>,
) -> Result<T> {
    let config = serde_json::from_str(text).map_err(|e| config_error(path, e))?;
    check(&config).map_err(|reason| config_error(path, reason))?;
    Ok(config)
}

/// Reads a text file of at most `limit` bytes.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String> {
    use std::io::Read;
    let io = |source| ModelError::Io { file: short(path), source };
    let file = std::fs::File::open(path).map_err(io)?;
    let mut text = String::new();
    let read = file.take(limit + 1).read_to_string(&mut text).map_err(io)?;
    if read as u64 > limit {
        return Err(ModelError::Corrupt {
            file: short(path),
            reason: format!("it is larger than {limit} bytes"),
        });
    }
    Ok(text)
}
