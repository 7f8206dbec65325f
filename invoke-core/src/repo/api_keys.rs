//! API keys' rows. A key itself is never stored, only a hash of it.

use rusqlite::{OptionalExtension, Row};

use crate::{
    authz::{Permit, Scope, Sealed, acts},
    db::{ReadTx, WriteTx},
    domain::{
        api_key::{ApiKey, KeyScope},
        user::User,
    },
    env::Timestamp,
};

const KEY: &str = "key_id, user_id, name, scope, created_at, expires_at, last_used_at";

fn key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let scope: String = row.get(3)?;
    let created_at: String = row.get(4)?;
    let later = |index| {
        row.get::<_, Option<String>>(index)
            .map(|text| text.as_deref().and_then(Timestamp::parse))
    };
    Ok(ApiKey {
        key_id: row.get(0)?,
        user_id: row.get(1)?,
        name: row.get(2)?,
        // What cannot be read may do the least.
        scope: scope.parse().unwrap_or(KeyScope::Read),
        created_at: Timestamp::parse(&created_at).unwrap_or(Timestamp::from_millis(0)),
        expires_at: later(5)?,
        last_used_at: later(6)?,
    })
}

/// The key of this hash: for finding out who asks.
pub(crate) fn by_hash(tx: &ReadTx<'_>, hash: &[u8; 32]) -> rusqlite::Result<Option<ApiKey>> {
    tx.sql()
        .prepare_cached(&format!("SELECT {KEY} FROM api_keys WHERE key_hash = ?1"))?
        .query_row([hash], key)
        .optional()
}

/// The key of this id: for finding out whether it is still honoured.
pub(crate) fn by_id(tx: &ReadTx<'_>, key_id: &str) -> rusqlite::Result<Option<ApiKey>> {
    tx.sql()
        .prepare_cached(&format!("SELECT {KEY} FROM api_keys WHERE key_id = ?1"))?
        .query_row([key_id], key)
        .optional()
}

/// Notes when a key was used.
pub(crate) fn record_use(tx: &mut WriteTx<'_>, key_id: &str, now: Timestamp) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("UPDATE api_keys SET last_used_at = ?2 WHERE key_id = ?1")?
        .execute((key_id, now.sql()))?;
    Ok(())
}

/// The key of this id, sealed.
pub fn find(tx: &ReadTx<'_>, key_id: &str) -> rusqlite::Result<Sealed<ApiKey>> {
    by_id(tx, key_id).map(|row| tx.seal(row))
}

/// Keys, newest first.
pub fn list(tx: &ReadTx<'_>, scope: &Scope) -> rusqlite::Result<Vec<ApiKey>> {
    let sql = format!("SELECT {KEY} FROM api_keys WHERE (?1 IS NULL OR user_id = ?1) ORDER BY created_at DESC, key_id");
    tx.sql().prepare_cached(&sql)?.query_map([scope.owner_parameter()], key)?.collect()
}

/// Adds a key to one's own account.
pub fn insert(tx: &mut WriteTx<'_>, own: &Permit<acts::ManageSelf, User>, key: &ApiKey, hash: &[u8; 32]) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "INSERT INTO api_keys (key_id, user_id, name, key_hash, scope, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(rusqlite::params![
            key.key_id,
            own.user_id,
            key.name,
            hash,
            key.scope.as_str(),
            key.created_at.sql(),
            key.expires_at.map(Timestamp::sql)
        ])?;
    Ok(())
}

/// How many keys somebody has.
pub fn count_of(tx: &ReadTx<'_>, own: &Permit<acts::ManageSelf, User>) -> rusqlite::Result<i64> {
    tx.sql()
        .prepare_cached("SELECT COUNT(*) FROM api_keys WHERE user_id = ?1")?
        .query_row([&own.user_id], |row| row.get(0))
}

/// Ends a key.
pub fn delete(tx: &mut WriteTx<'_>, of: &Permit<acts::ManageSelf, ApiKey>) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("DELETE FROM api_keys WHERE key_id = ?1")?
        .execute([&of.key_id])?;
    Ok(())
}
