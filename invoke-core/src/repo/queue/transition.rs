//! Changing items' status, and deleting them. A finished item never changes again.

use rusqlite::OptionalExtension;

use super::{
    claim::charge,
    counts::Selection,
    read::{FROM, ITEM, item},
};
use crate::{
    authz::{
        Permit, Reach,
        acts::{DeleteQueueItem, UseServer},
    },
    db::{ReadTx, WriteTx},
    domain::{
        ItemId, QueueId, UserId,
        queue_item::{Ending, ItemStatus, QueueItem},
    },
    env::Timestamp,
};

/// An item as it is after a change of status.
#[derive(Debug, Clone)]
pub struct Change(pub QueueItem);

/// A row as it is now, for its own writer.
pub(crate) fn reload(tx: &ReadTx<'_>, item_id: ItemId) -> rusqlite::Result<QueueItem> {
    tx.sql()
        .prepare_cached(&format!("SELECT {ITEM} FROM {FROM} WHERE q.item_id = ?1"))?
        .query_row([item_id], item)
}

/// A waiting item begins to run.
pub(super) fn start(tx: &mut WriteTx<'_>, item_id: ItemId, device: &str, now: Timestamp) -> rusqlite::Result<Option<Change>> {
    let changed = tx
        .sql()
        .prepare_cached(
            "UPDATE session_queue SET status = 'in_progress', status_sequence = status_sequence + 1, device = ?2, started_at = ?3, updated_at = ?3,
                    error_type = NULL, error_message = NULL, error_traceback = NULL
             WHERE item_id = ?1 AND status = 'pending'",
        )?
        .execute((item_id, device, now.sql()))?;
    if changed == 0 {
        Ok(None)
    } else {
        reload(tx, item_id).map(|item| Some(Change(item)))
    }
}

/// An item ends, with its session's last state if it has run. `None` if it had ended before, or is gone.
pub fn finish(
    tx: &mut WriteTx<'_>,
    item_id: ItemId,
    ending: &Ending,
    session: Option<&str>,
    now: Timestamp,
) -> rusqlite::Result<Option<Change>> {
    let error = ending.error();
    let changed = tx
        .sql()
        .prepare_cached(
            "UPDATE session_queue SET status = ?2, status_sequence = status_sequence + 1, completed_at = ?3, updated_at = ?3,
                    error_type = ?4, error_message = ?5, error_traceback = ?6, session = COALESCE(?7, session)
             WHERE item_id = ?1 AND status NOT IN ('completed', 'failed', 'canceled')",
        )?
        .execute(rusqlite::params![
            item_id,
            ending.status().as_str(),
            now.sql(),
            error.map(|e| &e.error_type),
            error.map(|e| &e.error_message),
            error.map(|e| &e.error_traceback),
            session,
        ])?;
    if changed == 0 {
        Ok(None)
    } else {
        reload(tx, item_id).map(|item| Some(Change(item)))
    }
}

/// What has not begun or is suspended. Each half has an index of its own, so that history costs nothing.
const WAITING: &str = "item_id IN (SELECT item_id FROM session_queue WHERE status = 'pending'
    UNION ALL SELECT item_id FROM session_queue WHERE status = 'waiting')";

/// Numbers and owners of rows.
type Rows = Vec<(ItemId, UserId)>;

/// The rows of a selection that are about to change.
fn rows(tx: &ReadTx<'_>, reach: &Reach, queue_id: &QueueId, selection: &Selection<'_>, and: &str) -> rusqlite::Result<Rows> {
    let sql = format!(
        "SELECT item_id, user_id FROM session_queue WHERE queue_id = ?1 AND (?2 IS NULL OR user_id = ?2) AND {} AND {and} ORDER BY item_id",
        selection.of_items()
    );
    let mut statement = tx.sql().prepare_cached(&sql)?;
    let rows: Rows = statement
        .query_map((queue_id, reach.scope().owner_parameter(), selection.parameter()), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    for (item_id, owner) in &rows {
        reach.touches(owner, selection.is_chosen().then_some(item_id));
    }
    Ok(rows)
}

/// Running items of a selection, for who ends them.
pub fn in_progress_of(tx: &WriteTx<'_>, reach: &Reach, queue_id: &QueueId, selection: &Selection<'_>) -> rusqlite::Result<Rows> {
    rows(tx, reach, queue_id, selection, "status = 'in_progress'")
}

/// Cancels what waits, in one statement, and returns it.
pub fn cancel_waiting(
    tx: &mut WriteTx<'_>,
    reach: &Reach,
    queue_id: &QueueId,
    selection: &Selection<'_>,
    now: Timestamp,
) -> rusqlite::Result<Rows> {
    let waiting = rows(tx, reach, queue_id, selection, WAITING)?;
    let sql = format!(
        "UPDATE session_queue SET status = 'canceled', status_sequence = status_sequence + 1, completed_at = ?4, updated_at = ?4
         WHERE queue_id = ?1 AND (?2 IS NULL OR user_id = ?2) AND {} AND {WAITING}",
        selection.of_items()
    );
    tx.sql()
        .prepare_cached(&sql)?
        .execute((queue_id, reach.scope().owner_parameter(), selection.parameter(), now.sql()))?;
    Ok(waiting)
}

/// Which rows a bulk deletion takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// All that is selected, history included.
    Everything,
    /// What has not begun.
    Waiting,
    /// What has ended.
    Ended,
}

/// Deletes rows of a selection and returns them.
pub fn delete_rows(
    tx: &mut WriteTx<'_>,
    reach: &Reach,
    queue_id: &QueueId,
    selection: &Selection<'_>,
    which: Deleted,
) -> rusqlite::Result<Rows> {
    let and = match which {
        Deleted::Everything => "TRUE",
        Deleted::Waiting => WAITING,
        Deleted::Ended => "status IN ('completed', 'failed', 'canceled')",
    };
    let doomed = rows(tx, reach, queue_id, selection, and)?;
    let sql = format!(
        "DELETE FROM session_queue WHERE queue_id = ?1 AND (?2 IS NULL OR user_id = ?2) AND {} AND {and}",
        selection.of_items()
    );
    tx.sql()
        .prepare_cached(&sql)?
        .execute((queue_id, reach.scope().owner_parameter(), selection.parameter()))?;
    Ok(doomed)
}

/// Deletes one item with the whole chain of calls that it belongs to.
pub fn delete_items(tx: &mut WriteTx<'_>, item: &Permit<DeleteQueueItem, QueueItem>) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("DELETE FROM session_queue WHERE item_id IN (?1, ?2) OR root_item_id = ?2")?
        .execute((item.item_id, item.root_item_id.unwrap_or(item.item_id)))?;
    Ok(())
}

/// The items of a chain of calls, the first caller first.
pub(crate) fn chain_of(tx: &ReadTx<'_>, root: ItemId) -> rusqlite::Result<Vec<ItemId>> {
    tx.sql()
        .prepare_cached("SELECT item_id FROM session_queue WHERE item_id = ?1 UNION SELECT item_id FROM session_queue WHERE root_item_id = ?1 ORDER BY 1")?
        .query_map([root], |row| row.get(0))?
        .collect()
}

fn in_status(tx: &ReadTx<'_>, item_id: ItemId, status: ItemStatus) -> rusqlite::Result<Option<QueueItem>> {
    let item = reload(tx, item_id).optional()?;
    Ok(item.filter(|item| item.status == status))
}

/// An item that runs, for the books of the worker that runs it.
pub(crate) fn running_item(tx: &ReadTx<'_>, item_id: ItemId) -> rusqlite::Result<Option<QueueItem>> {
    in_status(tx, item_id, ItemStatus::InProgress)
}

/// An item that waits for what it called, for the books of the worker that runs that.
pub(crate) fn waiting_item(tx: &ReadTx<'_>, item_id: ItemId) -> rusqlite::Result<Option<QueueItem>> {
    in_status(tx, item_id, ItemStatus::Waiting)
}

/// An item that has ended, for the books of the worker that ran it.
pub(crate) fn ended_item(tx: &ReadTx<'_>, item_id: ItemId) -> rusqlite::Result<Option<QueueItem>> {
    let item = reload(tx, item_id).optional()?;
    Ok(item.filter(|item| item.status.is_terminal()))
}

fn moved(
    tx: &WriteTx<'_>,
    item_id: ItemId,
    from: ItemStatus,
    to: ItemStatus,
    session: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<Change>> {
    let changed = tx
        .sql()
        .prepare_cached(
            "UPDATE session_queue SET status = ?3, status_sequence = status_sequence + 1, session = ?4, updated_at = ?5 WHERE item_id = ?1 AND status = ?2",
        )?
        .execute((item_id, from.as_str(), to.as_str(), session, now.sql()))?;
    if changed == 0 {
        return Ok(None);
    }
    reload(tx, item_id).map(|item| Some(Change(item)))
}

/// A running item waits for what it called.
pub(crate) fn suspend(tx: &mut WriteTx<'_>, item_id: ItemId, session: &str, now: Timestamp) -> rusqlite::Result<Option<Change>> {
    moved(tx, item_id, ItemStatus::InProgress, ItemStatus::Waiting, session, now)
}

/// An item that waited for what it called waits for its turn. It was charged when it began first.
pub(crate) fn resume(tx: &mut WriteTx<'_>, item_id: ItemId, session: &str, now: Timestamp) -> rusqlite::Result<Option<Change>> {
    let change = moved(tx, item_id, ItemStatus::Waiting, ItemStatus::Pending, session, now)?;
    if change.is_some() {
        charge(tx, item_id, -1.0)?;
    }
    Ok(change)
}

/// The rows of a selection that a retry may concern.
pub(crate) fn terminal_rows(tx: &ReadTx<'_>, _leave: &Permit<UseServer, ()>, ids: &[ItemId]) -> rusqlite::Result<Vec<QueueItem>> {
    let mut statement = tx
        .sql()
        .prepare_cached(&format!("SELECT {ITEM} FROM {FROM} WHERE q.item_id = ?1"))?;
    let mut items = Vec::new();
    for id in ids {
        items.extend(
            statement
                .query_row([id], item)
                .optional()?
                .filter(|i| matches!(i.status, ItemStatus::Failed | ItemStatus::Canceled)),
        );
    }
    Ok(items)
}

/// What ran or was suspended when the last process ended never comes back: it is canceled. Returns how many.
pub(crate) fn cancel_unfinished(tx: &mut WriteTx<'_>, now: Timestamp) -> rusqlite::Result<usize> {
    tx.sql().execute(
        "UPDATE session_queue SET status = 'canceled', status_sequence = status_sequence + 1, completed_at = ?1, updated_at = ?1
         WHERE item_id IN (
             WITH cut_off(item_id, root) AS (
                 SELECT item_id, COALESCE(root_item_id, item_id) FROM session_queue WHERE status = 'in_progress'
                 UNION ALL SELECT item_id, COALESCE(root_item_id, item_id) FROM session_queue WHERE status = 'waiting'
             )
             SELECT item_id FROM cut_off
             UNION SELECT q.item_id FROM session_queue q WHERE q.status = 'pending' AND q.root_item_id IN (SELECT root FROM cut_off)
             UNION SELECT q.item_id FROM session_queue q WHERE q.status = 'pending' AND q.item_id IN (SELECT root FROM cut_off)
         )",
        [now.sql()],
    )
}

/// Keeps the newest ended items and deletes the rest. Returns how many went.
pub(crate) fn keep_newest(tx: &mut WriteTx<'_>, keep: u64) -> rusqlite::Result<usize> {
    tx.sql().execute(
        "DELETE FROM session_queue WHERE status IN ('completed', 'failed', 'canceled') AND item_id NOT IN (
             SELECT item_id FROM session_queue WHERE status IN ('completed', 'failed', 'canceled')
             ORDER BY COALESCE(completed_at, updated_at, started_at, '') DESC, item_id DESC LIMIT ?1)",
        [i64::try_from(keep).unwrap_or(i64::MAX)],
    )
}

/// A running item whose server shuts down waits again.
pub(crate) fn requeue(tx: &mut WriteTx<'_>, item_id: ItemId, now: Timestamp) -> rusqlite::Result<Option<Change>> {
    let changed = tx
        .sql()
        .prepare_cached(
            "UPDATE session_queue SET status = 'pending', status_sequence = status_sequence + 1, started_at = NULL, updated_at = ?2
             WHERE item_id = ?1 AND status = 'in_progress'",
        )?
        .execute((item_id, now.sql()))?;
    if changed == 0 {
        Ok(None)
    } else {
        charge(tx, item_id, -1.0)?;
        reload(tx, item_id).map(|item| Some(Change(item)))
    }
}

/// Whether an item still runs.
pub(crate) fn is_running(tx: &ReadTx<'_>, item_id: ItemId) -> rusqlite::Result<bool> {
    tx.sql()
        .prepare_cached("SELECT 1 FROM session_queue WHERE item_id = ?1 AND status = 'in_progress'")?
        .exists([item_id])
}

/// Keeps the last state of a session whose item has ended.
pub(crate) fn store_session(tx: &mut WriteTx<'_>, item_id: ItemId, session: &str) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("UPDATE session_queue SET session = ?2 WHERE item_id = ?1")?
        .execute((item_id, session))?;
    Ok(())
}
