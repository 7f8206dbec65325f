//! Events.

use std::time::Duration;

use invoke_bindings::{Events as Inner, Fault};
use pyo3::{Py, PyAny, PyRef, PyResult, Python, pyclass, pymethods};

use crate::{
    call::{Stop, to_python},
    error::raised,
};

/// Seconds that Python gives.
pub(crate) fn seconds(py: Python<'_>, given: Option<f64>) -> PyResult<Option<Duration>> {
    given
        .map(Duration::try_from_secs_f64)
        .transpose()
        .map_err(|_| raised(py, Fault::field("timeout", "seconds, 0 or more, were expected")))
}

/// Events from a moment on. Who does not fetch them loses the oldest: `missed` counts them.
#[pyclass(frozen, module = "invoke_py")]
pub(crate) struct Events {
    pub(crate) inner: Inner,
    pub(crate) timeout: Option<Duration>,
}

impl Events {
    fn wait(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<Option<Py<PyAny>>> {
        let event = Stop::default().around(py, |stop| self.inner.next(timeout, || stop.goes_on()))?;
        event.map(|event| to_python(py, &event)).transpose()
    }
}

#[pymethods]
impl Events {
    /// The next event, a dict with its name under `event`; None if there is none within `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        self.wait(py, seconds(py, timeout)?)
    }

    /// How many events were lost because they were not fetched.
    #[getter]
    fn missed(&self) -> u64 {
        self.inner.missed()
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.wait(py, self.timeout)
    }
}
