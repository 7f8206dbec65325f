//! The store in memory, for tests and for servers that keep nothing.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::{ImageStore, Recovered, Staged, StoreError, StoredFile, Victim, subfolder};
use crate::{
    config::Config,
    domain::{ImageName, image::ImageCategory},
    env::{Env, Timestamp},
};

type Key = (String, ImageName);

#[derive(Clone)]
struct Picture {
    full: Arc<[u8]>,
    thumbnail: Arc<[u8]>,
    at: Timestamp,
}

/// Pictures in memory.
pub struct MemoryStore {
    config: Arc<Config>,
    env: Env,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pictures: HashMap<Key, Picture>,
    staged: HashMap<String, Vec<(Key, Picture)>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(config: Arc<Config>, env: Env) -> Self {
        Self {
            config,
            env,
            state: Mutex::default(),
        }
    }

    fn find(&self, name: &ImageName, subfolder: &str) -> Result<Picture, StoreError> {
        subfolder::path(subfolder)?;
        self.state
            .lock()
            .pictures
            .get(&(subfolder.to_owned(), name.clone()))
            .cloned()
            .ok_or(StoreError::Absent)
    }
}

impl ImageStore for MemoryStore {
    fn put(&self, name: &ImageName, subfolder: &str, png: &[u8], webp: &[u8]) -> Result<(), StoreError> {
        subfolder::path(subfolder)?;
        let picture = Picture {
            full: png.into(),
            thumbnail: webp.into(),
            at: self.env.now(),
        };
        self.state.lock().pictures.insert((subfolder.to_owned(), name.clone()), picture);
        Ok(())
    }

    fn confirm(&self, _: &ImageName) {}

    fn open_full(&self, name: &ImageName, subfolder: &str) -> Result<StoredFile, StoreError> {
        self.find(name, subfolder)
            .map(|picture| StoredFile::of_bytes(picture.full, picture.at))
    }

    fn open_thumbnail(&self, name: &ImageName, subfolder: &str) -> Result<StoredFile, StoreError> {
        self.find(name, subfolder)
            .map(|picture| StoredFile::of_bytes(picture.thumbnail, picture.at))
    }

    fn relocate(&self, name: &ImageName, from: &str, to: &str) -> Result<(), StoreError> {
        subfolder::path(to)?;
        let mut state = self.state.lock();
        let (from, to) = ((from.to_owned(), name.clone()), (to.to_owned(), name.clone()));
        match (state.pictures.contains_key(&from), state.pictures.contains_key(&to)) {
            (true, true) => return Err(StoreError::Twice(format!("Both old and new image files exist for {name}"))),
            (false, false) => return Err(StoreError::Absent),
            (false, true) => {}
            (true, false) => {
                let picture = state.pictures.remove(&from).expect("it was there a line ago");
                state.pictures.insert(to, picture);
            }
        }
        Ok(())
    }

    fn delete(&self, name: &ImageName, subfolder: &str) -> Result<(), StoreError> {
        self.state.lock().pictures.remove(&(subfolder.to_owned(), name.clone()));
        Ok(())
    }

    fn stage_delete(&self, victims: Vec<Victim>) -> Result<Staged, StoreError> {
        let mut state = self.state.lock();
        let id = self.env.uuid();
        let aside = victims
            .iter()
            .filter_map(|victim| state.pictures.remove_entry(&(victim.subfolder.clone(), victim.name.clone())))
            .collect();
        state.staged.insert(id.clone(), aside);
        Ok(Staged {
            id,
            moved: victims,
            failed: Vec::new(),
        })
    }

    fn settle_delete(&self, staged: Staged, keep: &mut dyn FnMut(&ImageName) -> bool) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let aside = state.staged.remove(&staged.id).unwrap_or_default();
        state.pictures.extend(aside.into_iter().filter(|((_, name), _)| keep(name)));
        Ok(())
    }

    fn recover(&self, _exists: &mut dyn FnMut(&ImageName) -> bool) -> Result<Recovered, StoreError> {
        // What lived in memory died with it.
        Ok(Recovered::default())
    }

    fn subfolder_for(&self, name: &ImageName, is_intermediate: bool, category: ImageCategory, now: Timestamp) -> String {
        subfolder::choose(self.config.image_subfolder_strategy(), name, is_intermediate, category, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn it_behaves_as_the_one_on_disk() {
        let store = MemoryStore::new(Arc::new(Config::from_settings("/", Settings::default())), Env::system());
        let name = ImageName::parse("a.png").unwrap();
        store.put(&name, "x", b"full", b"small").unwrap();
        let victims = vec![Victim {
            name: name.clone(),
            subfolder: "x".into(),
        }];
        let staged = store.stage_delete(victims.clone()).unwrap();
        assert!(store.open_full(&name, "x").unwrap_err().is_absent());
        store.settle_delete(staged, &mut |_| true).unwrap();
        assert_eq!(store.open_full(&name, "x").unwrap().read_all().unwrap(), b"full");
        assert_eq!(store.open_thumbnail(&name, "x").unwrap().read_all().unwrap(), b"small");
        let staged = store.stage_delete(victims).unwrap();
        store.settle_delete(staged, &mut |_| false).unwrap();
        assert!(store.open_full(&name, "x").unwrap_err().is_absent());
    }
}
