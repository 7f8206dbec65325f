//! The party on whose behalf something is done.

use crate::domain::{UserId, user::User};

/// How much an actor is trusted, as far as the policy cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// Nobody is signed in.
    Anonymous,
    /// A regular user.
    User,
    /// An administrator.
    Admin,
}

impl Standing {
    /// Every standing.
    pub const ALL: &'static [Self] = &[Self::Anonymous, Self::User, Self::Admin];
}

/// The party on whose behalf something is done. Made from the account's row, never from a token's claims, or by one of the
/// constructors below, which say in their names what they stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    user_id: UserId,
    standing: Standing,
    by_key: bool,
    owns_everything: bool,
}

impl Actor {
    const fn new(user_id: UserId, standing: Standing) -> Self {
        Self {
            user_id,
            standing,
            by_key: false,
            owns_everything: false,
        }
    }

    /// The account's own rights, as its row says at this moment.
    pub(crate) fn from_account(user: &User) -> Self {
        Self::new(user.user_id.clone(), if user.is_admin { Standing::Admin } else { Standing::User })
    }

    /// A program that acts for an account with one of its API keys: never an administrator, whatever the account is.
    pub(crate) fn from_api_key(user: &User) -> Self {
        Self {
            by_key: true,
            ..Self::new(user.user_id.clone(), Standing::User)
        }
    }

    /// Nobody: for what anyone may ask before signing in.
    pub fn anonymous() -> Self {
        Self::new(UserId::new(""), Standing::Anonymous)
    }

    /// The synthetic administrator of single-user mode. Where everybody is the same person, everybody's things are one's own.
    pub fn single_user_administrator() -> Self {
        Self {
            owns_everything: true,
            ..Self::new(UserId::system(), Standing::Admin)
        }
    }

    /// The person who runs a program on the machine itself, with the root directory in their hands.
    pub fn local_operator() -> Self {
        Self::new(UserId::system(), Standing::Admin)
    }

    /// Who it is; empty for nobody.
    pub fn user_id(&self) -> &UserId {
        &self.user_id
    }

    /// How much it is trusted.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether it acts with an API key, which gives no power over the account itself.
    pub fn is_by_key(&self) -> bool {
        self.by_key
    }

    /// Whether it is an administrator.
    pub fn is_admin(&self) -> bool {
        self.standing == Standing::Admin
    }

    /// Whether what this account owns is its own.
    pub(crate) fn owns(&self, owner: &UserId) -> bool {
        self.owns_everything || self.user_id == *owner
    }
}
