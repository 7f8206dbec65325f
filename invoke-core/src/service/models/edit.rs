//! Changing and deleting models.

use serde_json::{Map, Value, json};

use super::Models;
use crate::{
    authz::{Actor, Permit, acts, authorize_global},
    domain::{Error, Result},
    models::{ModelRecord, identify},
    repo::models as repo,
};

fn absent() -> Error {
    Error::NotFound("model not found".into())
}

/// Why a key cannot name a model, if it cannot.
pub(super) fn key_fault(key: &str) -> Option<String> {
    let plain = !key.is_empty() && key.len() <= 255 && key != "." && key != ".." && !key.contains(['/', '\\', '\0']);
    (!plain).then(|| format!("Invalid model key '{key}': it must be a plain filename"))
}

impl Models {
    fn found(&self, leave: &Permit<acts::ManageModels, ()>, key: &str) -> Result<ModelRecord> {
        let text = self.shared.db.read(|tx| repo::find(tx, leave, key))?;
        text.as_deref().and_then(ModelRecord::parse).ok_or_else(absent)
    }

    /// Changes what a record says. Keys that its class does not have are ignored.
    pub fn update(&self, actor: &Actor, key: &str, changes: &Map<String, Value>) -> Result<Value> {
        let leave = authorize_global::<acts::ManageModels>(actor)?;
        let record = self.shared.db.write(|tx| -> Result<_> {
            let mut record = repo::find(tx, &leave, key)?
                .as_deref()
                .and_then(ModelRecord::parse)
                .ok_or_else(absent)?;
            if changes.get("key").is_some_and(|new| !new.is_null() && new.as_str() != Some(key)) {
                return Err(Error::Unprocessable("A model's key cannot be changed".into()));
            }
            if let Some(Value::String(path)) = changes.get("path").filter(|path| path.as_str() != Some(record.path()))
                && repo::path_is_taken(tx, &leave, path)?
            {
                return Err(Error::Conflict(format!("A model with path '{path}' is already installed")));
            }
            record.apply(changes).map_err(Error::Invalid)?;
            repo::replace(tx, &leave, key, &json!(record).to_string(), self.shared.env.now())?;
            Ok(record)
        })?;
        self.installer.forget_loaded(key);
        Ok(self.dressed(&record))
    }

    /// Deletes a model: its record, its picture, and its files where they lie below the models' folder.
    pub fn delete(&self, actor: &Actor, key: &str) -> Result<()> {
        let leave = authorize_global::<acts::ManageModels>(actor)?;
        let record = self.found(&leave, key)?;
        if !self.shared.db.write(|tx| repo::delete(tx, &leave, key))? {
            return Err(absent());
        }
        self.installer.forget_loaded(key);
        if let Err(error) = self.remove_cover(key) {
            tracing::warn!("the picture of a deleted model could not be removed: {error}");
        }
        let place = self.path_of(&record);
        if self.shared.layout.is_below_models_dir(&place) {
            let removed = if place.is_dir() {
                std::fs::remove_dir_all(&place)
            } else {
                std::fs::remove_file(&place)
            };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!("files of a deleted model could not be removed: {error}");
                }
                _ => self.remove_empty_folder_of(key),
            }
        }
        Ok(())
    }

    fn remove_empty_folder_of(&self, key: &str) {
        // The folder stays if it holds anything else.
        if key_fault(key).is_none() {
            let _ = std::fs::remove_dir(self.shared.layout.models_dir().join(key));
        }
    }

    fn each(keys: &[String], work: impl Fn(&str) -> Result<()>, done: &str) -> Value {
        let (mut good, mut failed) = (Vec::new(), Vec::new());
        for key in keys {
            match work(key) {
                Ok(()) => good.push(key),
                Err(error) => failed.push(json!({"key": key, "error": error.to_string()})),
            }
        }
        json!({ done: good, "failed": failed })
    }

    /// Deletes several; one that fails does not keep the others.
    pub fn bulk_delete(&self, actor: &Actor, keys: &[String]) -> Result<Value> {
        authorize_global::<acts::ManageModels>(actor)?;
        Ok(Self::each(keys, |key| self.delete(actor, key), "deleted"))
    }

    /// Looks again what a model is. Its name and what people wrote stay.
    pub fn reidentify(&self, actor: &Actor, key: &str) -> Result<Value> {
        let leave = authorize_global::<acts::ManageModels>(actor)?;
        let record = self.found(&leave, key)?;
        let found = identify(&self.path_of(&record)).map_err(|error| Error::BadRequest(error.to_string()))?;
        let record = record.reidentified(&found);
        self.shared
            .db
            .write(|tx| repo::replace(tx, &leave, key, &json!(record).to_string(), self.shared.env.now()))?;
        self.installer.forget_loaded(key);
        Ok(self.dressed(&record))
    }

    /// Looks again what several are.
    pub fn bulk_reidentify(&self, actor: &Actor, keys: &[String]) -> Result<Value> {
        authorize_global::<acts::ManageModels>(actor)?;
        Ok(Self::each(keys, |key| self.reidentify(actor, key).map(|_| ()), "succeeded"))
    }

    /// Converts a single-file main model to a folder.
    pub fn convert(&self, actor: &Actor, key: &str) -> Result<Value> {
        let leave = authorize_global::<acts::ManageModels>(actor)?;
        let record = self.found(&leave, key)?;
        let convertible =
            record.model_type() == "main" && record.format() == "checkpoint" && matches!(record.base(), "sd-1" | "sd-2" | "sdxl");
        if !convertible {
            return Err(Error::BadRequest(format!(
                "The model with key {key} is not a main SD 1/2/XL checkpoint model."
            )));
        }
        Err(Error::Conflict(
            "Single-file models are used as they are; there is nothing that a conversion would gain".into(),
        ))
    }
}
