//! SQL, one module an aggregate, and nothing but SQL: no policy, no events, no files.
//!
//! What finds one row returns it sealed; what lists or counts takes a scope, unless everybody may know that the rows exist: then each row of a list is
//! sealed, and counts are numbers without names; what writes a found row takes the permit for it.

pub mod api_keys;
pub mod audit;
pub mod boards;
pub mod client_state;
pub mod gallery;
pub mod image_moves;
pub mod images;
pub mod models;
pub mod ownership;
pub mod queue;
pub mod settings;
pub mod style_presets;
pub mod system_prompts;
pub mod users;
pub mod workflows;
