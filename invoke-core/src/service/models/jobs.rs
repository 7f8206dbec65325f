//! Install jobs: one worker, in the order in which they were asked for.

use std::{path::PathBuf, sync::Arc, thread::JoinHandle};

use parking_lot::{Condvar, Mutex};
use serde_json::{Map, Value, json};

/// Where an install job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    /// It waits for its turn.
    Waiting,
    /// It runs.
    Running,
    /// The model is installed.
    Completed,
    /// It failed.
    Error,
    /// It was called off.
    Cancelled,
}

impl JobStatus {
    /// The text on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Error | Self::Cancelled)
    }
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum InstallSource {
    /// A file or folder of this machine.
    Local {
        /// Where it lies, absolute.
        path: PathBuf,
        /// Whether it stays there.
        inplace: bool,
    },
}

impl InstallSource {
    /// The JSON of the wire.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Local { path, inplace } => json!({"path": path.display().to_string(), "inplace": inplace, "type": "local"}),
        }
    }
}

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
    /// Size of the model in bytes.
    pub bytes: u64,
    /// Class and text of the error.
    pub error: Option<(String, String)>,
}

/// Keys of the changes that a caller can ask for.
const WISHES: &[&str] = &[
    "source",
    "source_type",
    "source_api_response",
    "source_url",
    "name",
    "path",
    "description",
    "base",
    "type",
    "key",
    "hash",
    "file_size",
    "format",
    "trigger_phrases",
    "default_settings",
    "provider_id",
    "provider_model_id",
    "capabilities",
    "cpu_only",
    "variant",
    "prediction_type",
    "upcast_attention",
    "config_path",
];

impl InstallJob {
    /// The JSON of the wire.
    pub fn to_json(&self) -> Value {
        let config_in: Map<String, Value> = WISHES
            .iter()
            .map(|key| ((*key).to_owned(), self.wishes.get(*key).cloned().unwrap_or(Value::Null)))
            .collect();
        let InstallSource::Local { path, inplace } = &self.source;
        json!({
            "id": self.id,
            "status": self.status.as_str(),
            "error_reason": self.error.as_ref().map(|(kind, _)| kind),
            "config_in": config_in,
            "config_out": self.record,
            "inplace": inplace,
            "source": self.source.to_json(),
            "local_path": path.display().to_string(),
            "bytes": self.bytes,
            "total_bytes": self.bytes,
            "source_metadata": null,
            "download_parts": [],
            "error": self.error.as_ref().map(|(_, text)| text),
            "error_traceback": self.error.as_ref().map(|(kind, text)| format!("{kind}: {text}")),
        })
    }
}

/// Told when a model's weights in memory are out of date.
type Forget = Box<dyn Fn(&str) + Send + Sync>;

/// All install jobs of one core.
pub struct Installer {
    shared: Arc<Desk>,
    thread: Mutex<Option<JoinHandle<()>>>,
    forget: Mutex<Option<Forget>>,
}

#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: Vec<InstallJob>,
    next_id: u64,
    stopping: bool,
}

impl Installer {
    /// No jobs, no worker.
    pub fn new() -> Self {
        Self {
            shared: Arc::default(),
            thread: Mutex::default(),
            forget: Mutex::default(),
        }
    }

    /// Starts the worker; `work` installs one model and returns its record, or class and text of an error.
    pub fn start(&self, work: impl Fn(&InstallJob) -> Result<Value, (String, String)> + Send + 'static) -> std::io::Result<()> {
        let desk = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name("installer".into()).spawn(move || {
            while let Some(job) = desk.take() {
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&job)))
                    .unwrap_or_else(|panic| Err(("RuntimeError".into(), crate::domain::panic_text(&*panic))));
                desk.end(job.id, result);
            }
        })?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Whom to tell that a model changed.
    pub fn on_change(&self, forget: impl Fn(&str) + Send + Sync + 'static) {
        *self.forget.lock() = Some(Box::new(forget));
    }

    /// A model changed or went.
    pub(super) fn forget_loaded(&self, key: &str) {
        if let Some(forget) = &*self.forget.lock() {
            forget(key);
        }
    }

    /// Lets the running job end and takes no further one.
    pub fn stop(&self) {
        self.shared.state.lock().stopping = true;
        self.shared.changed.notify_all();
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the installer ended by a panic");
        }
    }

    /// Adds a job, or returns the one that already waits for the same source.
    pub(super) fn add(&self, source: InstallSource, wishes: Map<String, Value>) -> InstallJob {
        let mut state = self.shared.state.lock();
        if let Some(job) = state.jobs.iter().find(|job| job.source == source && !job.status.is_over()) {
            return job.clone();
        }
        let job = InstallJob {
            id: state.next_id,
            status: JobStatus::Waiting,
            source,
            wishes,
            record: None,
            bytes: 0,
            error: None,
        };
        state.next_id += 1;
        state.jobs.push(job.clone());
        drop(state);
        self.shared.changed.notify_all();
        job
    }

    /// All jobs, oldest first.
    pub(super) fn jobs(&self) -> Vec<InstallJob> {
        self.shared.state.lock().jobs.clone()
    }

    /// One job.
    pub(super) fn job(&self, id: u64) -> Option<InstallJob> {
        self.shared.state.lock().jobs.iter().find(|job| job.id == id).cloned()
    }

    /// Calls a job off that has not begun.
    pub(super) fn cancel(&self, id: u64) -> Option<InstallJob> {
        let mut state = self.shared.state.lock();
        let job = state.jobs.iter_mut().find(|job| job.id == id)?;
        if job.status == JobStatus::Waiting {
            job.status = JobStatus::Cancelled;
        }
        Some(job.clone())
    }

    /// Drops the jobs that are over.
    pub(super) fn prune(&self) {
        self.shared.state.lock().jobs.retain(|job| !job.status.is_over());
    }
}

impl Default for Installer {
    fn default() -> Self {
        Self::new()
    }
}

impl Desk {
    fn take(&self) -> Option<InstallJob> {
        let mut state = self.state.lock();
        loop {
            if state.stopping {
                return None;
            }
            if let Some(job) = state.jobs.iter_mut().find(|job| job.status == JobStatus::Waiting) {
                job.status = JobStatus::Running;
                return Some(job.clone());
            }
            self.changed.wait(&mut state);
        }
    }

    fn end(&self, id: u64, result: Result<Value, (String, String)>) {
        let mut state = self.state.lock();
        let Some(job) = state.jobs.iter_mut().find(|job| job.id == id) else {
            return;
        };
        match result {
            Ok(record) => {
                job.bytes = record["file_size"].as_u64().unwrap_or(0);
                job.record = Some(record);
                job.status = JobStatus::Completed;
            }
            Err(error) => {
                job.error = Some(error);
                job.status = JobStatus::Error;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(path: &str) -> InstallSource {
        InstallSource::Local {
            path: path.into(),
            inplace: true,
        }
    }

    fn wait(installer: &Installer, id: u64) -> InstallJob {
        loop {
            match installer.job(id) {
                Some(job) if job.status.is_over() => return job,
                _ => std::thread::yield_now(),
            }
        }
    }

    #[test]
    fn a_job_that_fails_or_panics_does_not_stop_the_next() {
        let installer = Installer::new();
        installer
            .start(|job| match &job.source {
                InstallSource::Local { path, .. } if path.ends_with("bad") => Err(("ValueError".into(), "no model".into())),
                InstallSource::Local { path, .. } if path.ends_with("worse") => panic!("oh"),
                InstallSource::Local { .. } => Ok(json!({"key": "k", "file_size": 7})),
            })
            .unwrap();
        let ids: Vec<u64> = ["/bad", "/worse", "/good"]
            .map(|path| installer.add(local(path), Map::new()).id)
            .into();
        assert_eq!(wait(&installer, ids[0]).error, Some(("ValueError".into(), "no model".into())));
        assert_eq!(wait(&installer, ids[1]).error.unwrap().1, "oh");
        let good = wait(&installer, ids[2]);
        assert_eq!(
            (good.status, good.to_json()["config_out"]["key"].as_str()),
            (JobStatus::Completed, Some("k"))
        );
        installer.prune();
        assert!(installer.jobs().is_empty());
        installer.stop();
    }
}
