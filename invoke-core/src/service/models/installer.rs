//! All install jobs of one core: what waits, who works on it, what is announced.
//!
//! Files are fetched by a few threads, a job by one of them; models are installed by one thread, in the order in which their files were there.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, Weak},
    thread::JoinHandle,
};

use parking_lot::{Condvar, Mutex};
use serde_json::Value;

use super::{
    job::{Fault, InstallJob, JobStatus},
    marker,
};
use crate::{
    events::{Event, InstallStage},
    models::remote::{Client, Part, PartStatus, Stop},
    service::Shared,
};

/// Jobs whose files are fetched at the same time.
const MOST_DOWNLOADS: usize = 5;

/// Told when a model's weights in memory are out of date.
type Forget = Box<dyn Fn(&str) + Send + Sync>;

/// All install jobs of one core.
pub struct Installer {
    pub(super) desk: Arc<Desk>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    forget: Mutex<Option<Forget>>,
    /// What is being fetched that nodes need, each with a lock that whoever fetches it holds.
    fetching: Mutex<HashMap<String, Weak<Mutex<()>>>>,
    /// Held while a model is converted.
    pub(super) converting: Mutex<()>,
    /// Keys of models with which something is being done.
    pub(super) claims: Mutex<HashSet<String>>,
}

/// Where jobs wait and are looked up.
pub(super) struct Desk {
    pub(super) shared: Arc<Shared>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: Vec<Entry>,
    next_job: u64,
    next_part: u64,
    stopping: bool,
}

struct Entry {
    job: InstallJob,
    /// Who works on it can be stopped by this.
    work: Option<Arc<Stop>>,
    /// Whether a thread works on it, even if it was told to stop.
    busy: bool,
}

/// What the threads do with a job.
pub(super) trait Work: Send + Sync + 'static {
    /// Fetches a job's files; the desk learns how it goes.
    fn fetch(&self, job: InstallJob, stop: &Stop);
    /// Installs what is there, and returns its record.
    fn install(&self, job: &InstallJob) -> Result<Value, Fault>;
    /// A client under the present configuration.
    fn client(&self) -> Result<Client, Fault>;
}

impl Installer {
    /// No jobs, no threads.
    pub fn new(shared: Arc<Shared>) -> Self {
        let desk = Desk {
            shared,
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        Self {
            desk: Arc::new(desk),
            threads: Mutex::default(),
            forget: Mutex::default(),
            fetching: Mutex::default(),
            converting: Mutex::default(),
            claims: Mutex::default(),
        }
    }

    /// The lock under which a source that nodes need is fetched. Other sources have others: nobody waits for what they do not need.
    pub(super) fn lock_of(&self, source: &str) -> Arc<Mutex<()>> {
        let mut fetching = self.fetching.lock();
        fetching.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = fetching.get(source).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        fetching.insert(source.to_owned(), Arc::downgrade(&lock));
        lock
    }

    /// Starts the threads.
    pub(super) fn start(&self, work: Arc<dyn Work>) -> std::io::Result<()> {
        let (desk, of_installer) = (Arc::clone(&self.desk), Arc::clone(&work));
        let mut threads = self.threads.lock();
        let spawn = |name: &str| std::thread::Builder::new().name(name.to_owned());
        threads.push(spawn("installer").spawn(move || desk.install_all(&*of_installer))?);
        for _ in 0..MOST_DOWNLOADS {
            let (desk, work) = (Arc::clone(&self.desk), Arc::clone(&work));
            threads.push(spawn("download").spawn(move || desk.fetch_all(&*work))?);
        }
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

    /// Lets the running installation end, pauses downloads so that the next run of the program can go on with them, and takes nothing further.
    pub fn stop(&self) {
        self.desk.stop();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the installer ended by a panic");
            }
        }
    }

    /// Adds a job, or returns the one that already lives for the same source.
    pub(super) fn add(&self, job: InstallJob) -> InstallJob {
        self.desk.add(job)
    }

    /// The job that lives for a source.
    pub(super) fn living(&self, source: &super::InstallSource) -> Option<InstallJob> {
        let state = self.desk.state.lock();
        let same = |entry: &&Entry| !entry.job.status.is_over() && entry.job.source.is_same(source);
        state.jobs.iter().find(same).map(|entry| entry.job.clone())
    }

    /// All jobs, oldest first.
    pub(super) fn jobs(&self) -> Vec<InstallJob> {
        self.desk.state.lock().jobs.iter().map(|entry| entry.job.clone()).collect()
    }

    /// One job.
    pub(super) fn job(&self, id: u64) -> Option<InstallJob> {
        self.desk.read(id, InstallJob::clone)
    }

    /// Calls a job off, unless it is being installed or over; and says whether it did.
    pub(super) fn cancel(&self, id: u64) -> Option<(InstallJob, bool)> {
        let (job, idle) = {
            let mut state = self.desk.state.lock();
            let entry = state.jobs.iter_mut().find(|entry| entry.job.id == id)?;
            if entry.job.status.is_over() || entry.job.status == JobStatus::Running {
                return Some((entry.job.clone(), false));
            }
            entry.job.status = JobStatus::Cancelled;
            if let Some(work) = &entry.work {
                work.stop(true);
            }
            (entry.job.clone(), !entry.busy)
        };
        if idle {
            Desk::clean(&job);
            self.desk.announce(&job, InstallStage::Cancelled);
        }
        Some((job, true))
    }

    /// Pauses a job's downloads, and says whether it did; one without downloads goes on.
    pub(super) fn pause(&self, id: u64) -> Option<(InstallJob, bool)> {
        let mut state = self.desk.state.lock();
        let entry = state.jobs.iter_mut().find(|entry| entry.job.id == id)?;
        let pausable = matches!(entry.job.status, JobStatus::Waiting | JobStatus::Downloading) && entry.job.source.is_remote();
        if pausable {
            entry.pause();
            marker::write(&entry.job, JobStatus::Paused, self.desk.shared.env.now());
        }
        Some((entry.job.clone(), pausable))
    }

    /// Goes on with a paused job, and says whether it was one.
    pub(super) fn resume(&self, id: u64) -> Option<(InstallJob, bool)> {
        self.again(id, |job| job.status == JobStatus::Paused, |_| ())
    }

    /// Begins the files of a job anew that failed or cannot be gone on with, and those that are missing; and says whether there was
    /// anything to begin.
    pub(super) fn restart_failed(&self, id: u64) -> Option<(InstallJob, bool)> {
        let fits = |job: &InstallJob| matches!(job.status, JobStatus::Paused | JobStatus::Error) && job.needs_restart();
        self.again(id, fits, |part| {
            if part.status != PartStatus::Completed {
                part.clear();
            }
        })
    }

    /// Begins one file of a job anew, and says whether it did.
    pub(super) fn restart_file(&self, id: u64, url: &str) -> Option<(InstallJob, bool)> {
        let fits = |job: &InstallJob| {
            matches!(job.status, JobStatus::Paused | JobStatus::Error) && job.parts.iter().any(|part| part.url.as_str() == url)
        };
        self.again(id, fits, |part| {
            if part.url.as_str() == url {
                part.clear();
            }
        })
    }

    fn again(&self, id: u64, fits: impl Fn(&InstallJob) -> bool, each: impl Fn(&mut Part)) -> Option<(InstallJob, bool)> {
        let mut state = self.desk.state.lock();
        let entry = state.jobs.iter_mut().find(|entry| entry.job.id == id)?;
        let begins = fits(&entry.job);
        if begins {
            for part in &mut entry.job.parts {
                each(part);
                if part.status != PartStatus::Completed {
                    part.status = PartStatus::Waiting;
                    (part.resume_required, part.error) = (false, None);
                }
            }
            entry.job.error = None;
            entry.job.status = JobStatus::Waiting;
            entry.job.count();
        }
        let job = entry.job.clone();
        drop(state);
        self.desk.changed.notify_all();
        Some((job, begins))
    }

    /// Drops the jobs that are over, and says whether there were any.
    pub(super) fn prune(&self) -> bool {
        let mut state = self.desk.state.lock();
        let before = state.jobs.len();
        state.jobs.retain(|entry| !entry.job.status.is_over());
        state.jobs.len() < before
    }
}

impl Entry {
    fn pause(&mut self) {
        self.job.status = JobStatus::Paused;
        for part in &mut self.job.parts {
            if matches!(part.status, PartStatus::Waiting | PartStatus::Running) {
                part.status = PartStatus::Paused;
            }
        }
        if let Some(work) = &self.work {
            work.stop(false);
        }
    }
}

impl Desk {
    fn add(&self, mut job: InstallJob) -> InstallJob {
        let mut state = self.state.lock();
        let same = |entry: &&Entry| !entry.job.status.is_over() && entry.job.source.is_same(&job.source);
        if let Some(entry) = state.jobs.iter().find(same) {
            let (living, superfluous) = (entry.job.clone(), job);
            drop(state);
            if superfluous.folder != living.folder {
                Self::clean(&superfluous);
            }
            return living;
        }
        job.id = state.next_job;
        state.next_job += 1;
        // The whole has a number too, before its parts.
        if !job.parts.is_empty() {
            state.next_part += 1;
        }
        for part in &mut job.parts {
            part.id = state.next_part;
            state.next_part += 1;
        }
        state.jobs.push(Entry {
            job: job.clone(),
            work: None,
            busy: false,
        });
        drop(state);
        self.changed.notify_all();
        job
    }

    /// Numbers for a job's parts that were found late.
    pub(super) fn number(&self, job: &mut InstallJob) {
        let mut state = self.state.lock();
        state.next_part += 1;
        for part in &mut job.parts {
            part.id = state.next_part;
            state.next_part += 1;
        }
    }

    /// Reads a job.
    pub(super) fn read<T>(&self, id: u64, read: impl FnOnce(&InstallJob) -> T) -> Option<T> {
        let state = self.state.lock();
        state.jobs.iter().find(|entry| entry.job.id == id).map(|entry| read(&entry.job))
    }

    /// Changes a job and returns it as it is then; a job that was dropped meanwhile is left alone.
    pub(super) fn change(&self, id: u64, change: impl FnOnce(&mut InstallJob)) -> Option<InstallJob> {
        let mut state = self.state.lock();
        let entry = state.jobs.iter_mut().find(|entry| entry.job.id == id)?;
        change(&mut entry.job);
        Some(entry.job.clone())
    }

    /// Says what became of a job.
    pub(super) fn announce(&self, job: &InstallJob, stage: InstallStage) {
        let event = Event::ModelInstall {
            id: i64::try_from(job.id).unwrap_or(i64::MAX),
            source: job.source.to_json(),
            stage,
        };
        self.shared.bus.publish(self.shared.env.now(), event);
    }

    /// Removes the folder of a job's files. Nothing else is ever removed: the folder is one of those that jobs make.
    pub(super) fn clean(job: &InstallJob) {
        let Some(folder) = job.folder.as_deref().filter(|folder| is_ours(folder)) else {
            return;
        };
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!("the files of a job that is over stay at {}: {error}", folder.display());
            }
            _ => {}
        }
    }

    /// Ends a job by an error: its files go, so that all of them are fetched if somebody begins it again.
    pub(super) fn fail(&self, id: u64, (class, text): Fault) {
        self.read(id, InstallJob::clone).iter().for_each(Self::clean);
        let failed = self.change(id, |job| {
            let fault = if job.got_a_page() {
                let place = job.local_path.display();
                let text = format!("At least one file in {place} is a web page, not a model: the other side may want an access token");
                ("ValueError".to_owned(), text)
            } else {
                (class, text)
            };
            job.error = Some(fault);
            job.status = JobStatus::Error;
            for part in &mut job.parts {
                if part.status != PartStatus::Error {
                    part.status = PartStatus::Waiting;
                    part.bytes = 0;
                }
            }
        });
        let Some(job) = failed else { return };
        let (error_type, error) = job.error.clone().unwrap_or_default();
        tracing::warn!("a model could not be installed from {}: {error_type}: {error}", job.source.kind());
        self.announce(&job, InstallStage::Failed { error_type, error });
    }

    fn stop(&self) {
        let mut state = self.state.lock();
        state.stopping = true;
        for entry in &mut state.jobs {
            let unfinished = matches!(entry.job.status, JobStatus::Waiting | JobStatus::Downloading);
            if unfinished && entry.job.source.is_remote() {
                entry.pause();
                marker::write(&entry.job, JobStatus::Paused, self.shared.env.now());
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    fn fetch_all(&self, work: &dyn Work) {
        loop {
            let job = {
                let mut state = self.state.lock();
                loop {
                    if state.stopping {
                        return;
                    }
                    let ready = |entry: &&mut Entry| !entry.busy && entry.job.status == JobStatus::Waiting && entry.job.source.is_remote();
                    if let Some(entry) = state.jobs.iter_mut().find(ready) {
                        entry.busy = true;
                        break entry.job.clone();
                    }
                    self.changed.wait(&mut state);
                }
            };
            let id = job.id;
            match work.client() {
                Ok(client) => {
                    let stop = Arc::new(Stop::new(client.line()));
                    if self.hand_out(id, &stop) {
                        let fetched = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work.fetch(job, &stop)));
                        if let Err(panic) = fetched {
                            self.fail(id, ("RuntimeError".into(), crate::domain::panic_text(&*panic)));
                        }
                    }
                }
                Err(fault) => self.fail(id, fault),
            }
            self.take_back(id);
        }
    }

    /// Gives others the means to stop the work on a job; false if it is no longer wanted.
    fn hand_out(&self, id: u64, stop: &Arc<Stop>) -> bool {
        let mut state = self.state.lock();
        let Some(entry) = state.jobs.iter_mut().find(|entry| entry.job.id == id) else {
            return false;
        };
        entry.work = Some(Arc::clone(stop));
        entry.job.status == JobStatus::Waiting
    }

    fn take_back(&self, id: u64) {
        let mut state = self.state.lock();
        let Some(entry) = state.jobs.iter_mut().find(|entry| entry.job.id == id) else {
            return;
        };
        (entry.busy, entry.work) = (false, None);
        let cancelled = (entry.job.status == JobStatus::Cancelled).then(|| entry.job.clone());
        drop(state);
        if let Some(job) = cancelled {
            Self::clean(&job);
            self.announce(&job, InstallStage::Cancelled);
        }
        self.changed.notify_all();
    }

    fn install_all(&self, work: &dyn Work) {
        while let Some(job) = self.take_installable() {
            marker::write(&job, JobStatus::Running, self.shared.env.now());
            self.announce(&job, InstallStage::Started);
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work.install(&job)))
                .unwrap_or_else(|panic| Err(("RuntimeError".into(), crate::domain::panic_text(&*panic))));
            match result {
                Ok(record) => self.complete(job.id, record),
                Err(fault) => self.fail(job.id, fault),
            }
        }
    }

    fn take_installable(&self) -> Option<InstallJob> {
        let mut state = self.state.lock();
        loop {
            if state.stopping {
                return None;
            }
            let ready = |entry: &&mut Entry| {
                let status = entry.job.status;
                let remote = entry.job.source.is_remote();
                !entry.busy && (status == JobStatus::DownloadsDone && remote || status == JobStatus::Waiting && !remote)
            };
            if let Some(entry) = state.jobs.iter_mut().find(ready) {
                entry.job.status = JobStatus::Running;
                let size = crate::models::size_of(&entry.job.local_path).unwrap_or(0);
                (entry.job.bytes, entry.job.total_bytes) = (size, size);
                return Some(entry.job.clone());
            }
            self.changed.wait(&mut state);
        }
    }

    fn complete(&self, id: u64, record: Value) {
        self.read(id, InstallJob::clone).iter().for_each(Self::clean);
        let done = self.change(id, |job| {
            job.record = Some(record.clone());
            job.status = JobStatus::Completed;
        });
        let Some(job) = done else { return };
        let stage = InstallStage::Complete {
            key: record["key"].as_str().unwrap_or_default().to_owned(),
            total_bytes: job.total_bytes,
            config: record,
        };
        self.announce(&job, stage);
    }
}

/// What the names of the jobs' folders begin with.
pub(super) const FOLDERS: &str = "tmpinstall_";

/// Whether a folder is one that jobs make.
fn is_ours(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(FOLDERS))
}
