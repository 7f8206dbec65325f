//! API keys, as their owners see them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{UserId, image::wire_enum};
use crate::env::Timestamp;

wire_enum! {
    /// What a key may do. No key makes an administrator, whatever its owner is.
    KeyScope {
        /// Look.
        Read = "read",
        /// Look and change.
        Write = "write",
    }
}

/// A key's record; the key itself is shown once and not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Identifier.
    pub key_id: String,
    /// The account that it acts for.
    pub user_id: UserId,
    /// What its owner calls it.
    pub name: String,
    /// What it may do.
    pub scope: KeyScope,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends, if it does by itself.
    pub expires_at: Option<Timestamp>,
    /// About when it was last used.
    pub last_used_at: Option<Timestamp>,
}

impl ApiKey {
    /// Whether its time has not come yet.
    pub fn lives_at(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}
