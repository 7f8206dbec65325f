//! Running what waits in the queue: a worker thread for each device, woken by notification.
//!
//! Nothing here knows SQL or accounts: what to run, and what becomes of it, is asked of a [`Ledger`].

pub mod cost;
mod known;
pub mod likeness;
mod processor;
pub mod schedule;

pub use processor::{Asking, Claim, Ledger, Processor, Work};
