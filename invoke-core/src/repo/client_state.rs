//! What a client keeps of itself on the server: texts by key, for each account.

use rusqlite::OptionalExtension;

use crate::{
    authz::{Actor, Permit, acts},
    db::{ReadTx, WriteTx},
    env::Timestamp,
};

/// One's own text under a key.
pub fn get(tx: &ReadTx<'_>, _leave: &Permit<acts::UseServer, ()>, owner: &Actor, key: &str) -> rusqlite::Result<Option<String>> {
    tx.sql()
        .prepare_cached("SELECT value FROM client_state WHERE user_id = ?1 AND key = ?2")?
        .query_row((owner.user_id(), key), |row| row.get(0))
        .optional()
}

/// Sets one's own text under a key.
pub fn set(
    tx: &mut WriteTx<'_>,
    _leave: &Permit<acts::UseServer, ()>,
    owner: &Actor,
    key: &str,
    value: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "INSERT INTO client_state (user_id, key, value, updated_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (user_id, key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        )?
        .execute((owner.user_id(), key, value, &now.sql()[..19]))?;
    Ok(())
}

/// One's own keys that begin so (upper and lower case are one), the last changed first.
pub fn keys(tx: &ReadTx<'_>, _leave: &Permit<acts::UseServer, ()>, owner: &Actor, prefix: &str) -> rusqlite::Result<Vec<String>> {
    let pattern = format!("{}%", prefix.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"));
    tx.sql()
        .prepare_cached("SELECT key FROM client_state WHERE user_id = ?1 AND key LIKE ?2 ESCAPE '\\' ORDER BY updated_at DESC, key")?
        .query_map((owner.user_id(), pattern), |row| row.get(0))?
        .collect()
}

/// Deletes one's own text under a key, or all of them.
pub fn delete(tx: &mut WriteTx<'_>, _leave: &Permit<acts::UseServer, ()>, owner: &Actor, key: Option<&str>) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("DELETE FROM client_state WHERE user_id = ?1 AND (?2 IS NULL OR key = ?2)")?
        .execute((owner.user_id(), key))?;
    Ok(())
}
