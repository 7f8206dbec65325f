//! Fetching a job's files, one after the other, and telling about it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    Models, PlanError,
    installer::{Desk, Work},
    job::{Fault, InstallJob, JobStatus},
    marker,
    plan::{client, plan},
};
use crate::{
    events::{DownloadStage, Event, InstallStage},
    models::remote::{Client, FetchError, Part, PartStatus, Stop, Wish, fetch},
    service::Shared,
};

/// The work of the installer's threads.
pub(super) struct Worker {
    /// Services without the installer itself, so that it can end.
    pub(super) models: Models,
    /// The jobs.
    pub(super) desk: Arc<Desk>,
}

impl Work for Worker {
    fn client(&self) -> Result<Client, Fault> {
        client(&self.desk.shared.config).map_err(|error| PlanError::from(error).fault())
    }

    fn install(&self, job: &InstallJob) -> Result<Value, Fault> {
        self.models.install_job_now(job)
    }

    fn fetch(&self, job: InstallJob, stop: &Stop) {
        let id = job.id;
        let order = match self.planned(job, stop) {
            Ok(order) => order,
            Err(_) if stop.wish() != Wish::GoOn => return,
            Err(error) => return self.desk.fail(id, error.fault()),
        };
        for index in order {
            let unfinished = |job: &InstallJob| job.parts.get(index).filter(|part| part.status != PartStatus::Completed).cloned();
            let Some(Some(part)) = self.desk.read(id, unfinished) else {
                continue;
            };
            if !self.one(id, index, part, stop) {
                return;
            }
        }
        self.all_there(id);
    }
}

impl Worker {
    /// The files of a job, in the order in which they are fetched.
    fn planned(&self, mut job: InstallJob, stop: &Stop) -> Result<Vec<usize>, PlanError> {
        if job.parts.is_empty() {
            plan(&self.desk.shared.config, stop.line(), &mut job)?;
            self.desk.number(&mut job);
            let (parts, metadata) = (job.parts, job.metadata);
            let planned = self.desk.change(job.id, |job| {
                (job.parts, job.metadata) = (parts, metadata);
                job.kept = Map::new();
                job.count();
            });
            return Ok((0..planned.map_or(0, |job| job.parts.len())).collect());
        }
        Ok((0..job.parts.len()).collect())
    }

    /// Fetches one file; false if the others are not to be fetched.
    fn one(&self, id: u64, index: usize, mut part: Part, stop: &Stop) -> bool {
        part.started = Some(self.desk.shared.env.now().iso_micros());
        let result = fetch(&mut part, stop, &mut |part, begins| self.told(id, index, part, begins));
        part.ended = Some(self.desk.shared.env.now().iso_micros());
        part.status = match &result {
            Ok(()) => PartStatus::Completed,
            Err(FetchError::Stopped) if stop.wish() == Wish::Cancel => PartStatus::Cancelled,
            Err(FetchError::Stopped | FetchError::Interrupted) => PartStatus::Paused,
            Err(FetchError::Failed(class, text)) => {
                part.error = Some((class.clone(), text.clone()));
                PartStatus::Error
            }
        };
        let source = part.url.to_string();
        let path = shown(&part);
        let total_bytes = part.total_bytes;
        let interrupted = matches!(result, Err(FetchError::Interrupted));
        let changed = self.desk.change(id, |job| {
            if let Some(place) = job.parts.get_mut(index) {
                *place = part;
            }
            if interrupted && matches!(job.status, JobStatus::Waiting | JobStatus::Downloading) {
                job.status = JobStatus::Paused;
            }
            job.count();
        });
        match result {
            Ok(()) => {
                self.all_there(id);
                let download_path = path;
                self.tell(
                    source,
                    DownloadStage::Complete {
                        download_path,
                        total_bytes,
                    },
                );
                true
            }
            Err(FetchError::Stopped) => {
                if stop.wish() == Wish::Cancel {
                    self.tell(source, DownloadStage::Cancelled);
                } else {
                    self.keep(changed.as_ref());
                }
                false
            }
            Err(FetchError::Interrupted) => {
                tracing::warn!("a download broke off and is paused");
                self.keep(changed.as_ref());
                false
            }
            Err(FetchError::Failed(class, text)) => {
                self.desk.fail(id, (class.clone(), text.clone()));
                self.tell(source, failed(&class, &text));
                false
            }
        }
    }

    fn keep(&self, job: Option<&InstallJob>) {
        if let Some(job) = job.filter(|job| job.status == JobStatus::Paused) {
            marker::write(job, JobStatus::Paused, self.desk.shared.env.now());
        }
    }

    fn tell(&self, source: String, stage: DownloadStage) {
        tell(&self.desk.shared, source, stage);
    }

    /// A file begins, or gets on.
    fn told(&self, id: u64, index: usize, part: &Part, begins: bool) {
        let changed = self.desk.change(id, |job| {
            if let Some(place) = job.parts.get_mut(index) {
                place.clone_from(part);
            }
            if begins {
                job.begin(part.path.as_deref().unwrap_or(&part.dest));
            }
            job.count();
        });
        let Some(job) = changed else { return };
        if begins {
            if job.status == JobStatus::Downloading {
                marker::write(&job, JobStatus::Downloading, self.desk.shared.env.now());
            }
        } else {
            let stage = InstallStage::DownloadProgress {
                local_path: job.local_path.display().to_string(),
                bytes: job.bytes,
                total_bytes: job.total_bytes,
                parts: job.progress(),
            };
            self.desk.announce(&job, stage);
        }
        self.tell(part.url.to_string(), arriving(part, begins));
    }

    /// Once every file is there the job waits to be installed; whoever waits for that is woken when this thread lets go of it.
    fn all_there(&self, id: u64) {
        let mut done = false;
        let changed = self.desk.change(id, |job| {
            let goes_on = matches!(job.status, JobStatus::Waiting | JobStatus::Downloading);
            if goes_on && job.parts.iter().all(|part| part.status == PartStatus::Completed) {
                job.status = JobStatus::DownloadsDone;
                done = true;
            }
        });
        if let Some(job) = changed.filter(|_| done) {
            marker::write(&job, JobStatus::DownloadsDone, self.desk.shared.env.now());
            self.desk.announce(&job, InstallStage::DownloadsComplete);
        }
    }
}

/// Tells how a download stands.
pub(super) fn tell(shared: &Shared, source: String, stage: DownloadStage) {
    shared.bus.publish(shared.env.now(), Event::Download { source, stage });
}

/// A file that begins, or has got on.
pub(super) fn arriving(part: &Part, begins: bool) -> DownloadStage {
    let download_path = shown(part);
    if begins {
        return DownloadStage::Started(download_path);
    }
    DownloadStage::Progress {
        download_path,
        current_bytes: part.bytes,
        total_bytes: part.total_bytes,
    }
}

/// A file that could not be fetched.
pub(super) fn failed(class: &str, text: &str) -> DownloadStage {
    DownloadStage::Failed {
        error_type: format!("{class}({text})"),
        error: format!("{class}: {text}"),
    }
}

/// Where a file is written to, for people and clients.
pub(super) fn shown(part: &Part) -> String {
    part.path.as_ref().unwrap_or(&part.dest).display().to_string()
}
