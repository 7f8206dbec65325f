//! What the modules for other languages share: an opened root, who uses it, errors that name the field, lists described by plain texts, and events
//! that one waits for. No use case lives here: a session hands [`invoke_core::Core`] and an actor to what is to be done.

mod events;
mod fault;
mod given;
mod session;

pub use events::Events;
pub use fault::{Fault, Kind, Result};
pub use given::{
    BoardListing, PictureFile, PictureListing, PictureRequest, WorkflowListing, account, account_change, content, email, object, parsed,
};
pub use session::{Made, Root, Session};

/// The queue that everybody uses unless another is named.
pub const DEFAULT_QUEUE: &str = "default";
