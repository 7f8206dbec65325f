//! Adding items.

use rusqlite::{OptionalExtension, params};

use crate::{
    authz::{Permit, acts::UseServer},
    db::{ReadTx, WriteTx},
    domain::{
        BatchId, ItemId, QueueId, SessionId, UserId,
        queue_item::{CallOf, FieldValue},
    },
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
    /// Whether an API key asked.
    pub by_key: bool,
    /// Which part of the client asked.
    pub origin: Option<&'a str>,
    /// Where the client wants the results.
    pub destination: Option<&'a str>,
    /// Larger runs earlier.
    pub priority: i64,
    /// What an item costs, in steps of a 512 by 512 picture of Stable Diffusion 1.
    pub cost: f64,
    /// Keys of the models that the graph names.
    pub models: &'a [String],
    /// Node and field of each of an item's values, as a JSON list; `None` for items that never had any list of values.
    pub fields: Option<String>,
    /// The graph as JSON.
    pub graph: &'a str,
    /// The workflow as JSON.
    pub workflow: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}

/// What differs from item to item.
#[derive(Default)]
pub struct NewItem {
    /// The session.
    pub session_id: Option<SessionId>,
    /// The values of the batch's fields as a JSON list; `None` for none.
    pub values: Option<String>,
    /// Its cost, where it is not the batch's.
    pub cost: Option<f64>,
    /// The item it is a retry of.
    pub retried_from_item_id: Option<ItemId>,
    /// The call of a workflow that it answers.
    pub call: Option<CallOf>,
    /// Its session, where it does not follow from the batch's graph and its values.
    pub session: Option<String>,
}

/// Substituted values, taken apart into what a batch and what an item stores.
pub fn taken_apart(values: Option<&[FieldValue]>) -> (Option<String>, Option<String>) {
    let json = |list: Vec<serde_json::Value>| serde_json::Value::Array(list).to_string();
    let Some(values) = values else { return (None, None) };
    let fields = values
        .iter()
        .map(|value| serde_json::json!([value.node_path, value.field_name]))
        .collect();
    let own = (!values.is_empty()).then(|| json(values.iter().map(|value| value.value.clone()).collect()));
    (Some(json(fields)), own)
}

/// How many more items may wait.
pub fn capacity_left(tx: &ReadTx<'_>, queue_id: &QueueId, max_queue_size: i64) -> rusqlite::Result<i64> {
    let pending: Option<i64> = tx
        .sql()
        .prepare_cached("SELECT pending FROM queue_counts WHERE queue_id = ?1 AND user_id = ''")?
        .query_row([queue_id], |row| row.get(0))
        .optional()?;
    Ok((max_queue_size - pending.unwrap_or(0)).max(0))
}

/// The priority that overtakes everything that waits.
pub fn next_priority(tx: &ReadTx<'_>, queue_id: &QueueId) -> rusqlite::Result<i64> {
    let highest: Option<i64> = tx
        .sql()
        .prepare_cached("SELECT priority FROM queue_batches WHERE pending > 0 AND queue_id = ?1 ORDER BY priority DESC LIMIT 1")?
        .query_row([queue_id], |row| row.get(0))
        .optional()?;
    Ok(highest.unwrap_or(0) + 1)
}

/// Stores what a batch's items share once and the items beside it. Returns the items' numbers, ascending and without gaps.
///
/// Counts and turns are kept here and not by a trigger: once for the batch, not once for each item.
pub fn insert_batch(
    tx: &mut WriteTx<'_>,
    _leave: &Permit<UseServer, ()>,
    batch: &NewBatch<'_>,
    items: impl IntoIterator<Item = NewItem>,
) -> rusqlite::Result<std::ops::Range<ItemId>> {
    let sql = tx.sql();
    let last: Option<ItemId> = sql
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'session_queue'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let first = last.unwrap_or(0) + 1;
    let mut next = first;
    let mut insert = sql.prepare_cached(
        "INSERT INTO session_queue (item_id, batch_row, queue_id, user_id, session_id, field_values, status, cost, retried_from_item_id, session)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'pending', ?7, ?8, ?9)",
    )?;
    for item in items {
        insert.execute(params![
            next,
            first,
            batch.queue_id,
            batch.user_id,
            item.session_id,
            item.values,
            item.cost,
            item.retried_from_item_id,
            item.session,
        ])?;
        if let Some(call) = &item.call {
            sql.prepare_cached(
                "UPDATE session_queue SET workflow_call_id = ?2, parent_item_id = ?3, parent_session_id = ?4, root_item_id = ?5, workflow_call_depth = ?6
                 WHERE item_id = ?1",
            )?
            .execute(params![
                next,
                call.workflow_call_id,
                call.parent_item_id,
                call.parent_session_id,
                call.root_item_id,
                call.depth
            ])?;
        }
        next += 1;
    }
    if next == first {
        return Ok(first..first);
    }
    let count = next - first;
    lift(tx, batch.user_id)?;
    sql.prepare_cached(
        "INSERT INTO queue_batches (batch_row, last_item, batch_id, queue_id, user_id, origin, destination, priority, created_at, fields, cost, models, pending, by_key)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?
    .execute(params![
        first,
        next - 1,
        batch.batch_id,
        batch.queue_id,
        batch.user_id,
        batch.origin,
        batch.destination,
        batch.priority,
        batch.now.sql(),
        batch.fields,
        batch.cost,
        serde_json::to_string(batch.models).expect("a list of texts is JSON"),
        count,
        batch.by_key,
    ])?;
    sql.prepare_cached("INSERT INTO queue_graphs (batch_row, graph, workflow) VALUES (?1, ?2, ?3)")?
        .execute((first, batch.graph, batch.workflow))?;
    let mut counts = sql.prepare_cached(
        "INSERT INTO queue_counts (queue_id, user_id, pending) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET pending = pending + excluded.pending",
    )?;
    counts.execute((batch.queue_id, batch.user_id, count))?;
    counts.execute((batch.queue_id, "", count))?;
    // A newer batch comes before a user's older ones only by its priority.
    sql.prepare_cached("UPDATE queue_turns SET batch_row = ?2, priority = ?3 WHERE user_id = ?1 AND (batch_row IS NULL OR priority < ?3)")?
        .execute((batch.user_id, first, batch.priority))?;
    Ok(first..next)
}

/// A user of whom nothing waits or runs comes back: what they were served is lifted to that of the least served who waits or runs, so that nobody
/// saves up turns by staying away. If nobody waits or runs, to that of the most served.
fn lift(tx: &WriteTx<'_>, user_id: &UserId) -> rusqlite::Result<()> {
    let sql = tx.sql();
    sql.prepare_cached("INSERT INTO queue_turns (user_id) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([user_id])?;
    sql.prepare_cached(
        "UPDATE queue_turns SET served = MAX(served, COALESCE(
             (SELECT MIN(served) FROM queue_turns
              WHERE batch_row IS NOT NULL OR user_id IN (SELECT user_id FROM session_queue WHERE status = 'in_progress')),
             (SELECT MAX(served) FROM queue_turns)))
         WHERE user_id = ?1 AND batch_row IS NULL AND NOT EXISTS (SELECT 1 FROM session_queue WHERE status = 'in_progress' AND user_id = ?1)",
    )?
    .execute([user_id])?;
    Ok(())
}
