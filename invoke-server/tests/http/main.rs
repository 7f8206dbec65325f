//! The server, asked over HTTP without a network.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod access;
mod administration;
mod callers;
mod errors;
mod files;
mod hostile;
mod keys;
mod leaks;
mod models;
mod names;
mod side_by_side;
mod sockets;
mod starting;
mod testkit;
mod tls;
mod upkeep;
mod videos;
mod workflows;
