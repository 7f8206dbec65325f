//! What can be wrong with a configuration, worded for the person who wrote it.

use std::path::PathBuf;

/// Why the configuration cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is no YAML, or no mapping of keys to values.
    #[error("{} is not a YAML file of `key: value` lines: {reason}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// What the parser says; holds no values.
        reason: String,
    },
    /// A key that does not exist.
    #[error("{place}: unknown key `{key}`{hint}")]
    UnknownKey {
        /// Where it stands.
        place: String,
        /// The key.
        key: String,
        /// A guess at what was meant, or nothing.
        hint: String,
    },
    /// A value that the key cannot have.
    #[error("{place}: `{key}` must be {expected}")]
    Value {
        /// Where it stands.
        place: String,
        /// The key.
        key: String,
        /// What it may be.
        expected: String,
    },
    /// A key that cannot be changed while the server runs.
    #[error("`{0}` cannot be changed while the server runs")]
    Fixed(String),
    /// No `schema_version`.
    #[error("{} has no `schema_version`; add the line `schema_version: {}`", file.display(), super::SCHEMA_VERSION)]
    NoSchemaVersion {
        /// The file.
        file: PathBuf,
    },
    /// A `schema_version` of another program.
    #[error("{} is written for another version (`schema_version: {found}`, this program reads {}){hint}", file.display(), super::SCHEMA_VERSION)]
    SchemaVersion {
        /// The file.
        file: PathBuf,
        /// What it says.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// No root folder was given, and there is no home folder to put one in.
    #[error("no root folder: give `--root`, or set INVOKEAI_ROOT (there is no home folder to use instead)")]
    NoRoot,
    /// The root folder, or one in it, cannot be used.
    #[error("cannot use the folder {}: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
