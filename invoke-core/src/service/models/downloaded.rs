//! Models that nodes fetch by their address: kept in the download cache, in a folder named after the address.

use std::path::{Path, PathBuf};

use super::Models;
use crate::{
    authz::{Actor, acts, authorize_global},
    domain::{Error, Result},
};

/// Models that InvokeAI keeps at a place of their own below the models' folder.
const ELSEWHERE: &[(&str, &str)] = &[(
    "CompVis/stable-diffusion-safety-checker",
    "core/convert/stable-diffusion-safety-checker",
)];

/// The name of a source's folder: its letters and digits, small, with hyphens between them.
fn folder_name(source: &str) -> String {
    let words = source.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

/// What was downloaded from `source`, if it is there: the one file or folder in its folder.
fn kept(cache: &Path, models: &Path, source: &str) -> std::io::Result<Option<PathBuf>> {
    if let Some((_, place)) = ELSEWHERE.iter().find(|(known, _)| *known == source)
        && models.join(place).is_dir()
    {
        return Ok(Some(models.join(place)));
    }
    let mut found: Vec<PathBuf> = match std::fs::read_dir(cache.join(folder_name(source))) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    found.sort();
    Ok(found.into_iter().next())
}

impl Models {
    /// What was downloaded from `source`, an address or a repository.
    ///
    /// # Errors
    /// [`Error::NotFound`] says where it is to be put.
    pub fn downloaded(&self, actor: &Actor, source: &str) -> Result<PathBuf> {
        authorize_global::<acts::ReadModels>(actor)?;
        let cache = self.shared.layout.download_cache_dir();
        kept(cache, self.shared.layout.models_dir(), source)?.ok_or_else(|| {
            let shown = cache
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            let name = folder_name(source);
            Error::NotFound(format!(
                "{source} is not on this server: download it and put it into the folder {name} of the models' download folder ({shown})"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_as_the_original_names_them() {
        assert_eq!(
            folder_name("https://github.com/xinntao/Real-ESRGAN/releases/download/v0.1.0/RealESRGAN_x4plus.pth"),
            "https-github-com-xinntao-real-esrgan-releases-download-v0-1-0-realesrgan-x4plus-pth"
        );
        assert_eq!(
            folder_name("LiheYoung/depth-anything-large-hf"),
            "liheyoung-depth-anything-large-hf"
        );
        assert_eq!(folder_name("../.."), "");
    }

    #[test]
    fn what_was_downloaded_is_found() {
        let root = tempfile::tempdir().unwrap();
        let (cache, models) = (root.path().join("cache"), root.path().join("models"));
        let source = "https://example.com/Model_1.pth?download=true";
        assert_eq!(kept(&cache, &models, source).unwrap(), None);
        let folder = cache.join("https-example-com-model-1-pth-download-true");
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(kept(&cache, &models, source).unwrap(), None);
        std::fs::write(folder.join("Model_1.pth"), b"x").unwrap();
        assert_eq!(kept(&cache, &models, source).unwrap(), Some(folder.join("Model_1.pth")));
        // One model has a place of its own.
        let (checker, place) = ELSEWHERE[0];
        assert_eq!(kept(&cache, &models, checker).unwrap(), None);
        std::fs::create_dir_all(models.join(place)).unwrap();
        assert_eq!(kept(&cache, &models, checker).unwrap(), Some(models.join(place)));
    }
}
