//! BERT's tokenizer, from a model's folder: words, and pieces of words that are no words of the vocabulary.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::diffusion::text::{bare, id_of};
use crate::diffusion::{ModelError, Result, config_error, read_json, read_text};

/// The longest vocabulary file that is read.
const MAX_VOCABULARY: u64 = 32 << 20;
/// The longest text that is cut into tokens, of which a model takes a few hundred.
const LONGEST: usize = 64 << 10;
/// Begins every text.
const BEGIN: &str = "[CLS]";
/// Ends every text.
const END: &str = "[SEP]";
/// Stands for what cannot be put together of pieces.
const UNKNOWN: &str = "[UNK]";
/// What a text may spell out: these and the others that are no words.
const SPECIAL: [&str; 5] = [UNKNOWN, END, "[PAD]", BEGIN, "[MASK]"];

/// Text to numbers, begin and end included.
#[derive(Debug, Clone)]
pub struct WordPieces {
    inner: tokenizers::Tokenizer,
    begin: u32,
    end: u32,
}

impl WordPieces {
    /// Reads `tokenizer.json`, or `vocab.txt` and what `tokenizer_config.json` beside it says of it.
    ///
    /// # Errors
    /// If neither is there, or it is no tokenizer, or lacks the tokens that begin and end a text.
    pub fn open(folder: &Path) -> Result<Self> {
        let whole = folder.join("tokenizer.json");
        let (path, inner) = if whole.is_file() {
            let mut told: Value = serde_json::from_str(&read_text(&whole, MAX_VOCABULARY)?).map_err(|e| config_error(&whole, e))?;
            for (part, known) in [
                ("model", "WordPiece"),
                ("normalizer", "BertNormalizer"),
                ("pre_tokenizer", "BertPreTokenizer"),
            ] {
                // Others may make much of little; such models have these.
                if told[part]["type"] != known {
                    let reason = format!("its `{part}` is {}, expected a {known}", told[part]["type"]);
                    return Err(config_error(&whole, reason));
                }
            }
            // Begin and end are put around the text here.
            told["post_processor"] = Value::Null;
            let inner = serde_json::from_value(told).map_err(|e| config_error(&whole, e))?;
            (whole, inner)
        } else {
            let path = folder.join("vocab.txt");
            if !path.is_file() {
                return Err(config_error(folder, "it holds neither `tokenizer.json` nor `vocab.txt`"));
            }
            let config_path = folder.join("tokenizer_config.json");
            let config: Value = if config_path.is_file() {
                read_json(&config_path)?
            } else {
                Value::Null
            };
            let description = description(&read_text(&path, MAX_VOCABULARY)?, &config);
            let inner = serde_json::from_value(description).map_err(|e| config_error(&path, e))?;
            (path, inner)
        };
        Self::finish(&path, inner)
    }

    fn finish(path: &Path, mut inner: tokenizers::Tokenizer) -> Result<Self> {
        bare(path, &mut inner)?;
        let id = |token: &str| id_of(path, &inner, token);
        let (begin, end) = (id(BEGIN)?, id(END)?);
        Ok(Self { inner, begin, end })
    }

    /// Tokens of `text`.
    ///
    /// # Errors
    /// If the text is longer than 64 KiB, or cannot be put together of tokens and the vocabulary has none for what is unknown.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>> {
        if text.len() > LONGEST {
            return Err(ModelError::Input(format!(
                "the prompt has {} bytes, expected at most {LONGEST}",
                text.len()
            )));
        }
        let encoded = self.inner.encode_fast(text, false);
        let encoded = encoded.map_err(|e| ModelError::Input(format!("the prompt cannot be tokenized: {e}")))?;
        Ok([&[self.begin], encoded.get_ids(), &[self.end]].concat())
    }
}

/// The whole of a tokenizer, as a `tokenizer.json` describes it: of a vocabulary's lines each is a token.
fn description(vocabulary: &str, config: &Value) -> Value {
    let mut tokens: Map<String, Value> = Map::new();
    for (id, token) in vocabulary.split_terminator('\n').enumerate() {
        tokens.insert(token.strip_suffix('\r').unwrap_or(token).to_owned(), id.into());
    }
    let special = |token: &&str| {
        let id = tokens.get(*token)?;
        Some(json!({
            "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true,
        }))
    };
    let added: Vec<Value> = SPECIAL.iter().filter_map(special).collect();
    json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": config["tokenize_chinese_chars"].as_bool().unwrap_or(true),
            "strip_accents": config["strip_accents"].as_bool(),
            "lowercase": config["do_lower_case"].as_bool().unwrap_or(true),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": null,
        "decoder": null,
        "model": {
            "type": "WordPiece", "unk_token": UNKNOWN, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": tokens,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_tokenizer_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = || WordPieces::open(folder.path()).unwrap_err().to_string();
        assert!(error().contains("neither `tokenizer.json` nor `vocab.txt`"), "{}", error());
        std::fs::write(folder.path().join("vocab.txt"), "[UNK]\n[CLS]\na\n").unwrap();
        assert!(error().contains("lacks `[SEP]`"), "{}", error());
        std::fs::write(folder.path().join("vocab.txt"), "[UNK]\r\n[CLS]\r\na\r\n[SEP]\r\n").unwrap();
        assert_eq!(WordPieces::open(folder.path()).unwrap().ids("A b").unwrap(), [1, 2, 0, 3]);
        // Without a token for what is unknown.
        std::fs::write(folder.path().join("vocab.txt"), "[CLS]\n[SEP]\n").unwrap();
        assert!(WordPieces::open(folder.path()).unwrap().ids("b").is_err());
        let long = WordPieces::open(folder.path())
            .unwrap()
            .ids(&"b".repeat(LONGEST + 1))
            .unwrap_err()
            .to_string();
        assert!(long.contains("the prompt has 65537 bytes, expected at most 65536"), "{long}");
        // Tokenizers that do more than cut words.
        let told = description("[CLS]\n[SEP]\n[UNK]\n", &Value::Null);
        for (part, other) in [
            (
                "normalizer",
                json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaa"}),
            ),
            (
                "model",
                json!({"type": "WordLevel", "vocab": {"[CLS]": 0, "[SEP]": 1}, "unk_token": "[CLS]"}),
            ),
        ] {
            let mut told = told.clone();
            told[part] = other;
            std::fs::write(folder.path().join("tokenizer.json"), told.to_string()).unwrap();
            assert!(error().contains(&format!("its `{part}` is")), "{}", error());
        }
        std::fs::write(folder.path().join("tokenizer.json"), told.to_string()).unwrap();
        assert_eq!(WordPieces::open(folder.path()).unwrap().ids("").unwrap(), [0, 1]);
        for damaged in ["", "{", "[]", r#"{"model": {"type": "WordPiece", "vocab": {"a": -1}}}"#] {
            std::fs::write(folder.path().join("tokenizer.json"), damaged).unwrap();
            assert!(error().contains("tokenizer.json"), "{}", error());
        }
    }
}
