//! The generation queue.

use std::time::Duration;

use invoke_bindings::{DEFAULT_QUEUE, Fault, Session};
use invoke_core::domain::QueueId;

use crate::{error::Result, records::json};

/// The generation queue. Its items are JSON objects.
#[derive(Debug, uniffi::Object)]
pub struct Queue(pub(crate) Session);

fn queue_id() -> QueueId {
    QueueId::new(DEFAULT_QUEUE)
}

#[uniffi::export]
impl Queue {
    /// Enqueues a batch, a JSON object: `{"graph": ..., "data": ..., "runs": ...}`. Gives a JSON object with `item_ids`.
    #[uniffi::method(default(prepend = false))]
    pub fn enqueue(&self, batch: String, prepend: bool) -> Result<String> {
        let batch = serde_json::from_str(&batch).map_err(|error| Fault::field("batch", format!("JSON was expected: {error}")))?;
        json(
            &self
                .0
                .write(|core, actor| core.queue.enqueue_batch(actor, &queue_id(), batch, prepend))?,
        )
    }

    /// Counts over everybody's items, the own ones, and whether the processor runs.
    pub fn status(&self) -> Result<String> {
        json(&self.0.read(|core, actor| core.queue.status(actor, &queue_id()))?)
    }

    /// All items in the order of service; of others' only that they are there.
    pub fn list(&self) -> Result<String> {
        json(&self.0.read(|core, actor| core.queue.list_all(actor, &queue_id(), None))?)
    }

    /// One item.
    pub fn item(&self, item_id: i64) -> Result<String> {
        json(&self.0.read(|core, actor| core.queue.item(actor, &queue_id(), item_id))?)
    }

    /// Waits until an item has ended, and gives it; null if it has not within so many milliseconds.
    pub fn wait_for(&self, item_id: i64, milliseconds: u32) -> Result<Option<String>> {
        let timeout = Duration::from_millis(milliseconds.into());
        let item = self.0.wait(DEFAULT_QUEUE, item_id, Some(timeout), || true)?;
        item.map(|item| json(&item)).transpose()
    }

    /// Cancels one item; a running one ends within a step.
    pub fn cancel(&self, item_id: i64) -> Result<String> {
        json(&self.0.write(|core, actor| core.queue.cancel_item(actor, &queue_id(), item_id))?)
    }

    /// Runs failed and canceled items again.
    pub fn retry(&self, item_ids: Vec<i64>) -> Result<String> {
        json(&self.0.write(|core, actor| core.queue.retry_items(actor, &queue_id(), &item_ids))?)
    }

    /// Starts no further items, for administrators.
    pub fn pause(&self) -> Result<()> {
        self.0.write(|core, actor| core.queue.pause(actor))?;
        Ok(())
    }

    /// Starts items again, for administrators.
    pub fn resume(&self) -> Result<()> {
        self.0.write(|core, actor| core.queue.resume(actor))?;
        Ok(())
    }
}
