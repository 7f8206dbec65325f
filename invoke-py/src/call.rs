//! Between Python and the services: values, errors, Python's lock and its signals.

use invoke_bindings::{Fault, Result, Session};
use invoke_core::{Core, authz::Actor, domain::Error};
use parking_lot::Mutex;
use pyo3::{
    Bound, Py, PyAny, PyErr, PyResult, Python,
    types::{PyAnyMethods, PyDict, PyDictMethods},
};
use serde::Serialize;
use serde_json::Value;

use crate::error::raised;

/// What a method answers: plain Python objects as `json.loads` makes them.
pub(crate) type Answer = PyResult<Py<PyAny>>;

/// Plain Python objects of a value.
pub(crate) fn to_python(py: Python<'_>, value: &impl Serialize) -> Answer {
    let text = serde_json::to_string(value).map_err(|error| raised(py, Error::from(error).into()))?;
    Ok(py.import("json")?.call_method1("loads", (text,))?.unbind())
}

/// A value of plain Python objects; `name` is the argument's.
pub(crate) fn from_python(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Value> {
    let py = value.py();
    let strict = PyDict::new(py);
    strict.set_item("allow_nan", false)?;
    let refused = |error: &dyn std::fmt::Display| raised(py, Fault::field(name, format!("what JSON can express was expected: {error}")));
    let text: String = py
        .import("json")?
        .call_method("dumps", (value,), Some(&strict))
        .map_err(|error| refused(&error.value(py)))?
        .extract()?;
    serde_json::from_str(&text).map_err(|error| refused(&error))
}

/// Does something without Python's lock.
pub(crate) fn unlocked<T: Send>(py: Python<'_>, what: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    py.detach(what).map_err(|fault| raised(py, fault))
}

/// Looks at something as a session's user, without Python's lock.
pub(crate) fn read<T: Serialize + Send>(
    py: Python<'_>,
    session: &Session,
    what: impl FnOnce(&Core, &Actor) -> Result<T, Error> + Send,
) -> Answer {
    to_python(py, &unlocked(py, || session.read(what))?)
}

/// Changes something as a session's user, without Python's lock.
pub(crate) fn write<T: Serialize + Send>(
    py: Python<'_>,
    session: &Session,
    what: impl FnOnce(&Core, &Actor) -> Result<T, Error> + Send,
) -> Answer {
    to_python(py, &unlocked(py, || session.write(what))?)
}

/// What ends something that takes long, before its time: an error of a callback, or a signal such as that of Ctrl-C.
#[derive(Default)]
pub(crate) struct Stop(Mutex<Option<PyErr>>);

impl Stop {
    /// Keeps an error, the first of them.
    pub(crate) fn because(&self, error: PyErr) {
        self.0.lock().get_or_insert(error);
    }

    /// Whether to go on. To be asked without Python's lock.
    pub(crate) fn goes_on(&self) -> bool {
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method alone is not general enough over lifetimes"
        )]
        let asked = Python::attach(|py| py.check_signals());
        if let Err(error) = asked {
            self.because(error);
        }
        self.0.lock().is_none()
    }

    /// Does something that takes long without Python's lock; the error that ended it comes before its own.
    pub(crate) fn around<T: Send>(self, py: Python<'_>, what: impl FnOnce(&Self) -> Result<T> + Send) -> PyResult<T> {
        let outcome = py.detach(|| what(&self));
        match self.0.into_inner() {
            Some(error) => Err(error),
            None => outcome.map_err(|fault| raised(py, fault)),
        }
    }
}
