//! Models.

use std::path::PathBuf;

use invoke_bindings::{Session, object};
use invoke_core::{
    domain::{ModelKey, page::Direction},
    repo::models::ModelFilter,
};
use pyo3::{Bound, PyAny, Python, pyclass, pymethods};

use crate::{
    call::{Answer, from_python, read, write},
    error::raised,
};

/// Models.
#[pyclass(frozen, module = "invoke_py")]
pub(crate) struct Models(pub(crate) Session);

#[pymethods]
impl Models {
    /// Installed models, by name.
    #[pyo3(signature = (*, base=None, model_type=None, name=None))]
    fn list(&self, py: Python<'_>, base: Option<String>, model_type: Option<String>, name: Option<String>) -> Answer {
        let filter = ModelFilter {
            bases: base.into_iter().collect(),
            model_type,
            name,
            ..ModelFilter::default()
        };
        read(py, &self.0, |core, actor| core.models.list(actor, &filter, "name", Direction::Asc))
    }

    /// One model.
    fn get(&self, py: Python<'_>, key: &str) -> Answer {
        read(py, &self.0, |core, actor| core.models.get(actor, &ModelKey::new(key)))
    }

    /// Asks for a path, an address or a hub's repository to be installed, for administrators; gives the job. Without `inplace` what lies on this
    /// machine is moved below the root.
    #[pyo3(signature = (source, *, inplace=false, access_token=None, config=None))]
    fn install(
        &self,
        py: Python<'_>,
        source: PathBuf,
        inplace: bool,
        access_token: Option<String>,
        config: Option<&Bound<'_, PyAny>>,
    ) -> Answer {
        let wishes = config.map(|value| from_python("config", value)).transpose()?;
        let wishes = wishes.map_or_else(|| Ok(Default::default()), |value| object("config", value));
        let wishes = wishes.map_err(|fault| raised(py, fault))?;
        write(py, &self.0, |core, actor| {
            core.models
                .install(actor, &source.display().to_string(), inplace, access_token.as_deref(), wishes)
        })
    }

    /// One install job, for administrators.
    fn install_job(&self, py: Python<'_>, job_id: u64) -> Answer {
        read(py, &self.0, |core, actor| core.models.install_job(actor, job_id))
    }

    /// Changes what a model's record says, for administrators.
    fn update(&self, py: Python<'_>, key: &str, changes: &Bound<'_, PyAny>) -> Answer {
        let changes = object("changes", from_python("changes", changes)?).map_err(|fault| raised(py, fault))?;
        write(py, &self.0, |core, actor| core.models.update(actor, key, &changes))
    }

    /// Deletes a model, for administrators.
    fn delete(&self, py: Python<'_>, key: &str) -> Answer {
        write(py, &self.0, |core, actor| core.models.delete(actor, key))
    }
}
