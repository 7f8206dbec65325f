//! The library for other languages, through uniffi: what is exported here is what Kotlin, Swift and Python get bindings for. Records that differ by
//! what is in them (queue items, workflows, models, events) are JSON texts, as the HTTP interface has them.

mod boards;
mod core;
mod error;
mod events;
mod pictures;
mod queue;
mod records;
mod session;

pub use boards::Boards;
pub use core::{Core, open_root};
pub use error::InvokeError;
pub use events::Events;
pub use pictures::Pictures;
pub use queue::Queue;
pub use records::{Account, Board, Listing, Picture, PicturePage, Request, Status};
pub use session::{Drawn, Progress, Session};

uniffi::setup_scaffolding!("invoke");
