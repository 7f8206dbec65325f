//! What a prompt node hands to the denoiser.

use candle_core::{DType, Tensor};

use super::compel::{Encoder, encode, encode_pooled};
use crate::diffusion::error::Result;

/// An encoded prompt.
#[derive(Debug, Clone)]
pub struct Conditioning {
    /// `[1, 77 k, width]`.
    pub embeds: Tensor,
    /// What SDXL needs besides.
    pub sdxl: Option<SdxlConditioning>,
}

/// SDXL's added conditioning of one prompt.
#[derive(Debug, Clone)]
pub struct SdxlConditioning {
    /// Pooled text embedding, `[1, width]`.
    pub pooled: Tensor,
    /// Six numbers, five for the refiner, `[1, n]`.
    pub time_ids: Tensor,
}

/// Sizes that SDXL was told of each training picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SdxlSizes {
    /// (height, width) of the picture before it was cropped.
    pub original: (f32, f32),
    /// (top, left) of the crop.
    pub crop: (f32, f32),
    /// (height, width) of the crop; `None` for the refiner.
    pub target: Option<(f32, f32)>,
    /// The refiner's aesthetic score.
    pub aesthetic_score: Option<f32>,
}

impl SdxlSizes {
    /// The numbers in the order the model takes them, `[1, n]`.
    pub fn time_ids(&self, like: &Tensor) -> Result<Tensor> {
        let mut ids = vec![self.original.0, self.original.1, self.crop.0, self.crop.1];
        ids.extend(self.target.iter().flat_map(|(h, w)| [*h, *w]));
        ids.extend(self.aesthetic_score);
        let n = ids.len();
        Ok(Tensor::from_vec(ids, (1, n), like.device())?)
    }
}

/// Encodes for SDXL: `first` on `prompt`, `second` on `style` (on `prompt` where the style is blank).
///
/// An empty text gives zeros instead of an encoding.
pub fn encode_sdxl(prompt: &str, style: &str, first: Encoder<'_>, second: Encoder<'_>, sizes: &SdxlSizes) -> Result<Conditioning> {
    let style = if style.trim().is_empty() { prompt } else { style };
    let embeds = |text: &str, encoder: Encoder<'_>| -> Result<Tensor> {
        let config = encoder.model.config();
        match text {
            "" => Ok(Tensor::zeros(
                (1, config.max_position_embeddings, config.hidden_size),
                DType::F32,
                &candle_core::Device::Cpu,
            )?),
            text => encode(text, encoder),
        }
    };
    let one = embeds(prompt, first)?;
    let two = embeds(style, second)?.to_device(one.device())?;
    let pooled = match style {
        "" => Tensor::zeros((1, second.model.config().hidden_size), DType::F32, one.device())?,
        style => encode_pooled(style, second)?.to_device(one.device())?,
    };
    let time_ids = sizes.time_ids(&one)?;
    Ok(Conditioning {
        embeds: join_channels(&one, &two)?,
        sdxl: Some(SdxlConditioning { pooled, time_ids }),
    })
}

/// Puts two encoders' embeddings side by side; the one with fewer tokens is filled up with zeros.
pub fn join_channels(one: &Tensor, two: &Tensor) -> Result<Tensor> {
    let tokens = one.dim(1)?.max(two.dim(1)?);
    let fill = |t: &Tensor| -> candle_core::Result<Tensor> { t.to_dtype(DType::F32)?.pad_with_zeros(1, 0, tokens - t.dim(1)?) };
    Ok(Tensor::cat(&[&fill(one)?, &fill(two)?], 2)?)
}
