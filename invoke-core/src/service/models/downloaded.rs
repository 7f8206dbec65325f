//! Models that nodes fetch by their address: kept in the download cache, in a folder named after the address, and brought there at first use.

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use serde_json::Map;

use super::{InstallJob, InstallSource, Models, PlanError, download, plan};
use crate::{
    authz::{Actor, acts, authorize_global},
    domain::{Error, Result},
    engine::DownloadWatch,
    events::DownloadStage,
    models::remote::{FetchError, Part, Stop, fetch},
};

/// How often somebody who waits is asked whether they still do.
const ASKED_EVERY: Duration = Duration::from_millis(100);
/// How often a file that breaks off is gone on with, and after how long each time.
const TRIES: usize = 4;
const PAUSE: Duration = Duration::from_millis(500);
/// What the folder of a model in the making is called: its name and this.
const UNFINISHED: &str = ".unfinished";

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

/// Why something is not there.
enum Missing {
    /// Nobody waits for it any more.
    Stopped,
    /// It cannot be fetched.
    Failed(String),
}

impl From<PlanError> for Missing {
    fn from(error: PlanError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<std::io::Error> for Missing {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Models {
    /// The file or folder that lies at `source`, an address or a repository that the program knows. What is not there yet is fetched; of two that ask
    /// at the same time the second waits for the first. `None` if `watch` says that nobody waits for it any more; what had arrived by then is gone on
    /// with the next time where the other side tells what it should be.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it cannot be fetched: it says why, and where it is to be put.
    pub fn downloaded(&self, actor: &Actor, source: &str, watch: &DownloadWatch<'_>) -> Result<Option<PathBuf>> {
        authorize_global::<acts::ReadModels>(actor)?;
        let (cache, models) = (self.shared.layout.download_cache_dir(), self.shared.layout.models_dir());
        if let Some(path) = kept(cache, models, source)? {
            return Ok(Some(path));
        }
        let lock = self.installer.lock_of(source);
        let _turn = loop {
            match lock.try_lock_for(ASKED_EVERY) {
                Some(turn) => break turn,
                None if (watch.goes_on)() => {}
                None => return Ok(None),
            }
        };
        if let Some(path) = kept(cache, models, source)? {
            return Ok(Some(path));
        }
        match self.bring(source, cache, watch) {
            Ok(()) => Ok(kept(cache, models, source)?),
            Err(Missing::Stopped) => Ok(None),
            Err(Missing::Failed(why)) => {
                let shown = cache
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default();
                let name = folder_name(source);
                Err(Error::NotFound(format!(
                    "{source} is not on this server and cannot be fetched ({why}): download it and put it into the folder {name} of the models' \
                     download folder ({shown})"
                )))
            }
        }
    }

    /// Fetches all files of a source, and puts their folder to its place when all are there.
    fn bring(&self, source: &str, cache: &Path, watch: &DownloadWatch<'_>) -> Result<(), Missing> {
        let name = folder_name(source);
        let (whole, unfinished) = (cache.join(&name), cache.join(format!("{name}{UNFINISHED}")));
        std::fs::create_dir_all(&unfinished)?;
        let config = &self.shared.config;
        let client = plan::client(config).map_err(PlanError::from)?;
        let stop = Stop::new(client.line());
        tracing::info!("fetching {source}, which a node needs");
        thread::scope(|scope| {
            let (over, waiting) = mpsc::channel::<()>();
            let (stop, goes_on) = (&stop, watch.goes_on);
            // A connection on which nothing arrives is cut from here.
            scope.spawn(move || {
                while waiting.recv_timeout(ASKED_EVERY) == Err(RecvTimeoutError::Timeout) {
                    if !goes_on() {
                        return stop.stop(false);
                    }
                }
            });
            let result = self.bring_parts(source, &unfinished, stop, watch);
            drop(over);
            result
        })?;
        std::fs::rename(&unfinished, &whole)?;
        Ok(())
    }

    fn bring_parts(&self, source: &str, folder: &Path, stop: &Stop, watch: &DownloadWatch<'_>) -> Result<(), Missing> {
        let source = InstallSource::parse(source, true, None).map_err(Missing::Failed)?;
        let mut job = InstallJob::new(source, Map::new());
        job.folder = Some(folder.to_owned());
        plan::plan(&self.shared.config, stop.line(), &mut job)
            .map_err(|error| if (watch.goes_on)() { error.into() } else { Missing::Stopped })?;
        let all: u64 = job.parts.iter().map(|part| part.total_bytes).sum();
        let mut before = 0;
        for part in &mut job.parts {
            if !is_there(part) {
                if part.sha256.is_none() {
                    // Whether what is there belongs to what comes would not be noticed.
                    part.path = part.into_folder.then(|| Part::unfinished_in(&part.dest)).flatten();
                    part.clear();
                    part.path = None;
                }
                self.bring_part(part, stop, |part| {
                    let of = if all > 0 { all } else { part.total_bytes };
                    if of > 0 {
                        (watch.share)((before + part.bytes) as f64 / of as f64);
                    }
                })?;
            }
            before += part.total_bytes;
        }
        Ok(())
    }

    /// Fetches one file, and tells of it as of all downloads.
    fn bring_part(&self, part: &mut Part, stop: &Stop, arrived: impl Fn(&Part)) -> Result<(), Missing> {
        let url = part.url.to_string();
        let tell = |stage| download::tell(&self.shared, url.clone(), stage);
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let result = fetch(part, stop, &mut |part, begins| {
                arrived(part);
                tell(download::arriving(part, begins));
            });
            let (class, text) = match result {
                Ok(()) => {
                    tell(DownloadStage::Complete {
                        download_path: download::shown(part),
                        total_bytes: part.total_bytes,
                    });
                    return Ok(());
                }
                Err(FetchError::Stopped) => {
                    tell(DownloadStage::Cancelled);
                    return Err(Missing::Stopped);
                }
                Err(FetchError::Interrupted) if tries > 0 => {
                    stop.wait(PAUSE);
                    continue;
                }
                Err(FetchError::Interrupted) => ("ConnectionError".to_owned(), part.resume_message.clone().unwrap_or_default()),
                Err(FetchError::Failed(class, text)) => (class, text),
            };
            tell(download::failed(&class, &text));
            return Err(Missing::Failed(text));
        }
    }
}

/// Whether a file came whole when its source was fetched before.
fn is_there(part: &Part) -> bool {
    !part.into_folder
        && part
            .expected_bytes
            .is_some_and(|bytes| part.dest.metadata().is_ok_and(|about| about.len() == bytes))
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
