//! API keys, which an account has for its programs.

use serde::Serialize;

use super::{Auth, Note, not_by_key};
use crate::{
    authn::NewSecret,
    authz::{Actor, Scope, acts, authorize, authorize_global},
    domain::{
        Error, Result,
        api_key::{ApiKey, KeyScope},
    },
    env::Timestamp,
    events::Event,
    repo::{api_keys, users},
};

/// Keys that one account may have.
const MOST_KEYS: i64 = 100;
/// Characters that a name may have.
const LONGEST_NAME: usize = 100;
/// The longest life of a key, in days.
const LONGEST_LIFE_D: u32 = 3650;
const DAY_MS: i64 = 86_400_000;

/// A new key, as asked for.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// What its owner calls it: 1 to 100 characters.
    pub name: String,
    /// What it may do.
    pub scope: KeyScope,
    /// Days that it lives, 1 to 3650; `None` until it is revoked.
    pub expires_in_days: Option<u32>,
}

/// A key's record as the wire carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKeyDto {
    key_id: String,
    user_id: String,
    name: String,
    scope: KeyScope,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
}

impl ApiKeyDto {
    /// Identifier.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }
}

impl From<&ApiKey> for ApiKeyDto {
    fn from(key: &ApiKey) -> Self {
        Self {
            key_id: key.key_id.clone(),
            user_id: key.user_id.to_string(),
            name: key.name.clone(),
            scope: key.scope,
            created_at: key.created_at.sql(),
            expires_at: key.expires_at.map(Timestamp::sql),
            last_used_at: key.last_used_at.map(Timestamp::sql),
        }
    }
}

/// A key that was just made.
#[derive(Serialize)]
pub struct CreatedApiKey {
    /// The key. It is shown this once.
    pub key: String,
    /// Its record.
    pub record: ApiKeyDto,
}

impl Auth {
    /// Makes a key for one's own account.
    pub fn create_api_key(&self, actor: &Actor, new: &NewApiKey) -> Result<CreatedApiKey> {
        not_by_key(actor)?;
        let name = new.name.trim();
        if name.is_empty() || name.chars().count() > LONGEST_NAME {
            return Err(Error::BadRequest(format!("name: expected 1 to {LONGEST_NAME} characters")));
        }
        if new.expires_in_days.is_some_and(|days| !(1..=LONGEST_LIFE_D).contains(&days)) {
            return Err(Error::BadRequest(format!("expires_in_days: expected 1 to {LONGEST_LIFE_D}")));
        }
        let env = &self.shared.env;
        let (secret, now) = (NewSecret::generate(env), env.now());
        let key = ApiKey {
            key_id: env.uuid(),
            user_id: actor.user_id().clone(),
            name: name.to_owned(),
            scope: new.scope,
            created_at: now,
            expires_at: new.expires_in_days.map(|days| now.plus_millis(i64::from(days) * DAY_MS)),
            last_used_at: None,
        };
        self.shared.db.write(|tx| -> Result<_> {
            let own = authorize::<acts::ManageSelf, _>(actor, users::find(tx, actor.user_id())?)?;
            if own.user_id.is_system() {
                return Err(Error::BadRequest(
                    "API keys belong to accounts, and this server has none in its present mode".into(),
                ));
            }
            if api_keys::count_of(tx, &own)? >= MOST_KEYS {
                return Err(Error::Conflict(format!(
                    "An account has at most {MOST_KEYS} API keys; revoke one first"
                )));
            }
            api_keys::insert(tx, &own, &key, &secret.hash)?;
            let note = Note {
                act: "api_key.created",
                subject: Some(&key.key_id),
                address: None,
                detail: Some(key.scope.as_str()),
            };
            self.shared.db.enter(tx, &own.user_id, note)?;
            Ok(())
        })?;
        Ok(CreatedApiKey {
            key: secret.text,
            record: ApiKeyDto::from(&key),
        })
    }

    /// One's own keys, newest first.
    pub fn list_api_keys(&self, actor: &Actor) -> Result<Vec<ApiKeyDto>> {
        authorize_global::<acts::UseServer>(actor)?;
        let keys = self.shared.db.read(|tx| api_keys::list(tx, &Scope::own(actor)))?;
        Ok(keys.iter().map(ApiKeyDto::from).collect())
    }

    /// Everybody's keys, newest first, for administrators.
    pub fn list_all_api_keys(&self, actor: &Actor) -> Result<Vec<ApiKeyDto>> {
        authorize_global::<acts::ManageUsers>(actor)?;
        let keys = self.shared.db.read(|tx| api_keys::list(tx, &Scope::of(actor)))?;
        Ok(keys.iter().map(ApiKeyDto::from).collect())
    }

    /// Ends a key at once: one's own, or for administrators anybody's.
    pub fn revoke_api_key(&self, actor: &Actor, key_id: &str) -> Result<()> {
        not_by_key(actor)?;
        self.shared.db.write(|tx| -> Result<_> {
            // Whether somebody else has a key of this id is nobody's business.
            let key = match authorize::<acts::ManageSelf, _>(actor, api_keys::find(tx, key_id)?) {
                Err(Error::Forbidden(_) | Error::NotFound(_)) => return Err(Error::NotFound("API key not found".into())),
                other => other?,
            };
            api_keys::delete(tx, &key)?;
            self.shared.db.enter(
                tx,
                actor.user_id(),
                Note {
                    act: "api_key.revoked",
                    subject: Some(key_id),
                    ..Note::default()
                },
            )?;
            Ok(())
        })?;
        let revoked = Event::ApiKeyRevoked { key_id: key_id.to_owned() };
        self.shared.bus.publish(self.shared.env.now(), revoked);
        Ok(())
    }
}
