//! Transactions as types: what reads takes `&ReadTx`, what writes takes `&mut WriteTx`, and a write can read.

use std::ops::Deref;

use rusqlite::Connection;

/// A snapshot of the database.
pub struct ReadTx<'c> {
    pub(super) connection: &'c Connection,
}

impl ReadTx<'_> {
    /// The connection, for the repositories.
    pub(crate) fn sql(&self) -> &Connection {
        self.connection
    }
}

/// A transaction that may change the database; it commits when its closure succeeds.
pub struct WriteTx<'c> {
    pub(super) read: ReadTx<'c>,
}

impl<'c> Deref for WriteTx<'c> {
    type Target = ReadTx<'c>;

    fn deref(&self) -> &ReadTx<'c> {
        &self.read
    }
}
