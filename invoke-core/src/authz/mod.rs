//! Who may do what. No I/O, no time, and nothing remembered but the [`Powers`] that a write uses.
//!
//! A row leaves a repository [`Sealed`]. [`authorize`] opens it into a [`Permit`] or says no, and repository writes demand the permit.
//! Lists demand a [`Scope`], which becomes SQL; lists of what everybody may know to exist are of sealed rows, which [`outlined`] opens as far as each
//! reader may look. So an unchecked read, write or list of a service does not compile. What is done as an administrator alone is noted
//! with the write that does it: a row found there knows the write, a [`Deed`] gives leave only there.

mod action;
mod actor;
mod permit;
mod policy;
mod power;
mod scope;

pub use action::{Act, Action, Administers, FillsBoard, Global, SeesModels, acts};
pub use actor::{Actor, Standing};
pub use permit::{BoardRights, Outlined, Ownership, Permit, Resource, Sealed, Seen, Visibility, authorize, authorize_global, outlined};
pub use policy::{Decision, Facts, decide};
pub use power::{Deed, Power, Powers, administer};
pub use scope::{Reach, Scope};
