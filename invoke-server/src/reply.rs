//! Answers before they become HTTP.

use std::{fmt, io::Read};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

/// Files up to this size are read at once; larger ones are sent piece by piece.
const READ_AT_ONCE: u64 = 1 << 20;

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// Headers besides those that every answer has.
    pub(crate) headers: HeaderMap,
    /// What is sent.
    pub(crate) content: Content,
}

/// What is sent.
#[derive(Debug)]
pub(crate) enum Content {
    /// These bytes, possibly none.
    Bytes(Bytes),
    /// So many bytes of a file from where it stands.
    File(Source, u64),
}

/// An open file, of whatever kind.
pub(crate) struct Source(pub(crate) Box<dyn Read + Send + Sync>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl Reply {
    /// JSON.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => Self::bytes(status, "application/json", bytes),
            Err(error) => {
                tracing::error!("an answer cannot be written as JSON: {error}");
                Self::text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "text/plain; charset=utf-8",
                    "Internal Server Error",
                )
            }
        }
    }

    /// JSON with status 200.
    pub fn ok(value: &impl Serialize) -> Self {
        Self::json(StatusCode::OK, value)
    }

    /// JSON with status 201.
    pub fn created(value: &impl Serialize) -> Self {
        Self::json(StatusCode::CREATED, value)
    }

    /// No content.
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            content: Content::Bytes(Bytes::new()),
        }
    }

    /// No content, under the content type of JSON, as the original leaves it.
    pub fn no_json() -> Self {
        Self::empty(StatusCode::NO_CONTENT).header("content-type", "application/json")
    }

    /// Bytes of a content type.
    pub fn bytes(status: StatusCode, media: &str, bytes: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            content: Content::Bytes(bytes.into()),
        }
        .header("content-type", media)
    }

    /// A text of a content type.
    pub fn text(status: StatusCode, media: &str, text: impl Into<String>) -> Self {
        Self::bytes(status, media, text.into())
    }

    /// An open file of so many bytes, sent from where it stands.
    pub fn file(status: StatusCode, media: &str, mut file: impl Read + Send + Sync + 'static, length: u64) -> std::io::Result<Self> {
        if length > READ_AT_ONCE {
            let reply = Self {
                status,
                headers: HeaderMap::new(),
                content: Content::File(Source(Box::new(file)), length),
            };
            return Ok(reply.header("content-type", media).header("content-length", &length.to_string()));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        file.by_ref().take(length).read_to_end(&mut bytes)?;
        Ok(Self::bytes(status, media, bytes))
    }

    /// Adds or replaces a header. Characters that a header cannot carry are left out.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let plain: String = value.chars().filter(|c| !c.is_control()).collect();
        if let Ok(value) = HeaderValue::from_bytes(plain.as_bytes()) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Adds a `Set-Cookie` header.
    pub fn cookie(mut self, cookie: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(cookie) {
            self.headers.append(header::SET_COOKIE, value);
        }
        self
    }

    /// Whether it has a header already.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its content type without parameters.
    pub(crate) fn media(&self) -> &str {
        let whole = self
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        whole.split(';').next().unwrap_or_default().trim()
    }
}
