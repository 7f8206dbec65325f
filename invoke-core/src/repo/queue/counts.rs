//! Counting items.

use rusqlite::{OptionalExtension, Row, ToSql};

use crate::{
    authz::Scope,
    db::{ReadTx, WriteTx},
    domain::{BatchId, QueueId, UserId, queue_item::StatusCounts},
};

/// Which items are meant.
#[derive(Debug, Clone)]
pub enum Selection<'a> {
    /// All of the queue.
    All,
    /// All of the queue but the chains of calls of what runs; if nothing runs, but the chain whose next item is first in line.
    AllButCurrent,
    /// Of these batches.
    Batches(&'a [BatchId]),
    /// With this destination.
    Destination(&'a str),
}

impl Selection<'_> {
    /// Whether it is some of the items, rather than all there are.
    pub(super) fn is_chosen(&self) -> bool {
        matches!(self, Self::Batches(_) | Self::Destination(_))
    }

    /// The condition on `queue_batches`, with `?3` for its parameter.
    fn of_batches(&self) -> &'static str {
        match self {
            Self::All | Self::AllButCurrent => "?3 IS NULL",
            Self::Batches(_) => "batch_id IN (SELECT value FROM json_each(?3))",
            Self::Destination(_) => "destination = ?3",
        }
    }

    /// The condition on `session_queue`, with `?3` for its parameter.
    pub(super) fn of_items(&self) -> &'static str {
        match self {
            Self::All => "?3 IS NULL",
            Self::AllButCurrent => {
                "?3 IS NULL AND COALESCE(root_item_id, item_id) NOT IN (
                     SELECT COALESCE(r.root_item_id, r.item_id) FROM session_queue r WHERE r.status = 'in_progress' AND r.queue_id = ?1
                     UNION ALL
                     SELECT root_item_id FROM (
                         SELECT n.root_item_id FROM session_queue n JOIN queue_batches b ON b.batch_row = n.batch_row
                         WHERE n.status = 'pending' AND n.root_item_id IS NOT NULL AND n.queue_id = ?1
                             AND NOT EXISTS (SELECT 1 FROM session_queue r WHERE r.status = 'in_progress' AND r.queue_id = ?1)
                         ORDER BY b.priority DESC, n.item_id LIMIT 1
                     )
                 )"
            }
            Self::Batches(_) => {
                "item_id IN (SELECT i.item_id FROM queue_batches b CROSS JOIN session_queue i
                     WHERE b.batch_id IN (SELECT value FROM json_each(?3)) AND i.item_id BETWEEN b.batch_row AND b.last_item
                         AND i.batch_row = b.batch_row)"
            }
            Self::Destination(_) => {
                "item_id IN (SELECT i.item_id FROM queue_batches b CROSS JOIN session_queue i
                     WHERE b.destination = ?3 AND i.item_id BETWEEN b.batch_row AND b.last_item AND i.batch_row = b.batch_row)"
            }
        }
    }

    /// The parameter of the conditions; one, however many batches there are.
    pub(super) fn parameter(&self) -> Option<String> {
        match self {
            Self::All | Self::AllButCurrent => None,
            Self::Batches(ids) => Some(serde_json::to_string(ids).expect("a list of texts is JSON")),
            Self::Destination(destination) => Some((*destination).to_owned()),
        }
    }
}

fn counted(row: &Row<'_>) -> rusqlite::Result<StatusCounts> {
    let mut counts = StatusCounts {
        pending: row.get(0)?,
        in_progress: row.get(1)?,
        waiting: row.get(2)?,
        completed: row.get(3)?,
        failed: row.get(4)?,
        canceled: row.get(5)?,
        total: 0,
    };
    counts.total = counts.pending + counts.in_progress + counts.waiting + counts.completed + counts.failed + counts.canceled;
    Ok(counts)
}

fn kept(tx: &ReadTx<'_>, queue_id: &QueueId, user: &dyn ToSql) -> rusqlite::Result<StatusCounts> {
    let found = tx
        .sql()
        .prepare_cached(
            "SELECT pending, in_progress, waiting, completed, failed, canceled FROM queue_counts WHERE queue_id = ?1 AND user_id = ?2",
        )?
        .query_row([queue_id as &dyn ToSql, user], counted)
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// Counts over everybody's items; numbers without names, which everyone may see.
pub fn queue_counts(tx: &ReadTx<'_>, queue_id: &QueueId) -> rusqlite::Result<StatusCounts> {
    kept(tx, queue_id, &"")
}

/// Counts over one user's items, for that user.
pub fn user_counts(tx: &ReadTx<'_>, queue_id: &QueueId, user_id: &UserId) -> rusqlite::Result<StatusCounts> {
    kept(tx, queue_id, user_id)
}

/// Counts over a selection within a scope.
pub fn count_selected(tx: &ReadTx<'_>, scope: &Scope, queue_id: &QueueId, selection: &Selection<'_>) -> rusqlite::Result<StatusCounts> {
    let sql = format!(
        "SELECT COALESCE(SUM(pending), 0), COALESCE(SUM(in_progress), 0), COALESCE(SUM(waiting), 0), COALESCE(SUM(completed), 0),
                COALESCE(SUM(failed), 0), COALESCE(SUM(canceled), 0)
         FROM queue_batches WHERE queue_id = ?1 AND (?2 IS NULL OR user_id = ?2) AND {}",
        selection.of_batches()
    );
    tx.sql()
        .prepare_cached(&sql)?
        .query_row((queue_id, scope.owner_parameter(), selection.parameter()), counted)
}

/// Origin and destination of a batch within a scope.
pub fn batch_origin(
    tx: &ReadTx<'_>,
    scope: &Scope,
    queue_id: &QueueId,
    batch_id: &BatchId,
) -> rusqlite::Result<(Option<String>, Option<String>)> {
    let found = tx
        .sql()
        .prepare_cached(
            "SELECT origin, destination FROM queue_batches WHERE batch_id = ?1 AND queue_id = ?2 AND (?3 IS NULL OR user_id = ?3) LIMIT 1",
        )?
        .query_row((batch_id, queue_id, scope.owner_parameter()), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.unwrap_or((None, None)))
}

/// Hands one account's items to another, with what is kept about them. Returns how many.
pub(crate) fn hand_over(tx: &mut WriteTx<'_>, from: &UserId, to: &UserId) -> rusqlite::Result<usize> {
    let sql = tx.sql();
    let both = (from, to);
    let items = sql
        .prepare_cached("UPDATE session_queue SET user_id = ?2 WHERE user_id = ?1")?
        .execute(both)?;
    sql.prepare_cached("UPDATE queue_batches SET user_id = ?2 WHERE user_id = ?1")?
        .execute(both)?;
    sql.prepare_cached(
        "INSERT INTO queue_counts SELECT queue_id, ?2, pending, in_progress, waiting, completed, failed, canceled FROM queue_counts WHERE user_id = ?1
         ON CONFLICT DO UPDATE SET pending = pending + excluded.pending, in_progress = in_progress + excluded.in_progress,
             waiting = waiting + excluded.waiting, completed = completed + excluded.completed, failed = failed + excluded.failed,
             canceled = canceled + excluded.canceled",
    )?
    .execute(both)?;
    sql.prepare_cached("DELETE FROM queue_counts WHERE user_id = ?1")?.execute([from])?;
    sql.prepare_cached("INSERT INTO queue_turns (user_id) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([to])?;
    sql.prepare_cached("DELETE FROM queue_turns WHERE user_id = ?1")?.execute([from])?;
    sql.prepare_cached(
        "UPDATE queue_turns SET
             (batch_row, priority) = (SELECT batch_row, priority FROM queue_batches WHERE user_id = ?1 AND pending > 0 ORDER BY priority DESC, batch_row LIMIT 1),
             last_started = (SELECT MAX(started_at) FROM session_queue WHERE user_id = ?1 AND started_at IS NOT NULL)
         WHERE user_id = ?1",
    )?
    .execute([to])?;
    Ok(items)
}
