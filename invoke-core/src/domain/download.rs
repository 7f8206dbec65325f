//! Archives that somebody asked for.

use super::UserId;

/// An archive and who asked for it.
#[derive(Debug, Clone)]
pub struct Download {
    /// Its identifier.
    pub item_id: String,
    /// Who asked for it, and may fetch it.
    pub user_id: UserId,
}
