//! Transactions as types: what reads takes `&ReadTx`, what writes takes `&mut WriteTx`, and a write can read.

use std::ops::Deref;

use rusqlite::Connection;

use crate::authz::{Act, Administers, Deed, Permit, Powers, Sealed};

/// A snapshot of the database.
pub struct ReadTx<'c> {
    pub(super) connection: &'c Connection,
    pub(super) powers: Powers,
}

impl ReadTx<'_> {
    /// The connection, for the repositories.
    pub(crate) fn sql(&self) -> &Connection {
        self.connection
    }

    /// Seals a row that was found here.
    pub(crate) fn seal<T>(&self, row: Option<T>) -> Sealed<T> {
        Sealed::new(row, &self.powers)
    }
}

/// A transaction that may change the database; it commits when its closure succeeds.
pub struct WriteTx<'c> {
    pub(super) read: ReadTx<'c>,
}

impl WriteTx<'_> {
    /// Gives leave for what is for administrators alone, and notes it: it goes into the record if this transaction changes something.
    pub(crate) fn carry_out<A: Administers>(&mut self, deed: &Deed<A>) -> Permit<A, ()> {
        for power in deed.powers() {
            self.read.powers.note(power);
        }
        Permit::of_program()
    }

    /// Notes that something is written with leave that was given outside of this transaction.
    pub(crate) fn uses<A: Act, T>(&mut self, leave: &Permit<A, T>) {
        if let Some(power) = leave.power() {
            self.read.powers.note(power.clone());
        }
    }

    /// What administrators were allowed here that users are not.
    pub(crate) fn powers(&self) -> &Powers {
        &self.read.powers
    }
}

impl<'c> Deref for WriteTx<'c> {
    type Target = ReadTx<'c>;

    fn deref(&self) -> &ReadTx<'c> {
        &self.read
    }
}
