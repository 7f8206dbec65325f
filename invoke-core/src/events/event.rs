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

/// A workflow of the library.
#[derive(Debug, Clone, Serialize)]
pub struct WorkflowChange {
    /// The workflow.
    pub workflow_id: String,
    /// Its owner.
    pub user_id: UserId,
    /// Whether everybody may see it.
    pub is_public: bool,
}

/// A download of many pictures at once.
#[derive(Debug, Clone, Serialize)]
pub struct BulkDownload {
    /// The listening place; clients only ever use `default`.
    pub bulk_download_id: String,
    /// The download.
    pub bulk_download_item_id: String,
    /// Name of its file.
    pub bulk_download_item_name: String,
    /// Who asked for it.
    pub user_id: UserId,
}

/// Where a long task of a language model stands.
#[derive(Debug, Clone, Serialize)]
pub struct TaskProgress {
    /// What it is doing, for programs.
    pub phase: String,
    /// What it is doing, for people.
    pub message: String,
    /// 0 to 1.
    pub percentage: Option<f64>,
    /// Tokens made so far.
    pub current_tokens: Option<i64>,
    /// Tokens to be made at most.
    pub total_tokens: Option<i64>,
}

/// What became of a download of a model's file.
#[derive(Debug, Clone)]
pub enum DownloadStage {
    /// It began; where it is written to.
    Started(String),
    /// It got on.
    Progress {
        /// Where it is written to.
        download_path: String,
        /// Bytes so far.
        current_bytes: u64,
        /// Bytes in all.
        total_bytes: u64,
    },
    /// It is there.
    Complete {
        /// Where it lies.
        download_path: String,
        /// Its bytes.
        total_bytes: u64,
    },
    /// Somebody ended it.
    Cancelled,
    /// It failed.
    Failed {
        /// Class of the error.
        error_type: String,
        /// Its text.
        error: String,
    },
}

/// What became of the installation of a model.
#[derive(Debug, Clone)]
pub enum InstallStage {
    /// Its files arrive.
    DownloadProgress {
        /// Where they are written to.
        local_path: String,
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all.
        total_bytes: u64,
        /// Each file: `{url, local_path, bytes, total_bytes}`.
        parts: Value,
    },
    /// Its files are there.
    DownloadsComplete,
    /// It is looked at.
    Started,
    /// It is installed.
    Complete {
        /// Its key.
        key: String,
        /// Its bytes.
        total_bytes: u64,
        /// Its record.
        config: Value,
    },
    /// Somebody ended it.
    Cancelled,
    /// It failed.
    Failed {
        /// Class of the error.
        error_type: String,
        /// Its text.
        error: String,
    },
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
    /// A file of a model is downloaded.
    Download {
        /// Where it comes from.
        source: String,
        /// What became of it.
        stage: DownloadStage,
    },
    /// A model is installed.
    ModelInstall {
        /// The job.
        id: i64,
        /// Where the model comes from, as a tagged object.
        source: Value,
        /// What became of it.
        stage: InstallStage,
    },
    /// Pictures are packed for somebody.
    BulkDownloadStarted(BulkDownload),
    /// The pack is ready.
    BulkDownloadComplete(BulkDownload),
    /// The pack could not be made.
    BulkDownloadError {
        /// The download.
        download: BulkDownload,
        /// Why.
        error: String,
    },
    /// A workflow was added to the library.
    WorkflowCreated(WorkflowChange),
    /// A workflow changed.
    WorkflowUpdated {
        /// The workflow.
        workflow_id: String,
        /// Its owner.
        user_id: UserId,
        /// Whether everybody could see it.
        old_is_public: bool,
        /// Whether everybody may see it now.
        new_is_public: bool,
    },
    /// A workflow is no longer everybody's to see.
    WorkflowAccessRevoked {
        /// The workflow.
        workflow_id: String,
        /// Its owner.
        user_id: UserId,
    },
    /// A workflow was deleted.
    WorkflowDeleted(WorkflowChange),
    /// Parameters for a client's form came from elsewhere.
    RecallParametersUpdated {
        /// The queue that the client watches.
        queue_id: QueueId,
        /// Whose client.
        user_id: UserId,
        /// The parameters.
        parameters: Value,
    },
    /// A language model's task got on.
    LlmTaskProgress {
        /// The task, named by the client.
        task_id: String,
        /// Whose task.
        user_id: UserId,
        /// Where it stands.
        progress: TaskProgress,
    },
    /// A language model's task ended well.
    LlmTaskComplete {
        /// The task, named by the client.
        task_id: String,
        /// Whose task.
        user_id: UserId,
    },
    /// A language model's task failed.
    LlmTaskError {
        /// The task, named by the client.
        task_id: String,
        /// Whose task.
        user_id: UserId,
        /// Why.
        error: String,
    },
    /// An account's access changed.
    UserAccessChanged(UserAccessChanged),
    /// An API key was revoked. Never leaves the server.
    ApiKeyRevoked {
        /// The key's identifier.
        key_id: String,
    },
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
            Self::Download { stage, .. } => match stage {
                DownloadStage::Started(_) => "download_started",
                DownloadStage::Progress { .. } => "download_progress",
                DownloadStage::Complete { .. } => "download_complete",
                DownloadStage::Cancelled => "download_cancelled",
                DownloadStage::Failed { .. } => "download_error",
            },
            Self::ModelInstall { stage, .. } => match stage {
                InstallStage::DownloadProgress { .. } => "model_install_download_progress",
                InstallStage::DownloadsComplete => "model_install_downloads_complete",
                InstallStage::Started => "model_install_started",
                InstallStage::Complete { .. } => "model_install_complete",
                InstallStage::Cancelled => "model_install_cancelled",
                InstallStage::Failed { .. } => "model_install_error",
            },
            Self::BulkDownloadStarted(_) => "bulk_download_started",
            Self::BulkDownloadComplete(_) => "bulk_download_complete",
            Self::BulkDownloadError { .. } => "bulk_download_error",
            Self::WorkflowCreated(_) => "workflow_created",
            Self::WorkflowUpdated { .. } => "workflow_updated",
            Self::WorkflowAccessRevoked { .. } => "workflow_access_revoked",
            Self::WorkflowDeleted(_) => "workflow_deleted",
            Self::RecallParametersUpdated { .. } => "recall_parameters_updated",
            Self::LlmTaskProgress { .. } => "llm_task_progress",
            Self::LlmTaskComplete { .. } => "llm_task_complete",
            Self::LlmTaskError { .. } => "llm_task_error",
            Self::UserAccessChanged(_) | Self::ApiKeyRevoked { .. } => return None,
        })
    }

    /// Whether a listener that cannot keep up may miss it.
    pub fn is_progress(&self) -> bool {
        matches!(
            self,
            Self::InvocationProgress { .. }
                | Self::LlmTaskProgress { .. }
                | Self::Download {
                    stage: DownloadStage::Progress { .. },
                    ..
                }
                | Self::ModelInstall {
                    stage: InstallStage::DownloadProgress { .. },
                    ..
                }
        )
    }

    /// The whole payload, as the owner sees it, without the timestamp.
    pub(super) fn payload(&self) -> Map<String, Value> {
        let value = match self {
            Self::InvocationStarted(base) => json!(base),
            Self::InvocationProgress {
                base,
                message,
                percentage,
                image,
                device,
            } => with(
                base,
                json!({"message": message, "percentage": percentage, "image": image, "device": device}),
            ),
            Self::InvocationComplete { base, result } => with(base, json!({ "result": with_meta(result) })),
            Self::InvocationError {
                base,
                error_type,
                error_message,
                error_traceback,
            } => with(
                base,
                json!({"error_type": error_type, "error_message": error_message, "error_traceback": error_traceback}),
            ),
            Self::QueueItemStatusChanged(change) => json!(change),
            Self::BatchEnqueued {
                queue_id,
                batch_id,
                enqueued,
                requested,
                priority,
                origin,
                user_id,
            } => json!({
                "queue_id": queue_id, "batch_id": batch_id, "enqueued": enqueued, "requested": requested, "priority": priority,
                "origin": origin, "user_id": user_id,
            }),
            Self::QueueItemsRetried { queue_id, items } => items.payload(queue_id, "retried"),
            Self::QueueItemsCanceled { queue_id, items } => items.payload(queue_id, "canceled"),
            Self::QueueCleared { queue_id, user_id } => json!({ "queue_id": queue_id, "user_id": user_id }),
            Self::ModelLoadStarted(load) | Self::ModelLoadComplete(load) => json!(load),
            Self::Download { source, stage } => extended(json!({ "source": source }), stage.payload()),
            Self::ModelInstall { id, source, stage } => extended(json!({"id": id, "source": source}), stage.payload()),
            Self::BulkDownloadStarted(download) | Self::BulkDownloadComplete(download) => json!(download),
            Self::BulkDownloadError { download, error } => with(download, json!({ "error": error })),
            Self::WorkflowCreated(change) | Self::WorkflowDeleted(change) => json!(change),
            Self::WorkflowUpdated {
                workflow_id,
                user_id,
                old_is_public,
                new_is_public,
            } => json!({
                "workflow_id": workflow_id, "user_id": user_id, "old_is_public": old_is_public, "new_is_public": new_is_public,
            }),
            Self::WorkflowAccessRevoked { workflow_id, user_id } => json!({"workflow_id": workflow_id, "user_id": user_id}),
            Self::RecallParametersUpdated {
                queue_id,
                user_id,
                parameters,
            } => {
                json!({"queue_id": queue_id, "user_id": user_id, "parameters": parameters})
            }
            Self::LlmTaskProgress {
                task_id,
                user_id,
                progress,
            } => extended(json!({"task_id": task_id, "user_id": user_id}), json!(progress)),
            Self::LlmTaskComplete { task_id, user_id } => json!({"task_id": task_id, "user_id": user_id}),
            Self::LlmTaskError { task_id, user_id, error } => json!({"task_id": task_id, "user_id": user_id, "error": error}),
            Self::UserAccessChanged(_) | Self::ApiKeyRevoked { .. } => json!({}),
        };
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}

impl DownloadStage {
    fn payload(&self) -> Value {
        match self {
            Self::Started(path) => json!({ "download_path": path }),
            Self::Progress {
                download_path,
                current_bytes,
                total_bytes,
            } => {
                json!({"download_path": download_path, "current_bytes": current_bytes, "total_bytes": total_bytes})
            }
            Self::Complete {
                download_path,
                total_bytes,
            } => json!({"download_path": download_path, "total_bytes": total_bytes}),
            Self::Cancelled => json!({}),
            Self::Failed { error_type, error } => json!({"error_type": error_type, "error": error}),
        }
    }
}

impl InstallStage {
    fn payload(&self) -> Value {
        match self {
            Self::DownloadProgress {
                local_path,
                bytes,
                total_bytes,
                parts,
            } => {
                json!({"local_path": local_path, "bytes": bytes, "total_bytes": total_bytes, "parts": parts})
            }
            Self::DownloadsComplete | Self::Started | Self::Cancelled => json!({}),
            Self::Complete { key, total_bytes, config } => json!({"key": key, "total_bytes": total_bytes, "config": config}),
            Self::Failed { error_type, error } => json!({"error_type": error_type, "error": error}),
        }
    }
}

fn with(base: &impl Serialize, more: Value) -> Value {
    extended(json!(base), more)
}

fn extended(mut all: Value, more: Value) -> Value {
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
/// A result with the place for remarks that every result has, empty where nothing was remarked.
fn with_meta(result: &Value) -> Value {
    let mut result = result.clone();
    if let Some(result) = result.as_object_mut() {
        result.entry("output_meta").or_insert(Value::Null);
    }
    result
}
