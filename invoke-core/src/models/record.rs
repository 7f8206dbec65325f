//! A model's record: what the catalogue keeps of it and clients read.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::{classes::classified, probe::Identified};
use crate::domain::{
    model_kind::{BASES, FORMATS, TYPES},
    validation::Issue,
};

/// Where a model came from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The source as text: a path, an address, a repository.
    pub source: String,
    /// `path`, `url`, `hf_repo_id`, `external`.
    pub source_type: &'static str,
    /// What the hub said of it, as JSON text.
    pub answer: Option<String>,
}

/// A model's record. Its keys stand in the order in which the wire has them: those all models share, then those of its class.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRecord(Map<String, Value>);

impl Serialize for ModelRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl ModelRecord {
    /// A record of what was identified. `path` is relative to the models' folder, or absolute.
    pub fn new(key: &str, hash: &str, path: &str, file_size: u64, found: &Identified, origin: &Origin) -> Self {
        let Value::Object(mut map) = json!({
            "key": key,
            "hash": hash,
            "path": path,
            "file_size": file_size,
            "name": found.name,
            "description": found.description,
            "source": origin.source,
            "source_type": origin.source_type,
            "source_api_response": origin.answer,
            "source_url": null,
            "cover_image": null,
        }) else {
            unreachable!("the literal above is an object");
        };
        map.extend(found.class.clone());
        Self(map)
    }

    /// From stored JSON; `None` if it is no record.
    pub fn parse(text: &str) -> Option<Self> {
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) if map.get("key").is_some_and(Value::is_string) => Some(Self(map)),
            _ => None,
        }
    }

    fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// Its key.
    pub fn key(&self) -> &str {
        self.text("key")
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.text("name")
    }

    /// Its type.
    pub fn model_type(&self) -> &str {
        self.text("type")
    }

    /// Its base.
    pub fn base(&self) -> &str {
        self.text("base")
    }

    /// Its format.
    pub fn format(&self) -> &str {
        self.text("format")
    }

    /// Its path, relative to the models' folder or absolute.
    pub fn path(&self) -> &str {
        self.text("path")
    }

    /// Its source.
    pub fn source(&self) -> &str {
        self.text("source")
    }

    /// Replaces the path and size.
    pub fn moved(&mut self, path: &str) {
        self.0.insert("path".into(), json!(path));
    }

    /// The record with the fields of the class that a second identification found. Trigger phrases stay, if the class has such.
    pub fn reidentified(&self, found: &Identified) -> Self {
        const SHARED: usize = 11;
        const PHRASES: &str = "trigger_phrases";
        let mut map: Map<String, Value> = self.0.iter().take(SHARED).map(|(k, v)| (k.clone(), v.clone())).collect();
        map.extend(found.class.clone());
        if let (Some(slot), Some(phrases)) = (map.get_mut(PHRASES), self.0.get(PHRASES)) {
            slot.clone_from(phrases);
        }
        Self(map)
    }

    /// Its keys and values.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The record with changes, as the class that it then is of has it: keys that the class does not have are left out.
    ///
    /// # Errors
    /// Issues with values that no such record may have.
    pub fn changed(&self, changes: &Map<String, Value>) -> Result<Self, Vec<Issue>> {
        let mut map = self.0.clone();
        for (key, value) in changes {
            let allowed: Option<&[&str]> = match key.as_str() {
                "base" => Some(BASES),
                "type" => Some(TYPES),
                "format" => Some(FORMATS),
                _ => None,
            };
            if let Some(words) = allowed.filter(|words| !value.as_str().is_some_and(|text| words.contains(&text))) {
                let message = format!("Input should be one of {}", words.join(", "));
                let loc = vec!["body".into(), key.as_str().into()];
                return Err(vec![Issue::new("enum", loc, message, value.clone())]);
            }
            map.insert(key.clone(), value.clone());
        }
        let retyped = changes.get("type").is_some_and(|new| Some(new) != self.0.get("type"));
        classified(&map, retyped).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_takes_every_word_of_the_lists_and_no_other() {
        let record = ModelRecord::parse(r#"{"key": "k", "base": "sd-1", "type": "main", "format": "diffusers"}"#).unwrap();
        for (field, words) in [("base", BASES), ("type", TYPES), ("format", FORMATS)] {
            let wrong = |word: &str| {
                let outcome = record.changed(&Map::from_iter([(field.to_owned(), json!(word))]));
                outcome.err().is_some_and(|issues| issues[0].kind == "enum")
            };
            for word in words {
                assert!(!wrong(word), "{field} {word}");
            }
            assert!(wrong("toaster"), "{field}");
        }
    }
}
