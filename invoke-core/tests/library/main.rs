//! The library as a program uses it: opened on a root directory, with actors that the authenticator makes of tokens. Each test proves a row of
//! `docs/guide-checklist.md`.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod accounts;
mod boards;
mod house;
mod models;
mod queue;
mod record;
mod together;
mod workflows;
