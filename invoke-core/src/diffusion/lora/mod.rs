//! LoRA and its relatives: deltas that are added to a model's weights as they are read.
//!
//! ```text
//! let lora = Arc::new(Lora::read(&*open_weights(path)?)?);
//! let source = patch(open_weights(&folder)?, Part::UNet, &[(lora, 0.75)]);
//! let unet = UNet::load(config, &Weights::new(source, dtype, &device))?;
//! ```
//!
//! Keys are understood in kohya's layout (`lora_unet_…`, `lora_te_…`, `lora_te1_…`, `lora_te2_…`), in diffusers' and PEFT's
//! (`unet.…lora_A.weight`), and, for the denoiser, under the names of single-file checkpoints (`lora_unet_input_blocks_…`). For FLUX.1 besides: kohya's
//! (`lora_unet_double_blocks_…`), OneTrainer's (`lora_transformer_…`, `transformer.double_blocks.…`), diffusers' and PEFT's (`transformer.…`,
//! `base_model.model.…`), AI Toolkit's and SimpleTuner's (`diffusion_model.…`), XLabs' (`double_blocks.….processor.…`).

mod delta;
mod flux;
mod keys;
mod patch;

use std::collections::HashMap;

use candle_core::{DType, Tensor};

pub use keys::Part;
pub use patch::patch;

use delta::Delta;
use flux::Rows;
use keys::{Field, Place, locate};

use super::error::{ModelError, Result};
use super::weights::Source;
use crate::models::peft;

/// The most layers a file may patch.
const MAX_LAYERS: usize = 20_000;
/// The most numbers that the factors of a file's Kronecker products may multiply out to: 8 GB.
const MAX_PRODUCTS: usize = 1 << 31;

/// A patch for a model's weights, with its own weights in memory.
#[derive(Debug)]
pub struct Lora {
    label: String,
    /// By part and the module's name with underscores for dots; several where each has some of a fused module's rows.
    layers: HashMap<(Part, String), Vec<(Rows, Delta)>>,
    bytes: u64,
}

impl Lora {
    /// Reads a patch. Keys of no known kind are left out; errors if none is left, or if a layer lacks a part.
    pub fn read(source: &dyn Source) -> Result<Self> {
        let mut fields: HashMap<Place, HashMap<Field, Tensor>> = HashMap::new();
        let mut bytes = 0;
        let mut unknown = 0;
        let names = source.names();
        let plain = peft::plain(names.iter().map(String::as_str));
        for name in &names {
            if name.starts_with("bundle_emb") {
                continue;
            }
            let Some((place, field)) = locate(&plain(name)) else {
                unknown += 1;
                continue;
            };
            let tensor = source.read(name)?.to_dtype(DType::F32)?;
            bytes += 4 * tensor.elem_count() as u64;
            fields.entry(place).or_default().insert(field, tensor);
        }
        let label = source.label();
        let corrupt = |reason: String| ModelError::Corrupt {
            file: label.clone(),
            reason,
        };
        if fields.is_empty() || fields.len() > MAX_LAYERS {
            return Err(corrupt(format!(
                "it holds {} LoRA layers, 1 to {MAX_LAYERS} expected",
                fields.len()
            )));
        }
        if unknown > 0 {
            tracing::warn!(file = label, unknown, "a LoRA has keys of no known kind");
        }
        let mut layers: HashMap<_, Vec<_>> = HashMap::with_capacity(fields.len());
        let mut room = MAX_PRODUCTS;
        for ((part, module, rows), fields) in fields {
            let delta = Delta::new(fields, &mut room).map_err(|reason| corrupt(format!("layer `{module}`: {reason}")))?;
            layers.entry((part, module)).or_default().push((rows, delta));
        }
        bytes += 4 * (MAX_PRODUCTS - room) as u64;
        Ok(Self { label, layers, bytes })
    }

    /// Bytes its weights take in memory.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of layers it has for a part of a model.
    pub fn layers(&self, part: Part) -> usize {
        self.layers.keys().filter(|(p, _)| *p == part).count()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::diffusion::weights::open_weights;

    fn read(tensors: &[(&str, &[usize])]) -> Result<Lora> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lora.safetensors");
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let tensors: HashMap<String, Tensor> = tensors.iter().map(|(name, shape)| ((*name).to_owned(), zeros(shape))).collect();
        candle_core::safetensors::save(&tensors, &path).unwrap();
        Lora::read(&*open_weights(&path).unwrap())
    }

    #[test]
    fn an_adapter_may_have_any_name() {
        let layer = "transformer.transformer_blocks.0.attn.to_q";
        for adapter in ["", ".default", ".style"] {
            let (down, up) = (format!("{layer}.lora_A{adapter}.weight"), format!("{layer}.lora_B{adapter}.weight"));
            let lora = read(&[(&down, &[2, 8]), (&up, &[8, 2])]).unwrap();
            assert_eq!(lora.layers(Part::UNet), 1, "{adapter}");
        }
    }

    #[test]
    fn small_factors_of_large_products_are_refused() {
        const LONG: usize = 1 << 20;
        let between = read(&[
            ("lora_unet_conv_in.lokr_w1", &[1, 1]),
            ("lora_unet_conv_in.lokr_w2_a", &[1, LONG]),
            ("lora_unet_conv_in.lokr_t2", &[1, LONG, 1, 1]),
            ("lora_unet_conv_in.lokr_w2_b", &[LONG, 1]),
        ]);
        let product = read(&[
            ("lora_unet_conv_in.lokr_w1", &[1, 1]),
            ("lora_unet_conv_in.lokr_w2_a", &[LONG, 1]),
            ("lora_unet_conv_in.lokr_w2_b", &[1, LONG]),
        ]);
        for refused in [between, product] {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("conv_in") && error.contains("too much"), "{error}");
        }
    }

    #[test]
    fn what_factors_multiply_out_to_is_counted() {
        let lora = read(&[
            ("lora_unet_conv_in.lokr_w1", &[1, 1]),
            ("lora_unet_conv_in.lokr_w2_a", &[64, 2]),
            ("lora_unet_conv_in.lokr_w2_b", &[2, 64]),
        ]);
        assert_eq!(lora.unwrap().bytes(), 4 * (1 + 128 + 128 + 64 * 64));
    }
}
