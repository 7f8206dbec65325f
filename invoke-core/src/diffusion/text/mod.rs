//! From a prompt to embeddings: tokenizer, CLIP text encoder, and the prompt language.

mod clip;
pub mod compel;
mod conditioning;
mod inversion;
pub(crate) mod layer;
mod tokenizer;

pub use clip::{ClipConfig, ClipTextModel, HiddenState};
pub use conditioning::{Conditioning, SdxlConditioning, SdxlSizes, encode_sdxl, join_channels};
pub use inversion::{Inversion, Inversions, trigger_names};
pub use tokenizer::Tokenizer;
