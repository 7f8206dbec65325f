//! One install job.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::source::{InstallSource, wishes_in_full};
use crate::models::remote::{Part, PartStatus};

/// Where an install job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    /// It waits for its turn.
    Waiting,
    /// Its files arrive.
    Downloading,
    /// Its files are there, and it waits for its turn.
    DownloadsDone,
    /// It runs.
    Running,
    /// Its downloads stand still until somebody lets them go on.
    Paused,
    /// The model is installed.
    Completed,
    /// It failed.
    Error,
    /// It was called off.
    Cancelled,
}

impl JobStatus {
    const ALL: &'static [Self] = &[
        Self::Waiting,
        Self::Downloading,
        Self::DownloadsDone,
        Self::Running,
        Self::Paused,
        Self::Completed,
        Self::Error,
        Self::Cancelled,
    ];

    /// The text on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Downloading => "downloading",
            Self::DownloadsDone => "downloads_done",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
        }
    }

    /// From the text of the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|status| status.as_str() == text)
    }

    /// Whether nothing more will happen.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Error | Self::Cancelled)
    }
}

/// Class and text of an error, as a job shows them.
pub type Fault = (String, String);

/// One install job.
#[derive(Debug, Clone)]
pub struct InstallJob {
    /// Its number, from 0 in each process.
    pub id: u64,
    /// Where it stands.
    pub status: JobStatus,
    /// Where the model comes from.
    pub source: InstallSource,
    /// What the caller wants its record to say.
    pub wishes: Map<String, Value>,
    /// The finished record.
    pub record: Option<Value>,
    /// What is to be installed, or, before its name is known, the folder it will lie in.
    pub local_path: PathBuf,
    /// The folder for its files; it goes when the job is over.
    pub folder: Option<PathBuf>,
    /// What the hub says of the repository.
    pub metadata: Option<Value>,
    /// Its files.
    pub parts: Vec<Part>,
    /// Whether files have begun to arrive.
    pub begun: bool,
    /// Bytes that are there.
    pub bytes: u64,
    /// Bytes in all, as far as they are known.
    pub total_bytes: u64,
    /// Class and text of the error.
    pub error: Option<Fault>,
    /// What an earlier run of the program kept of its files, by their addresses.
    pub kept: Map<String, Value>,
}

impl InstallJob {
    /// A job for a source, not begun.
    pub fn new(source: InstallSource, wishes: Map<String, Value>) -> Self {
        let local_path = match &source {
            InstallSource::Local { path, .. } => path.clone(),
            _ => PathBuf::new(),
        };
        Self {
            id: 0,
            status: JobStatus::Waiting,
            source,
            wishes,
            record: None,
            local_path,
            folder: None,
            metadata: None,
            parts: Vec::new(),
            begun: false,
            bytes: 0,
            total_bytes: 0,
            error: None,
            kept: Map::new(),
        }
    }

    /// Adds up what its files have.
    pub(super) fn count(&mut self) {
        self.bytes = self.parts.iter().map(|part| part.bytes).sum();
        let total = self
            .parts
            .iter()
            .map(|part| part.total_bytes.max(part.expected_bytes.unwrap_or(0)))
            .sum();
        self.total_bytes = self.total_bytes.max(total);
    }

    /// Takes the first file's beginning for that of the whole: what is installed is the file, or the folder it lies in.
    pub(super) fn begin(&mut self, file: &Path) {
        self.begun = true;
        if self.status == JobStatus::Waiting {
            self.status = JobStatus::Downloading;
        }
        let below = self
            .folder
            .as_deref()
            .and_then(|folder| Some((folder, file.strip_prefix(folder).ok()?)));
        if let Some((folder, below)) = below
            && let Some(first) = below.components().next()
        {
            self.local_path = folder.join(first);
        }
    }

    /// Whether what arrived is, at least in part, a page rather than a model.
    pub(super) fn got_a_page(&self) -> bool {
        let is_page = |part: &Part| part.content_type.as_deref().is_some_and(|kind| kind.contains("text/html"));
        self.parts.iter().any(is_page)
    }

    /// Its files, as events of its progress list them.
    pub(super) fn progress(&self) -> Value {
        let shown = |part: &Part| {
            json!({
                "url": part.url.as_str(),
                "local_path": part.path.as_ref().unwrap_or(&part.dest).display().to_string(),
                "bytes": part.bytes,
                "total_bytes": part.total_bytes,
            })
        };
        self.parts.iter().map(shown).collect()
    }

    /// Whether some file of it needs a decision, or failed.
    pub(super) fn needs_restart(&self) -> bool {
        self.parts
            .iter()
            .any(|part| part.resume_required || part.status == PartStatus::Error)
    }

    /// What is to become of it, with where it comes from once it is looked at.
    fn config_in(&self) -> Map<String, Value> {
        let mut wishes = wishes_in_full(&self.wishes);
        let is_looked_at = match self.status {
            JobStatus::Running | JobStatus::Completed => true,
            JobStatus::Error => !self.source.is_remote(),
            _ => false,
        };
        if is_looked_at {
            wishes.insert("source".into(), json!(self.source.to_string()));
            wishes.insert("source_type".into(), json!(self.source.kind()));
        }
        wishes
    }

    /// The JSON of the wire.
    pub fn to_json(&self) -> Value {
        let parts: Vec<Value> = self.parts.iter().filter(|_| self.begun).map(Part::to_json).collect();
        json!({
            "id": self.id,
            "status": self.status.as_str(),
            "error_reason": self.error.as_ref().map(|(class, _)| class),
            "config_in": self.config_in(),
            "config_out": self.record,
            "inplace": matches!(self.source, InstallSource::Local { inplace: true, .. } | InstallSource::External { .. }),
            "source": self.source.to_json(),
            "local_path": self.local_path.display().to_string(),
            "bytes": self.bytes,
            "total_bytes": self.total_bytes,
            "source_metadata": self.metadata,
            "download_parts": parts,
            "error": self.error.as_ref().map(|(_, text)| text),
            "error_traceback": self.error.as_ref().map(|(class, text)| format!("{class}: {text}")),
        })
    }
}
