//! The server itself: version, configuration, devices.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Shared;
use crate::{
    authz::{Actor, acts, authorize_global},
    domain::Result,
    engine::Device,
};

/// The version of InvokeAI whose contract is spoken; its web client compares it.
pub const CONTRACT_VERSION: &str = "6.14.2";

/// Use of the server's own state.
#[derive(Clone)]
pub struct App {
    pub(crate) shared: Arc<Shared>,
    pub(crate) devices: Arc<[Device]>,
}

impl App {
    /// The contract's version.
    pub fn version(&self) -> Value {
        json!({ "version": CONTRACT_VERSION })
    }

    /// The devices that run sessions.
    pub fn generation_device_options(&self, actor: &Actor) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        Ok(self.devices.iter().map(|device| json!({"device": device.id, "name": device.name})).collect())
    }

    /// The configuration in force, secrets blanked.
    pub fn runtime_config(&self, actor: &Actor) -> Result<Value> {
        authorize_global::<acts::ManageServer>(actor)?;
        Ok(json!({"set_fields": self.shared.config.set_fields(), "config": self.shared.config.redacted()}))
    }

    /// Whether patch-based infilling is there.
    pub fn patchmatch_status(&self, actor: &Actor) -> Result<bool> {
        authorize_global::<acts::UseServer>(actor)?;
        Ok(false)
    }
}
