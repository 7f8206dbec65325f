//! From a prompt to embeddings: tokenizer, CLIP and T5 text encoders, and the prompt language.

mod clip;
pub mod compel;
mod conditioning;
mod inversion;
pub(crate) mod layer;
mod t5;
mod t5_tokenizer;
mod tokenizer;

pub use clip::{ClipConfig, ClipTextModel, HiddenState};
pub use conditioning::{Conditioning, SdxlConditioning, SdxlSizes, encode_sdxl, join_channels};
pub use inversion::{Inversion, Inversions, trigger_names};
pub use t5::{T5Config, T5Encoder};
pub use t5_tokenizer::T5Tokenizer;
pub use tokenizer::Tokenizer;
pub(crate) use tokenizer::{bare, id_of};
