//! The events, a variant each, with the payload that InvokeAI's clients expect.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::domain::{BatchId, ItemId, QueueId, SessionId, UserId};

/// What every event of a running node carries.
#[derive(Debug, Clone, Serialize)]
pub struct InvocationBase {
    /// The queue.
    pub queue_id: QueueId,
    /// The item.
    pub item_id: ItemId,
    /// The batch.
    pub batch_id: BatchId,
    /// Which part of the client asked for it.
    pub origin: Option<String>,
    /// Where the client wants its results.
    pub destination: Option<String>,
    /// The item's owner.
    pub user_id: UserId,
    /// The session.
    pub session_id: SessionId,
    /// The prepared node, its inputs filled in.
    pub invocation: Value,
    /// Its id in the submitted graph.
    pub invocation_source_id: String,
}

/// A small picture of what is being made.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    /// Pixels across of the finished picture.
    pub width: u32,
    /// Pixels down of the finished picture.
    pub height: u32,
    /// A JPEG, smaller than that, as a data URL.
    #[serde(rename = "dataURL")]
    pub data_url: String,
}

/// An item changed its status.
#[derive(Debug, Clone, Serialize)]
pub struct ItemStatusChange {
    /// The queue.
    pub queue_id: QueueId,
    /// The item.
    pub item_id: ItemId,
    /// The batch.
    pub batch_id: BatchId,
    /// Which part of the client asked for it.
    pub origin: Option<String>,
    /// Where the client wants its results.
    pub destination: Option<String>,
    /// The item's owner.
    pub user_id: UserId,
    /// The session.
    pub session_id: SessionId,
    /// The new status.
    pub status: crate::domain::queue_item::ItemStatus,
    /// Counts the item's changes.
    pub status_sequence: i64,
    /// Class of the error that ended it.
    pub error_type: Option<String>,
    /// Text of that error.
    pub error_message: Option<String>,
    /// Trace of that error.
    pub error_traceback: Option<String>,
    /// When it was enqueued.
    pub created_at: String,
    /// When its row last changed.
    pub updated_at: String,
    /// When it was claimed.
    pub started_at: Option<String>,
    /// When it ended.
    pub completed_at: Option<String>,
    /// Status of its batch.
    pub batch_status: Value,
    /// Status of its queue, with the counts of the item's owner.
    pub queue_status: Value,
}

/// Item numbers, by their owners.
#[derive(Debug, Clone, Default)]
pub struct ItemsByOwner(pub Vec<(UserId, Vec<ItemId>)>);

/// A model was or is being loaded for somebody's job.
#[derive(Debug, Clone, Serialize)]
pub struct ModelLoad {
    /// The model's record.
    pub config: Value,
    /// The part of it.
    pub submodel_type: Option<String>,
    /// Whose job it is for.
    pub user_id: UserId,
}

/// What changed about an account's access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessChange {
    /// Whether it is an administrator now.
    pub is_admin: bool,
    /// Whether it is active now; false for a deleted account.
    pub is_active: bool,
    /// Its present token epoch.
    pub token_epoch: i64,
}

/// An account's access changed. Never leaves the server.
#[derive(Debug, Clone)]
pub struct UserAccessChanged {
    /// The account.
    pub user_id: UserId,
    /// Its access from now on.
    pub access: AccessChange,
}

/// Everything that is announced.
#[derive(Debug, Clone)]
pub enum Event {
    /// A node begins.
    InvocationStarted(InvocationBase),
    /// A node got on.
    InvocationProgress {
        /// The node.
        base: InvocationBase,
        /// What it is doing.
        message: String,
        /// 0 to 1.
        percentage: Option<f64>,
        /// A preview.
        image: Option<Preview>,
        /// The device, where it is an accelerator.
        device: Option<String>,
    },
    /// A node ended well.
    InvocationComplete {
        /// The node.
        base: InvocationBase,
        /// Its output.
        result: Value,
    },
    /// A node failed.
    InvocationError {
        /// The node.
        base: InvocationBase,
        /// Class of the error.
        error_type: String,
        /// Its text.
        error_message: String,
        /// Its trace.
        error_traceback: String,
    },
    /// An item changed its status.
    QueueItemStatusChanged(Box<ItemStatusChange>),
    /// A batch was enqueued.
    BatchEnqueued {
        /// The queue.
        queue_id: QueueId,
        /// The batch.
        batch_id: BatchId,
        /// Items added.
        enqueued: i64,
        /// Items asked for.
        requested: i64,
        /// Their priority.
        priority: i64,
        /// Which part of the client asked.
        origin: Option<String>,
        /// Who asked.
        user_id: UserId,
    },
    /// Items were enqueued again; the ids are the old ones.
    QueueItemsRetried {
        /// The queue.
        queue_id: QueueId,
        /// The items.
        items: ItemsByOwner,
    },
    /// Waiting items were canceled, or deleted, in bulk.
    QueueItemsCanceled {
        /// The queue.
        queue_id: QueueId,
        /// The items.
        items: ItemsByOwner,
    },
    /// A queue was emptied, of one user's items or of all.
    QueueCleared {
        /// The queue.
        queue_id: QueueId,
        /// Whose items; `None` for everybody's.
        user_id: Option<UserId>,
    },
    /// A model begins to load.
    ModelLoadStarted(ModelLoad),
    /// A model is loaded.
    ModelLoadComplete(ModelLoad),
    /// An account's access changed.
    UserAccessChanged(UserAccessChanged),
}

impl Event {
    /// The event's name on the wire; `None` for one that never leaves the server.
    pub fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::InvocationStarted(_) => "invocation_started",
            Self::InvocationProgress { .. } => "invocation_progress",
            Self::InvocationComplete { .. } => "invocation_complete",
            Self::InvocationError { .. } => "invocation_error",
            Self::QueueItemStatusChanged(_) => "queue_item_status_changed",
            Self::BatchEnqueued { .. } => "batch_enqueued",
            Self::QueueItemsRetried { .. } => "queue_items_retried",
            Self::QueueItemsCanceled { .. } => "queue_items_canceled",
            Self::QueueCleared { .. } => "queue_cleared",
            Self::ModelLoadStarted(_) => "model_load_started",
            Self::ModelLoadComplete(_) => "model_load_complete",
            Self::UserAccessChanged(_) => return None,
        })
    }

    /// Whether a listener that cannot keep up may miss it.
    pub fn is_progress(&self) -> bool {
        matches!(self, Self::InvocationProgress { .. })
    }

    /// The whole payload, as the owner sees it, without the timestamp.
    pub(super) fn payload(&self) -> Map<String, Value> {
        let value = match self {
            Self::InvocationStarted(base) => json!(base),
            Self::InvocationProgress { base, message, percentage, image, device } => {
                with(base, json!({"message": message, "percentage": percentage, "image": image, "device": device}))
            }
            Self::InvocationComplete { base, result } => with(base, json!({ "result": result })),
            Self::InvocationError { base, error_type, error_message, error_traceback } => with(
                base,
                json!({"error_type": error_type, "error_message": error_message, "error_traceback": error_traceback}),
            ),
            Self::QueueItemStatusChanged(change) => json!(change),
            Self::BatchEnqueued { queue_id, batch_id, enqueued, requested, priority, origin, user_id } => json!({
                "queue_id": queue_id, "batch_id": batch_id, "enqueued": enqueued, "requested": requested, "priority": priority,
                "origin": origin, "user_id": user_id,
            }),
            Self::QueueItemsRetried { queue_id, items } => items.payload(queue_id, "retried"),
            Self::QueueItemsCanceled { queue_id, items } => items.payload(queue_id, "canceled"),
            Self::QueueCleared { queue_id, user_id } => json!({ "queue_id": queue_id, "user_id": user_id }),
            Self::ModelLoadStarted(load) | Self::ModelLoadComplete(load) => json!(load),
            Self::UserAccessChanged(_) => json!({}),
        };
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}

fn with(base: &InvocationBase, more: Value) -> Value {
    let mut all = json!(base);
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
    all
}

impl ItemsByOwner {
    /// Only one owner's items.
    pub(super) fn narrowed(&self, owner: &UserId) -> Self {
        Self(self.0.iter().filter(|(user, _)| user == owner).cloned().collect())
    }

    fn payload(&self, queue_id: &QueueId, verb: &str) -> Value {
        let ids: Vec<ItemId> = self.0.iter().flat_map(|(_, ids)| ids.iter().copied()).collect();
        let users: Vec<&UserId> = self.0.iter().map(|(user, _)| user).collect();
        let by_user: Map<String, Value> = self.0.iter().map(|(user, ids)| (user.to_string(), json!(ids))).collect();
        json!({
            "queue_id": queue_id,
            format!("{verb}_item_ids"): ids,
            "user_ids": users,
            format!("{verb}_item_ids_by_user"): by_user,
        })
    }
}
