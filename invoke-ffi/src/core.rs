//! Opening a root.

use std::sync::Arc;

use invoke_bindings::Root;

use crate::{
    error::Result,
    records::{Account, Status, record},
    session::Session,
};

/// An opened root directory, with its workers running.
#[derive(Debug, uniffi::Object)]
pub struct Core(Root);

/// Opens a root directory, which is made if it does not exist, as its `invokeai.yaml` says.
#[uniffi::export]
pub fn open_root(path: String) -> Result<Arc<Core>> {
    Ok(Arc::new(Core(Root::open(path)?)))
}

#[uniffi::export]
impl Core {
    /// Whether there are accounts, and whether the first is yet to be made.
    pub fn status(&self) -> Result<Status> {
        record(&self.0.status()?)
    }

    /// Makes the first administrator, once.
    #[uniffi::method(default(display_name = None))]
    pub fn setup(&self, email: String, password: String, display_name: Option<String>) -> Result<Account> {
        record(&self.0.setup(&email, &password, display_name)?)
    }

    /// Signs in; the session lasts a day, with `remember_me` a week.
    #[uniffi::method(default(remember_me = false))]
    pub fn login(&self, email: String, password: String, remember_me: bool) -> Result<Arc<Session>> {
        Ok(Session::of(self.0.login(&email, &password, remember_me)?))
    }

    /// Goes on with a token or an API key; without one in single-user mode, where everybody is the administrator.
    #[uniffi::method(default(token = None))]
    pub fn session(&self, token: Option<String>) -> Result<Arc<Session>> {
        Ok(Session::of(self.0.session(token)?))
    }

    /// Stops the workers: a running item ends within a step and waits again.
    pub fn close(&self) {
        self.0.close();
    }
}
