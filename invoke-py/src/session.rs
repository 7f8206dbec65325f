//! Somebody who uses a root.

use invoke_bindings::{PictureRequest, Session as Inner, object};
use invoke_core::service::auth::ProfileChange;
use pyo3::{Bound, Py, PyAny, PyResult, Python, pyclass, pymethods};

use crate::{
    accounts::Accounts,
    boards::Boards,
    call::{Answer, Stop, from_python, read, to_python, unlocked, write},
    error::raised,
    events::{Events, seconds},
    images::Images,
    models::Models,
    picture::Picture,
    queue::Queue,
    workflows::Workflows,
};

/// Somebody who uses a root. Who that is, and with which rights, is looked up anew for every call.
#[pyclass(frozen, module = "invoke_py")]
pub(crate) struct Session(pub(crate) Inner);

#[pymethods]
impl Session {
    /// The token or API key, to go on with later; None in single-user mode.
    #[getter]
    fn token(&self) -> Option<String> {
        self.0.secret()
    }

    /// Accounts, for administrators.
    #[getter]
    fn accounts(&self) -> Accounts {
        Accounts(self.0.clone())
    }

    /// Boards.
    #[getter]
    fn boards(&self) -> Boards {
        Boards(self.0.clone())
    }

    /// Pictures.
    #[getter]
    fn images(&self) -> Images {
        Images(self.0.clone())
    }

    /// Models.
    #[getter]
    fn models(&self) -> Models {
        Models(self.0.clone())
    }

    /// The generation queue.
    #[getter]
    fn queue(&self) -> Queue {
        Queue(self.0.clone())
    }

    /// The library of workflows.
    #[getter]
    fn workflows(&self) -> Workflows {
        Workflows(self.0.clone())
    }

    /// The own account.
    fn me(&self, py: Python<'_>) -> Answer {
        read(py, &self.0, |core, actor| core.auth.me(actor))
    }

    /// Changes the own name or password; what is None stays. A new password ends all other sessions.
    #[pyo3(signature = (*, display_name=None, current_password=None, new_password=None))]
    fn update_me(
        &self,
        py: Python<'_>,
        display_name: Option<String>,
        current_password: Option<String>,
        new_password: Option<String>,
    ) -> Answer {
        let change = ProfileChange {
            display_name,
            current_password,
            new_password,
        };
        to_python(py, &unlocked(py, || self.0.change_me(&change))?)
    }

    /// Ends the session.
    fn logout(&self, py: Python<'_>) -> PyResult<()> {
        unlocked(py, || self.0.logout())
    }

    /// The configuration in force, for administrators.
    fn configuration(&self, py: Python<'_>) -> Answer {
        read(py, &self.0, |core, actor| core.app.runtime_config(actor))
    }

    /// Changes settings that may change while the program runs, for administrators.
    fn change_configuration(&self, py: Python<'_>, changes: &Bound<'_, PyAny>) -> Answer {
        let changes = object("changes", from_python("changes", changes)?).map_err(|fault| raised(py, fault))?;
        write(py, &self.0, |core, actor| core.app.change_runtime_config(actor, &changes))
    }

    /// Makes a picture from a prompt, and waits for it. `progress` is called with a share from 0 to 1, or None, and what is being done; if it raises, or
    /// on Ctrl-C, the job is canceled.
    #[pyo3(signature = (prompt, *, negative_prompt=None, model=None, width=None, height=None, steps=None, cfg_scale=None, scheduler=None, seed=None, progress=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn text_to_image(
        &self,
        py: Python<'_>,
        prompt: String,
        negative_prompt: Option<String>,
        model: Option<String>,
        width: Option<u32>,
        height: Option<u32>,
        steps: Option<u32>,
        cfg_scale: Option<f64>,
        scheduler: Option<String>,
        seed: Option<u32>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Picture> {
        let request = PictureRequest {
            prompt,
            negative_prompt,
            model,
            width,
            height,
            steps,
            cfg_scale,
            scheduler,
            seed,
        };
        let request = request.read().map_err(|fault| raised(py, fault))?;
        let made = Stop::default().around(py, |stop| {
            let tell = |share: Option<f64>, doing: &str| {
                let Some(callback) = &progress else { return };
                if let Err(error) = Python::attach(|py| callback.call1(py, (share, doing))) {
                    stop.because(error);
                }
            };
            self.0.text_to_image(&request, tell, || stop.goes_on())
        })?;
        Ok(Picture(made))
    }

    /// Events from now on, as this account may see them. The iterator ends when nothing happens for `timeout` seconds.
    #[pyo3(signature = (queues=None, timeout=None))]
    fn events(&self, py: Python<'_>, queues: Option<Vec<String>>, timeout: Option<f64>) -> PyResult<Events> {
        let queues = queues.unwrap_or_else(|| vec![invoke_bindings::DEFAULT_QUEUE.to_owned()]);
        let timeout = seconds(py, timeout)?;
        Ok(Events {
            inner: unlocked(py, || self.0.events(&queues))?,
            timeout,
        })
    }
}
