use super::*;
use crate::domain::api_key::KeyScope;

fn new(name: &str, scope: KeyScope) -> NewApiKey {
    NewApiKey {
        name: name.into(),
        scope,
        expires_in_days: None,
    }
}

#[test]
fn a_key_stands_for_its_account_and_never_for_an_administrator() {
    let world = world();
    let admin = world.admin();
    let created = world.auth.create_api_key(&admin.actor, &new("script", KeyScope::Write)).unwrap();
    assert!(created.key.starts_with("ivk_"));
    let authenticator = &world.shared.authenticator;
    for intent in [Intent::Read, Intent::Write] {
        let session = authenticator.session(Presented::Bearer(&created.key), intent).unwrap();
        assert_eq!(session.actor.user_id(), admin.actor.user_id());
        assert!(!session.actor.is_admin());
        assert_eq!(text(world.auth.list_users(&session.actor)), "Admin privileges required");
        assert!(world.auth.me(&session.actor).is_ok());
    }
    assert!(authenticator.session(Presented::MediaCookie(&created.key), Intent::Read).is_err());
}

#[test]
fn a_read_key_does_not_write() {
    let world = world();
    let admin = world.admin();
    let key = world.auth.create_api_key(&admin.actor, &new("viewer", KeyScope::Read)).unwrap().key;
    assert!(world.shared.authenticator.session(Presented::Bearer(&key), Intent::Read).is_ok());
    let refused = world.shared.authenticator.session(Presented::Bearer(&key), Intent::Write);
    assert!(matches!(refused, Err(Error::Forbidden(_))));
}

#[test]
fn a_key_has_no_power_over_the_account() {
    let world = world();
    let admin = world.admin();
    let created = world.auth.create_api_key(&admin.actor, &new("script", KeyScope::Write)).unwrap();
    let session = world.session(&created.key).unwrap();
    let profile = ProfileChange {
        display_name: Some("x".into()),
        ..ProfileChange::default()
    };
    assert!(matches!(
        world.auth.update_me(&session.actor, None, &profile),
        Err(Error::Forbidden(_))
    ));
    assert!(matches!(
        world.auth.create_api_key(&session.actor, &new("more", KeyScope::Write)),
        Err(Error::Forbidden(_))
    ));
    assert!(matches!(
        world.auth.revoke_api_key(&session.actor, created.record.key_id()),
        Err(Error::Forbidden(_))
    ));
    assert!(matches!(world.auth.media_token(&session.actor, None), Err(Error::Forbidden(_))));
    assert_eq!(world.auth.refresh(&Actor::anonymous(), &created.key).unwrap(), None);
}

#[test]
fn keys_end_by_revocation_by_time_and_with_their_account() {
    let world = world();
    let admin = world.admin();
    let alice = world.user(&admin, "alice");
    let make = |days: Option<u32>| {
        world
            .auth
            .create_api_key(
                &alice.actor,
                &NewApiKey {
                    expires_in_days: days,
                    ..new("k", KeyScope::Read)
                },
            )
            .unwrap()
    };
    let (revoked, short, long) = (make(None), make(Some(1)), make(None));
    let listed = world.auth.list_api_keys(&alice.actor).unwrap();
    assert_eq!(listed.len(), 3);
    assert!(!serde_json::to_string(&listed).unwrap().contains("ivk_"));
    let bob = world.user(&admin, "bob");
    assert!(world.auth.list_api_keys(&bob.actor).unwrap().is_empty());
    assert_eq!(
        text(world.auth.revoke_api_key(&bob.actor, revoked.record.key_id())),
        "API key not found"
    );
    world.auth.revoke_api_key(&alice.actor, revoked.record.key_id()).unwrap();
    assert_eq!(text(world.session(&revoked.key)), "Invalid or expired token");
    world.clock.advance_millis(86_400_000 - 1);
    assert!(world.session(&short.key).is_ok());
    world.clock.advance_millis(1);
    assert_eq!(text(world.session(&short.key)), "Invalid or expired token");
    let off = AccountChange {
        is_active: Some(false),
        ..AccountChange::default()
    };
    world.auth.update_user(&admin.actor, None, alice.actor.user_id(), &off).unwrap();
    assert_eq!(text(world.session(&long.key)), "User not found or inactive");
    world
        .auth
        .delete_user(&admin.actor, alice.actor.user_id(), &Content::Leave)
        .unwrap();
    assert_eq!(text(world.session(&long.key)), "Invalid or expired token");
}

#[test]
fn keys_are_stored_as_digests_and_their_use_is_noted() {
    let world = world();
    let admin = world.admin();
    let created = world.auth.create_api_key(&admin.actor, &new("script", KeyScope::Read)).unwrap();
    let stored = |tx: &crate::db::ReadTx<'_>| {
        tx.sql()
            .query_row("SELECT hex(key_hash) FROM api_keys", [], |row| row.get::<_, String>(0))
    };
    assert_eq!(world.shared.db.read(stored).unwrap().len(), 64);
    world.session(&created.key).unwrap();
    let used = || serde_json::to_value(world.auth.list_all_api_keys(&admin.actor).unwrap()).unwrap()[0]["last_used_at"].clone();
    assert_eq!(used(), START.sql());
    world.clock.advance_millis(60_000);
    world.session(&created.key).unwrap();
    assert_eq!(used(), START.sql(), "not every use is a write");
    world.clock.advance_millis(240_000);
    world.session(&created.key).unwrap();
    assert_eq!(used(), START.plus_millis(300_000).sql());
}

#[test]
fn malformed_requests_for_keys_name_the_field() {
    let world = world();
    let admin = world.admin();
    for (request, field) in [
        (new("", KeyScope::Read), "name"),
        (new(&"x".repeat(101), KeyScope::Read), "name"),
        (
            NewApiKey {
                expires_in_days: Some(0),
                ..new("k", KeyScope::Read)
            },
            "expires_in_days",
        ),
        (
            NewApiKey {
                expires_in_days: Some(3651),
                ..new("k", KeyScope::Read)
            },
            "expires_in_days",
        ),
    ] {
        assert!(text(world.auth.create_api_key(&admin.actor, &request)).starts_with(field));
    }
    assert!(
        world
            .auth
            .create_api_key(&Actor::single_user_administrator(), &new("k", KeyScope::Read))
            .is_err()
    );
}

/// What sweeps ask about keys that sockets were opened with.
#[test]
fn keys_that_were_revoked_or_whose_time_has_come_are_told_apart() {
    let world = world();
    let admin = world.admin();
    let short = NewApiKey {
        expires_in_days: Some(1),
        ..new("short", KeyScope::Read)
    };
    let make = |key: &NewApiKey| world.auth.create_api_key(&admin.actor, key).unwrap().record.key_id().to_owned();
    let (short, long, revoked) = (
        make(&short),
        make(&new("long", KeyScope::Read)),
        make(&new("revoked", KeyScope::Read)),
    );
    let ended = || {
        world
            .shared
            .authenticator
            .ended_keys(vec![short.clone(), long.clone(), revoked.clone()])
            .unwrap()
    };
    assert!(ended().is_empty());
    world.auth.revoke_api_key(&admin.actor, &revoked).unwrap();
    assert_eq!(ended(), std::slice::from_ref(&revoked));
    world.clock.advance_millis(86_400_000);
    assert_eq!(ended(), [short.clone(), revoked.clone()]);
}
