//! `invoke-core`: a shared image-generation server as a library.
pub mod authn;
pub mod authz;
pub mod config;
mod core;
pub mod db;
pub mod diffusion;
pub mod domain;
pub mod engine;
pub mod env;
pub mod events;
pub mod files;
pub mod graph;
pub mod imaging;
pub mod models;
pub mod nodes;
pub mod numeric_rng;
pub mod prompts;
pub mod queue;
pub mod repo;
pub mod service;
pub mod vision;

pub use core::{Core, OpenError};
