//! Accounts.

use serde::Serialize;

use super::UserId;
use crate::env::Timestamp;

/// An account, without its password hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Identifier.
    pub user_id: UserId,
    /// Login name, normalised.
    pub email: String,
    /// The name other users see.
    pub display_name: Option<String>,
    /// Whether it is an administrator.
    pub is_admin: bool,
    /// Whether it may sign in and run jobs.
    pub is_active: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When its password was last accepted.
    pub last_login_at: Option<Timestamp>,
    /// Counts password changes; a token of another epoch is not honoured.
    pub token_epoch: i64,
}

/// An account as the wire carries it.
#[derive(Debug, Clone, Serialize)]
pub struct UserDto {
    user_id: UserId,
    email: String,
    display_name: Option<String>,
    is_admin: bool,
    is_active: bool,
    created_at: String,
    updated_at: String,
    last_login_at: Option<String>,
    token_epoch: i64,
}

impl From<&User> for UserDto {
    fn from(user: &User) -> Self {
        Self {
            user_id: user.user_id.clone(),
            email: user.email.clone(),
            display_name: user.display_name.clone(),
            is_admin: user.is_admin,
            is_active: user.is_active,
            created_at: user.created_at.iso_micros(),
            updated_at: user.updated_at.iso_micros(),
            last_login_at: user.last_login_at.map(|t| format!("{}Z", t.iso_micros())),
            token_epoch: user.token_epoch,
        }
    }
}
