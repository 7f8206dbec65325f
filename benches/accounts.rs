//! What accounts cost: finding out who asks at every request, and signing in.
//!
//!     cargo bench -p invoke-core --bench accounts

use std::{hint::black_box, sync::Arc};

use criterion::Criterion;
use invoke_core::{
    authn::{Authenticator, Email, Intent, Presented},
    authz::Actor,
    config::{Config, Settings},
    db::Db,
    domain::api_key::KeyScope,
    env::Env,
    files::MemoryStore,
    service::{
        Door, Shared,
        auth::{Auth, Credentials, NewApiKey, Setup},
    },
};

const PASSWORD: &str = "Str0ngPass";

fn accounts(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let env = Env::system();
    let db = Arc::new(Db::open(&folder.path().join("invokeai.db"), env.now()).expect("a database"));
    let config = Arc::new(Config::from_settings(
        folder.path(),
        Settings {
            multiuser: true,
            ..Settings::default()
        },
    ));
    let authenticator = Arc::new(Authenticator::open(Arc::clone(&db), env.clone(), true).expect("an authenticator"));
    let store = MemoryStore::new(Arc::clone(&config), env.clone());
    let shared = Shared::new(config, env, db, Arc::clone(&authenticator), Arc::new(store), Door::Library);
    let auth = Auth::open(Arc::new(shared)).expect("accounts");
    let email = Email::parse("ann@example.com").expect("an address");
    let nobody = Actor::anonymous();
    auth.setup(
        &nobody,
        &Setup {
            email: email.clone(),
            display_name: None,
            password: PASSWORD.into(),
        },
    )
    .expect("an administrator");
    let credentials = Credentials {
        email,
        password: PASSWORD.into(),
        remember_me: false,
    };
    let token = auth.login(&nobody, &credentials, None).expect("a session").token;
    let session = authenticator.session(Presented::Bearer(&token), Intent::Read).expect("a session");
    let new = NewApiKey {
        name: "bench".into(),
        scope: KeyScope::Read,
        expires_in_days: None,
    };
    let key = auth.create_api_key(&session.actor, &new).expect("a key").key;

    c.bench_function("session by token", |b| {
        b.iter(|| authenticator.session(Presented::Bearer(black_box(&token)), Intent::Read).is_ok());
    });
    c.bench_function("session by API key", |b| {
        b.iter(|| authenticator.session(Presented::Bearer(black_box(&key)), Intent::Read).is_ok());
    });
    c.bench_function("refresh", |b| b.iter(|| auth.refresh(&nobody, black_box(&token)).is_ok()));
    let mut slow = c.benchmark_group("hashing");
    slow.sample_size(10);
    slow.bench_function("login", |b| b.iter(|| auth.login(&nobody, black_box(&credentials), None).is_ok()));
    slow.bench_function("50 logins at once", |b| {
        b.iter(|| {
            std::thread::scope(|scope| {
                for _ in 0..50 {
                    scope.spawn(|| auth.login(&nobody, &credentials, None).is_ok());
                }
            });
        });
    });
    slow.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    accounts(&mut criterion);
    criterion.final_summary();
}
