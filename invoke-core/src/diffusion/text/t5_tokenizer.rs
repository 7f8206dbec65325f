//! Text to T5's tokens.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::tokenizer::{bare, id_of};
use crate::diffusion::error::{ModelError, Result, config_error, read_text, short};
use crate::models::protobuf::Fields;

/// The longest vocabulary file that is read.
const MAX_VOCABULARY: u64 = 64 << 20;
/// Ends a sequence.
const END: &str = "</s>";
/// Fills a sequence up.
const PAD: &str = "<pad>";
/// Stands for what the vocabulary lacks.
const UNKNOWN: &str = "<unk>";
/// Tokens for gaps in a text, which models have besides those of the vocabulary.
const GAPS: usize = 100;
/// The most pieces of a vocabulary.
const MOST_PIECES: usize = 1 << 20;

/// T5's tokenizer.
#[derive(Debug, Clone)]
pub struct T5Tokenizer {
    inner: tokenizers::Tokenizer,
    end: u32,
    pad: u32,
}

impl T5Tokenizer {
    /// Reads a folder: `tokenizer.json`, or else SentencePiece's `spiece.model`.
    pub fn open(folder: &Path) -> Result<Self> {
        let (whole, pieces) = (folder.join("tokenizer.json"), folder.join("spiece.model"));
        if whole.is_file() {
            let text = read_text(&whole, MAX_VOCABULARY)?;
            let inner = text.parse::<tokenizers::Tokenizer>().map_err(|e| config_error(&whole, e))?;
            return Self::finish(&whole, inner);
        }
        if !pieces.is_file() {
            return Err(ModelError::Corrupt {
                file: short(folder),
                reason: "it holds neither `tokenizer.json` nor `spiece.model`".into(),
            });
        }
        let io = |source| ModelError::Io {
            file: short(&pieces),
            source,
        };
        let length = std::fs::metadata(&pieces).map_err(io)?.len();
        if length > MAX_VOCABULARY {
            return Err(config_error(&pieces, format!("it is larger than {MAX_VOCABULARY} bytes")));
        }
        let bytes = std::fs::read(&pieces).map_err(io)?;
        let model = SentencePiece::parse(&bytes).map_err(|e| config_error(&pieces, e))?;
        let inner = serde_json::from_value(model.description()).map_err(|e| config_error(&pieces, e))?;
        Self::finish(&pieces, inner)
    }

    fn finish(path: &Path, mut inner: tokenizers::Tokenizer) -> Result<Self> {
        bare(path, &mut inner)?;
        let id = |token: &str| id_of(path, &inner, token);
        Ok(Self {
            end: id(END)?,
            pad: id(PAD)?,
            inner,
        })
    }

    /// The whole of `text` as one sequence of `length` tokens: cut off, with its end, filled up.
    pub fn sequence(&self, text: &str, length: usize) -> Result<Vec<u32>> {
        let encoded = self.inner.encode_fast(text, false);
        let encoded = encoded.map_err(|e| ModelError::Input(format!("the prompt cannot be tokenized: {e}")))?;
        let mut ids = encoded.get_ids().to_vec();
        ids.truncate(length.saturating_sub(1));
        ids.push(self.end);
        ids.resize(length, self.pad);
        Ok(ids)
    }
}

/// What is read of SentencePiece's model: a message of its `sentencepiece_model.proto`.
#[derive(Debug, Default, PartialEq)]
struct SentencePiece {
    /// Pieces and the logarithms of how probable they are, in the order of their numbers.
    pieces: Vec<(String, f32)>,
    /// How letters are made alike, compiled.
    letters: Vec<u8>,
}

/// Rules for letters: the length of a tree in bytes, the tree, and the texts that it leads to.
fn letters(bytes: &[u8]) -> std::result::Result<&[u8], String> {
    let tree = bytes.first_chunk().map(|length| u32::from_le_bytes(*length) as usize);
    match tree {
        None if bytes.is_empty() => Ok(bytes),
        Some(tree) if tree % 4 == 0 && tree <= bytes.len() - 4 => Ok(bytes),
        _ => Err("its rules for letters are cut off".into()),
    }
}

impl SentencePiece {
    fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        let mut model = Self::default();
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => model.pieces.push(piece(value.bytes()?)?),
                2 => is_unigram(value.bytes()?)?,
                3 => {
                    let mut rules = Fields(value.bytes()?);
                    while let Some((number, value)) = rules.next()? {
                        if number == 2 {
                            model.letters = letters(value.bytes()?)?.to_vec();
                        }
                    }
                }
                _ => {}
            }
            if model.pieces.len() > MOST_PIECES {
                return Err(format!("it has more than {MOST_PIECES} pieces"));
            }
        }
        let special = [(0, PAD), (1, END), (2, UNKNOWN)];
        for (number, expected) in special {
            if model.pieces.get(number).is_none_or(|(piece, _)| piece != expected) {
                return Err(format!("its piece {number} is not `{expected}`, as T5's is"));
            }
        }
        Ok(model)
    }

    /// The tokenizer, as a `tokenizer.json` describes it.
    fn description(&self) -> Value {
        let gaps = (0..GAPS).rev().map(|i| (format!("<extra_id_{i}>"), 0.0));
        let gaps: Vec<(String, f32)> = gaps.filter(|(gap, _)| !self.pieces.iter().any(|(piece, _)| piece == gap)).collect();
        let count = self.pieces.len();
        let added = self.pieces.iter().chain(&gaps).enumerate();
        let added: Vec<Value> = added
            .filter(|(id, (piece, _))| *id < 3 || *id >= count || piece.starts_with("<extra_id_"))
            .map(|(id, (piece, _))| {
                json!({
                    "id": id, "content": piece, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true,
                })
            })
            .collect();
        let words = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
        let vocabulary: Vec<Value> = self
            .pieces
            .iter()
            .chain(&gaps)
            .map(|(piece, score)| json!([piece, score]))
            .collect();
        let letters =
            (!self.letters.is_empty()).then(|| json!({"type": "Precompiled", "precompiled_charsmap": STANDARD.encode(&self.letters)}));
        json!({
            "version": "1.0",
            "added_tokens": added,
            "normalizer": letters,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, words]},
            "post_processor": null,
            "decoder": words,
            "model": {"type": "Unigram", "unk_id": 2, "vocab": vocabulary, "byte_fallback": false},
        })
    }
}

/// A piece and its score.
fn piece(bytes: &[u8]) -> std::result::Result<(String, f32), String> {
    let (mut text, mut score) = (String::new(), 0.0);
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => value.text()?.clone_into(&mut text),
            2 => score = value.float()?,
            _ => {}
        }
    }
    if !score.is_finite() {
        return Err(format!("the score of piece `{text}` is no number"));
    }
    Ok((text, score))
}

/// An error unless the model was trained as T5's is.
fn is_unigram(bytes: &[u8]) -> std::result::Result<(), String> {
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        if number == 3 && value.number()? != 1 {
            return Err("its model is none of unigrams, as T5's is".into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn pieces(pieces: &[(&str, f32)]) -> Vec<u8> {
        let one = |(text, score): &(&str, f32)| {
            field(
                1,
                &[field(1, text.as_bytes()), [&[0x15][..], &score.to_le_bytes()].concat()].concat(),
            )
        };
        pieces.iter().flat_map(one).collect()
    }

    const SPECIAL: [(&str, f32); 3] = [(PAD, 0.0), (END, 0.0), (UNKNOWN, 0.0)];

    #[test]
    fn pieces_become_a_tokenizer() {
        let bytes = pieces(&[&SPECIAL[..], &[("▁a", -1.0), ("▁", -3.0), ("b", -2.0), ("▁ab", -2.5)]].concat());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("spiece.model"), bytes).unwrap();
        let tokenizer = T5Tokenizer::open(folder.path()).unwrap();
        assert_eq!(tokenizer.sequence("a ab  b", 8).unwrap(), [3, 6, 4, 5, 1, 0, 0, 0]);
        // An unknown letter, a gap, and a text that is cut off.
        assert_eq!(tokenizer.sequence("a x", 5).unwrap(), [3, 4, 2, 1, 0]);
        assert_eq!(tokenizer.sequence("<extra_id_0>", 3).unwrap(), [106, 1, 0]);
        assert_eq!(tokenizer.sequence("a a a a a", 3).unwrap(), [3, 3, 1]);
        assert_eq!(tokenizer.sequence("", 2).unwrap(), [1, 0]);
    }

    #[test]
    fn files_of_another_kind_are_refused() {
        let refused = |bytes: &[u8]| SentencePiece::parse(bytes).unwrap_err();
        assert!(refused(&pieces(&SPECIAL[..2])).contains("<unk>"));
        assert!(refused(&[pieces(&SPECIAL), field(2, &[0x18, 2])].concat()).contains("unigrams"));
        assert!(refused(&pieces(&[(PAD, f32::NAN)])).contains("no number"));
        assert!(refused(&[0x0a, 0x7f]).contains("are left"));
        let folder = tempfile::tempdir().unwrap();
        let error = T5Tokenizer::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("neither `tokenizer.json` nor `spiece.model`"), "{error}");
    }
}
