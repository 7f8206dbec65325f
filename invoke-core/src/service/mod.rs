//! The use cases. Every function takes `&Actor` first; this is the only layer that asks the policy.

pub mod app;
pub mod auth;
pub mod boards;
pub mod client_state;
mod covers;
pub mod custom_nodes;
pub mod downloads;
pub mod gallery;
pub mod image_moves;
pub mod images;
pub mod models;
mod name_lists;
pub mod queue;
pub mod recall;
mod recorded;
pub mod style_presets;
pub mod system_prompts;
#[cfg(test)]
mod tests;
pub mod text_to_image;
pub mod utilities;
pub mod videos;
pub mod workflows;

use std::sync::Arc;

pub use recorded::{Door, RecordedDb};

use crate::{
    authn::Authenticator,
    config::{Config, Layout},
    db::Db,
    env::Env,
    events::Bus,
    files::ImageStore,
};

/// What the services share.
pub struct Shared {
    /// The database.
    pub db: RecordedDb,
    /// Time and chance.
    pub env: Env,
    /// Where events go.
    pub bus: Bus,
    /// The configuration.
    pub config: Arc<Config>,
    /// Where things lie.
    pub layout: Arc<Layout>,
    /// Pictures' files.
    pub images: Arc<dyn ImageStore>,
    /// Maker of actors and tokens.
    pub authenticator: Arc<Authenticator>,
    /// Whether pictures' files are being moved.
    pub maintenance: image_moves::Maintenance,
    /// Lists of pictures' names from before.
    pub(crate) names: name_lists::NameLists,
}

impl Shared {
    /// What the services of one root share: these, nobody listening yet, and no maintenance under way. What is written down says through which door.
    pub fn new(
        config: Arc<Config>,
        env: Env,
        db: Arc<Db>,
        authenticator: Arc<Authenticator>,
        images: Arc<dyn ImageStore>,
        door: Door,
    ) -> Self {
        Self {
            db: RecordedDb::new(db, env.clone(), door),
            env,
            bus: Bus::default(),
            layout: Arc::new(config.layout()),
            config,
            images,
            authenticator,
            maintenance: image_moves::Maintenance::default(),
            names: name_lists::NameLists::default(),
        }
    }
}
