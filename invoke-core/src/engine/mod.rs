//! Where sessions run.
//!
//! An [`Engine`] owns one device and runs one session at a time there, or a few that are alike side by side. A [`Job`] goes in; events, finished pictures
//! and at last the session come out through a [`Host`]. An engine has no database: whatever a running node must read it asks of the host, which answers
//! under the rights of the session's owner.

pub mod devices;
pub mod gains;
mod job;
pub mod local;

pub use job::{CancelFlag, Finished, HostError, ImageToSave, Job, NodeEvent, NodeRef, Outcome};
pub use local::LocalEngine;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;

use crate::domain::{
    ItemId, panic_text,
    queue_item::{Failure, Likeness},
};

pub use crate::nodes::{ModelOnDisk, ModelQuery, SavedImage};

/// What an engine runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// `cpu`, `cuda:0`, `mps`.
    pub id: String,
    /// Name for people.
    pub name: String,
}

impl Device {
    /// Whether progress events name it; the original names accelerators only.
    pub fn is_accelerator(&self) -> bool {
        self.id != "cpu" && self.id != "mps"
    }
}

/// Runs sessions on one device.
pub trait Engine: Send + Sync {
    /// What it runs on.
    fn device(&self) -> &Device;

    /// Runs a session to its end and says how it ended. Blocks; the caller gives it a thread of its own.
    /// `job.cancel` may be set at any time; the engine ends within one step of it.
    fn run(&self, job: Job, host: Arc<dyn Host>) -> Finished;

    /// How many sessions of a likeness it wants at a time: as many as it gains by; 1 if it gains nothing.
    fn at_a_time(&self, _likeness: &Likeness) -> usize {
        1
    }

    /// Runs sessions, those of one likeness side by side if it can, and tells of each how it ended as soon as it has. A session that panics fails, and
    /// no other with it.
    fn run_all(&self, sessions: Vec<(Job, Arc<dyn Host>)>, ended: &(dyn Fn(ItemId, Finished) + Sync)) {
        for (job, host) in sessions {
            ended(job.item_id, guarded(job, |job| self.run(job, host)));
        }
    }

    /// Keys of the models that it has in memory.
    fn loaded_models(&self) -> Vec<String> {
        Vec::new()
    }

    /// After how long without work it is to [`rest`](Self::rest); `None` if never.
    fn rests_after(&self) -> Option<Duration> {
        None
    }

    /// Lets go of what it holds for work that may come: there has been none for [that long](Self::rests_after).
    fn rest(&self) {}
}

/// Runs a session, which fails if it panics.
pub(crate) fn guarded(job: Job, run: impl FnOnce(Job) -> Finished) -> Finished {
    let (item_id, session) = (job.item_id, job.session.clone());
    catch_unwind(AssertUnwindSafe(|| run(job))).unwrap_or_else(|panic| {
        let text = panic_text(&*panic);
        tracing::error!(item_id, "a session panicked: {text}");
        Finished::failed(session, Failure::of_panic(text))
    })
}

/// Who waits for a download.
pub struct DownloadWatch<'w> {
    /// Whether they still do.
    pub goes_on: &'w (dyn Fn() -> bool + Sync),
    /// Told the share that has arrived, 0 to 1.
    pub share: &'w dyn Fn(f64),
}

/// What a running session may ask of the server, and what it tells it. Every answer is given under the rights of the session's owner.
pub trait Host: Send + Sync {
    /// Something happened to a node. Called in order.
    fn event(&self, event: NodeEvent);

    /// Stores a picture for the session's owner.
    fn save_image(&self, image: ImageToSave) -> Result<SavedImage, HostError>;

    /// Writes a file for people to take away into a folder below the outputs folder.
    fn export_file(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<(), HostError>;

    /// The bytes of a stored picture that the owner may see.
    fn load_image(&self, image_name: &str) -> Result<Vec<u8>, HostError>;

    /// The record of an installed model, with the absolute folder or file of its weights; `None` if there is no such model.
    fn model(&self, key: &str) -> Result<Option<ModelOnDisk>, HostError>;

    /// The file or folder that lies at `source`, an address or a repository of Hugging Face, fetched if it is not there yet; `None` if `watch` says that
    /// nobody waits for it. An error that names it and the place to put it if it cannot be fetched.
    fn downloaded(&self, source: &str, watch: &DownloadWatch<'_>) -> Result<Option<std::path::PathBuf>, HostError>;

    /// What was recorded with a stored picture that the owner may see.
    fn image_metadata(&self, image_name: &str) -> Result<Option<Value>, HostError>;

    /// Records of the installed models that match.
    fn find_models(&self, query: ModelQuery<'_>) -> Result<Vec<Value>, HostError>;

    /// Positive and negative template of a style preset that the owner may see.
    fn style_preset(&self, id: &str) -> Result<Option<(String, String)>, HostError>;

    /// The text of a file of the server, if the owner may read such files.
    fn text_file(&self, path: &str) -> Result<String, HostError>;

    /// A model begins to load (`false`) or is loaded (`true`).
    fn model_loading(&self, key: &str, submodel: Option<&str>, done: bool);

    /// A number from the system's generator.
    fn random_u32(&self) -> u32;

    /// Whether the owner's account may still run jobs.
    fn owner_is_active(&self) -> bool;
}
