//! The record of who signed in and who administered what.

use serde::Serialize;

use super::UserId;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Number, ascending.
    pub entry_id: i64,
    /// When, `YYYY-MM-DD HH:MM:SS.mmm`, UTC.
    pub at: String,
    /// Who; empty for nobody, `system` for single-user mode and the machine's operator.
    pub actor_id: UserId,
    /// Through what: `server`, `command`, `library`.
    pub door: String,
    /// Did what, such as `login.refused`, `user.created`, `others.UpdateImage`, `queue.pause`.
    pub act: String,
    /// To what or whom.
    pub subject_id: Option<String>,
    /// From which network address.
    pub address: Option<String>,
    /// What else there is to know. Never a secret.
    pub detail: Option<String>,
}
