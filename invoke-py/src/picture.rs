//! A picture that was made.

use std::path::PathBuf;

use invoke_bindings::Made;
use pyo3::{Bound, PyResult, Python, pyclass, pymethods, types::PyBytes};

/// A picture that was made.
#[pyclass(frozen, module = "invoke_py")]
pub(crate) struct Picture(pub(crate) Made);

#[pymethods]
impl Picture {
    /// Its name in the gallery.
    #[getter]
    fn image_name(&self) -> &str {
        &self.0.image_name
    }

    /// The PNG file, with prompt and settings in it.
    #[getter]
    fn png<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.png)
    }

    /// Writes the PNG file.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        Ok(py.detach(|| std::fs::write(path, &self.0.png))?)
    }
}
