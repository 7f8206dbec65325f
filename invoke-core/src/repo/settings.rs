//! The program's own settings, which live with the data.

use rusqlite::OptionalExtension;

use crate::{
    db::{ReadTx, WriteTx},
    env::Timestamp,
};

/// Name of the key that tokens are signed with.
pub(crate) const TOKEN_KEY: &str = "jwt_secret";

/// A setting's value.
pub(crate) fn get(tx: &ReadTx<'_>, name: &str) -> rusqlite::Result<Option<String>> {
    tx.sql()
        .prepare_cached("SELECT value FROM app_settings WHERE key = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// Gives a setting a value unless it has one, and returns what it has then.
pub(crate) fn get_or_set(tx: &mut WriteTx<'_>, name: &str, value: &str, now: Timestamp) -> rusqlite::Result<String> {
    tx.sql()
        .prepare_cached(
            "INSERT INTO app_settings (key, value, created_at, updated_at) VALUES (?1, ?2, ?3, ?3) ON CONFLICT (key) DO NOTHING",
        )?
        .execute((name, value, now.sql()))?;
    tx.sql()
        .prepare_cached("SELECT value FROM app_settings WHERE key = ?1")?
        .query_row([name], |row| row.get(0))
}
