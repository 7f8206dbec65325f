use invoke_core::{
    authz::Actor,
    domain::{
        BoardId, Error,
        board::{BoardChanges, BoardDto, BoardOrder},
        image::{
            BoardVisibility::{Private, Public, Shared},
            ImageCategory,
        },
        page::Direction,
    },
    service::boards::BoardListing,
};
use serde_json::json;

use crate::{
    house::{House, absent, forbidden},
    workflows::{names, saved},
};

fn listed(house: &House, actor: &Actor) -> Vec<BoardId> {
    let listing = BoardListing {
        order: BoardOrder::CreatedAt,
        direction: Direction::Asc,
        include_archived: false,
    };
    let boards = house.core.boards.list_all(actor, listing).unwrap();
    boards.iter().map(|board| board.board_id().clone()).collect()
}

fn rename(house: &House, actor: &Actor, board: &BoardId) -> Result<BoardDto, Error> {
    let changes = BoardChanges {
        board_name: Some("renamed".into()),
        ..BoardChanges::default()
    };
    house.core.boards.update(actor, board, &changes)
}

#[test]
fn g22_users_manage_boards_of_their_own() {
    let house = House::new();
    let board = house.board(&house.alice, Private);
    assert_eq!(json!(rename(&house, &house.alice, &board).unwrap())["board_name"], "renamed");
    house.core.boards.delete(&house.alice, &board, false).unwrap();
    assert!(absent(house.core.boards.get(&house.alice, &board)));
}

#[test]
fn g28_shared_and_public_boards_are_seen() {
    let house = House::new();
    let seen = [house.board(&house.alice, Shared), house.board(&house.alice, Public)];
    house.board(&house.alice, Private);
    assert_eq!(listed(&house, &house.bob), seen);
}

#[test]
fn g31_private_things_of_others_are_closed() {
    let house = House::new();
    let board = house.board(&house.alice, Private);
    let picture = house.picture(&house.alice, Some(&board));
    let document = saved(&house, &house.alice, "mine");
    let (core, bob) = (&house.core, &house.bob);
    assert!(forbidden(core.boards.get(bob, &board)) && forbidden(rename(&house, bob, &board)));
    assert!(forbidden(core.images.dto(bob, &picture)) && forbidden(core.images.full(bob, &picture)));
    assert!(forbidden(core.images.delete(bob, &picture)) && forbidden(core.images.metadata(bob, &picture)));
    assert!(forbidden(core.workflows.get(bob, &document)) && forbidden(core.workflows.delete(bob, &document)));
    assert!(core.images.full(&house.alice, &picture).is_ok());
}

#[test]
fn g41_administrators_manage_everybodys_things() {
    let house = House::new();
    let board = house.board(&house.alice, Private);
    let picture = house.picture(&house.alice, Some(&board));
    let document = saved(&house, &house.alice, "hers");
    let (core, admin) = (&house.core, &house.admin);
    assert_eq!(listed(&house, admin), std::slice::from_ref(&board));
    assert_eq!(
        core.images
            .star(admin, std::slice::from_ref(&picture))
            .unwrap()
            .starred_images
            .len(),
        1
    );
    core.images.delete(admin, &picture).unwrap();
    core.workflows.delete(admin, &document).unwrap();
    core.boards.delete(admin, &board, false).unwrap();
    assert!(listed(&house, &house.alice).is_empty() && names(&house, &house.alice, None).is_empty());
    let of_system = saved(&house, &Actor::local_operator(), "old");
    assert!(forbidden(core.workflows.delete(&house.alice, &of_system)));
    core.workflows.delete(admin, &of_system).unwrap();
}

#[test]
fn g44_boards_hold_pictures_and_assets() {
    let house = House::new();
    let boards: Vec<BoardId> = (0..20).map(|_| house.board(&house.alice, Private)).collect();
    assert_eq!(listed(&house, &house.alice).len(), 20);
    for category in [ImageCategory::General, ImageCategory::Control] {
        house.try_picture(&house.alice, Some(&boards[0]), category).unwrap();
    }
    let board = json!(house.core.boards.get(&house.alice, &boards[0]).unwrap());
    assert_eq!((&board["image_count"], &board["asset_count"]), (&json!(1), &json!(1)));
}

#[test]
fn g45_a_new_board_is_private() {
    let house = House::new();
    let board = house.core.boards.create(&house.alice, "own").unwrap();
    assert_eq!(json!(board)["board_visibility"], "private");
    assert!(listed(&house, &house.bob).is_empty() && forbidden(house.pictures(&house.bob, Some(board.board_id()))));
    assert!(house.core.boards.get(&house.admin, board.board_id()).is_ok());
}

#[test]
fn g46_a_shared_board_is_shown_and_kept() {
    let house = House::new();
    let (core, bob) = (&house.core, &house.bob);
    let board = house.board(&house.alice, Shared);
    let (picture, other) = (house.picture(&house.alice, Some(&board)), house.picture(bob, None));
    assert_eq!(house.pictures(bob, Some(&board)).unwrap(), std::slice::from_ref(&picture));
    assert!(core.images.full(bob, &picture).is_ok());
    assert!(forbidden(core.boards.add_image(bob, &board, &other)) && forbidden(core.boards.remove_image(bob, &picture)));
    assert!(forbidden(rename(&house, bob, &board)) && forbidden(core.boards.delete(bob, &board, false)));
    assert!(rename(&house, &house.admin, &board).is_ok());
}

#[test]
fn g47_a_public_board_is_filled_and_emptied_by_all() {
    let house = House::new();
    let (core, bob) = (&house.core, &house.bob);
    let board = house.board(&house.alice, Public);
    let (picture, other) = (house.picture(&house.alice, Some(&board)), house.picture(bob, None));
    core.boards.add_image(bob, &board, &other).unwrap();
    core.boards.remove_image(bob, &picture).unwrap();
    assert_eq!(house.pictures(&house.alice, Some(&board)).unwrap(), [other]);
    assert!(forbidden(rename(&house, bob, &board)) && forbidden(core.boards.delete(bob, &board, true)));
}

#[test]
fn g49_administrators_manage_every_board() {
    let house = House::new();
    for visibility in [Private, Shared, Public] {
        let board = house.board(&house.alice, visibility);
        let picture = house.picture(&house.admin, None);
        rename(&house, &house.admin, &board).unwrap();
        house.core.boards.add_image(&house.admin, &board, &picture).unwrap();
        house.core.boards.delete(&house.admin, &board, false).unwrap();
    }
    assert!(listed(&house, &house.alice).is_empty());
}

#[test]
fn g69_pictures_are_seen_through_boards_alone() {
    let house = House::new();
    let picture = house.picture(&house.alice, None);
    assert!(forbidden(house.core.images.full(&house.bob, &picture)) && house.pictures(&house.bob, None).unwrap().is_empty());
    for (visibility, seen) in [(Shared, true), (Private, false), (Public, true)] {
        let board = house.board(&house.alice, visibility);
        house.core.boards.add_image(&house.alice, &board, &picture).unwrap();
        assert_eq!(house.core.images.full(&house.bob, &picture).is_ok(), seen, "{visibility}");
    }
}
