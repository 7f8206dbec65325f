//! Prompts of a batch joined into one context.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};

use crate::diffusion::error::{ModelError, Result};
use crate::diffusion::latents::{Interpolation, resize};
use crate::diffusion::text::Conditioning;
use crate::diffusion::unet::CrossBias;
use crate::diffusion::unet::regions::{HIDDEN, Region, region_bias};

/// An encoded prompt, and where it holds.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The encoding.
    pub conditioning: Conditioning,
    /// `[h, w]` or `[1, h, w]` of any size, above 0.5 where the prompt holds; `None` for the whole picture.
    pub mask: Option<Tensor>,
}

/// Texts for the rows of a batch, all of one length.
#[derive(Debug, Clone)]
pub struct TextBatch {
    /// `[b, tokens, width]`.
    pub embeds: Tensor,
    /// What each row may look at.
    pub bias: CrossBias,
    /// SDXL's pooled embeddings `[b, width]` and time ids `[b, n]`.
    pub added: Option<(Tensor, Tensor)>,
}

/// The positive or the negative prompts of a job, one after another.
#[derive(Debug, Clone)]
pub(super) struct Half {
    embeds: Tensor,
    /// Where each prompt holds; empty if all hold everywhere.
    regions: Vec<Region>,
    added: Option<(Tensor, Tensor)>,
}

impl Half {
    /// Joins prompts for latents of `size` (height, width) on `device`. There must be one at least.
    pub(super) fn join(field: &'static str, prompts: &[Prompt], size: (usize, usize), device: &Device) -> Result<Self> {
        if prompts.is_empty() {
            return Err(ModelError::Input(format!("{field}: none given, expected one or more")));
        }
        let place = |x: &Tensor| x.to_dtype(DType::F32)?.to_device(device);
        let mut embeds = Vec::new();
        let mut regions = Vec::new();
        let mut added: Option<(Tensor, Tensor)> = None;
        let mut start = 0;
        for prompt in prompts {
            let text = place(&prompt.conditioning.embeds)?;
            let end = start + text.dim(1)?;
            let mask = prompt.mask.as_ref().map(|mask| latent_mask(&place(mask)?, size)).transpose()?;
            // One pooled embedding serves all: the last prompt without a mask, or else the first.
            if let Some(sdxl) = &prompt.conditioning.sdxl
                && (added.is_none() || mask.is_none())
            {
                added = Some((place(&sdxl.pooled)?, place(&sdxl.time_ids)?));
            }
            regions.push(Region { tokens: start..end, mask });
            embeds.push(text);
            start = end;
        }
        if regions.iter().all(|region| region.mask.is_none()) {
            regions.clear();
        }
        Ok(Self {
            embeds: Tensor::cat(&embeds, 1)?,
            regions,
            added,
        })
    }

    fn tokens(&self) -> Result<usize> {
        Ok(self.embeds.dim(1)?)
    }
}

/// A mask at latent size, `[h, w]`.
fn latent_mask(mask: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
    let mask = match mask.dims() {
        [_, _] => mask.unsqueeze(0)?.unsqueeze(0)?,
        [1, _, _] => mask.unsqueeze(0)?,
        other => {
            return Err(ModelError::Input(format!(
                "a prompt's mask has shape {other:?}, expected [height, width]"
            )));
        }
    };
    Ok(resize(&mask, height, width, Interpolation::Nearest, false)?
        .squeeze(0)?
        .squeeze(0)?)
}

/// Puts texts into one batch: shorter ones are filled up with zeros that nothing looks at. `regional` says whether regions count;
/// ControlNets look at all of the text everywhere.
pub(super) fn batch(rows: &[&Half], size: (usize, usize), regional: bool) -> Result<TextBatch> {
    let lengths = rows.iter().map(|row| row.tokens()).collect::<Result<Vec<_>>>()?;
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let embeds = rows
        .iter()
        .zip(&lengths)
        .map(|(row, n)| row.embeds.pad_with_zeros(1, 0, longest - n));
    let embeds = Tensor::cat(&embeds.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
    let device = embeds.device();
    let padding: Vec<Range<usize>> = lengths.iter().map(|&n| n..longest).collect();
    let bias = if regional && rows.iter().any(|row| !row.regions.is_empty()) {
        let nowhere = Tensor::zeros(size, DType::F32, &Device::Cpu)?;
        let regions = rows.iter().zip(&padding).map(|(row, padding)| {
            let hidden = Region {
                tokens: padding.clone(),
                mask: Some(nowhere.clone()),
            };
            row.regions.iter().cloned().chain((!padding.is_empty()).then_some(hidden)).collect()
        });
        CrossBias::Pixels(region_bias(&regions.collect::<Vec<_>>(), size, longest, DType::F32, device)?)
    } else if padding.iter().any(|padding| !padding.is_empty()) {
        let bias = lengths
            .iter()
            .flat_map(|&n| (0..longest).map(move |i| if i < n { 0.0 } else { HIDDEN }));
        CrossBias::Tokens(Tensor::from_vec(bias.collect(), (rows.len(), 1, longest), device)?)
    } else {
        CrossBias::None
    };
    let added: Option<Vec<(Tensor, Tensor)>> = rows.iter().map(|row| row.added.clone()).collect();
    let added = match added {
        Some(added) if !added.is_empty() => {
            let (pooled, time_ids): (Vec<Tensor>, Vec<Tensor>) = added.into_iter().unzip();
            Some((Tensor::cat(&pooled, 0)?, Tensor::cat(&time_ids, 0)?))
        }
        _ => None,
    };
    Ok(TextBatch { embeds, bias, added })
}
