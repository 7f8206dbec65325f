//! Covers: the small pictures of presets and of workflows.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    domain::{Error, ImageName, Result},
    files::{decode_picture, thumbnail_webp},
};

/// Where the picture of a thing lies; `None` if its identifier is no name of a file, and so it can have none.
pub(super) fn file(folder: &Path, id: &str) -> Option<PathBuf> {
    ImageName::parse(&format!("{id}.webp")).ok().map(|name| folder.join(name.as_str()))
}

/// A thumbnail of what a client sent, WebP.
pub(super) fn thumbnail(content_type: Option<&str>, bytes: &[u8]) -> Result<Vec<u8>> {
    if !content_type.is_some_and(|kind| kind.starts_with("image")) {
        return Err(Error::Unsupported("Not an image".into()));
    }
    let picture = decode_picture(bytes).map_err(|_| Error::Unsupported("Failed to read image".into()))?;
    thumbnail_webp(&picture).map_err(|error| Error::internal("encoding a thumbnail", error))
}

/// The bytes of a picture.
pub(super) fn read(file: Option<PathBuf>) -> Result<Vec<u8>> {
    let absent = || Error::NotFound("Not Found".into());
    std::fs::read(file.ok_or_else(absent)?).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            absent()
        } else {
            error.into()
        }
    })
}

/// Writes a picture; a reader sees the old or the new one, whole.
pub(super) fn write(file: Option<PathBuf>, bytes: &[u8]) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, bytes)?;
    std::fs::rename(&fresh, &file)?;
    Ok(())
}

/// Removes a picture, and says whether there was one.
pub(super) fn remove(file: Option<PathBuf>) -> Result<bool> {
    match file.map(std::fs::remove_file) {
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        removed => Ok(matches!(removed, Some(Ok(())))),
    }
}
