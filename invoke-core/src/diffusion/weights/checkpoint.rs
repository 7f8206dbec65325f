//! Single-file checkpoints of Stable Diffusion 1, 2 and XL, presented as diffusers' folders are.

use std::collections::HashMap;
use std::sync::Arc;

use super::ldm::{UNetLayout, open_clip_names, translate, vae_name};
use super::{Change, Renamed, Source};
use crate::diffusion::error::{ModelError, Result};
use crate::diffusion::unet::UNetConfig;
use crate::diffusion::vae::VaeConfig;

/// The models inside a checkpoint.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    source: Arc<dyn Source>,
}

/// Which text encoder of a checkpoint is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextPart {
    /// The only one, or SDXL's smaller one.
    First,
    /// SDXL's larger one, which is the refiner's only one.
    Second,
}

impl TextPart {
    /// What begins its tensors' names where they are named as transformers names them.
    const fn hugging(self) -> &'static [&'static str] {
        match self {
            Self::First => &["cond_stage_model.transformer.", "conditioner.embedders.0.transformer."],
            Self::Second => &[],
        }
    }

    /// The same as OpenCLIP names them.
    const fn open(self) -> &'static [&'static str] {
        match self {
            Self::First => &["cond_stage_model.model."],
            Self::Second => &["conditioner.embedders.1.model.", "conditioner.embedders.0.model."],
        }
    }
}

impl Checkpoint {
    /// Wraps an opened file.
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self { source }
    }

    /// The denoiser's weights under diffusers' names.
    pub fn unet(&self, config: &UNetConfig) -> Result<Arc<dyn Source>> {
        let modules: HashMap<String, String> = UNetLayout::of(config).modules().into_iter().collect();
        self.renamed("denoiser", |name| {
            let inner = name.strip_prefix("model.diffusion_model.")?;
            Some(vec![(translate(inner, &modules)?, Change::None)])
        })
    }

    /// The autoencoder's weights under diffusers' names.
    pub fn vae(&self, config: &VaeConfig) -> Result<Arc<dyn Source>> {
        let blocks = config.block_out_channels.len();
        let whole = self.source.names().iter().any(|n| n.starts_with("first_stage_model."));
        self.renamed("autoencoder", |name| {
            // A file may hold the autoencoder alone.
            let inner = if whole { name.strip_prefix("first_stage_model.")? } else { name };
            Some(vec![(vae_name(inner, blocks)?, Change::None)])
        })
    }

    /// A text encoder's weights under transformers' names.
    pub fn text(&self, part: TextPart) -> Result<Arc<dyn Source>> {
        if let Some(prefix) = self.first_prefix(part.hugging()) {
            return self.renamed("text encoder", |name| {
                let inner = name.strip_prefix(prefix)?;
                (!inner.ends_with("position_ids")).then(|| vec![(inner.to_owned(), Change::None)])
            });
        }
        let prefix = self.first_prefix(part.open()).unwrap_or("cond_stage_model.model.");
        self.renamed("text encoder", |name| Some(open_clip_names(name.strip_prefix(prefix)?)))
    }

    /// Whether there is such a text encoder.
    pub fn has_text(&self, part: TextPart) -> bool {
        self.first_prefix(part.hugging()).or(self.first_prefix(part.open())).is_some()
    }

    /// The first of these prefixes that some tensor's name has.
    fn first_prefix(&self, prefixes: &'static [&'static str]) -> Option<&'static str> {
        let names = self.source.names();
        let has = |prefix: &&&str| names.iter().any(|n| n.starts_with(**prefix));
        prefixes.iter().find(has).copied()
    }

    /// A ControlNet's weights under diffusers' names; `config` is the ControlNet's.
    pub fn control_net(&self, config: &UNetConfig) -> Result<Arc<dyn Source>> {
        let modules = UNetLayout::of(config).control_modules(config.control.embedding.len());
        let modules: HashMap<String, String> = modules.into_iter().collect();
        self.renamed("ControlNet", |name| {
            let inner = name.strip_prefix("control_model.").unwrap_or(name);
            Some(vec![(translate(inner, &modules)?, Change::None)])
        })
    }

    /// Width of the context the denoiser takes, from which its base follows: 768 Stable Diffusion 1, 1024 2, 2048 XL, 1280 the
    /// XL refiner. `None` if the file holds no denoiser.
    pub fn context_width(&self) -> Option<usize> {
        let names = self.source.names();
        let name = names
            .iter()
            .find(|n| n.starts_with("model.diffusion_model.") && n.ends_with("attn2.to_k.weight"))?;
        self.source.info(name)?.shape.get(1).copied()
    }

    /// Channels the denoiser takes: 4, or 9 for inpainting.
    pub fn latent_channels(&self) -> Option<usize> {
        self.source
            .info("model.diffusion_model.input_blocks.0.0.weight")?
            .shape
            .get(1)
            .copied()
    }

    /// Widths of the denoiser's (or ControlNet's) blocks, of which there are `blocks` with two layers each; `prefix` begins its names.
    pub fn block_widths(&self, prefix: &str, blocks: usize) -> Option<Vec<usize>> {
        let width = |block: usize| self.first_axis(&format!("{prefix}input_blocks.{}.0.in_layers.2.weight", 1 + 3 * block));
        (0..blocks).map(width).collect()
    }

    /// Width of the vector that SDXL's denoisers are given besides the context.
    pub fn added_width(&self, prefix: &str) -> Option<usize> {
        self.source.info(&format!("{prefix}label_emb.0.0.weight"))?.shape.get(1).copied()
    }

    /// Widths of the autoencoder's blocks, largest picture first.
    pub fn vae_widths(&self) -> Vec<usize> {
        let whole = self.source.names().iter().any(|n| n.starts_with("first_stage_model."));
        let prefix = if whole { "first_stage_model." } else { "" };
        (0..8)
            .map_while(|block| self.first_axis(&format!("{prefix}decoder.up.{block}.block.0.conv1.weight")))
            .collect()
    }

    fn first_axis(&self, name: &str) -> Option<usize> {
        self.source.info(name)?.shape.first().copied()
    }

    fn renamed(&self, what: &str, rename: impl Fn(&str) -> Option<Vec<(String, Change)>>) -> Result<Arc<dyn Source>> {
        let renamed = Renamed::new(self.source.clone(), |name| rename(name).unwrap_or_default());
        if renamed.is_empty() {
            return Err(ModelError::Corrupt {
                file: self.source.label(),
                reason: format!("it holds no {what}"),
            });
        }
        Ok(Arc::new(renamed))
    }
}
