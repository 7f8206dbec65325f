//! Installed models: everybody sees them, administrators change them.

mod cover;
mod edit;
mod install;
mod jobs;
mod places;
mod read;
mod relations;
mod shipped;

use std::sync::Arc;

pub use jobs::{InstallJob, InstallSource, Installer, JobStatus};

use super::Shared;
use crate::models::ModelRecord;

/// Use of models.
#[derive(Clone)]
pub struct Models {
    pub(crate) shared: Arc<Shared>,
    pub(crate) installer: Arc<Installer>,
}

impl Models {
    /// The absolute place of a model's weights.
    fn path_of(&self, record: &ModelRecord) -> std::path::PathBuf {
        self.shared.layout.models_dir().join(record.path())
    }
}
