//! From errors to answers: the one mapping at this edge.

use http::StatusCode;
use invoke_core::domain::{Error, validation::Issue};
use serde_json::{Value, json};

use crate::reply::Reply;

/// Result of a handler.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

/// Why a request is not answered as asked.
#[derive(Debug)]
pub struct Fault(Box<Refusal>);

#[derive(Debug)]
struct Refusal {
    /// HTTP status.
    status: StatusCode,
    /// What the client is told.
    detail: Value,
    /// What only the log is told.
    cause: Option<Error>,
    /// Seconds after which to try again.
    retry_after_s: Option<u64>,
    /// Whether the caller is asked for a bearer token.
    challenge: bool,
}

impl Fault {
    /// A status with a text for the person who asked.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::with_detail(status, Value::String(detail.into()))
    }

    /// A status with a detail that is more than a text.
    pub fn with_detail(status: StatusCode, detail: Value) -> Self {
        Self(Box::new(Refusal {
            status,
            detail,
            cause: None,
            retry_after_s: None,
            challenge: false,
        }))
    }

    /// The request contradicts itself or lacks something.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// There is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// The content is of no kind that is read here.
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// Fields are missing or wrong.
    pub fn invalid(issues: Vec<Issue>) -> Self {
        Self::from(Error::Invalid(issues))
    }

    /// One field is missing or wrong.
    pub fn issue(issue: Issue) -> Self {
        Self::invalid(vec![issue])
    }

    /// The same; if it is a 401, the caller is asked for a bearer token.
    #[must_use]
    pub fn with_challenge(mut self) -> Self {
        self.0.challenge = true;
        self
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The same, but what is a fault of ours is told with this text.
    pub(crate) fn or_else_told(mut self, text: Option<&'static str>) -> Self {
        if let (Some(text), Some(_)) = (text, &self.0.cause) {
            self.0.detail = Value::String(text.into());
        }
        self
    }

    /// The answer.
    pub(crate) fn into_reply(self) -> Reply {
        let refusal = *self.0;
        if let Some(cause) = &refusal.cause {
            tracing::error!("{cause}");
        }
        let mut reply = match refusal.detail {
            Value::Null => Reply::text(refusal.status, "text/plain; charset=utf-8", "Internal Server Error"),
            detail => Reply::json(refusal.status, &json!({ "detail": detail })),
        };
        if let Some(seconds) = refusal.retry_after_s {
            reply = reply.header("retry-after", &seconds.to_string());
        }
        if refusal.challenge && refusal.status == StatusCode::UNAUTHORIZED {
            reply = reply.header("www-authenticate", "Bearer");
        }
        reply
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let (status, detail) = match error {
            Error::Unauthenticated(text) => (StatusCode::UNAUTHORIZED, text),
            Error::Forbidden(text) => (StatusCode::FORBIDDEN, text),
            Error::NotFound(text) => (StatusCode::NOT_FOUND, text),
            Error::BadRequest(text) => (StatusCode::BAD_REQUEST, text),
            Error::Conflict(text) => (StatusCode::CONFLICT, text),
            Error::Unsupported(text) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, text),
            Error::Unprocessable(text) => (StatusCode::UNPROCESSABLE_ENTITY, text),
            Error::Throttled { retry_after_s } => {
                let text = format!("Too many attempts. Try again in {retry_after_s} seconds.");
                let mut fault = Self::new(StatusCode::TOO_MANY_REQUESTS, text);
                fault.0.retry_after_s = Some(retry_after_s);
                return fault;
            }
            Error::Invalid(issues) => return Self::with_detail(StatusCode::UNPROCESSABLE_ENTITY, json!(issues)),
            internal @ Error::Internal { .. } => {
                let mut fault = Self::with_detail(StatusCode::INTERNAL_SERVER_ERROR, Value::Null);
                fault.0.cause = Some(internal);
                return fault;
            }
        };
        Self::new(status, detail)
    }
}
