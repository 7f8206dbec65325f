//! Lists of pictures' names that are kept between requests.
//!
//! Pages ask for all names of a gallery again and again, and hundreds of thousands are dear to read. A list is what its scope and filter say and changes
//! with the pictures alone; the database counts their changes, so a list that was read at the count of the present snapshot is the list of the present.

use indexmap::IndexMap;
use parking_lot::Mutex;

use crate::{
    authz::Scope,
    db::ReadTx,
    domain::page::NameList,
    repo::gallery::{self, ImageFilter},
};

/// Room for all lists: a few of a gallery of 200,000 pictures.
const BYTES: usize = 32 << 20;
/// The most lists.
const LISTS: usize = 256;

#[derive(Debug, Clone)]
struct Kept {
    /// What the changes counted to when it was read.
    changes: i64,
    names: NameList,
    starred: usize,
}

impl Kept {
    fn bytes(&self) -> usize {
        self.names.bytes()
    }
}

#[derive(Debug, Default)]
struct State {
    /// Least recently used first.
    lists: IndexMap<(Scope, ImageFilter), Kept>,
    bytes: usize,
}

impl State {
    fn take(&mut self, key: &(Scope, ImageFilter)) -> Option<Kept> {
        let kept = self.lists.shift_remove(key)?;
        self.bytes -= kept.bytes();
        Some(kept)
    }

    fn put(&mut self, key: (Scope, ImageFilter), kept: Kept) {
        if kept.bytes() > BYTES {
            return;
        }
        // Two requests may have read the same list at the same time.
        drop(self.take(&key));
        self.bytes += kept.bytes();
        self.lists.insert(key, kept);
        while self.bytes > BYTES || self.lists.len() > LISTS {
            let Some((_, oldest)) = self.lists.shift_remove_index(0) else {
                break;
            };
            self.bytes -= oldest.bytes();
        }
    }
}

/// The lists of one database.
#[derive(Debug, Default)]
pub(crate) struct NameLists(Mutex<State>);

impl NameLists {
    /// All names of a list, and how many of them are marked (0 where marked ones do not come first). It is what [`gallery::names`] returns for the
    /// snapshot.
    pub(crate) fn names(&self, tx: &ReadTx<'_>, scope: &Scope, filter: &ImageFilter) -> rusqlite::Result<(NameList, usize)> {
        let changes = gallery::changes(tx, scope)?;
        let key = (scope.clone(), filter.clone());
        let kept = {
            let mut state = self.0.lock();
            // One that has changed goes: it will be read anew.
            let kept = state.take(&key).filter(|kept| kept.changes == changes);
            if let Some(kept) = &kept {
                state.put(key.clone(), kept.clone());
            }
            kept
        };
        let kept = match kept {
            Some(kept) => kept,
            None => {
                let (names, starred) = gallery::names(tx, scope, filter)?;
                let read = Kept { changes, names, starred };
                self.0.lock().put(key, read.clone());
                read
            }
        };
        Ok((kept.names, kept.starred))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UserId;

    fn list(bytes: usize) -> Kept {
        let mut names = NameList::default();
        names.push(&"x".repeat(bytes - size_of::<usize>()));
        Kept {
            changes: 0,
            names,
            starred: 0,
        }
    }

    fn of(user: usize) -> (Scope, ImageFilter) {
        (Scope::Own(UserId::new(user.to_string())), ImageFilter::default())
    }

    #[test]
    fn the_least_recently_used_list_makes_room() {
        let mut state = State::default();
        for user in 0..4 {
            state.put(of(user), list(BYTES / 4));
        }
        assert_eq!(state.bytes, BYTES);
        let first = state.take(&of(0)).unwrap();
        state.put(of(0), first);
        state.put(of(9), list(BYTES / 2));
        assert_eq!(state.bytes, BYTES);
        assert!(state.take(&of(1)).is_none() && state.take(&of(2)).is_none());
        assert!(state.take(&of(0)).is_some() && state.take(&of(3)).is_some() && state.take(&of(9)).is_some());
        assert_eq!((state.bytes, state.lists.len()), (0, 0));
        // One that takes more than there is, and the same one twice.
        state.put(of(1), list(BYTES + 1));
        assert_eq!(state.bytes, 0);
        state.put(of(1), list(64));
        state.put(of(1), list(32));
        assert_eq!(state.bytes, 32);
        for user in 0..2 * LISTS {
            state.put(of(user), list(16));
        }
        assert_eq!((state.bytes, state.lists.len()), (16 * LISTS, LISTS));
    }
}
