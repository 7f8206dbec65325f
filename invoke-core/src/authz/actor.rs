//! The party on whose behalf something is done.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;

use super::{Action, Decision, Facts, Ownership, decide};
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
    powers: Powers,
}

/// What an administrator changed of other people's, for the record. It says nothing about who somebody is.
#[derive(Debug, Clone, Default)]
struct Powers(Option<Arc<Mutex<BTreeSet<(Action, String)>>>>);

impl PartialEq for Powers {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Powers {}

impl Actor {
    const fn new(user_id: UserId, standing: Standing) -> Self {
        Self {
            user_id,
            standing,
            by_key: false,
            powers: Powers(None),
        }
    }

    /// The same, and from now on it is noted what an administrator changes that others could not.
    #[must_use]
    pub fn watched(mut self) -> Self {
        if self.is_admin() {
            self.powers = Powers(Some(Arc::default()));
        }
        self
    }

    /// What was noted since [`Self::watched`]: what was done, to what.
    pub fn powers_used(&self) -> Vec<(Action, String)> {
        let noted = self.powers.0.as_ref().map(|powers| std::mem::take(&mut *powers.lock()));
        noted.unwrap_or_default().into_iter().collect()
    }

    /// Notes that an action was allowed if that is for its being an administrator.
    pub(super) fn note(&self, action: Action, facts: Facts, what: impl FnOnce() -> String) {
        let Some(powers) = &self.powers.0 else { return };
        if action.changes_things() && facts.ownership != Ownership::Own && decide(Standing::User, action, facts) != Decision::Allow {
            powers.lock().insert((action, what()));
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

    /// The synthetic administrator of single-user mode, who owns everything made in it.
    pub fn single_user_administrator() -> Self {
        Self::new(UserId::system(), Standing::Admin)
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
}
