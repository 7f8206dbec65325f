//! The library of workflows.

use invoke_bindings::{Session, WorkflowListing};
use invoke_core::{
    domain::{Error, shape::Shape},
    service::workflows::document::{DOCUMENT, NEW_DOCUMENT, checked},
};
use pyo3::{Bound, PyAny, PyResult, Python, pyclass, pymethods};
use serde_json::Value;

use crate::{
    call::{Answer, from_python, read, write},
    error::raised,
};

/// The library of workflows.
#[pyclass(frozen, module = "invoke_py")]
pub(crate) struct Workflows(pub(crate) Session);

fn document(shape: &Shape, given: &Bound<'_, PyAny>) -> PyResult<Value> {
    checked(shape, from_python("workflow", given)?).map_err(|issues| raised(given.py(), Error::Invalid(issues).into()))
}

#[pymethods]
impl Workflows {
    /// One page of the library.
    #[pyo3(signature = (*, category=None, is_public=None, search=None, tags=Vec::new(), order="name".to_owned(), descending=false, page=0, per_page=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn list(
        &self,
        py: Python<'_>,
        category: Option<String>,
        is_public: Option<bool>,
        search: Option<String>,
        tags: Vec<String>,
        order: String,
        descending: bool,
        page: u32,
        per_page: Option<u32>,
    ) -> Answer {
        let listing = WorkflowListing {
            category,
            is_public,
            search,
            tags,
            order,
            descending,
            page,
            per_page,
        };
        let (filter, page) = listing.read().map_err(|fault| raised(py, fault))?;
        read(py, &self.0, |core, actor| core.workflows.list(actor, &filter, &page))
    }

    /// One workflow with its document.
    fn get(&self, py: Python<'_>, workflow_id: &str) -> Answer {
        read(py, &self.0, |core, actor| core.workflows.get(actor, workflow_id))
    }

    /// Keeps a workflow.
    fn create(&self, py: Python<'_>, workflow: &Bound<'_, PyAny>) -> Answer {
        let document = document(&NEW_DOCUMENT, workflow)?;
        write(py, &self.0, |core, actor| core.workflows.create(actor, &document))
    }

    /// Replaces a workflow's document; its `id` says which.
    fn update(&self, py: Python<'_>, workflow: &Bound<'_, PyAny>) -> Answer {
        let document = document(&DOCUMENT, workflow)?;
        write(py, &self.0, |core, actor| core.workflows.update(actor, &document))
    }

    /// Shares a workflow with everybody, or no longer.
    fn share(&self, py: Python<'_>, workflow_id: &str, is_public: bool) -> Answer {
        write(py, &self.0, |core, actor| core.workflows.set_public(actor, workflow_id, is_public))
    }

    /// Deletes a workflow.
    fn delete(&self, py: Python<'_>, workflow_id: &str) -> Answer {
        write(py, &self.0, |core, actor| core.workflows.delete(actor, workflow_id))
    }
}
