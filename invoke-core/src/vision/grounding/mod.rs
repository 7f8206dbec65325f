//! Grounding DINO: finds what a text names.
//!
//! A Swin transformer sees the picture, BERT reads the text; an encoder brings both together, and a decoder moves boxes to what is like the text.

mod backbone;
mod config;
mod decoder;
mod encoder;
mod layers;
mod neck;
mod prepare;
mod text;
mod tokenizer;

use std::{path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor};
use serde_json::Value;

use crate::{
    diffusion::{
        ModelError, Result,
        ops::Linear,
        read_json,
        weights::{Source, Weights, open_weights},
    },
    imaging::Picture,
};

use backbone::Backbone;
use config::Config;
pub use decoder::Candidates;
use decoder::Decoder;
use encoder::{Encoder, Words};
use neck::Neck;
pub use prepare::Preparation;
use text::{Phrases, TextEncoder};
pub use tokenizer::WordPieces;

/// The network: from numbers of a picture and a text to boxes.
#[derive(Debug)]
pub struct Detector {
    weights: Weights,
    backbone: Backbone,
    neck: Neck,
    text: TextEncoder,
    narrow: Linear,
    encoder: Encoder,
    decoder: Decoder,
    longest_text: usize,
}

impl Detector {
    /// From the JSON of a config and weights under transformers' names.
    ///
    /// # Errors
    /// If the config asks for what is not supported, or a weight is missing or of another shape than the others call for.
    pub fn load(config: &Value, source: Arc<dyn Source>, dtype: DType, device: &Device) -> Result<Self> {
        let weights = Weights::new(source, dtype, device);
        let config = Config::parse(config, &weights)?;
        let model = weights.at("model");
        let backbone = Backbone::load(&model.at("backbone.conv_encoder.model"), &config.backbone_config)?;
        let neck = Neck::load(&model, &backbone.widths(), config.positional_embedding_temperature)?;
        let (width, levels) = (neck.width()?, neck.levels());
        let text = TextEncoder::load(&model.at("text_backbone"), &config.text_config)?;
        Ok(Self {
            narrow: model.at("text_projection").linear(text.width()?, width)?,
            encoder: Encoder::load(&model.at("encoder"), width, levels, &config)?,
            decoder: Decoder::load(&weights, width, levels, &config)?,
            backbone,
            neck,
            text,
            longest_text: config.max_text_len,
            weights,
        })
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.weights.bytes_loaded()
    }

    /// Boxes in a picture `[1, 3, h, w]`, prepared as [`Preparation`] does it, and how much each is like each token of a text. `between` is asked again
    /// and again whether to go on.
    ///
    /// # Errors
    /// If the text has no tokens or too many, or the picture has fewer places than boxes are looked for, or `between` says no.
    pub fn forward<E: From<ModelError>>(&self, pixels: &Tensor, ids: &[u32], between: &dyn Fn() -> Result<(), E>) -> Result<Candidates, E> {
        let mut words = self.read(ids)?;
        let features = self.backbone.forward(pixels, between)?;
        let mut scene = self.neck.forward(&features)?;
        drop(features);
        self.encoder.forward(&mut scene, &mut words, between)?;
        self.decoder.forward(&scene, &words.tokens, between)
    }

    fn read(&self, ids: &[u32]) -> Result<Words> {
        if ids.is_empty() || ids.len() > self.longest_text {
            return Err(ModelError::Input(format!(
                "the prompt has {} tokens, expected 1 to {}",
                ids.len(),
                self.longest_text
            )));
        }
        let phrases = Phrases::of(ids);
        let mask = phrases.mask(&self.weights)?;
        let tokens = self.narrow.forward(&self.text.forward(ids, &phrases, &mask)?)?;
        Words::new(tokens, &phrases, mask)
    }
}

/// Something that a text names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Left, top, right and bottom in pixels of the picture; they may lie beyond its edges.
    pub corners: [f32; 4],
    /// How sure that is, 0 to 1.
    pub score: f32,
}

/// The detector with what stands before and after the network.
#[derive(Debug)]
pub struct GroundingDino {
    detector: Detector,
    tokenizer: WordPieces,
    preparation: Preparation,
    dtype: DType,
    device: Device,
}

impl GroundingDino {
    /// Opens a folder as transformers saves it.
    ///
    /// # Errors
    /// If a file is missing or damaged.
    pub fn open(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config: Value = read_json(&folder.join("config.json"))?;
        let processor = folder.join("preprocessor_config.json");
        let processor: Value = if processor.is_file() { read_json(&processor)? } else { Value::Null };
        Ok(Self {
            tokenizer: WordPieces::open(folder)?,
            detector: Detector::load(&config, open_weights(folder)?, dtype, device)?,
            preparation: Preparation::from_json(&processor),
            dtype,
            device: device.clone(),
        })
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.detector.bytes()
    }

    /// What `text` names in a picture, those that score above `threshold` (0 to 1), the best first. `between` is asked again and again whether to go on.
    ///
    /// # Errors
    /// If the text is too long or the picture too narrow, or `between` says no.
    pub fn find<E: From<ModelError>>(
        &self,
        picture: &Picture,
        text: &str,
        threshold: f32,
        between: &dyn Fn() -> Result<(), E>,
    ) -> Result<Vec<Found>, E> {
        let ids = self.tokenizer.ids(text)?;
        let pixels = self.preparation.pixels(picture, self.dtype, &self.device)?;
        let candidates = self.detector.forward(&pixels, &ids, between)?;
        Ok(candidates.found(picture.size(), threshold)?)
    }
}

impl Candidates {
    /// Those boxes of a picture of this width and height that are more like any of the tokens than `threshold` (0 to 1), the best first.
    ///
    /// # Errors
    /// If the device fails.
    pub fn found(&self, (width, height): (usize, usize), threshold: f32) -> Result<Vec<Found>> {
        let best = layers::to_rows(&self.logits.max(1)?)?;
        let boxes = layers::to_rows(&self.boxes)?;
        let (width, height) = (width as f32, height as f32);
        let mut found: Vec<Found> = boxes
            .chunks_exact(4)
            .zip(best)
            .map(|(place, best)| {
                let (across, down) = (0.5 * place[2], 0.5 * place[3]);
                Found {
                    corners: [
                        (place[0] - across) * width,
                        (place[1] - down) * height,
                        (place[0] + across) * width,
                        (place[1] + down) * height,
                    ],
                    score: 1.0 / (1.0 + (-best).exp()),
                }
            })
            .filter(|found| found.score > threshold && found.score != 0.0)
            .collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first() {
        let logits = Tensor::new(&[[-4.0_f32, -1.0], [2.0, -3.0], [-9.0, 0.0], [f32::NEG_INFINITY; 2]], &Device::Cpu).unwrap();
        let boxes = Tensor::new(
            &[[0.5_f32, 0.5, 0.2, 0.4], [0.25, 0.5, 0.5, 0.5], [0.125; 4], [0.25; 4]],
            &Device::Cpu,
        )
        .unwrap();
        let candidates = Candidates { logits, boxes };
        let found = candidates.found((200, 100), 0.4).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].corners, [0.0, 25.0, 100.0, 75.0]);
        assert_eq!((found[1].score, found[1].corners), (0.5, [12.5, 6.25, 37.5, 18.75]));
        // What cannot be at all is not found, however low the threshold.
        assert_eq!(candidates.found((200, 100), 0.0).unwrap().len(), 3);
        assert!(candidates.found((200, 100), 1.0).unwrap().is_empty());
    }
}
