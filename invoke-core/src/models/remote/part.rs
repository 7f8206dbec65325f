//! One file of a model that is fetched.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use url::Url;

use crate::config::Secret;

/// What a file in the making is called: its name and this.
const UNFINISHED: &str = ".downloading";

/// Where a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartStatus {
    /// Not begun.
    Waiting,
    /// Bytes arrive.
    Running,
    /// Stopped, to be gone on with.
    Paused,
    /// It is there.
    Completed,
    /// Called off.
    Cancelled,
    /// It failed.
    Error,
}

impl PartStatus {
    /// The text on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Error => "error",
        }
    }
}

/// A token for the other side.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// The token.
    pub secret: Secret,
    /// Whether the caller gave it with the request, and so may read it back; one from the configuration is shown to nobody.
    pub shown: bool,
}

impl Token {
    /// What the wire carries of it.
    pub fn to_json(token: Option<&Self>) -> Value {
        token
            .filter(|token| token.shown)
            .map_or(Value::Null, |token| json!(token.secret.expose()))
    }
}

/// One file: where it comes from, where it goes, how far it is.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its number among all downloads of the process.
    pub id: u64,
    /// Where it comes from.
    pub url: Url,
    /// Where it goes: a file, or a folder in which the other side names it.
    pub dest: PathBuf,
    /// Whether `dest` is that folder.
    pub into_folder: bool,
    /// The file, once its name is known.
    pub path: Option<PathBuf>,
    /// Where it stands.
    pub status: PartStatus,
    /// Bytes that are there.
    pub bytes: u64,
    /// Bytes in all, 0 while that is not known.
    pub total_bytes: u64,
    /// The size that was announced before it was asked for, or by the last reply.
    pub expected_bytes: Option<u64>,
    /// SHA-256 of the whole, in hexadecimal, where the other side tells.
    pub sha256: Option<String>,
    /// Class and text of the error.
    pub error: Option<(String, String)>,
    /// What is sent along.
    pub token: Option<Token>,
    /// When it began, ISO.
    pub started: Option<String>,
    /// When it ended, ISO.
    pub ended: Option<String>,
    /// What the other side says it is.
    pub content_type: Option<String>,
    /// Mark of this version of it.
    pub etag: Option<String>,
    /// When it last changed over there.
    pub last_modified: Option<String>,
    /// Where it came from in the end, redirects followed.
    pub final_url: Option<String>,
    /// Whether somebody has to decide: it cannot simply be gone on with.
    pub resume_required: bool,
    /// Why.
    pub resume_message: Option<String>,
    /// Whether it began anew although part of it had been there.
    pub from_scratch: bool,
}

impl Part {
    /// A file not begun.
    pub fn new(id: u64, url: Url, dest: PathBuf, into_folder: bool, token: Option<Token>) -> Self {
        Self {
            id,
            url,
            dest,
            into_folder,
            path: None,
            status: PartStatus::Waiting,
            bytes: 0,
            total_bytes: 0,
            expected_bytes: None,
            sha256: None,
            error: None,
            token,
            started: None,
            ended: None,
            content_type: None,
            etag: None,
            last_modified: None,
            final_url: None,
            resume_required: false,
            resume_message: None,
            from_scratch: false,
        }
    }

    /// The file in the making that becomes `path`.
    pub fn unfinished(path: &Path) -> PathBuf {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(UNFINISHED);
        path.with_file_name(name)
    }

    /// The only file in the making in a folder, as the path that it will have.
    pub fn unfinished_in(folder: &Path) -> Option<PathBuf> {
        let mut found = std::fs::read_dir(folder).ok()?.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some(folder.join(name.strip_suffix(UNFINISHED)?))
        });
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// Removes what is there of it.
    pub fn clear(&mut self) {
        let path = self.path.clone().or_else(|| (!self.into_folder).then(|| self.dest.clone()));
        for file in path.iter().flat_map(|path| [path.clone(), Self::unfinished(path)]) {
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!("{} cannot be removed: {error}", file.display());
                }
                _ => {}
            }
        }
        self.bytes = 0;
        self.status = PartStatus::Waiting;
        (self.etag, self.last_modified, self.resume_message, self.error) = (None, None, None, None);
        (self.resume_required, self.from_scratch) = (false, false);
    }

    /// The JSON of the wire.
    pub fn to_json(&self) -> Value {
        let shown = |path: &Path| path.display().to_string();
        json!({
            "id": self.id,
            "dest": shown(&self.dest),
            "download_path": self.path.as_deref().map(shown),
            "status": self.status.as_str(),
            "bytes": self.bytes,
            "total_bytes": self.total_bytes,
            "error_type": self.error.as_ref().map(|(class, text)| format!("{class}({text})")),
            "error": self.error.as_ref().map(|(class, text)| format!("{class}: {text}")),
            "source": self.url.as_str(),
            "access_token": Token::to_json(self.token.as_ref()),
            "priority": 10,
            "job_started": self.started,
            "job_ended": self.ended,
            "content_type": self.content_type,
            "canonical_url": self.url.as_str(),
            "etag": self.etag,
            "last_modified": self.last_modified,
            "final_url": self.final_url,
            "expected_total_bytes": self.expected_bytes,
            "resume_required": self.resume_required,
            "resume_message": self.resume_message,
            "resume_from_scratch": self.from_scratch,
        })
    }

    /// What is kept on disk to go on with it after a restart.
    pub fn to_marker(&self) -> Value {
        json!({
            "url": self.url.as_str(),
            "canonical_url": self.url.as_str(),
            "etag": self.etag,
            "last_modified": self.last_modified,
            "expected_total_bytes": self.expected_bytes,
            "final_url": self.final_url,
            "download_path": self.path.as_ref().map(|path| path.display().to_string()),
            "resume_required": self.resume_required,
            "resume_message": self.resume_message,
        })
    }

    /// Takes over what an earlier run kept. A path outside of the place where the file goes is not believed.
    pub fn remember(&mut self, kept: &Map<String, Value>) {
        let text = |key: &str| kept.get(key).and_then(Value::as_str).map(str::to_owned);
        self.etag = text("etag");
        self.last_modified = text("last_modified");
        self.expected_bytes = kept.get("expected_total_bytes").and_then(Value::as_u64).or(self.expected_bytes);
        let place = text("download_path").map(PathBuf::from);
        self.path = place.filter(|path| {
            if self.into_folder {
                path.parent() == Some(&*self.dest)
            } else {
                *path == self.dest
            }
        });
    }
}
