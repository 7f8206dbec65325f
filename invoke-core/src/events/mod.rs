//! What happened, who may know, and how it is told.
//!
//! Events are published after the change is committed. [`audience::view`] decides once, for every kind of listener, whether a viewer sees
//! an event, whole, redacted or not at all.

mod audience;
mod bus;
mod event;

pub use audience::{Telling, Viewer, telling, told, view};
pub use bus::{Bus, Published, Subscription};
pub use event::{
    AccessChange, BulkDownload, DownloadStage, Event, InstallStage, InvocationBase, ItemStatusChange, ItemsByOwner, ModelLoad, Preview,
    TaskProgress, UserAccessChanged, WorkflowChange,
};
