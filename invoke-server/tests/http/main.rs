//! The server, asked over HTTP without a network.

mod access;
mod errors;
mod testkit;
