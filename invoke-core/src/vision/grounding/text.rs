//! The reader: BERT, whose tokens see those of their own phrase only.

use candle_core::Tensor;

use super::{
    config::TextConfig,
    layers::{divides, outputs},
};
use crate::diffusion::{
    ModelError, Result,
    ops::{AttentionMask, LayerNorm, Linear, attention, gelu},
    weights::Weights,
};

/// Tokens that end a phrase: begin, end, full stop and question mark, as they are numbered in the vocabulary that the models were trained with.
const ENDS: [u32; 4] = [101, 102, 1012, 1029];

/// Which tokens see each other, and the place of each within its phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Phrases {
    /// For each token the token that ends its phrase; of those that are in none, itself.
    ends: Vec<usize>,
    pub(super) places: Vec<u32>,
}

impl Phrases {
    /// A phrase goes up to the next token that ends one; the first token and what comes after the last end but one are in none.
    pub(super) fn of(ids: &[u32]) -> Self {
        let last = ids.len().saturating_sub(1);
        let (mut ends, mut places, mut begin) = (Vec::new(), Vec::new(), 0);
        for (i, id) in ids.iter().enumerate() {
            let end = ids[i..].iter().position(|id| ENDS.contains(id)).map(|n| i + n);
            let end = end.filter(|end| *end != 0 && *end != last);
            ends.push(end.unwrap_or(i));
            let is_end = ENDS.contains(id);
            places.push(if end.is_some() && !is_end { (i - begin) as u32 } else { 0 });
            if is_end {
                begin = i + 1;
            }
        }
        Self { ends, places }
    }

    /// What is added to scores: `[1, n, n]`.
    pub(super) fn mask(&self, like: &Weights) -> Result<Tensor> {
        let n = self.ends.len();
        let sees = |i: usize| if self.ends[i / n] == self.ends[i % n] { 0.0 } else { f32::MIN };
        let mask: Vec<f32> = (0..n * n).map(sees).collect();
        Ok(Tensor::from_vec(mask, (1, n, n), like.device())?.to_dtype(like.dtype())?)
    }
}

#[derive(Debug)]
struct Layer {
    qkv: Linear,
    out: Linear,
    widen: Linear,
    narrow: Linear,
    norms: [LayerNorm; 2],
    heads: usize,
}

impl Layer {
    fn load(weights: &Weights, width: usize, config: &TextConfig) -> Result<Self> {
        divides(weights, width, config.num_attention_heads)?;
        let inner = outputs(weights, "intermediate.dense")?;
        let norm = |name: &str| weights.at(name).layer_norm(width, config.layer_norm_eps);
        Ok(Self {
            qkv: weights.at("attention.self").joint(&["query", "key", "value"], width, width)?,
            out: weights.at("attention.output.dense").linear(width, width)?,
            widen: weights.at("intermediate.dense").linear(width, inner)?,
            narrow: weights.at("output.dense").linear(inner, width)?,
            norms: [norm("attention.output.LayerNorm")?, norm("output.LayerNorm")?],
            heads: config.num_attention_heads,
        })
    }

    fn forward(&self, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let qkv = self.qkv.forward(x)?;
        let width = x.dim(2)?;
        let part = |i: usize| qkv.narrow(2, i * width, width);
        let seen = attention(&part(0)?, &part(1)?, &part(2)?, self.heads, AttentionMask::Bias(mask))?;
        let x = self.norms[0].forward(&self.out.forward_add(&seen, x)?)?;
        let inner = gelu(&self.widen.forward(&x)?)?;
        Ok(self.norms[1].forward(&self.narrow.forward_add(&inner, &x)?)?)
    }
}

/// The text encoder.
#[derive(Debug)]
pub(super) struct TextEncoder {
    words: Tensor,
    places: Tensor,
    /// `[width]`: all tokens are of the first kind.
    kind: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

/// A table `[rows, columns]`, at least one of each.
fn table(weights: &Weights, name: &str) -> Result<(usize, usize)> {
    match weights.require(name)?.as_slice() {
        [rows, columns] if rows * columns > 0 => Ok((*rows, *columns)),
        other => Err(weights.corrupt(format!("`{}.{name}` has shape {other:?}, expected a table", weights.path()))),
    }
}

impl TextEncoder {
    pub(super) fn load(weights: &Weights, config: &TextConfig) -> Result<Self> {
        const WORDS: &str = "word_embeddings.weight";
        const PLACES: &str = "position_embeddings.weight";
        const KINDS: &str = "token_type_embeddings.weight";
        let embeddings = weights.at("embeddings");
        let (words, width) = table(&embeddings, WORDS)?;
        let (places, kinds) = (table(&embeddings, PLACES)?.0, table(&embeddings, KINDS)?.0);
        let layers = (0..config.num_hidden_layers)
            .map(|i| Layer::load(&weights.at("encoder.layer").at(i), width, config))
            .collect::<Result<_>>()?;
        Ok(Self {
            words: embeddings.get(WORDS, &[words, width])?,
            places: embeddings.get(PLACES, &[places, width])?,
            kind: embeddings.get(KINDS, &[kinds, width])?.get(0)?,
            norm: embeddings.at("LayerNorm").layer_norm(width, config.layer_norm_eps)?,
            layers,
        })
    }

    /// Width of what it makes of a token.
    pub(super) fn width(&self) -> Result<usize> {
        Ok(self.words.dim(1)?)
    }

    /// Tokens to `[1, n, width]`.
    pub(super) fn forward(&self, ids: &[u32], phrases: &Phrases, mask: &Tensor) -> Result<Tensor> {
        let rows = |table: &Tensor, numbers: &[u32], of: &str| -> Result<Tensor> {
            let known = table.dim(0)?;
            if let Some(beyond) = numbers.iter().find(|n| **n as usize >= known) {
                return Err(ModelError::Input(format!(
                    "{of} {beyond} is beyond the text encoder's table of {known}"
                )));
            }
            Ok(table.index_select(&Tensor::new(numbers, table.device())?, 0)?)
        };
        let words = rows(&self.words, ids, "token")?.broadcast_add(&self.kind)?;
        let x = (words + rows(&self.places, &phrases.places, "place")?)?.unsqueeze(0)?;
        let mut x = self.norm.forward(&x)?;
        for layer in &self.layers {
            x = layer.forward(&x, mask)?;
        }
        Ok(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_see_their_phrase() {
        // Begin, "a cat.", "dog?", "bird", end.
        let phrases = Phrases::of(&[101, 7, 8, 1012, 9, 1029, 10, 102]);
        assert_eq!(phrases.ends, [0, 3, 3, 3, 5, 5, 6, 7]);
        assert_eq!(phrases.places, [0, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(Phrases::of(&[]).ends, [0_usize; 0]);
    }
}
