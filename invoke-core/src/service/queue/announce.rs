//! From changed rows to events.

use crate::{
    authz::Scope,
    db::ReadTx,
    domain::{ItemId, UserId, queue_item::QueueItem},
    events::{Event, ItemStatusChange, ItemsByOwner},
};

use super::status;

/// The event of an item's change of status, with the counts as they are in the same snapshot.
pub(super) fn status_changed(tx: &ReadTx<'_>, item: &QueueItem) -> rusqlite::Result<Event> {
    // Batches are named by whoever enqueues them: two users may have chosen one name.
    let owners = Scope::Own(item.user_id.clone());
    let batch_status = status::of_batch(tx, &owners, &item.queue_id, &item.batch_id)?;
    let queue_status = status::of_queue(tx, &owners, &item.queue_id, &item.user_id)?;
    Ok(Event::QueueItemStatusChanged(Box::new(ItemStatusChange {
        queue_id: item.queue_id.clone(),
        item_id: item.item_id,
        batch_id: item.batch_id.clone(),
        origin: item.origin.clone(),
        destination: item.destination.clone(),
        user_id: item.user_id.clone(),
        session_id: item.session_id.clone(),
        status: item.status,
        status_sequence: item.status_sequence,
        error_type: item.error_type.clone(),
        error_message: item.error_message.clone(),
        error_traceback: item.error_traceback.clone(),
        created_at: item.created_at.clone(),
        updated_at: item.updated_at.clone(),
        started_at: item.started_at.clone(),
        completed_at: item.completed_at.clone(),
        batch_status,
        queue_status,
    })))
}

/// Rows grouped by owner, owners and items in the order of their first appearance.
pub(super) fn by_owner(rows: impl IntoIterator<Item = (ItemId, UserId)>) -> ItemsByOwner {
    let mut groups: indexmap::IndexMap<UserId, Vec<ItemId>> = indexmap::IndexMap::new();
    for (item_id, user_id) in rows {
        groups.entry(user_id).or_default().push(item_id);
    }
    ItemsByOwner(groups.into_iter().collect())
}
