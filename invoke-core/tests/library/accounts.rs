use invoke_core::{
    authn::{Intent, Presented},
    authz::Actor,
    domain::{Error, UserId},
    service::auth::{AccountChange, Content, Credentials, ProfileChange},
};
use serde_json::{Map, json};

use crate::{
    house::{House, absent, account, email, forbidden, password, refusal},
    workflows::{names, saved},
};

fn admin(is_admin: bool) -> AccountChange {
    AccountChange {
        is_admin: Some(is_admin),
        ..AccountChange::default()
    }
}

fn renamed(name: &str) -> AccountChange {
    AccountChange {
        display_name: Some(name.into()),
        ..AccountChange::default()
    }
}

fn login(house: &House, name: &str, password: &str) -> Result<(), Error> {
    let credentials = Credentials {
        email: email(name),
        password: password.into(),
        remember_me: false,
    };
    house.core.auth.login(&Actor::anonymous(), &credentials, None).map(drop)
}

#[test]
fn g01_users_have_things_of_their_own() {
    let house = House::new();
    let picture = house.picture(&house.alice, None);
    let document = saved(&house, &house.alice, "mine");
    house.core.client_state.set(&house.alice, "theme", "dark").unwrap();
    assert_eq!(house.pictures(&house.alice, None).unwrap(), [picture]);
    assert!(house.pictures(&house.bob, None).unwrap().is_empty() && names(&house, &house.bob, None).is_empty());
    assert!(forbidden(house.core.workflows.get(&house.bob, &document)));
    assert_eq!(house.core.client_state.get(&house.bob, "theme").unwrap(), None);
    assert_eq!(house.core.client_state.get(&house.alice, "theme").unwrap().as_deref(), Some("dark"));
}

#[test]
fn g02_administrators_manage_accounts_and_jobs() {
    let house = House::new();
    let carol = house.add("carol", false);
    let auth = &house.core.auth;
    auth.update_user(&house.admin, None, &carol, &renamed("Caro")).unwrap();
    assert_eq!(json!(auth.get_user(&house.admin, &carol).unwrap())["display_name"], "Caro");
    auth.delete_user(&house.admin, &carol, &Content::Leave).unwrap();
    assert!(absent(auth.get_user(&house.admin, &carol)));
    assert_eq!(house.core.queue.pause(&house.admin).unwrap()["is_started"], false);
    assert!(house.core.models.install_jobs(&house.admin).is_ok());
}

#[test]
fn g03_users_change_their_own_profile_only() {
    let house = House::new();
    let change = ProfileChange {
        display_name: Some("Ally".into()),
        ..ProfileChange::default()
    };
    assert_eq!(
        json!(house.core.auth.update_me(&house.alice, None, &change).unwrap().user)["display_name"],
        "Ally"
    );
    assert!(forbidden(house.core.auth.update_user(
        &house.alice,
        None,
        house.bob.user_id(),
        &renamed("Bobby")
    )));
    assert!(forbidden(house.core.models.install(&house.alice, "/", true, None, Map::new())));
}

#[test]
fn g04_there_may_be_several_administrators() {
    let house = House::new();
    house.add("dora", true);
    let dora = house.log_in("dora");
    assert_eq!(house.core.auth.list_users(&dora).unwrap().len(), 4);
    assert_eq!(house.core.auth.list_users(&house.admin).unwrap().len(), 4);
}

#[test]
fn g08_weak_passwords_are_refused_by_name() {
    let house = House::new();
    for (weak, rule) in [
        ("Sh0rt", "8 characters"),
        ("alllower1", "uppercase"),
        ("ALLUPPER1", "lowercase"),
        ("NoDigitsHere", "numbers"),
    ] {
        let mut new = account("weak", false);
        new.password = weak.into();
        assert!(refusal(house.core.auth.create_user(&house.admin, &new)).contains(rule), "{weak}");
    }
    assert_eq!(house.core.auth.list_users(&house.admin).unwrap().len(), 3);
}

#[test]
fn g19_email_and_password_let_in() {
    let house = House::new();
    assert!(login(&house, "alice", &password("alice")).is_ok());
    assert_eq!(refusal(login(&house, "alice", "Wr0ng-word")), "Incorrect email or password");
    for nobody in [Presented::Nothing, Presented::Bearer("no token")] {
        assert!(matches!(
            house.core.authenticator().session(nobody, Intent::Read),
            Err(Error::Unauthenticated(_))
        ));
    }
}

#[test]
fn g20_users_do_all_but_administer() {
    let house = House::new();
    let made = house
        .core
        .text_to_image(&house.alice, &House::request("a red circle", 1), |_, _| {})
        .unwrap();
    let board = house.core.boards.create(&house.alice, "drawn").unwrap().board_id().clone();
    house.core.boards.add_image(&house.alice, &board, made.image_name.as_str()).unwrap();
    assert_eq!(house.pictures(&house.alice, Some(&board)).unwrap(), [made.image_name.as_str()]);
    assert!(!house.models(&house.alice, None).is_empty());
    assert!(forbidden(house.core.app.runtime_config(&house.alice)) && forbidden(house.core.auth.list_users(&house.alice)));
    assert!(forbidden(house.core.queue.pause(&house.alice)));
}

#[test]
fn g21_name_and_password_are_ones_own_to_change() {
    let house = House::new();
    let change = |current: &str| ProfileChange {
        display_name: Some("Ally".into()),
        current_password: Some(current.into()),
        new_password: Some("Br4nd-new".into()),
    };
    assert!(refusal(house.core.auth.update_me(&house.alice, None, &change("Wr0ng-word"))).contains("incorrect"));
    let me = json!(
        house
            .core
            .auth
            .update_me(&house.alice, None, &change(&password("alice")))
            .unwrap()
            .user
    );
    assert_eq!((&me["email"], &me["display_name"]), (&json!("alice@example.com"), &json!("Ally")));
    assert!(login(&house, "alice", &password("alice")).is_err() && login(&house, "alice", "Br4nd-new").is_ok());
}

#[test]
fn g32_accounts_are_for_administrators() {
    let house = House::new();
    let (auth, alice, bob) = (&house.core.auth, &house.alice, house.bob.user_id());
    assert!(forbidden(auth.list_users(alice)) && forbidden(auth.get_user(alice, bob)));
    assert!(forbidden(auth.create_user(alice, &account("mallory", false))));
    assert!(forbidden(auth.update_user(alice, None, alice.user_id(), &admin(true))));
    assert!(forbidden(auth.delete_user(alice, bob, &Content::Delete)));
    assert_eq!(auth.list_users(&house.admin).unwrap().len(), 3);
}

#[test]
fn g33_the_configuration_is_closed_to_users() {
    let house = House::new();
    assert!(forbidden(house.core.app.runtime_config(&house.alice)));
    assert!(forbidden(house.core.app.change_runtime_config(&house.alice, &Map::new())));
    assert!(forbidden(house.core.app.clear_invocation_cache(&house.alice)));
}

#[test]
fn g39_administrators_make_and_keep_accounts() {
    let house = House::new();
    let carol: UserId = house.add("carol", false);
    let inactive = AccountChange {
        is_active: Some(false),
        ..AccountChange::default()
    };
    house.core.auth.update_user(&house.admin, None, &carol, &inactive).unwrap();
    assert!(forbidden(login(&house, "carol", &password("carol"))));
    assert!(refusal(house.core.auth.create_user(&house.admin, &account("carol", false))).contains("already exists"));
    house.core.auth.delete_user(&house.admin, &carol, &Content::Leave).unwrap();
    assert_eq!(house.core.auth.list_users(&house.admin).unwrap().len(), 3);
}

#[test]
fn g42_administrators_reach_the_configuration() {
    let house = House::new();
    let changes = Map::from_iter([("max_queue_history".to_owned(), json!(7))]);
    house.core.app.change_runtime_config(&house.admin, &changes).unwrap();
    let config = house.core.app.runtime_config(&house.admin).unwrap();
    assert_eq!(
        (&config["config"]["max_queue_history"], &config["config"]["multiuser"]),
        (&json!(7), &json!(true))
    );
    let kept = std::fs::read_to_string(house.path().join("invokeai.yaml")).unwrap();
    assert!(kept.contains("max_queue_history: 7"), "{kept}");
}

#[test]
fn g43_the_last_active_administrator_stays() {
    let house = House::new();
    let auth = &house.core.auth;
    assert!(refusal(auth.update_user(&house.admin, None, house.admin.user_id(), &admin(false))).contains("last administrator"));
    assert!(refusal(auth.delete_user(&house.admin, house.admin.user_id(), &Content::Leave)).contains("last administrator"));
    auth.update_user(&house.admin, None, house.alice.user_id(), &admin(true)).unwrap();
    let alice = house.log_in("alice");
    auth.update_user(&alice, None, house.admin.user_id(), &admin(false)).unwrap();
    assert!(forbidden(auth.list_users(&house.log_in("admin"))));
}
