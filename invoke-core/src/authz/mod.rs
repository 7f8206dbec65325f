//! Who may do what. Pure: no I/O, no time.
//!
//! A row leaves a repository [`Sealed`]. [`authorize`] opens it into a [`Permit`] or says no, and repository writes demand the permit.
//! Lists demand a [`Scope`], which becomes SQL. So an unchecked read, write or list does not compile.

mod action;
mod actor;
mod permit;
mod policy;
mod scope;

pub use action::{Act, Action, FillsBoard, acts};
pub use actor::{Actor, Standing};
pub use permit::{BoardRights, Ownership, Permit, Resource, Sealed, Visibility, authorize, authorize_global};
pub use policy::{Decision, Facts, decide};
pub use scope::Scope;
