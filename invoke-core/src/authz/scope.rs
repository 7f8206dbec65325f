//! What part of a table a list may show.

use super::{Action, Actor, Facts, Ownership, Standing, Visibility, permit::EVERYBODYS};
use crate::domain::UserId;

/// The rows that an actor's lists and counts cover. Every list takes one, and it becomes a condition in the query.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All rows.
    All,
    /// Rows of one owner.
    Own(UserId),
    /// No rows.
    Nothing,
}

impl Scope {
    /// An administrator's lists cover everything, a user's their own rows, nobody's nothing.
    pub fn of(actor: &Actor) -> Self {
        match actor.standing() {
            Standing::Admin => Self::All,
            Standing::User => Self::Own(actor.user_id().clone()),
            Standing::Anonymous => Self::Nothing,
        }
    }

    /// The same for a change of all rows that it covers, which is noted where they are everybody's.
    pub fn to_change(actor: &Actor, action: Action) -> Self {
        let facts = Facts {
            ownership: Ownership::Other,
            visibility: Visibility::Private,
        };
        actor.note(action, facts, || EVERYBODYS.into());
        Self::of(actor)
    }

    /// The rows an actor owns, whatever their standing.
    pub fn own(actor: &Actor) -> Self {
        match actor.standing() {
            Standing::Anonymous => Self::Nothing,
            _ => Self::Own(actor.user_id().clone()),
        }
    }

    /// Whether rows of this owner are covered.
    pub fn covers(&self, owner: &UserId) -> bool {
        match self {
            Self::All => true,
            Self::Own(own) => own == owner,
            Self::Nothing => false,
        }
    }

    /// The owner as a query parameter: `(?n IS NULL OR user_id = ?n)` with null for all, an impossible owner for nothing.
    pub fn owner_parameter(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Own(own) => Some(own.as_str()),
            Self::Nothing => Some("\u{0}"),
        }
    }
}
