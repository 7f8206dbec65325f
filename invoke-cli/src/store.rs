//! The accounts of a root folder.

use std::{path::Path, sync::Arc};

use invoke_core::{
    authn::Authenticator,
    authz::Actor,
    config::{Config, Environment, Flags},
    db::Db,
    domain::user::User,
    env::Env,
    files::{DiskStore, ImageStore, MemoryStore},
    service::{Door, Shared, auth::Auth},
};

use crate::{Console, Failure, options::Root};

/// The accounts, and on whose behalf a command uses them: that of whoever has the root folder in their hands.
pub(crate) struct Accounts {
    pub(crate) auth: Auth,
    pub(crate) actor: Actor,
}

/// What of the root folder a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// The database.
    Database,
    /// The database and the pictures.
    Pictures,
}

fn fault(step: &'static str) -> impl Fn(&dyn std::error::Error) -> Failure {
    move |error| Failure::Fault(format!("{step}: {error}"))
}

/// Opens the accounts; makes the database if there is none, and brings an older one up to date.
pub(crate) fn open(root: &Root, needs: Needs, environment: &Environment, console: &mut dyn Console) -> Result<Accounts, Failure> {
    let flags = Flags {
        root: root.root.clone(),
        ..Flags::default()
    };
    let config = Arc::new(Config::load(&flags, environment).map_err(|error| Failure::Fault(error.to_string()))?);
    let (env, layout) = (Env::system(), config.layout());
    let db = Arc::new(open_database(&layout.database(), &env, console)?);
    let images: Arc<dyn ImageStore> = match needs {
        Needs::Database => Arc::new(MemoryStore::new(Arc::clone(&config), env.clone())),
        Needs::Pictures => {
            let store = DiskStore::open(layout.images_dir(), Arc::clone(&config), env.clone());
            Arc::new(store.map_err(|error| fault("opening the pictures")(&error))?)
        }
    };
    let authenticator = Authenticator::open(Arc::clone(&db), env.clone(), config.multiuser());
    let authenticator = Arc::new(authenticator.map_err(|error| Failure::Fault(error.to_string()))?);
    let shared = Shared::new(config, env, db, authenticator, images, Door::Command);
    let auth = Auth::open(Arc::new(shared))?.strict();
    Ok(Accounts {
        auth,
        actor: Actor::local_operator(),
    })
}

fn open_database(file: &Path, env: &Env, console: &mut dyn Console) -> Result<Db, Failure> {
    if file.exists() {
        console.err(&format!("Initializing database at {}\n", file.display()));
    } else {
        console.err(&format!("There is no database at {} yet; making a new one\n", file.display()));
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(|error| fault("making the folder of the database")(&error))?;
        }
    }
    Db::open(file, env.now()).map_err(|error| Failure::Fault(error.to_string()))
}

impl Accounts {
    /// The account of an e-mail, compared as it stands.
    pub(crate) fn find(&self, email: &str) -> Result<User, Failure> {
        let found = self.auth.find_by_email(&self.actor, email)?;
        found.ok_or_else(|| Failure::Refused(format!("No user found with email '{email}'")))
    }
}
