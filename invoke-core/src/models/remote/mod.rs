//! Models from elsewhere: files fetched over HTTP, and the hub that keeps repositories of them.
//!
//! Nothing here knows jobs or records: a [`Part`] is one file, [`fetch`] brings it, [`Hub`] tells which files a repository has, [`select`] picks
//! those that make a model.

mod address;
mod client;
mod fetch;
mod hub;
mod part;
mod select;

pub use client::{Client, HttpError, Line, Policy, Reply};
pub use fetch::{FetchError, Stop, Wish, fetch};
pub use hub::{Hub, HubError, RepoFile, Repository};
pub use part::{Part, PartStatus, Token};
pub use select::{Variant, select};
