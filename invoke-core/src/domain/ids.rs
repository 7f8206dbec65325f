//! Identifiers as types, parsed where they enter the program.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is no identifier of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind}: {expected}")]
pub struct IdError {
    kind: &'static str,
    text: String,
    expected: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps a text; such ids are compared and stored, never used as paths.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl rusqlite::ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }

        impl rusqlite::types::FromSql for $name {
            fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
                String::column_result(value).map(Self)
            }
        }
    };
}

text_id!(
    /// An account (a UUID, or `system`).
    UserId
);
text_id!(
    /// A board.
    BoardId
);
text_id!(
    /// A batch of queue items; clients may choose it.
    BatchId
);
text_id!(
    /// A queue; the web client only ever uses `default`.
    QueueId
);
text_id!(
    /// A graph execution session.
    SessionId
);
text_id!(
    /// An installed model.
    ModelKey
);

impl UserId {
    /// The internal account that owns single-user and legacy content.
    pub const SYSTEM: &'static str = "system";

    /// The `system` account's id.
    pub fn system() -> Self {
        Self(Self::SYSTEM.to_owned())
    }

    /// Whether this is the `system` account.
    pub fn is_system(&self) -> bool {
        self.0 == Self::SYSTEM
    }
}

/// A queue item's number, ascending in the order of enqueueing.
pub type ItemId = i64;

/// The file name of a stored image. Parsed so that it can be joined to a folder without leaving it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ImageName(String);

impl ImageName {
    /// Accepts 1 to 255 characters of `A-Z a-z 0-9 . _ -`, not beginning with a dot.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if text.is_empty() || text.len() > 255 || text.starts_with('.') || !text.chars().all(plain) {
            return Err(IdError {
                kind: "image name",
                text: text.chars().take(64).collect(),
                expected: "1 to 255 letters, digits, dots, dashes or underscores, not beginning with a dot",
            });
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ImageName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl rusqlite::ToSql for ImageName {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl<'de> Deserialize<'de> for ImageName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_names_cannot_leave_their_folder() {
        for bad in [
            "",
            ".",
            "..",
            "../x.png",
            "a/b.png",
            "a\\b.png",
            ".hidden",
            "a\0.png",
            &"x".repeat(256),
        ] {
            assert!(ImageName::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(ImageName::parse("0f8c.png").unwrap().as_str(), "0f8c.png");
    }
}
