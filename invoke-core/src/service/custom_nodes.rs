//! Packs of nodes written in Python, as InvokeAI keeps them in a folder. This server runs no code that is installed: it lists what lies
//! there and removes it, and installs nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};

use super::Shared;
use crate::{
    authz::{Actor, acts, administer, authorize_global},
    domain::Result,
};

/// Use of the folder.
#[derive(Clone)]
pub struct CustomNodes {
    pub(crate) shared: Arc<Shared>,
}

/// Whether a text may be the name of a pack: letters, digits, dots, dashes and underscores, beginning with a letter or digit.
fn is_pack_name(name: &str) -> bool {
    name.len() <= 255
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

impl CustomNodes {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn folder(&self) -> &Path {
        self.shared.layout.nodes_dir()
    }

    /// Names and folders of the packs that lie there.
    fn packs(&self) -> Result<Vec<(String, PathBuf)>> {
        let entries = match fs::read_dir(self.folder()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut packs: Vec<(String, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let name = entry.file_name().into_string().ok()?;
                let is_pack = is_pack_name(&name) && entry.path().join("__init__.py").is_file();
                is_pack.then(|| (name, entry.path()))
            })
            .collect();
        packs.sort();
        Ok(packs)
    }

    /// The packs in the folder. None of their nodes is known here.
    pub fn list(&self, actor: &Actor) -> Result<Value> {
        authorize_global::<acts::ReadServer>(actor)?;
        let packs: Vec<Value> = self
            .packs()?
            .into_iter()
            .map(|(name, path)| json!({"name": name, "path": path, "node_count": 0, "node_types": []}))
            .collect();
        Ok(json!({"node_packs": packs, "custom_nodes_path": self.folder()}))
    }

    /// Says why nothing is installed.
    pub fn install(&self, actor: &Actor, source: &str) -> Result<Value> {
        authorize_global::<acts::ReadServer>(actor)?;
        let last = source.trim().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let name = last.strip_suffix(".git").unwrap_or(last);
        let (name, message) = if !is_pack_name(name) {
            ("", "Invalid node pack name.".to_owned())
        } else if self.folder().join(name).exists() {
            (name, format!("Node pack '{name}' already exists. Uninstall it first to reinstall."))
        } else {
            (
                name,
                format!("Node pack '{name}' is not installed: this server runs no code that is installed."),
            )
        };
        Ok(json!({
            "name": name, "success": false, "message": message, "workflows_imported": 0, "requires_dependencies": false, "dependency_file": null,
        }))
    }

    /// Removes a pack from the folder.
    pub fn uninstall(&self, actor: &Actor, name: &str) -> Result<Value> {
        let deed = administer::<acts::ManageServer>(actor, "custom_nodes.uninstall")?.to(name);
        let (success, message) = if is_pack_name(name) {
            let path = self.folder().join(name);
            // A link is removed, not what it points to.
            let removed = match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => Some(fs::remove_dir_all(&path)),
                Ok(found) if found.is_symlink() => Some(fs::remove_file(&path)),
                _ => None,
            };
            if removed.is_some() {
                // Where it fails, files may be gone all the same.
                self.shared.db.record(deed)?;
            }
            match removed {
                Some(Ok(())) => (true, format!("Successfully uninstalled node pack '{name}'.")),
                Some(Err(error)) => (false, format!("Uninstall failed: {error}")),
                None => (false, format!("Node pack '{name}' not found.")),
            }
        } else {
            (false, "Invalid node pack name.".to_owned())
        };
        Ok(json!({"name": name, "success": success, "message": message}))
    }

    /// Looks for packs again. If there are some, says that they are not loaded.
    pub fn reload(&self, actor: &Actor) -> Result<Value> {
        authorize_global::<acts::ReadServer>(actor)?;
        let status = if self.packs()?.is_empty() {
            "Custom nodes reloaded successfully."
        } else {
            "No custom nodes are loaded: this server runs no code that is installed."
        };
        Ok(json!({ "status": status }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_packs_cannot_be_paths() {
        for good in ["a", "my-pack_2.0", "0x"] {
            assert!(is_pack_name(good), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "-x", "a/b", "a\\b", "../x", "a b", "a\0", "é"] {
            assert!(!is_pack_name(bad), "{bad:?}");
        }
        assert!(!is_pack_name(&"a".repeat(256)));
    }
}
