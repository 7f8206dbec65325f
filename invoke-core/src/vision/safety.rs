//! The checker that Stable Diffusion came with: whether a picture is like concepts that people may not want to see.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};

use crate::diffusion::{
    ModelError, Result,
    control::{ClipVisionModel, ImageFeatures},
    read_json,
    weights::{Change, Renamed, Weights, open_weights},
};

/// How much nearer a picture must not be to a concept once it is near to one that asks for special care.
const CARE: f32 = 0.01;

/// The checker.
#[derive(Debug)]
pub struct SafetyChecker {
    encoder: ClipVisionModel,
    /// Directions and how near is too near: of what asks for special care, then of the concepts.
    care: Vec<(Vec<f32>, f32)>,
    concepts: Vec<(Vec<f32>, f32)>,
    bytes: u64,
}

/// The values that configs leave out because they are usual.
fn with_usual(given: &Value, projection: usize) -> Value {
    let mut config = json!({
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224,
        "patch_size": 32, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
    });
    if let (Some(config), Some(given)) = (config.as_object_mut(), given.as_object()) {
        config.extend(given.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone())));
    }
    config["projection_dim"] = projection.into();
    config
}

impl SafetyChecker {
    /// Opens a folder as diffusers saves it.
    pub fn open(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config: Value = read_json(&folder.join("config.json"))?;
        // The encoder lies one level deeper than it does by itself.
        let source = Renamed::new(open_weights(folder)?, |name| {
            vec![(name.strip_prefix("vision_model.").unwrap_or(name).to_owned(), Change::None)]
        });
        let weights = Weights::new(std::sync::Arc::new(source), dtype, device);
        let width = weights.require("visual_projection.weight")?.first().copied().unwrap_or_default();
        let list = |name: &str| -> Result<Vec<(Vec<f32>, f32)>> {
            let directions = weights.read(name)?.to_dtype(DType::F32)?;
            let near: Vec<f32> = weights
                .read(&format!("{name}_weights"))?
                .to_dtype(DType::F32)?
                .flatten_all()?
                .to_vec1()?;
            let (rows, found) = directions.dims2()?;
            if found != width || rows != near.len() {
                return Err(weights.corrupt(format!("`{name}` has shape [{rows}, {found}], expected [{}, {width}]", near.len())));
            }
            Ok(directions.to_device(&Device::Cpu)?.to_vec2()?.into_iter().zip(near).collect())
        };
        let (care, concepts) = (list("special_care_embeds")?, list("concept_embeds")?);
        Ok(Self {
            encoder: ClipVisionModel::load(&with_usual(&config["vision_config"], width), &weights)?,
            care,
            concepts,
            bytes: weights.bytes_loaded(),
        })
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Side in pixels of the square pictures it takes.
    pub fn image_size(&self) -> usize {
        self.encoder.image_size()
    }

    /// Whether a picture `[1, 3, side, side]` in 0 to 1 is too near to one of the concepts.
    pub fn flags(&self, picture: &Tensor) -> Result<bool> {
        let seen = self.encoder.encode(&self.encoder.normalise(picture)?, ImageFeatures::Pooled)?;
        let seen: Vec<f32> = seen.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?;
        if seen.iter().any(|v| !v.is_finite()) {
            return Err(ModelError::Input(
                "the picture could not be looked at: its features are no numbers".into(),
            ));
        }
        Ok(judged(&seen, &self.care, &self.concepts))
    }
}

/// Whether what was seen is nearer to a concept than it may be.
fn judged(seen: &[f32], care: &[(Vec<f32>, f32)], concepts: &[(Vec<f32>, f32)]) -> bool {
    let length = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    let too_near = |(direction, near): &(Vec<f32>, f32), more: f32| {
        let cosine = seen.iter().zip(direction).map(|(a, b)| a * b).sum::<f32>() / (length(seen) * length(direction));
        // Compared in thousandths.
        ((cosine - near + more) * 1000.0).round_ties_even() > 0.0
    };
    let mut more = 0.0;
    for item in care {
        if too_near(item, more) {
            more = CARE;
        }
    }
    concepts.iter().any(|item| too_near(item, more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_care_makes_the_measure_stricter() {
        let seen = [3.0, 4.0];
        let concept = vec![(vec![1.0, 0.0], 0.605)];
        let near = vec![(vec![0.0, 2.0], 0.7)];
        let far = vec![(vec![0.0, -2.0], 0.7)];
        assert!(!judged(&seen, &far, &concept));
        assert!(judged(&seen, &near, &concept));
        assert!(judged(&seen, &[], &[(vec![1.0, 0.0], 0.59)]));
        // Less than half a thousandth does not count.
        assert!(!judged(&seen, &[], &[(vec![1.0, 0.0], 0.5996)]));
    }
}
