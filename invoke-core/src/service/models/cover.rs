//! Models' pictures.

use std::path::PathBuf;

use super::{Models, edit::key_fault, read::absent};
use crate::{
    authz::{Actor, acts, administer},
    domain::{Error, Result},
    files::{decode_picture, thumbnail_webp},
};

impl Models {
    /// Where a model's picture lies; `None` for a key that no file can be named after.
    pub(super) fn cover_file(&self, key: &str) -> Option<PathBuf> {
        key_fault(key)
            .is_none()
            .then(|| self.shared.layout.model_images_dir().join(format!("{key}.webp")))
    }

    /// A model's picture, WebP. Anybody may see it: the page's image tags carry no credentials.
    pub fn cover(&self, _anybody: &Actor, key: &str) -> Result<Vec<u8>> {
        let absent = || Error::NotFound("Not Found".into());
        let file = self.cover_file(key).ok_or_else(absent)?;
        std::fs::read(file).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                absent()
            } else {
                Error::from(error)
            }
        })
    }

    /// Sets a model's picture.
    pub fn set_cover(&self, actor: &Actor, key: &str, content_type: Option<&str>, bytes: &[u8]) -> Result<()> {
        let deed = administer::<acts::ManageModels>(actor, "models.set_cover")?.to(key);
        let _claim = self.claim(key)?;
        self.record(actor, key)?;
        if !content_type.is_some_and(|kind| kind.starts_with("image")) {
            return Err(Error::Unsupported("Not an image".into()));
        }
        self.write_cover(key, bytes)?;
        Ok(self.shared.db.record(deed)?)
    }

    /// Writes a model's picture, made small.
    pub(super) fn write_cover(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let file = self.cover_file(key).ok_or_else(absent)?;
        let picture = decode_picture(bytes).map_err(|_| Error::Unsupported("Failed to read image".into()))?;
        let webp = thumbnail_webp(&picture).map_err(|error| Error::internal("encoding a model's picture", error))?;
        std::fs::create_dir_all(self.shared.layout.model_images_dir())?;
        std::fs::write(file, webp)?;
        Ok(())
    }

    pub(super) fn remove_cover(&self, key: &str) -> std::io::Result<bool> {
        let Some(file) = self.cover_file(key) else { return Ok(false) };
        match std::fs::remove_file(file) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes a model's picture away.
    pub fn delete_cover(&self, actor: &Actor, key: &str) -> Result<()> {
        let deed = administer::<acts::ManageModels>(actor, "models.delete_cover")?.to(key);
        let _claim = self.claim(key)?;
        if self.remove_cover(key)? {
            Ok(self.shared.db.record(deed)?)
        } else {
            Err(Error::NotFound("Model image file not found".into()))
        }
    }
}
