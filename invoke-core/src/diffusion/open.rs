//! A part of a model wherever it lies: in a folder of diffusers' layout, or inside a single file.

use std::path::Path;
use std::sync::Arc;

use super::error::{ModelError, Result, short};
use super::known::Base;
use super::text::ClipConfig;
use super::unet::UNetConfig;
use super::vae::VaeConfig;
use super::weights::{Checkpoint, Source, TextPart, open_weights};

/// A config and the weights it describes, not yet read.
pub type Opened<C> = (C, Arc<dyn Source>);

/// The denoiser in `path`: its own folder, or a checkpoint of a whole model.
pub fn open_unet(path: &Path) -> Result<Opened<UNetConfig>> {
    if path.is_dir() {
        return Ok((UNetConfig::read(&path.join("config.json"))?, open_weights(path)?));
    }
    let checkpoint = Checkpoint::new(open_weights(path)?);
    let config = base_of(&checkpoint, path)?.unet(checkpoint.latent_channels().unwrap_or(4))?;
    let source = checkpoint.unet(&config)?;
    Ok((config, source))
}

/// The autoencoder in `path`: its own folder, a file of its own (which must then say its `base`), or a checkpoint.
pub fn open_vae(path: &Path, base: Option<Base>) -> Result<Opened<VaeConfig>> {
    if path.is_dir() {
        return Ok((VaeConfig::read(&path.join("config.json"))?, open_weights(path)?));
    }
    let checkpoint = Checkpoint::new(open_weights(path)?);
    let base = base.map_or_else(|| base_of(&checkpoint, path), Ok)?;
    let config = base.vae()?;
    let source = checkpoint.vae(&config)?;
    Ok((config, source))
}

/// A text encoder in `path`: its own folder, or a checkpoint of a whole model.
pub fn open_text_encoder(path: &Path, part: TextPart) -> Result<Opened<ClipConfig>> {
    if path.is_dir() {
        return Ok((ClipConfig::read(&path.join("config.json"))?, open_weights(path)?));
    }
    let checkpoint = Checkpoint::new(open_weights(path)?);
    let config = base_of(&checkpoint, path)?.text(part)?;
    Ok((config, checkpoint.text(part)?))
}

/// A ControlNet in `path`: a folder, or a single file under either naming.
pub fn open_control_net(path: &Path) -> Result<Opened<UNetConfig>> {
    if path.is_dir() {
        return Ok((UNetConfig::read(&path.join("config.json"))?, open_weights(path)?));
    }
    let source = open_weights(path)?;
    let names = source.names();
    let key = names.iter().find(|n| n.ends_with("attn2.to_k.weight"));
    let width = key.and_then(|n| source.info(n)?.shape.get(1).copied());
    let config = width.and_then(Base::of_context).ok_or_else(|| unknown(path))?.unet(4)?;
    if names.iter().any(|n| n.starts_with("controlnet_cond_embedding.")) {
        return Ok((config, source));
    }
    let source = Checkpoint::new(source).control_net(&config)?;
    Ok((config, source))
}

fn base_of(checkpoint: &Checkpoint, path: &Path) -> Result<Base> {
    checkpoint.context_width().and_then(Base::of_context).ok_or_else(|| unknown(path))
}

fn unknown(path: &Path) -> ModelError {
    let reason = "its denoiser is of none of the bases Stable Diffusion 1, 2, XL or its refiner".into();
    ModelError::Corrupt { file: short(path), reason }
}
