//! One's own account.

use super::{Auth, Note, Updated, accept_display_name, not_by_key};
use crate::{
    authn::{
        Claims,
        password::{self, Match},
    },
    authz::{Actor, acts, authorize, authorize_global},
    domain::{Error, Result, user::UserDto},
    repo::users,
};

/// What somebody changes of the own account; `None` leaves a thing as it is.
#[derive(Clone, Default)]
pub struct ProfileChange {
    /// The name other users see.
    pub display_name: Option<String>,
    /// The present password, needed for a new one.
    pub current_password: Option<String>,
    /// A new password.
    pub new_password: Option<String>,
}

impl Auth {
    /// One's own account.
    pub fn me(&self, actor: &Actor) -> Result<UserDto> {
        let own = self
            .shared
            .db
            .read(|tx| authorize::<acts::ManageSelf, _>(actor, users::find(tx, actor.user_id())?))?;
        Ok(UserDto::from(&*own))
    }

    /// Changes one's own name or password. A new password ends all sessions; for the one whose token was shown there are new tokens.
    pub fn update_me(&self, actor: &Actor, presented: Option<&Claims>, change: &ProfileChange) -> Result<Updated> {
        not_by_key(actor)?;
        accept_display_name(change.display_name.as_deref())?;
        let hash = match &change.new_password {
            Some(new) => Some(self.replace_password(actor, change.current_password.as_deref().unwrap_or_default(), new)?),
            None => None,
        };
        let user = self.shared.db.write(|tx| -> Result<_> {
            let own = authorize::<acts::ManageSelf, _>(actor, users::find(tx, actor.user_id())?)?;
            if let Some((compared_with, _)) = &hash
                && users::own_password_hash(tx, &own)? != *compared_with
            {
                return Err(Error::BadRequest("Current password is incorrect".into()));
            }
            let user = users::update_own(tx, &own, change.display_name.as_deref(), hash.as_ref().map(|(_, new)| new.as_str()))?;
            if hash.is_some() {
                let note = Note {
                    act: "user.password",
                    subject: Some(own.user_id.as_str()),
                    ..Note::default()
                };
                self.shared.db.enter(tx, &own.user_id, note)?;
            }
            Ok(user)
        })?;
        self.announce(&user.user_id);
        let replacement = presented.filter(|_| hash.is_some()).map(|claims| self.replacement(&user, claims));
        Ok(Updated {
            user: UserDto::from(&user),
            replacement,
        })
    }

    /// Compares the present password; gives the stored hash that it was compared with and one of the new password.
    fn replace_password(&self, actor: &Actor, current: &str, new: &str) -> Result<(String, String)> {
        if current.is_empty() {
            return Err(Error::BadRequest("Current password is required to set a new password".into()));
        }
        let (own, stored) = self.shared.db.read(|tx| -> Result<_> {
            let own = authorize::<acts::ManageSelf, _>(actor, users::find(tx, actor.user_id())?)?;
            let stored = users::own_password_hash(tx, &own)?;
            Ok((own, stored))
        })?;
        let (authenticator, env) = (&self.shared.authenticator, &self.shared.env);
        let throttle = authenticator.throttle();
        let lane = authenticator.hasher().lane();
        // A stolen token must not become a means to guess the password.
        throttle
            .check(&own.email, None, env.now())
            .map_err(|retry_after_s| Error::Throttled { retry_after_s })?;
        if lane.compare(current, &stored) == Match::No {
            throttle.failed(&own.email, None, env.now());
            return Err(Error::BadRequest("Current password is incorrect".into()));
        }
        throttle.succeeded(&own.email, None, env.now());
        drop(lane);
        let own_id = own.user_id.clone();
        let compared_with = self
            .shared
            .db
            .write(|tx| users::record_login(tx, &own_id, &stored, None, env.now()))?
            .map(|_| stored);
        let Some(compared_with) = compared_with else {
            return Err(Error::BadRequest("Current password is incorrect".into()));
        };
        self.accept_password(new)?;
        Ok((compared_with, self.hash(new)))
    }

    /// A password made up by chance.
    pub fn generate_password(&self, actor: &Actor) -> Result<String> {
        authorize_global::<acts::UseServer>(actor)?;
        Ok(password::generate(&self.shared.env))
    }
}
