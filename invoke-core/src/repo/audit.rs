//! The record of who signed in and who administered what.

use rusqlite::Row;

use crate::{
    authz::{Permit, acts},
    db::{ReadTx, WriteTx},
    domain::{UserId, audit::Entry},
    env::Timestamp,
};

/// Entries of people signing in go once so many of any kind are newer, or whoever guesses passwords could fill the disk.
const KEPT: i64 = 100_000;
/// How their acts' names begin.
const SIGN_IN: &str = "login";

/// A new entry.
#[derive(Debug)]
pub struct NewEntry<'a> {
    /// When.
    pub at: Timestamp,
    /// Who; empty for nobody.
    pub actor_id: &'a UserId,
    /// Through what.
    pub door: &'a str,
    /// Did what.
    pub act: &'a str,
    /// To what or whom.
    pub subject_id: Option<&'a str>,
    /// From where.
    pub address: Option<&'a str>,
    /// What else there is to know.
    pub detail: Option<&'a str>,
}

/// Adds an entry.
pub fn insert(tx: &mut WriteTx<'_>, new: &NewEntry<'_>) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("INSERT INTO audit_log (at, actor_id, door, act, subject_id, address, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(rusqlite::params![
            new.at.sql(),
            new.actor_id,
            new.door,
            new.act,
            new.subject_id,
            new.address,
            new.detail
        ])?;
    if new.act.starts_with(SIGN_IN) {
        prune(tx, KEPT)?;
    }
    Ok(())
}

/// Removes what is older than so many entries of people signing in, some of it at a time.
fn prune(tx: &mut WriteTx<'_>, kept: i64) -> rusqlite::Result<()> {
    // The table is looked at only where there may be something to remove.
    let newest = tx.sql().last_insert_rowid();
    if newest <= kept {
        return Ok(());
    }
    tx.sql()
        .prepare_cached(
            "DELETE FROM audit_log WHERE entry_id IN (
                 SELECT entry_id FROM audit_log WHERE act GLOB 'login*' AND entry_id <= ?1 ORDER BY entry_id LIMIT 100)",
        )?
        .execute([newest - kept])?;
    Ok(())
}

/// What part of the record is asked for.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// What this account did, or what was done to it.
    pub user_id: Option<UserId>,
    /// Acts whose name begins so, such as `login` or `user`.
    pub act: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
}

/// One window of the record, newest first, and the length of the whole.
pub fn page(
    tx: &ReadTx<'_>,
    _leave: &Permit<acts::ManageUsers, ()>,
    filter: &AuditFilter,
    offset: i64,
    limit: i64,
) -> rusqlite::Result<(Vec<Entry>, i64)> {
    const WHERE: &str =
        "(?1 IS NULL OR actor_id = ?1 OR subject_id = ?1) AND (?2 IS NULL OR substr(act, 1, length(?2)) = ?2) AND (?3 IS NULL OR at >= ?3)";
    let since = filter.since.map(Timestamp::sql);
    let total = tx
        .sql()
        .prepare_cached(&format!("SELECT COUNT(*) FROM audit_log WHERE {WHERE}"))?
        .query_row((&filter.user_id, &filter.act, &since), |row| row.get(0))?;
    let sql = format!(
        "SELECT entry_id, at, actor_id, door, act, subject_id, address, detail FROM audit_log WHERE {WHERE}
         ORDER BY entry_id DESC LIMIT ?4 OFFSET ?5"
    );
    let entry = |row: &Row<'_>| {
        Ok(Entry {
            entry_id: row.get(0)?,
            at: row.get(1)?,
            actor_id: row.get(2)?,
            door: row.get(3)?,
            act: row.get(4)?,
            subject_id: row.get(5)?,
            address: row.get(6)?,
            detail: row.get(7)?,
        })
    };
    let mut statement = tx.sql().prepare_cached(&sql)?;
    let items = statement
        .query_map((&filter.user_id, &filter.act, &since, limit, offset), entry)?
        .collect::<Result<_, _>>()?;
    Ok((items, total))
}
