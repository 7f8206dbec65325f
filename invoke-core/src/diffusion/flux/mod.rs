//! FLUX.1: a transformer over packed latents and text, and the rectified flow that leads from noise to latents.
//!
//! Tensors have the names of Black Forest Labs' own files (`double_blocks.0.img_attn.qkv.weight` …). A picture's 16 latent channels are packed: each
//! two by two latents become one token of 64 channels. One picture is worked on at a time.

mod blocks;
mod config;
mod dype;
mod flow;
mod inpaint;
mod kontext;
mod latents;
mod model;
mod open;
mod places;
mod schedule;
mod text;

pub use config::FluxConfig;
pub use dype::{DyPe, DyPePreset};
pub use flow::{Sampler, Sampling, Velocity, guidance_by_step};
pub use inpaint::Inpaint;
pub use kontext::Reference;
pub use latents::{LATENT_CHANNELS, in_half, noise, pack, pack_mask, unpack};
pub use model::{Conditions, Flux, FluxText};
pub use open::{open_flux, open_flux_vae, open_t5};
pub use places::{Place, places_of};
pub use schedule::{clipped, schedule};
pub use text::{FluxConditioning, JoinedText, RegionalPrompt, join};
