//! Counting items.

use rusqlite::{OptionalExtension, ToSql};

use crate::{
    authz::Scope,
    db::ReadTx,
    domain::{
        BatchId, QueueId, UserId,
        queue_item::{ItemStatus, StatusCounts},
    },
};

/// Which items are meant.
#[derive(Debug, Clone)]
pub enum Selection<'a> {
    /// All of the queue.
    All,
    /// Of these batches.
    Batches(&'a [BatchId]),
    /// With this destination.
    Destination(&'a str),
}

impl Selection<'_> {
    /// The condition on `session_queue`, with `?3` for its parameter.
    pub(super) fn condition(&self) -> &'static str {
        match self {
            Self::All => "?3 IS NULL",
            Self::Batches(_) => "batch_id IN (SELECT value FROM json_each(?3))",
            Self::Destination(_) => "destination = ?3",
        }
    }

    /// The parameter of [`Self::condition`]; one, however many batches there are.
    pub(super) fn parameter(&self) -> Option<String> {
        match self {
            Self::All => None,
            Self::Batches(ids) => Some(serde_json::to_string(ids).expect("a list of texts is JSON")),
            Self::Destination(destination) => Some((*destination).to_owned()),
        }
    }
}

fn sum(tx: &ReadTx<'_>, sql: &str, parameters: &[&dyn ToSql]) -> rusqlite::Result<StatusCounts> {
    let mut counts = StatusCounts::default();
    let mut statement = tx.sql().prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    while let Some(row) = rows.next()? {
        let status: String = row.get(0)?;
        if let Ok(status) = status.parse::<ItemStatus>() {
            counts.add(status, row.get(1)?);
        }
    }
    Ok(counts)
}

/// Counts over everybody's items; numbers without names, which everyone may see.
pub fn queue_counts(tx: &ReadTx<'_>, queue_id: &QueueId) -> rusqlite::Result<StatusCounts> {
    sum(
        tx,
        "SELECT status, SUM(n) FROM queue_counts WHERE queue_id = ?1 GROUP BY status",
        &[queue_id],
    )
}

/// Counts over one user's items.
pub fn user_counts(tx: &ReadTx<'_>, queue_id: &QueueId, user_id: &UserId) -> rusqlite::Result<StatusCounts> {
    sum(
        tx,
        "SELECT status, n FROM queue_counts WHERE queue_id = ?1 AND user_id = ?2",
        &[queue_id, user_id],
    )
}

/// Counts over a selection within a scope.
pub fn count_selected(tx: &ReadTx<'_>, scope: &Scope, queue_id: &QueueId, selection: &Selection<'_>) -> rusqlite::Result<StatusCounts> {
    let sql = format!(
        "SELECT status, COUNT(*) FROM session_queue WHERE queue_id = ?1 AND (?2 IS NULL OR user_id = ?2) AND {} GROUP BY status",
        selection.condition()
    );
    sum(tx, &sql, &[queue_id, &scope.owner_parameter(), &selection.parameter()])
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
            "SELECT origin, destination FROM session_queue WHERE batch_id = ?1 AND queue_id = ?2 AND (?3 IS NULL OR user_id = ?3) LIMIT 1",
        )?
        .query_row((batch_id, queue_id, scope.owner_parameter()), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.unwrap_or((None, None)))
}
