//! Encoded prompts, joined for a run.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};

use crate::diffusion::error::{ModelError, Result};
use crate::diffusion::latents::{Interpolation, resize};

/// An encoded prompt.
#[derive(Debug, Clone)]
pub struct FluxConditioning {
    /// T5's embeddings, `[1, tokens, width]`.
    pub tokens: Tensor,
    /// CLIP's pooled embedding, `[1, width]`.
    pub pooled: Tensor,
}

/// A prompt and where it holds.
#[derive(Debug, Clone)]
pub struct RegionalPrompt {
    /// The prompt.
    pub conditioning: FluxConditioning,
    /// `[1, h, w]` of any size; above one half it holds. `None` is everywhere that no other prompt is.
    pub mask: Option<Tensor>,
}

/// The prompts of a run as one text.
#[derive(Debug, Clone)]
pub struct JoinedText {
    /// All tokens, `[1, m, width]`.
    pub tokens: Tensor,
    /// The pooled text of the first prompt that holds everywhere, or of the first, `[1, width]`.
    pub pooled: Tensor,
    /// What tokens of text and picture must not look at, `[1, m + n, m + n]`, added to scores of attention; `None` if they may look at all.
    pub mask: Option<Tensor>,
}

/// What is added to a score that shall not count.
const HIDDEN: f32 = -1e30;

/// Joins prompts for a picture of `rows` by `columns` tokens.
pub fn join(prompts: &[RegionalPrompt], (rows, columns): (usize, usize)) -> Result<JoinedText> {
    let Some(first) = prompts.first() else {
        return Err(ModelError::Input("there is no prompt, expected one or more".into()));
    };
    let everywhere = prompts.iter().find(|prompt| prompt.mask.is_none()).unwrap_or(first);
    let tokens: Vec<&Tensor> = prompts.iter().map(|prompt| &prompt.conditioning.tokens).collect();
    let mut ranges = Vec::new();
    let mut start = 0;
    for tokens in &tokens {
        let end = start + tokens.dim(1)?;
        ranges.push(start..end);
        start = end;
    }
    let masks = prompts
        .iter()
        .map(|prompt| prompt.mask.as_ref().map(|mask| coverage(mask, rows, columns)).transpose())
        .collect::<Result<Vec<_>>>()?;
    let mask = restricted(&ranges, &masks, start, rows * columns);
    let all = start + rows * columns;
    Ok(JoinedText {
        tokens: Tensor::cat(&tokens, 1)?,
        pooled: everywhere.conditioning.pooled.clone(),
        mask: mask.map(|mask| Tensor::from_vec(mask, (1, all, all), &Device::Cpu)).transpose()?,
    })
}

/// For each token of the picture, whether a mask covers it: that of the nearest pixel.
fn coverage(mask: &Tensor, rows: usize, columns: usize) -> Result<Vec<bool>> {
    let dims = mask.dims().to_vec();
    let [.., h, w] = dims[..] else {
        return Err(ModelError::Input(format!(
            "a prompt's mask is {dims:?}, expected at least two axes"
        )));
    };
    if mask.elem_count() != h * w || h * w == 0 {
        return Err(ModelError::Input(format!("a prompt's mask is {dims:?}, expected one picture")));
    }
    let mask = mask.to_dtype(DType::F32)?.reshape((1, 1, h, w))?;
    let small = resize(&mask, rows, columns, Interpolation::Nearest, false)?;
    let values: Vec<f32> = small.flatten_all()?.to_vec1()?;
    Ok(values.into_iter().map(|value| value > 0.5).collect())
}

/// Who must not look at whom: a prompt's tokens see themselves and their region, and a region sees itself and its prompts' tokens. What no region covers
/// sees the whole picture and is seen by it; prompts that hold everywhere belong to it.
fn restricted(ranges: &[Range<usize>], masks: &[Option<Vec<bool>>], words: usize, picture: usize) -> Option<Vec<f32>> {
    let regions: Vec<&Vec<bool>> = masks.iter().flatten().collect();
    if regions.is_empty() {
        return None;
    }
    let background: Vec<bool> = (0..picture).map(|i| regions.iter().all(|region| !region[i])).collect();
    let all = words + picture;
    let mut hidden = vec![HIDDEN; all * all];
    let mut show = |from: usize, to: usize| hidden[from * all + to] = 0.0;
    for (range, mask) in ranges.iter().zip(masks) {
        for from in range.clone() {
            range.clone().for_each(|to| show(from, to));
        }
        let region = mask.as_ref().unwrap_or(&background);
        for (token, _) in region.iter().enumerate().filter(|(_, covered)| **covered) {
            for word in range.clone() {
                show(word, words + token);
                show(words + token, word);
            }
        }
    }
    for from in 0..picture {
        let own: Vec<&&Vec<bool>> = regions.iter().filter(|region| region[from]).collect();
        let row = &mut hidden[(words + from) * all + words..][..picture];
        for (to, score) in row.iter_mut().enumerate() {
            if background[from] || background[to] || own.iter().any(|region| region[to]) {
                *score = 0.0;
            }
        }
    }
    Some(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(tokens: usize, pooled: f32, mask: Option<&[f32]>) -> RegionalPrompt {
        let device = &Device::Cpu;
        RegionalPrompt {
            conditioning: FluxConditioning {
                tokens: Tensor::full(pooled, (1, tokens, 2), device).unwrap(),
                pooled: Tensor::full(pooled, (1, 3), device).unwrap(),
            },
            mask: mask.map(|mask| Tensor::from_slice(mask, (1, 1, mask.len()), device).unwrap()),
        }
    }

    /// Rows of the mask as text, `#` where a token is seen.
    fn drawn(text: &JoinedText) -> Vec<String> {
        let rows = text.mask.as_ref().unwrap().get(0).unwrap().to_vec2::<f32>().unwrap();
        let drawn = |row: &Vec<f32>| row.iter().map(|v| if *v == 0.0 { '#' } else { '.' }).collect();
        rows.iter().map(drawn).collect()
    }

    #[test]
    fn regions_look_at_their_own_prompts() {
        let text = join(&[prompt(2, 1.0, Some(&[1.0, 0.0, 0.0])), prompt(1, 2.0, None)], (1, 3)).unwrap();
        assert_eq!(text.tokens.dims(), [1, 3, 2]);
        assert_eq!(text.pooled.to_vec2::<f32>().unwrap(), [[2.0; 3]]);
        assert_eq!(drawn(&text), ["##.#..", "##.#..", "..#.##", "##.###", "..####", "..####"]);
        let plain = join(&[prompt(2, 1.0, None), prompt(1, 2.0, None)], (1, 3)).unwrap();
        assert!(plain.mask.is_none());
        assert_eq!(plain.pooled.to_vec2::<f32>().unwrap(), [[1.0; 3]]);
        assert!(join(&[], (1, 1)).is_err());
    }

    #[test]
    fn regions_that_overlap_see_each_other() {
        let both = [prompt(1, 1.0, Some(&[1.0, 1.0, 0.0])), prompt(1, 2.0, Some(&[0.0, 1.0, 1.0]))];
        assert_eq!(drawn(&join(&both, (1, 3)).unwrap()), ["#.##.", ".#.##", "#.##.", "#####", ".#.##"]);
    }
}
