//! Items of the generation queue.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BatchId, ItemId, QueueId, SessionId, UserId, image::wire_enum};

wire_enum! {
    /// Where an item stands.
    ItemStatus {
        /// Waits for its turn.
        Pending = "pending",
        /// Runs.
        InProgress = "in_progress",
        /// Suspended until a child item ends.
        Waiting = "waiting",
        /// Ended well.
        Completed = "completed",
        /// Ended with an error.
        Failed = "failed",
        /// Ended by a person or a restart.
        Canceled = "canceled",
    }
}

impl ItemStatus {
    /// Whether no further change can happen.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }
}

/// One substituted value of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldValue {
    /// Node in the batch's graph.
    pub node_path: String,
    /// Field of that node.
    pub field_name: String,
    /// The value.
    pub value: Value,
}

/// What the denoising of several items must have in common for them to run as one batch. Items of equal likeness may share one; whether they can is
/// seen when they run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Likeness(String);

impl Likeness {
    /// A likeness in words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Likeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One queue item without its session and workflow.
#[derive(Debug, Clone)]
pub struct QueueItem {
    /// Number, ascending by enqueueing.
    pub item_id: ItemId,
    /// Where it stands.
    pub status: ItemStatus,
    /// Counts its changes of status.
    pub status_sequence: i64,
    /// Larger runs earlier.
    pub priority: i64,
    /// The batch that it came with.
    pub batch_id: BatchId,
    /// Which part of the client asked for it.
    pub origin: Option<String>,
    /// Where the client wants its results.
    pub destination: Option<String>,
    /// Its execution session.
    pub session_id: SessionId,
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
    /// Its queue.
    pub queue_id: QueueId,
    /// Its owner.
    pub user_id: UserId,
    /// Whether it was asked for with an API key, and runs with a key's rights.
    pub by_key: bool,
    /// The owner's display name.
    pub user_display_name: Option<String>,
    /// The owner's e-mail.
    pub user_email: Option<String>,
    /// The batch values substituted into its graph.
    pub field_values: Option<Vec<FieldValue>>,
    /// The item it was retried from.
    pub retried_from_item_id: Option<ItemId>,
    /// The device that ran it.
    pub device: Option<String>,
    /// The workflow call that it answers.
    pub workflow_call_id: Option<String>,
    /// The item whose workflow call it answers.
    pub parent_item_id: Option<ItemId>,
    /// That item's session.
    pub parent_session_id: Option<String>,
    /// The first item of the chain of calls.
    pub root_item_id: Option<ItemId>,
    /// Depth in that chain.
    pub workflow_call_depth: Option<i64>,
}

/// The call of a workflow that an item answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOf {
    /// The call.
    pub workflow_call_id: String,
    /// The item that called.
    pub parent_item_id: ItemId,
    /// That item's session.
    pub parent_session_id: String,
    /// The first item of the chain of calls.
    pub root_item_id: ItemId,
    /// Depth in that chain; 1 for what the first item called.
    pub depth: i64,
}

/// What one user would be served next.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Their best waiting batch, known by the number of its first item: the order of batches is that of their items.
    pub batch_row: ItemId,
    /// Its priority.
    pub priority: i64,
    /// When anything of theirs last began, as the database writes times; none if nothing did.
    pub last_started: Option<String>,
    /// How much they were served, in steps of a 512 by 512 picture of Stable Diffusion 1.
    pub served: f64,
}

/// Counts of items by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StatusCounts {
    /// Waiting for their turn.
    pub pending: i64,
    /// Running.
    pub in_progress: i64,
    /// Suspended.
    pub waiting: i64,
    /// Ended well.
    pub completed: i64,
    /// Ended with an error.
    pub failed: i64,
    /// Ended by a person.
    pub canceled: i64,
    /// All of them.
    pub total: i64,
}

impl StatusCounts {
    /// Adds `n` items of one status.
    pub fn add(&mut self, status: ItemStatus, n: i64) {
        let field = match status {
            ItemStatus::Pending => &mut self.pending,
            ItemStatus::InProgress => &mut self.in_progress,
            ItemStatus::Waiting => &mut self.waiting,
            ItemStatus::Completed => &mut self.completed,
            ItemStatus::Failed => &mut self.failed,
            ItemStatus::Canceled => &mut self.canceled,
        };
        *field += n;
        self.total += n;
    }
}

/// What ended an item that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Class of the error, as the wire names it.
    pub error_type: String,
    /// Its text.
    pub error_message: String,
    /// Its trace.
    pub error_traceback: String,
}

impl Failure {
    /// Something broke that nobody foresaw.
    pub fn of_panic(text: String) -> Self {
        Self::bare("RuntimeError", text)
    }

    /// An error without a trace beyond its text.
    pub fn bare(error_type: &str, text: String) -> Self {
        Self {
            error_type: error_type.into(),
            error_message: text.clone(),
            error_traceback: text,
        }
    }
}

/// How an item ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Well.
    Completed,
    /// With an error.
    Failed(Failure),
    /// Somebody, or a restart, ended it.
    Canceled,
}

impl Ending {
    /// The status that it leads to.
    pub const fn status(&self) -> ItemStatus {
        match self {
            Self::Completed => ItemStatus::Completed,
            Self::Failed(_) => ItemStatus::Failed,
            Self::Canceled => ItemStatus::Canceled,
        }
    }

    /// The error, if it was one.
    pub const fn error(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            _ => None,
        }
    }
}
