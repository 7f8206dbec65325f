use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Kit, name, written_down};
use crate::{
    authz::{Actor, Permit, acts, authorize_global},
    config::SubfolderStrategy,
    domain::{Error, ImageName, image::ImageCategory},
    repo::image_moves as repo,
    service::{image_moves::ImageMoves, images::Upload},
};

fn sort_by(kit: &Kit, strategy: &str) {
    let change: Map<String, Value> = json!({"image_subfolder_strategy": strategy}).as_object().unwrap().clone();
    kit.shared.config.change(&change).unwrap();
}

fn finished(moves: &ImageMoves, actor: &Actor) -> Value {
    loop {
        let status = moves.status(actor).unwrap();
        if status["is_running"] == json!(false) {
            return status;
        }
        std::thread::yield_now();
    }
}

fn conflict<T>(outcome: crate::domain::Result<T>) -> bool {
    matches!(outcome, Err(Error::Conflict(text)) if text == "Image storage maintenance is active")
}

#[test]
fn pictures_move_where_new_ones_go_and_can_be_seen_and_deleted_there() {
    let kit = Kit::new();
    let pictures: Vec<String> = (0..5)
        .map(|n| name(&kit.picture_of(&kit.alice, None, ImageCategory::Mask, n == 4)))
        .collect();
    let moves = ImageMoves::open(Arc::clone(&kit.shared)).unwrap();
    for (strategy, waiting) in [("type", 5), ("hash", 5), ("date", 5), ("flat", 5)] {
        sort_by(&kit, strategy);
        assert_eq!(moves.status(&kit.admin).unwrap()["needs_move_count"], json!(waiting), "{strategy}");
        moves.start(&kit.admin).unwrap();
        let status = finished(&moves, &kit.admin);
        assert_eq!(
            (
                &status["needs_move_count"],
                &status["latest_job"]["state"],
                &status["active_job_id"]
            ),
            (&json!(0), &json!("committed"), &Value::Null),
            "{strategy}: {status}"
        );
        for picture in &pictures {
            assert!(kit.images.full(&kit.alice, picture).is_ok(), "{strategy}: {picture}");
            assert!(kit.images.thumbnail(&kit.alice, picture).is_ok(), "{strategy}: {picture}");
        }
    }
    assert_eq!(kit.images.delete_many(&kit.alice, &pictures).unwrap().deleted_images.len(), 5);
    assert_eq!(written_down(&kit.shared), ["image_moves.start"; 4]);

    // What cannot be written down does not begin, and leaves the store as it was.
    let full = "CREATE TRIGGER full BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'full'); END";
    kit.shared.db.write(|tx| tx.sql().execute_batch(full)).unwrap();
    assert!(moves.start(&kit.admin).is_err());
    assert_eq!(moves.status(&kit.admin).unwrap()["is_running"], json!(false));
    kit.shared.maintenance.refuse_if_active().unwrap();
}

/// The statement knows where a picture belongs without asking the store; both have to agree.
#[test]
fn a_new_picture_lies_where_it_belongs() {
    let kit = Kit::new();
    let leave = authorize_global::<acts::ReadServer>(&kit.admin).unwrap();
    for (text, strategy) in [
        ("flat", SubfolderStrategy::Flat),
        ("date", SubfolderStrategy::Date),
        ("type", SubfolderStrategy::Type),
        ("hash", SubfolderStrategy::Hash),
    ] {
        sort_by(&kit, text);
        let pictures: Vec<String> = [true, false]
            .map(|intermediate| name(&kit.picture_of(&kit.alice, None, ImageCategory::Control, intermediate)))
            .into();
        let count = kit.shared.db.read(|tx| repo::misplaced_count(tx, &leave, strategy)).unwrap();
        assert_eq!(count, 0, "{text}");
        kit.images.delete_many(&kit.alice, &pictures).unwrap();
    }
}

#[test]
fn a_move_that_was_cut_off_is_finished_at_the_next_start() {
    let kit = Kit::new();
    let pictures: Vec<String> = (0..3).map(|_| name(&kit.picture(&kit.alice, None))).collect();
    sort_by(&kit, "type");
    let leave = Permit::<acts::ManageServer, ()>::of_program();
    // The crash: the journal is written and one picture is moved, then nothing more.
    let found = kit
        .shared
        .db
        .read(|tx| repo::misplaced(tx, &leave, SubfolderStrategy::Type, "", 100))
        .unwrap();
    kit.shared.db.write(|tx| repo::begin(tx, &leave, &found)).unwrap();
    kit.shared
        .images
        .relocate(&found[0].image_name, &found[0].from, &found[0].to)
        .unwrap();
    let moves = ImageMoves::open(Arc::clone(&kit.shared)).unwrap();
    let status = moves.status(&kit.admin).unwrap();
    assert_eq!(
        (&status["active_job_id"], &status["needs_move_count"]),
        (&Value::Null, &json!(0)),
        "{status}"
    );
    assert!(pictures.iter().all(|picture| kit.images.full(&kit.alice, picture).is_ok()));
}

#[test]
fn a_picture_without_a_file_is_told_and_the_others_move() {
    let kit = Kit::new();
    let (lost, kept) = (name(&kit.picture(&kit.alice, None)), name(&kit.picture(&kit.alice, None)));
    kit.shared.images.delete(&ImageName::parse(&lost).unwrap(), "").unwrap();
    sort_by(&kit, "type");
    let moves = ImageMoves::open(Arc::clone(&kit.shared)).unwrap();
    moves.start(&kit.admin).unwrap();
    let status = finished(&moves, &kit.admin);
    assert_eq!(status["latest_job"]["state"], json!("error"), "{status}");
    assert!(
        status["latest_job"]["error_message"].as_str().unwrap().starts_with(&lost),
        "{status}"
    );
    assert!(kit.images.full(&kit.alice, &kept).is_ok());
    assert_eq!(kit.images.delete(&kit.alice, &lost).unwrap().deleted_images.len(), 1);
}

#[test]
fn while_a_move_waits_pictures_are_left_alone_and_rights_are_asked_first() {
    let kit = Kit::new();
    let board = kit.board(&kit.alice, "own", crate::domain::image::BoardVisibility::Private);
    let picture = name(&kit.picture(&kit.alice, None));
    let moves = ImageMoves::open(Arc::clone(&kit.shared)).unwrap();
    // A job of another program that can neither be finished nor undone: its picture lies in both places.
    let (file, found) = (
        ImageName::parse(&picture).unwrap(),
        repo::Misplaced {
            image_name: ImageName::parse(&picture).unwrap(),
            is_intermediate: false,
            from: String::new(),
            to: "general".into(),
        },
    );
    let leave = Permit::<acts::ManageServer, ()>::of_program();
    kit.shared
        .db
        .write(|tx| repo::begin(tx, &leave, std::slice::from_ref(&found)))
        .unwrap();
    assert!(matches!(moves.start(&kit.admin), Err(Error::Conflict(text)) if text == "An image move job is already active"));
    // As after a start that could not finish it.
    let held = crate::service::image_moves::hold(&kit.shared);
    let (alice, names) = (&kit.alice, std::slice::from_ref(&picture));
    assert!(conflict(kit.images.full(alice, &picture)));
    assert!(conflict(kit.images.thumbnail(alice, &picture)));
    assert!(conflict(kit.images.workflow(alice, &picture)));
    assert!(conflict(kit.images.update(alice, &picture, &Default::default())));
    assert!(conflict(kit.images.delete(alice, &picture)));
    assert!(conflict(kit.images.delete_many(alice, names)));
    assert!(conflict(kit.images.delete_uncategorized(alice)));
    assert!(conflict(kit.images.star(alice, names)));
    assert!(conflict(kit.images.unstar(alice, names)));
    assert!(conflict(kit.images.clear_intermediates(&kit.admin)));
    assert!(conflict(kit.boards.add_image(alice, &board, &picture)));
    assert!(conflict(kit.boards.add_images(alice, &board, names)));
    assert!(conflict(kit.boards.remove_images(alice, names)));
    assert!(conflict(kit.boards.delete(alice, &board, true)));
    let upload = Upload {
        bytes: b"no picture",
        content_type: "text/plain",
        category: ImageCategory::User,
        is_intermediate: false,
        board_id: None,
        session_id: None,
        crop_visible: false,
        metadata: None,
        resize_to: None,
    };
    assert!(conflict(kit.images.upload(alice, upload)));
    // What only reads records goes on, and whoever may not see a picture learns nothing of the maintenance.
    assert!(kit.images.dto(alice, &picture).is_ok());
    assert!(super::forbidden(kit.images.full(&kit.bob, &picture)));
    assert!(super::forbidden(kit.images.delete(&kit.bob, &picture)));
    drop(held);
    kit.shared.images.relocate(&file, "", "general").unwrap();
    moves.start_recovery(&kit.admin).unwrap();
    assert_eq!(finished(&moves, &kit.admin)["latest_job"]["state"], json!("committed"));
    assert!(kit.images.full(alice, &picture).is_ok());
}

#[test]
fn only_administrators_move_pictures() {
    let kit = Kit::new();
    let moves = ImageMoves::open(Arc::clone(&kit.shared)).unwrap();
    assert!(super::forbidden(moves.start(&kit.alice)));
    assert!(super::forbidden(moves.start_recovery(&kit.alice)));
    assert!(super::forbidden(moves.status(&kit.alice)));
}
