//! Models in memory: loaded once, used by many sessions, the least recently used dropped when the budget is spent.
//!
//! The cache knows nothing of what it keeps but how much it takes, on the device and in main memory, each of which has its own budget. What is in use
//! cannot be dropped: its users hold it.

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

/// Bytes that something takes: in the memory of the device that computes, and in the machine's. For a device without memory of its own, such as the CPU,
/// all of them are the machine's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// On the device.
    pub device: u64,
    /// In main memory.
    pub main: u64,
}

impl Footprint {
    /// So many bytes in main memory alone.
    pub const fn of_main(main: u64) -> Self {
        Self { device: 0, main }
    }

    /// All bytes, wherever they lie.
    pub const fn total(self) -> u64 {
        self.device.saturating_add(self.main)
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            device: self.device.saturating_add(other.device),
            main: self.main.saturating_add(other.main),
        }
    }

    const fn less(self, other: Self) -> Self {
        Self {
            device: self.device.saturating_sub(other.device),
            main: self.main.saturating_sub(other.main),
        }
    }
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
    size: Footprint,
    used: u64,
}

#[derive(Default)]
struct State {
    entries: HashMap<PartKey, Entry>,
    clock: u64,
    held: Footprint,
    stats: CacheStats,
}

/// Loaded parts of models, up to a number of bytes.
pub struct ModelCache {
    budget: Footprint,
    state: Mutex<State>,
}

impl ModelCache {
    /// An empty cache that holds at most what `budget` says, or one part if that is larger.
    pub fn new(budget: Footprint) -> Self {
        Self {
            budget,
            state: Mutex::default(),
        }
    }

    /// The part of this key, loaded by `load` unless it is in memory. `load` returns the part and what it takes; room is made before it runs for as much as
    /// `expected`.
    pub fn get_or_load<T: Any + Send + Sync, E>(
        &self,
        key: PartKey,
        expected: Footprint,
        load: impl FnOnce() -> Result<(T, Footprint), E>,
    ) -> Result<Arc<T>, E> {
        if let Some(found) = self.get(&key) {
            return Ok(found);
        }
        self.make_room(expected);
        let (value, size) = load()?;
        let value = Arc::new(value);
        self.make_room(size);
        let mut state = self.state.lock();
        state.clock += 1;
        let used = state.clock;
        let kept: Arc<dyn Any + Send + Sync> = value.clone();
        if let Some(old) = state.entries.insert(key, Entry { value: kept, size, used }) {
            state.held = state.held.less(old.size);
        }
        state.held = state.held.plus(size);
        state.stats.high_watermark = state.stats.high_watermark.max(state.held.total());
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

    /// Drops what was used longest ago until there is room for `size` within the budget, or nothing is left that could be dropped.
    pub fn make_room(&self, size: Footprint) {
        let mut state = self.state.lock();
        loop {
            let after = state.held.plus(size);
            let over = (after.device > self.budget.device, after.main > self.budget.main);
            let helps = |held: Footprint| (over.0 && held.device > 0) || (over.1 && held.main > 0);
            if !state.drop_oldest(&helps) {
                return;
            }
        }
    }

    /// What the budget leaves for more.
    pub fn room(&self) -> Footprint {
        self.budget.less(self.state.lock().held)
    }

    /// Drops parts that nobody uses and whose going `helps`, the one that was used longest ago first, until it is enough. Returns how many bytes they took.
    pub fn drop_until(&self, helps: impl Fn(Footprint) -> bool, is_enough: impl Fn() -> bool) -> u64 {
        let mut dropped = 0;
        while !is_enough() {
            let mut state = self.state.lock();
            let before = state.held;
            if !state.drop_oldest(&helps) {
                break;
            }
            dropped += before.less(state.held).total();
        }
        dropped
    }

    /// Drops every part that nobody uses and returns how many bytes they took.
    pub fn drop_idle(&self) -> u64 {
        self.drop_until(|_| true, || false)
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
        state.held = Footprint::default();
        held
    }

    /// What it did and holds.
    pub fn stats(&self) -> CacheStats {
        let state = self.state.lock();
        let mut sizes: Vec<_> = state
            .entries
            .iter()
            .map(|(key, entry)| (format!("{}:{}", key.model, key.part), entry.size.total()))
            .collect();
        sizes.sort();
        CacheStats {
            in_cache: state.entries.len() as u64,
            bytes: state.held.total(),
            sizes,
            ..state.stats.clone()
        }
    }
}

impl State {
    fn drop_entry(&mut self, key: &PartKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.held = self.held.less(entry.size);
        }
    }

    /// Drops the part that was used longest ago, of those that nobody uses and whose size `helps`. Whether there was one.
    fn drop_oldest(&mut self, helps: &impl Fn(Footprint) -> bool) -> bool {
        let idle = self
            .entries
            .iter()
            .filter(|(_, entry)| Arc::strong_count(&entry.value) == 1 && helps(entry.size))
            .min_by_key(|(_, entry)| entry.used);
        let Some(key) = idle.map(|(key, _)| key.clone()) else {
            return false;
        };
        self.drop_entry(&key);
        self.stats.cleared += 1;
        true
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

    fn load(cache: &ModelCache, model: &str, size: Footprint) -> Arc<String> {
        cache
            .get_or_load(key(model), size, || Ok::<_, ()>((model.to_owned(), size)))
            .unwrap()
    }

    #[test]
    fn the_least_recently_used_goes_and_what_is_used_stays() {
        let cache = ModelCache::new(Footprint::of_main(10));
        let load = |model: &str, bytes: u64| load(&cache, model, Footprint::of_main(bytes));
        let held = load("held", 4);
        drop(load("old", 4));
        drop(load("new", 4));
        assert_eq!(cache.models(), ["held", "new"]);
        drop(load("huge", 40));
        assert_eq!(cache.models(), ["held", "huge"]);
        assert_eq!(*held, "held");
        let stats = cache.stats();
        assert_eq!((stats.cleared, stats.misses, stats.hits, stats.bytes), (2, 4, 0, 44));
        drop(load("held", 4));
        assert_eq!(cache.stats().hits, 1);
        assert_eq!(cache.drop_idle(), 40);
        assert_eq!(cache.models(), ["held"]);
        cache.forget("held");
        assert!(cache.models().is_empty());
    }

    #[test]
    fn the_device_and_main_memory_are_counted_apart() {
        let cache = ModelCache::new(Footprint { device: 10, main: 100 });
        let size = |device, main| Footprint { device, main };
        drop(load(&cache, "mostly elsewhere", size(1, 80)));
        drop(load(&cache, "on the device", size(8, 0)));
        assert_eq!(cache.room(), size(1, 20));
        // Main memory is full: what has none of it stays.
        drop(load(&cache, "in memory", size(0, 30)));
        assert_eq!(cache.models(), ["in memory", "on the device"]);
        drop(load(&cache, "more", size(3, 0)));
        assert_eq!(cache.models(), ["in memory", "more"]);
        assert_eq!(cache.stats().bytes, 33);
        // No more goes than has to, and nothing that would not help.
        assert_eq!(cache.drop_until(|held| held.device > 100, || false), 0);
        let is_enough = || cache.room().main == 100;
        assert_eq!(cache.drop_until(|held| held.main > 0, is_enough), 30);
        assert_eq!(cache.models(), ["more"]);
    }

    #[test]
    fn what_cannot_be_loaded_is_not_kept() {
        let cache = ModelCache::new(Footprint::of_main(10));
        assert_eq!(cache.get_or_load::<u8, _>(key("x"), Footprint::of_main(1), || Err("no")), Err("no"));
        assert!(cache.models().is_empty());
    }
}
