//! The model that ships with the program, and CLIP's vocabulary, as bytes. A crate of its own, so that 30 MB are compiled once and not with every
//! change of the core.

/// A file of the shipped model.
#[derive(Debug, Clone, Copy)]
pub struct ModelFile {
    /// Its path below the model's folder.
    pub path: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
}

macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        &[$(ModelFile { path: $path, bytes: include_bytes!(concat!("../models/invoke-tiny/", $path)) }),+]
    };
}

/// Name of the shipped model.
pub const MODEL_NAME: &str = "invoke-tiny";

/// Side of the pictures it was trained on, in pixels.
pub const MODEL_SIDE: u32 = 256;

/// What it can draw, for its record.
pub const MODEL_DESCRIPTION: &str = "Ships with the program. Draws simple pictures at 256×256: \
    a red circle on a blue background, a house with a red roof, a boat on the sea, mountains at sunset …";

/// Every file of the shipped model.
pub const MODEL_FILES: &[ModelFile] = files![
    "latent_rgb.json",
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
];

/// The merges of CLIP's tokenizer, from which its vocabulary follows: a line of version, then 48,894 rules. Checkpoints of a single file come without.
/// Made by OpenAI and published under the MIT licence (`clip/LICENSE`).
pub const CLIP_MERGES: &str = include_str!("../clip/merges.txt");
