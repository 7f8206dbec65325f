//! Prompts, denoising and pictures for FLUX.1.

mod codec;
mod conditions;
mod denoise;
mod extras;
mod load;
#[cfg(test)]
mod tests;
mod text;

use super::NodeEntry;

/// The nodes of this folder.
pub(super) const NODES: &[&[NodeEntry]] = &[codec::NODES, conditions::NODES, denoise::NODES, text::NODES];
