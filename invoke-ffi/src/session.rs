//! Somebody who uses a root.

use std::sync::Arc;

use invoke_bindings::{Made, PictureRequest, Session as Inner, account};
use invoke_core::{domain::page::Direction, repo::models::ModelFilter, service::auth::ProfileChange};

use crate::{
    boards::Boards,
    error::Result,
    events::Events,
    pictures::Pictures,
    queue::Queue,
    records::{Account, Request, json, record},
};

/// Somebody who uses a root. Who that is, and with which rights, is looked up anew for every call.
#[derive(Debug, uniffi::Object)]
pub struct Session(Inner);

/// A picture that was made.
#[derive(Debug, Clone, uniffi::Record)]
pub struct Drawn {
    /// Its name in the gallery.
    pub image_name: String,
    /// The PNG file, with prompt and settings in it.
    pub png: Vec<u8>,
}

impl From<Made> for Drawn {
    fn from(made: Made) -> Self {
        Self {
            image_name: made.image_name,
            png: made.png,
        }
    }
}

/// Told how far the making of a picture has come.
#[uniffi::export(with_foreign)]
pub trait Progress: Send + Sync {
    /// `share` is from 0 to 1 where one is known, `doing` what is being done. The answer says whether to go on; at the first `false` the job is canceled.
    fn report(&self, share: Option<f64>, doing: String) -> bool;
}

impl Session {
    pub(crate) fn of(inner: Inner) -> Arc<Self> {
        Arc::new(Self(inner))
    }
}

#[uniffi::export]
impl Session {
    /// The token or API key, to go on with later; null in single-user mode.
    pub fn token(&self) -> Option<String> {
        self.0.secret()
    }

    /// Boards.
    pub fn boards(&self) -> Arc<Boards> {
        Arc::new(Boards(self.0.clone()))
    }

    /// Pictures.
    pub fn pictures(&self) -> Arc<Pictures> {
        Arc::new(Pictures(self.0.clone()))
    }

    /// The generation queue.
    pub fn queue(&self) -> Arc<Queue> {
        Arc::new(Queue(self.0.clone()))
    }

    /// The own account.
    pub fn me(&self) -> Result<Account> {
        record(&self.0.read(|core, actor| core.auth.me(actor))?)
    }

    /// Changes the own name or password; what is null stays. A new password ends all other sessions.
    #[uniffi::method(default(display_name = None, current_password = None, new_password = None))]
    pub fn update_me(
        &self,
        display_name: Option<String>,
        current_password: Option<String>,
        new_password: Option<String>,
    ) -> Result<Account> {
        record(&self.0.change_me(&ProfileChange {
            display_name,
            current_password,
            new_password,
        })?)
    }

    /// All accounts, for administrators.
    pub fn accounts(&self) -> Result<Vec<Account>> {
        record(&self.0.read(|core, actor| core.auth.list_users(actor))?)
    }

    /// Makes an account, for administrators.
    #[uniffi::method(default(display_name = None, is_admin = false))]
    pub fn create_account(&self, email: String, password: String, display_name: Option<String>, is_admin: bool) -> Result<Account> {
        let new = account(&email, password, display_name, is_admin)?;
        record(&self.0.write(|core, actor| core.auth.create_user(actor, &new))?)
    }

    /// Installed models: a JSON list.
    pub fn models(&self) -> Result<String> {
        let all = ModelFilter::default();
        json(&self.0.read(|core, actor| core.models.list(actor, &all, "name", Direction::Asc))?)
    }

    /// Makes a picture from a prompt, and waits for it.
    #[uniffi::method(default(progress = None))]
    pub fn text_to_image(&self, request: Request, progress: Option<Arc<dyn Progress>>) -> Result<Drawn> {
        let request = PictureRequest::from(request).read()?;
        let going_on = std::cell::Cell::new(true);
        let tell = |share: Option<f64>, doing: &str| {
            if let Some(progress) = &progress {
                going_on.set(going_on.get() && progress.report(share, doing.to_owned()));
            }
        };
        Ok(self.0.text_to_image(&request, tell, || going_on.get())?.into())
    }

    /// Events of the queue and of what else happens from now on, as this account may see them.
    pub fn events(&self) -> Result<Arc<Events>> {
        Ok(Arc::new(Events(self.0.events(&[invoke_bindings::DEFAULT_QUEUE.to_owned()])?)))
    }

    /// Ends the session.
    pub fn logout(&self) -> Result<()> {
        Ok(self.0.logout()?)
    }
}
