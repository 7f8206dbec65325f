//! TFLite files, as `MediaPipe` publishes its own. Nothing in such a file is code; every place is checked before it is read, and an operator that
//! `MediaPipe`'s models of faces do not have is named.
//!
//! The files' pictures are `[b, h, w, c]`, and so are those that the network takes and gives. Between its operations they are `[b, c, h, w]` as everywhere
//! else, and turned where an operator counts elements in the file's order.

mod file;
mod flat;
mod flex;
mod ops;

use std::path::Path;

use self::{file::File, flat::Flaw, ops::Making};
use super::{Network, named, read_whole};
use crate::diffusion::Result;

/// The largest file that is read: `MediaPipe`'s are of a few megabytes.
const LARGEST: u64 = 1 << 28;

/// Opens a TFLite file.
///
/// # Errors
/// If it cannot be read, is damaged, or asks for what is not supported.
pub fn open(path: &Path) -> Result<Network> {
    let (bytes, name) = read_whole(path, LARGEST)?;
    read(&bytes, &name)
}

/// Reads a TFLite file's bytes; `name` is what it is called in messages.
///
/// # Errors
/// If it is damaged or asks for what is not supported.
pub fn read(bytes: &[u8], name: &str) -> Result<Network> {
    named(name, model(bytes))
}

fn model(bytes: &[u8]) -> std::result::Result<Network, Flaw> {
    let file = File::parse(bytes)?;
    let mut making = Making::new(&file.tensors);
    for input in file.inputs {
        making.input(input);
    }
    for operator in &file.operators {
        making.operator(operator)?;
    }
    for output in file.outputs {
        making.output(output)?;
    }
    Ok(making.network)
}
