//! Validation issues in the shape that request errors have on the wire.

/// One issue.
#[derive(Debug, Clone, PartialEq)]
pub struct Issue {
    /// Kind.
    pub kind: String,
    /// Message.
    pub msg: String,
}
