//! Regional prompts: which pixels look at which tokens.

use std::collections::HashMap;
use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};

/// Bias of a token that a pixel must not look at.
pub const HIDDEN: f32 = -10000.0;

/// How far below the latents' size cross-attention may happen: sides are halved up to three times.
const LEVELS: usize = 4;

/// One prompt's part of a context and of the picture.
#[derive(Debug, Clone)]
pub struct Region {
    /// Its tokens in the joined context.
    pub tokens: Range<usize>,
    /// Where it acts: `[h, w]` in latent pixels, above 0.5 means it does; `None` means everywhere.
    pub mask: Option<Tensor>,
}

/// The pyramid of a latent-sized mask `[h, w]`: itself, then the maximum over 2×2 pixels (partial ones at the edges too),
/// three times. Entries are `(pixels, values in row order)`.
pub fn mask_pyramid(mask: &Tensor) -> Result<Vec<(usize, Vec<f32>)>> {
    let (mut h, mut w) = mask.dims2()?;
    let mut values: Vec<f32> = mask.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    let mut out = Vec::new();
    for level in 0..LEVELS {
        if level > 0 {
            let (nh, nw) = (h.div_ceil(2), w.div_ceil(2));
            let mut next = vec![f32::NEG_INFINITY; nh * nw];
            for y in 0..h {
                for x in 0..w {
                    let cell = &mut next[y / 2 * nw + x / 2];
                    *cell = cell.max(values[y * w + x]);
                }
            }
            (h, w, values) = (nh, nw, next);
        }
        out.push((h * w, values.clone()));
    }
    Ok(out)
}

/// The bias for each level of the picture: `batch[i]` lists the regions of the batch's sample `i`, `size` is the latents'
/// (height, width), `tokens` the length of the joined context. Tokens outside all of a sample's regions stay visible.
/// Returns, by number of pixels, `[b, pixels, tokens]`.
pub fn region_bias(
    batch: &[Vec<Region>],
    size: (usize, usize),
    tokens: usize,
    dtype: DType,
    device: &Device,
) -> Result<HashMap<usize, Tensor>> {
    let mut by_level: Vec<(usize, Vec<f32>)> = Vec::new();
    let (mut h, mut w) = size;
    for _ in 0..LEVELS {
        by_level.push((h * w, vec![0.0; batch.len() * h * w * tokens]));
        (h, w) = (h.div_ceil(2), w.div_ceil(2));
    }
    for (sample, regions) in batch.iter().enumerate() {
        for region in regions {
            if region.tokens.end > tokens {
                candle_core::bail!("a region's tokens {:?} lie outside the context of {tokens}", region.tokens);
            }
            let Some(mask) = &region.mask else { continue };
            if mask.dims2()? != size {
                candle_core::bail!("a region's mask is {:?}, the latents are {size:?}", mask.dims());
            }
            for ((pixels, bias), (_, values)) in by_level.iter_mut().zip(mask_pyramid(mask)?) {
                for (pixel, value) in values.iter().enumerate() {
                    if *value <= 0.5 {
                        let row = (sample * *pixels + pixel) * tokens;
                        bias[row + region.tokens.start..row + region.tokens.end].fill(HIDDEN);
                    }
                }
            }
        }
    }
    by_level
        .into_iter()
        .map(|(pixels, bias)| {
            Ok((
                pixels,
                Tensor::from_vec(bias, (batch.len(), pixels, tokens), device)?.to_dtype(dtype)?,
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_regions_survive_halving() {
        let mut values = vec![0f32; 15];
        values[14] = 1.0;
        let mask = Tensor::from_vec(values, (3, 5), &Device::Cpu).unwrap();
        let levels: Vec<_> = mask_pyramid(&mask).unwrap();
        let sizes: Vec<usize> = levels.iter().map(|(n, _)| *n).collect();
        assert_eq!(sizes, [15, 6, 2, 1]);
        assert!(levels.iter().all(|(_, v)| v.last() == Some(&1.0)));
        assert_eq!(levels[1].1.iter().filter(|v| **v > 0.5).count(), 1);
    }

    #[test]
    fn pixels_outside_a_region_do_not_see_its_tokens() {
        let mask = Tensor::from_vec(vec![1f32, 0.0, 0.0, 0.0], (2, 2), &Device::Cpu).unwrap();
        let regions = vec![
            Region {
                tokens: 0..2,
                mask: Some(mask),
            },
            Region { tokens: 2..3, mask: None },
        ];
        let bias = region_bias(&[regions], (2, 2), 4, DType::F32, &Device::Cpu).unwrap();
        let rows: Vec<Vec<f32>> = bias[&4].squeeze(0).unwrap().to_vec2().unwrap();
        assert_eq!(rows[0], [0.0; 4]);
        assert_eq!(rows[3], [HIDDEN, HIDDEN, 0.0, 0.0]);
        assert_eq!(bias[&1].squeeze(0).unwrap().to_vec2::<f32>().unwrap(), [[0.0; 4]]);
    }
}
