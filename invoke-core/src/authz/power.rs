//! What an administrator does beyond the rights of a user, on its way into the record.
//!
//! A row knows the write that it was found in: what [`authorize`](super::authorize) allows there because somebody is an administrator is noted with that
//! write. What is for administrators alone is asked for as a [`Deed`], and leave to write comes out of the write that it is noted with.

use std::{cell::RefCell, collections::BTreeSet, marker::PhantomData, rc::Rc};

use super::{Act, Action, Actor, Administers, Decision, Facts, Ownership, Permit, Standing, decide, permit::allowed};
use crate::domain::{Error, UserId};

/// What is acted on where everybody's things are.
pub(super) const EVERYBODYS: &str = "everybody's";

/// One use of an administrator's power.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Power {
    /// Who used it.
    pub by: UserId,
    /// For what: `others.` and an action, or a part of the library and its function.
    pub act: String,
    /// On what.
    pub subject: Option<String>,
}

/// The powers that one write used. Clones are the same; those of what only reads, or of a write that is over, keep nothing.
#[derive(Debug, Clone, Default)]
pub struct Powers(Rc<RefCell<Option<BTreeSet<Power>>>>);

impl Powers {
    /// Those of a write that begins.
    pub(crate) fn of_write() -> Self {
        Self(Rc::new(RefCell::new(Some(BTreeSet::new()))))
    }

    /// Takes out what was noted, ordered by who and for what. From here on nothing is kept.
    pub(crate) fn take(&self) -> Vec<Power> {
        self.0.take().unwrap_or_default().into_iter().collect()
    }

    /// Notes a power; gives it back where nothing is kept.
    pub(crate) fn note(&self, power: Power) -> Option<Power> {
        let mut noted = self.0.borrow_mut();
        let Some(noted) = &mut *noted else { return Some(power) };
        noted.insert(power);
        None
    }

    /// What this was allowed for is not done after all.
    pub(crate) fn take_back(&self, act: Action, subject: &str) {
        if let Some(noted) = &mut *self.0.borrow_mut() {
            let act = of_others(act);
            noted.retain(|power| power.act != act || power.subject.as_deref() != Some(subject));
        }
    }
}

fn of_others(action: Action) -> String {
    format!("others.{}", action.name())
}

/// The power that an allowed action uses: none where a user could do the same, or nothing changes.
pub(super) fn power(actor: &Actor, action: Action, facts: Facts, subject: impl FnOnce() -> String) -> Option<Power> {
    let used = actor.is_admin()
        && action.changes_things()
        && facts.ownership != Ownership::Own
        && decide(Standing::User, action, facts) != Decision::Allow;
    used.then(|| Power {
        by: actor.user_id().clone(),
        act: of_others(action),
        subject: Some(subject()),
    })
}

/// Something that is for administrators alone, allowed and yet to be done. It goes into the record with the write that does it, or once it is done; where
/// nothing comes of it, it is let fall.
#[must_use]
#[derive(Debug)]
pub struct Deed<A: Administers> {
    by: UserId,
    name: &'static str,
    subjects: Vec<String>,
    act: PhantomData<A>,
}

/// Asks for something that is for administrators alone, named after the part of the library and its function, such as `queue.pause`.
pub fn administer<A: Administers>(actor: &Actor, name: &'static str) -> Result<Deed<A>, Error> {
    allowed::<A>(actor).map(|()| Deed {
        by: actor.user_id().clone(),
        name,
        subjects: Vec::new(),
        act: PhantomData,
    })
}

impl<A: Administers> Deed<A> {
    /// Done to this.
    pub fn to(self, subject: impl ToString) -> Self {
        self.to_all([subject])
    }

    /// Done to all of these. None of them may hold a secret.
    pub fn to_all(mut self, subjects: impl IntoIterator<Item = impl ToString>) -> Self {
        self.subjects.extend(subjects.into_iter().map(|subject| subject.to_string()));
        self
    }

    /// What it is, for the record.
    pub(crate) fn powers(&self) -> Vec<Power> {
        let power = |subject| Power {
            by: self.by.clone(),
            act: self.name.to_owned(),
            subject,
        };
        if self.subjects.is_empty() {
            vec![power(None)]
        } else {
            self.subjects.iter().cloned().map(Some).map(power).collect()
        }
    }
}

impl<A: Administers> From<Deed<A>> for Vec<Power> {
    fn from(deed: Deed<A>) -> Self {
        deed.powers()
    }
}

impl<A: Act, T> From<Permit<A, T>> for Vec<Power> {
    fn from(permit: Permit<A, T>) -> Self {
        permit.into_power().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_is_over_keeps_nothing() {
        let power = Power {
            by: UserId::system(),
            act: of_others(Action::UpdateImage),
            subject: None,
        };
        let write = Powers::of_write();
        let of_row = write.clone();
        assert_eq!(of_row.note(power.clone()), None);
        assert_eq!(write.take(), std::slice::from_ref(&power));
        assert_eq!(of_row.note(power.clone()), Some(power));
    }
}
