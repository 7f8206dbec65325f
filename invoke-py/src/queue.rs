//! The generation queue.

use invoke_bindings::{DEFAULT_QUEUE, Session};
use invoke_core::domain::{BatchId, ItemId, QueueId, page::Direction};
use pyo3::{Bound, Py, PyAny, PyResult, Python, pyclass, pymethods};

use crate::{
    call::{Answer, Stop, from_python, read, to_python, write},
    events::seconds,
};

/// The generation queue.
#[pyclass(frozen, module = "invoke_py")]
pub(crate) struct Queue(pub(crate) Session);

fn queue_id() -> QueueId {
    QueueId::new(DEFAULT_QUEUE)
}

#[pymethods]
impl Queue {
    /// Enqueues a batch: `{"graph": ..., "data": ..., "runs": ...}`.
    #[pyo3(signature = (batch, *, prepend=false))]
    fn enqueue(&self, py: Python<'_>, batch: &Bound<'_, PyAny>, prepend: bool) -> Answer {
        let batch = from_python("batch", batch)?;
        write(py, &self.0, |core, actor| {
            core.queue.enqueue_batch(actor, &queue_id(), batch, prepend)
        })
    }

    /// Counts over everybody's items, the own ones, and whether the processor runs.
    fn status(&self, py: Python<'_>) -> Answer {
        read(py, &self.0, |core, actor| core.queue.status(actor, &queue_id()))
    }

    /// All items in the order of service; of others' only that they are there.
    #[pyo3(signature = (*, destination=None))]
    fn list(&self, py: Python<'_>, destination: Option<&str>) -> Answer {
        read(py, &self.0, |core, actor| core.queue.list_all(actor, &queue_id(), destination))
    }

    /// Numbers of all items, newest first.
    fn item_ids(&self, py: Python<'_>) -> Answer {
        read(py, &self.0, |core, actor| core.queue.item_ids(actor, &queue_id(), Direction::Desc))
    }

    /// One item.
    fn item(&self, py: Python<'_>, item_id: ItemId) -> Answer {
        read(py, &self.0, |core, actor| core.queue.item(actor, &queue_id(), item_id))
    }

    /// An item that runs, or None.
    fn current(&self, py: Python<'_>) -> Answer {
        read(py, &self.0, |core, actor| core.queue.current(actor, &queue_id()))
    }

    /// Waits until an item has ended, and gives it; None if it has not within `timeout` seconds.
    #[pyo3(signature = (item_id, timeout=None))]
    fn wait(&self, py: Python<'_>, item_id: ItemId, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        let timeout = seconds(py, timeout)?;
        let item = Stop::default().around(py, |stop| self.0.wait(DEFAULT_QUEUE, item_id, timeout, || stop.goes_on()))?;
        item.map(|item| to_python(py, &item)).transpose()
    }

    /// Cancels one item; a running one ends within a step.
    fn cancel(&self, py: Python<'_>, item_id: ItemId) -> Answer {
        write(py, &self.0, |core, actor| core.queue.cancel_item(actor, &queue_id(), item_id))
    }

    /// Cancels these batches' items.
    fn cancel_batches(&self, py: Python<'_>, batch_ids: Vec<String>) -> Answer {
        let batches: Vec<BatchId> = batch_ids.into_iter().map(BatchId::new).collect();
        write(py, &self.0, |core, actor| {
            core.queue.cancel_by_batch_ids(actor, &queue_id(), &batches)
        })
    }

    /// Cancels all waiting items: the own ones, an administrator everybody's.
    fn cancel_waiting(&self, py: Python<'_>) -> Answer {
        write(py, &self.0, |core, actor| core.queue.cancel_all_except_current(actor, &queue_id()))
    }

    /// Runs failed and canceled items again.
    fn retry(&self, py: Python<'_>, item_ids: Vec<ItemId>) -> Answer {
        write(py, &self.0, |core, actor| core.queue.retry_items(actor, &queue_id(), &item_ids))
    }

    /// Deletes one item.
    fn delete(&self, py: Python<'_>, item_id: ItemId) -> Answer {
        write(py, &self.0, |core, actor| core.queue.delete_item(actor, &queue_id(), item_id))
    }

    /// Deletes what has ended: the own items, an administrator everybody's.
    fn prune(&self, py: Python<'_>) -> Answer {
        write(py, &self.0, |core, actor| core.queue.prune(actor, &queue_id()))
    }

    /// Starts no further items, for administrators.
    fn pause(&self, py: Python<'_>) -> Answer {
        write(py, &self.0, |core, actor| core.queue.pause(actor))
    }

    /// Starts items again, for administrators.
    fn resume(&self, py: Python<'_>) -> Answer {
        write(py, &self.0, |core, actor| core.queue.resume(actor))
    }
}
