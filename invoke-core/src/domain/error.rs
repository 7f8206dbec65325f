//! The error that a service function returns, sorted by what a caller can do about it.
//!
//! Modules below have rich errors of their own; here they become one of a few classes. The text of every class but
//! [`Error::Internal`] is meant for the person who asked and names nobody else's data.

use super::validation::Issue;

/// Any error whose details matter to the log alone.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a service function did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody is signed in, or the sign-in is no longer honoured.
    #[error("{0}")]
    Unauthenticated(String),
    /// The account may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The thing does not exist, or its existence is none of the caller's business.
    #[error("{0}")]
    NotFound(String),
    /// The request makes no sense as it stands.
    #[error("{0}")]
    BadRequest(String),
    /// The request contradicts the present state.
    #[error("{0}")]
    Conflict(String),
    /// The uploaded content is of no kind that we read.
    #[error("{0}")]
    Unsupported(String),
    /// The request is well formed and cannot be done.
    #[error("{0}")]
    Unprocessable(String),
    /// Too many attempts; try again after so many seconds.
    #[error("Too many attempts. Try again in {retry_after_s} seconds.")]
    Throttled {
        /// Seconds until the next attempt may succeed.
        retry_after_s: u64,
    },
    /// Fields of the request are missing or wrong.
    #[error("{} invalid field(s)", .0.len())]
    Invalid(Vec<Issue>),
    /// A fault of ours or of the machine.
    #[error("{step}: {source}")]
    Internal {
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        source: Cause,
    },
}

/// Result of a service function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Wraps a fault with the step that met it.
    pub fn internal(step: &'static str, source: impl Into<Cause>) -> Self {
        Self::Internal {
            step,
            source: source.into(),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(source: rusqlite::Error) -> Self {
        Self::internal("database", source)
    }
}

impl From<std::io::Error> for Error {
    fn from(source: std::io::Error) -> Self {
        Self::internal("files", source)
    }
}

impl From<serde_json::Error> for Error {
    fn from(source: serde_json::Error) -> Self {
        Self::internal("JSON", source)
    }
}

/// The text of a panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "an internal fault".into())
}
