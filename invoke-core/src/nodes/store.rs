//! Tensors and encoded prompts that nodes hand to each other by name.
//!
//! They stay in memory, each owner's apart, and those that were not asked for longest are dropped when they take too much room; names are unguessable, and a name of another
//! owner's is as good as none.

use std::{any::Any, sync::Arc};

use indexmap::IndexMap;
use parking_lot::Mutex;

use crate::domain::UserId;

struct Kept {
    owner: UserId,
    value: Arc<dyn Any + Send + Sync>,
    bytes: usize,
}

#[derive(Default)]
struct State {
    /// Least recently used first.
    kept: IndexMap<String, Kept>,
    bytes: usize,
}

impl State {
    /// Drops what was used least recently until the rest takes so many bytes at most.
    fn trim(&mut self, bytes: usize) {
        while self.bytes > bytes {
            let Some((_, gone)) = self.kept.shift_remove_index(0) else { break };
            self.bytes -= gone.bytes;
        }
    }
}

/// Named objects of all sessions of one engine.
pub struct ObjectStore {
    budget: usize,
    state: Mutex<State>,
}

impl ObjectStore {
    /// An empty store that keeps at most so many bytes, or one object if that is larger.
    pub fn new(budget: usize) -> Self {
        Self {
            budget,
            state: Mutex::default(),
        }
    }

    /// Keeps an object under a fresh name.
    pub fn put<T: Any + Send + Sync>(&self, owner: &UserId, name: String, value: T, bytes: usize) {
        let mut state = self.state.lock();
        state.trim(self.budget.saturating_sub(bytes));
        state.bytes += bytes;
        state.kept.insert(
            name,
            Kept {
                owner: owner.clone(),
                value: Arc::new(value),
                bytes,
            },
        );
    }

    /// The object of this name, if this owner has one of that kind.
    pub fn get<T: Any + Send + Sync>(&self, owner: &UserId, name: &str) -> Option<Arc<T>> {
        let mut state = self.state.lock();
        let at = state.kept.get_index_of(name).filter(|at| &state.kept[*at].owner == owner)?;
        let last = state.kept.len() - 1;
        state.kept.move_index(at, last);
        Arc::clone(&state.kept[last].value).downcast().ok()
    }

    /// Drops what was used least recently until the rest takes so many bytes at most: to be called when nothing runs, as a running session may need any
    /// of its own.
    pub fn trim(&self, bytes: usize) {
        self.state.lock().trim(bytes);
    }

    /// Whether this owner has an object of this name.
    pub fn has(&self, owner: &UserId, name: &str) -> bool {
        self.state.lock().kept.get(name).is_some_and(|kept| &kept.owner == owner)
    }

    /// Drops everything.
    pub fn clear(&self) {
        *self.state.lock() = State::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_their_owners_and_old_objects_make_room() {
        let store = ObjectStore::new(10);
        let (alice, bob) = (UserId::new("alice"), UserId::new("bob"));
        store.put(&alice, "a".into(), 1_u32, 4);
        assert_eq!(store.get::<u32>(&alice, "a").as_deref(), Some(&1));
        assert!(store.get::<u32>(&bob, "a").is_none() && store.get::<u64>(&alice, "a").is_none());
        store.put(&bob, "b".into(), 2_u32, 4);
        store.put(&bob, "c".into(), 3_u32, 4);
        assert!(!store.has(&alice, "a") && store.has(&bob, "b") && store.has(&bob, "c"));
        // What was asked for last stays longest.
        assert!(store.get::<u32>(&bob, "b").is_some());
        store.trim(4);
        assert!(store.has(&bob, "b") && !store.has(&bob, "c"));
        store.trim(0);
        assert!(!store.has(&bob, "b"));
    }
}
