//! What goes into an engine and what comes out.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::Value;

use crate::{
    domain::{
        ItemId, SessionId, UserId,
        queue_item::{Ending, Failure, Likeness},
    },
    events::Preview,
};

/// Set once, by anyone, at any time; looked at between steps.
#[derive(Debug, Clone, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// Asks the job to end.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was asked to.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// One prepared session.
#[derive(Debug, Clone)]
pub struct Job {
    /// The queue item.
    pub item_id: ItemId,
    /// The session.
    pub session_id: SessionId,
    /// Its owner; nothing cached for one owner serves another.
    pub user_id: UserId,
    /// The session's state as JSON.
    pub session: Value,
    /// What it must have in common with others to run with them; `None` if it runs alone.
    pub likeness: Option<Likeness>,
    /// Asks the job to end.
    pub cancel: CancelFlag,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The session ended.
    Ended(Ending),
    /// An execution calls a saved workflow; the session goes on with what that returns.
    Calls {
        /// The execution.
        exec_id: String,
    },
}

/// A session that no longer runs.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Why.
    pub outcome: Outcome,
    /// Its last state as JSON; what it was given if it could not be read.
    pub session: Value,
}

impl Finished {
    /// A session that failed.
    pub fn failed(session: Value, failure: Failure) -> Self {
        Self {
            outcome: Outcome::Ended(Ending::Failed(failure)),
            session,
        }
    }
}

/// The running node of an event.
#[derive(Debug, Clone)]
pub struct NodeRef {
    /// The prepared node as JSON, inputs filled in.
    pub invocation: Value,
    /// Its id in the submitted graph.
    pub source_id: String,
}

/// Something happened to a node.
#[derive(Debug, Clone)]
pub enum NodeEvent {
    /// It begins.
    Started(NodeRef),
    /// It got on.
    Progress {
        /// The node.
        node: NodeRef,
        /// What it is doing.
        message: String,
        /// 0 to 1.
        percentage: Option<f64>,
        /// A preview.
        image: Option<Preview>,
    },
    /// It ended well.
    Complete {
        /// The node.
        node: NodeRef,
        /// Its output.
        result: Value,
    },
    /// The session was canceled while it still works for others; its node says no more.
    Left,
    /// It failed; the session ends with it.
    Error {
        /// The node.
        node: NodeRef,
        /// What went wrong.
        failure: Failure,
    },
}

/// A picture to be stored.
#[derive(Debug, Clone)]
pub struct ImageToSave {
    /// Its pixels.
    pub pixels: Arc<image::DynamicImage>,
    /// What it is for.
    pub category: crate::domain::image::ImageCategory,
    /// A step on the way.
    pub is_intermediate: bool,
    /// The board to put it on.
    pub board_id: Option<String>,
    /// Its metadata, a JSON object.
    pub metadata: Option<Value>,
    /// The execution node that made it.
    pub node_id: String,
    /// The graph it came from, as JSON.
    pub graph: Option<String>,
}

/// Why the host refused.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct HostError {
    /// Class of the error, as the wire names it (`PermissionError`, `ImageFileNotFoundException` …).
    pub error_type: String,
    /// Its text.
    pub message: String,
}
