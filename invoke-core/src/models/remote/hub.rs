//! The hub that keeps repositories of models: which files one has, and whether it knows a token.

use serde_json::{Map, Value, json};
use url::Url;

use super::{HttpError, Line, Variant};

/// Largest description of a repository that is read, in bytes.
const MOST_BYTES: u64 = 32 << 20;
/// Files of a repository that are looked at at most.
const MOST_FILES: usize = 20_000;

/// A hub.
#[derive(Debug, Clone)]
pub struct Hub {
    base: Url,
}

/// Why a hub did not tell.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// It has no such repository, or none for this token.
    #[error("'{0}' was not found on the hub, or it needs an access token")]
    Unknown(String),
    /// It refuses.
    #[error("the hub refuses '{0}': {1}")]
    Refused(String, String),
    /// Its answer makes no sense.
    #[error("the hub's answer about '{0}' cannot be read")]
    Unreadable(String),
    /// It was not reached.
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// A file of a repository.
#[derive(Debug, Clone, PartialEq)]
pub struct RepoFile {
    /// Where it is fetched.
    pub url: Url,
    /// Its path, the repository's name first.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal, of large files.
    pub sha256: Option<String>,
}

/// A repository.
#[derive(Debug, Clone)]
pub struct Repository {
    /// `owner/name`.
    pub id: String,
    /// `name`.
    pub name: String,
    /// Its files.
    pub files: Vec<RepoFile>,
    /// What the hub said, as JSON text.
    pub answer: String,
}

/// Endings of files that are models by themselves.
const CHECKPOINTS: &[&str] = &[".safetensors", ".bin", ".pth", ".pt", ".ckpt"];

impl Repository {
    /// Whether it is a folder of the diffusers kind rather than a heap of checkpoints.
    pub fn is_diffusers(&self) -> bool {
        let is_config = |file: &RepoFile| ["model_index.json", "config.json"].iter().any(|name| file.path.ends_with(name));
        self.files.iter().any(is_config)
    }

    /// Addresses of its checkpoints, unless it is of the diffusers kind.
    pub fn checkpoints(&self) -> Option<Vec<&Url>> {
        let is_one = |file: &&RepoFile| CHECKPOINTS.iter().any(|end| file.path.ends_with(end));
        (!self.is_diffusers()).then(|| self.files.iter().filter(is_one).map(|file| &file.url).collect())
    }

    /// The JSON of the wire.
    pub fn to_json(&self) -> Value {
        let files: Vec<Value> = self
            .files
            .iter()
            .map(|file| json!({"url": file.url.as_str(), "path": file.path, "size": file.size, "sha256": file.sha256}))
            .collect();
        json!({
            "name": self.name,
            "files": files,
            "type": "huggingface",
            "id": self.id,
            "api_response": self.answer,
            "is_diffusers": self.is_diffusers(),
            "ckpt_urls": self.checkpoints().map(|all| all.iter().map(|url| url.as_str()).collect::<Vec<_>>()),
        })
    }
}

/// Whether a text is `owner/name` as hubs allow it.
fn is_repository_id(id: &str) -> bool {
    let plain = |part: &str| {
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        !part.is_empty() && part.len() <= 96 && part != "." && part != ".." && part.chars().all(word)
    };
    id.split_once('/').is_some_and(|(owner, name)| plain(owner) && plain(name))
}

impl Hub {
    /// The hub at an address, `https://huggingface.co` in general.
    pub fn new(base: Url) -> Self {
        Self { base }
    }

    fn address(&self, path: &[&str]) -> Option<Url> {
        let mut url = self.base.clone();
        url.path_segments_mut().ok()?.pop_if_empty().extend(path);
        Some(url)
    }

    /// Address of a file of a repository's main revision.
    pub fn file(&self, id: &str, path: &str) -> Option<Url> {
        let (owner, name) = id.split_once('/').filter(|_| is_repository_id(id))?;
        let mut place = vec![owner, name, "resolve", "main"];
        place.extend(path.split('/'));
        self.address(&place)
    }

    /// `owner/name` if an address is that of a repository's page.
    pub fn repository_of_page(&self, url: &Url) -> Option<String> {
        let known = url.host_str() == self.base.host_str() || url.host_str() == Some("huggingface.co");
        let mut parts = url.path_segments()?;
        let id = format!("{}/{}", parts.next()?, parts.next()?);
        (known && parts.next().is_none() && url.query().is_none() && is_repository_id(&id)).then_some(id)
    }

    /// The file behind the page of a file; any other address as it is.
    pub fn file_of_page(&self, url: &Url) -> Url {
        let known = url.host_str() == self.base.host_str() || url.host_str() == Some("huggingface.co");
        let parts: Vec<String> = url.path_segments().into_iter().flatten().map(str::to_owned).collect();
        let mut file = url.clone();
        if known && parts.len() > 4 && parts[2] == "blob" {
            let mut path: Vec<&str> = url.path().split('/').collect();
            path[3] = "resolve";
            file.set_path(&path.join("/"));
        }
        file
    }

    /// What a repository holds, in the revision of the variant where it has one.
    pub fn repository(&self, line: &Line, id: &str, variant: Option<Variant>, token: Option<&str>) -> Result<Repository, HubError> {
        let unknown = || HubError::Unknown(id.to_owned());
        let (owner, name) = id.split_once('/').filter(|_| is_repository_id(id)).ok_or_else(unknown)?;
        if let Some(variant) = variant.map(Variant::as_str).filter(|text| !text.is_empty()) {
            match self.revision(line, (owner, name), Some(variant), token) {
                Err(HubError::Unknown(_)) => {}
                other => return other,
            }
        }
        self.revision(line, (owner, name), None, token)
    }

    fn revision(
        &self,
        line: &Line,
        (owner, name): (&str, &str),
        revision: Option<&str>,
        token: Option<&str>,
    ) -> Result<Repository, HubError> {
        let id = format!("{owner}/{name}");
        let mut path = vec!["api", "models", owner, name];
        path.extend(revision.iter().flat_map(|revision| ["revision", revision]));
        let mut url = self.address(&path).ok_or_else(|| HubError::Unreadable(id.clone()))?;
        url.set_query(Some("blobs=true"));
        let mut reply = line.get(&url, &[("accept", "application/json")], token)?;
        match reply.status {
            200 => {}
            401 | 404 => return Err(HubError::Unknown(id)),
            _ => return Err(HubError::Refused(id, reply.reason())),
        }
        let answer = reply.text(MOST_BYTES)?;
        let unreadable = || HubError::Unreadable(id.clone());
        let map: Map<String, Value> = serde_json::from_str(&answer).map_err(|_| unreadable())?;
        let siblings = map.get("siblings").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut files = Vec::new();
        for file in siblings.iter().take(MOST_FILES) {
            let Some(inner) = file.get("rfilename").and_then(Value::as_str) else {
                continue;
            };
            // A path that leads elsewhere is none of a repository's.
            if inner
                .split('/')
                .any(|step| matches!(step, "" | "." | "..") || step.contains(['\\', '\0']))
            {
                continue;
            }
            let mut place = vec![owner, name, "resolve", revision.unwrap_or("main")];
            place.extend(inner.split('/'));
            let large = file.get("lfs");
            files.push(RepoFile {
                url: self.address(&place).ok_or_else(unreadable)?,
                path: format!("{name}/{inner}"),
                size: [file.get("size"), large.and_then(|large| large.get("size"))]
                    .into_iter()
                    .flatten()
                    .find_map(Value::as_u64)
                    .unwrap_or(0),
                sha256: large
                    .and_then(|large| large.get("sha256").or_else(|| large.get("oid")))
                    .and_then(Value::as_str)
                    .map(|text| text.trim_start_matches("sha256:").to_owned())
                    .filter(|text| text.len() == 64),
            });
        }
        Ok(Repository {
            id: map.get("id").and_then(Value::as_str).unwrap_or(&id).to_owned(),
            name: name.to_owned(),
            files,
            answer,
        })
    }

    /// Whether the hub knows a token.
    pub fn knows(&self, line: &Line, token: &str) -> Result<bool, HttpError> {
        let url = self
            .address(&["api", "whoami-v2"])
            .ok_or_else(|| HttpError::Scheme(self.base.to_string()))?;
        line.get(&url, &[], Some(token)).map(|reply| reply.status == 200)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_lead_to_repositories_and_files() {
        let hub = Hub::new("https://hub.example".parse().unwrap());
        let page = |text: &str| hub.repository_of_page(&text.parse().unwrap());
        assert_eq!(page("https://huggingface.co/a/b.c").as_deref(), Some("a/b.c"));
        assert_eq!(page("https://hub.example/a/b").as_deref(), Some("a/b"));
        for text in [
            "https://huggingface.co/a",
            "https://huggingface.co/a/b/tree/main",
            "https://other.example/a/b",
        ] {
            assert_eq!(page(text), None, "{text}");
        }
        let file = |text: &str| hub.file_of_page(&text.parse().unwrap()).to_string();
        assert_eq!(
            file("https://huggingface.co/a/b/blob/main/x/y.safetensors?z=1"),
            "https://huggingface.co/a/b/resolve/main/x/y.safetensors?z=1"
        );
        assert_eq!(
            file("https://other.example/a/b/blob/main/x"),
            "https://other.example/a/b/blob/main/x"
        );
    }
}
