//! Opening a root.

use std::path::PathBuf;

use invoke_bindings::Root;
use pyo3::{PyResult, Python, pyclass, pyfunction, pymethods};

use crate::{
    call::{Answer, to_python, unlocked},
    session::Session,
};

/// An opened root directory, with its workers running. A context manager: leaving it closes it.
#[pyclass(frozen, module = "invoke_py")]
pub(crate) struct Core(Root);

/// Opens a root directory, which is made if it does not exist, as its `invokeai.yaml` says.
#[pyfunction]
pub(crate) fn open_root(py: Python<'_>, path: PathBuf) -> PyResult<Core> {
    unlocked(py, || Root::open(path)).map(Core)
}

#[pymethods]
impl Core {
    /// Whether there are accounts (`multiuser_enabled`), and whether the first is yet to be made (`setup_required`).
    fn status(&self, py: Python<'_>) -> Answer {
        to_python(py, &unlocked(py, || self.0.status())?)
    }

    /// Makes the first administrator, once.
    #[pyo3(signature = (email, password, display_name=None))]
    fn setup(&self, py: Python<'_>, email: &str, password: &str, display_name: Option<String>) -> Answer {
        to_python(py, &unlocked(py, || self.0.setup(email, password, display_name))?)
    }

    /// Signs in; the session lasts a day, with `remember_me` a week.
    #[pyo3(signature = (email, password, remember_me=false))]
    fn login(&self, py: Python<'_>, email: &str, password: &str, remember_me: bool) -> PyResult<Session> {
        unlocked(py, || self.0.login(email, password, remember_me)).map(Session)
    }

    /// Goes on with a token or an API key; without one in single-user mode, where everybody is the administrator.
    #[pyo3(signature = (token=None))]
    fn session(&self, py: Python<'_>, token: Option<String>) -> PyResult<Session> {
        unlocked(py, || self.0.session(token)).map(Session)
    }

    /// Stops the workers: a running item ends within a step and waits again.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }

    fn __enter__(slf: pyo3::Py<Self>) -> pyo3::Py<Self> {
        slf
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, py: Python<'_>, _raised: &pyo3::Bound<'_, pyo3::types::PyTuple>) {
        self.close(py);
    }
}
