//! What part of a table a list may show, and what a change of many rows may take.

use super::{
    Action, Actor, Facts, Standing, Visibility,
    permit::owned_by,
    power::{EVERYBODYS, Powers, power},
};
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

    /// The rows an actor owns, whatever their standing.
    pub fn own(actor: &Actor) -> Self {
        match actor.standing() {
            Standing::Anonymous => Self::Nothing,
            _ => Self::Own(actor.user_id().clone()),
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

/// The rows that an actor's changes of many at once cover. It knows the write that they happen in: which rows are somebody else's is noted there.
#[derive(Debug)]
pub struct Reach {
    actor: Actor,
    action: Action,
    write: Powers,
}

impl Reach {
    /// What [`Scope::of`] covers, for this action in this write.
    pub(crate) fn of(actor: &Actor, action: Action, write: &Powers) -> Self {
        Self {
            actor: actor.clone(),
            action,
            write: write.clone(),
        }
    }

    /// The rows.
    pub fn scope(&self) -> Scope {
        Scope::of(&self.actor)
    }

    /// A row of this owner is changed; `named` if it was chosen rather than taken with all others.
    pub(crate) fn touches(&self, owner: &UserId, named: Option<impl ToString>) {
        let facts = Facts {
            ownership: owned_by(&self.actor, owner),
            visibility: Visibility::Private,
        };
        let subject = || named.map_or_else(|| EVERYBODYS.to_owned(), |name| name.to_string());
        if let Some(power) = power(&self.actor, self.action, facts, subject) {
            self.write.note(power);
        }
    }
}
