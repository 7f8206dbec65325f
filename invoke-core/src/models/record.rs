//! A model's record: what the catalogue keeps of it and clients read.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::probe::Identified;
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

    /// The record with other fields of its class, as a second identification found them.
    pub fn reidentified(&self, found: &Identified) -> Self {
        const SHARED: usize = 11;
        let mut map: Map<String, Value> = self.0.iter().take(SHARED).map(|(k, v)| (k.clone(), v.clone())).collect();
        map.extend(found.class.clone());
        Self(map)
    }

    /// Its keys and values.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Takes over changes: keys that the record's class has, and nothing else. A nested object (default settings) replaces the old one, absent keys of it
    /// becoming null.
    ///
    /// # Errors
    /// Issues with values that no such record may have.
    pub fn apply(&mut self, changes: &Map<String, Value>) -> Result<(), Vec<Issue>> {
        let mut issues = Vec::new();
        for (key, value) in changes {
            let allowed: Option<&[&str]> = match key.as_str() {
                "base" => Some(BASES),
                "type" => Some(TYPES),
                "format" => Some(FORMATS),
                _ => None,
            };
            let fits = allowed.is_none_or(|texts| value.as_str().is_some_and(|text| texts.contains(&text)));
            if !fits {
                let expected = allowed.unwrap_or_default().join(", ");
                issues.push(Issue::new(
                    "enum",
                    vec!["body".into(), key.as_str().into()],
                    format!("Input should be one of {expected}"),
                    value.clone(),
                ));
                continue;
            }
            let Some(old) = self.0.get_mut(key) else { continue };
            match (old.as_object(), value) {
                (Some(shape), Value::Object(new)) => {
                    *old = shape
                        .keys()
                        .map(|k| (k.clone(), new.get(k).cloned().unwrap_or(Value::Null)))
                        .collect();
                }
                _ => *old = value.clone(),
            }
        }
        if issues.is_empty() { Ok(()) } else { Err(issues) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_takes_every_word_of_the_lists_and_no_other() {
        let mut record = ModelRecord::parse(r#"{"key": "k", "base": "sd-1", "type": "main", "format": "diffusers"}"#).unwrap();
        for (field, words) in [("base", BASES), ("type", TYPES), ("format", FORMATS)] {
            for word in words {
                let changes = Map::from_iter([(field.to_owned(), json!(word))]);
                assert_eq!(record.apply(&changes), Ok(()), "{field} {word}");
                assert_eq!(record.as_map()[field], json!(word));
            }
            let issues = record.apply(&Map::from_iter([(field.to_owned(), json!("toaster"))])).unwrap_err();
            assert_eq!(issues[0].loc, ["body".into(), field.into()], "{issues:?}");
        }
    }
}
