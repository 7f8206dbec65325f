//! Validation issues in the shape that request errors have on the wire.

use serde::Serialize;
use serde_json::Value;

/// One step of the way to a value: a key of an object or an index of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Step {
    /// A key.
    Key(String),
    /// An index.
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<String> for Step {
    fn from(key: String) -> Self {
        Self::Key(key)
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// What is wrong with one value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Issue {
    /// Kind, by pydantic's names: `missing`, `string_type`, `value_error` …
    #[serde(rename = "type")]
    pub kind: String,
    /// Where: `body`, `query` or `path`, then the way down.
    pub loc: Vec<Step>,
    /// Message for people.
    pub msg: String,
    /// The value that was found.
    pub input: Value,
    /// Limits and the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx: Option<Value>,
}

impl Issue {
    /// An issue without context.
    pub fn new(kind: impl Into<String>, loc: Vec<Step>, msg: impl Into<String>, input: Value) -> Self {
        Self {
            kind: kind.into(),
            loc,
            msg: msg.into(),
            input,
            ctx: None,
        }
    }

    /// A rule broken that no single type expresses.
    pub fn value_error(loc: Vec<Step>, text: impl std::fmt::Display, input: Value) -> Self {
        Self {
            ctx: Some(serde_json::json!({"error": {}})),
            ..Self::new("value_error", loc, format!("Value error, {text}"), input)
        }
    }
}
