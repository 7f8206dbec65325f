//! Finding and listing items.

use rusqlite::{OptionalExtension, Row};

use crate::{
    authz::{Scope, Sealed},
    db::ReadTx,
    domain::{BatchId, ItemId, QueueId, page::Direction, queue_item::QueueItem},
};

/// Columns of an item with its owner's names, in the order that [`item`] reads them.
pub(super) const ITEM: &str =
    "q.item_id, q.status, q.status_sequence, q.priority, q.batch_id, q.origin, q.destination, q.session_id, q.error_type,
    q.error_message, q.error_traceback, q.created_at, q.updated_at, q.started_at, q.completed_at, q.queue_id, q.user_id, u.display_name,
    u.email, q.field_values, q.retried_from_item_id, q.device, q.workflow_call_id, q.parent_item_id, q.parent_session_id, q.root_item_id,
    q.workflow_call_depth";
/// Where those columns come from.
pub(super) const FROM: &str = "session_queue q LEFT JOIN users u ON u.user_id = q.user_id";

fn text_enum<T: std::str::FromStr<Err = String>>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text: String = row.get(index)?;
    text.parse()
        .map_err(|error: String| rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, error.into()))
}

/// Reads the columns of [`ITEM`].
pub(super) fn item(row: &Row<'_>) -> rusqlite::Result<QueueItem> {
    let field_values: Option<String> = row.get(19)?;
    let field_values = field_values
        .map(|text| serde_json::from_str(&text))
        .transpose()
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

/// The item of this number, sealed.
pub fn find(tx: &ReadTx<'_>, item_id: ItemId) -> rusqlite::Result<Sealed<QueueItem>> {
    let found = tx
        .sql()
        .prepare_cached(&format!("SELECT {ITEM} FROM {FROM} WHERE q.item_id = ?1"))?
        .query_row([item_id], item)
        .optional()?;
    Ok(Sealed::new(found))
}

/// Session and workflow of an item.
pub fn stored_session(tx: &ReadTx<'_>, item_id: ItemId) -> rusqlite::Result<Stored> {
    let stored = tx
        .sql()
        .prepare_cached(
            "SELECT q.session, b.graph, COALESCE(q.workflow, b.workflow)
             FROM session_queue q LEFT JOIN queue_batches b ON b.batch_row = q.batch_row WHERE q.item_id = ?1",
        )?
        .query_row([item_id], |row| {
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
pub fn list(tx: &ReadTx<'_>, queue_id: &QueueId, destination: Option<&str>) -> rusqlite::Result<Vec<QueueItem>> {
    let mut statement = tx.sql().prepare_cached(&format!(
        "SELECT {ITEM} FROM {FROM} WHERE q.queue_id = ?1 AND (?2 IS NULL OR q.destination = ?2) ORDER BY q.priority DESC, q.item_id ASC"
    ))?;
    statement.query_map((queue_id, destination), item)?.collect()
}

/// The items of these numbers, in the order asked for; those that do not exist in this queue are left out.
pub fn sealed_many(tx: &ReadTx<'_>, queue_id: &QueueId, ids: &[ItemId]) -> rusqlite::Result<Vec<QueueItem>> {
    let mut statement = tx
        .sql()
        .prepare_cached(&format!("SELECT {ITEM} FROM {FROM} WHERE q.item_id = ?1 AND q.queue_id = ?2"))?;
    let mut items = Vec::with_capacity(ids.len().min(1000));
    for id in ids {
        items.extend(statement.query_row((id, queue_id), item).optional()?);
    }
    Ok(items)
}

/// Numbers of a queue's items by time of creation; items of one moment in the order of insertion.
pub fn ids_by_creation(tx: &ReadTx<'_>, queue_id: &QueueId, direction: Direction) -> rusqlite::Result<Vec<ItemId>> {
    let mut statement = tx.sql().prepare_cached(&format!(
        "SELECT item_id FROM session_queue WHERE queue_id = ?1 ORDER BY created_at {}, item_id ASC",
        direction.sql()
    ))?;
    statement.query_map([queue_id], |row| row.get(0))?.collect()
}

/// Numbers of a batch's items, descending.
pub fn ids_of_batch(tx: &ReadTx<'_>, queue_id: &QueueId, batch_id: &BatchId) -> rusqlite::Result<Vec<ItemId>> {
    let mut statement = tx
        .sql()
        .prepare_cached("SELECT item_id FROM session_queue WHERE batch_id = ?1 AND queue_id = ?2 ORDER BY item_id DESC")?;
    statement.query_map((batch_id, queue_id), |row| row.get(0))?.collect()
}

/// Some item that runs.
pub fn any_in_progress(tx: &ReadTx<'_>, queue_id: &QueueId) -> rusqlite::Result<Option<QueueItem>> {
    tx.sql()
        .prepare_cached(&format!(
            "SELECT {ITEM} FROM {FROM} WHERE q.status = 'in_progress' AND q.queue_id = ?1 ORDER BY q.item_id LIMIT 1"
        ))?
        .query_row([queue_id], item)
        .optional()
}

/// The numbers of one owner's running items, or of all, as the scope says.
pub fn owned_in_progress(tx: &ReadTx<'_>, scope: &Scope) -> rusqlite::Result<Vec<ItemId>> {
    tx.sql()
        .prepare_cached("SELECT item_id FROM session_queue WHERE status = 'in_progress' AND (?1 IS NULL OR user_id = ?1)")?
        .query_map([scope.owner_parameter()], |row| row.get(0))?
        .collect()
}

/// The item that first come, first served would run next.
pub fn next_pending(tx: &ReadTx<'_>, queue_id: &QueueId) -> rusqlite::Result<Option<QueueItem>> {
    tx.sql()
        .prepare_cached(&format!(
            "SELECT {ITEM} FROM {FROM} WHERE q.status = 'pending' AND q.queue_id = ?1 ORDER BY q.priority DESC, q.item_id ASC LIMIT 1"
        ))?
        .query_row([queue_id], item)
        .optional()
}
