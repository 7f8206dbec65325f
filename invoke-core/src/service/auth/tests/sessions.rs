use super::*;
use crate::authn::{DAY_S, WEEK_S};

fn change_password(world: &World, session: &Session, current: &str, new: &str) -> Result<Updated> {
    let change = ProfileChange {
        current_password: Some(current.into()),
        new_password: Some(new.into()),
        ..ProfileChange::default()
    };
    world.auth.update_me(&session.actor, session.claims.as_ref(), &change)
}

#[test]
fn g65_sessions_last_a_day_or_a_week() {
    let world = world();
    world.admin();
    for (remember_me, seconds) in [(false, DAY_S), (true, WEEK_S)] {
        let credentials = Credentials {
            email: email("root@example.com"),
            password: PASSWORD.into(),
            remember_me,
        };
        let session = world.login_as(&credentials).unwrap();
        assert_eq!(session.expires_in, seconds);
        world.clock.advance_millis(seconds * 1000 - 1);
        assert!(world.session(&session.token).is_ok());
        world.clock.advance_millis(1);
        assert_eq!(text(world.session(&session.token)), "Invalid or expired token");
    }
}

#[test]
fn texts_of_refusals() {
    let world = world();
    let authenticator = &world.shared.authenticator;
    for (presented, usual, account) in [
        (Presented::Nothing, "Authentication required", "Missing authentication credentials"),
        (
            Presented::Bearer(""),
            "Authentication required",
            "Missing authentication credentials",
        ),
        (
            Presented::Bearer("junk"),
            "Invalid or expired token",
            "Invalid or expired authentication token",
        ),
        (
            Presented::MediaCookie("junk"),
            "Invalid or expired token",
            "Invalid or expired authentication token",
        ),
        (
            Presented::Bearer("ivk_junk"),
            "Invalid or expired token",
            "Invalid or expired authentication token",
        ),
    ] {
        assert_eq!(text(authenticator.session(presented, Intent::Read)), usual);
        assert_eq!(text(authenticator.account_session(presented, Intent::Read)), account);
    }
}

#[test]
fn g72_one_account_may_have_several_sessions() {
    let world = world();
    world.admin();
    let (one, two) = (
        world.login("root@example.com", PASSWORD).unwrap().token,
        world.login("root@example.com", PASSWORD).unwrap().token,
    );
    assert_ne!(one, two);
    assert_eq!(world.session(&one).unwrap().actor, world.session(&two).unwrap().actor);
}

#[test]
fn media_tokens_open_pictures_alone_and_end_with_their_session() {
    let world = world();
    world.admin();
    let authenticator = &world.shared.authenticator;
    let login = world.login("root@example.com", PASSWORD).unwrap();
    assert!(
        authenticator
            .session(Presented::MediaCookie(&login.media_token), Intent::Read)
            .is_ok()
    );
    assert!(authenticator.session(Presented::Bearer(&login.media_token), Intent::Read).is_err());
    // The original's cookie holds the API token, and the recorded contract sends it so.
    assert!(authenticator.session(Presented::MediaCookie(&login.token), Intent::Read).is_ok());
    world.clock.advance_millis(3_600_000);
    let session = world.session(&login.token).unwrap();
    let media = world.auth.media_token(&session.actor, session.claims.as_ref()).unwrap().unwrap();
    assert_eq!(media.max_age, DAY_S - 3600);
    world.clock.advance_millis(media.max_age * 1000 - 1);
    assert!(authenticator.session(Presented::MediaCookie(&media.token), Intent::Read).is_ok());
    world.clock.advance_millis(1);
    assert!(authenticator.session(Presented::MediaCookie(&media.token), Intent::Read).is_err());
}

#[test]
fn a_refreshed_token_lives_as_long_as_a_new_one_and_a_revoked_one_is_never_refreshed() {
    let world = world();
    let nobody = Actor::anonymous();
    world.admin();
    let credentials = Credentials {
        email: email("root@example.com"),
        password: PASSWORD.into(),
        remember_me: true,
    };
    let old = world.login_as(&credentials).unwrap().token;
    world.clock.advance_millis(6 * DAY_S * 1000);
    let fresh = world.auth.refresh(&nobody, &old).unwrap().unwrap();
    world.clock.advance_millis(2 * DAY_S * 1000);
    assert_eq!(world.auth.refresh(&nobody, &old).unwrap(), None, "it has expired");
    let session = world.session(&fresh).unwrap();
    change_password(&world, &session, PASSWORD, "An0therPass").unwrap();
    assert_eq!(world.auth.refresh(&nobody, &fresh).unwrap(), None, "it was revoked");
    assert_eq!(world.auth.refresh(&nobody, "junk").unwrap(), None);
}

#[test]
fn g21_g03_the_own_profile_and_nothing_else() {
    let world = world();
    let admin = world.admin();
    let alice = world.user(&admin, "alice");
    world.announced();
    let change = ProfileChange {
        display_name: Some("Alice A.".into()),
        ..ProfileChange::default()
    };
    let updated = world.auth.update_me(&alice.actor, alice.claims.as_ref(), &change).unwrap();
    assert!(updated.replacement.is_none());
    let me = serde_json::to_value(world.auth.me(&alice.actor).unwrap()).unwrap();
    assert_eq!(
        (me["display_name"].as_str(), me["email"].as_str()),
        (Some("Alice A."), Some("alice@example.com"))
    );
    assert_eq!(world.announced().len(), 0, "a name is no matter of access");
    assert_eq!(text(world.auth.me(&Actor::anonymous())), "Authentication required");
}

#[test]
fn g21_a_new_password_needs_the_present_one_and_ends_all_sessions() {
    let world = world();
    let admin = world.admin();
    let alice = world.user(&admin, "alice");
    let elsewhere = world.login("alice@example.com", PASSWORD).unwrap().token;
    world.announced();
    let new = |current: Option<&str>, new: &str| {
        let change = ProfileChange {
            current_password: current.map(Into::into),
            new_password: Some(new.into()),
            ..ProfileChange::default()
        };
        world.auth.update_me(&alice.actor, alice.claims.as_ref(), &change)
    };
    assert_eq!(text(new(None, "An0therPass")), "Current password is required to set a new password");
    assert_eq!(text(new(Some(""), "")), "Current password is required to set a new password");
    assert_eq!(text(new(Some("nope"), "An0therPass")), "Current password is incorrect");
    assert_eq!(text(new(Some(PASSWORD), "weak")), "Password must be at least 8 characters long");
    assert_eq!(world.announced().len(), 0);
    let replacement = new(Some(PASSWORD), "An0therPass").unwrap().replacement.unwrap();
    let announced = world.announced();
    assert_eq!((announced.len(), announced[0].access.token_epoch), (1, 1));
    assert_eq!(text(world.session(&elsewhere)), "User not found or inactive");
    assert!(world.session(&replacement.api.token).is_ok());
    assert!(
        world
            .shared
            .authenticator
            .session(Presented::MediaCookie(&replacement.media.token), Intent::Read)
            .is_ok()
    );
    assert_eq!(replacement.api.expires_in, DAY_S);
    assert_eq!(text(world.login("alice@example.com", PASSWORD)), "Incorrect email or password");
    assert!(world.login("alice@example.com", "An0therPass").is_ok());
}

#[test]
fn a_stolen_token_is_no_means_to_guess_the_password() {
    let world = world();
    let alice = world.admin();
    for _ in 0..11 {
        assert_eq!(
            text(change_password(&world, &alice, "nope", "An0therPass")),
            "Current password is incorrect"
        );
    }
    assert!(matches!(
        change_password(&world, &alice, PASSWORD, "An0therPass"),
        Err(Error::Throttled { .. })
    ));
}

#[test]
fn a_genuine_token_of_system_is_refused() {
    let world = world();
    let system = world
        .auth
        .accounts(&Actor::local_operator())
        .unwrap()
        .into_iter()
        .find(|user| user.user_id.is_system())
        .unwrap();
    let forged = User { is_admin: true, ..system };
    let token = world.shared.authenticator.issue(&forged, TokenKind::Api, false).token;
    assert_eq!(text(world.session(&token)), "User not found or inactive");
    assert_eq!(world.auth.refresh(&Actor::anonymous(), &token).unwrap(), None);
}

#[test]
fn generated_passwords_are_for_whoever_is_signed_in() {
    let world = world();
    let admin = world.admin();
    assert!(world.auth.generate_password(&admin.actor).unwrap().len() == 16);
    assert_eq!(text(world.auth.generate_password(&Actor::anonymous())), "Authentication required");
}
