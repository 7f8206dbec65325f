//! Graphs of nodes: how nodes are described, which graphs are accepted, and in what order their nodes run.
//!
//! Pure: JSON in, JSON out. Nothing here runs a node or knows who asked for it.

pub mod batch;
pub mod document;
pub mod meta;
pub mod model;
mod registry;
pub mod schema;
pub mod session;
pub mod types;
pub mod validate;
pub mod workflow;

pub use model::{Edge, Graph, Node, Port};
pub use registry::Registry;
pub use session::Session;
