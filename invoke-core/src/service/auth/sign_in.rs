//! First set-up, signing in and out, and tokens.

use std::net::IpAddr;

use serde::Serialize;

use super::{Auth, Note, accept_display_name, email_taken, is_duplicate};
use crate::{
    authn::{Claims, Email, Intent, Presented, TokenKind, password::Match},
    authz::{Actor, acts, authorize},
    domain::{
        Error, Result, UserId,
        user::{User, UserDto},
    },
    repo::users,
};

/// What a client must know before anybody signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetupStatus {
    setup_required: bool,
    multiuser_enabled: bool,
    strict_password_checking: bool,
    admin_email: Option<String>,
}

/// The first administrator, as asked for.
#[derive(Clone)]
pub struct Setup {
    /// Login name.
    pub email: Email,
    /// The name other users see.
    pub display_name: Option<String>,
    /// Password.
    pub password: String,
}

/// What somebody signs in with.
#[derive(Clone)]
pub struct Credentials {
    /// Login name.
    pub email: Email,
    /// Password.
    pub password: String,
    /// A week rather than a day.
    pub remember_me: bool,
}

/// A session that has begun.
#[derive(Debug, Serialize)]
pub struct LoggedIn {
    /// For the API.
    pub token: String,
    /// The account.
    pub user: UserDto,
    /// Seconds that the token lives.
    pub expires_in: i64,
    /// For the pictures' cookie; lives as long.
    #[serde(skip)]
    pub media_token: String,
}

/// What the pictures' cookie gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaToken {
    /// The cookie's value.
    pub token: String,
    /// Seconds that it lives.
    pub max_age: i64,
}

fn incorrect() -> Error {
    Error::Unauthenticated("Incorrect email or password".into())
}

fn setup_done() -> Error {
    Error::BadRequest("Administrator account already configured".into())
}

/// The address that wrong passwords are counted for. This machine's own stands for everybody whose requests a proxy passes on, and
/// counting for it would let one of them lock all others out.
fn counted(address: Option<IpAddr>) -> Option<IpAddr> {
    address.filter(|address| !address.to_canonical().is_loopback())
}

/// How a comparison of credentials ended.
enum Verdict {
    Wrong,
    Right(User),
    RightButDisabled(User),
}

impl Auth {
    /// Whether there are accounts, and whether the first is yet to be made. Anybody may ask.
    pub fn status(&self, _actor: &Actor) -> Result<SetupStatus> {
        let multiuser = self.shared.authenticator.multiuser();
        Ok(SetupStatus {
            setup_required: multiuser && self.shared.db.read(users::count_active_admins)? == 0,
            multiuser_enabled: multiuser,
            strict_password_checking: self.strictness == crate::authn::password::Strictness::Strict,
            // Only known while there is no administrator, and then there is none to name.
            admin_email: None,
        })
    }

    /// Makes the first administrator. Anybody may, once; of several who try at the same time one succeeds.
    pub fn setup(&self, actor: &Actor, setup: &Setup) -> Result<UserDto> {
        if !self.shared.authenticator.multiuser() {
            return Err(Error::Forbidden(
                "Multiuser mode is disabled. Admin setup is not required in single-user mode.".into(),
            ));
        }
        if self.shared.db.read(users::count_active_admins)? > 0 {
            return Err(setup_done());
        }
        accept_display_name(setup.display_name.as_deref())?;
        self.accept_password(&setup.password)?;
        let hash = self.hash(&setup.password);
        let user_id = UserId::new(self.shared.env.uuid());
        let email = setup.email.as_str();
        let new = users::NewUser {
            user_id: &user_id,
            email,
            display_name: setup.display_name.as_deref(),
            password_hash: &hash,
            is_admin: true,
            now: self.shared.env.now(),
        };
        let made = self.shared.db.write(|tx| -> Result<_> {
            let made = users::insert_first_administrator(tx, &new)
                .map_err(|error| if is_duplicate(&error) { email_taken(email) } else { error.into() })?;
            if !made {
                return Err(Error::BadRequest("Admin user already exists".into()));
            }
            self.shared.db.enter(
                tx,
                actor.user_id(),
                Note {
                    act: "setup",
                    subject: Some(user_id.as_str()),
                    ..Note::default()
                },
            )?;
            Ok(users::identity(tx, &user_id)?)
        })?;
        self.announce(&user_id);
        made.as_ref()
            .map(UserDto::from)
            .ok_or_else(|| Error::NotFound("User not found".into()))
    }

    /// Begins a session. `address` is where the request comes from; wrong passwords are counted for it and for the account, and after
    /// some of them the next attempt has to wait.
    pub fn login(&self, _actor: &Actor, credentials: &Credentials, address: Option<IpAddr>) -> Result<LoggedIn> {
        let authenticator = &self.shared.authenticator;
        if !authenticator.multiuser() {
            return Err(Error::Forbidden(
                "Multiuser mode is disabled. Authentication is not required in single-user mode.".into(),
            ));
        }
        let email = credentials.email.as_str();
        let throttled = || authenticator.throttle().check(email, counted(address), self.shared.env.now());
        throttled().map_err(|retry_after_s| Error::Throttled { retry_after_s })?;
        match self.verdict(credentials, address)? {
            Verdict::Wrong => Err(incorrect()),
            Verdict::RightButDisabled(user) => {
                let note = Note {
                    act: "login.disabled",
                    subject: Some(user.user_id.as_str()),
                    address,
                    detail: None,
                };
                self.shared.db.write(|tx| self.shared.db.enter(tx, &user.user_id, note))?;
                Err(Error::Forbidden("User account is disabled".into()))
            }
            Verdict::Right(user) => {
                // One that another process made is known from here on: it may go again before accounts are next looked at.
                self.announce(&user.user_id);
                let issue = |kind| authenticator.issue(&user, kind, credentials.remember_me);
                let (api, media) = (issue(TokenKind::Api), issue(TokenKind::Media));
                Ok(LoggedIn {
                    token: api.token,
                    user: UserDto::from(&user),
                    expires_in: api.expires_in,
                    media_token: media.token,
                })
            }
        }
    }

    fn verdict(&self, credentials: &Credentials, address: Option<IpAddr>) -> Result<Verdict> {
        let (authenticator, env) = (&self.shared.authenticator, &self.shared.env);
        let email = credentials.email.as_str();
        let lane = authenticator.hasher().lane();
        // Asked again where attempts queue up one behind the other, or else many at once would all count as the first.
        authenticator
            .throttle()
            .check(email, counted(address), env.now())
            .map_err(|retry_after_s| Error::Throttled { retry_after_s })?;
        let (found, imported_remain) = self
            .shared
            .db
            .read(|tx| -> rusqlite::Result<_> { Ok((users::credentials(tx, email)?, users::imported_hashes_remain(tx)?)) })?;
        let found = found.filter(|(user, _)| !user.user_id.is_system());
        let matched = found
            .as_ref()
            .map_or(Match::No, |(_, stored)| lane.compare(&credentials.password, stored));
        let refuse = |found: Option<&(User, String)>| {
            lane.spend_refusal(&credentials.password, found.map(|(_, stored)| stored.as_str()), imported_remain);
            authenticator.throttle().failed(email, counted(address), env.now());
            let subject = found.map(|(user, _)| user.user_id.as_str());
            // The text that was given as an e-mail is not kept: it may be a password in the wrong field.
            let note = Note {
                act: "login.refused",
                subject,
                address,
                detail: None,
            };
            self.shared.db.write(|tx| self.shared.db.enter(tx, &UserId::new(""), note))?;
            Ok(Verdict::Wrong)
        };
        let (Some((user, stored)), Match::Yes | Match::YesButOutdated) = (&found, matched) else {
            return refuse(found.as_ref());
        };
        let replacement = (matched == Match::YesButOutdated).then(|| lane.hash(env, &credentials.password));
        drop(lane);
        let user = self.shared.db.write(|tx| -> rusqlite::Result<_> {
            let user = users::record_login(tx, &user.user_id, stored, replacement.as_deref(), env.now())?;
            if let Some(user) = user.as_ref().filter(|user| user.is_active) {
                self.shared.db.enter(
                    tx,
                    &user.user_id,
                    Note {
                        act: "login",
                        subject: Some(user.user_id.as_str()),
                        address,
                        detail: None,
                    },
                )?;
            }
            Ok(user)
        })?;
        // None: the password was changed while we compared.
        let Some(user) = user else { return Ok(Verdict::Wrong) };
        authenticator.throttle().succeeded(email, counted(address), env.now());
        Ok(if user.is_active {
            Verdict::Right(user)
        } else {
            Verdict::RightButDisabled(user)
        })
    }

    /// Ends a session, as far as the server has a part in it: the token lives on until it expires, the client forgets it.
    pub fn logout(&self, actor: &Actor) -> Result<()> {
        self.shared.db.write(|tx| -> Result<_> {
            let own = authorize::<acts::ManageSelf, _>(actor, users::find(tx, actor.user_id())?)?;
            self.shared.db.enter(
                tx,
                &own.user_id,
                Note {
                    act: "logout",
                    subject: Some(own.user_id.as_str()),
                    ..Note::default()
                },
            )?;
            Ok(())
        })
    }

    /// A fresh token for one that is still honoured, with a full lifetime of the kind that the old one had. `None` for anything else.
    pub fn refresh(&self, _actor: &Actor, token: &str) -> Result<Option<String>> {
        match self.shared.authenticator.account_session(Presented::Bearer(token), Intent::Read) {
            Ok(session) => {
                let fresh =
                    |(user, claims): (&User, &Claims)| self.shared.authenticator.issue(user, TokenKind::Api, claims.remember_me).token;
                Ok(session.user.as_ref().zip(session.claims.as_ref()).map(fresh))
            }
            Err(Error::Unauthenticated(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the pictures' cookie gets for the API token that was shown, and as long as that lives. `None` in single-user mode, where
    /// pictures need no cookie.
    pub fn media_token(&self, actor: &Actor, presented: Option<&Claims>) -> Result<Option<MediaToken>> {
        if !self.shared.authenticator.multiuser() {
            return Ok(None);
        }
        super::not_by_key(actor)?;
        let Some(claims) = presented else {
            return Err(Error::Unauthenticated("Authentication required".into()));
        };
        let own = self
            .shared
            .db
            .read(|tx| authorize::<acts::ManageSelf, _>(actor, users::find(tx, actor.user_id())?))?;
        let issued = self.shared.authenticator.issue_media_for(&own, claims);
        Ok(Some(MediaToken {
            token: issued.token,
            max_age: issued.expires_in,
        }))
    }
}
