//! A part of a model wherever it lies: in a folder of diffusers' layout, or inside a single file.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::bases::Base;
use super::error::{ModelError, Result, short};
use super::text::{ClipConfig, Tokenizer};
use super::unet::UNetConfig;
use super::vae::VaeConfig;
use super::weights::{Change, Checkpoint, Renamed, Source, TextPart, open_weights};

/// A config and the weights it describes, not yet read.
pub type Opened<C> = (C, Arc<dyn Source>);

const DENOISER: &str = "model.diffusion_model.";

/// The denoiser in `path`: its own folder, or a checkpoint of a whole model.
pub fn open_unet(path: &Path) -> Result<Opened<UNetConfig>> {
    if path.is_dir() {
        return Ok((UNetConfig::read(&path.join("config.json"))?, open_weights(path)?));
    }
    let checkpoint = open_checkpoint(path)?;
    let config = UNetConfig::parse(&unet_json(&checkpoint, path)?.to_string())?;
    let source = checkpoint.unet(&config)?;
    Ok((config, source))
}

/// The models inside a single file.
pub fn open_checkpoint(path: &Path) -> Result<Checkpoint> {
    let mut source = open_weights(path)?;
    if source.info("input_blocks.0.0.weight").is_some() {
        // A file that holds the denoiser alone, as those with few bits an element do, may leave out what tells it apart.
        source = Arc::new(Renamed::new(source, |name| vec![(format!("{DENOISER}{name}"), Change::None)]));
    }
    Ok(Checkpoint::new(source))
}

/// Whether the model in `path` has a text encoder of its own; a file may hold the denoiser alone.
pub fn has_text_encoder(path: &Path, part: TextPart) -> Result<bool> {
    Ok(path.is_dir() || open_checkpoint(path)?.has_text(part))
}

/// Whether the model in `path` has an autoencoder of its own.
pub fn has_vae(path: &Path) -> Result<bool> {
    if path.is_dir() {
        return Ok(true);
    }
    let source = open_weights(path)?;
    let is_vae = diffusers_widths(&*source, "decoder.up_blocks", "resnets.0.conv1.weight").is_some();
    Ok(is_vae || !Checkpoint::new(source).vae_widths().is_empty())
}

/// The config of a checkpoint's denoiser, in diffusers' form.
pub(super) fn unet_json(checkpoint: &Checkpoint, path: &Path) -> Result<Value> {
    let base = base_of(checkpoint, path)?;
    let widths = checkpoint.block_widths(DENOISER, base.unet_widths().len());
    let widths = widths.ok_or_else(|| unlike(path, "its denoiser has not the blocks of its base"))?;
    let pooled = pooled(base, checkpoint, DENOISER);
    Ok(base.unet_json(checkpoint.latent_channels().unwrap_or(4), &widths, pooled))
}

/// The autoencoder in `path`: its own folder, a file of its own (which must then say its `base`), or a checkpoint.
pub fn open_vae(path: &Path, base: Option<Base>) -> Result<Opened<VaeConfig>> {
    if path.is_dir() {
        return Ok((VaeConfig::read(&path.join("config.json"))?, open_weights(path)?));
    }
    let source = open_weights(path)?;
    let base = || base.map_or_else(|| base_of(&Checkpoint::new(source.clone()), path), Ok);
    if let Some(widths) = diffusers_widths(&*source, "decoder.up_blocks", "resnets.0.conv1.weight") {
        let widths: Vec<usize> = widths.into_iter().rev().collect();
        return Ok((base()?.vae(&widths)?, source));
    }
    let checkpoint = Checkpoint::new(source.clone());
    let widths = checkpoint.vae_widths();
    if widths.is_empty() {
        return Err(unlike(path, "it holds no autoencoder; choose a VAE of its own"));
    }
    // The way up is numbered from the largest picture on in these files.
    let config = base()?.vae(&widths)?;
    let source = checkpoint.vae(&config)?;
    Ok((config, source))
}

/// A text encoder in `path`: its own folder, or a checkpoint of a whole model.
pub fn open_text_encoder(path: &Path, part: TextPart) -> Result<Opened<ClipConfig>> {
    if path.is_dir() {
        return Ok((ClipConfig::read(&path.join("config.json"))?, open_weights(path)?));
    }
    let checkpoint = open_checkpoint(path)?;
    let base = base_of(&checkpoint, path)?;
    let source = checkpoint.text(part)?;
    let config = text_json(base, &*source, part, path)?;
    Ok((ClipConfig::parse(&config.to_string())?, source))
}

/// The config of a text encoder of `base`, whose weights are in `source`, in transformers' form.
pub(super) fn text_json(base: Base, source: &dyn Source, part: TextPart, path: &Path) -> Result<Value> {
    let names = source.names();
    let table = names.iter().find(|n| n.ends_with("embeddings.token_embedding.weight"));
    let shape = table.and_then(|name| source.info(name)).map(|info| info.shape);
    let Some(&[vocabulary, width]) = shape.as_deref() else {
        return Err(unlike(path, "its text encoder has no table of tokens"));
    };
    let number = |name: &String| -> Option<usize> { name.split_once("encoder.layers.")?.1.split('.').next()?.parse().ok() };
    let layers = names.iter().filter_map(number).max().map_or(0, |last| last + 1);
    Ok(base.text_json(part, width, layers, vocabulary))
}

/// The tokenizer that goes with a text encoder: a folder, or for a checkpoint of a whole model CLIP's own.
pub fn open_tokenizer(path: &Path, part: TextPart) -> Result<Tokenizer> {
    if path.is_dir() {
        return Tokenizer::open(path);
    }
    let base = base_of(&open_checkpoint(path)?, path)?;
    Tokenizer::clip(base.pads_with_zero(part))
}

/// The scheduler's config in `path`, as JSON: a model's folder, or the known one of a checkpoint's base.
pub fn open_scheduler(path: &Path) -> Result<serde_json::Map<String, Value>> {
    let config = if path.is_dir() {
        super::error::read_json(&path.join("scheduler").join("scheduler_config.json"))?
    } else {
        base_of(&open_checkpoint(path)?, path)?.scheduler()
    };
    match config {
        Value::Object(config) => Ok(config),
        _ => Err(unlike(path, "its scheduler's config is no JSON object")),
    }
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
    let base = width.and_then(Base::of_context).ok_or_else(|| unknown(path))?;
    let first_axis = |name: String| source.info(&name)?.shape.first().copied();
    let blocks = || unlike(path, "its blocks are not those of a ControlNet of its base");
    let stages = base.unet_widths().len();
    if names.iter().any(|n| n.starts_with("controlnet_cond_embedding.")) {
        let widths = diffusers_widths(&*source, "down_blocks", "resnets.0.conv1.weight").ok_or_else(blocks)?;
        let hint = |name: &str| first_axis(format!("controlnet_cond_embedding.{name}.weight"));
        let hints: Option<Vec<usize>> = ["conv_in", "blocks.1", "blocks.3", "blocks.5"].map(hint).into_iter().collect();
        let added = source.info("add_embedding.linear_1.weight").and_then(|i| i.shape.get(1).copied());
        let config = base.control_net(&widths, text_of_added(base, added), &hints.ok_or_else(blocks)?)?;
        return Ok((config, source));
    }
    let prefix = if names.iter().any(|n| n.starts_with("control_model.")) {
        "control_model."
    } else {
        ""
    };
    let checkpoint = Checkpoint::new(source.clone());
    let widths = checkpoint.block_widths(prefix, stages).ok_or_else(blocks)?;
    let hint = |number: usize| first_axis(format!("{prefix}input_hint_block.{number}.weight"));
    let hints: Option<Vec<usize>> = [0, 4, 8, 12].map(hint).into_iter().collect();
    let config = base.control_net(&widths, pooled(base, &checkpoint, prefix), &hints.ok_or_else(blocks)?)?;
    let source = checkpoint.control_net(&config)?;
    Ok((config, source))
}

/// Widths of blocks under diffusers' names (`<blocks>.<number>.<weight>`); `None` if there are none.
pub(super) fn diffusers_widths(source: &dyn Source, blocks: &str, weight: &str) -> Option<Vec<usize>> {
    let width = |i: usize| source.info(&format!("{blocks}.{i}.{weight}"))?.shape.first().copied();
    let widths: Vec<usize> = (0..8).map_while(width).collect();
    (!widths.is_empty()).then_some(widths)
}

/// Width of the pooled text among what SDXL's denoisers are given besides the context.
fn pooled(base: Base, checkpoint: &Checkpoint, prefix: &str) -> usize {
    text_of_added(base, checkpoint.added_width(prefix))
}

fn text_of_added(base: Base, added: Option<usize>) -> usize {
    let ids = if base == Base::SdxlRefiner { 5 } else { 6 };
    added.map_or(1280, |width| width.saturating_sub(ids * 256))
}

pub(super) fn base_of(checkpoint: &Checkpoint, path: &Path) -> Result<Base> {
    checkpoint.context_width().and_then(Base::of_context).ok_or_else(|| unknown(path))
}

fn unlike(path: &Path, reason: &str) -> ModelError {
    ModelError::Corrupt {
        file: short(path),
        reason: reason.into(),
    }
}

fn unknown(path: &Path) -> ModelError {
    unlike(
        path,
        "its denoiser is of none of the bases Stable Diffusion 1, 2, XL or its refiner",
    )
}
