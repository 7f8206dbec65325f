//! Counts, for the status badge and its relatives.

use serde_json::{Map, Value, json};

use crate::{
    authz::Scope,
    db::ReadTx,
    domain::{BatchId, QueueId, UserId, queue_item::StatusCounts},
    repo::queue::{self, Selection},
};

fn counted(mut head: Map<String, Value>, counts: StatusCounts) -> Value {
    if let Value::Object(counts) = json!(counts) {
        head.extend(counts);
    }
    Value::Object(head)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The queue's status: everybody's counts, one user's own, and the first running item if it is within the scope.
pub(super) fn of_queue(tx: &ReadTx<'_>, scope: &Scope, queue_id: &QueueId, user_id: &UserId) -> rusqlite::Result<Value> {
    let (item_id, batch_id, session_id) = queue::running_in(tx, scope, queue_id)?.map_or((None, None, None), |(item, batch, session)| {
        (Some(item), Some(batch), Some(session))
    });
    let head = object(json!({"queue_id": queue_id, "item_id": item_id, "batch_id": batch_id, "session_id": session_id}));
    let mut status = counted(head, queue::queue_counts(tx, queue_id)?);
    let own = queue::user_counts(tx, queue_id, user_id)?;
    if let Some(map) = status.as_object_mut() {
        map.insert("user_pending".into(), json!(own.pending));
        map.insert("user_in_progress".into(), json!(own.in_progress));
    }
    Ok(status)
}

/// A batch's status within a scope; zeros for a batch that is unknown or none of the reader's business.
pub(super) fn of_batch(tx: &ReadTx<'_>, scope: &Scope, queue_id: &QueueId, batch_id: &BatchId) -> rusqlite::Result<Value> {
    let (origin, destination) = queue::batch_origin(tx, scope, queue_id, batch_id)?;
    let counts = queue::count_selected(tx, scope, queue_id, &Selection::Batches(std::slice::from_ref(batch_id)))?;
    let head = json!({"queue_id": queue_id, "batch_id": batch_id, "origin": origin, "destination": destination});
    Ok(counted(object(head), counts))
}

/// Counts of one destination within a scope.
pub(super) fn of_destination(tx: &ReadTx<'_>, scope: &Scope, queue_id: &QueueId, destination: &str) -> rusqlite::Result<Value> {
    let counts = queue::count_selected(tx, scope, queue_id, &Selection::Destination(destination))?;
    Ok(counted(object(json!({"queue_id": queue_id, "destination": destination})), counts))
}
