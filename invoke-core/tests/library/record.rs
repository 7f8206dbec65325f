//! What administrators do is in the record, whoever drives the library.

use std::sync::Barrier;

use invoke_core::{
    Core,
    authz::Actor,
    domain::{
        BatchId, BoardId, Error,
        audit::Entry,
        board::BoardChanges,
        image::{BoardVisibility::Private, ImageChanges},
    },
    repo::audit::AuditFilter,
    service::style_presets::PresetForm,
};
use serde_json::{Map, json};

use crate::{
    house::{House, absent, adding, forbidden, queue},
    workflows::saved,
};

fn entries(core: &Core, actor: &Actor) -> Vec<Entry> {
    let mut entries = core.auth.audit_log(actor, &AuditFilter::default(), 0, 1000).unwrap().items;
    entries.reverse();
    entries
}

/// What has been written down since the accounts were made: acts, and what they were done to.
fn told(house: &House) -> Vec<(String, String)> {
    let all = entries(&house.core, &house.admin).into_iter();
    let administered = all.filter(|entry| entry.act.contains('.') && !["user", "login"].iter().any(|part| entry.act.starts_with(part)));
    administered
        .map(|entry| {
            assert_eq!((&entry.actor_id, entry.door.as_str()), (house.admin.user_id(), "library"));
            (entry.act, entry.subject_id.or(entry.detail).unwrap_or_default())
        })
        .collect()
}

fn acts<const N: usize>(expected: [(&str, &str); N]) -> Vec<(String, String)> {
    expected.map(|(act, subject)| (act.to_owned(), subject.to_owned())).into()
}

fn rename(house: &House, actor: &Actor, board: &BoardId) -> Result<(), Error> {
    let changes = BoardChanges {
        board_name: Some("renamed".into()),
        ..BoardChanges::default()
    };
    house.core.boards.update(actor, board, &changes).map(drop)
}

fn star(house: &House, actor: &Actor, picture: &str) {
    let changes = ImageChanges {
        starred: Some(true),
        ..ImageChanges::default()
    };
    house.core.images.update(actor, picture, &changes).unwrap();
}

#[test]
fn what_an_administrator_changes_of_other_peoples_is_written_down() {
    let house = House::new();
    let (core, admin, alice) = (&house.core, &house.admin, &house.alice);
    let (board, own) = (house.board(alice, Private), house.board(admin, Private));
    let (hers, mine) = (house.picture(alice, None), house.picture(admin, None));
    let document = saved(&house, alice, "hers");
    core.queue.pause(admin).unwrap();
    let items = [house.enqueue(alice, adding(1, 2)), house.enqueue(&house.bob, adding(3, 4))];

    // One's own things, and other people's own.
    star(&house, admin, &mine);
    star(&house, alice, &hers);
    rename(&house, admin, &own).unwrap();
    // What is looked at.
    core.images.full(admin, &hers).unwrap();
    core.workflows.get(admin, &document).unwrap();
    core.workflows.set_opened(admin, &document).unwrap();

    star(&house, admin, &hers);
    rename(&house, admin, &board).unwrap();
    let onto = house.picture(admin, Some(&board));
    core.workflows.delete_thumbnail(admin, &document).unwrap();
    let mut png = std::io::Cursor::new(Vec::new());
    image::DynamicImage::new_rgb8(8, 6)
        .write_to(&mut png, image::ImageFormat::Png)
        .unwrap();
    core.workflows
        .set_thumbnail(admin, &document, Some("image/png"), png.get_ref())
        .unwrap();
    core.workflows.delete_thumbnail(admin, &document).unwrap();
    core.queue.cancel_item(admin, &queue(), items[0]).unwrap();
    core.queue.cancel_item(admin, &queue(), items[0]).unwrap();
    core.queue.retry_items(admin, &queue(), &items).unwrap();
    let more = house.picture(&house.bob, None);
    core.images.delete_many(admin, &[hers.clone(), more.clone(), mine, onto]).unwrap();
    core.queue.clear(admin, &queue()).unwrap();
    core.queue.clear(admin, &queue()).unwrap();

    let mut both = [hers.clone(), more];
    both.sort();
    let (board, first) = (board.as_str(), items[0].to_string());
    assert_eq!(
        told(&house),
        acts([
            ("queue.pause", ""),
            ("others.UpdateImage", &hers),
            ("others.UpdateBoard", board),
            ("others.UploadToBoard", board),
            ("others.UpdateWorkflow", &document),
            ("others.UpdateWorkflow", &document),
            ("others.CancelQueueItem", &first),
            ("others.RetryQueueItem", &first),
            ("others.UpdateImage", &format!("2: {} {}", both[0], both[1])),
            ("others.DeleteQueueItem", "everybody's"),
        ])
    );
}

#[test]
fn of_many_items_those_of_others_are_named() {
    let house = House::new();
    let (core, admin) = (&house.core, &house.admin);
    core.queue.pause(admin).unwrap();
    let own = house.enqueue(admin, adding(1, 2));
    core.queue.prune(admin, &queue()).unwrap();
    let items: Vec<String> = (0..2).map(|n| house.enqueue(&house.alice, adding(n, 2)).to_string()).collect();
    let batches: Vec<BatchId> = core.queue.list_all(admin, &queue(), None).unwrap().iter().map(batch_of).collect();
    core.queue.cancel_by_batch_ids(admin, &queue(), &batches).unwrap();
    core.queue.cancel_by_batch_ids(admin, &queue(), &batches).unwrap();
    assert_eq!(house.item(admin, own)["status"], "canceled");
    assert_eq!(
        told(&house),
        acts([
            ("queue.pause", ""),
            ("others.CancelQueueItem", &format!("2: {} {}", items[0], items[1])),
        ])
    );
}

fn batch_of(item: &serde_json::Value) -> BatchId {
    BatchId::new(item["batch_id"].as_str().unwrap())
}

#[test]
fn what_is_for_administrators_alone_is_written_down_once_it_is_done() {
    let house = House::new();
    let (core, admin) = (&house.core, &house.admin);
    let key = house.models(admin, None)[0]["key"].as_str().unwrap().to_owned();
    let changes = Map::from_iter([("description".to_owned(), json!("another"))]);
    let secret = "s3cret-of-a-provider";

    for _ in 0..2 {
        core.queue.pause(admin).unwrap();
    }
    core.queue.resume(admin).unwrap();
    core.app.enable_invocation_cache(admin, false).unwrap();
    core.app.empty_model_cache(admin).unwrap();
    let queue_history = Map::from_iter([("max_queue_history".to_owned(), json!(7))]);
    let api_key = |key: &str| Map::from_iter([("api_key".to_owned(), json!(key))]);
    for _ in 0..2 {
        core.app.change_runtime_config(admin, &queue_history).unwrap();
        core.app.set_provider(admin, "openai", &api_key(secret)).unwrap();
    }
    core.app
        .set_provider(admin, "openai", &api_key(&format!("another-{secret}")))
        .unwrap();
    for _ in 0..2 {
        core.app.reset_provider(admin, "openai").unwrap();
    }
    core.models.update(admin, &key, &changes).unwrap();
    core.models.relate(admin, &key, &key).unwrap_err();
    for file in ["nodes/pack/__init__.py", "models/orphan/x.safetensors"] {
        let file = house.path().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "").unwrap();
    }
    for _ in 0..2 {
        core.custom_nodes.uninstall(admin, "pack").unwrap();
        core.models.delete_orphaned(admin, &["orphan".into(), "orphan".into()]).unwrap();
    }
    let source = format!("http://me:{secret}@127.0.0.1:9/file.safetensors?token={secret}");
    core.models.install(admin, &source, false, Some(secret), Map::new()).unwrap();
    core.models.unrelate(admin, &key, "another").unwrap();
    core.models.delete(admin, &key).unwrap();
    let rows = br#"[{"name": "n", "prompt": "p", "negative_prompt": ""}]"#;
    core.style_presets.import(admin, Some("application/json"), rows).unwrap();
    core.style_presets.import(admin, Some("application/json"), b"[]").unwrap();
    let shipped = json!({"name": "n", "positive_prompt": "", "negative_prompt": "", "type": "default"}).to_string();
    let shipped = PresetForm::parse(&shipped).unwrap();
    assert!(forbidden(core.style_presets.create(&house.alice, shipped.clone(), None)));
    let made = core.style_presets.create(admin, shipped, None).unwrap();
    house.picture(&house.alice, None);
    core.images.clear_intermediates(admin).unwrap();

    assert_eq!(
        told(&house),
        acts([
            ("queue.pause", ""),
            ("queue.resume", ""),
            ("app.disable_invocation_cache", ""),
            ("app.change_runtime_config", "max_queue_history"),
            ("app.set_provider", "openai"),
            ("app.set_provider", "openai"),
            ("app.reset_provider", "openai"),
            ("models.update", &key),
            ("custom_nodes.uninstall", "pack"),
            ("models.delete_orphaned", "orphan"),
            ("models.install", "http://127.0.0.1:9/file.safetensors"),
            ("models.delete", &key),
            ("style_presets.import", ""),
            ("style_presets.create_default", made["id"].as_str().unwrap()),
        ])
    );
    assert!(!format!("{:?}", entries(core, admin)).contains(secret));
}

#[test]
fn what_fails_or_is_refused_leaves_no_entry() {
    let house = House::new();
    let (core, admin) = (&house.core, &house.admin);
    let board = house.board(&house.alice, Private);
    // The board is opened before it turns out that there is no such picture.
    assert!(core.boards.add_image(admin, &board, "missing.png").is_err());
    assert!(forbidden(rename(&house, &house.bob, &board)) && forbidden(core.queue.pause(&house.bob)));
    assert!(absent(core.models.delete(admin, "missing")));
    assert!(absent(core.workflows.delete(admin, "missing")));
    assert_eq!(told(&house), []);
}

/// A program may keep an actor for long and share it.
#[test]
fn what_one_call_does_is_not_written_down_with_another() {
    const ROUNDS: usize = 30;
    let house = House::new();
    let (core, admin) = (&house.core, &house.admin);
    let hers: Vec<String> = (0..ROUNDS).map(|_| house.picture(&house.alice, None)).collect();
    let (board, own) = (house.board(&house.alice, Private), house.picture(admin, None));
    let together = Barrier::new(3);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            together.wait();
            hers.iter().for_each(|picture| star(&house, admin, picture));
        });
        scope.spawn(|| {
            together.wait();
            (0..ROUNDS).for_each(|_| star(&house, admin, &own));
        });
        scope.spawn(|| {
            together.wait();
            (0..ROUNDS).for_each(|_| drop(core.boards.add_image(admin, &board, "missing.png").unwrap_err()));
        });
    });
    let expected: Vec<(String, String)> = hers.into_iter().map(|picture| ("others.UpdateImage".to_owned(), picture)).collect();
    assert_eq!(told(&house), expected);
}

/// The program's own act is nobody's use of power.
#[test]
fn a_queue_that_is_emptied_at_start_leaves_no_entry() {
    let house = House::with("clear_queue_on_startup: true\n");
    house.core.queue.pause(&house.admin).unwrap();
    house.enqueue(&house.alice, adding(1, 2));
    let house = house.again();
    assert!(house.core.queue.list_all(&house.admin, &queue(), None).unwrap().is_empty());
    assert_eq!(told(&house), acts([("queue.pause", "")]));
}

#[test]
fn where_everybody_is_the_administrator_what_belongs_to_nobody_alone_is_written_down() {
    let root = tempfile::tempdir().unwrap();
    let core = Core::open_root(root.path()).unwrap();
    let everybody = Actor::single_user_administrator();
    let board = core.boards.create(&everybody, "board").unwrap();
    core.boards.delete(&everybody, board.board_id(), false).unwrap();
    core.queue.pause(&everybody).unwrap();
    let entries = entries(&core, &everybody);
    let told: Vec<(&str, &str)> = entries.iter().map(|entry| (entry.actor_id.as_str(), entry.act.as_str())).collect();
    assert_eq!(told, [("system", "queue.pause")]);
}
