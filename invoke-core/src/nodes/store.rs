//! Tensors and encoded prompts that nodes hand to each other by name.
//!
//! They stay in memory, each owner's apart, and are dropped oldest first when they take too much room; names are unguessable, and a name of another
//! owner's is as good as none.

use std::{
    any::Any,
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::domain::UserId;

struct Kept {
    owner: UserId,
    value: Arc<dyn Any + Send + Sync>,
    bytes: usize,
}

#[derive(Default)]
struct State {
    kept: HashMap<String, Kept>,
    order: VecDeque<String>,
    bytes: usize,
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
        while state.bytes + bytes > self.budget {
            let Some(oldest) = state.order.pop_front() else { break };
            if let Some(gone) = state.kept.remove(&oldest) {
                state.bytes -= gone.bytes;
            }
        }
        state.bytes += bytes;
        state.order.push_back(name.clone());
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
        let state = self.state.lock();
        let kept = state.kept.get(name).filter(|kept| &kept.owner == owner)?;
        Arc::clone(&kept.value).downcast().ok()
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
    }
}
