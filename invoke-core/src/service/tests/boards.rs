use serde_json::{Value, json};

use super::{Kit, absent, forbidden, name};
use crate::{
    authz::Actor,
    domain::{
        BoardId,
        board::{BoardChanges, BoardOrder},
        image::BoardVisibility::{Private, Public, Shared},
        page::Direction,
    },
    repo::gallery::{ImageFilter, OnBoard},
    service::boards::BoardListing,
};

const ALL: BoardListing = BoardListing {
    order: BoardOrder::CreatedAt,
    direction: Direction::Desc,
    include_archived: false,
};

fn listed(kit: &Kit, actor: &Actor) -> Vec<String> {
    let boards = json!(kit.boards.list_all(actor, ALL).unwrap());
    boards
        .as_array()
        .unwrap()
        .iter()
        .map(|board| board["board_name"].as_str().unwrap().to_owned())
        .collect()
}

fn rename(to: &str) -> BoardChanges {
    BoardChanges {
        board_name: Some(to.into()),
        ..BoardChanges::default()
    }
}

fn on(board: &BoardId) -> ImageFilter {
    ImageFilter {
        board: OnBoard::Board(board.clone()),
        ..ImageFilter::default()
    }
}

#[test]
fn g22_g44_users_keep_as_many_boards_as_they_like() {
    let kit = Kit::new();
    for i in 0..30 {
        kit.board(&kit.alice, &format!("b{i}"), Private);
    }
    assert_eq!(listed(&kit, &kit.alice).len(), 30);
    assert_eq!(listed(&kit, &kit.alice)[0], "b29");
    let page = json!(kit.boards.list_page(&kit.alice, ALL, 28, 10).unwrap());
    assert_eq!(
        (page["items"].as_array().unwrap().len(), &page["items"][1]["board_name"]),
        (2, &json!("b0"))
    );
    let id = kit.board(&kit.alice, "mine", Private);
    assert_eq!(
        json!(kit.boards.update(&kit.alice, &id, &rename("ours")).unwrap())["board_name"],
        json!("ours")
    );
    kit.boards.delete(&kit.alice, &id, false).unwrap();
    assert!(absent(kit.boards.get(&kit.alice, &id)));
}

#[test]
fn g45_a_new_board_is_private_and_hidden() {
    let kit = Kit::new();
    let board = kit.boards.create(&kit.alice, "own").unwrap();
    assert_eq!(json!(board)["board_visibility"], json!("private"));
    let id = board.board_id();
    let image = name(&kit.picture(&kit.alice, Some(id)));
    let bobs = name(&kit.picture(&kit.bob, None));
    assert!(forbidden(kit.boards.get(&kit.bob, id)) && listed(&kit, &kit.bob).is_empty());
    assert!(forbidden(kit.boards.image_names(&kit.bob, Some(id), vec![], None)));
    assert!(forbidden(kit.images.list(&kit.bob, &on(id), 0, 10)) && forbidden(kit.gallery.item_names(&kit.bob, &on(id))));
    assert!(forbidden(kit.boards.add_image(&kit.bob, id, &bobs)) && forbidden(kit.boards.add_images(&kit.bob, id, &[bobs])));
    assert!(forbidden(kit.boards.remove_image(&kit.bob, &image)));
    assert!(forbidden(kit.boards.update(&kit.bob, id, &rename("x"))) && forbidden(kit.boards.delete(&kit.bob, id, false)));
    assert!(absent(kit.boards.get(&kit.bob, &BoardId::new("nowhere"))));
}

#[test]
fn g28_g46_a_shared_board_is_seen_by_all_and_changed_by_its_owner() {
    let kit = Kit::new();
    let id = kit.board(&kit.alice, "shown", Shared);
    let image = name(&kit.picture(&kit.alice, Some(&id)));
    let bobs = name(&kit.picture(&kit.bob, None));
    assert_eq!(listed(&kit, &kit.bob), ["shown"]);
    assert_eq!(kit.images.names(&kit.bob, &on(&id)).unwrap().total_count, 1);
    assert!(kit.images.full(&kit.bob, &image).is_ok() && kit.images.metadata(&kit.bob, &image).is_ok());
    assert!(forbidden(kit.boards.add_image(&kit.bob, &id, &bobs)) && forbidden(kit.boards.remove_image(&kit.bob, &image)));
    assert!(
        kit.boards
            .remove_images(&kit.bob, std::slice::from_ref(&image))
            .unwrap()
            .removed_images
            .is_empty()
    );
    assert!(
        kit.images
            .star(&kit.bob, std::slice::from_ref(&image))
            .unwrap()
            .starred_images
            .is_empty()
    );
    assert!(forbidden(kit.images.delete(&kit.bob, &image)) && forbidden(kit.boards.update(&kit.bob, &id, &rename("x"))));
    let closed = BoardChanges {
        board_visibility: Some(Private),
        ..BoardChanges::default()
    };
    kit.boards.update(&kit.alice, &id, &closed).unwrap();
    assert!(forbidden(kit.images.full(&kit.bob, &image)) && listed(&kit, &kit.bob).is_empty());
}

#[test]
fn g47_a_public_board_is_filled_by_all_and_kept_by_its_owner() {
    let kit = Kit::new();
    let id = kit.board(&kit.alice, "open", Public);
    let alices = name(&kit.picture(&kit.alice, Some(&id)));
    let bobs = name(&kit.picture(&kit.bob, None));
    let added = kit
        .boards
        .add_images(&kit.bob, &id, &[bobs.clone(), alices.clone(), "no.png".into(), bobs.clone()])
        .unwrap();
    assert_eq!(
        json!(added),
        json!({"affected_boards": ["none", id], "added_images": [bobs], "failed_images": []})
    );
    assert_eq!(
        kit.images
            .star(&kit.bob, std::slice::from_ref(&alices))
            .unwrap()
            .starred_images
            .len(),
        1
    );
    assert_eq!(
        json!(kit.boards.remove_image(&kit.bob, &alices).unwrap())["removed_images"],
        json!([alices])
    );
    assert!(
        forbidden(kit.images.full(&kit.bob, &alices)),
        "uncategorised again, it is Alice's alone"
    );
    assert!(forbidden(kit.boards.update(&kit.bob, &id, &rename("x"))) && forbidden(kit.boards.delete(&kit.bob, &id, true)));
}

#[test]
fn g49_administrators_manage_every_board() {
    let kit = Kit::new();
    let id = kit.board(&kit.alice, "own", Private);
    let image = name(&kit.picture(&kit.alice, Some(&id)));
    let of_admin = name(&kit.picture(&kit.admin, None));
    kit.boards.add_image(&kit.admin, &id, &of_admin).unwrap();
    assert_eq!(
        json!(kit.boards.update(&kit.admin, &id, &rename("tidy")).unwrap())["board_name"],
        json!("tidy")
    );
    assert_eq!(kit.boards.image_names(&kit.admin, Some(&id), vec![], None).unwrap().len(), 2);
    let board = &json!(kit.boards.list_all(&kit.admin, ALL).unwrap())[0];
    assert_eq!((&board["user_id"], &board["image_count"]), (&json!("alice"), &json!(2)));
    assert!(kit.images.delete(&kit.admin, &image).is_ok());
}

#[test]
fn the_owners_name_is_told_to_administrators_alone() {
    let kit = Kit::new();
    kit.shared
        .db
        .write(|tx| {
            tx.sql().execute(
                "INSERT INTO users (user_id, email, display_name, password_hash) VALUES ('alice', 'a@x.com', '', '')",
                [],
            )
        })
        .unwrap();
    kit.board(&kit.alice, "own", Public);
    let named = |actor: &Actor| json!(kit.boards.list_all(actor, ALL).unwrap())[0]["owner_username"].clone();
    assert_eq!(
        (named(&kit.admin), named(&kit.alice), named(&kit.bob)),
        (json!("a@x.com"), Value::Null, Value::Null)
    );
}

#[test]
fn g67_archived_boards_are_hidden_until_asked_for() {
    let kit = Kit::new();
    let id = kit.board(&kit.alice, "old", Private);
    kit.boards
        .update(
            &kit.alice,
            &id,
            &BoardChanges {
                archived: Some(true),
                ..BoardChanges::default()
            },
        )
        .unwrap();
    assert!(listed(&kit, &kit.alice).is_empty());
    assert_eq!(
        kit.boards
            .list_all(
                &kit.alice,
                BoardListing {
                    include_archived: true,
                    ..ALL
                }
            )
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn boards_are_ordered_by_time_or_name() {
    let kit = Kit::new();
    for title in ["b", "A", "C"] {
        kit.board(&kit.alice, title, Private);
    }
    let by_name = BoardListing {
        order: BoardOrder::Name,
        direction: Direction::Asc,
        ..ALL
    };
    let titles = |boards: Value| -> String {
        boards
            .as_array()
            .unwrap()
            .iter()
            .map(|b| b["board_name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(titles(json!(kit.boards.list_all(&kit.alice, by_name).unwrap())), "AbC");
    assert_eq!(
        titles(json!(kit.boards.list_page(&kit.alice, by_name, 0, 10).unwrap())["items"].clone()),
        "ACb"
    );
    assert_eq!(listed(&kit, &kit.alice), ["C", "A", "b"]);
}

#[test]
fn a_board_shows_its_best_picture_and_its_counts() {
    use crate::domain::image::ImageCategory::{Control, General};
    let kit = Kit::new();
    let id = kit.board(&kit.alice, "own", Private);
    let shown = |key: &str| json!(kit.boards.get(&kit.alice, &id).unwrap())[key].clone();
    assert_eq!((shown("cover_image_name"), shown("image_count")), (Value::Null, json!(0)));
    let first = name(&kit.picture(&kit.alice, Some(&id)));
    let asset = name(&kit.picture_of(&kit.alice, Some(&id), Control, false));
    kit.picture_of(&kit.alice, Some(&id), General, true);
    assert_eq!(
        (shown("image_count"), shown("asset_count"), shown("cover_image_name")),
        (json!(1), json!(1), json!(asset))
    );
    kit.images.star(&kit.alice, std::slice::from_ref(&first)).unwrap();
    assert_eq!(shown("cover_image_name"), json!(first));
}

#[test]
fn a_deleted_board_lets_its_pictures_go_or_takes_the_owners_along() {
    let kit = Kit::new();
    let id = kit.board(&kit.alice, "open", Public);
    let (alices, bobs) = (name(&kit.picture(&kit.alice, Some(&id))), name(&kit.picture(&kit.bob, Some(&id))));
    let gone = json!(kit.boards.delete(&kit.alice, &id, true).unwrap());
    assert_eq!(
        (&gone["deleted_images"], &gone["deleted_board_images"]),
        (&json!([alices]), &json!([]))
    );
    assert_eq!(json!(kit.images.dto(&kit.bob, &bobs).unwrap())["board_id"], Value::Null);
    let second = kit.board(&kit.alice, "again", Private);
    let image = name(&kit.picture(&kit.alice, Some(&second)));
    let gone = json!(kit.boards.delete(&kit.alice, &second, false).unwrap());
    assert_eq!(
        (&gone["deleted_images"], &gone["deleted_board_images"]),
        (&json!([]), &json!([image]))
    );
    assert!(kit.images.full(&kit.alice, &image).is_ok());
}

#[test]
fn g50_g51_single_user_mode_gathers_everything_and_gives_it_back() {
    let kit = Kit::new();
    let id = kit.board(&kit.alice, "of alice", Private);
    let (_, bobs) = (kit.picture(&kit.alice, Some(&id)), name(&kit.picture(&kit.bob, None)));
    let single = Actor::single_user_administrator();
    assert_eq!(listed(&kit, &single), ["of alice"]);
    let loose = ImageFilter {
        board: OnBoard::None,
        ..ImageFilter::default()
    };
    kit.picture(&kit.alice, None);
    assert_eq!(kit.images.names(&single, &loose).unwrap().total_count, 2);
    kit.picture(&single, None);
    assert_eq!(kit.images.names(&kit.alice, &loose).unwrap().total_count, 1);
    assert_eq!(
        kit.images.names(&kit.bob, &loose).unwrap().image_names.iter().collect::<Vec<_>>(),
        [bobs]
    );
    assert!(listed(&kit, &kit.bob).is_empty());
}

#[test]
fn nobody_uses_boards_before_signing_in() {
    use crate::domain::Error::Unauthenticated;
    let kit = Kit::new();
    let id = kit.board(&kit.alice, "open", Public);
    let nobody = Actor::anonymous();
    assert!(matches!(kit.boards.create(&nobody, "x"), Err(Unauthenticated(_))));
    assert!(matches!(kit.boards.get(&nobody, &id), Err(Unauthenticated(_))));
    assert!(matches!(kit.boards.list_all(&nobody, ALL), Err(Unauthenticated(_))));
    assert!(matches!(kit.boards.delete(&nobody, &id, true), Err(Unauthenticated(_))));
    assert!(matches!(kit.boards.remove_image(&nobody, "x.png"), Err(Unauthenticated(_))));
    assert!(matches!(kit.images.names(&nobody, &on(&id)), Err(Unauthenticated(_))));
}
