//! Parsed prompts to embeddings.

use candle_core::{DType, Tensor};

use super::chunks::Chunks;
use super::{Fragment, Part, Prompt, is_neutral};
use crate::diffusion::error::{ModelError, Result};
use crate::diffusion::text::{ClipTextModel, HiddenState, Inversions, Tokenizer};

/// Sequences that go through the text encoder at once.
const BATCH: usize = 16;
/// The most tokens a prompt may have: 64 sequences.
const MAX_TOKENS: usize = 64 * 75;

/// A text encoder and how to use it.
#[derive(Debug, Clone, Copy)]
pub struct Encoder<'a> {
    /// Text to tokens.
    pub tokenizer: &'a Tokenizer,
    /// Tokens to embeddings.
    pub model: &'a ClipTextModel,
    /// Which states are the embeddings.
    pub state: HiddenState,
    /// Layers to leave out at the end ("clip skip").
    pub skip: usize,
    /// Words with embeddings of their own.
    pub inversions: Option<&'a Inversions>,
}

/// Embeds a prompt in compel's syntax: `[1, 77 k, width]`.
pub fn encode(prompt: &str, encoder: Encoder<'_>) -> Result<Tensor> {
    let prompt = Prompt::parse(prompt).map_err(|e| ModelError::Input(e.to_string()))?;
    encode_prompt(&prompt, encoder)
}

/// The pooled embedding of the prompt's text as it is written, syntax included, cut off after one sequence: `[1, width]`.
pub fn encode_pooled(prompt: &str, encoder: Encoder<'_>) -> Result<Tensor> {
    let sequence = encoder.tokenizer.sequence(prompt, encoder.inversions)?;
    encoder.model.pooled(&[&sequence], encoder.skip, encoder.inversions)
}

/// Embeds a parsed prompt: `[1, 77 k, width]`.
pub fn encode_prompt(prompt: &Prompt, encoder: Encoder<'_>) -> Result<Tensor> {
    let mut run = Run { encoder, empty: None };
    let mut parts = Vec::new();
    for (part, weight) in prompt.parts.iter().zip(&prompt.weights) {
        let mut embeds = match part {
            Part::Text(fragments) => run.fragments(fragments)?,
            Part::Blend {
                prompts,
                weights,
                normalize,
            } => run.blend(prompts, weights, *normalize)?,
        };
        if !is_neutral(*weight) {
            let empty = run.empty_of(embeds.dim(0)?)?;
            embeds = (&empty + ((embeds - &empty)? * *weight)?)?;
        }
        parts.push(embeds);
    }
    Ok(Tensor::cat(&parts, 0)?.unsqueeze(0)?)
}

struct Run<'a> {
    encoder: Encoder<'a>,
    empty: Option<Tensor>,
}

impl Run<'_> {
    /// The empty prompt's embeddings, `[77, width]`.
    fn empty(&mut self) -> Result<Tensor> {
        if self.empty.is_none() {
            let tokenizer = self.encoder.tokenizer;
            let mut ids = vec![tokenizer.bos, tokenizer.eos];
            ids.resize(tokenizer.max_length, tokenizer.pad);
            self.empty = Some(self.sequences(&[(&ids, None)])?.squeeze(0)?);
        }
        Ok(self.empty.clone().expect("it was made above"))
    }

    /// The empty prompt's embeddings repeated to `tokens` rows.
    fn empty_of(&mut self, tokens: usize) -> Result<Tensor> {
        let empty = self.empty()?;
        Ok(empty.repeat((tokens / empty.dim(0)?, 1))?)
    }

    /// Embeds sequences, some with tokens hidden: `[sequences, 77, width]`.
    fn sequences(&self, sequences: &[(&[u32], Option<&[bool]>)]) -> Result<Tensor> {
        let Encoder {
            model,
            state,
            skip,
            inversions,
            tokenizer,
        } = self.encoder;
        let all_seen = vec![true; tokenizer.max_length];
        let mut out = Vec::new();
        for batch in sequences.chunks(BATCH) {
            let ids: Vec<&[u32]> = batch.iter().map(|(ids, _)| *ids).collect();
            let seen: Vec<&[bool]> = batch.iter().map(|(_, seen)| seen.unwrap_or(&all_seen)).collect();
            let masked = batch.iter().any(|(_, seen)| seen.is_some());
            out.push(model.encode(&ids, masked.then_some(seen.as_slice()), state, skip, inversions)?);
        }
        Ok(Tensor::cat(&out, 0)?)
    }

    /// Embeds weighted text: `[77 k, width]`.
    ///
    /// Every token's row is moved away from (or towards) the empty prompt's by its weight. Then, for each fragment that weighs
    /// less than 1, the same text with that fragment hidden is mixed in, the more the less the fragment weighs.
    fn fragments(&mut self, fragments: &[Fragment]) -> Result<Tensor> {
        let Encoder { tokenizer, inversions, .. } = self.encoder;
        let tokens: Vec<Vec<u32>> = fragments
            .iter()
            .map(|f| tokenizer.ids(&f.text, inversions))
            .collect::<Result<_>>()?;
        let ids: Vec<u32> = tokens.concat();
        if ids.len() > MAX_TOKENS {
            return Err(ModelError::Input(format!(
                "the prompt has {} tokens, at most {MAX_TOKENS} are supported",
                ids.len()
            )));
        }
        let weights: Vec<f32> = fragments
            .iter()
            .zip(&tokens)
            .flat_map(|(f, t)| vec![f.weight as f32; t.len()])
            .collect();
        let chunks = Chunks::new(&ids, &weights, tokenizer);
        let hidden: Vec<(Vec<bool>, f64)> = chunks
            .find(&tokens)
            .into_iter()
            .zip(fragments)
            .filter(|(_, fragment)| fragment.weight < 1.0)
            .filter_map(|(range, fragment)| {
                let (start, end) = range?;
                let share = ((1.0 - fragment.weight.max(1e-5)) * std::f64::consts::FRAC_PI_2).tan();
                Some((chunks.without(start, end), share))
            })
            .collect();
        let length = chunks.length;
        let mut sequences: Vec<(&[u32], Option<&[bool]>)> = chunks.ids.chunks(length).map(|ids| (ids, None)).collect();
        for (seen, _) in &hidden {
            sequences.extend(
                chunks
                    .ids
                    .chunks(length)
                    .zip(seen.chunks(length))
                    .map(|(ids, seen)| (ids, Some(seen))),
            );
        }
        let z = self.sequences(&sequences)?;
        let (_, _, width) = z.dims3()?;
        let total = chunks.ids.len();
        let mut z = z.reshape((hidden.len() + 1, total, width))?;
        if !chunks.weights.iter().all(|w| is_neutral(f64::from(*w))) {
            z = self.weigh(&z, &chunks.weights)?;
        }
        if hidden.is_empty() {
            return Ok(z.squeeze(0)?);
        }
        let shares: Vec<f64> = std::iter::once(1.0).chain(hidden.iter().map(|(_, share)| *share)).collect();
        mix(&z, &shares, true)
    }

    /// `e + w (z - e)` for every row whose weight is not 1; `z [n, tokens, width]`.
    fn weigh(&mut self, z: &Tensor, weights: &[f32]) -> Result<Tensor> {
        let empty = self.empty_of(weights.len())?.unsqueeze(0)?;
        let column = |data: Vec<f32>| Tensor::from_vec(data, (1, weights.len(), 1), z.device());
        let factor = column(weights.to_vec())?.to_dtype(z.dtype())?;
        let moved = empty.broadcast_add(&z.broadcast_sub(&empty)?.broadcast_mul(&factor)?)?;
        let neutral: Vec<f32> = weights.iter().map(|w| f32::from(u8::from(is_neutral(f64::from(*w))))).collect();
        let neutral = column(neutral)?.to_dtype(DType::U8)?.broadcast_as(z.shape())?;
        Ok(neutral.where_cond(z, &moved)?)
    }

    /// A weighted sum of prompts; shorter ones are filled up with the empty prompt.
    fn blend(&mut self, prompts: &[Vec<Fragment>], weights: &[f64], normalize: bool) -> Result<Tensor> {
        let mut embeds: Vec<Tensor> = prompts.iter().map(|p| self.fragments(p)).collect::<Result<_>>()?;
        let longest = embeds.iter().map(|e| e.dims()[0]).max().unwrap_or_default();
        for e in &mut embeds {
            let missing = longest - e.dim(0)?;
            if missing > 0 {
                *e = Tensor::cat(&[&*e, &self.empty_of(missing)?], 0)?;
            }
        }
        mix(&Tensor::stack(&embeds, 0)?, weights, normalize)
    }
}

/// The weighted sum over the first axis.
fn mix(z: &Tensor, weights: &[f64], normalize: bool) -> Result<Tensor> {
    let mut weights: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
    if normalize {
        let total: f32 = weights.iter().sum();
        for weight in &mut weights {
            *weight /= total;
        }
    }
    let weights = Tensor::from_vec(weights, (z.dim(0)?, 1, 1), z.device())?.to_dtype(z.dtype())?;
    Ok(z.broadcast_mul(&weights)?.sum(0)?)
}
