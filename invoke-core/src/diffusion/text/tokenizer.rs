//! CLIP's tokenizer, from a model's folder.

use std::path::Path;

use serde_json::{Value, json};
use tokenizers::AddedToken;

use super::Inversions;
use crate::diffusion::error::{ModelError, Result, config_error, read_json, read_text, short};

/// The longest vocabulary file that is read.
const MAX_VOCABULARY: u64 = 32 << 20;
/// Splits text into words before the byte-pair merges.
const WORDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Text to numbers, with the special tokens a text encoder expects.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Begins every sequence.
    pub bos: u32,
    /// Ends every sequence.
    pub eos: u32,
    /// Fills a sequence up.
    pub pad: u32,
    /// Tokens in a sequence, begin and end included: 77.
    pub max_length: usize,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, or `vocab.json` and `merges.txt`, and the names of the special tokens from
    /// `tokenizer_config.json` and `special_tokens_map.json` beside them.
    pub fn open(folder: &Path) -> Result<Self> {
        let optional = |name: &str| -> Result<Value> {
            let path = folder.join(name);
            if path.is_file() { read_json(&path) } else { Ok(Value::Null) }
        };
        let (config, map) = (optional("tokenizer_config.json")?, optional("special_tokens_map.json")?);
        let special = |name: &str, default: &str| -> String {
            let text = |v: &Value| v.as_str().or_else(|| v.get("content")?.as_str()).map(str::to_owned);
            text(&config[name])
                .or_else(|| text(&map[name]))
                .unwrap_or_else(|| default.to_owned())
        };
        let bos = special("bos_token", "<|startoftext|>");
        let eos = special("eos_token", "<|endoftext|>");
        let unknown = special("unk_token", "<|endoftext|>");
        let pad = special("pad_token", "<|endoftext|>");
        let whole = folder.join("tokenizer.json");
        let (path, mut inner) = if whole.is_file() {
            let text = read_text(&whole, MAX_VOCABULARY)?;
            (
                whole.clone(),
                text.parse::<tokenizers::Tokenizer>().map_err(|e| config_error(&whole, e))?,
            )
        } else {
            let path = folder.join("vocab.json");
            let value = from_vocabulary(folder, &unknown)?;
            let inner = serde_json::from_value(value).map_err(|e| config_error(&path, e))?;
            (path, inner)
        };
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| config_error(&path, e))?;
        let known: Vec<AddedToken> = [&bos, &eos, &unknown, &pad]
            .into_iter()
            .filter(|t| !inner.get_added_tokens_decoder().values().any(|known| known.content == **t))
            .map(|t| AddedToken::from(t.clone(), true))
            .collect();
        inner.add_special_tokens(&known);
        let id = |token: &str| {
            inner
                .token_to_id(token)
                .ok_or_else(|| config_error(&path, format!("the vocabulary lacks `{token}`")))
        };
        let max_length = config["model_max_length"].as_u64().map_or(77, |n| n as usize);
        if !(3..=1024).contains(&max_length) {
            return Err(config_error(
                &folder.join("tokenizer_config.json"),
                format!("`model_max_length` is {max_length}, 3 to 1024 expected"),
            ));
        }
        Ok(Self {
            bos: id(&bos)?,
            eos: id(&eos)?,
            pad: id(&pad)?,
            max_length,
            inner,
        })
    }

    /// Tokens of `text` without begin and end, however long. Triggers of `inversions` become their vectors' tokens.
    pub fn ids(&self, text: &str, inversions: Option<&Inversions>) -> Result<Vec<u32>> {
        let encoded = match inversions.and_then(Inversions::tokenizer) {
            Some(extended) => extended.encode_fast(text, false),
            None => self.inner.encode_fast(text, false),
        };
        let encoded = encoded.map_err(|e| ModelError::Input(format!("the prompt cannot be tokenized: {e}")))?;
        let mut ids = encoded.get_ids().to_vec();
        // A prompt may spell out the special tokens; those at its ends count as the sequence's own.
        if ids.last() == Some(&self.eos) {
            ids.pop();
        }
        Ok(match inversions {
            Some(inversions) => inversions.expand(ids, self.max_length - 2),
            None => ids,
        })
    }

    /// The written form of a token; a word's last one ends in `</w>`.
    pub fn text_of(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The whole of `text` as one sequence of [`max_length`](Self::max_length): cut off, with begin and end, filled up.
    pub fn sequence(&self, text: &str, inversions: Option<&Inversions>) -> Result<Vec<u32>> {
        let mut ids = self.ids(text, inversions)?;
        ids.truncate(self.max_length - 2);
        ids.insert(0, self.bos);
        ids.push(self.eos);
        ids.resize(self.max_length, self.pad);
        Ok(ids)
    }

    pub(super) fn inner(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }
}

/// The whole of a tokenizer's description from the two files models came with before `tokenizer.json`.
fn from_vocabulary(folder: &Path, unknown: &str) -> Result<Value> {
    let vocabulary = folder.join("vocab.json");
    if !vocabulary.is_file() {
        return Err(ModelError::Corrupt {
            file: short(folder),
            reason: "it holds neither `tokenizer.json` nor `vocab.json`".into(),
        });
    }
    let vocab: Value = serde_json::from_str(&read_text(&vocabulary, MAX_VOCABULARY)?).map_err(|e| config_error(&vocabulary, e))?;
    let merges = read_text(&folder.join("merges.txt"), MAX_VOCABULARY)?;
    let merges: Vec<&str> = merges
        .lines()
        .filter(|line| !line.starts_with("#version") && !line.trim().is_empty())
        .collect();
    Ok(json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}, {"type": "Lowercase"},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        ]},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": "", "end_of_word_suffix": "</w>",
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": merges,
        },
    }))
}
