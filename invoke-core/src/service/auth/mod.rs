//! Accounts: first set-up, signing in, one's own profile and keys, and their administration.
//!
//! What a password must be, and every text that a client shows, is InvokeAI's. Functions that hash a password are slow by design and wait
//! for a lane (see [`Auth::hashing_lanes`]): `setup`, `login`, `update_me`, `create_user` and `update_user`.

mod access;
mod accounts;
mod audit;
mod content;
mod keys;
mod profile;
mod sign_in;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use accounts::{AccountChange, NewAccount};
pub use content::{Content, Deleted};
pub use keys::{ApiKeyDto, CreatedApiKey, NewApiKey};
pub use profile::ProfileChange;
pub use sign_in::{Credentials, LoggedIn, MediaToken, Setup, SetupStatus};

use self::access::AccessTable;
use super::{Shared, recorded::Note};
use crate::{
    authn::{Claims, Issued, TokenKind, password::Strictness},
    authz::Actor,
    db::DbError,
    domain::{
        Error, Result, UserId,
        limits::{DISPLAY_NAME, at_most},
        user::User,
    },
};

/// Use of accounts.
#[derive(Clone)]
pub struct Auth {
    shared: Arc<Shared>,
    access: Arc<AccessTable>,
    strictness: Strictness,
}

/// A changed account, and what its owner's session goes on with.
#[derive(Debug)]
pub struct Updated {
    /// The account as it is now.
    pub user: crate::domain::user::UserDto,
    /// If one's own password changed, all tokens are dead and these replace the one that was shown.
    pub replacement: Option<Replacement>,
}

/// Tokens that replace dead ones.
#[derive(Debug)]
pub struct Replacement {
    /// For the API.
    pub api: Issued,
    /// For the pictures' cookie.
    pub media: Issued,
}

/// What the owner of a job may do at this moment; `None` if their account is inactive or gone. In single-user mode every job is its
/// administrator's.
pub fn owner_of_job(shared: &Shared, owner: &UserId, by_key: bool) -> Result<Option<Actor>> {
    shared.db.read(|tx| shared.authenticator.owner_of_job(tx, owner, by_key))
}

impl Auth {
    /// The accounts of a core, with the strictness that the configuration asks for.
    pub fn open(shared: Arc<Shared>) -> Result<Self> {
        let strictness = Strictness::of(shared.config.settings().strict_password_checking);
        let access = Arc::new(AccessTable::read(&shared.db)?);
        Ok(Self {
            shared,
            access,
            strictness,
        })
    }

    /// The same, but strict about passwords whatever the configuration says.
    #[must_use]
    pub fn strict(self) -> Self {
        Self {
            strictness: Strictness::Strict,
            ..self
        }
    }

    /// How many requests that hash a password are served at once. A front lets no more of them into its pool of threads, so that others
    /// do not wait behind them.
    pub fn hashing_lanes(&self) -> usize {
        self.shared.authenticator.hashing_lanes()
    }

    fn accept_password(&self, password: &str) -> Result<()> {
        crate::authn::password::check(password, self.strictness).map_err(|weak| Error::BadRequest(weak.to_string()))
    }

    fn hash(&self, password: &str) -> String {
        self.shared.authenticator.hasher().lane().hash(&self.shared.env, password)
    }

    fn replacement(&self, user: &User, presented: &Claims) -> Replacement {
        let issue = |kind| self.shared.authenticator.issue(user, kind, presented.remember_me);
        Replacement {
            api: issue(TokenKind::Api),
            media: issue(TokenKind::Media),
        }
    }
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        Self::internal("opening the database", error)
    }
}

/// What an account of one's own is not there for: a program with a key may use the server, not the account.
fn not_by_key(actor: &Actor) -> Result<()> {
    if actor.is_by_key() {
        Err(Error::Forbidden(
            "An API key gives no power over the account; sign in instead".into(),
        ))
    } else {
        Ok(())
    }
}

fn accept_display_name(name: Option<&str>) -> Result<()> {
    at_most("display_name", name.unwrap_or_default(), DISPLAY_NAME)
}

fn system_is_protected() -> Error {
    Error::BadRequest("The system user cannot be deleted, deactivated, promoted to administrator, or given a password".into())
}

fn last_administrator() -> Error {
    Error::BadRequest("Cannot remove the last administrator".into())
}

fn email_taken(email: &str) -> Error {
    Error::BadRequest(format!("User with email {email} already exists"))
}

/// Whether a write failed because the e-mail is another account's.
fn is_duplicate(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(failure, _) if failure.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE)
}
