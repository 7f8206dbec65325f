//! Errors as other languages raise them.

use std::fmt;

use invoke_core::{
    OpenError,
    domain::{
        Error,
        validation::{Issue, Step},
    },
};

/// Which kind of error it is: what a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The root directory cannot be opened.
    Open,
    /// Nobody is signed in, or the sign-in is no longer honoured.
    Unauthenticated,
    /// The account may not do this.
    Forbidden,
    /// There is no such thing, or none that the account may know of.
    NotFound,
    /// What was given is wrong.
    Invalid,
    /// It contradicts the present state.
    Conflict,
    /// Too many attempts; a later one may succeed.
    Throttled,
    /// A fault of the program or of the machine.
    Internal,
}

/// Why something was not done.
#[derive(Debug)]
pub struct Fault {
    /// The kind.
    pub kind: Kind,
    /// What happened, in one line.
    pub message: String,
    /// The argument that is wrong, with dots on the way down (`batch.graph.nodes.a.width`); `None` if it is not one alone.
    pub field: Option<String>,
    /// What was expected there.
    pub expected: Option<String>,
    /// Seconds after which another attempt may succeed.
    pub retry_after_s: Option<u64>,
    /// Everything that is wrong, where it is more than one thing.
    pub issues: Vec<Issue>,
}

/// Result of a call from another language.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    /// An error of a kind, with its text.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            field: None,
            expected: None,
            retry_after_s: None,
            issues: Vec::new(),
        }
    }

    /// A wrong argument: its name, and what was expected.
    pub fn field(name: &str, expected: impl Into<String>) -> Self {
        let expected = expected.into();
        Self {
            field: Some(name.to_owned()),
            message: format!("{name}: {expected}"),
            expected: Some(expected),
            ..Self::new(Kind::Invalid, "")
        }
    }

    fn of_issues(issues: Vec<Issue>) -> Self {
        let lines: Vec<String> = issues.iter().map(|issue| format!("{}: {}", place(&issue.loc), issue.msg)).collect();
        Self {
            field: issues.first().map(|issue| place(&issue.loc)),
            expected: issues.first().map(|issue| issue.msg.clone()),
            issues,
            ..Self::new(Kind::Invalid, lines.join("; "))
        }
    }
}

/// The way to a value, without the step that only says that it came in a request's body.
fn place(loc: &[Step]) -> String {
    let steps = loc.iter().filter(|step| **step != Step::from("body")).map(|step| match step {
        Step::Key(key) => key.clone(),
        Step::Index(index) => index.to_string(),
    });
    steps.collect::<Vec<_>>().join(".")
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Unauthenticated(_) => Kind::Unauthenticated,
            Error::Forbidden(_) => Kind::Forbidden,
            Error::NotFound(_) => Kind::NotFound,
            Error::BadRequest(_) | Error::Unsupported(_) | Error::Unprocessable(_) | Error::Invalid(_) => Kind::Invalid,
            Error::Conflict(_) => Kind::Conflict,
            Error::Throttled { .. } => Kind::Throttled,
            Error::Internal { .. } => Kind::Internal,
        };
        match error {
            Error::Invalid(issues) => Self::of_issues(issues),
            Error::Throttled { retry_after_s } => Self {
                retry_after_s: Some(retry_after_s),
                ..Self::new(kind, error.to_string())
            },
            other => Self::new(kind, other.to_string()),
        }
    }
}

impl From<Vec<Issue>> for Fault {
    fn from(issues: Vec<Issue>) -> Self {
        Self::of_issues(issues)
    }
}

impl From<OpenError> for Fault {
    fn from(error: OpenError) -> Self {
        Self::new(Kind::Open, error.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_wrong_field_and_what_was_expected_are_named() {
        let issue = |field: &str, text: &str| Issue::new("k", vec!["body".into(), "batch".into(), field.into(), 3.into()], text, json!(1));
        let fault = Fault::from(Error::Invalid(vec![
            issue("runs", "Input should be a number"),
            issue("data", "Field required"),
        ]));
        assert_eq!(
            (fault.kind, fault.field.as_deref(), fault.expected.as_deref(), fault.issues.len()),
            (Kind::Invalid, Some("batch.runs.3"), Some("Input should be a number"), 2)
        );
        assert_eq!(
            fault.message,
            "batch.runs.3: Input should be a number; batch.data.3: Field required"
        );
    }

    #[test]
    fn a_throttled_call_says_when_to_try_again() {
        let fault = Fault::from(Error::Throttled { retry_after_s: 7 });
        assert_eq!((fault.kind, fault.retry_after_s), (Kind::Throttled, Some(7)));
    }
}
