//! Installing models.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{InstallJob, InstallSource, Models, edit::key_fault};
use crate::{
    authz::{Actor, acts, authorize_global},
    domain::{Error, Result},
    models::{ModelRecord, Origin, ProbeError, hash_path, identify, size_of},
    repo::models as repo,
};

/// Class and text of an error, as a job shows them.
type Fault = (String, String);

fn fault(kind: &str) -> impl Fn(&dyn std::fmt::Display) -> Fault + '_ {
    move |error| (kind.to_owned(), error.to_string())
}

impl Models {
    /// Asks for a model to be installed. `wishes` are what its record shall say.
    pub fn install(&self, actor: &Actor, source: &str, inplace: bool, wishes: Map<String, Value>) -> Result<Value> {
        authorize_global::<acts::ManageModels>(actor)?;
        if let Some(text) = wishes.get("key").and_then(Value::as_str).and_then(key_fault) {
            return Err(Error::Unprocessable(text));
        }
        let trimmed = source.trim().trim_matches(['"', '\'']);
        let path = Path::new(trimmed);
        if trimmed.is_empty() || !path.exists() {
            return Err(Error::Conflict(format!("Unsupported model source: '{source}'")));
        }
        let path = std::path::absolute(path)?;
        Ok(self.installer.add(InstallSource::Local { path, inplace }, wishes).to_json())
    }

    /// All install jobs, oldest first.
    pub fn install_jobs(&self, actor: &Actor) -> Result<Value> {
        authorize_global::<acts::ManageModels>(actor)?;
        Ok(self.installer.jobs().iter().map(InstallJob::to_json).collect())
    }

    /// One install job.
    pub fn install_job(&self, actor: &Actor, id: u64) -> Result<Value> {
        authorize_global::<acts::ManageModels>(actor)?;
        self.installer
            .job(id)
            .map(|job| job.to_json())
            .ok_or_else(|| Error::NotFound(format!("No job with id {id} known")))
    }

    /// Calls an install job off.
    pub fn cancel_install(&self, actor: &Actor, id: u64) -> Result<Value> {
        authorize_global::<acts::ManageModels>(actor)?;
        self.installer
            .cancel(id)
            .map(|job| job.to_json())
            .ok_or_else(|| Error::Unsupported(format!("No job with id {id} known")))
    }

    /// Drops the jobs that are over.
    pub fn prune_installs(&self, actor: &Actor) -> Result<()> {
        authorize_global::<acts::ManageModels>(actor)?;
        self.installer.prune();
        Ok(())
    }

    /// Starts the worker. Jobs run as the local operator: who asked was checked when they asked.
    pub(crate) fn start_installer(&self) -> std::io::Result<()> {
        // The worker holds services without the installer itself, so that it ends with it.
        let models = Self {
            shared: self.shared.clone(),
            installer: Default::default(),
        };
        self.installer.start(move |job| {
            let InstallSource::Local { path, inplace } = &job.source;
            models.install_now(&Actor::local_operator(), path, *inplace, &job.wishes)
        })
    }

    /// Installs a file or folder: what it is, its hash, its place, its record. Nothing is moved before all of that is known.
    pub(crate) fn install_now(&self, actor: &Actor, path: &Path, inplace: bool, wishes: &Map<String, Value>) -> Result<Value, Fault> {
        let leave = authorize_global::<acts::ManageModels>(actor).map_err(|e| fault("PermissionError")(&e))?;
        let found = identify(path).map_err(|error| match error {
            ProbeError::Unknown(_) => ("InvalidModelConfigException".to_owned(), error.to_string()),
            ProbeError::Broken { .. } => ("InvalidModelConfigException".to_owned(), error.to_string()),
            ProbeError::Unreadable { .. } => ("FileNotFoundError".to_owned(), error.to_string()),
        })?;
        let key = wishes
            .get("key")
            .and_then(Value::as_str)
            .map_or_else(|| self.shared.env.uuid(), str::to_owned);
        let place = if inplace {
            self.shared.layout.shown_model_path(path)
        } else {
            managed_place(&key, path)
        };
        let taken = |place: &str| {
            self.shared
                .db
                .read(|tx| repo::path_is_taken(tx, &leave, place))
                .map_err(|e| fault("RuntimeError")(&e))
        };
        if taken(&place)? {
            return Err((
                "DuplicateModelException".into(),
                format!("A model with path '{place}' is already installed"),
            ));
        }
        let hash = hash_path(path).map_err(|e| fault("OSError")(&e))?;
        let size = size_of(path).map_err(|e| fault("OSError")(&e))?;
        let origin = Origin {
            source: path.display().to_string(),
            source_type: "path",
        };
        let mut record = ModelRecord::new(&key, &hash, &place, size, &found, &origin);
        let mut wishes = wishes.clone();
        for fixed in ["key", "path", "hash", "file_size"] {
            wishes.shift_remove(fixed);
        }
        wishes.retain(|_, value| !value.is_null());
        record.apply(&wishes).map_err(|issues| {
            let text = issues.iter().map(|issue| issue.msg.clone()).collect::<Vec<_>>().join("; ");
            ("ValueError".to_owned(), text)
        })?;
        let moved = if inplace {
            None
        } else {
            Some(self.take_in(path, &place).map_err(|e| fault("OSError")(&e))?)
        };
        let written = self
            .shared
            .db
            .write(|tx| repo::insert(tx, &leave, &key, &json!(record).to_string(), self.shared.env.now()));
        if let Err(error) = written {
            if let Some(to) = moved
                && let Err(error) = std::fs::rename(&to, path)
            {
                tracing::error!("files of a model that could not be recorded stay at {}: {error}", to.display());
            }
            return Err(fault("RuntimeError")(&error));
        }
        tracing::info!(key, name = record.name(), "installed a model");
        Ok(self.dressed(&record))
    }

    /// Moves a model's files below the models' folder.
    fn take_in(&self, from: &Path, place: &str) -> std::io::Result<PathBuf> {
        let to = self.shared.layout.models_dir().join(place);
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent)?;
        }
        if std::fs::rename(from, &to).is_err() {
            // Another file system: copy, then delete.
            copy_all(from, &to)?;
            if from.is_dir() {
                std::fs::remove_dir_all(from)?;
            } else {
                std::fs::remove_file(from)?;
            }
        }
        Ok(to)
    }
}

/// Where a model that the program keeps lies below the models' folder.
fn managed_place(key: &str, path: &Path) -> String {
    if path.is_dir() {
        return key.to_owned();
    }
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{key}/{name}")
}

fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return std::fs::copy(from, to).map(|_| ());
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
