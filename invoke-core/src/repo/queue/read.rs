//! Finding and listing items.

use rusqlite::{OptionalExtension, Row};
use serde_json::Value;

use crate::{
    authz::{Scope, Sealed},
    db::ReadTx,
    domain::{
        BatchId, ItemId, QueueId, SessionId,
        page::Direction,
        queue_item::{FieldValue, QueueItem},
    },
};

/// Columns of an item with its owner's names, in the order that [`item`] reads them.
pub(super) const ITEM: &str = "q.item_id, q.status, q.status_sequence, b.priority, b.batch_id, b.origin, b.destination, q.session_id, q.error_type,
    q.error_message, q.error_traceback, b.created_at, COALESCE(q.updated_at, b.created_at), q.started_at, q.completed_at, q.queue_id, q.user_id,
    u.display_name, u.email, q.field_values, q.retried_from_item_id, q.device, q.workflow_call_id, q.parent_item_id, q.parent_session_id,
    q.root_item_id, q.workflow_call_depth, b.fields, b.by_key";
/// Where those columns come from.
pub(super) const FROM: &str =
    "session_queue q JOIN queue_batches b ON b.batch_row = q.batch_row LEFT JOIN users u ON u.user_id = q.user_id";
/// The same, found from their batches.
const FROM_BATCHES: &str =
    "queue_batches b CROSS JOIN session_queue q ON q.item_id BETWEEN b.batch_row AND b.last_item AND q.batch_row = b.batch_row
    LEFT JOIN users u ON u.user_id = q.user_id";

fn text_enum<T: std::str::FromStr<Err = String>>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text: String = row.get(index)?;
    text.parse()
        .map_err(|error: String| rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, error.into()))
}

/// Puts an item's values together with the names that its batch keeps.
fn field_values(fields: Option<&str>, values: Option<&str>) -> serde_json::Result<Option<Vec<FieldValue>>> {
    let Some(fields) = fields else {
        return values.map(serde_json::from_str).transpose();
    };
    let fields: Vec<(String, String)> = serde_json::from_str(fields)?;
    let values: Vec<Value> = values.map(serde_json::from_str).transpose()?.unwrap_or_default();
    let named = fields.into_iter().zip(values).map(|((node_path, field_name), value)| FieldValue {
        node_path,
        field_name,
        value,
    });
    Ok(Some(named.collect()))
}

/// Reads the columns of [`ITEM`].
pub(super) fn item(row: &Row<'_>) -> rusqlite::Result<QueueItem> {
    let text = |at: usize| row.get_ref(at)?.as_str_or_null().map_err(rusqlite::Error::from);
    let field_values = field_values(text(27)?, text(19)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(19, rusqlite::types::Type::Text, Box::new(error)))?;
    Ok(QueueItem {
        item_id: row.get(0)?,
        status: text_enum(row, 1)?,
        status_sequence: row.get(2)?,
        priority: row.get(3)?,
        batch_id: row.get(4)?,
        origin: row.get(5)?,
        destination: row.get(6)?,
        session_id: row.get(7)?,
        error_type: row.get(8)?,
        error_message: row.get(9)?,
        error_traceback: row.get(10)?,
        created_at: row.get(11)?,
        updated_at: row.get(12)?,
        started_at: row.get(13)?,
        completed_at: row.get(14)?,
        queue_id: row.get(15)?,
        user_id: row.get(16)?,
        by_key: row.get(28)?,
        user_display_name: row.get(17)?,
        user_email: row.get(18)?,
        field_values,
        retried_from_item_id: row.get(20)?,
        device: row.get(21)?,
        workflow_call_id: row.get(22)?,
        parent_item_id: row.get(23)?,
        parent_session_id: row.get(24)?,
        root_item_id: row.get(25)?,
        workflow_call_depth: row.get(26)?,
    })
}

/// What is stored of an item's session and workflow.
#[derive(Debug, Default)]
pub struct Stored {
    /// The session's last state; none before it has run.
    pub session: Option<String>,
    /// The batch's graph.
    pub graph: Option<String>,
    /// The workflow.
    pub workflow: Option<String>,
}

/// The queue that an item is in.
pub fn queue_of(tx: &ReadTx<'_>, item_id: ItemId) -> rusqlite::Result<Option<QueueId>> {
    tx.sql()
        .prepare_cached("SELECT queue_id FROM session_queue WHERE item_id = ?1")?
        .query_row([item_id], |row| row.get(0))
        .optional()
}

/// The item of this number, sealed.
pub fn find(tx: &ReadTx<'_>, item_id: ItemId) -> rusqlite::Result<Sealed<QueueItem>> {
    let found = tx
        .sql()
        .prepare_cached(&format!("SELECT {ITEM} FROM {FROM} WHERE q.item_id = ?1"))?
        .query_row([item_id], item)
        .optional()?;
    Ok(tx.seal(found))
}

/// Session and workflow of an item, for whoever was given the item.
pub(crate) fn stored_session(tx: &ReadTx<'_>, of: &QueueItem) -> rusqlite::Result<Stored> {
    let stored = tx
        .sql()
        .prepare_cached(
            "SELECT q.session, g.graph, COALESCE(q.workflow, g.workflow)
             FROM session_queue q LEFT JOIN queue_graphs g ON g.batch_row = q.batch_row WHERE q.item_id = ?1",
        )?
        .query_row([of.item_id], |row| {
            Ok(Stored {
                session: row.get(0)?,
                graph: row.get(1)?,
                workflow: row.get(2)?,
            })
        })
        .optional()?;
    Ok(stored.unwrap_or_default())
}

/// Items of a queue in the order of service. Everybody may know that items exist, so there is no scope here; each is sealed, and what a viewer may
/// see of it is decided one by one.
pub fn list(tx: &ReadTx<'_>, queue_id: &QueueId, destination: Option<&str>) -> rusqlite::Result<Vec<Sealed<QueueItem>>> {
    let mut statement = tx.sql().prepare_cached(&format!(
        "SELECT {ITEM} FROM {FROM_BATCHES} WHERE b.queue_id = ?1 AND {} ORDER BY b.priority DESC, q.item_id ASC",
        if destination.is_some() {
            "b.destination = ?2"
        } else {
            "?2 IS NULL"
        }
    ))?;
    statement
        .query_map((queue_id, destination), item)?
        .map(|found| Ok(tx.seal(Some(found?))))
        .collect()
}

/// The items of these numbers, in the order asked for; those that do not exist in this queue are left out.
pub fn of_numbers(tx: &ReadTx<'_>, queue_id: &QueueId, ids: &[ItemId]) -> rusqlite::Result<Vec<Sealed<QueueItem>>> {
    let mut statement = tx
        .sql()
        .prepare_cached(&format!("SELECT {ITEM} FROM {FROM} WHERE q.item_id = ?1 AND q.queue_id = ?2"))?;
    let mut items = Vec::with_capacity(ids.len().min(1000));
    for id in ids {
        let found = statement.query_row((id, queue_id), item).optional()?;
        items.extend(found.map(|found| tx.seal(Some(found))));
    }
    Ok(items)
}

/// Numbers of a queue's items by time of creation; items of one moment in the order of insertion. The items of a batch are of one moment and follow
/// each other, so that only batches are put in order.
pub fn ids_by_creation(tx: &ReadTx<'_>, queue_id: &QueueId, direction: Direction) -> rusqlite::Result<Vec<ItemId>> {
    let mut batches = tx.sql().prepare_cached(&format!(
        "SELECT batch_row, last_item FROM queue_batches WHERE queue_id = ?1 ORDER BY created_at {}, batch_row ASC",
        direction.sql()
    ))?;
    let mut items = tx
        .sql()
        .prepare_cached("SELECT item_id FROM session_queue WHERE item_id BETWEEN ?1 AND ?2 AND batch_row = ?1")?;
    let mut ids = Vec::new();
    let mut rows = batches.query([queue_id])?;
    while let Some(row) = rows.next()? {
        let range: (ItemId, ItemId) = (row.get(0)?, row.get(1)?);
        for id in items.query_map(range, |row| row.get(0))? {
            ids.push(id?);
        }
    }
    Ok(ids)
}

/// Numbers of a batch's items, descending.
pub(crate) fn ids_of_batch(tx: &ReadTx<'_>, queue_id: &QueueId, batch_id: &BatchId) -> rusqlite::Result<Vec<ItemId>> {
    let mut statement = tx
        .sql()
        .prepare_cached(
            "SELECT q.item_id FROM queue_batches b CROSS JOIN session_queue q ON q.item_id BETWEEN b.batch_row AND b.last_item AND q.batch_row = b.batch_row
             WHERE b.batch_id = ?1 AND b.queue_id = ?2 ORDER BY q.item_id DESC",
        )?;
    statement.query_map((batch_id, queue_id), |row| row.get(0))?.collect()
}

/// The first item that runs.
pub fn first_in_progress(tx: &ReadTx<'_>, queue_id: &QueueId) -> rusqlite::Result<Sealed<QueueItem>> {
    let found = tx
        .sql()
        .prepare_cached(&format!(
            "SELECT {ITEM} FROM {FROM} WHERE q.status = 'in_progress' AND q.queue_id = ?1 ORDER BY q.item_id LIMIT 1"
        ))?
        .query_row([queue_id], item)
        .optional()?;
    Ok(tx.seal(found))
}

/// Number, batch and session of the first item that runs, if it is within the scope.
pub fn running_in(tx: &ReadTx<'_>, scope: &Scope, queue_id: &QueueId) -> rusqlite::Result<Option<(ItemId, BatchId, SessionId)>> {
    tx.sql()
        .prepare_cached(
            "SELECT q.item_id, b.batch_id, q.session_id FROM session_queue q JOIN queue_batches b ON b.batch_row = q.batch_row
             WHERE q.item_id = (SELECT item_id FROM session_queue WHERE status = 'in_progress' AND queue_id = ?1 ORDER BY item_id LIMIT 1)
                 AND (?2 IS NULL OR q.user_id = ?2)",
        )?
        .query_row((queue_id, scope.owner_parameter()), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()
}

/// The first caller of the chain of calls that an item belongs to; itself if nothing called it, or there is no such item.
pub(crate) fn root_of(tx: &ReadTx<'_>, item_id: ItemId) -> rusqlite::Result<ItemId> {
    let root = tx
        .sql()
        .prepare_cached("SELECT COALESCE(root_item_id, item_id) FROM session_queue WHERE item_id = ?1")?
        .query_row([item_id], |row| row.get(0))
        .optional()?;
    Ok(root.unwrap_or(item_id))
}

/// The numbers of the items that count as running on a device.
pub(crate) fn running_on(tx: &ReadTx<'_>, device: &str) -> rusqlite::Result<Vec<ItemId>> {
    tx.sql()
        .prepare_cached("SELECT item_id FROM session_queue WHERE status = 'in_progress' AND device = ?1")?
        .query_map([device], |row| row.get(0))?
        .collect()
}

/// The item that first come, first served would run next.
pub fn next_pending(tx: &ReadTx<'_>, queue_id: &QueueId) -> rusqlite::Result<Sealed<QueueItem>> {
    let found = tx
        .sql()
        .prepare_cached(&format!(
            "SELECT {ITEM} FROM {FROM_BATCHES} WHERE q.status = 'pending' AND b.batch_row =
                 (SELECT batch_row FROM queue_batches WHERE pending > 0 AND queue_id = ?1 ORDER BY priority DESC, batch_row LIMIT 1)
             ORDER BY q.item_id LIMIT 1"
        ))?
        .query_row([queue_id], item)
        .optional()?;
    Ok(tx.seal(found))
}
