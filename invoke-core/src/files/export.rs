//! Copies of pictures for people to take away: plain files below the outputs folder, beside the store's own folders.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use super::StoreError;

/// Folders below the outputs folder that the program keeps for itself.
const RESERVED: &[&str] = &["images", "downloads", "tensors", "conditioning"];

/// A relative folder that stays below the one it is relative to, and out of the program's own.
fn folder_below(folder: &str) -> Result<PathBuf, StoreError> {
    let refuse = || StoreError::Subfolder(folder.chars().take(64).collect());
    if folder.len() > 255 || folder.contains(['\\', ':', '\0']) {
        return Err(refuse());
    }
    let path = Path::new(folder);
    for (depth, part) in path.components().enumerate() {
        let Component::Normal(name) = part else { return Err(refuse()) };
        if depth == 0 && RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            return Err(refuse());
        }
    }
    Ok(path.to_owned())
}

/// Writes a file into `folder` below `outputs`; the folder is made if there is none. `name` is one plain part of a path.
pub fn export(outputs: &Path, folder: &str, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let plain = !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && !name.contains(['/', '\\', ':', '\0']);
    if !plain {
        return Err(StoreError::Subfolder(name.chars().take(64).collect()));
    }
    let folder = outputs.join(folder_below(folder)?);
    fs::create_dir_all(&folder).map_err(StoreError::at("making the folder of an exported file"))?;
    // A symbolic link could lead out again.
    let real = folder
        .canonicalize()
        .map_err(StoreError::at("finding the folder of an exported file"))?;
    let root = outputs.canonicalize().map_err(StoreError::at("finding the outputs folder"))?;
    if !real.starts_with(&root) {
        return Err(StoreError::Subfolder(folder.display().to_string()));
    }
    fs::write(real.join(name), bytes).map_err(StoreError::at("writing an exported file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_land_below_the_outputs_folder_alone() {
        let dir = tempfile::tempdir().unwrap();
        let outputs = dir.path().join("outputs");
        fs::create_dir(&outputs).unwrap();
        export(&outputs, "", "a.png", b"1").unwrap();
        export(&outputs, "my exports/2026", "hero_x.png", b"2").unwrap();
        assert_eq!(fs::read(outputs.join("my exports/2026/hero_x.png")).unwrap(), b"2");
        for folder in ["/tmp", "..", "a/../../b", "C:", "\\x", "images", "Images/thumbnails", "tensors"] {
            assert!(
                matches!(export(&outputs, folder, "a.png", b""), Err(StoreError::Subfolder(_))),
                "{folder}"
            );
        }
        for name in ["", "a/b.png", "../a.png", ".hidden", "a\\b"] {
            assert!(matches!(export(&outputs, "", name, b""), Err(StoreError::Subfolder(_))), "{name}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(dir.path(), outputs.join("out")).unwrap();
            assert!(export(&outputs, "out", "a.png", b"").is_err());
            assert!(!dir.path().join("a.png").exists());
        }
    }
}
