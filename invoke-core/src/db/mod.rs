//! The database: how it is opened, read, written and brought up to date. Knows SQLite and nothing of what is stored in it.
//!
//! One connection writes, a few read. Every write is one `BEGIN IMMEDIATE` transaction that commits only if its closure succeeds;
//! every read is one snapshot.

mod migrate;
mod open;
mod tx;

pub use migrate::{MigrateError, SCHEMA_VERSION};
pub use open::{Db, DbError};
pub use tx::{ReadTx, WriteTx};
