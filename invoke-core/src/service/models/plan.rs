//! Which files a remote source stands for, and where each goes.

use std::path::{Path, PathBuf};

use serde_json::Value;
use url::Url;

use super::{
    job::{Fault, InstallJob},
    source::InstallSource,
};
use crate::{
    config::{Config, Secret},
    domain::Error,
    models::remote::{Client, HttpError, Hub, HubError, Line, Part, Policy, RepoFile, Repository, Token, Variant, select},
};

/// Why there is nothing to fetch.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    /// The hub did not tell.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The network cannot be used as the configuration says.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The source has no files of the kind that is wanted.
    #[error("{0}: No downloadable files found")]
    Nothing(String),
    /// The address of the hub is none.
    #[error("HF_ENDPOINT is not an address")]
    Endpoint,
}

impl PlanError {
    /// Class and text for a job.
    pub(super) fn fault(&self) -> Fault {
        let class = match self {
            Self::Hub(HubError::Http(error)) | Self::Http(error) => error.class(),
            Self::Hub(HubError::Unknown(_)) => "UnknownMetadataException",
            Self::Hub(_) => "HTTPError",
            Self::Nothing(_) | Self::Endpoint => "ValueError",
        };
        (class.to_owned(), self.to_string())
    }
}

impl From<PlanError> for Error {
    fn from(error: PlanError) -> Self {
        Self::Conflict(error.to_string())
    }
}

/// A client as the configuration wants it at this moment.
pub(super) fn client(config: &Config) -> Result<Client, HttpError> {
    let settings = config.settings();
    Client::new(&Policy {
        allow_private: settings.allow_private_download_urls,
        proxy: settings.download_proxy.as_ref().map(|proxy| proxy.expose().to_owned()),
    })
}

/// The hub of the configuration.
pub(super) fn hub(config: &Config) -> Result<Hub, PlanError> {
    Url::parse(config.hub().endpoint())
        .ok()
        .filter(|url| !url.cannot_be_a_base())
        .map(Hub::new)
        .ok_or(PlanError::Endpoint)
}

/// The token that is sent to an address: that of the source, else the hub's for a repository, else the configuration's first that fits.
fn token_for(config: &Config, source: &InstallSource, url: &Url) -> Option<Token> {
    if let Some(token) = source.token() {
        return Some(token.clone());
    }
    let hidden = |secret: Secret| Token { secret, shown: false };
    if matches!(source, InstallSource::Hub { .. })
        && let Some(secret) = config.hub().token()
    {
        return Some(hidden(secret));
    }
    let settings = config.settings();
    let fits = |regex: &str| match fancy_regex::Regex::new(regex) {
        Ok(regex) => regex.is_match(url.as_str()).unwrap_or(false),
        Err(_) => {
            tracing::warn!("`remote_api_tokens` has a url_regex that is no regular expression: {regex}");
            false
        }
    };
    let known = settings.remote_api_tokens.iter().flatten().find(|known| fits(&known.url_regex))?;
    Some(hidden(known.token.clone()))
}

/// What a repository's id may be asked with.
fn repository(config: &Config, line: &Line, id: &str, variant: Option<Variant>, source: &InstallSource) -> Result<Repository, PlanError> {
    let hub = hub(config)?;
    let token = match source.token() {
        Some(token) => Some(token.secret.clone()),
        None => config.hub().token(),
    };
    Ok(hub.repository(line, id, variant, token.as_ref().map(Secret::expose))?)
}

/// Finds out which files a job has to fetch. Asks the hub, unless the source is the address of a file.
pub(super) fn plan(config: &Config, line: &Line, job: &mut InstallJob) -> Result<(), PlanError> {
    let folder = job.folder.clone().unwrap_or_default();
    let half = || (config.settings().precision == "float16").then_some(Variant::Fp16);
    let (parts, metadata) = match &job.source {
        InstallSource::Local { .. } | InstallSource::External { .. } => return Ok(()),
        source @ InstallSource::Hub { id, variant, .. } => {
            let repository = repository(config, line, id, *variant, source)?;
            let wanted = variant.or_else(half).unwrap_or(Variant::Default);
            let parts = of_repository(config, source, &repository, wanted, &source.subfolders(), &folder);
            (parts, Some(repository.to_json()))
        }
        source @ InstallSource::Url { url, .. } => {
            let hub = hub(config)?;
            if let Some(id) = hub.repository_of_page(url) {
                let repository = repository(config, line, &id, None, source)?;
                let parts = of_repository(config, source, &repository, Variant::Default, &[], &folder);
                (parts, Some(repository.to_json()))
            } else {
                let url = hub.file_of_page(url);
                let token = token_for(config, source, &url);
                (vec![Part::new(0, url, folder, true, token)], None)
            }
        }
    };
    if parts.is_empty() {
        return Err(PlanError::Nothing(job.source.to_string()));
    }
    job.parts = parts;
    job.metadata = metadata;
    for part in &mut job.parts {
        if let Some(Value::Object(kept)) = job.kept.get(part.url.as_str()) {
            part.remember(kept);
        }
    }
    job.count();
    Ok(())
}

fn of_repository(
    config: &Config,
    source: &InstallSource,
    repository: &Repository,
    variant: Variant,
    subfolders: &[String],
    folder: &Path,
) -> Vec<Part> {
    let paths: Vec<&str> = repository.files.iter().map(|file| file.path.as_str()).collect();
    let chosen = select(&paths, variant, subfolders);
    let files = repository.files.iter().filter(|file| chosen.contains(&file.path.as_str()));
    let mut parts: Vec<Part> = files
        .map(|file| {
            let RepoFile { url, path, size, sha256 } = file;
            let place = folder.join(place(path, &repository.name, subfolders));
            let mut part = Part::new(0, url.clone(), place, false, token_for(config, source, url));
            if *size > 0 {
                part.total_bytes = *size;
                part.expected_bytes = Some(*size);
            }
            part.sha256.clone_from(sha256);
            part
        })
        .collect();
    parts.sort_by(|a, b| a.url.cmp(&b.url));
    parts
}

/// Where a file of a repository goes: below the repository's name, with the names of the wanted subfolders added to it. Of one subfolder the files lie
/// directly there, of several each keeps its folder.
fn place(path: &str, name: &str, subfolders: &[String]) -> PathBuf {
    let last = |folder: &str| folder.rsplit('/').next().unwrap_or(folder).to_owned();
    let below = |folder: &str| {
        let rest = path.strip_prefix(name)?.strip_prefix('/')?.strip_prefix(folder)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/').to_owned())
    };
    match subfolders {
        [] => PathBuf::from(path),
        [only] => {
            let top = PathBuf::from(format!("{name}_{}", last(only)));
            match below(only) {
                Some(rest) if !rest.is_empty() => top.join(rest),
                _ => top,
            }
        }
        several => {
            let names: Vec<String> = several.iter().map(|folder| last(folder)).collect();
            let top = PathBuf::from(format!("{name}_{}", names.join("_")));
            match several.iter().find_map(|folder| Some((last(folder), below(folder)?))) {
                Some((folder, rest)) => top.join(folder).join(rest),
                None => top.join(path.strip_prefix(name).unwrap_or(path).trim_start_matches('/')),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subfolders_become_part_of_the_name() {
        let of = |path: &str, folders: &[&str]| {
            let folders: Vec<String> = folders.iter().map(|&folder| folder.to_owned()).collect();
            place(path, "turbo", &folders).display().to_string()
        };
        assert_eq!(of("turbo/vae/config.json", &[]), "turbo/vae/config.json");
        assert_eq!(of("turbo/vae/config.json", &["vae"]), "turbo_vae/config.json");
        assert_eq!(of("turbo/a/x.safetensors", &["a/x.safetensors"]), "turbo_x.safetensors");
        assert_eq!(of("turbo/a/b/c.json", &["a/b"]), "turbo_b/c.json");
        assert_eq!(of("turbo/vae/x", &["te", "vae"]), "turbo_te_vae/vae/x");
    }
}
