//! Enqueueing batches.

use serde_json::{Value, json};

use super::Queue;
use crate::{
    authz::{Actor, acts, authorize_global},
    domain::{BatchId, Error, QueueId, Result, SessionId, validation::Step},
    events::Event,
    graph::batch::Batch,
    queue::cost,
    repo::queue as repo,
};

impl Queue {
    /// Enqueues a batch: its graph once, and what differs for each session, as far as the queue has room. `prepend` puts it before everything that waits.
    ///
    /// # Errors
    /// [`Error::Invalid`] with everything that is wrong with the batch, at `body`, `batch`.
    pub fn enqueue_batch(&self, actor: &Actor, queue_id: &QueueId, batch: Value, prepend: bool) -> Result<Value> {
        let leave = authorize_global::<acts::UseServer>(actor)?;
        let loc: [Step; 2] = ["body".into(), "batch".into()];
        let env = &self.shared.env;
        let batch = Batch::read(&self.registry, batch, &loc, &mut || env.uuid()).map_err(Error::Invalid)?;
        let (graph, workflow) = (batch.stored_graph(), batch.workflow.as_ref().map(Value::to_string));
        let batch_id = BatchId::new(batch.batch_id.clone());
        let models = cost::models(&batch.graph);
        let whole = cost::of(&batch.graph, &batch.sessions().next().unwrap_or_default());
        let varies = cost::varies(&batch.graph, batch.fields());
        let fields = serde_json::to_string(&batch.fields().collect::<Vec<_>>())?;
        let requested = batch.requested();
        let (enqueued, priority, item_ids) = self.change(|tx, aftermath| {
            self.shared.maintenance.refuse_if_active()?;
            let room = repo::capacity_left(tx, queue_id, self.shared.config.max_queue_size())?;
            let priority = if prepend { repo::next_priority(tx, queue_id)? } else { 0 };
            let new = repo::NewBatch {
                queue_id,
                batch_id: &batch_id,
                user_id: actor.user_id(),
                by_key: actor.is_by_key(),
                origin: batch.origin.as_deref(),
                destination: batch.destination.as_deref(),
                priority,
                cost: whole,
                models: &models,
                fields: Some(fields.clone()),
                graph: &graph,
                workflow: workflow.as_deref(),
                now: env.now(),
            };
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            let items = batch.values().take(room).map(|values| repo::NewItem {
                session_id: Some(SessionId::new(env.uuid())),
                cost: varies.then(|| cost::of(&batch.graph, &batch.named(&values))),
                values: (!values.is_empty()).then(|| serde_json::to_string(&values).expect("a list of values is JSON")),
                ..repo::NewItem::default()
            });
            let enqueued = repo::insert_batch(tx, &leave, &new, items)?.count();
            aftermath.wake = true;
            aftermath.events.push(Event::BatchEnqueued {
                queue_id: queue_id.clone(),
                batch_id: batch_id.clone(),
                enqueued: i64::try_from(enqueued).unwrap_or(i64::MAX),
                requested: i64::try_from(requested).unwrap_or(i64::MAX),
                priority,
                origin: batch.origin.clone(),
                user_id: actor.user_id().clone(),
            });
            Ok((enqueued, priority, repo::ids_of_batch(tx, queue_id, &batch_id)?))
        })?;
        Ok(json!({
            "queue_id": queue_id, "enqueued": enqueued, "requested": requested, "batch": batch.to_value(), "priority": priority, "item_ids": item_ids,
        }))
    }
}
