//! The library for other languages, through uniffi: what is exported here is what Kotlin, Swift and Python get bindings for. What differs by
//! what is in it (queue items and their counts, batches, workflows, models, pictures' metadata, events) is a JSON text, as the HTTP interface has it.

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
