//! What happened, who may know, and how it is told.
//!
//! Events are published after the change is committed. [`audience::view`] decides once, for every kind of listener, whether a viewer sees
//! an event, whole, redacted or not at all.

mod audience;
mod bus;
mod event;

pub use audience::{Viewer, view};
pub use bus::{Bus, Published, Subscription};
pub use event::{
    AccessChange, Event, InvocationBase, ItemStatusChange, ItemsByOwner, ModelLoad, Preview, UserAccessChanged,
};
