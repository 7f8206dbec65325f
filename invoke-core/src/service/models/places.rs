//! Folders of models: what lies there, what belongs to nobody.

use std::{
    collections::HashSet,
    path::{Component, Path, PathBuf},
};

use serde_json::{Value, json};

use super::Models;
use crate::{
    authz::{Actor, acts, administer, authorize_global},
    domain::{Error, Result},
    models::{find_models, weight_files},
    repo::models as repo,
};

/// Folders of the models' folder that are never models.
const OURS: &[&str] = &["model_images"];

impl Models {
    fn known_places(&self, actor: &Actor) -> Result<HashSet<PathBuf>> {
        authorize_global::<acts::ReadServer>(actor)?;
        let leave = authorize_global::<acts::ReadModels>(actor)?;
        let places = self.shared.db.read(|tx| repo::places(tx, &leave))?;
        let folder = self.shared.layout.models_dir();
        Ok(places
            .into_iter()
            .flat_map(|(source, path)| [PathBuf::from(source), folder.join(path)])
            .collect())
    }

    /// Models below a folder, and whether each is installed. Every folder that cannot be scanned gets the same answer, so that nothing can be learned
    /// about the machine's files.
    pub fn scan_folder(&self, actor: &Actor, folder: &str) -> Result<Value> {
        let known = self.known_places(actor)?;
        let refused = || Error::BadRequest(format!("The search path '{folder}' could not be scanned"));
        let path = Path::new(folder);
        if !path.is_dir() {
            return Err(refused());
        }
        let found = find_models(path).map_err(|error| {
            tracing::info!("a scan was refused: {error}");
            refused()
        })?;
        Ok(found
            .iter()
            .map(|path| json!({"path": path.display().to_string(), "is_installed": known.contains(path)}))
            .collect())
    }

    /// Folders and files below the models' folder that no record points at.
    pub fn orphaned(&self, actor: &Actor) -> Result<Value> {
        Ok(self.orphans(actor)?.into_iter().map(|(_, about)| about).collect())
    }

    fn orphans(&self, actor: &Actor) -> Result<Vec<(PathBuf, Value)>> {
        let known = self.known_places(actor)?;
        let folder = self.shared.layout.models_dir();
        let mut orphans = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if !path.is_dir() || name.starts_with('.') || name.starts_with("tmpinstall_") || OURS.contains(&name.as_str()) {
                continue;
            }
            if known.iter().any(|place| place.starts_with(&path)) {
                continue;
            }
            let found = weight_files(&path).map_err(|error| Error::internal("looking through the models' folder", error))?;
            if found.is_empty() {
                continue;
            }
            let size: u64 = found.iter().map(|(_, bytes)| bytes).sum();
            let files: Vec<String> = found
                .iter()
                .filter_map(|(file, _)| file.strip_prefix(&path).ok())
                .map(|file| file.display().to_string())
                .collect();
            let about = json!({"path": name, "absolute_path": path.display().to_string(), "files": files, "size_bytes": size});
            orphans.push((path, about));
        }
        orphans.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(orphans)
    }

    fn why_no_orphan(&self, name: &str) -> &'static str {
        if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
            "path is not under models directory"
        } else if !self.shared.layout.models_dir().join(name).exists() {
            "path does not exist"
        } else {
            "path is not an orphaned model"
        }
    }

    /// Deletes orphaned folders, each named as [`Self::orphaned`] names it. Nothing else can be deleted.
    pub fn delete_orphaned(&self, actor: &Actor, names: &[String]) -> Result<Value> {
        let deed = administer::<acts::ManageModels>(actor, "models.delete_orphaned")?;
        let orphans = self.orphans(actor)?;
        let (mut tried, mut deleted) = (Vec::new(), Vec::new());
        let mut errors = serde_json::Map::new();
        for name in names {
            match orphans.iter().find(|(_, about)| about["path"] == json!(name)) {
                None => drop(errors.insert(name.clone(), json!(format!("error: {}", self.why_no_orphan(name))))),
                Some((path, _)) => {
                    // Where it fails, files may be gone all the same.
                    tried.extend(path.exists().then_some(name));
                    match std::fs::remove_dir_all(path) {
                        Ok(()) => deleted.push(name),
                        Err(error) => drop(errors.insert(name.clone(), json!(error.to_string()))),
                    }
                }
            }
        }
        if !tried.is_empty() {
            self.shared.db.record(deed.to_all(tried))?;
        }
        Ok(json!({"deleted": deleted, "errors": errors}))
    }
}
