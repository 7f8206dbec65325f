//! Errors as Python raises them.

use invoke_bindings::{Fault, Kind};
use pyo3::{PyErr, PyResult, Python, create_exception, exceptions::PyException, types::PyAnyMethods};

use crate::call::to_python;

create_exception!(
    invoke_py,
    InvokeError,
    PyException,
    "Something was not done. `field` names the argument that is wrong, `expected` what was expected there; both are None if it is not one alone. \
     `issues` lists everything that is wrong."
);
create_exception!(invoke_py, OpenError, InvokeError, "The root directory cannot be opened.");
create_exception!(
    invoke_py,
    AuthenticationError,
    InvokeError,
    "Nobody is signed in, or the sign-in is no longer honoured."
);
create_exception!(invoke_py, PermissionDenied, InvokeError, "The account may not do this.");
create_exception!(
    invoke_py,
    NotFound,
    InvokeError,
    "There is no such thing, or none that the account may know of."
);
create_exception!(invoke_py, InvalidRequest, InvokeError, "What was given is wrong.");
create_exception!(invoke_py, ConflictError, InvokeError, "It contradicts the present state.");
create_exception!(
    invoke_py,
    Throttled,
    InvokeError,
    "Too many attempts; `retry_after` says in how many seconds one may succeed."
);
create_exception!(invoke_py, InternalError, InvokeError, "A fault of the program or of the machine.");

/// The exception of a fault, its attributes set.
pub(crate) fn raised(py: Python<'_>, fault: Fault) -> PyErr {
    let message = fault.message.clone();
    let error = match fault.kind {
        Kind::Open => OpenError::new_err(message),
        Kind::Unauthenticated => AuthenticationError::new_err(message),
        Kind::Forbidden => PermissionDenied::new_err(message),
        Kind::NotFound => NotFound::new_err(message),
        Kind::Invalid => InvalidRequest::new_err(message),
        Kind::Conflict => ConflictError::new_err(message),
        Kind::Throttled => Throttled::new_err(message),
        Kind::Internal => InternalError::new_err(message),
    };
    match described(py, &error, fault) {
        Ok(()) => error,
        Err(worse) => worse,
    }
}

fn described(py: Python<'_>, error: &PyErr, fault: Fault) -> PyResult<()> {
    let value = error.value(py);
    value.setattr("field", fault.field)?;
    value.setattr("expected", fault.expected)?;
    value.setattr("retry_after", fault.retry_after_s)?;
    value.setattr("issues", to_python(py, &fault.issues)?)
}
