//! Changing and deleting models.

use serde_json::{Map, Value, json};

use super::{Models, install::leave, read::absent};
use crate::{
    authz::{Actor, Deed, acts, administer, authorize_global},
    domain::{
        Error, Result,
        validation::{Issue, Step},
    },
    models::{Identified, ModelRecord, ProbeError, hash_path, identify, size_of},
    repo::models as repo,
};

/// Changes whose page on the web, if they name one, is one; an empty text stands for none.
pub(super) fn with_page(changes: &Map<String, Value>) -> Result<Map<String, Value>> {
    const PAGE: &str = "source_url";
    let mut changes = changes.clone();
    if let Some(Value::String(page)) = changes.get(PAGE) {
        if page.is_empty() {
            changes.insert(PAGE.into(), Value::Null);
        } else if !page.starts_with("https://") && !page.starts_with("http://") {
            let text = "Value error, source_url must be an http or https URL";
            return Err(Error::Invalid(vec![Issue::new(
                "value_error",
                vec!["body".into(), PAGE.into()],
                text,
                json!(page),
            )]));
        }
    }
    Ok(changes)
}

/// What is wrong with a change, in one text: the words are right and do not go together.
fn not_taken(issues: Vec<Issue>) -> Error {
    if issues
        .iter()
        .any(|issue| issue.kind == "enum" && issue.loc.len() == 2 && issue.loc[1] != "format".into() && !issue.input.is_null())
    {
        return Error::Invalid(issues);
    }
    let texts: Vec<String> = issues
        .iter()
        .map(|issue| {
            let field: Vec<String> = issue.loc.iter().skip(1).map(step_text).collect();
            if field.is_empty() {
                issue.msg.clone()
            } else {
                format!("{}: {}", field.join("."), issue.msg)
            }
        })
        .collect();
    Error::Conflict(texts.join("; "))
}

fn step_text(step: &Step) -> String {
    match step {
        Step::Key(key) => key.clone(),
        Step::Index(index) => index.to_string(),
    }
}

/// Why a key cannot name a model, if it cannot.
pub(super) fn key_fault(key: &str) -> Option<String> {
    let plain = !key.is_empty() && key.len() <= 255 && key != "." && key != ".." && !key.contains(['/', '\\', '\0']);
    (!plain).then(|| format!("Invalid model key '{key}': it must be a plain filename"))
}

impl Models {
    /// Changes what a record says. Keys that its class does not have are ignored.
    pub fn update(&self, actor: &Actor, key: &str, changes: &Map<String, Value>) -> Result<Value> {
        let deed = administer::<acts::ManageModels>(actor, "models.update")?.to(key);
        let changes = &with_page(changes)?;
        if changes.get("key").is_some_and(|new| new.as_str() != Some(key)) {
            return Err(Error::Unprocessable("A model's key cannot be changed".into()));
        }
        let _claim = self.claim(key)?;
        let record = self.shared.db.write(|tx| -> Result<_> {
            let leave = tx.carry_out(&deed);
            let record = repo::get(tx, &leave, key)?
                .as_deref()
                .and_then(ModelRecord::parse)
                .ok_or_else(absent)?;
            if let Some(Value::String(path)) = changes.get("path").filter(|path| path.as_str() != Some(record.path()))
                && repo::path_is_taken(tx, &leave, path)?
            {
                return Err(Error::Conflict(format!("A model with path '{path}' is already installed")));
            }
            let record = record.changed(changes).map_err(not_taken)?;
            repo::replace(tx, &leave, key, &json!(record).to_string(), self.shared.env.now())?;
            Ok(record)
        })?;
        self.installer.forget_loaded(key);
        Ok(self.dressed(&record))
    }

    /// Deletes a model: its record, its picture, and its files where they lie below the models' folder.
    pub fn delete(&self, actor: &Actor, key: &str) -> Result<()> {
        let deed = administer::<acts::ManageModels>(actor, "models.delete")?.to(key);
        let _claim = self.claim(key)?;
        let record = self.record(actor, key)?;
        self.delete_claimed(&record, Some(&deed))
    }

    /// Deletes a model whose key is claimed; without a deed, it has been written down already.
    pub(super) fn delete_claimed(&self, record: &ModelRecord, deed: Option<&Deed<acts::ManageModels>>) -> Result<()> {
        let key = record.key();
        let deleted = self.shared.db.write(|tx| {
            let leave = leave(tx, deed);
            repo::delete(tx, &leave, key)
        })?;
        if !deleted {
            return Err(absent());
        }
        self.installer.forget_loaded(key);
        if let Err(error) = self.remove_cover(key) {
            tracing::warn!("the picture of a deleted model could not be removed: {error}");
        }
        let place = self.path_of(record);
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
        authorize_global::<acts::ReadServer>(actor)?;
        Ok(Self::each(keys, |key| self.delete(actor, key), "deleted"))
    }

    /// Looks again what a model is. Its name and what people wrote stay.
    pub fn reidentify(&self, actor: &Actor, key: &str) -> Result<Value> {
        let deed = administer::<acts::ManageModels>(actor, "models.reidentify")?.to(key);
        let _claim = self.claim(key)?;
        let record = self.record(actor, key)?;
        let path = self.path_of(&record);
        let found = match identify(&path) {
            Err(ProbeError::Unknown(_)) => Identified::unknown(&path),
            other => other.map_err(|error| Error::BadRequest(error.to_string()))?,
        };
        let mut measured = Map::new();
        measured.insert(
            "hash".into(),
            json!(hash_path(&path).map_err(|error| Error::internal("hashing a model", error))?),
        );
        measured.insert("file_size".into(), json!(size_of(&path)?));
        let record = record.reidentified(&found).changed(&measured).map_err(not_taken)?;
        self.shared.db.write(|tx| {
            let leave = tx.carry_out(&deed);
            repo::replace(tx, &leave, key, &json!(record).to_string(), self.shared.env.now())
        })?;
        self.installer.forget_loaded(key);
        Ok(self.dressed(&record))
    }

    /// Looks again what several are.
    pub fn bulk_reidentify(&self, actor: &Actor, keys: &[String]) -> Result<Value> {
        authorize_global::<acts::ReadServer>(actor)?;
        Ok(Self::each(keys, |key| self.reidentify(actor, key).map(|_| ()), "succeeded"))
    }
}
