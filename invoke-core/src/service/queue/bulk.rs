//! Canceling, deleting and retrying many items at once.

use serde_json::{Value, json};

use super::{Queue, announce, change::Aftermath, no_such_item};
use crate::{
    authz::{Action, Actor, Reach, Scope, acts, authorize, authorize_global},
    db::WriteTx,
    domain::{BatchId, Error, ItemId, QueueId, Result, SessionId, queue_item::Ending},
    events::Event,
    repo::queue::{self as repo, Selection},
};

impl Queue {
    /// Ends the running items of a selection, each with its own event.
    fn stop_running(
        &self,
        tx: &mut WriteTx<'_>,
        reach: &Reach,
        queue_id: &QueueId,
        selection: &Selection<'_>,
        aftermath: &mut Aftermath,
    ) -> Result<()> {
        for (item_id, _) in repo::in_progress_of(tx, reach, queue_id, selection)? {
            if let Some(repo::Change(item)) = repo::finish(tx, item_id, &Ending::Canceled, None, self.shared.env.now())? {
                aftermath.events.push(announce::status_changed(tx, &item)?);
                aftermath.stop.push(item_id);
            }
        }
        Ok(())
    }

    fn cancel_selection(&self, actor: &Actor, queue_id: &QueueId, selection: &Selection<'_>) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        let canceled = self.change(|tx, aftermath| {
            let reach = Reach::of(actor, Action::CancelQueueItem, tx.powers());
            let waiting = repo::cancel_waiting(tx, &reach, queue_id, selection, self.shared.env.now())?;
            let waited = tell_all(queue_id, waiting, aftermath);
            self.stop_running(tx, &reach, queue_id, selection, aftermath)?;
            Ok(waited + aftermath.stop.len())
        })?;
        Ok(json!({"canceled": canceled}))
    }

    /// Cancels these batches' items.
    pub fn cancel_by_batch_ids(&self, actor: &Actor, queue_id: &QueueId, batch_ids: &[BatchId]) -> Result<Value> {
        self.cancel_selection(actor, queue_id, &Selection::Batches(batch_ids))
    }

    /// Cancels the items with this destination.
    pub fn cancel_by_destination(&self, actor: &Actor, queue_id: &QueueId, destination: &str) -> Result<Value> {
        self.cancel_selection(actor, queue_id, &Selection::Destination(destination))
    }

    /// Cancels what waits; what runs goes on.
    pub fn cancel_all_except_current(&self, actor: &Actor, queue_id: &QueueId) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        let canceled = self.change(|tx, aftermath| {
            let reach = Reach::of(actor, Action::CancelQueueItem, tx.powers());
            let waiting = repo::cancel_waiting(tx, &reach, queue_id, &Selection::AllButCurrent, self.shared.env.now())?;
            Ok(tell_all(queue_id, waiting, aftermath))
        })?;
        Ok(json!({"canceled": canceled}))
    }

    /// Deletes what waits; what runs goes on, and history stays.
    pub fn delete_all_except_current(&self, actor: &Actor, queue_id: &QueueId) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        let deleted = self.change(|tx, aftermath| {
            let reach = Reach::of(actor, Action::DeleteQueueItem, tx.powers());
            let waiting = repo::delete_rows(tx, &reach, queue_id, &Selection::AllButCurrent, repo::Deleted::Waiting)?;
            Ok(tell_all(queue_id, waiting, aftermath))
        })?;
        Ok(json!({"deleted": deleted}))
    }

    /// Deletes the items with this destination, whatever their status, ending the running ones first.
    pub fn delete_by_destination(&self, actor: &Actor, queue_id: &QueueId, destination: &str) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        let selection = Selection::Destination(destination);
        let deleted = self.change(|tx, aftermath| {
            let reach = Reach::of(actor, Action::DeleteQueueItem, tx.powers());
            self.stop_running(tx, &reach, queue_id, &selection, aftermath)?;
            let gone = repo::delete_rows(tx, &reach, queue_id, &selection, repo::Deleted::Everything)?;
            let deleted = gone.len();
            let waited = gone.into_iter().filter(|(item_id, _)| !aftermath.stop.contains(item_id)).collect();
            tell_all(queue_id, waited, aftermath);
            Ok(deleted)
        })?;
        Ok(json!({"deleted": deleted}))
    }

    /// Deletes everything in scope, history included, ending the running items first.
    pub fn clear(&self, actor: &Actor, queue_id: &QueueId) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        let deleted = self.change(|tx, aftermath| {
            let reach = Reach::of(actor, Action::DeleteQueueItem, tx.powers());
            self.stop_running(tx, &reach, queue_id, &Selection::All, aftermath)?;
            let deleted = repo::delete_rows(tx, &reach, queue_id, &Selection::All, repo::Deleted::Everything)?.len();
            let user_id = match reach.scope() {
                Scope::Own(user_id) => Some(user_id),
                Scope::All | Scope::Nothing => None,
            };
            aftermath.events.push(Event::QueueCleared {
                queue_id: queue_id.clone(),
                user_id,
            });
            Ok(deleted)
        })?;
        Ok(json!({"deleted": deleted}))
    }

    /// Deletes what has ended.
    pub fn prune(&self, actor: &Actor, queue_id: &QueueId) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        let gone = self.shared.db.write(|tx| {
            let reach = Reach::of(actor, Action::DeleteQueueItem, tx.powers());
            repo::delete_rows(tx, &reach, queue_id, &Selection::All, repo::Deleted::Ended)
        })?;
        Ok(json!({"deleted": gone.len()}))
    }

    /// Enqueues failed and canceled items again, as new items of the same owner.
    pub fn retry_items(&self, actor: &Actor, queue_id: &QueueId, ids: &[ItemId]) -> Result<Value> {
        let leave = authorize_global::<acts::UseServer>(actor)?;
        let now = self.shared.env.now();
        let retried_ids = self.change(|tx, aftermath| {
            for &id in ids {
                if repo::queue_of(tx, id)?.is_some_and(|other| &other != queue_id) {
                    return Err(no_such_item(queue_id, id));
                }
                match authorize::<acts::RetryQueueItem, _>(actor, repo::find(tx, id)?) {
                    Ok(_) | Err(Error::NotFound(_)) => {}
                    Err(Error::Forbidden(_)) => {
                        return Err(Error::Forbidden(format!("You do not have permission to retry queue item {id}")));
                    }
                    Err(error) => return Err(error),
                }
            }
            let room = repo::capacity_left(tx, queue_id, self.shared.config.max_queue_size())?;
            if room == 0 {
                return Ok(Vec::new());
            }
            // Of a chain of calls the first caller is retried, once.
            let mut unique: Vec<ItemId> = Vec::new();
            let mut roots: Vec<(ItemId, ItemId)> = Vec::new();
            for &id in ids {
                let root = repo::root_of(tx, id)?;
                if !unique.contains(&root) {
                    unique.push(root);
                }
                roots.push((id, root));
            }
            let mut retried = Vec::new();
            for item in repo::terminal_rows(tx, &leave, &unique)?
                .into_iter()
                .take(usize::try_from(room).unwrap_or(usize::MAX))
            {
                let graph = super::sessions::graph_of(tx, &item)?;
                let stored = repo::stored_session(tx, &item)?;
                let (cost, models) = repo::cost_of(tx, item.item_id)?;
                let (fields, values) = repo::taken_apart(item.field_values.as_deref().filter(|values| !values.is_empty()));
                let batch = repo::NewBatch {
                    queue_id,
                    batch_id: &item.batch_id,
                    user_id: &item.user_id,
                    by_key: item.by_key || actor.is_by_key(),
                    origin: item.origin.as_deref(),
                    destination: item.destination.as_deref(),
                    priority: item.priority,
                    cost,
                    models: &models,
                    fields,
                    graph: &graph,
                    workflow: stored.workflow.as_deref(),
                    now,
                };
                let new = repo::NewItem {
                    session_id: Some(SessionId::new(self.shared.env.uuid())),
                    values,
                    retried_from_item_id: Some(item.retried_from_item_id.unwrap_or(item.item_id)),
                    ..repo::NewItem::default()
                };
                repo::insert_batch(tx, &leave, &batch, [new])?;
                retried.push((item.item_id, item.user_id));
            }
            let ids: Vec<ItemId> = retried.iter().map(|(id, _)| *id).collect();
            for (id, _) in roots.iter().filter(|(_, root)| !ids.contains(root)) {
                tx.powers().take_back(Action::RetryQueueItem, &id.to_string());
            }
            aftermath.wake = true;
            aftermath.events.push(Event::QueueItemsRetried {
                queue_id: queue_id.clone(),
                items: announce::by_owner(retried),
            });
            Ok(ids)
        })?;
        Ok(json!({"queue_id": queue_id, "retried_item_ids": retried_ids}))
    }
}

/// Notes that items were canceled or deleted while they waited, if there are any; returns how many.
fn tell_all(queue_id: &QueueId, rows: Vec<(ItemId, crate::domain::UserId)>, aftermath: &mut Aftermath) -> usize {
    let count = rows.len();
    if count > 0 {
        aftermath.events.push(Event::QueueItemsCanceled {
            queue_id: queue_id.clone(),
            items: announce::by_owner(rows),
        });
    }
    count
}
