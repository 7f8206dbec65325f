//! Accounts through the service's public functions, with a clock that is moved by hand.

mod accounts;
mod keys;
mod sessions;
mod sign_in;

use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::{
    authn::{Email, Intent, Presented, Session},
    config::{Config, Settings},
    db::Db,
    domain::user::UserDto,
    env::{Env, ManualClock, SeededRng, Timestamp},
    events::{Event, Subscription, UserAccessChanged},
    service::images::Images,
};

pub(super) const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);
pub(super) const PASSWORD: &str = "Str0ngPass";

/// A running core's accounts, and all that was announced of them.
pub(super) struct World {
    pub(super) clock: Arc<ManualClock>,
    pub(super) shared: Arc<Shared>,
    pub(super) auth: Auth,
    announced: Arc<Mutex<Vec<UserAccessChanged>>>,
    _root: tempfile::TempDir,
    _subscription: Subscription,
}

pub(super) fn world_on(db: Db, multiuser: bool) -> World {
    let clock = Arc::new(ManualClock::at(START));
    let env = Env::new(Arc::clone(&clock) as _, Arc::new(SeededRng::new(7)));
    let settings = Settings {
        multiuser,
        strict_password_checking: true,
        ..Settings::default()
    };
    let root = tempfile::tempdir().unwrap();
    let config = Arc::new(Config::from_settings(root.path(), settings));
    let shared = crate::service::tests::shared(config, env, Arc::new(db));
    let announced = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&announced);
    let subscription = shared.bus.subscribe(move |published| {
        if let Event::UserAccessChanged(change) = &*published.event {
            heard.lock().push(change.clone());
        }
    });
    let auth = Auth::open(Arc::clone(&shared)).unwrap();
    World {
        clock,
        shared,
        auth,
        announced,
        _root: root,
        _subscription: subscription,
    }
}

pub(super) fn world() -> World {
    world_on(Db::in_memory(START).unwrap(), true)
}

pub(super) fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

pub(super) fn text<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(error) => error.to_string(),
    }
}

pub(super) fn id(dto: &UserDto) -> UserId {
    serde_json::from_value(serde_json::to_value(dto).unwrap()["user_id"].clone()).unwrap()
}

impl World {
    /// Sets up the first administrator and signs in.
    pub(super) fn admin(&self) -> Session {
        let setup = Setup {
            email: email("root@example.com"),
            display_name: Some("Root".into()),
            password: PASSWORD.into(),
        };
        self.auth.setup(&Actor::anonymous(), &setup).unwrap();
        self.session(&self.login("root@example.com", PASSWORD).unwrap().token).unwrap()
    }

    /// Makes a regular account and signs in.
    pub(super) fn user(&self, admin: &Session, name: &str) -> Session {
        let address = format!("{name}@example.com");
        self.make(admin, &address, false);
        self.session(&self.login(&address, PASSWORD).unwrap().token).unwrap()
    }

    pub(super) fn make(&self, admin: &Session, address: &str, is_admin: bool) -> UserId {
        let account = NewAccount {
            email: email(address),
            display_name: None,
            password: PASSWORD.into(),
            is_admin,
        };
        id(&self.auth.create_user(&admin.actor, &account).unwrap())
    }

    pub(super) fn login(&self, address: &str, password: &str) -> Result<LoggedIn> {
        self.login_as(&Credentials {
            email: email(address),
            password: password.into(),
            remember_me: false,
        })
    }

    pub(super) fn login_as(&self, credentials: &Credentials) -> Result<LoggedIn> {
        self.auth.login(&Actor::anonymous(), credentials, None)
    }

    pub(super) fn session(&self, token: &str) -> Result<Session> {
        self.shared.authenticator.session(Presented::Bearer(token), Intent::Read)
    }

    /// What was announced since the last time this was asked.
    pub(super) fn announced(&self) -> Vec<UserAccessChanged> {
        std::mem::take(&mut self.announced.lock())
    }

    pub(super) fn images(&self) -> Images {
        Images {
            shared: Arc::clone(&self.shared),
        }
    }

    pub(super) fn password_hash(&self, user_id: &UserId) -> String {
        let hash = |tx: &crate::db::ReadTx<'_>| {
            tx.sql()
                .query_row("SELECT password_hash FROM users WHERE user_id = ?1", [user_id], |row| {
                    row.get::<_, String>(0)
                })
        };
        self.shared.db.read(hash).unwrap()
    }

    pub(super) fn sql(&self, statement: &str) {
        self.shared.db.write(|tx| tx.sql().execute_batch(statement)).unwrap();
    }
}
