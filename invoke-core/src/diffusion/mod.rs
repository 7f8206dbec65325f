//! The diffusion engine's numerics on candle: text encoder, denoiser, autoencoder, schedulers and noise.
//!
//! Nothing here knows users, files of the root, or the queue. Models are built from a folder of weights and its configs,
//! and every shape is read from those configs.

mod bases;
mod blocks;
pub mod control;
mod convert;
pub mod denoise;
mod error;
pub mod flux;
pub mod latents;
pub mod lora;
pub mod noise;
mod open;
pub mod ops;
pub mod preview;
pub mod schedulers;
pub mod text;
pub mod unet;
pub mod vae;
pub mod weights;

pub use bases::Base;
pub use blocks::Seamless;
pub use convert::{convert_checkpoint, tokenizers_of};
pub(crate) use error::is_lack_of_memory;
pub use error::{ModelError, Result};
pub(crate) use error::{config_error, read_json, read_text, short};
pub use open::{
    Opened, has_text_encoder, has_vae, open_checkpoint, open_control_net, open_scheduler, open_text_encoder, open_tokenizer, open_unet,
    open_vae,
};
