//! Where things lie below the root.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{ConfigError, Settings};

/// The folders, absolute.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
    models: PathBuf,
    download_cache: PathBuf,
    convert_cache: PathBuf,
    configs: PathBuf,
    databases: PathBuf,
    outputs: PathBuf,
    fonts: PathBuf,
    nodes: PathBuf,
    style_presets: PathBuf,
    workflow_thumbnails: PathBuf,
}

const MODELS_README: &str =
    "Installed models lie here, each in a folder named by its key. Add and remove them with the program, not by hand.\n";
const NODES_README: &str =
    "# Nodes added by hand\n\nNothing in this folder is run. It is kept so that an installation can be taken over and handed back.\n";
const FONTS_README: &str = "Put .ttf, .otf, .woff or .woff2 files here to write with them on the canvas.\n";

impl Layout {
    /// The folders that the settings name; relative ones lie below the root.
    pub fn new(root: &Path, settings: &Settings) -> Self {
        let below = |folder: &PathBuf| root.join(folder);
        Self {
            root: root.to_owned(),
            models: below(&settings.models_dir),
            download_cache: below(&settings.download_cache_dir),
            convert_cache: below(&settings.convert_cache_dir),
            configs: below(&settings.legacy_conf_dir),
            databases: below(&settings.db_dir),
            outputs: below(&settings.outputs_dir),
            fonts: below(&settings.fonts_dir),
            nodes: below(&settings.custom_nodes_dir),
            style_presets: below(&settings.style_presets_dir),
            workflow_thumbnails: below(&settings.workflow_thumbnails_dir),
        }
    }

    /// The root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.databases.join("invokeai.db")
    }

    /// Installed models.
    pub fn models_dir(&self) -> &Path {
        &self.models
    }

    /// Whether a path lies below the models' folder, links followed.
    pub fn is_below_models_dir(&self, path: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (folder, path) = (real(self.models_dir()), real(path));
        path != folder && path.starts_with(folder)
    }

    /// A model's path as records have it: relative where it lies below the models' folder, absolute elsewhere.
    pub fn shown_model_path(&self, path: &Path) -> String {
        path.strip_prefix(self.models_dir()).unwrap_or(path).display().to_string()
    }

    /// Models' cover pictures.
    pub fn model_images_dir(&self) -> PathBuf {
        self.models.join("model_images")
    }

    /// Downloads under way and kept.
    pub fn download_cache_dir(&self) -> &Path {
        &self.download_cache
    }

    /// What the program makes; the folders of the others are below.
    pub fn outputs_dir(&self) -> &Path {
        &self.outputs
    }

    /// Full-size images.
    pub fn images_dir(&self) -> PathBuf {
        self.outputs.join("images")
    }

    /// Archives that wait to be fetched; emptied at every start.
    pub fn downloads_dir(&self) -> PathBuf {
        self.outputs.join("downloads")
    }

    /// Fonts for the canvas.
    pub fn fonts_dir(&self) -> &Path {
        &self.fonts
    }

    /// Packs of nodes added by hand.
    pub fn nodes_dir(&self) -> &Path {
        &self.nodes
    }

    /// Style presets' pictures.
    pub fn style_preset_images_dir(&self) -> PathBuf {
        self.style_presets.join("images")
    }

    /// Workflows' pictures.
    pub fn workflow_thumbnails_dir(&self) -> &Path {
        &self.workflow_thumbnails
    }

    /// Makes what is missing, and fails with the first folder that cannot be made or written to.
    pub fn create(&self) -> Result<(), ConfigError> {
        let folders = [
            self.root.clone(),
            self.configs.clone(),
            self.databases.clone(),
            self.models.clone(),
            self.model_images_dir(),
            self.download_cache.clone(),
            self.convert_cache.clone(),
            self.fonts.clone(),
            self.nodes.clone(),
            self.images_dir(),
            self.images_dir().join("thumbnails"),
            self.downloads_dir(),
            // InvokeAI's own, for arrays that nodes pass on to each other; here these stay in memory.
            self.outputs.join("tensors"),
            self.outputs.join("conditioning"),
            self.style_preset_images_dir(),
            self.workflow_thumbnails.clone(),
        ];
        for folder in &folders {
            fs::create_dir_all(folder).map_err(|source| ConfigError::Folder {
                folder: folder.clone(),
                source,
            })?;
        }
        for folder in [&self.root, &self.databases, &self.images_dir()] {
            probe(folder).map_err(|source| ConfigError::Folder {
                folder: folder.clone(),
                source,
            })?;
        }
        let texts = [
            (&self.models, "README.txt", MODELS_README),
            (&self.nodes, "README.md", NODES_README),
            (&self.fonts, "README.txt", FONTS_README),
        ];
        for (folder, name, text) in texts {
            let file = folder.join(name);
            if !file.exists() {
                fs::write(&file, text).map_err(|source| ConfigError::Write { file, source })?;
            }
        }
        Ok(())
    }
}

/// Whether a file can be made in a folder: the permission bits alone do not tell.
fn probe(folder: &Path) -> io::Result<()> {
    let file = folder.join(".invoke-write-test");
    fs::write(&file, b"")?;
    fs::remove_file(&file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_are_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("deep/root");
        let layout = Layout::new(
            &root,
            &Settings {
                db_dir: dir.path().join("db"),
                ..Settings::default()
            },
        );
        layout.create().unwrap();
        for folder in [
            "models/.download_cache",
            "outputs/images/thumbnails",
            "style_presets/images",
            "workflow_thumbnails",
            "nodes",
            "fonts",
        ] {
            assert!(root.join(folder).is_dir(), "{folder}");
        }
        assert_eq!(layout.database(), dir.path().join("db/invokeai.db"));
        fs::write(root.join("models/README.txt"), "mine").unwrap();
        layout.create().unwrap();
        assert_eq!(fs::read_to_string(root.join("models/README.txt")).unwrap(), "mine");
    }

    #[test]
    fn a_root_that_cannot_be_used_is_named_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Layout::new(&file, &Settings::default()).create().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("cannot use the folder {}", file.display())) && error.lines().count() == 1,
            "{error}"
        );
    }
}
