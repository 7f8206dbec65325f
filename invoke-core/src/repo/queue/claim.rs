//! Taking the next item to run.

use rusqlite::OptionalExtension;

use super::transition::{self, Change};
use crate::{db::WriteTx, domain::ItemId, env::Timestamp};

/// In which order users are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// First come, first served.
    Fifo,
    /// Each user one item per turn.
    RoundRobin,
}

/// An item that now runs here and nowhere else.
#[derive(Debug)]
pub struct Claimed(pub Change);

/// First come, first served: one step down an index.
const FIFO: &str = "SELECT item_id FROM session_queue WHERE status = 'pending' ORDER BY priority DESC, item_id ASC LIMIT 1";

/// Each user's best item, and of those the one whose owner has waited longest since anything of theirs began. The first part hops from user to
/// user along the index of waiting items, so it costs a few steps a user, however long the queue and its history are.
const ROUND_ROBIN: &str = "
    WITH RECURSIVE users(user_id) AS (
        SELECT MIN(user_id) FROM session_queue WHERE status = 'pending'
        UNION ALL
        SELECT (SELECT MIN(user_id) FROM session_queue WHERE status = 'pending' AND user_id > users.user_id) FROM users WHERE users.user_id IS NOT NULL
    ),
    best(item_id, last) AS (
        SELECT (SELECT item_id FROM session_queue q WHERE q.status = 'pending' AND q.user_id = users.user_id ORDER BY priority DESC, item_id ASC LIMIT 1),
               (SELECT MAX(started_at) FROM session_queue h WHERE h.user_id = users.user_id)
        FROM users WHERE users.user_id IS NOT NULL
    )
    SELECT item_id FROM best ORDER BY COALESCE(last, '1970-01-01') ASC, item_id ASC LIMIT 1";

/// Marks the next item as running on `device` and returns it. Within the one write transaction nobody else can claim it.
pub fn claim(tx: &mut WriteTx<'_>, mode: Mode, device: &str, now: Timestamp) -> rusqlite::Result<Option<Claimed>> {
    let sql = match mode {
        Mode::Fifo => FIFO,
        Mode::RoundRobin => ROUND_ROBIN,
    };
    let next: Option<ItemId> = tx.sql().prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
    let Some(item_id) = next else { return Ok(None) };
    Ok(transition::begin(tx, item_id, device, now)?.map(Claimed))
}
