use std::{
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;

fn setup(address: &str, password: &str) -> Setup {
    Setup {
        email: email(address),
        display_name: None,
        password: password.into(),
    }
}

#[test]
fn g07_g08_setup_is_asked_for_once_and_only_with_a_strong_password() {
    let world = world();
    let nobody = Actor::anonymous();
    let status = |world: &World| serde_json::to_value(world.auth.status(&nobody).unwrap()).unwrap();
    assert_eq!(
        status(&world),
        serde_json::json!({"setup_required": true, "multiuser_enabled": true, "strict_password_checking": true, "admin_email": null})
    );
    for (password, reason) in [
        ("Ab1", "Password must be at least 8 characters long"),
        ("", "Password must be at least 8 characters long"),
        ("alllower1", "Password must contain uppercase, lowercase, and numbers"),
        ("ALLUPPER1", "Password must contain uppercase, lowercase, and numbers"),
        ("NoDigitsHere", "Password must contain uppercase, lowercase, and numbers"),
    ] {
        assert_eq!(text(world.auth.setup(&nobody, &setup("a@example.com", password))), reason);
    }
    let admin = world.auth.setup(&nobody, &setup("a@example.com", PASSWORD)).unwrap();
    assert_eq!(serde_json::to_value(&admin).unwrap()["is_admin"], true);
    assert_eq!(status(&world)["setup_required"], false);
    assert_eq!(
        text(world.auth.setup(&nobody, &setup("b@example.com", "x"))),
        "Administrator account already configured"
    );
}

#[test]
fn g07_of_simultaneous_set_ups_one_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let world = world_on(Db::open(&dir.path().join("invokeai.db"), START).unwrap(), true);
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (world, made) = (&world, &made);
            scope.spawn(move || {
                match world
                    .auth
                    .setup(&Actor::anonymous(), &setup(&format!("a{n}@example.com"), PASSWORD))
                {
                    Ok(_) => {
                        made.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(error) => assert!(
                        ["Admin user already exists", "Administrator account already configured"].contains(&error.to_string().as_str()),
                        "{error}"
                    ),
                }
            });
        }
    });
    assert_eq!(made.load(Ordering::SeqCst), 1);
    assert_eq!(
        world.auth.accounts(&Actor::local_operator()).unwrap().len(),
        2,
        "the administrator and `system`"
    );
}

#[test]
fn g09_g19_g63_who_knows_the_password_gets_in() {
    let world = world();
    let admin = world.admin();
    world.make(&admin, "Carol@example.com", false);
    let session = world.session(&world.login("Carol@example.com", PASSWORD).unwrap().token).unwrap();
    assert_eq!(session.user.unwrap().last_login_at, Some(START));
    for (address, password) in [
        ("Carol@example.com", "wrong"),
        ("carol@example.com", PASSWORD),
        ("ghost@example.com", PASSWORD),
        ("system@system.invokeai", ""),
    ] {
        assert_eq!(text(world.login(address, password)), "Incorrect email or password", "{address}");
    }
}

#[test]
fn g64_a_disabled_account_is_told_so_only_to_whoever_knows_its_password() {
    let world = world();
    let admin = world.admin();
    let carol = world.make(&admin, "carol@example.com", false);
    world
        .auth
        .update_user(
            &admin.actor,
            None,
            &carol,
            &AccountChange {
                is_active: Some(false),
                ..AccountChange::default()
            },
        )
        .unwrap();
    assert_eq!(text(world.login("carol@example.com", PASSWORD)), "User account is disabled");
    assert_eq!(text(world.login("carol@example.com", "wrong")), "Incorrect email or password");
}

#[test]
fn guessing_is_slowed_down_for_accounts_that_exist_and_for_those_that_do_not() {
    let world = world();
    let admin = world.admin();
    world.make(&admin, "carol@example.com", false);
    for address in ["carol@example.com", "ghost@example.com"] {
        for _ in 0..11 {
            assert_eq!(text(world.login(address, "wrong")), "Incorrect email or password");
        }
        assert!(
            matches!(world.login(address, PASSWORD), Err(Error::Throttled { retry_after_s: 1 })),
            "{address}"
        );
    }
    world.clock.advance_millis(1000);
    assert!(world.login("carol@example.com", PASSWORD).is_ok());
    for _ in 0..10 {
        assert_eq!(
            text(world.login("carol@example.com", "wrong")),
            "Incorrect email or password",
            "the count began anew"
        );
    }
}

#[test]
fn many_attempts_at_once_are_counted_one_by_one() {
    let world = world();
    let admin = world.admin();
    world.make(&admin, "carol@example.com", false);
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                if matches!(world.login("carol@example.com", "wrong"), Err(Error::Unauthenticated(_))) {
                    refused.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    let compared = refused.load(Ordering::SeqCst);
    assert!(
        (11..=11 + world.auth.hashing_lanes()).contains(&compared),
        "{compared} were compared"
    );
}

#[test]
fn an_address_that_guesses_many_names_is_slowed_down() {
    let world = world();
    world.admin();
    let address: IpAddr = "203.0.113.9".parse().unwrap();
    let login = |name: usize| {
        let credentials = Credentials {
            email: email(&format!("u{name}@example.com")),
            password: "wrong".into(),
            remember_me: false,
        };
        world.auth.login(&Actor::anonymous(), &credentials, Some(address))
    };
    for name in 0..51 {
        assert!(matches!(login(name), Err(Error::Unauthenticated(_))), "{name}");
    }
    assert!(matches!(login(51), Err(Error::Throttled { .. })));
}

#[test]
fn a_proxy_on_this_machine_is_not_slowed_down_for_one_of_its_clients() {
    let world = world();
    world.admin();
    for name in 0..60 {
        let credentials = Credentials {
            email: email(&format!("u{name}@example.com")),
            password: "wrong".into(),
            remember_me: false,
        };
        let login = world.auth.login(&Actor::anonymous(), &credentials, "::ffff:127.0.0.1".parse().ok());
        assert!(matches!(login, Err(Error::Unauthenticated(_))), "{name}");
    }
}

#[test]
fn an_imported_hash_is_replaced_at_the_next_login() {
    let world = world();
    let admin = world.admin();
    let carol = world.make(&admin, "carol@example.com", false);
    // As InvokeAI keeps it: cut at 72 bytes.
    let long = format!("Aa1{}", "x".repeat(97));
    let stored = bcrypt::hash(&long[..72], 4).unwrap();
    world.sql(&format!("UPDATE users SET password_hash = '{stored}' WHERE user_id = '{carol}'"));
    assert_eq!(text(world.login("carol@example.com", "wrong")), "Incorrect email or password");
    assert_eq!(world.password_hash(&carol), stored);
    world.login("carol@example.com", &long).unwrap();
    assert!(world.password_hash(&carol).starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    assert!(world.login("carol@example.com", &long).is_ok());
    assert_eq!(
        text(world.login("carol@example.com", &long[..72])),
        "Incorrect email or password",
        "the whole password counts from now on"
    );
    let session = world.session(&world.login("carol@example.com", &long).unwrap().token).unwrap();
    assert_eq!(session.user.unwrap().token_epoch, 0, "a better hash is no new password");
}

#[test]
fn an_unknown_name_takes_as_long_as_a_wrong_password() {
    let world = world();
    world.admin();
    // The time goes into hashing, and both hash once.
    let hashed = |address: &str| {
        let compared = &world.shared.authenticator.hasher().compared;
        let before = compared.load(Ordering::SeqCst);
        assert_eq!(text(world.login(address, "wrong")), "Incorrect email or password");
        compared.load(Ordering::SeqCst) - before
    };
    assert_eq!((hashed("root@example.com"), hashed("ghost@example.com")), (1, 1));
}

#[test]
fn fifty_logins_at_once_leave_others_free() {
    let dir = tempfile::tempdir().unwrap();
    let world = world_on(Db::open(&dir.path().join("invokeai.db"), START).unwrap(), true);
    let token = {
        world.admin();
        world.login("root@example.com", PASSWORD).unwrap().token
    };
    let hasher = world.shared.authenticator.hasher();
    // Every place where hashes are computed is taken for as long as the others ask.
    let taken: Vec<_> = (0..hasher.lanes()).map(|_| hasher.lane()).collect();
    std::thread::scope(|scope| {
        let logins: Vec<_> = (0..50).map(|_| scope.spawn(|| world.login("root@example.com", PASSWORD))).collect();
        for _ in 0..50 {
            world.session(&token).unwrap();
        }
        assert!(logins.iter().all(|login| !login.is_finished()));
        drop(taken);
        for login in logins {
            login.join().unwrap().unwrap();
        }
    });
}

#[test]
fn single_user_mode_has_no_login_and_one_administrator() {
    let world = world_on(Db::in_memory(START).unwrap(), false);
    assert_eq!(
        text(world.login("a@example.com", "x")),
        "Multiuser mode is disabled. Authentication is not required in single-user mode."
    );
    assert_eq!(
        text(world.auth.setup(&Actor::anonymous(), &setup("a@example.com", PASSWORD))),
        "Multiuser mode is disabled. Admin setup is not required in single-user mode."
    );
    let session = world.session("junk").unwrap();
    assert_eq!(session.actor, Actor::single_user_administrator());
    assert_eq!(
        text(world.shared.authenticator.account_session(Presented::Nothing, Intent::Read)),
        "Missing authentication credentials",
        "the account pages are about accounts in every mode"
    );
    assert_eq!(world.auth.media_token(&session.actor, None).unwrap(), None);
    assert_eq!(
        owner_of_job(&world.shared, &UserId::new("gone"), false).unwrap(),
        Some(Actor::single_user_administrator())
    );
}
