//! Whose turn it is, and taking the next item to run.

use rusqlite::OptionalExtension;

use super::transition::{self, Change};
use crate::{
    db::{ReadTx, WriteTx},
    domain::{ItemId, queue_item::Turn},
    env::Timestamp,
};

/// What each user with waiting items would be served next. Kept as rows are written: one row a user, however long the queue and its history are.
pub(crate) fn turns(tx: &ReadTx<'_>) -> rusqlite::Result<Vec<Turn>> {
    tx.sql()
        .prepare_cached("SELECT batch_row, priority, last_started, served FROM queue_turns WHERE batch_row IS NOT NULL")?
        .query_map([], |row| {
            Ok(Turn {
                batch_row: row.get(0)?,
                priority: row.get(1)?,
                last_started: row.get(2)?,
                served: row.get(3)?,
            })
        })?
        .collect()
}

/// Keys of the models that a batch's graph names.
pub(crate) fn models_of(tx: &ReadTx<'_>, batch_row: i64) -> rusqlite::Result<Vec<String>> {
    let text: Option<String> = tx
        .sql()
        .prepare_cached("SELECT models FROM queue_batches WHERE batch_row = ?1")?
        .query_row([batch_row], |row| row.get(0))
        .optional()?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// What an item costs, and keys of the models that its graph names.
pub(crate) fn cost_of(tx: &ReadTx<'_>, item_id: ItemId) -> rusqlite::Result<(f64, Vec<String>)> {
    tx.sql()
        .prepare_cached(
            "SELECT COALESCE(q.cost, b.cost), b.models FROM session_queue q JOIN queue_batches b ON b.batch_row = q.batch_row WHERE q.item_id = ?1",
        )?
        .query_row([item_id], |row| {
            let models: String = row.get(1)?;
            Ok((row.get(0)?, serde_json::from_str(&models).unwrap_or_default()))
        })
}

/// The first of a batch's items that waits.
pub(crate) fn first_waiting(tx: &ReadTx<'_>, batch_row: i64) -> rusqlite::Result<Option<ItemId>> {
    tx.sql()
        .prepare_cached(
            "SELECT q.item_id FROM queue_batches b CROSS JOIN session_queue q INDEXED BY idx_session_queue_pending
             WHERE b.batch_row = ?1 AND q.status = 'pending' AND q.item_id BETWEEN b.batch_row AND b.last_item AND q.batch_row = b.batch_row
             ORDER BY q.item_id LIMIT 1",
        )?
        .query_row([batch_row], |row| row.get(0))
        .optional()
}

/// Marks a waiting item as running on `device` and charges its cost to its owner. Within the one write transaction nobody else can claim it. `None` if it
/// does not wait.
pub(crate) fn begin(tx: &mut WriteTx<'_>, item_id: ItemId, device: &str, now: Timestamp) -> rusqlite::Result<Option<Change>> {
    let change = transition::start(tx, item_id, device, now)?;
    if change.is_some() {
        charge(tx, item_id, 1.0)?;
    }
    Ok(change)
}

/// Adds an item's cost, `times` over, to what its owner was served.
pub(super) fn charge(tx: &WriteTx<'_>, item_id: ItemId, times: f64) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "UPDATE queue_turns SET served = MAX(0.0, served + ?2 * c.cost)
             FROM (SELECT q.user_id, COALESCE(q.cost, b.cost) AS cost FROM session_queue q JOIN queue_batches b ON b.batch_row = q.batch_row
                   WHERE q.item_id = ?1) c
             WHERE queue_turns.user_id = c.user_id",
        )?
        .execute((item_id, times))?;
    Ok(())
}
