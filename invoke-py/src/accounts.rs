//! Accounts, for administrators.

use invoke_bindings::{Session, account, account_change, content};
use invoke_core::domain::UserId;
use pyo3::{PyResult, Python, pyclass, pymethods};

use crate::{
    call::{Answer, read, to_python, unlocked, write},
    error::raised,
};

/// Accounts, for administrators.
#[pyclass(frozen, module = "invoke_py")]
pub(crate) struct Accounts(pub(crate) Session);

#[pymethods]
impl Accounts {
    /// All accounts, newest first.
    fn list(&self, py: Python<'_>) -> Answer {
        read(py, &self.0, |core, actor| core.auth.list_users(actor))
    }

    /// One account.
    fn get(&self, py: Python<'_>, user_id: &str) -> Answer {
        read(py, &self.0, |core, actor| core.auth.get_user(actor, &UserId::new(user_id)))
    }

    /// Makes an account.
    #[pyo3(signature = (email, password, *, display_name=None, is_admin=false))]
    fn create(&self, py: Python<'_>, email: &str, password: String, display_name: Option<String>, is_admin: bool) -> Answer {
        let new = account(email, password, display_name, is_admin).map_err(|fault| raised(py, fault))?;
        write(py, &self.0, |core, actor| core.auth.create_user(actor, &new))
    }

    /// Changes an account; what is None stays.
    #[pyo3(signature = (user_id, *, email=None, display_name=None, password=None, is_admin=None, is_active=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn update(
        &self,
        py: Python<'_>,
        user_id: &str,
        email: Option<&str>,
        display_name: Option<String>,
        password: Option<String>,
        is_admin: Option<bool>,
        is_active: Option<bool>,
    ) -> Answer {
        let change = account_change(email, display_name, password, is_admin, is_active).map_err(|fault| raised(py, fault))?;
        to_python(py, &unlocked(py, || self.0.change_account(user_id, &change))?)
    }

    /// Removes an account. What it owns stays, is handed over, or is deleted.
    #[pyo3(signature = (user_id, *, transfer_to=None, delete_content=false))]
    fn delete(&self, py: Python<'_>, user_id: &str, transfer_to: Option<&str>, delete_content: bool) -> PyResult<()> {
        let content = content(transfer_to, delete_content).map_err(|fault| raised(py, fault))?;
        let delete = || {
            self.0
                .write(|core, actor| core.auth.delete_user(actor, &UserId::new(user_id), &content))
        };
        unlocked(py, delete).map(drop)
    }
}
