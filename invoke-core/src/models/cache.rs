//! Models in memory: loaded once, used by many sessions, the least recently used dropped when the budget is spent.
//!
//! The cache knows nothing of what it keeps but its size. What is in use cannot be dropped: its users hold it.

use std::{any::Any, collections::HashMap, sync::Arc};

use parking_lot::Mutex;

/// A part of a model as it was loaded: everything that makes the weights in memory what they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PartKey {
    /// The model's key.
    pub model: String,
    /// Which part of it.
    pub part: &'static str,
    /// What was done to it at loading: data type, patches and their weights.
    pub variant: String,
}

/// What the cache did so far, and what it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Found in memory.
    pub hits: u64,
    /// Had to be loaded.
    pub misses: u64,
    /// The most bytes held at one time.
    pub high_watermark: u64,
    /// Parts held.
    pub in_cache: u64,
    /// Parts dropped for others.
    pub cleared: u64,
    /// Bytes held.
    pub bytes: u64,
    /// Bytes of each part held.
    pub sizes: Vec<(String, u64)>,
}

struct Entry {
    value: Arc<dyn Any + Send + Sync>,
    bytes: u64,
    used: u64,
}

#[derive(Default)]
struct State {
    entries: HashMap<PartKey, Entry>,
    clock: u64,
    bytes: u64,
    stats: CacheStats,
}

/// Loaded parts of models, up to a number of bytes.
pub struct ModelCache {
    budget: u64,
    state: Mutex<State>,
}

impl ModelCache {
    /// An empty cache that holds at most `budget` bytes, or one part if that is larger.
    pub fn new(budget: u64) -> Self {
        Self {
            budget,
            state: Mutex::default(),
        }
    }

    /// The part of this key, loaded by `load` unless it is in memory. `load` returns the part and its bytes; room is made before it runs for as many as `expected`.
    pub fn get_or_load<T: Any + Send + Sync, E>(
        &self,
        key: PartKey,
        expected: u64,
        load: impl FnOnce() -> Result<(T, u64), E>,
    ) -> Result<Arc<T>, E> {
        if let Some(found) = self.get(&key) {
            return Ok(found);
        }
        self.make_room(expected);
        let (value, bytes) = load()?;
        let value = Arc::new(value);
        self.make_room(bytes);
        let mut state = self.state.lock();
        state.clock += 1;
        let used = state.clock;
        let kept: Arc<dyn Any + Send + Sync> = value.clone();
        if let Some(old) = state.entries.insert(key, Entry { value: kept, bytes, used }) {
            state.bytes -= old.bytes;
        }
        state.bytes += bytes;
        state.stats.high_watermark = state.stats.high_watermark.max(state.bytes);
        Ok(value)
    }

    /// Keys of the models of which parts are held, each once, in order.
    pub fn models(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.state.lock().entries.keys().map(|key| key.model.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Whether a part is in memory. Asking does not count as use.
    pub fn has(&self, key: &PartKey) -> bool {
        self.state.lock().entries.contains_key(key)
    }

    fn get<T: Any + Send + Sync>(&self, key: &PartKey) -> Option<Arc<T>> {
        let mut state = self.state.lock();
        state.clock += 1;
        let used = state.clock;
        let found = state.entries.get_mut(key).and_then(|entry| {
            entry.used = used;
            Arc::clone(&entry.value).downcast::<T>().ok()
        });
        match found {
            Some(_) => state.stats.hits += 1,
            None => state.stats.misses += 1,
        }
        found
    }

    fn make_room(&self, bytes: u64) {
        let mut state = self.state.lock();
        while state.bytes + bytes > self.budget {
            let idle = state
                .entries
                .iter()
                .filter(|(_, entry)| Arc::strong_count(&entry.value) == 1)
                .min_by_key(|(_, entry)| entry.used);
            let Some(key) = idle.map(|(key, _)| key.clone()) else { return };
            state.drop_entry(&key);
            state.stats.cleared += 1;
        }
    }

    /// Drops every part that nobody uses and returns how many bytes they took.
    pub fn drop_idle(&self) -> u64 {
        let mut state = self.state.lock();
        let before = state.bytes;
        let idle = state.entries.iter().filter(|(_, entry)| Arc::strong_count(&entry.value) == 1);
        let idle: Vec<PartKey> = idle.map(|(key, _)| key.clone()).collect();
        for key in &idle {
            state.drop_entry(key);
            state.stats.cleared += 1;
        }
        before - state.bytes
    }

    /// Drops every part of a model: its record or its files changed.
    pub fn forget(&self, model: &str) {
        let mut state = self.state.lock();
        let keys: Vec<PartKey> = state
            .entries
            .keys()
            .filter(|key| key.model == model || key.variant.contains(model))
            .cloned()
            .collect();
        for key in keys {
            state.drop_entry(&key);
        }
    }

    /// Drops everything, and says whether there was anything.
    pub fn clear(&self) -> bool {
        let mut state = self.state.lock();
        let held = !state.entries.is_empty();
        state.entries.clear();
        state.bytes = 0;
        held
    }

    /// What it did and holds.
    pub fn stats(&self) -> CacheStats {
        let state = self.state.lock();
        let mut sizes: Vec<_> = state
            .entries
            .iter()
            .map(|(key, entry)| (format!("{}:{}", key.model, key.part), entry.bytes))
            .collect();
        sizes.sort();
        CacheStats {
            in_cache: state.entries.len() as u64,
            bytes: state.bytes,
            sizes,
            ..state.stats.clone()
        }
    }

    /// Keys of the models that are in memory.
    pub fn resident(&self) -> Vec<String> {
        let mut models: Vec<String> = self.state.lock().entries.keys().map(|key| key.model.clone()).collect();
        models.sort();
        models.dedup();
        models
    }
}

impl State {
    fn drop_entry(&mut self, key: &PartKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(model: &str) -> PartKey {
        PartKey {
            model: model.into(),
            part: "unet",
            variant: "f32".into(),
        }
    }

    fn load(cache: &ModelCache, model: &str, bytes: u64) -> Arc<String> {
        cache
            .get_or_load(key(model), bytes, || Ok::<_, ()>((model.to_owned(), bytes)))
            .unwrap()
    }

    #[test]
    fn the_least_recently_used_goes_and_what_is_used_stays() {
        let cache = ModelCache::new(10);
        let held = load(&cache, "held", 4);
        drop(load(&cache, "old", 4));
        drop(load(&cache, "new", 4));
        assert_eq!(cache.resident(), ["held", "new"]);
        drop(load(&cache, "huge", 40));
        assert_eq!(cache.resident(), ["held", "huge"]);
        assert_eq!(*held, "held");
        let stats = cache.stats();
        assert_eq!((stats.cleared, stats.misses, stats.hits, stats.bytes), (2, 4, 0, 44));
        drop(load(&cache, "held", 4));
        assert_eq!(cache.stats().hits, 1);
        assert_eq!(cache.drop_idle(), 40);
        assert_eq!(cache.resident(), ["held"]);
        cache.forget("held");
        assert!(cache.resident().is_empty());
    }

    #[test]
    fn what_cannot_be_loaded_is_not_kept() {
        let cache = ModelCache::new(10);
        assert_eq!(cache.get_or_load::<u8, _>(key("x"), 1, || Err("no")), Err("no"));
        assert!(cache.resident().is_empty());
    }
}
