//! The one place that makes an actor out of what a request carries.

use std::sync::Arc;

use super::{
    API_KEY_PREFIX, Claims, Issued, Throttle, TokenKind, api_key,
    password::Hasher,
    token::{ShortKey, Tokens},
};
use crate::{
    authz::Actor,
    db::{Db, ReadTx},
    domain::{
        Error, Result, UserId,
        api_key::{ApiKey, KeyScope},
        user::User,
    },
    env::Env,
    repo::{api_keys, settings, users},
};

/// How exact the note of an API key's last use is, in milliseconds: noting every use would make every request a write.
const USE_NOTED_EVERY_MS: i64 = 300_000;

/// What a request carries to say who asks.
#[derive(Clone, Copy)]
pub enum Presented<'a> {
    /// Nothing.
    Nothing,
    /// An API token or an API key, from an `Authorization: Bearer` header.
    Bearer(&'a str),
    /// A media token, from the cookie for pictures.
    MediaCookie(&'a str),
}

/// What a request is about to do; an API key may be made for looking only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Look.
    Read,
    /// Change something.
    Write,
}

/// Who asks, and by what right.
#[derive(Debug, Clone)]
pub struct Session {
    /// On whose behalf the request is served.
    pub actor: Actor,
    /// The account, as its row is at this moment; `None` in single-user mode.
    pub user: Option<User>,
    /// The token that was shown; `None` in single-user mode and for API keys.
    pub claims: Option<Claims>,
    /// The API key that was shown.
    pub key_id: Option<String>,
}

/// Why nobody is let in.
#[derive(Debug)]
enum Refused {
    NothingPresented,
    NotGenuine,
    NotHonoured,
    KeyMayOnlyRead,
    Fault(Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Fault(error.into())
    }
}

/// Why the authenticator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database failed.
    #[error("the key that tokens are signed with cannot be read: {0}")]
    Sql(#[from] rusqlite::Error),
    /// The stored key is too weak to be used.
    #[error(
        "the key that tokens are signed with is unusable ({0}); it is the row `jwt_secret` of the table `app_settings`: delete the row and a new key is made, which ends all sessions"
    )]
    Key(#[from] ShortKey),
}

/// Turns tokens, cookies and API keys into actors, and makes tokens. It never trusts a token for more than an identity.
pub struct Authenticator {
    db: Arc<Db>,
    env: Env,
    tokens: Tokens,
    hasher: Hasher,
    throttle: Throttle,
    multiuser: bool,
}

impl Authenticator {
    /// Reads the signing key from the database, or makes one.
    pub fn open(db: Arc<Db>, env: Env, multiuser: bool) -> Result<Self, OpenError> {
        let stored = db.read(|tx| settings::get(tx, settings::TOKEN_KEY))?;
        let key = if let Some(key) = stored {
            key
        } else {
            let mut bytes = [0; 32];
            env.fill(&mut bytes);
            let fresh = blake3::Hash::from_bytes(bytes).to_hex();
            // Another process may have been quicker; then its key holds.
            db.write(|tx| settings::get_or_set(tx, settings::TOKEN_KEY, fresh.as_str(), env.now()))?
        };
        let (tokens, hasher) = (Tokens::new(&key)?, Hasher::new(&env));
        Ok(Self {
            db,
            env,
            tokens,
            hasher,
            throttle: Throttle::default(),
            multiuser,
        })
    }

    /// Who asks, wherever a mode without accounts has an answer too: in single-user mode everybody is its administrator.
    pub fn session(&self, presented: Presented<'_>, intent: Intent) -> Result<Session> {
        if !self.multiuser {
            return Ok(Session {
                actor: Actor::single_user_administrator(),
                user: None,
                claims: None,
                key_id: None,
            });
        }
        self.identify(presented, intent)
            .map_err(|refused| refused.worded(["Authentication required", "Invalid or expired token", "User not found or inactive"]))
    }

    /// Which account asks, whatever the mode: for the account pages, which are about accounts.
    pub fn account_session(&self, presented: Presented<'_>, intent: Intent) -> Result<Session> {
        self.identify(presented, intent).map_err(|refused| {
            refused.worded([
                "Missing authentication credentials",
                "Invalid or expired authentication token",
                "User account is inactive or does not exist",
            ])
        })
    }

    fn identify(&self, presented: Presented<'_>, intent: Intent) -> Result<Session, Refused> {
        let (token, kinds): (_, &[TokenKind]) = match presented {
            Presented::Nothing | Presented::Bearer("") | Presented::MediaCookie("") => return Err(Refused::NothingPresented),
            Presented::Bearer(key) if key.starts_with(API_KEY_PREFIX) => return self.by_api_key(key, intent),
            Presented::Bearer(token) => (token, &[TokenKind::Api]),
            // InvokeAI's cookie holds the API token itself, and its clients may put it there; the other way round opens nothing.
            Presented::MediaCookie(token) => (token, &[TokenKind::Media, TokenKind::Api]),
        };
        let now = self.env.now();
        let claims = kinds
            .iter()
            .find_map(|kind| self.tokens.verify(token, *kind, now))
            .ok_or(Refused::NotGenuine)?;
        let user = self.db.read(|tx| honoured(tx, &claims))?.ok_or(Refused::NotHonoured)?;
        Ok(Session {
            actor: Actor::from_account(&user),
            user: Some(user),
            claims: Some(claims),
            key_id: None,
        })
    }

    fn by_api_key(&self, text: &str, intent: Intent) -> Result<Session, Refused> {
        let now = self.env.now();
        let found = self.db.read(|tx| -> rusqlite::Result<_> {
            let Some(key) = api_keys::by_hash(tx, &api_key::digest(text))? else {
                return Ok(None);
            };
            let user = usable(tx, &key.user_id)?;
            Ok(Some((key, user)))
        })?;
        let (key, user) = found.filter(|(key, _)| key.lives_at(now)).ok_or(Refused::NotGenuine)?;
        let user = user.ok_or(Refused::NotHonoured)?;
        if intent == Intent::Write && key.scope != KeyScope::Write {
            return Err(Refused::KeyMayOnlyRead);
        }
        self.note_use(&key);
        Ok(Session {
            actor: Actor::from_api_key(&user),
            user: Some(user),
            claims: None,
            key_id: Some(key.key_id),
        })
    }

    /// Those among some keys, by their identifiers, that are no longer honoured.
    pub fn ended_keys(&self, ids: Vec<String>) -> Result<Vec<String>> {
        let now = self.env.now();
        self.db.read(|tx| {
            let mut ended = Vec::new();
            for id in ids {
                if api_keys::by_id(tx, &id)?.is_none_or(|key| !key.lives_at(now)) {
                    ended.push(id);
                }
            }
            Ok(ended)
        })
    }

    fn note_use(&self, key: &ApiKey) {
        let now = self.env.now();
        if key
            .last_used_at
            .is_none_or(|last| now.millis() - last.millis() >= USE_NOTED_EVERY_MS)
            && let Err(error) = self.db.write(|tx| api_keys::record_use(tx, &key.key_id, now))
        {
            tracing::warn!("the use of an API key could not be noted: {error}");
        }
    }

    /// The owner of a job, with the rights of their account at this moment, or with a key's if a key asked for it; `None` if the account is inactive
    /// or gone.
    pub(crate) fn owner_of_job(&self, tx: &ReadTx<'_>, owner: &UserId, by_key: bool) -> Result<Option<Actor>> {
        if !self.multiuser {
            return Ok(Some(Actor::single_user_administrator()));
        }
        let user = users::identity(tx, owner)?;
        let actor = if by_key { Actor::from_api_key } else { Actor::from_account };
        Ok(user.filter(|user| user.is_active).map(|user| actor(&user)))
    }

    /// A token for an account as it is now.
    pub(crate) fn issue(&self, user: &User, kind: TokenKind, remember_me: bool) -> Issued {
        self.tokens.issue(&self.env, user, kind, remember_me)
    }

    /// A media token that ends with the API token it goes with.
    pub(crate) fn issue_media_for(&self, user: &User, claims: &Claims) -> Issued {
        self.tokens
            .issue_until(&self.env, user, TokenKind::Media, claims.remember_me, claims.exp)
    }

    /// How many requests that hash a password are served at once; see [`Hasher::lanes`].
    pub fn hashing_lanes(&self) -> usize {
        self.hasher.lanes()
    }

    /// Whether there are accounts.
    pub fn multiuser(&self) -> bool {
        self.multiuser
    }

    pub(crate) fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        &self.throttle
    }
}

/// The account of a genuine token, if the token is still honoured: the account exists, is active, is not `system`, and has not changed
/// its password since.
fn honoured(tx: &ReadTx<'_>, claims: &Claims) -> rusqlite::Result<Option<User>> {
    Ok(usable(tx, &claims.user_id)?.filter(|user| user.token_epoch == claims.token_epoch))
}

/// An account that may be used from outside.
fn usable(tx: &ReadTx<'_>, user_id: &UserId) -> rusqlite::Result<Option<User>> {
    if user_id.is_system() {
        return Ok(None);
    }
    Ok(users::identity(tx, user_id)?.filter(|user| user.is_active))
}

impl Refused {
    /// `words` for nothing presented, nothing genuine presented, and an account that is not honoured.
    fn worded(self, words: [&str; 3]) -> Error {
        match self {
            Self::NothingPresented => Error::Unauthenticated(words[0].into()),
            Self::NotGenuine => Error::Unauthenticated(words[1].into()),
            Self::NotHonoured => Error::Unauthenticated(words[2].into()),
            Self::KeyMayOnlyRead => Error::Forbidden("This API key may only read".into()),
            Self::Fault(error) => error,
        }
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator")
            .field("multiuser", &self.multiuser)
            .finish_non_exhaustive()
    }
}
