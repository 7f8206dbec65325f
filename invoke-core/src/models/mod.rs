//! Models on disk: what they are, told from their content; their hashes; their records.
//!
//! Nothing here loads weights, and nothing is executed: safetensors headers, JSON files and torch's files are read within bounds; a pickle that calls what is no
//! part of a file of tensors is refused.

mod cache;
pub mod classes;
pub(crate) mod gguf_header;
mod hash;
pub(crate) mod peft;
mod probe;
pub(crate) mod protobuf;
mod record;
pub mod remote;
mod scan;
mod shipped;
mod starters;
#[cfg(test)]
mod tests;
pub mod torch_file;
pub mod upscalers;

pub use cache::{CacheStats, Footprint, ModelCache, PartKey};
pub use hash::{HashError, hash_path};
pub use probe::{Identified, ProbeError, identify};
pub use record::{ModelRecord, Origin};
pub use scan::{ScanError, find_models, size_of, weight_files};
pub use shipped::{MODEL_DESCRIPTION, MODEL_NAME, MODEL_SIDE, write_shipped};
pub use starters::starters;
