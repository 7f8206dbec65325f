//! Adding items.

use rusqlite::OptionalExtension;

use crate::{
    authz::{Permit, acts::UseServer},
    db::{ReadTx, WriteTx},
    domain::{BatchId, ItemId, QueueId, SessionId, UserId},
    env::Timestamp,
};

/// What a batch's items have in common.
pub struct NewBatch<'a> {
    /// The queue.
    pub queue_id: &'a QueueId,
    /// The batch.
    pub batch_id: &'a BatchId,
    /// Their owner.
    pub user_id: &'a UserId,
    /// Which part of the client asked.
    pub origin: Option<&'a str>,
    /// Where the client wants the results.
    pub destination: Option<&'a str>,
    /// Larger runs earlier.
    pub priority: i64,
    /// The graph as JSON.
    pub graph: &'a str,
    /// The workflow as JSON.
    pub workflow: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}

/// What differs from item to item.
pub struct NewItem {
    /// The session.
    pub session_id: SessionId,
    /// The substituted values as JSON; `None` for an item that never had any list of them.
    pub field_values: Option<String>,
    /// The item it is a retry of.
    pub retried_from_item_id: Option<ItemId>,
}

/// How many more items may wait.
pub fn capacity_left(tx: &ReadTx<'_>, queue_id: &QueueId, max_queue_size: i64) -> rusqlite::Result<i64> {
    let pending: i64 = tx
        .sql()
        .prepare_cached("SELECT COALESCE(SUM(n), 0) FROM queue_counts WHERE queue_id = ?1 AND status = 'pending'")?
        .query_row([queue_id], |row| row.get(0))?;
    Ok((max_queue_size - pending).max(0))
}

/// The priority that overtakes everything that waits.
pub fn next_priority(tx: &ReadTx<'_>, queue_id: &QueueId) -> rusqlite::Result<i64> {
    let highest: Option<i64> = tx
        .sql()
        .prepare_cached("SELECT priority FROM session_queue WHERE status = 'pending' AND queue_id = ?1 ORDER BY priority DESC LIMIT 1")?
        .query_row([queue_id], |row| row.get(0))
        .optional()?;
    Ok(highest.unwrap_or(0) + 1)
}

/// Stores a batch's graph once and its items beside it. Returns the items' numbers, ascending.
pub fn insert_batch(
    tx: &mut WriteTx<'_>,
    _leave: &Permit<UseServer, ()>,
    batch: &NewBatch<'_>,
    items: impl IntoIterator<Item = NewItem>,
) -> rusqlite::Result<Vec<ItemId>> {
    let mut items = items.into_iter().peekable();
    if items.peek().is_none() {
        return Ok(Vec::new());
    }
    let sql = tx.sql();
    sql.prepare_cached("INSERT INTO queue_batches (graph, workflow) VALUES (?1, ?2)")?
        .execute((batch.graph, batch.workflow))?;
    let batch_row = sql.last_insert_rowid();
    let now = batch.now.sql();
    let mut insert = sql.prepare_cached(
        "INSERT INTO session_queue (batch_id, queue_id, session_id, field_values, priority, created_at, updated_at, origin, destination,
                                    retried_from_item_id, user_id, batch_row)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    let mut ids = Vec::new();
    for item in items {
        insert.execute(rusqlite::params![
            batch.batch_id,
            batch.queue_id,
            item.session_id,
            item.field_values,
            batch.priority,
            now,
            batch.origin,
            batch.destination,
            item.retried_from_item_id,
            batch.user_id,
            batch_row,
        ])?;
        ids.push(sql.last_insert_rowid());
    }
    Ok(ids)
}
