//! Segment Anything: what belongs to the thing at a point or in a box.

mod decoder;
mod encoder;
mod hiera;
mod prompt;
mod windows;

use std::{path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor};
use serde_json::Value;

use crate::diffusion::{
    ModelError, Result,
    ops::{Align, Border, crop, pad, resize_bilinear},
    read_json,
    weights::{Source, Weights, open_weights},
};

use decoder::Decoder;
use encoder::Encoder;
use hiera::Hiera;
use prompt::Prompts;
pub use prompt::{Label, Prompt};

/// Means and deviations of red, green and blue in 0 to 255 that the model was trained with.
const MEAN: [f32; 3] = [123.675, 116.28, 103.53];
const DEVIATION: [f32; 3] = [58.395, 57.12, 57.375];

/// Side in pixels of what the second model sees.
const SECOND_SIDE: usize = 1024;

#[derive(Debug)]
enum Eyes {
    First(Encoder),
    /// With what is added to its features for want of a memory.
    Second(Hiera, Tensor),
}

/// The model, the first or the second of its kind.
#[derive(Debug)]
pub struct SegmentAnything {
    eyes: Eyes,
    side: usize,
    prompts: Prompts,
    decoder: Decoder,
    bytes: u64,
}

/// A picture as the model saw it.
#[derive(Debug)]
pub struct Seen {
    features: Tensor,
    fine: Option<[Tensor; 2]>,
    /// Width and height of the picture.
    size: (usize, usize),
    /// Width and height that it was brought to.
    resized: (usize, usize),
}

impl SegmentAnything {
    /// Opens a folder as transformers saves it.
    pub fn open(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config: Value = read_json(&folder.join("config.json"))?;
        Self::load(&config, open_weights(folder)?, SECOND_SIDE, dtype, device)
    }

    /// From the JSON of a config and weights under transformers' names. `side` is what the second model sees of a picture, in pixels; of the first all
    /// follows from the weights.
    pub fn load(config: &Value, source: Arc<dyn Source>, side: usize, dtype: DType, device: &Device) -> Result<Self> {
        let weights = Weights::new(source, dtype, device);
        let eyes = weights.at("vision_encoder");
        let (eyes, side) = if eyes.has("pos_embed") {
            let encoder = Encoder::load(&eyes)?;
            let side = encoder.side();
            (Eyes::First(encoder), side)
        } else if eyes.has("backbone.pos_embed") {
            let memory = weights.read("no_memory_embedding")?;
            let memory = memory.reshape((1, memory.elem_count(), 1, 1))?;
            (Eyes::Second(Hiera::load(config, &eyes)?, memory), side)
        } else {
            return Err(weights.corrupt("it holds no Segment Anything model"));
        };
        Ok(Self {
            eyes,
            side,
            prompts: Prompts::load(&weights)?,
            decoder: Decoder::load(&weights.at("mask_decoder"))?,
            bytes: weights.bytes_loaded(),
        })
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Width and height that a picture is to be brought to. It fills the second model's view; of the first only its longer side does.
    pub fn resized(&self, width: usize, height: usize) -> (usize, usize) {
        if matches!(self.eyes, Eyes::Second(..)) {
            return (self.side, self.side);
        }
        let scale = self.side as f64 / width.max(height) as f64;
        let side = |n: usize| ((n as f64 * scale + 0.5) as usize).max(1);
        (side(width), side(height))
    }

    /// Looks at a picture of `size`, resized as [`resized`](Self::resized) says: `[1, 3, h, w]` in 0 to 255.
    pub fn look(&self, resized: &Tensor, size: (usize, usize)) -> Result<Seen> {
        let (_, _, h, w) = resized.dims4()?;
        if (w, h) != self.resized(size.0, size.1) || h.max(w) > self.side {
            return Err(ModelError::Input(format!("a picture of {w}x{h} for a view of {}", self.side)));
        }
        let column = |values: &[f32; 3]| Tensor::from_slice(values, (1, 3, 1, 1), resized.device());
        let x = resized
            .to_dtype(DType::F32)?
            .broadcast_sub(&column(&MEAN)?)?
            .broadcast_div(&column(&DEVIATION)?)?;
        let x = pad(&x, [0, self.side - h, 0, self.side - w], Border::Zeros)?;
        let (features, fine) = match &self.eyes {
            Eyes::First(encoder) => (encoder.forward(&x)?, None),
            Eyes::Second(encoder, memory) => {
                let [coarse, quarter, eighth] = encoder.forward(&x)?;
                (coarse.broadcast_add(memory)?, self.decoder.narrowed(&quarter, &eighth)?)
            }
        };
        Ok(Seen {
            features,
            fine,
            size,
            resized: (w, h),
        })
    }

    /// Scores `[3, h, w]` of three guesses at what the prompt, in pixels of the resized picture, means, at a quarter of the view's size; positive
    /// inside.
    pub fn scores(&self, seen: &Seen, prompt: &Prompt) -> Result<Tensor> {
        let (_, _, h, w) = seen.features.dims4()?;
        let tokens = self.prompts.tokens(prompt, self.side)?;
        let features = seen.features.broadcast_add(&self.prompts.nothing)?;
        self.decoder
            .forward(&features, seen.fine.as_ref(), &self.prompts.places(h, w)?, &tokens)
    }

    /// Which pixels of the picture belong to what the prompt, in pixels of the picture, means: those of all three guesses.
    pub fn segment(&self, seen: &Seen, prompt: &Prompt) -> Result<Vec<bool>> {
        let ((width, height), (w, h)) = (seen.size, seen.resized);
        let scores = self.scores(seen, &prompt.scaled(w as f64 / width as f64, h as f64 / height as f64))?;
        let scores = scores.unsqueeze(0)?.to_dtype(DType::F32)?;
        let fitted = match self.eyes {
            Eyes::First(_) => {
                let large = resize_bilinear(&scores, self.side, self.side, Align::Edges)?;
                resize_bilinear(&crop(&large, h, w)?, height, width, Align::Edges)?
            }
            Eyes::Second(..) => resize_bilinear(&scores, height, width, Align::Edges)?,
        };
        let best = fitted.squeeze(0)?.max(0)?.flatten_all()?.to_device(&Device::Cpu)?;
        Ok(best.to_vec1::<f32>()?.into_iter().map(|v| v > 0.0).collect())
    }
}
