//! Textual inversion: words whose embeddings come from a file of their own.

use candle_core::{DType, Tensor};
use tokenizers::AddedToken;

use super::Tokenizer;
use crate::diffusion::error::{ModelError, Result};
use crate::diffusion::weights::Source;

/// The most vectors one trigger may have.
const MAX_VECTORS: usize = 512;

/// One trigger's embeddings.
#[derive(Debug, Clone)]
pub struct Inversion {
    /// The trigger without its angle brackets: the model's name or key as the prompt has it.
    pub name: String,
    /// `[vectors, width]`; for SDXL the one for the larger encoder.
    pub embedding: Tensor,
    /// For SDXL, `[vectors, width]` for the smaller encoder.
    pub second: Option<Tensor>,
}

impl Inversion {
    /// Reads an embedding file in any of the usual layouts.
    pub fn read(name: &str, source: &dyn Source) -> Result<Self> {
        let names = source.names();
        let read = |tensor: &str| -> Result<Tensor> {
            let found = source.read(tensor)?.to_dtype(DType::F32)?;
            let found = if found.rank() == 1 { found.unsqueeze(0)? } else { found };
            let (vectors, _) = found.dims2()?;
            if vectors == 0 || vectors > MAX_VECTORS {
                let reason = format!("`{tensor}` holds {vectors} vectors, 1 to {MAX_VECTORS} expected");
                return Err(ModelError::Corrupt {
                    file: source.label(),
                    reason,
                });
            }
            Ok(found)
        };
        let has = |tensor: &str| names.iter().any(|n| n == tensor);
        let (embedding, second) = if has("clip_g") && has("clip_l") {
            (read("clip_g")?, Some(read("clip_l")?))
        } else if has("emb_params") {
            (read("emb_params")?, None)
        } else {
            let first = names
                .iter()
                .find(|n| n.starts_with("string_to_param"))
                .or_else(|| names.iter().min());
            let first = first.ok_or_else(|| ModelError::Corrupt {
                file: source.label(),
                reason: "it holds no tensor".into(),
            })?;
            (read(first)?, None)
        };
        Ok(Self {
            name: name.to_owned(),
            embedding,
            second,
        })
    }

    fn for_width(&self, width: usize) -> Result<&Tensor> {
        let fits = |t: &&Tensor| t.dims().last() == Some(&width);
        self.second.iter().chain([&self.embedding]).find(fits).ok_or_else(|| {
            let found = self.embedding.dims().last().copied().unwrap_or_default();
            ModelError::Input(format!(
                "the embedding <{}> is {found} wide, this text encoder takes {width}",
                self.name
            ))
        })
    }
}

/// The triggers of a prompt, made ready for one tokenizer and one text encoder.
#[derive(Debug, Clone, Default)]
pub struct Inversions {
    tokenizer: Option<tokenizers::Tokenizer>,
    /// For each trigger the tokens of its further vectors.
    more: Vec<(u32, Vec<u32>)>,
    rows: Vec<(u32, Tensor)>,
}

impl Inversions {
    /// Adds a token for every vector. `width` is the text encoder's.
    pub fn new(tokenizer: &Tokenizer, inversions: &[Inversion], width: usize) -> Result<Self> {
        if inversions.is_empty() {
            return Ok(Self::default());
        }
        let mut extended = tokenizer.inner().clone();
        let (mut more, mut rows) = (Vec::new(), Vec::new());
        for inversion in inversions {
            let embedding = inversion.for_width(width)?;
            let mut ids = Vec::new();
            for i in 0..embedding.dim(0)? {
                let trigger = if i == 0 {
                    format!("<{}>", inversion.name)
                } else {
                    format!("<{}-!pad-{i}>", inversion.name)
                };
                let id = extended
                    .add_tokens([AddedToken::from(trigger.clone(), false)])
                    .ok()
                    .and_then(|_| extended.token_to_id(&trigger))
                    .ok_or_else(|| ModelError::Input(format!("`{trigger}` cannot become a token")))?;
                rows.push((id, embedding.get(i)?));
                ids.push(id);
            }
            if ids.len() > 1 {
                more.push((ids[0], ids[1..].to_vec()));
            }
        }
        Ok(Self {
            tokenizer: Some(extended),
            more,
            rows,
        })
    }

    pub(super) fn tokenizer(&self) -> Option<&tokenizers::Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// The embedding of a token that is not the model's own.
    pub(super) fn row(&self, id: u32) -> Option<&Tensor> {
        self.rows.iter().find(|(known, _)| *known == id).map(|(_, row)| row)
    }

    /// Puts the tokens of a trigger's further vectors behind its first, and cuts off what exceeds `limit`.
    pub(super) fn expand(&self, ids: Vec<u32>, limit: usize) -> Vec<u32> {
        if self.more.is_empty() {
            return ids;
        }
        let mut out = Vec::with_capacity(ids.len());
        for id in ids {
            out.push(id);
            if let Some((_, more)) = self.more.iter().find(|(first, _)| *first == id) {
                out.extend(more);
            }
        }
        out.truncate(limit);
        out
    }
}

/// The names between angle brackets in a prompt (letters, digits, `.`, `,`, `_`, `-`, spaces), each once, in order.
pub fn trigger_names(prompt: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut rest = prompt;
    while let Some(open) = rest.find('<') {
        rest = &rest[open + 1..];
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | ',' | '_' | '-' | ' ')))
            .unwrap_or(rest.len());
        if end > 0 && rest[end..].starts_with('>') && !names.iter().any(|n| n == &rest[..end]) {
            names.push(rest[..end].to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::trigger_names;

    #[test]
    fn triggers_are_what_stands_between_angle_brackets() {
        assert_eq!(
            trigger_names("a <cat-1> and <my style, v2>, <cat-1> <<b>> <x/y> < <|endoftext|> <"),
            ["cat-1", "my style, v2", "b"]
        );
    }
}
