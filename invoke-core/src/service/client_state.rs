//! What a client keeps of itself on the server. Everybody has their own, and sees no one else's.

use std::sync::Arc;

use super::Shared;
use crate::{
    authz::{Actor, acts, authorize_global},
    domain::{
        Result,
        limits::{NAME, at_most},
    },
    repo::client_state as repo,
};

/// Use of one's own client state.
#[derive(Clone)]
pub struct ClientState {
    pub(crate) shared: Arc<Shared>,
}

impl ClientState {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The text under a key.
    pub fn get(&self, actor: &Actor, key: &str) -> Result<Option<String>> {
        let leave = authorize_global::<acts::UseServer>(actor)?;
        Ok(self.shared.db.read(|tx| repo::get(tx, &leave, actor, key))?)
    }

    /// Sets the text under a key.
    pub fn set(&self, actor: &Actor, key: &str, value: &str) -> Result<()> {
        let leave = authorize_global::<acts::UseServer>(actor)?;
        at_most("key", key, NAME)?;
        Ok(self
            .shared
            .db
            .write(|tx| repo::set(tx, &leave, actor, key, value, self.shared.env.now()))?)
    }

    /// Keys that begin so, the last changed first.
    pub fn keys(&self, actor: &Actor, prefix: &str) -> Result<Vec<String>> {
        let leave = authorize_global::<acts::UseServer>(actor)?;
        Ok(self.shared.db.read(|tx| repo::keys(tx, &leave, actor, prefix))?)
    }

    /// Deletes the text under a key; without one, all of them.
    pub fn delete(&self, actor: &Actor, key: Option<&str>) -> Result<()> {
        let leave = authorize_global::<acts::UseServer>(actor)?;
        Ok(self.shared.db.write(|tx| repo::delete(tx, &leave, actor, key))?)
    }
}
