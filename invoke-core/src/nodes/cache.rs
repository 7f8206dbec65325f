//! Results of nodes that ran before, for the same owner with the same inputs.
//!
//! InvokeAI shares one such cache among all users, so that one may be handed a picture of another's. Here the owner is part of the key.

use indexmap::IndexMap;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;

use crate::domain::UserId;

/// Stands for an owner and a node's inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// The key of a node's values, whatever its id, for one owner.
    pub fn of(owner: &UserId, node: &Value) -> Self {
        let mut hasher = blake3::Hasher::new();
        feed(&mut hasher, &Value::String(owner.as_str().to_owned()));
        match node {
            Value::Object(values) => {
                // The order in which inputs were filled in does not matter.
                let mut values: Vec<_> = values.iter().filter(|(key, _)| *key != "id").collect();
                values.sort_unstable_by_key(|(key, _)| *key);
                for (key, value) in values {
                    feed(&mut hasher, &Value::String(key.clone()));
                    feed(&mut hasher, value);
                }
            }
            other => feed(&mut hasher, other),
        }
        Self(*hasher.finalize().as_bytes())
    }
}

/// Hashes a value so that no two different values hash the same bytes.
fn feed(hasher: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Object(map) => {
            hasher.update(b"{").update(&(map.len() as u64).to_le_bytes());
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            for (key, value) in entries {
                hasher.update(&(key.len() as u64).to_le_bytes()).update(key.as_bytes());
                feed(hasher, value);
            }
        }
        Value::Array(values) => {
            hasher.update(b"[").update(&(values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| feed(hasher, value));
        }
        other => {
            let text = other.to_string();
            hasher
                .update(b"=")
                .update(&(text.len() as u64).to_le_bytes())
                .update(text.as_bytes());
        }
    }
}

/// What the cache holds and how often it helped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CacheStatus {
    /// Results held.
    pub size: usize,
    /// Lookups that found one.
    pub hits: u64,
    /// Lookups that did not.
    pub misses: u64,
    /// Whether it is in use.
    pub enabled: bool,
    /// Most results to hold.
    pub max_size: usize,
}

#[derive(Debug, Default)]
struct Held {
    /// Least recently used first.
    outputs: IndexMap<CacheKey, Value>,
    hits: u64,
    misses: u64,
    disabled: bool,
}

/// Results by owner and inputs; the least recently used one makes room.
#[derive(Debug)]
pub struct NodeCache {
    max_size: usize,
    held: Mutex<Held>,
}

impl NodeCache {
    /// A cache of so many results; of none, it is never in use.
    pub fn new(max_size: usize) -> Self {
        Self {
            max_size,
            held: Mutex::default(),
        }
    }

    /// A result from before.
    pub fn get(&self, key: &CacheKey) -> Option<Value> {
        let mut held = self.held.lock();
        if self.max_size == 0 || held.disabled {
            return None;
        }
        match held.outputs.shift_remove(key) {
            Some(output) => {
                held.hits += 1;
                held.outputs.insert(*key, output.clone());
                Some(output)
            }
            None => {
                held.misses += 1;
                None
            }
        }
    }

    /// Keeps a result, in the place of one that is there.
    pub fn put(&self, key: CacheKey, output: &Value) {
        let mut held = self.held.lock();
        if self.max_size == 0 || held.disabled {
            return;
        }
        held.outputs.shift_remove(&key);
        while held.outputs.len() >= self.max_size {
            held.outputs.shift_remove_index(0);
        }
        held.outputs.insert(key, output.clone());
    }

    /// Drops the results that name something that was deleted: a picture, a tensor, an encoded prompt.
    pub fn forget(&self, name: &str) {
        self.held.lock().outputs.retain(|_, output| !names(output, name));
    }

    /// Drops everything, and says whether there was anything.
    pub fn clear(&self) -> bool {
        let mut held = self.held.lock();
        let changes = !held.outputs.is_empty() || (held.hits, held.misses) != (0, 0);
        held.outputs.clear();
        (held.hits, held.misses) = (0, 0);
        changes
    }

    /// Takes it into use or out of use, and says whether it was otherwise; what it holds stays.
    pub fn set_enabled(&self, enabled: bool) -> bool {
        std::mem::replace(&mut self.held.lock().disabled, !enabled) == enabled
    }

    /// What it holds and how often it helped.
    pub fn status(&self) -> CacheStatus {
        let held = self.held.lock();
        let enabled = self.max_size > 0 && !held.disabled;
        CacheStatus {
            size: held.outputs.len(),
            hits: held.hits,
            misses: held.misses,
            enabled,
            max_size: self.max_size,
        }
    }
}

fn names(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text == name,
        Value::Array(values) => values.iter().any(|value| names(value, name)),
        Value::Object(map) => map.values().any(|value| names(value, name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(owner: &str, node: Value) -> CacheKey {
        CacheKey::of(&UserId::new(owner), &node)
    }

    #[test]
    fn owner_and_inputs_make_the_key() {
        let node = json!({"id": "1", "type": "add", "a": 1, "b": {"x": 1, "y": [2]}});
        let same = json!({"b": {"y": [2], "x": 1}, "type": "add", "a": 1, "id": "2"});
        assert_eq!(key("alice", node.clone()), key("alice", same));
        assert_ne!(key("alice", node.clone()), key("bob", node.clone()));
        for other in [
            json!({"type": "add", "a": 2, "b": {"x": 1, "y": [2]}}),
            json!({"type": "add", "a": "1", "b": {"x": 1, "y": [2]}}),
        ] {
            assert_ne!(key("alice", node.clone()), key("alice", other));
        }
        assert_ne!(key("a", json!({"x": ["b", "c"]})), key("a", json!({"x": ["b,c"]})));
    }

    #[test]
    fn the_least_recently_used_makes_room() {
        let cache = NodeCache::new(2);
        let keys: Vec<_> = (0..3).map(|n| key("alice", json!({ "n": n }))).collect();
        cache.put(keys[0], &json!(0));
        cache.put(keys[1], &json!(1));
        assert_eq!(cache.get(&keys[0]), Some(json!(0)));
        cache.put(keys[2], &json!(2));
        assert_eq!((cache.get(&keys[1]), cache.get(&keys[0])), (None, Some(json!(0))));
        assert_eq!(
            cache.status(),
            CacheStatus {
                size: 2,
                hits: 2,
                misses: 1,
                enabled: true,
                max_size: 2
            }
        );
        cache.clear();
        assert_eq!(
            cache.status(),
            CacheStatus {
                size: 0,
                hits: 0,
                misses: 0,
                enabled: true,
                max_size: 2
            }
        );
    }

    #[test]
    fn deleted_things_are_forgotten() {
        let cache = NodeCache::new(8);
        let (a, b) = (key("alice", json!({"n": 1})), key("alice", json!({"n": 2})));
        cache.put(a, &json!({"image": {"image_name": "x.png"}}));
        cache.put(b, &json!({"collection": [{"image_name": "xx.png"}]}));
        cache.forget("x.png");
        assert_eq!((cache.get(&a), cache.get(&b).is_some()), (None, true));
    }

    #[test]
    fn out_of_use_it_answers_nothing_and_keeps_what_it_has() {
        let cache = NodeCache::new(8);
        let a = key("alice", json!({"n": 1}));
        cache.put(a, &json!(1));
        cache.set_enabled(false);
        assert_eq!((cache.get(&a), cache.status().enabled), (None, false));
        cache.set_enabled(true);
        assert_eq!(cache.get(&a), Some(json!(1)));
        let none = NodeCache::new(0);
        none.put(a, &json!(1));
        assert_eq!((none.get(&a), none.status().enabled), (None, false));
    }
}
