//! CLIP's tokenizer, from a model's folder.

use std::path::Path;

use serde_json::{Value, json};
use tokenizers::AddedToken;

use super::Inversions;
use crate::diffusion::error::{ModelError, Result, config_error, read_json, read_text, short};

/// The longest vocabulary file that is read.
const MAX_VOCABULARY: u64 = 32 << 20;
/// The token that begins a sequence, where no config says otherwise.
const BEGIN: &str = "<|startoftext|>";
/// The token that ends one.
const END: &str = "<|endoftext|>";
/// Splits text into words before the byte-pair merges.
const WORDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Takes off what a file says of filling up and cutting off: that is done by who asks for a sequence.
pub(crate) fn bare(path: &Path, inner: &mut tokenizers::Tokenizer) -> Result<()> {
    inner.with_padding(None);
    inner.with_truncation(None).map_err(|e| config_error(path, e))?;
    Ok(())
}

/// The number of a token that a vocabulary has to have; the error names it and the file at `path`.
pub(crate) fn id_of(path: &Path, inner: &tokenizers::Tokenizer, token: &str) -> Result<u32> {
    inner
        .token_to_id(token)
        .ok_or_else(|| config_error(path, format!("the vocabulary lacks `{token}`")))
}

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
        let names = [("bos_token", BEGIN), ("eos_token", END), ("unk_token", END), ("pad_token", END)];
        let special = names.map(|(name, default)| special(name, default));
        let special = [&*special[0], &*special[1], &*special[2], &*special[3]];
        let whole = folder.join("tokenizer.json");
        let (path, inner) = if whole.is_file() {
            let text = read_text(&whole, MAX_VOCABULARY)?;
            let inner = text.parse::<tokenizers::Tokenizer>().map_err(|e| config_error(&whole, e))?;
            (whole, inner)
        } else {
            let path = folder.join("vocab.json");
            if !path.is_file() {
                let reason = "it holds neither `tokenizer.json` nor `vocab.json`".into();
                return Err(ModelError::Corrupt {
                    file: short(folder),
                    reason,
                });
            }
            let vocabulary: Value = serde_json::from_str(&read_text(&path, MAX_VOCABULARY)?).map_err(|e| config_error(&path, e))?;
            let merges = read_text(&folder.join("merges.txt"), MAX_VOCABULARY)?;
            let value = description(vocabulary, &rules(&merges), special[2]);
            let inner = serde_json::from_value(value).map_err(|e| config_error(&path, e))?;
            (path, inner)
        };
        Self::finish(&path, inner, special, config["model_max_length"].as_u64().unwrap_or(77))
    }

    /// From CLIP's merges alone (the text of a `merges.txt`), from which its vocabulary follows: bytes, bytes at a word's end, what the
    /// rules give in their order, begin and end. `pad` fills sequences up: `<|endoftext|>`, or `!` for SDXL's second encoder.
    pub fn from_merges(merges: &str, pad: &str) -> Result<Self> {
        let path = Path::new("merges.txt");
        let rules = rules(merges);
        let letters = byte_letters();
        let words = letters
            .iter()
            .map(char::to_string)
            .chain(letters.iter().map(|c| format!("{c}</w>")));
        let words = words
            .chain(rules.iter().map(|rule| rule.replacen(' ', "", 1)))
            .chain([BEGIN.to_owned(), END.to_owned()]);
        let vocabulary: serde_json::Map<String, Value> = words.enumerate().map(|(id, word)| (word, id.into())).collect();
        let value = description(vocabulary.into(), &rules, END);
        let inner = serde_json::from_value(value).map_err(|e| config_error(path, e))?;
        Self::finish(path, inner, [BEGIN, END, END, pad], 77)
    }

    /// The tokenizer of OpenAI's CLIP, which all of Stable Diffusion uses and single-file checkpoints leave out. `pads_with_zero` for those
    /// text encoders whose sequences are filled up with token 0 (`!`): Stable Diffusion 2's and SDXL's second.
    pub fn clip(pads_with_zero: bool) -> Result<Self> {
        Self::from_merges(invoke_assets::CLIP_MERGES, if pads_with_zero { "!" } else { END })
    }

    /// Makes the special tokens (begin, end, unknown, padding) known.
    fn finish(path: &Path, mut inner: tokenizers::Tokenizer, special: [&str; 4], max_length: u64) -> Result<Self> {
        bare(path, &mut inner)?;
        let known = inner.get_added_tokens_decoder();
        let missing = special
            .into_iter()
            .filter(|token| !known.values().any(|known| known.content == **token));
        let missing: Vec<AddedToken> = missing.map(|token| AddedToken::from(token, true)).collect();
        inner.add_special_tokens(missing).map_err(|e| config_error(path, e))?;
        if !(3..=1024).contains(&max_length) {
            return Err(config_error(
                path,
                format!("`model_max_length` is {max_length}, 3 to 1024 expected"),
            ));
        }
        let id = |token: &str| id_of(path, &inner, token);
        Ok(Self {
            bos: id(special[0])?,
            eos: id(special[1])?,
            pad: id(special[3])?,
            max_length: max_length as usize,
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

/// The rules of a `merges.txt`, one a line: two pieces with a space between.
fn rules(merges: &str) -> Vec<&str> {
    merges
        .lines()
        .filter(|line| !line.starts_with("#version") && !line.trim().is_empty())
        .collect()
}

/// The letters that stand for bytes, in the vocabulary's order: printable bytes as themselves, then the rest from U+0100 on.
fn byte_letters() -> Vec<char> {
    let printable = |b: &u32| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let others = (0..256u32).filter(|b| !printable(b)).count() as u32;
    let letters = (0..256u32).filter(printable).chain(0x100..0x100 + others);
    letters.filter_map(char::from_u32).collect()
}

/// The whole of a tokenizer, as a `tokenizer.json` describes it.
fn description(vocabulary: Value, rules: &[&str], unknown: &str) -> Value {
    json!({
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
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocabulary, "merges": rules,
        },
    })
}
