//! The model that ships with the program.

use std::path::Path;

use invoke_assets::MODEL_FILES;
pub use invoke_assets::{MODEL_DESCRIPTION, MODEL_NAME, MODEL_SIDE};

/// Writes the shipped model's files into a folder, which is made.
pub fn write_shipped(folder: &Path) -> std::io::Result<()> {
    for file in MODEL_FILES {
        let path = folder.join(file.path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut writer = std::fs::File::create(path)?;
        file.write(&mut writer)?;
    }
    Ok(())
}
