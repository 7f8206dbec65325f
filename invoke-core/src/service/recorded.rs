//! The database as services use it: what is done as an administrator alone goes into the record with the write that does it.

use std::{net::IpAddr, sync::Arc};

use crate::{
    authz::Power,
    db::{Db, ReadTx, WriteTx},
    domain::{Result, UserId},
    env::Env,
    repo::audit::{self as record, NewEntry},
};

/// Things that one entry of the record names at most.
const NAMED: usize = 20;

/// Through what a program uses the services, for the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The server.
    Server,
    /// A command run on the machine.
    Command,
    /// A program that embeds the library.
    Library,
}

impl Door {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Command => "command",
            Self::Library => "library",
        }
    }
}

/// What is written down of an act.
#[derive(Default, Clone, Copy)]
pub(super) struct Note<'a> {
    pub(super) act: &'a str,
    pub(super) subject: Option<&'a str>,
    pub(super) address: Option<IpAddr>,
    pub(super) detail: Option<&'a str>,
}

/// The database, and through what it is used.
pub struct RecordedDb {
    db: Arc<Db>,
    env: Env,
    door: Door,
}

impl RecordedDb {
    pub(super) const fn new(db: Arc<Db>, env: Env, door: Door) -> Self {
        Self { db, env, door }
    }

    /// [`Db::read`].
    pub fn read<T, E: From<rusqlite::Error>>(&self, work: impl FnOnce(&ReadTx<'_>) -> Result<T, E>) -> Result<T, E> {
        self.db.read(work)
    }

    /// [`Db::write`], and what administrators did in it that users may not.
    pub fn write<T, E: From<rusqlite::Error>>(&self, work: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E>) -> Result<T, E> {
        self.write_then(work, |result| result)
    }

    /// [`Db::write_then`], and what administrators did in it that users may not.
    pub fn write_then<T, R, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E>,
        then: impl FnOnce(T) -> R,
    ) -> Result<R, E> {
        let recorded = |tx: &mut WriteTx<'_>| {
            let changes = tx.sql().total_changes();
            let result = work(tx)?;
            let used = tx.powers().take();
            if tx.sql().total_changes() > changes {
                self.write_down(tx, &used)?;
            }
            Ok(result)
        };
        self.db.write_then(recorded, then)
    }

    /// Writes down what was done without a write of its own: a deed, or what a permit was used for.
    pub(super) fn record(&self, done: impl Into<Vec<Power>>) -> rusqlite::Result<()> {
        let used = done.into();
        if used.is_empty() {
            return Ok(());
        }
        self.db.write(|tx| self.write_down(tx, &used))
    }

    /// One entry for each act, whatever it was done to.
    fn write_down(&self, tx: &mut WriteTx<'_>, used: &[Power]) -> rusqlite::Result<()> {
        for same in used.chunk_by(|one, next| (&one.by, &one.act) == (&next.by, &next.act)) {
            let things: Vec<&str> = same.iter().filter_map(|power| power.subject.as_deref()).collect();
            let some = things.iter().take(NAMED).copied().collect::<Vec<_>>().join(" ");
            let more = if things.len() > NAMED { " …" } else { "" };
            let detail = (things.len() > 1).then(|| format!("{}: {some}{more}", things.len()));
            let note = Note {
                act: &same[0].act,
                subject: if let [one] = things[..] { Some(one) } else { None },
                address: None,
                detail: detail.as_deref(),
            };
            self.enter(tx, &same[0].by, note)?;
        }
        Ok(())
    }

    /// Writes down who did what.
    pub(super) fn enter(&self, tx: &mut WriteTx<'_>, actor: &UserId, note: Note<'_>) -> rusqlite::Result<()> {
        let address = note.address.map(|address| address.to_canonical().to_string());
        let entry = NewEntry {
            at: self.env.now(),
            actor_id: actor,
            door: self.door.as_str(),
            act: note.act,
            subject_id: note.subject,
            address: address.as_deref(),
            detail: note.detail,
        };
        record::insert(tx, &entry)
    }
}
