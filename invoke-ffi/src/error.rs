//! Errors as other languages raise them.

use invoke_bindings::{Fault, Kind};

/// Why something was not done. `field` names the argument that is wrong and `expected` what was expected there; both are null if it is not one alone.
#[derive(Debug, thiserror::Error, uniffi::Error)]
pub enum InvokeError {
    /// The root directory cannot be opened.
    #[error("{reason}")]
    Open {
        /// What happened.
        reason: String,
    },
    /// Nobody is signed in, or the sign-in is no longer honoured.
    #[error("{reason}")]
    Unauthenticated {
        /// What happened.
        reason: String,
    },
    /// The account may not do this.
    #[error("{reason}")]
    Forbidden {
        /// What happened.
        reason: String,
    },
    /// There is no such thing, or none that the account may know of.
    #[error("{reason}")]
    NotFound {
        /// What happened.
        reason: String,
    },
    /// What was given is wrong.
    #[error("{reason}")]
    Invalid {
        /// What happened.
        reason: String,
        /// The argument that is wrong, with dots on the way down.
        field: Option<String>,
        /// What was expected there.
        expected: Option<String>,
    },
    /// It contradicts the present state.
    #[error("{reason}")]
    Conflict {
        /// What happened.
        reason: String,
    },
    /// Too many attempts.
    #[error("{reason}")]
    Throttled {
        /// What happened.
        reason: String,
        /// Seconds after which another attempt may succeed.
        retry_after_s: u64,
    },
    /// A fault of the program or of the machine.
    #[error("{reason}")]
    Internal {
        /// What happened.
        reason: String,
    },
}

/// Result of a call.
pub(crate) type Result<T> = std::result::Result<T, InvokeError>;

impl From<Fault> for InvokeError {
    fn from(fault: Fault) -> Self {
        let reason = fault.message;
        match fault.kind {
            Kind::Open => Self::Open { reason },
            Kind::Unauthenticated => Self::Unauthenticated { reason },
            Kind::Forbidden => Self::Forbidden { reason },
            Kind::NotFound => Self::NotFound { reason },
            Kind::Invalid => Self::Invalid {
                reason,
                field: fault.field,
                expected: fault.expected,
            },
            Kind::Conflict => Self::Conflict { reason },
            Kind::Throttled => Self::Throttled {
                reason,
                retry_after_s: fault.retry_after_s.unwrap_or_default(),
            },
            Kind::Internal => Self::Internal { reason },
        }
    }
}

impl From<serde_json::Error> for InvokeError {
    fn from(error: serde_json::Error) -> Self {
        Self::Internal {
            reason: format!("JSON: {error}"),
        }
    }
}
