//! A transformer, T5 or an autoencoder in a file.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::config::FluxConfig;
use crate::diffusion::error::{ModelError, Result, short};
use crate::diffusion::open::{Opened, diffusers_widths};
use crate::diffusion::text::T5Config;
use crate::diffusion::vae::VaeConfig;
use crate::diffusion::weights::{Change, Checkpoint, Renamed, Source, open_weights};

/// What may begin the names of a transformer's tensors.
const PREFIX: &str = "model.diffusion_model.";

/// The transformer in the file at `path`, bare or beside other parts, under its own names.
pub fn open_flux(path: &Path) -> Result<Opened<FluxConfig>> {
    if path.is_dir() {
        return Err(unlike(
            path,
            "it is a folder; a FLUX transformer is read from a single file in Black Forest Labs' layout, safetensors or GGUF",
        ));
    }
    let source = bare(open_weights(path)?);
    Ok((FluxConfig::of(&*source)?, source))
}

/// The source without the prefix, if it has it.
fn bare(source: Arc<dyn Source>) -> Arc<dyn Source> {
    if source.info(&format!("{PREFIX}img_in.weight")).is_none() {
        return source;
    }
    Arc::new(Renamed::new(source, |name| {
        name.strip_prefix(PREFIX)
            .map(|name| (name.to_owned(), Change::None))
            .into_iter()
            .collect()
    }))
}

/// T5's encoder in `path`: its folder, or a GGUF file under the names of llama.cpp.
pub fn open_t5(path: &Path) -> Result<Opened<T5Config>> {
    if path.is_dir() {
        let config = T5Config::read(&path.join("config.json"))?;
        return Ok((config, open_weights(path)?));
    }
    let mut source = open_weights(path)?;
    if source.info("token_embd.weight").is_some() {
        source = Arc::new(Renamed::new(source, |name| {
            llama_name(name).map(|name| (name, Change::None)).into_iter().collect()
        }));
    }
    Ok((T5Config::of(&*source)?, source))
}

/// What transformers calls a tensor of T5's encoder in a file of llama.cpp.
fn llama_name(name: &str) -> Option<String> {
    const PARTS: [(&str, &str); 10] = [
        ("attn_q", "0.SelfAttention.q"),
        ("attn_k", "0.SelfAttention.k"),
        ("attn_v", "0.SelfAttention.v"),
        ("attn_o", "0.SelfAttention.o"),
        ("attn_rel_b", "0.SelfAttention.relative_attention_bias"),
        ("attn_norm", "0.layer_norm"),
        ("ffn_gate", "1.DenseReluDense.wi_0"),
        ("ffn_up", "1.DenseReluDense.wi_1"),
        ("ffn_down", "1.DenseReluDense.wo"),
        ("ffn_norm", "1.layer_norm"),
    ];
    match name {
        "token_embd.weight" => return Some("shared.weight".into()),
        "enc.output_norm.weight" => return Some("encoder.final_layer_norm.weight".into()),
        _ => {}
    }
    let (block, part) = name.strip_prefix("enc.blk.")?.strip_suffix(".weight")?.split_once('.')?;
    let (_, new) = PARTS.iter().find(|(old, _)| *old == part)?;
    Some(format!("encoder.block.{block}.layer.{new}.weight"))
}

/// The autoencoder in `path`: a folder in diffusers' layout, or a file under the names of Black Forest Labs or of diffusers.
pub fn open_flux_vae(path: &Path) -> Result<Opened<VaeConfig>> {
    if path.is_dir() {
        return Ok((VaeConfig::read(&path.join("config.json"))?, open_weights(path)?));
    }
    let source = open_weights(path)?;
    if let Some(widths) = diffusers_widths(&*source, "decoder.up_blocks", "resnets.0.conv1.weight") {
        let widths: Vec<usize> = widths.into_iter().rev().collect();
        return Ok((vae_config(&*source, "decoder.conv_in.weight", &widths)?, source));
    }
    let checkpoint = Checkpoint::new(source.clone());
    let widths = checkpoint.vae_widths();
    if widths.is_empty() {
        return Err(unlike(path, "it holds no autoencoder"));
    }
    let whole = source.names().iter().any(|name| name.starts_with("first_stage_model."));
    let first = if whole {
        "first_stage_model.decoder.conv_in.weight"
    } else {
        "decoder.conv_in.weight"
    };
    let config = vae_config(&*source, first, &widths)?;
    let source = checkpoint.vae(&config)?;
    Ok((config, source))
}

/// The config of an autoencoder with blocks of these widths; the kernel named `first` takes latents.
fn vae_config(source: &dyn Source, first: &str, widths: &[usize]) -> Result<VaeConfig> {
    let shape = source.info(first).map(|info| info.shape).unwrap_or_default();
    let latents = shape.get(1).copied().ok_or_else(|| ModelError::MissingTensor {
        file: source.label(),
        tensor: first.to_owned(),
    })?;
    let config = json!({
        "block_out_channels": widths, "layers_per_block": 2, "norm_num_groups": 32, "latent_channels": latents, "sample_size": 1024,
        "scaling_factor": 0.3611, "shift_factor": 0.1159, "force_upcast": true, "use_quant_conv": false, "use_post_quant_conv": false,
    });
    VaeConfig::parse(&config.to_string())
}

fn unlike(path: &Path, reason: &str) -> ModelError {
    ModelError::Corrupt {
        file: short(path),
        reason: reason.into(),
    }
}
