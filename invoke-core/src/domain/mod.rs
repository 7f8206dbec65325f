//! Plain data that every layer speaks of: identifiers, records, validation issues. No I/O.

pub mod api_key;
pub mod audit;
pub mod board;
pub mod download;
pub mod error;
pub mod ids;
pub mod image;
pub mod library;
pub mod limits;
pub mod model_kind;
pub mod page;
pub mod queue_item;
pub mod shape;
pub mod user;
pub mod validation;

pub(crate) use error::panic_text;
pub use error::{Error, Result};
pub use ids::{BatchId, BoardId, ImageName, ItemId, ModelKey, QueueId, SessionId, UserId};

/// The version of InvokeAI whose contract is kept; clients and metadata name it.
pub const CONTRACT_VERSION: &str = "6.14.2";
