//! The generation queue, as people and programs use it.
//!
//! Everybody sees that items exist and how many wait. What is in them, and the power over them, is their owner's and the administrators'.

mod announce;
mod bulk;
mod calls;
mod change;
mod claims;
mod enqueue;
mod runs;
mod sessions;
mod status;
mod view;
mod wait;

use std::sync::Arc;

use serde_json::{Value, json};

pub use runs::Runs;

pub(super) use wait::ASKED_EVERY;

use super::Shared;
use crate::{
    authz::{Act, Actor, Permit, Scope, Sealed, acts, administer, authorize, authorize_global},
    db::ReadTx,
    domain::{BatchId, Error, ItemId, QueueId, Result, page::Direction, queue_item::QueueItem},
    graph::{Registry, model::without_nulls},
    queue::Processor,
    repo::queue as repo,
};

/// Use of the queue.
#[derive(Clone)]
pub struct Queue {
    pub(crate) shared: Arc<Shared>,
    pub(crate) processor: Arc<Processor>,
    pub(crate) registry: Arc<Registry>,
}

fn no_such_item(queue_id: &QueueId, item_id: ItemId) -> Error {
    Error::NotFound(format!("Queue item with id {item_id} not found in queue {queue_id}"))
}

/// Opens an item of this queue for an action.
fn open<A: Act>(tx: &ReadTx<'_>, actor: &Actor, queue_id: &QueueId, item_id: ItemId) -> Result<Permit<A, QueueItem>> {
    if repo::queue_of(tx, item_id)?.as_ref() != Some(queue_id) {
        return Err(no_such_item(queue_id, item_id));
    }
    authorize::<A, _>(actor, repo::find(tx, item_id)?)
}

impl Queue {
    pub(crate) fn new(shared: Arc<Shared>, processor: Arc<Processor>, registry: Arc<Registry>) -> Self {
        Self {
            shared,
            processor,
            registry,
        }
    }

    fn whole(&self, tx: &ReadTx<'_>, actor: &Actor, item: Sealed<QueueItem>) -> Result<Option<Value>> {
        let inside = |item: &QueueItem| sessions::stored(&self.registry, &self.shared.env, tx, item);
        view::whole(actor, item, inside, || sessions::redacted(&self.shared.env))
    }

    fn all_whole(&self, tx: &ReadTx<'_>, actor: &Actor, items: Vec<Sealed<QueueItem>>) -> Result<Vec<Value>> {
        items
            .into_iter()
            .filter_map(|item| self.whole(tx, actor, item).transpose())
            .collect()
    }

    /// One item: whole for those who may look into it, a shell for everybody else.
    pub fn item(&self, actor: &Actor, queue_id: &QueueId, item_id: ItemId) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        self.shared.db.read(|tx| {
            let found = repo::of_numbers(tx, queue_id, &[item_id])?.pop();
            let item = found.map(|item| self.whole(tx, actor, item)).transpose()?.flatten();
            item.map(without_nulls).ok_or_else(|| no_such_item(queue_id, item_id))
        })
    }

    /// All items of a queue in the order of service.
    pub fn list_all(&self, actor: &Actor, queue_id: &QueueId, destination: Option<&str>) -> Result<Vec<Value>> {
        authorize_global::<acts::UseServer>(actor)?;
        self.shared
            .db
            .read(|tx| self.all_whole(tx, actor, repo::list(tx, queue_id, destination)?))
    }

    /// Numbers of all items, by time of creation.
    pub fn item_ids(&self, actor: &Actor, queue_id: &QueueId, direction: Direction) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        let ids = self.shared.db.read(|tx| repo::ids_by_creation(tx, queue_id, direction))?;
        Ok(json!({"total_count": ids.len(), "item_ids": ids}))
    }

    /// The items of these numbers, as far as they exist.
    pub fn items_by_ids(&self, actor: &Actor, queue_id: &QueueId, ids: &[ItemId]) -> Result<Vec<Value>> {
        authorize_global::<acts::UseServer>(actor)?;
        self.shared
            .db
            .read(|tx| self.all_whole(tx, actor, repo::of_numbers(tx, queue_id, ids)?))
    }

    /// List rows for the items of these numbers, as far as they exist.
    pub fn item_summaries_by_ids(&self, actor: &Actor, queue_id: &QueueId, ids: &[ItemId]) -> Result<Vec<Value>> {
        authorize_global::<acts::UseServer>(actor)?;
        let items = self.shared.db.read(|tx| repo::of_numbers(tx, queue_id, ids))?;
        Ok(items.into_iter().filter_map(|item| view::summary(actor, item)).collect())
    }

    /// An item that runs, if any.
    pub fn current(&self, actor: &Actor, queue_id: &QueueId) -> Result<Option<Value>> {
        authorize_global::<acts::UseServer>(actor)?;
        self.shared
            .db
            .read(|tx| self.whole(tx, actor, repo::first_in_progress(tx, queue_id)?))
    }

    /// The item that has waited longest.
    pub fn next(&self, actor: &Actor, queue_id: &QueueId) -> Result<Option<Value>> {
        authorize_global::<acts::UseServer>(actor)?;
        self.shared.db.read(|tx| self.whole(tx, actor, repo::next_pending(tx, queue_id)?))
    }

    /// Counts over everybody's items, the caller's own, and whether the processor runs.
    pub fn status(&self, actor: &Actor, queue_id: &QueueId) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        let queue = self
            .shared
            .db
            .read(|tx| status::of_queue(tx, &Scope::of(actor), queue_id, actor.user_id()))?;
        Ok(json!({"queue": queue, "processor": self.processor_status()}))
    }

    fn processor_status(&self) -> Value {
        json!({"is_started": self.processor.is_started(), "is_processing": self.processor.is_processing()})
    }

    /// Counts of one batch.
    pub fn batch_status(&self, actor: &Actor, queue_id: &QueueId, batch_id: &BatchId) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        Ok(self
            .shared
            .db
            .read(|tx| status::of_batch(tx, &Scope::of(actor), queue_id, batch_id))?)
    }

    /// Counts of one destination.
    pub fn counts_by_destination(&self, actor: &Actor, queue_id: &QueueId, destination: &str) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        Ok(self
            .shared
            .db
            .read(|tx| status::of_destination(tx, &Scope::of(actor), queue_id, destination))?)
    }

    /// Stops claiming items; what runs goes on.
    pub fn pause(&self, actor: &Actor) -> Result<Value> {
        let deed = administer::<acts::ManageProcessor>(actor, "queue.pause")?;
        if self.processor.pause() {
            self.shared.db.record(deed)?;
        }
        Ok(self.processor_status())
    }

    /// Claims items again.
    pub fn resume(&self, actor: &Actor) -> Result<Value> {
        let deed = administer::<acts::ManageProcessor>(actor, "queue.resume")?;
        if self.processor.resume() {
            self.shared.db.record(deed)?;
        }
        Ok(self.processor_status())
    }

    /// Cancels one item with the whole chain of calls that it belongs to; what runs ends within a step. Canceling what has ended changes nothing.
    pub fn cancel_item(&self, actor: &Actor, queue_id: &QueueId, item_id: ItemId) -> Result<Value> {
        let item = self.change(|tx, aftermath| {
            let item = open::<acts::CancelQueueItem>(tx, actor, queue_id, item_id)?.into_inner();
            if !item.status.is_terminal() {
                self.cancel_chain(tx, &item, aftermath)?;
            }
            Ok(repo::reload(tx, item_id)?)
        })?;
        let shown = self.shared.db.read(|tx| self.whole(tx, actor, tx.seal(Some(item))))?;
        shown.ok_or_else(|| no_such_item(queue_id, item_id))
    }

    /// Deletes one item with the whole chain of calls that it belongs to, canceling first what has not ended.
    pub fn delete_item(&self, actor: &Actor, queue_id: &QueueId, item_id: ItemId) -> Result<()> {
        self.change(|tx, aftermath| {
            let item = open::<acts::DeleteQueueItem>(tx, actor, queue_id, item_id)?;
            self.cancel_chain(tx, &item, aftermath)?;
            repo::delete_items(tx, &item)?;
            Ok(())
        })
    }
}
