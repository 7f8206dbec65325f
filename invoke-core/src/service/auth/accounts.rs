//! The administration of accounts.

use super::{
    Auth, Content, Deleted, Note, Updated, accept_display_name, email_taken, is_duplicate, last_administrator, not_by_key,
    system_is_protected,
};
use crate::{
    authn::{Claims, Email},
    authz::{Actor, Permit, acts, authorize, authorize_global},
    db::ReadTx,
    domain::{
        Error, Result, UserId,
        user::{User, UserDto},
    },
    repo::users,
};

/// A new account, as asked for.
#[derive(Clone)]
pub struct NewAccount {
    /// Login name.
    pub email: Email,
    /// The name other users see.
    pub display_name: Option<String>,
    /// Password.
    pub password: String,
    /// Whether it is an administrator.
    pub is_admin: bool,
}

/// What an administrator changes of an account; `None` leaves a thing as it is.
#[derive(Clone, Default)]
pub struct AccountChange {
    /// Login name.
    pub email: Option<Email>,
    /// The name other users see.
    pub display_name: Option<String>,
    /// A new password; ends all of the account's sessions.
    pub password: Option<String>,
    /// Whether it is an administrator.
    pub is_admin: Option<bool>,
    /// Whether it may sign in; if not, its sessions and jobs end.
    pub is_active: Option<bool>,
}

impl AccountChange {
    fn touches_protected(&self) -> bool {
        self.password.is_some() || self.is_admin == Some(true) || self.is_active == Some(false) || self.email.is_some()
    }

    /// Names of what changes, for the record.
    fn names(&self) -> String {
        let names = [
            ("email", self.email.is_some()),
            ("display_name", self.display_name.is_some()),
            ("password", self.password.is_some()),
            (
                if self.is_admin == Some(false) { "demoted" } else { "promoted" },
                self.is_admin.is_some(),
            ),
            (
                if self.is_active == Some(false) {
                    "deactivated"
                } else {
                    "activated"
                },
                self.is_active.is_some(),
            ),
        ];
        let changed: Vec<&str> = names.iter().filter(|(_, changes)| *changes).map(|(name, _)| *name).collect();
        changed.join(", ")
    }
}

/// Refuses what would leave no administrator who can sign in. To be asked in the transaction that writes.
pub(super) fn keep_an_administrator(tx: &ReadTx<'_>, user: &User, stays: bool) -> Result<()> {
    if user.is_admin && user.is_active && !stays && users::count_active_admins(tx)? <= 1 {
        return Err(last_administrator());
    }
    Ok(())
}

impl Auth {
    /// All accounts, newest first, without `system`, which is nobody's.
    pub fn list_users(&self, actor: &Actor) -> Result<Vec<UserDto>> {
        Ok(self
            .accounts(actor)?
            .iter()
            .filter(|user| !user.user_id.is_system())
            .map(UserDto::from)
            .collect())
    }

    /// All accounts, newest first, `system` among them.
    pub fn accounts(&self, actor: &Actor) -> Result<Vec<User>> {
        let leave = authorize_global::<acts::ManageUsers>(actor)?;
        Ok(self.shared.db.read(|tx| users::list(tx, &leave))?)
    }

    /// Makes an account.
    pub fn create_user(&self, actor: &Actor, account: &NewAccount) -> Result<UserDto> {
        let leave = authorize_global::<acts::ManageUsers>(actor)?;
        accept_display_name(account.display_name.as_deref())?;
        self.accept_password(&account.password)?;
        let email = account.email.as_str();
        if self.shared.db.read(|tx| users::credentials(tx, email))?.is_some() {
            return Err(email_taken(email));
        }
        let hash = self.hash(&account.password);
        let user_id = UserId::new(self.shared.env.uuid());
        let new = users::NewUser {
            user_id: &user_id,
            email,
            display_name: account.display_name.as_deref(),
            password_hash: &hash,
            is_admin: account.is_admin,
            now: self.shared.env.now(),
        };
        let user = self.shared.db.write(|tx| -> Result<_> {
            users::insert(tx, &leave, &new).map_err(|error| if is_duplicate(&error) { email_taken(email) } else { error.into() })?;
            let detail = account.is_admin.then_some("administrator");
            self.shared.db.enter(
                tx,
                actor.user_id(),
                Note {
                    act: "user.created",
                    subject: Some(user_id.as_str()),
                    address: None,
                    detail,
                },
            )?;
            authorize::<acts::ManageUsers, _>(actor, users::find(tx, &user_id)?)
        })?;
        self.announce(&user_id);
        Ok(UserDto::from(&*user))
    }

    fn find(&self, actor: &Actor, user_id: &UserId) -> Result<Permit<acts::ManageUsers, User>> {
        authorize_global::<acts::ManageUsers>(actor)?;
        self.shared.db.read(|tx| authorize(actor, users::find(tx, user_id)?))
    }

    /// One account; `system` can be looked at too.
    pub fn get_user(&self, actor: &Actor, user_id: &UserId) -> Result<UserDto> {
        self.find(actor, user_id).map(|user| UserDto::from(&*user))
    }

    /// The account of an e-mail, compared as it stands.
    pub fn find_by_email(&self, actor: &Actor, email: &str) -> Result<Option<User>> {
        authorize_global::<acts::ManageUsers>(actor)?;
        match self
            .shared
            .db
            .read(|tx| authorize::<acts::ManageUsers, _>(actor, users::find_by_email(tx, email)?))
        {
            Ok(user) => Ok(Some(user.into_inner())),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes an account. Whoever changes the own password here gets new tokens for the one that was shown.
    pub fn update_user(&self, actor: &Actor, presented: Option<&Claims>, user_id: &UserId, change: &AccountChange) -> Result<Updated> {
        not_by_key(actor)?;
        authorize_global::<acts::ManageUsers>(actor)?;
        accept_display_name(change.display_name.as_deref())?;
        let refuse = |tx: &ReadTx<'_>, user: &User| {
            if user.user_id.is_system() && change.touches_protected() {
                return Err(system_is_protected());
            }
            keep_an_administrator(tx, user, change.is_admin != Some(false) && change.is_active != Some(false))
        };
        // Asked before the password is hashed, and again where it counts.
        self.shared
            .db
            .read(|tx| refuse(tx, &*authorize::<acts::ManageUsers, _>(actor, users::find(tx, user_id)?)?))?;
        let hash = match &change.password {
            Some(password) => {
                self.accept_password(password)?;
                Some(self.hash(password))
            }
            None => None,
        };
        let to = users::UserChange {
            email: change.email.as_ref().map(Email::as_str),
            display_name: change.display_name.as_deref(),
            password_hash: hash.as_deref(),
            is_admin: change.is_admin,
            is_active: change.is_active,
        };
        let names = change.names();
        let user = self.shared.db.write(|tx| -> Result<_> {
            let user = authorize::<acts::ManageUsers, _>(actor, users::find(tx, user_id)?)?;
            refuse(tx, &user)?;
            if names.is_empty() {
                return Ok(user.into_inner());
            }
            let changed = users::update(tx, &user, &to).map_err(|error| match to.email {
                Some(email) if is_duplicate(&error) => email_taken(email),
                _ => error.into(),
            })?;
            let note = Note {
                act: "user.changed",
                subject: Some(user_id.as_str()),
                address: None,
                detail: Some(&names),
            };
            self.shared.db.enter(tx, actor.user_id(), note)?;
            Ok(changed)
        })?;
        self.announce(user_id);
        let own = hash.is_some() && actor.user_id() == user_id && user.is_active;
        let replacement = presented.filter(|_| own).map(|claims| self.replacement(&user, claims));
        Ok(Updated {
            user: UserDto::from(&user),
            replacement,
        })
    }

    /// Removes an account for good, and does with what it owns what is asked.
    pub fn delete_user(&self, actor: &Actor, user_id: &UserId, content: &Content) -> Result<Deleted> {
        not_by_key(actor)?;
        let user = self.find(actor, user_id)?;
        if user.user_id.is_system() {
            return Err(system_is_protected());
        }
        let deleted = self.remove_account(actor, &user, content)?;
        self.announce(user_id);
        Ok(deleted)
    }
}
