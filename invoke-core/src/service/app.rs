//! The server itself: version, configuration, devices.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Shared;
use crate::{
    authz::{Actor, Deed, acts, administer, authorize_global},
    config::ConfigError,
    domain::{Error, Result},
    engine::{Device, Engine, LocalEngine},
    models::CacheStats,
    nodes::cache::NodeCache,
};

pub use crate::domain::CONTRACT_VERSION;

/// Use of the server's own state.
#[derive(Clone)]
pub struct App {
    pub(crate) shared: Arc<Shared>,
    pub(crate) devices: Arc<[Device]>,
    pub(crate) engines: Arc<[Arc<LocalEngine>]>,
    pub(crate) results: Arc<NodeCache>,
}

impl App {
    pub(crate) fn new(shared: Arc<Shared>, engines: Arc<[Arc<LocalEngine>]>, results: Arc<NodeCache>) -> Self {
        Self {
            shared,
            devices: engines.iter().map(|engine| engine.device().clone()).collect(),
            engines,
            results,
        }
    }

    /// The contract's version.
    pub fn version(&self) -> Value {
        json!({ "version": CONTRACT_VERSION })
    }

    /// The devices that run sessions.
    pub fn generation_device_options(&self, actor: &Actor) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        Ok(self
            .devices
            .iter()
            .map(|device| json!({"device": device.id, "name": device.name}))
            .collect())
    }

    /// What the cache of nodes' results holds and how often it helped.
    pub fn invocation_cache_status(&self, actor: &Actor) -> Result<Value> {
        authorize_global::<acts::ReadServer>(actor)?;
        Ok(json!(self.results.status()))
    }

    /// Empties the cache of nodes' results.
    pub fn clear_invocation_cache(&self, actor: &Actor) -> Result<()> {
        let deed = administer::<acts::ManageServer>(actor, "app.clear_invocation_cache")?;
        if self.results.clear() {
            self.shared.db.record(deed)?;
        }
        Ok(())
    }

    /// Takes the cache of nodes' results into use or out of use.
    pub fn enable_invocation_cache(&self, actor: &Actor, enabled: bool) -> Result<()> {
        let name = if enabled {
            "app.enable_invocation_cache"
        } else {
            "app.disable_invocation_cache"
        };
        let deed = administer::<acts::ManageServer>(actor, name)?;
        if self.results.set_enabled(enabled) {
            self.shared.db.record(deed)?;
        }
        Ok(())
    }

    /// What the models in memory take, over all devices; null before any was loaded.
    pub fn model_cache_stats(&self, actor: &Actor) -> Result<Value> {
        authorize_global::<acts::ReadServer>(actor)?;
        let all: Vec<_> = self.engines.iter().map(|engine| engine.workbench().cache.stats()).collect();
        let sum = |of: fn(&CacheStats) -> u64| all.iter().map(of).sum::<u64>();
        if sum(|s| s.misses) == 0 {
            return Ok(Value::Null);
        }
        let sizes: Map<String, Value> = all
            .iter()
            .flat_map(|s| s.sizes.iter().map(|(name, bytes)| (name.clone(), json!(bytes))))
            .collect();
        Ok(json!({
            "hits": sum(|s| s.hits), "misses": sum(|s| s.misses), "high_watermark": sum(|s| s.high_watermark), "in_cache": sum(|s| s.in_cache),
            "cleared": sum(|s| s.cleared), "cache_size": sum(|s| s.bytes), "loaded_model_sizes": sizes,
        }))
    }

    /// Drops every model from memory that nothing uses at this moment.
    pub fn empty_model_cache(&self, actor: &Actor) -> Result<()> {
        let deed = administer::<acts::ManageModels>(actor, "app.empty_model_cache")?;
        let mut held = false;
        for engine in &*self.engines {
            held |= engine.workbench().cache.clear();
        }
        if held {
            self.shared.db.record(deed)?;
        }
        Ok(())
    }

    /// The configuration in force, secrets blanked.
    pub fn runtime_config(&self, actor: &Actor) -> Result<Value> {
        authorize_global::<acts::ReadServer>(actor)?;
        Ok(json!({"set_fields": self.shared.config.set_fields(), "config": self.shared.config.redacted()}))
    }

    /// Whether patch-based infilling is there.
    pub fn patchmatch_status(&self, actor: &Actor) -> Result<bool> {
        authorize_global::<acts::UseServer>(actor)?;
        Ok(false)
    }

    /// Changes keys of the configuration that may change while the server runs, now and for later starts.
    pub fn change_runtime_config(&self, actor: &Actor, changes: &Map<String, Value>) -> Result<Value> {
        let deed = administer::<acts::ManageServer>(actor, "app.change_runtime_config")?;
        if let Some(absent) = changes
            .get("generation_devices")
            .and_then(Value::as_array)
            .and_then(|wanted| self.absent_device(wanted))
        {
            return Err(Error::Unprocessable(absent));
        }
        let changed = self.shared.config.change(changes).map_err(refused)?;
        if !changed.is_empty() {
            // Values may be secrets; keys are known ones.
            self.shared.db.record(deed.to_all(changed))?;
        }
        self.runtime_config(actor)
    }

    /// Why a wanted device cannot be had.
    fn absent_device(&self, wanted: &[Value]) -> Option<String> {
        let has = |id: &str| {
            self.devices
                .iter()
                .any(|device| device.id == id || device.id.split(':').next() == Some(id))
        };
        let absent = wanted.iter().filter_map(Value::as_str).find(|id| !has(id))?;
        let kind = absent.split(':').next().unwrap_or_default();
        let none = !self.devices.iter().any(|device| device.id.split(':').next() == Some(kind));
        let why = match kind {
            "cuda" if none => "no CUDA device is available".to_owned(),
            "xpu" if none => "no XPU device is available".to_owned(),
            "mps" if none => "MPS is not available".to_owned(),
            _ => format!(
                "it is none of {}",
                self.devices.iter().map(|device| device.id.as_str()).collect::<Vec<_>>().join(", ")
            ),
        };
        Some(format!("generation_devices requested '{absent}', but {why}."))
    }

    /// Versions of the parts that matter for support. That of CUDA is known to no build.
    pub fn dependencies(&self, actor: &Actor) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        Ok(json!({"CUDA": "N/A", "invoke": env!("CARGO_PKG_VERSION"), "SQLite": rusqlite::version()}))
    }

    /// Whether the services of others that pictures could come from are set up.
    pub fn provider_statuses(&self, actor: &Actor) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        let of = |id: &&str| json!({"provider_id": id, "configured": self.provider_has_key(id), "message": null});
        Ok(PROVIDERS.iter().map(of).collect())
    }

    /// How they are set up, without their keys.
    pub fn provider_configs(&self, actor: &Actor) -> Result<Value> {
        authorize_global::<acts::ReadServer>(actor)?;
        Ok(PROVIDERS.iter().map(|id| self.provider_config(id)).collect())
    }

    /// Sets one up: `api_key` and `base_url`, an empty text clears; what is absent or null stays.
    pub fn set_provider(&self, actor: &Actor, id: &str, changes: &Map<String, Value>) -> Result<Value> {
        let deed = administer::<acts::ManageServer>(actor, "app.set_provider")?.to(id);
        known_provider(id)?;
        let given: Vec<(&str, &str)> = changes
            .iter()
            .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?.trim())))
            .collect();
        if given.is_empty() {
            return Err(Error::BadRequest("No external provider config fields provided".into()));
        }
        self.change_provider(deed, id, &given)
    }

    fn change_provider(&self, deed: Deed<acts::ManageServer>, id: &str, texts: &[(&str, &str)]) -> Result<Value> {
        let keys = texts.iter().map(|(key, text)| {
            let value = if text.is_empty() { Value::Null } else { json!(text) };
            (format!("external_{id}_{key}"), value)
        });
        let changed = self.shared.config.change_providers(&keys.collect()).map_err(refused)?;
        if !changed.is_empty() {
            self.shared.db.record(deed)?;
        }
        Ok(self.provider_config(id))
    }

    /// Forgets how one is set up.
    pub fn reset_provider(&self, actor: &Actor, id: &str) -> Result<Value> {
        let deed = administer::<acts::ManageServer>(actor, "app.reset_provider")?.to(id);
        known_provider(id)?;
        self.change_provider(deed, id, &[("api_key", ""), ("base_url", "")])
    }

    fn provider_has_key(&self, id: &str) -> bool {
        !self.shared.config.redacted()[format!("external_{id}_api_key")].is_null()
    }

    fn provider_config(&self, id: &str) -> Value {
        let config = self.shared.config.redacted();
        json!({
            "provider_id": id,
            "api_key_configured": !config[format!("external_{id}_api_key")].is_null(),
            "base_url": config[format!("external_{id}_base_url")],
        })
    }

    /// Leave to see what only this process knows, such as its log level.
    pub fn authorize_looking(&self, actor: &Actor) -> Result<()> {
        authorize_global::<acts::ReadServer>(actor).map(drop)
    }

    /// Changes what only this process knows, which is written down under a name such as `app.set_log_level`. `change` says whether it made a difference;
    /// `to`, what is set, must hold no secret.
    pub fn manage(&self, actor: &Actor, name: &'static str, to: impl ToString, change: impl FnOnce() -> bool) -> Result<()> {
        let deed = administer::<acts::ManageServer>(actor, name)?.to(to);
        if change() {
            self.shared.db.record(deed)?;
        }
        Ok(())
    }
}

/// Services of others that pictures could come from.
const PROVIDERS: &[&str] = &["alibabacloud", "gemini", "openai", "seedream"];

fn known_provider(id: &str) -> Result<()> {
    if PROVIDERS.contains(&id) {
        Ok(())
    } else {
        Err(Error::NotFound(format!("Unknown external provider '{id}'")))
    }
}

fn refused(error: ConfigError) -> Error {
    match error {
        ConfigError::Value { .. } | ConfigError::Fixed(_) => Error::Unprocessable(error.to_string()),
        other => Error::internal("changing the configuration", other),
    }
}
