//! InvokeAI's HTTP and Socket.IO contract, spoken over `invoke_core`.
//!
//! Nothing is decided here: requests are parsed and checked, the core is asked, and its answer becomes HTTP. To see how a request is
//! answered, read [`server`]; to add a route, read [`api`].

pub mod api;
pub mod auth;
pub mod blocking;
pub mod call;
mod compress;
pub mod cors;
pub mod error;
mod file;
mod input;
pub mod logging;
pub mod multipart;
mod openapi;
mod own_page;
pub mod progress;
pub mod proxies;
pub mod realtime;
pub mod reply;
pub mod route;
pub mod server;
mod table;
mod tls;
mod ui;
mod web;

pub use server::{Options, Server};
pub use tls::Tls;
pub use web::{Peer, router, serve};
