//! Changing items' status, and deleting them. A finished item never changes again.

use rusqlite::OptionalExtension;

use super::{
    counts::Selection,
    read::{FROM, ITEM, item},
};
use crate::{
    authz::{
        Permit, Scope,
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

fn reload(tx: &ReadTx<'_>, item_id: ItemId) -> rusqlite::Result<QueueItem> {
    tx.sql()
        .prepare_cached(&format!("SELECT {ITEM} FROM {FROM} WHERE q.item_id = ?1"))?
        .query_row([item_id], item)
}

/// A waiting item begins to run.
pub(super) fn begin(tx: &mut WriteTx<'_>, item_id: ItemId, device: &str, now: Timestamp) -> rusqlite::Result<Option<Change>> {
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

/// Numbers and owners of rows.
type Rows = Vec<(ItemId, UserId)>;

fn rows(tx: &ReadTx<'_>, scope: &Scope, queue_id: &QueueId, selection: &Selection<'_>, and: &str) -> rusqlite::Result<Rows> {
    let sql = format!(
        "SELECT item_id, user_id FROM session_queue WHERE queue_id = ?1 AND (?2 IS NULL OR user_id = ?2) AND {} AND {and} ORDER BY item_id",
        selection.condition()
    );
    let mut statement = tx.sql().prepare_cached(&sql)?;
    statement
        .query_map((queue_id, scope.owner_parameter(), selection.parameter()), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect()
}

/// Running items of a selection.
pub fn in_progress_of(tx: &ReadTx<'_>, scope: &Scope, queue_id: &QueueId, selection: &Selection<'_>) -> rusqlite::Result<Rows> {
    rows(tx, scope, queue_id, selection, "status = 'in_progress'")
}

/// Cancels what waits, in one statement, and returns it.
pub fn cancel_waiting(
    tx: &mut WriteTx<'_>,
    scope: &Scope,
    queue_id: &QueueId,
    selection: &Selection<'_>,
    now: Timestamp,
) -> rusqlite::Result<Rows> {
    let waiting = rows(tx, scope, queue_id, selection, "status IN ('pending', 'waiting')")?;
    let sql = format!(
        "UPDATE session_queue SET status = 'canceled', status_sequence = status_sequence + 1, completed_at = ?4, updated_at = ?4
         WHERE queue_id = ?1 AND (?2 IS NULL OR user_id = ?2) AND {} AND status IN ('pending', 'waiting')",
        selection.condition()
    );
    tx.sql()
        .prepare_cached(&sql)?
        .execute((queue_id, scope.owner_parameter(), selection.parameter(), now.sql()))?;
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
    scope: &Scope,
    queue_id: &QueueId,
    selection: &Selection<'_>,
    which: Deleted,
) -> rusqlite::Result<Rows> {
    let and = match which {
        Deleted::Everything => "TRUE",
        Deleted::Waiting => "status IN ('pending', 'waiting')",
        Deleted::Ended => "status IN ('completed', 'failed', 'canceled')",
    };
    let doomed = rows(tx, scope, queue_id, selection, and)?;
    let sql = format!(
        "DELETE FROM session_queue WHERE queue_id = ?1 AND (?2 IS NULL OR user_id = ?2) AND {} AND {and}",
        selection.condition()
    );
    tx.sql()
        .prepare_cached(&sql)?
        .execute((queue_id, scope.owner_parameter(), selection.parameter()))?;
    Ok(doomed)
}

/// Deletes one item.
pub fn delete_items(tx: &mut WriteTx<'_>, item: &Permit<DeleteQueueItem, QueueItem>) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("DELETE FROM session_queue WHERE item_id = ?1")?
        .execute([item.item_id])?;
    Ok(())
}

/// The rows of a selection that a retry may concern.
pub fn terminal_rows(tx: &ReadTx<'_>, _leave: &Permit<UseServer, ()>, ids: &[ItemId]) -> rusqlite::Result<Vec<QueueItem>> {
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
pub fn fail_unfinished_at_startup(tx: &mut WriteTx<'_>, now: Timestamp) -> rusqlite::Result<usize> {
    tx.sql().execute(
        "UPDATE session_queue SET status = 'canceled', status_sequence = status_sequence + 1, completed_at = ?1, updated_at = ?1
         WHERE status IN ('in_progress', 'waiting')
            OR (status = 'pending' AND root_item_id IN (SELECT COALESCE(root_item_id, item_id) FROM session_queue WHERE status IN ('in_progress', 'waiting')))",
        [now.sql()],
    )
}

/// Keeps the newest ended items and deletes the rest. Returns how many went.
pub fn keep_newest(tx: &mut WriteTx<'_>, keep: u64) -> rusqlite::Result<usize> {
    tx.sql().execute(
        "DELETE FROM session_queue WHERE status IN ('completed', 'failed', 'canceled') AND item_id NOT IN (
             SELECT item_id FROM session_queue WHERE status IN ('completed', 'failed', 'canceled')
             ORDER BY COALESCE(completed_at, updated_at, created_at) DESC, item_id DESC LIMIT ?1)",
        [i64::try_from(keep).unwrap_or(i64::MAX)],
    )
}

/// A running item whose server shuts down waits again.
pub fn requeue(tx: &mut WriteTx<'_>, item_id: ItemId, now: Timestamp) -> rusqlite::Result<Option<Change>> {
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
        reload(tx, item_id).map(|item| Some(Change(item)))
    }
}

/// Whether an item still runs.
pub fn is_running(tx: &ReadTx<'_>, item_id: ItemId) -> rusqlite::Result<bool> {
    tx.sql()
        .prepare_cached("SELECT 1 FROM session_queue WHERE item_id = ?1 AND status = 'in_progress'")?
        .exists([item_id])
}

/// Keeps the last state of a session whose item has ended.
pub fn store_session(tx: &mut WriteTx<'_>, item_id: ItemId, session: &str) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("UPDATE session_queue SET session = ?2 WHERE item_id = ?1")?
        .execute((item_id, session))?;
    Ok(())
}
