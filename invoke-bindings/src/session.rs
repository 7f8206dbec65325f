//! An opened root, and who uses it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use invoke_core::{
    Core,
    authn::{Intent, Presented, Session as Identity},
    authz::Actor,
    domain::{Error, ItemId, QueueId, UserId, user::UserDto},
    service::{
        auth::{AccountChange, Credentials, ProfileChange, Setup, SetupStatus, Updated},
        text_to_image::TextToImage,
    },
};
use parking_lot::Mutex;
use serde_json::Value;

use super::{Events, email, fault::Result};

/// An opened root directory. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Root {
    core: Core,
}

/// Somebody who uses a root. Who that is, and with which rights, the authenticator is asked anew for every call: an account that is made inactive
/// is out at once. Clones are the same session.
#[derive(Clone)]
pub struct Session {
    core: Core,
    /// A token or an API key; nothing in single-user mode.
    secret: Arc<Mutex<Option<String>>>,
}

/// A picture that was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its name in the gallery.
    pub image_name: String,
    /// The file, with the prompt and settings in it.
    pub png: Vec<u8>,
}

impl Root {
    /// Opens a root directory, which is made if it does not exist, and starts its workers.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self {
            core: Core::open_root(path)?,
        })
    }

    /// A root that a Rust program has opened.
    pub fn of(core: Core) -> Self {
        Self { core }
    }

    /// Whether there are accounts, and whether the first is yet to be made.
    pub fn status(&self) -> Result<SetupStatus> {
        Ok(self.core.auth.status(&Actor::anonymous())?)
    }

    /// Makes the first administrator.
    pub fn setup(&self, address: &str, password: &str, display_name: Option<String>) -> Result<UserDto> {
        let setup = Setup {
            email: email("email", address)?,
            display_name,
            password: password.to_owned(),
        };
        Ok(self.core.auth.setup(&Actor::anonymous(), &setup)?)
    }

    /// Signs in with e-mail and password; the session lasts a day, with `remember_me` a week.
    pub fn login(&self, address: &str, password: &str, remember_me: bool) -> Result<Session> {
        let credentials = Credentials {
            email: email("email", address)?,
            password: password.to_owned(),
            remember_me,
        };
        let begun = self.core.auth.login(&Actor::anonymous(), &credentials, None)?;
        self.session(Some(begun.token))
    }

    /// Goes on with a token or an API key; nothing is needed in single-user mode, where everybody is the administrator.
    pub fn session(&self, secret: Option<String>) -> Result<Session> {
        let session = Session {
            core: self.core.clone(),
            secret: Arc::new(Mutex::new(secret)),
        };
        session.identity(Intent::Read)?;
        Ok(session)
    }

    /// Stops the workers: a running item ends within a step and waits again.
    pub fn close(&self) {
        self.core.shutdown();
    }
}

impl Session {
    fn identity(&self, intent: Intent) -> Result<Identity> {
        let secret = self.secret.lock().clone();
        let presented = secret.as_deref().map_or(Presented::Nothing, Presented::Bearer);
        Ok(self.core.authenticator().session(presented, intent)?)
    }

    /// The core that it uses.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// The token or API key, to go on with later; `None` in single-user mode.
    pub fn secret(&self) -> Option<String> {
        self.secret.lock().clone()
    }

    /// On whose behalf something is looked at, with the rights of this moment.
    pub fn actor(&self) -> Result<Actor> {
        Ok(self.identity(Intent::Read)?.actor)
    }

    /// Does what only looks.
    pub fn read<T>(&self, what: impl FnOnce(&Core, &Actor) -> Result<T, Error>) -> Result<T> {
        Ok(what(&self.core, &self.actor()?)?)
    }

    /// Does what changes something, which an API key may not be allowed to.
    pub fn write<T>(&self, what: impl FnOnce(&Core, &Actor) -> Result<T, Error>) -> Result<T> {
        Ok(what(&self.core, &self.identity(Intent::Write)?.actor)?)
    }

    /// Goes on with the token that replaces the present one after a change of the own password.
    fn adopt(&self, updated: Updated) -> UserDto {
        if let Some(replacement) = updated.replacement {
            *self.secret.lock() = Some(replacement.api.token);
        }
        updated.user
    }

    /// Changes the own account. A new password ends all other sessions of the account.
    pub fn change_me(&self, change: &ProfileChange) -> Result<UserDto> {
        let who = self.identity(Intent::Write)?;
        let updated = self.core.auth.update_me(&who.actor, who.claims.as_ref(), change)?;
        Ok(self.adopt(updated))
    }

    /// Changes an account, for administrators.
    pub fn change_account(&self, user_id: &str, change: &AccountChange) -> Result<UserDto> {
        let who = self.identity(Intent::Write)?;
        let updated = self
            .core
            .auth
            .update_user(&who.actor, who.claims.as_ref(), &UserId::new(user_id), change)?;
        Ok(self.adopt(updated))
    }

    /// Ends the session: the token is forgotten.
    pub fn logout(&self) -> Result<()> {
        let who = self.identity(Intent::Write)?;
        if who.claims.is_some() {
            self.core.auth.logout(&who.actor)?;
        }
        *self.secret.lock() = None;
        Ok(())
    }

    /// Waits until an item has ended, at most as long as given; `None` once that has passed or `goes_on`, asked several times a second, says no.
    pub fn wait(&self, queue: &str, item: ItemId, timeout: Option<Duration>, mut goes_on: impl FnMut() -> bool) -> Result<Option<Value>> {
        let mut left = self.within(timeout);
        let going_on = move || left() && goes_on();
        self.read(|core, actor| core.queue.wait(actor, &QueueId::new(queue), item, going_on))
    }

    /// Makes a picture from a prompt as the session's job, and waits for it; canceled once `goes_on` says no.
    pub fn text_to_image(
        &self,
        request: &TextToImage,
        progress: impl FnMut(Option<f64>, &str),
        goes_on: impl FnMut() -> bool,
    ) -> Result<Made> {
        self.write(|core, actor| {
            let made = core.text_to_image_while(actor, request, progress, goes_on)?;
            let png = core.images.full(actor, &made.image_name)?.read_all()?;
            Ok(Made {
                image_name: made.image_name.to_string(),
                png,
            })
        })
    }

    /// Events from now on, as this session may see them, of these queues.
    pub fn events(&self, queues: &[String]) -> Result<Events> {
        self.actor()?;
        Ok(Events::of(self.clone(), queues))
    }

    /// Whether a time has not passed yet; without one it never does.
    pub(crate) fn within(&self, timeout: Option<Duration>) -> impl FnMut() -> bool + use<> {
        let env = self.core.env().clone();
        let end = timeout.map(|time| {
            env.monotonic_ns()
                .saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
        });
        move || end.is_none_or(|end| env.monotonic_ns() < end)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("core", &self.core).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use invoke_core::repo::audit::AuditFilter;

    use super::*;
    use crate::{PictureFile, account};

    const PASSWORD: &str = "Passw0rd-everybodys";
    const PNG: &[u8] = include_bytes!("../../invoke-core/tests/imaging/fixtures/176_cv_area.png");

    #[test]
    fn what_an_administrator_does_through_a_session_is_in_the_record() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("invokeai.yaml"), "schema_version: 4.0.3\nmultiuser: true\n").unwrap();
        let root = Root::open(folder.path()).unwrap();
        root.setup("root@example.com", PASSWORD, None).unwrap();
        let admin = root.login("root@example.com", PASSWORD, false).unwrap();
        let new = account("alice@example.com", PASSWORD.into(), None, false).unwrap();
        admin.write(|core, actor| core.auth.create_user(actor, &new)).unwrap();
        let alice = root.login("alice@example.com", PASSWORD, false).unwrap();
        let pictures = [&alice, &admin].map(|owner| {
            let file = PictureFile {
                category: "user".into(),
                ..PictureFile::default()
            };
            let made = owner
                .write(|core, actor| core.images.upload(actor, file.read(PNG).unwrap()))
                .unwrap();
            made.image_name().to_string()
        });
        admin.write(|core, actor| core.images.delete_many(actor, &pictures)).unwrap();
        let others = AuditFilter {
            act: Some("others.".into()),
            ..AuditFilter::default()
        };
        let entries = admin.read(|core, actor| core.auth.audit_log(actor, &others, 0, 10)).unwrap().items;
        let told: Vec<_> = entries
            .iter()
            .map(|entry| (entry.door.as_str(), entry.act.as_str(), entry.subject_id.as_deref()))
            .collect();
        assert_eq!(told, [("library", "others.UpdateImage", Some(pictures[0].as_str()))]);
        assert_eq!(&entries[0].actor_id, admin.actor().unwrap().user_id());
    }
}
