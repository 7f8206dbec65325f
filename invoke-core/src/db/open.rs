//! Opening the database, and lending its connections.

use std::path::{Path, PathBuf};

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{MigrateError, ReadTx, WriteTx, migrate};
use crate::{authz::Powers, env::Timestamp};

/// Connections that read at the same time. More gain nothing on the machines this runs on; a caller beyond waits its turn.
const READERS: usize = 8;
/// How long a connection waits for another process's lock.
const BUSY_TIMEOUT_MS: u32 = 5_000;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The file cannot be opened, or is no database.
    #[error("cannot open the database {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The file cannot be brought up to date.
    #[error("cannot use the database {}: {source}", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: MigrateError,
    },
}

/// A database file, one writer and a pool of readers. In memory, one connection does both.
pub struct Db {
    path: Option<PathBuf>,
    writer: Mutex<Connection>,
    readers: Mutex<Readers>,
    returned: Condvar,
}

#[derive(Default)]
struct Readers {
    idle: Vec<Connection>,
    lent: usize,
}

impl Db {
    /// Opens a file (made if absent) and brings its schema up to date, keeping a copy of the file before any change.
    pub fn open(path: &Path, now: Timestamp) -> Result<Self, DbError> {
        let failed = |source| DbError::Open {
            path: path.to_owned(),
            source,
        };
        let mut writer = Connection::open(path).map_err(failed)?;
        configure(&writer).map_err(failed)?;
        migrate::run(&mut writer, Some(path), now).map_err(|source| DbError::Migrate {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: Some(path.to_owned()),
            writer: Mutex::new(writer),
            readers: Mutex::default(),
            returned: Condvar::new(),
        })
    }

    /// A database that lives and dies with the process.
    pub fn in_memory(now: Timestamp) -> Result<Self, DbError> {
        let path = PathBuf::from(":memory:");
        let mut writer = Connection::open_in_memory().map_err(|source| DbError::Open {
            path: path.clone(),
            source,
        })?;
        configure(&writer).map_err(|source| DbError::Open {
            path: path.clone(),
            source,
        })?;
        migrate::run(&mut writer, None, now).map_err(|source| DbError::Migrate { path, source })?;
        Ok(Self {
            path: None,
            writer: Mutex::new(writer),
            readers: Mutex::default(),
            returned: Condvar::new(),
        })
    }

    /// Runs a closure on one snapshot.
    pub fn read<T, E: From<rusqlite::Error>>(&self, work: impl FnOnce(&ReadTx<'_>) -> Result<T, E>) -> Result<T, E> {
        let Some(path) = &self.path else {
            return work(&ReadTx {
                connection: &self.writer.lock(),
                powers: Powers::default(),
            });
        };
        let reader = Lent {
            db: self,
            connection: Some(self.borrow(path)?),
        };
        let connection = reader
            .connection
            .as_ref()
            .expect("a lent reader holds its connection until it is dropped");
        let _snapshot = Snapshot::begin(connection)?;
        work(&ReadTx {
            connection,
            powers: Powers::default(),
        })
    }

    /// Runs a closure in a transaction that commits only if it succeeds.
    pub fn write<T, E: From<rusqlite::Error>>(&self, work: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E>) -> Result<T, E> {
        self.write_then(work, |result| result)
    }

    /// [`Self::write`], and then, after the commit and before any other write of this process begins, `then`: what it tells is told in the
    /// order of the commits. It must neither wait nor use the database.
    pub fn write_then<T, R, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E>,
        then: impl FnOnce(T) -> R,
    ) -> Result<R, E> {
        let mut writer = self.writer.lock();
        let transaction = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let result = work(&mut WriteTx {
            read: ReadTx {
                connection: &transaction,
                powers: Powers::of_write(),
            },
        })?;
        transaction.commit()?;
        Ok(then(result))
    }

    fn borrow(&self, path: &Path) -> Result<Connection, rusqlite::Error> {
        let mut readers = self.readers.lock();
        loop {
            if let Some(connection) = readers.idle.pop() {
                readers.lent += 1;
                return Ok(connection);
            }
            if readers.lent < READERS {
                readers.lent += 1;
                break;
            }
            self.returned.wait(&mut readers);
        }
        drop(readers);
        let opened = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .and_then(|connection| configure(&connection).map(|()| connection));
        if opened.is_err() {
            self.give_back(None);
        }
        opened
    }

    fn give_back(&self, connection: Option<Connection>) {
        let mut readers = self.readers.lock();
        readers.lent -= 1;
        readers.idle.extend(connection);
        self.returned.notify_one();
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A transaction that only reads. Its two statements are kept prepared, as every request opens one or two of these.
struct Snapshot<'c>(&'c Connection);

impl<'c> Snapshot<'c> {
    fn begin(connection: &'c Connection) -> Result<Self, rusqlite::Error> {
        connection.prepare_cached("BEGIN DEFERRED")?.execute([])?;
        Ok(Self(connection))
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        let ended = self.0.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        if let Err(error) = ended
            && !self.0.is_autocommit()
            && let Err(worse) = self.0.execute_batch("ROLLBACK")
        {
            tracing::error!("a snapshot could not be left: {error}; {worse}");
        }
    }
}

/// A reader that goes back to the pool however its use ends.
struct Lent<'d> {
    db: &'d Db,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.db.give_back(self.connection.take());
    }
}

fn configure(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(std::time::Duration::from_millis(u64::from(BUSY_TIMEOUT_MS)))?;
    connection.set_prepared_statement_cache_capacity(128);
    // Plans depend on statements alone. Without this a statement whose parameters a partial index could be compared with is planned anew
    // each time it runs; a list of boards took twice as long.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    if !connection.is_readonly(rusqlite::MAIN_DB)? {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // With WAL this loses no committed transaction when the process dies, only, at worst, the last ones when the machine does.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
    }
    // 8 MiB of pages at most for each connection.
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000)
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("x.db"), now()).unwrap();
        let outcome: Result<(), rusqlite::Error> = db.write(|tx| {
            tx.sql().execute("INSERT INTO app_settings (key, value) VALUES ('a', 'b')", [])?;
            Err(rusqlite::Error::InvalidQuery)
        });
        assert!(outcome.is_err());
        let n: i64 = db
            .read(|tx| {
                tx.sql()
                    .query_row("SELECT COUNT(*) FROM app_settings WHERE key = 'a'", [], |r| r.get(0))
            })
            .unwrap();
        assert_eq!(n, 0);
    }

    #[test]
    fn what_is_told_after_a_commit_is_told_in_the_order_of_commits() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("x.db"), now()).unwrap();
        let told = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let written: Result<(), rusqlite::Error> = db.write_then(
                            |tx| {
                                tx.sql().execute(
                                    "INSERT INTO app_settings (key, value) VALUES ('n', '1') ON CONFLICT (key) DO UPDATE SET value = value + 1",
                                    [],
                                )?;
                                tx.sql()
                                    .query_row("SELECT CAST(value AS INTEGER) FROM app_settings WHERE key = 'n'", [], |r| {
                                        r.get::<_, i64>(0)
                                    })
                            },
                            |n| {
                                std::thread::yield_now();
                                told.lock().push(n);
                            },
                        );
                        written.unwrap();
                    }
                });
            }
        });
        assert_eq!(*told.lock(), (1..=400).collect::<Vec<_>>());
    }

    #[test]
    fn more_readers_than_connections_take_turns() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("x.db"), now()).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 * READERS {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let one: i64 = db.read(|tx| tx.sql().query_row("SELECT 1", [], |r| r.get(0))).unwrap();
                        assert_eq!(one, 1);
                    }
                });
            }
        });
        assert_eq!(db.readers.lock().lent, 0);
        assert!(db.readers.lock().idle.len() <= READERS);
    }

    #[test]
    fn a_snapshot_ends_with_its_use_however_that_ends() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("x.db"), now()).unwrap();
        let count = |tx: &ReadTx<'_>| {
            tx.sql()
                .query_row("SELECT COUNT(*) FROM app_settings WHERE key = 'a'", [], |r| r.get::<_, i64>(0))
        };
        let refused: Result<(), rusqlite::Error> = db.read(|tx| {
            count(tx)?;
            Err(rusqlite::Error::InvalidQuery)
        });
        assert!(refused.is_err());
        db.write(|tx| tx.sql().execute("INSERT INTO app_settings (key, value) VALUES ('a', 'b')", []))
            .unwrap();
        assert_eq!(db.read(count).unwrap(), 1);
        assert_eq!(db.readers.lock().idle.len(), 1);
    }

    /// A parameter beside a partial index is what makes SQLite plan anew; how often it did is counted by the statement.
    #[test]
    fn a_kept_statement_is_planned_once() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("x.db"), now()).unwrap();
        let planned = db.read(|tx| {
            let mut statement = tx
                .sql()
                .prepare("SELECT COUNT(*) FROM images WHERE user_id = ?1 AND gallery_board = ?2 AND is_intermediate = 0")?;
            for board in ["", "a", "b"] {
                statement.query_row(("alice", board), |row| row.get::<_, i64>(0))?;
            }
            Ok::<_, rusqlite::Error>(statement.get_status(StatementStatus::RePrepare))
        });
        assert_eq!(planned.unwrap(), 0);
    }

    #[test]
    fn readers_cannot_write() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("x.db"), now()).unwrap();
        let outcome: Result<usize, rusqlite::Error> = db.read(|tx| tx.sql().execute("DELETE FROM app_settings", []));
        assert!(outcome.is_err());
    }
}
