//! The library as a Python module, `invoke_py`: the same services as the server has, without a server. See `python/invoke_py/_native.pyi` for what
//! Python sees.

mod accounts;
mod boards;
mod call;
mod core;
mod error;
mod events;
mod images;
mod models;
mod picture;
mod queue;
mod session;
mod workflows;

use pyo3::pymodule;

/// What `invoke_py` is made of.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::{
        accounts::Accounts,
        boards::Boards,
        core::{Core, open_root},
        error::{
            AuthenticationError, ConflictError, InternalError, InvalidRequest, InvokeError, NotFound, OpenError, PermissionDenied,
            Throttled,
        },
        events::Events,
        images::Images,
        models::Models,
        picture::Picture,
        queue::Queue,
        session::Session,
        workflows::Workflows,
    };
}
