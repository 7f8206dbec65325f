//! Installed models: everybody sees them, administrators change them.

mod convert;
mod cover;
mod download;
mod downloaded;
mod edit;
mod hub;
mod install;
mod installer;
mod job;
mod marker;
mod places;
mod plan;
mod read;
mod relations;
mod shipped;
mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use hub::{LinkOutcome, TokenStatus};
pub use installer::Installer;
pub use job::{Fault, InstallJob, JobStatus};
use plan::PlanError;
pub use source::InstallSource;

use super::Shared;
use crate::models::ModelRecord;

/// Use of models.
#[derive(Clone)]
pub struct Models {
    pub(crate) shared: Arc<Shared>,
    pub(crate) installer: Arc<Installer>,
}

impl Models {
    pub(crate) fn new(shared: Arc<Shared>, installer: Arc<Installer>) -> Self {
        Self { shared, installer }
    }

    /// The absolute place of a model's weights.
    fn path_of(&self, record: &ModelRecord) -> std::path::PathBuf {
        self.shared.layout.models_dir().join(record.path())
    }
}
