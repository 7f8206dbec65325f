use super::*;
use crate::{
    authz::{acts, authorize_global},
    domain::{
        BatchId, QueueId, SessionId,
        image::{ImageCategory, ImageOrigin},
    },
    files::Chunks,
    repo::{audit::AuditFilter, queue},
    service::images::NewPicture,
};

const LAST: &str = "Cannot remove the last administrator";
const PROTECTED: &str = "The system user cannot be deleted, deactivated, promoted to administrator, or given a password";

fn change(world: &World, by: &Session, of: &UserId, change: AccountChange) -> Result<Updated> {
    world.auth.update_user(&by.actor, by.claims.as_ref(), of, &change)
}

fn role(is_admin: bool) -> AccountChange {
    AccountChange {
        is_admin: Some(is_admin),
        ..AccountChange::default()
    }
}

fn active(is_active: bool) -> AccountChange {
    AccountChange {
        is_active: Some(is_active),
        ..AccountChange::default()
    }
}

fn user_id(session: &Session) -> UserId {
    session.actor.user_id().clone()
}

fn picture(world: &World, owner: &Session) -> crate::domain::ImageName {
    let picture = NewPicture {
        pixels: Arc::new(image::DynamicImage::new_rgb8(8, 8)),
        origin: ImageOrigin::External,
        category: ImageCategory::General,
        is_intermediate: false,
        board_id: None,
        session_id: None,
        node_id: None,
        chunks: Chunks::default(),
    };
    world.images().create(&owner.actor, picture).unwrap().image_name().clone()
}

#[test]
fn g32_g66_accounts_are_for_administrators() {
    let world = world();
    let admin = world.admin();
    let (alice, bob) = (world.user(&admin, "alice"), world.make(&admin, "bob@example.com", false));
    let account = NewAccount {
        email: email("x@example.com"),
        display_name: None,
        password: PASSWORD.into(),
        is_admin: false,
    };
    for (actor, reason) in [
        (&alice.actor, "Admin privileges required"),
        (&Actor::anonymous(), "Authentication required"),
    ] {
        assert_eq!(text(world.auth.list_users(actor)), reason);
        assert_eq!(text(world.auth.accounts(actor)), reason);
        assert_eq!(text(world.auth.create_user(actor, &account)), reason);
        assert_eq!(text(world.auth.get_user(actor, &bob)), reason);
        assert_eq!(text(world.auth.get_user(actor, &UserId::new("nobody"))), reason);
        assert_eq!(text(world.auth.find_by_email(actor, "bob@example.com")), reason);
        assert_eq!(text(world.auth.update_user(actor, None, &bob, &role(true))), reason);
        assert_eq!(text(world.auth.update_user(actor, None, actor.user_id(), &role(true))), reason);
        assert_eq!(text(world.auth.delete_user(actor, &bob, &Content::Leave)), reason);
        assert_eq!(text(world.auth.transfer_content(actor, &bob, actor.user_id())), reason);
        assert_eq!(text(world.auth.audit_log(actor, &AuditFilter::default(), 0, 10)), reason);
        assert_eq!(text(world.auth.sweep(actor)), reason);
        assert_eq!(text(world.auth.list_all_api_keys(actor)), reason);
    }
}

#[test]
fn g39_accounts_are_made_listed_and_found() {
    let world = world();
    let admin = world.admin();
    world.clock.advance_millis(1000);
    let carol = world.make(&admin, "Carol@Example.COM", false);
    let emails: Vec<String> = world
        .auth
        .list_users(&admin.actor)
        .unwrap()
        .iter()
        .map(|user| serde_json::to_value(user).unwrap()["email"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(emails, ["Carol@example.com", "root@example.com"], "newest first, without `system`");
    let again = NewAccount {
        email: email("Carol@example.com"),
        display_name: None,
        password: PASSWORD.into(),
        is_admin: false,
    };
    assert_eq!(
        text(world.auth.create_user(&admin.actor, &again)),
        "User with email Carol@example.com already exists"
    );
    let weak = NewAccount {
        email: email("d@example.com"),
        password: "short".into(),
        ..again
    };
    assert_eq!(
        text(world.auth.create_user(&admin.actor, &weak)),
        "Password must be at least 8 characters long"
    );
    assert_eq!(
        world
            .auth
            .find_by_email(&admin.actor, "Carol@example.com")
            .unwrap()
            .unwrap()
            .user_id,
        carol
    );
    assert_eq!(world.auth.find_by_email(&admin.actor, "carol@example.com").unwrap(), None);
    assert_eq!(text(world.auth.get_user(&admin.actor, &UserId::new("nobody"))), "User not found");
    assert!(world.auth.get_user(&admin.actor, &UserId::system()).is_ok());
}

#[test]
fn g12_g71_an_administrator_sets_name_and_password_of_others() {
    let world = world();
    let admin = world.admin();
    let alice = world.user(&admin, "alice");
    let token = world.login("alice@example.com", PASSWORD).unwrap().token;
    world.announced();
    let to = AccountChange {
        display_name: Some("A.".into()),
        ..AccountChange::default()
    };
    change(&world, &admin, &user_id(&alice), to).unwrap();
    assert!(world.session(&token).is_ok());
    assert_eq!(world.announced().len(), 0);
    let weak = AccountChange {
        password: Some("weak".into()),
        ..AccountChange::default()
    };
    assert_eq!(
        text(change(&world, &admin, &user_id(&alice), weak)),
        "Password must be at least 8 characters long"
    );
    let reset = AccountChange {
        password: Some("Fresh1Pass".into()),
        ..AccountChange::default()
    };
    let updated = change(&world, &admin, &user_id(&alice), reset).unwrap();
    assert!(updated.replacement.is_none(), "the administrator's own session is not concerned");
    assert_eq!(world.announced().len(), 1);
    assert_eq!(text(world.session(&token)), "User not found or inactive");
    assert!(world.login("alice@example.com", "Fresh1Pass").is_ok());
    let own = AccountChange {
        password: Some("Fresh1Pass".into()),
        ..AccountChange::default()
    };
    let replacement = change(&world, &admin, &user_id(&admin), own).unwrap().replacement.unwrap();
    assert!(world.session(&replacement.api.token).is_ok());
    assert_eq!(text(change(&world, &admin, &UserId::new("nobody"), role(true))), "User not found");
}

#[test]
fn an_administrator_changes_a_login_name() {
    let world = world();
    let admin = world.admin();
    let alice = world.user(&admin, "alice");
    world.make(&admin, "bob@example.com", false);
    let rename = |address: &str| {
        change(
            &world,
            &admin,
            &user_id(&alice),
            AccountChange {
                email: Some(email(address)),
                ..AccountChange::default()
            },
        )
    };
    assert_eq!(text(rename("bob@example.com")), "User with email bob@example.com already exists");
    rename("alice@new.example").unwrap();
    assert!(world.login("alice@new.example", PASSWORD).is_ok());
    assert_eq!(text(world.login("alice@example.com", PASSWORD)), "Incorrect email or password");
}

#[test]
fn g14_rights_follow_the_account_not_the_token() {
    let world = world();
    let admin = world.admin();
    let alice = world.user(&admin, "alice");
    let token = world.login("alice@example.com", PASSWORD).unwrap().token;
    let lists = || text(world.auth.list_users(&world.session(&token).unwrap().actor));
    assert_eq!(lists(), "Admin privileges required");
    change(&world, &admin, &user_id(&alice), role(true)).unwrap();
    assert_eq!(lists(), "ok");
    world.announced();
    change(&world, &admin, &user_id(&alice), role(false)).unwrap();
    assert_eq!(lists(), "Admin privileges required");
    let announced = world.announced();
    assert_eq!((announced.len(), announced[0].access.is_admin), (1, false));
}

#[test]
fn g11_an_inactive_account_is_out_at_once_and_back_when_active() {
    let world = world();
    let admin = world.admin();
    let alice = world.user(&admin, "alice");
    let login = world.login("alice@example.com", PASSWORD).unwrap();
    assert_eq!(
        owner_of_job(&world.shared, &user_id(&alice), false).unwrap(),
        Some(alice.actor.clone())
    );
    world.announced();
    change(&world, &admin, &user_id(&alice), active(false)).unwrap();
    assert_eq!(
        world.announced().iter().map(|change| change.access.is_active).collect::<Vec<_>>(),
        [false]
    );
    assert_eq!(text(world.session(&login.token)), "User not found or inactive");
    let cookie = Presented::MediaCookie(&login.media_token);
    assert_eq!(
        text(world.shared.authenticator.session(cookie, Intent::Read)),
        "User not found or inactive"
    );
    assert_eq!(
        owner_of_job(&world.shared, &user_id(&alice), false).unwrap(),
        None,
        "its jobs are not run"
    );
    change(&world, &admin, &user_id(&alice), active(true)).unwrap();
    assert!(world.session(&login.token).is_ok());
    assert_eq!(
        owner_of_job(&world.shared, &UserId::system(), false)
            .unwrap()
            .map(|actor| actor.is_admin()),
        Some(false)
    );
}

#[test]
fn g43_the_last_active_administrator_stays() {
    let world = world();
    let admin = world.admin();
    let own = user_id(&admin);
    let second = world.make(&admin, "second@example.com", true);
    change(&world, &admin, &second, active(false)).unwrap();
    assert_eq!(
        text(change(&world, &admin, &own, role(false))),
        LAST,
        "an inactive one does not count"
    );
    assert_eq!(text(change(&world, &admin, &own, active(false))), LAST);
    assert_eq!(text(world.auth.delete_user(&admin.actor, &own, &Content::Leave)), LAST);
    assert_eq!(text(world.auth.delete_user(&admin.actor, &own, &Content::Delete)), LAST);
    let harmless = AccountChange {
        display_name: Some("Still here".into()),
        is_admin: Some(true),
        ..AccountChange::default()
    };
    assert_eq!(text(change(&world, &admin, &own, harmless)), "ok");
    assert_eq!(text(change(&world, &admin, &second, role(false))), "ok", "an inactive one may go");
    let third = world.make(&admin, "third@example.com", true);
    assert_eq!(
        text(world.auth.delete_user(&admin.actor, &own, &Content::Leave)),
        "ok",
        "oneself, if another is left"
    );
    assert_eq!(
        world
            .auth
            .find_by_email(&Actor::local_operator(), "third@example.com")
            .unwrap()
            .unwrap()
            .user_id,
        third
    );
}

#[test]
fn g43_administrators_who_demote_each_other_leave_one() {
    let dir = tempfile::tempdir().unwrap();
    let world = world_on(Db::open(&dir.path().join("invokeai.db"), START).unwrap(), true);
    let admin = world.admin();
    let all: Vec<UserId> = (0..5)
        .map(|n| world.make(&admin, &format!("a{n}@example.com"), true))
        .chain([user_id(&admin)])
        .collect();
    std::thread::scope(|scope| {
        for (n, of) in all.iter().enumerate() {
            let world = &world;
            scope.spawn(move || {
                let operator = Actor::local_operator();
                let result = match n % 3 {
                    0 => world.auth.update_user(&operator, None, of, &role(false)).map(|_| ()),
                    1 => world.auth.update_user(&operator, None, of, &active(false)).map(|_| ()),
                    _ => world.auth.delete_user(&operator, of, &Content::Leave).map(|_| ()),
                };
                assert!(["ok", "Cannot remove the last administrator"].contains(&text(result).as_str()));
            });
        }
    });
    assert_eq!(world.shared.db.read(crate::repo::users::count_active_admins).unwrap(), 1);
}

#[test]
fn the_system_account_is_protected() {
    let world = world();
    let admin = world.admin();
    let password = AccountChange {
        password: Some(PASSWORD.into()),
        ..AccountChange::default()
    };
    for to in [password, role(true), active(false)] {
        assert_eq!(text(change(&world, &admin, &UserId::system(), to)), PROTECTED);
    }
    assert_eq!(
        text(world.auth.delete_user(&admin.actor, &UserId::system(), &Content::Delete)),
        PROTECTED
    );
    let name = AccountChange {
        display_name: Some("Legacy".into()),
        ..AccountChange::default()
    };
    assert_eq!(text(change(&world, &admin, &UserId::system(), name)), "ok");
}

#[test]
fn g13_a_deleted_accounts_content_stays_by_default() {
    let world = world();
    let admin = world.admin();
    let alice = world.user(&admin, "alice");
    let token = world.login("alice@example.com", PASSWORD).unwrap().token;
    let name = picture(&world, &alice);
    world.announced();
    world.auth.delete_user(&admin.actor, &user_id(&alice), &Content::Leave).unwrap();
    assert_eq!(
        world
            .announced()
            .iter()
            .map(|change| (change.access.is_admin, change.access.is_active))
            .collect::<Vec<_>>(),
        [(false, false)]
    );
    assert_eq!(text(world.session(&token)), "User not found or inactive");
    assert_eq!(text(world.login("alice@example.com", PASSWORD)), "Incorrect email or password");
    assert!(world.images().dto(&admin.actor, &name).is_ok(), "administrators still see it");
    assert_eq!(owner_of_job(&world.shared, &user_id(&alice), false).unwrap(), None);
    assert_eq!(
        text(world.auth.delete_user(&admin.actor, &user_id(&alice), &Content::Leave)),
        "User not found"
    );
}

/// Puts an item of an account into the queue.
fn enqueue(world: &World, owner: &Session) {
    let leave = authorize_global::<acts::UseServer>(&owner.actor).unwrap();
    let batch = queue::NewBatch {
        queue_id: &QueueId::new("default"),
        batch_id: &BatchId::new("x"),
        user_id: owner.actor.user_id(),
        by_key: false,
        origin: None,
        destination: None,
        priority: 0,
        cost: 1.0,
        models: &[],
        fields: None,
        graph: "{}",
        workflow: None,
        now: world.shared.env.now(),
    };
    let item = queue::NewItem {
        session_id: Some(SessionId::new("s")),
        ..queue::NewItem::default()
    };
    let added = world
        .shared
        .db
        .write(|tx| -> Result<_> { Ok(queue::insert_batch(tx, &leave, &batch, [item])?) });
    assert_eq!(added.unwrap().count(), 1);
}

#[test]
fn g13_a_deleted_accounts_content_can_be_handed_over() {
    let world = world();
    let admin = world.admin();
    let (alice, bob) = (world.user(&admin, "alice"), world.user(&admin, "bob"));
    let name = picture(&world, &alice);
    world.sql(&format!(
        "INSERT INTO boards (board_id, board_name, user_id) VALUES ('b', 'B', '{}')",
        user_id(&alice)
    ));
    for owner in [&alice, &bob] {
        enqueue(&world, owner);
    }
    assert!(world.images().dto(&bob.actor, &name).is_err());
    assert_eq!(
        text(
            world
                .auth
                .delete_user(&admin.actor, &user_id(&alice), &Content::TransferTo(UserId::new("nobody")))
        ),
        "The account that the content is to be handed to does not exist"
    );
    assert_eq!(
        text(
            world
                .auth
                .delete_user(&admin.actor, &user_id(&alice), &Content::TransferTo(user_id(&alice)))
        ),
        "Content cannot be handed to the account that owns it"
    );
    let deleted = world
        .auth
        .delete_user(&admin.actor, &user_id(&alice), &Content::TransferTo(user_id(&bob)))
        .unwrap();
    let moved: Vec<_> = deleted.content.into_iter().filter(|(_, n)| *n > 0).collect();
    assert_eq!(moved, [("images", 1), ("boards", 1), ("queue_items", 1)]);
    assert!(world.images().dto(&bob.actor, &name).is_ok());
    let waiting = |tx: &crate::db::ReadTx<'_>| {
        tx.sql().query_row(
            "SELECT user_id, pending FROM queue_counts WHERE pending > 0 AND user_id <> ''",
            [],
            |row| Ok((row.get::<_, UserId>(0)?, row.get::<_, i64>(1)?)),
        )
    };
    assert_eq!(world.shared.db.read(waiting).unwrap(), (user_id(&bob), 2));
}

#[test]
fn g13_a_deleted_accounts_content_can_be_deleted_files_and_all() {
    let world = world();
    let admin = world.admin();
    let (alice, bob) = (world.user(&admin, "alice"), world.user(&admin, "bob"));
    let (gone, kept) = (picture(&world, &alice), picture(&world, &bob));
    world.sql(&format!(
        "INSERT INTO boards (board_id, board_name, user_id) VALUES ('b', 'B', '{}'); INSERT INTO board_images (board_id, image_name) VALUES ('b', '{kept}')",
        user_id(&alice)
    ));
    world.sql(&format!(
        r#"INSERT INTO workflow_library (workflow_id, workflow, user_id) VALUES ('w', '{{"name": "W", "description": "", "meta": {{"category": "user"}}}}', '{}')"#,
        user_id(&alice)
    ));
    let thumbnail = world.shared.layout.workflow_thumbnails_dir().join("w.webp");
    std::fs::create_dir_all(thumbnail.parent().unwrap()).unwrap();
    std::fs::write(&thumbnail, "a picture").unwrap();
    let deleted = world.auth.delete_user(&admin.actor, &user_id(&alice), &Content::Delete).unwrap();
    let counts: Vec<_> = deleted.content.into_iter().filter(|(_, n)| *n > 0).collect();
    assert_eq!(counts, [("images", 1), ("boards", 1), ("workflows", 1)]);
    assert!(matches!(world.images().dto(&admin.actor, &gone), Err(Error::NotFound(_))));
    assert!(world.shared.images.open_full(&gone, "").is_err());
    assert!(!thumbnail.exists(), "a workflow's picture goes too");
    assert!(
        world.images().full(&bob.actor, &kept).is_ok(),
        "what others put on the account's boards is theirs"
    );
}

/// What ships with the program is nobody's, though `system` stands in its rows.
#[test]
fn what_ships_with_the_program_is_not_handed_over() {
    let world = world();
    let admin = world.admin();
    let alice = world.user(&admin, "alice");
    world.sql(
        r#"INSERT INTO workflow_library (workflow_id, workflow, user_id) VALUES
               ('shipped', '{"name": "S", "description": "", "meta": {"category": "default"}}', 'system'),
               ('own', '{"name": "W", "description": "", "meta": {"category": "user"}}', 'system');
           INSERT INTO style_presets (id, name, preset_data, type, user_id) VALUES
               ('shipped', 'S', '{}', 'default', 'system'), ('own', 'O', '{}', 'user', 'system')"#,
    );
    let moved = world
        .auth
        .transfer_content(&admin.actor, &UserId::system(), &user_id(&alice))
        .unwrap();
    let moved: Vec<_> = moved.content.into_iter().filter(|(_, n)| *n > 0).collect();
    assert_eq!(moved, [("workflows", 1), ("style_presets", 1)]);
}

#[test]
fn a_running_item_goes_with_its_deleted_owner() {
    let world = world();
    let admin = world.admin();
    let alice = world.user(&admin, "alice");
    enqueue(&world, &alice);
    world.sql("UPDATE session_queue SET status = 'in_progress', started_at = 't'");
    world.auth.delete_user(&admin.actor, &user_id(&alice), &Content::Delete).unwrap();
    let left = |tx: &crate::db::ReadTx<'_>| {
        tx.sql().query_row(
            "SELECT (SELECT COUNT(*) FROM session_queue), (SELECT COUNT(*) FROM queue_batches), (SELECT SUM(in_progress) FROM queue_counts)",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)),
        )
    };
    assert_eq!(world.shared.db.read(left).unwrap(), (0, 0, 0));
}

#[test]
fn pictures_do_not_go_while_they_are_moved() {
    let world = world();
    let admin = world.admin();
    let alice = world.user(&admin, "alice");
    let name = picture(&world, &alice);
    world.sql("INSERT INTO image_subfolder_move_jobs (id, state) VALUES (1, 'moving')");
    assert_eq!(
        text(world.auth.delete_user(&admin.actor, &user_id(&alice), &Content::Delete)),
        "Image storage maintenance is active"
    );
    assert!(world.images().full(&alice.actor, &name).is_ok());
}

#[test]
fn an_account_that_another_process_makes_and_deletes_between_two_looks_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("invokeai.db");
    let server = world_on(Db::open(&file, START).unwrap(), true);
    let admin = server.admin();
    let operator = Actor::local_operator();
    server.auth.sweep(&operator).unwrap();
    let command = world_on(Db::open(&file, START).unwrap(), true);
    let bob = user_id(&command.user(&admin, "bob"));
    server.login("bob@example.com", PASSWORD).unwrap();
    command.auth.delete_user(&operator, &bob, &Content::Leave).unwrap();
    let swept = server.auth.sweep(&operator).unwrap();
    assert_eq!(
        swept
            .iter()
            .map(|change| (&change.user_id, change.access.is_active))
            .collect::<Vec<_>>(),
        [(&bob, false)]
    );
}

#[test]
fn changes_by_another_process_are_noticed_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("invokeai.db");
    let server = world_on(Db::open(&file, START).unwrap(), true);
    let admin = server.admin();
    let alice = user_id(&server.user(&admin, "alice"));
    server.announced();
    let operator = Actor::local_operator();
    assert!(server.auth.sweep(&operator).unwrap().is_empty(), "what this process did is no news");
    let command = world_on(Db::open(&file, START).unwrap(), true);
    let token = server.login("alice@example.com", PASSWORD).unwrap().token;
    let reset = AccountChange {
        password: Some("Fresh1Pass".into()),
        ..AccountChange::default()
    };
    command.auth.update_user(&operator, None, &alice, &reset).unwrap();
    assert_eq!(
        text(server.session(&token)),
        "User not found or inactive",
        "requests see it at once"
    );
    let swept = server.auth.sweep(&operator).unwrap();
    assert_eq!(
        swept
            .iter()
            .map(|change| (&change.user_id, change.access.token_epoch))
            .collect::<Vec<_>>(),
        [(&alice, 1)]
    );
    assert_eq!(server.announced().len(), 1);
    assert!(server.auth.sweep(&operator).unwrap().is_empty());
    command.auth.delete_user(&operator, &alice, &Content::Leave).unwrap();
    let swept = server.auth.sweep(&operator).unwrap();
    assert_eq!(swept.iter().map(|change| change.access.is_active).collect::<Vec<_>>(), [false]);
}

#[test]
fn what_was_done_is_written_down_without_secrets() {
    let world = world();
    let admin = world.admin();
    let alice = world.user(&admin, "alice");
    let address = "192.0.2.1".parse().ok();
    let wrong = Credentials {
        email: email("alice@example.com"),
        password: "Secret9Guess".into(),
        remember_me: false,
    };
    assert!(world.auth.login(&Actor::anonymous(), &wrong, address).is_err());
    let reset = AccountChange {
        password: Some("Fresh1Pass".into()),
        is_admin: Some(true),
        ..AccountChange::default()
    };
    change(&world, &admin, &user_id(&alice), reset).unwrap();
    world.auth.logout(&admin.actor).unwrap();
    world.auth.delete_user(&admin.actor, &user_id(&alice), &Content::Leave).unwrap();
    let log = |filter: &AuditFilter| world.auth.audit_log(&admin.actor, filter, 0, 100).unwrap();
    let page = log(&AuditFilter::default());
    let acts: Vec<&str> = page.items.iter().rev().map(|entry| entry.act.as_str()).collect();
    assert_eq!(
        acts,
        [
            "setup",
            "login",
            "user.created",
            "login",
            "login.refused",
            "user.changed",
            "logout",
            "user.deleted"
        ]
    );
    let refused = &page.items[3];
    assert_eq!((refused.address.as_deref(), refused.actor_id.as_str()), (Some("192.0.2.1"), ""));
    assert_eq!(page.items[2].detail.as_deref(), Some("password, promoted"));
    let whole = serde_json::to_string(&page.items).unwrap();
    assert!(
        !whole.contains("Secret9Guess") && !whole.contains("Fresh1Pass") && !whole.contains('@'),
        "{whole}"
    );
    let of_alice = log(&AuditFilter {
        user_id: Some(user_id(&alice)),
        ..AuditFilter::default()
    });
    assert_eq!(of_alice.total, 5);
    assert_eq!(
        log(&AuditFilter {
            act: Some("login".into()),
            ..AuditFilter::default()
        })
        .total,
        3
    );
    assert!(world.auth.audit_log(&admin.actor, &AuditFilter::default(), 0, 1001).is_err());
}
