use serde_json::json;

use super::{Kit, name};
use crate::{
    authz::Actor,
    domain::{
        image::{
            BoardVisibility::Private,
            ImageCategory::{Control, General, Mask},
        },
        page::Direction,
    },
    repo::gallery::{ImageFilter, OnBoard},
};

/// Six pictures of Alice's (the second and fourth on a board, the fifth intermediate, the first marked), one of Bob's.
fn filled() -> (Kit, Vec<String>, crate::domain::BoardId) {
    let kit = Kit::new();
    let board = kit.board(&kit.alice, "own", Private);
    let kinds = [
        (None, General),
        (Some(&board), General),
        (None, Mask),
        (Some(&board), Control),
        (None, Mask),
        (None, General),
    ];
    let names: Vec<String> = kinds
        .into_iter()
        .enumerate()
        .map(|(i, (board, category))| name(&kit.picture_of(&kit.alice, board, category, i == 4)))
        .collect();
    kit.picture(&kit.bob, None);
    kit.images.star(&kit.alice, &names[..1]).unwrap();
    (kit, names, board)
}

fn order(kit: &Kit, actor: &Actor, names: &[String], filter: &ImageFilter) -> Vec<usize> {
    let listed = kit.gallery.item_names(actor, filter).unwrap();
    let place = |name: &str| names.iter().position(|known| known == name).unwrap();
    let all: Vec<usize> = listed.item_names.iter().map(place).collect();
    // Every window of the list agrees with the whole of it.
    for limit in [1, 2, 5] {
        let mut windows = Vec::new();
        for offset in (0..all.len() as i64 + limit).step_by(limit as usize) {
            let page = json!(kit.images.list(actor, filter, offset, limit).unwrap());
            assert_eq!(page["total"], json!(all.len()), "{filter:?}");
            windows.extend(
                page["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|image| place(image["image_name"].as_str().unwrap())),
            );
        }
        assert_eq!(windows, all, "in windows of {limit}: {filter:?}");
    }
    all
}

/// Whatever changes a list, the next one is as if none had been read before.
#[test]
fn a_list_read_again_shows_what_changed_meanwhile() {
    let (kit, names, board) = filled();
    let filters = [
        ImageFilter::default(),
        ImageFilter {
            starred_first: false,
            categories: vec![General],
            ..ImageFilter::default()
        },
        ImageFilter {
            board: OnBoard::None,
            ..ImageFilter::default()
        },
        ImageFilter {
            board: OnBoard::Board(board.clone()),
            is_intermediate: Some(false),
            ..ImageFilter::default()
        },
        ImageFilter {
            search_term: Some("fox".into()),
            ..ImageFilter::default()
        },
    ];
    let admin = Actor::local_operator();
    let look = || {
        let mut seen = Vec::new();
        for actor in [&kit.alice, &kit.bob, &admin] {
            for filter in &filters {
                let Ok(kept) = kit.gallery.item_names(actor, filter) else {
                    continue;
                };
                let scope = crate::service::images::list_scope(&kit.shared, actor, filter).unwrap();
                let (read, starred) = kit.shared.db.read(|tx| crate::repo::gallery::names(tx, &scope, filter)).unwrap();
                assert_eq!((&kept.item_names, kept.starred_count), (&read, starred), "{filter:?}");
                assert_eq!(kit.images.names(actor, filter).unwrap().image_names, read);
                seen.push((read, starred));
            }
        }
        seen
    };
    let sql = |text: &str, name: &str| {
        let changed: rusqlite::Result<usize> = kit.shared.db.write(|tx| tx.sql().execute(text, [name]));
        assert!(changed.is_ok(), "{changed:?}");
    };
    let mut before = look();
    assert_eq!(look(), before);
    let steps: [&dyn Fn(); 8] = [
        &|| drop(kit.picture(&kit.alice, None)),
        &|| drop(kit.images.star(&kit.alice, &names[2..3]).unwrap()),
        &|| drop(kit.images.unstar(&kit.alice, &names[2..3]).unwrap()),
        &|| {
            sql(
                "UPDATE images SET metadata = '{\"positive_prompt\": \"a fox\"}' WHERE image_name = ?1",
                &names[2],
            );
        },
        &|| sql("UPDATE images SET user_id = 'nobody' WHERE image_name = ?1", &names[4]),
        &|| sql("UPDATE board_images SET board_id = board_id WHERE image_name = ?1 AND 0", &names[1]),
        &|| sql("DELETE FROM boards WHERE board_id = ?1", board.as_str()),
        &|| sql("DELETE FROM images WHERE image_name = ?1", &names[5]),
    ];
    for (at, step) in steps.iter().enumerate() {
        step();
        let after = look();
        assert_eq!(after == before, at == 5, "step {at}");
        before = after;
    }
}

#[test]
fn lists_are_ordered_by_mark_time_and_name() {
    let (kit, names, _) = filled();
    let filter = ImageFilter::default();
    let ordered = |filter: &ImageFilter| order(&kit, &kit.alice, &names, filter);
    assert_eq!(ordered(&filter), [0, 5, 4, 3, 2, 1]);
    assert_eq!(
        ordered(&ImageFilter {
            starred_first: false,
            ..filter.clone()
        }),
        [5, 4, 3, 2, 1, 0]
    );
    let ascending = ImageFilter {
        direction: Direction::Asc,
        ..filter
    };
    assert_eq!(ordered(&ascending), [0, 1, 2, 3, 4, 5]);
    kit.images.star(&kit.alice, &names[3..4]).unwrap();
    assert_eq!(ordered(&ascending), [0, 3, 1, 2, 4, 5]);
    assert_eq!(
        ordered(&ImageFilter {
            starred_first: false,
            ..ascending
        }),
        [0, 1, 2, 3, 4, 5]
    );
    assert_eq!(kit.images.names(&kit.alice, &ImageFilter::default()).unwrap().starred_count, 2);
}

/// The windows of `order` above cover both halves of a list; here the list is long enough for a window to lie in either.
#[test]
fn a_page_near_the_end_is_the_same_from_either_end() {
    let kit = Kit::new();
    let names: Vec<String> = (0..23).map(|_| name(&kit.picture(&kit.alice, None))).collect();
    kit.images.star(&kit.alice, &names[..9]).unwrap();
    for direction in [Direction::Asc, Direction::Desc] {
        for starred_first in [true, false] {
            for is_intermediate in [None, Some(false)] {
                let filter = ImageFilter {
                    direction,
                    starred_first,
                    is_intermediate,
                    ..ImageFilter::default()
                };
                assert_eq!(order(&kit, &kit.alice, &names, &filter).len(), names.len());
            }
        }
    }
    let beyond = json!(kit.images.list(&kit.alice, &ImageFilter::default(), 23, 10).unwrap());
    assert_eq!((&beyond["items"], &beyond["total"]), (&json!([]), &json!(23)));
    let far = json!(kit.images.list(&kit.alice, &ImageFilter::default(), i64::MAX, 10).unwrap());
    assert_eq!(far["items"], json!([]));
}

#[test]
fn filters_narrow_a_list_alone_and_together() {
    let (kit, names, board) = filled();
    let all = ImageFilter::default;
    let ordered = |filter: ImageFilter| order(&kit, &kit.alice, &names, &filter);
    assert_eq!(
        ordered(ImageFilter {
            is_intermediate: Some(false),
            ..all()
        }),
        [0, 5, 3, 2, 1]
    );
    assert_eq!(
        ordered(ImageFilter {
            is_intermediate: Some(true),
            ..all()
        }),
        [4]
    );
    assert_eq!(
        ordered(ImageFilter {
            board: OnBoard::None,
            ..all()
        }),
        [0, 5, 4, 2]
    );
    assert_eq!(
        ordered(ImageFilter {
            board: OnBoard::Board(board.clone()),
            ..all()
        }),
        [3, 1]
    );
    assert_eq!(
        ordered(ImageFilter {
            categories: vec![Mask, Control],
            ..all()
        }),
        [4, 3, 2]
    );
    assert_eq!(
        ordered(ImageFilter {
            categories: vec![General],
            board: OnBoard::Board(board),
            ..all()
        }),
        [1]
    );
    assert_eq!(
        ordered(ImageFilter {
            search_term: Some("ALICE".into()),
            ..all()
        }),
        [0, 5, 4, 3, 2, 1]
    );
    // As in the original, the signs of patterns mean what they mean in SQL.
    assert_eq!(
        ordered(ImageFilter {
            search_term: Some("a%i_e".into()),
            ..all()
        })
        .len(),
        6
    );
    assert!(
        ordered(ImageFilter {
            search_term: Some("ali_ce".into()),
            ..all()
        })
        .is_empty()
    );
    assert_eq!(
        ordered(ImageFilter {
            day: Some("2026-09-21".into()),
            is_intermediate: Some(false),
            ..all()
        }),
        [0, 5, 3, 2, 1]
    );
    for day in ["2026-09-22", "2026-09", "", "never", "2026-09-21 14"] {
        assert!(
            ordered(ImageFilter {
                day: Some(day.into()),
                ..all()
            })
            .is_empty(),
            "{day}"
        );
    }
    assert!(
        ordered(ImageFilter {
            origin: Some(crate::domain::image::ImageOrigin::External),
            ..all()
        })
        .is_empty()
    );
}

#[test]
fn g69_a_list_without_a_board_holds_ones_own_alone() {
    let (kit, names, _) = filled();
    let everything = ImageFilter::default();
    assert_eq!(kit.gallery.item_names(&kit.bob, &everything).unwrap().total_count, 1);
    assert_eq!(
        kit.gallery.item_names(&kit.admin, &everything).unwrap().total_count,
        names.len() + 1
    );
    let loose = ImageFilter {
        board: OnBoard::None,
        ..everything
    };
    assert_eq!(kit.gallery.item_names(&kit.bob, &loose).unwrap().total_count, 1);
    assert_eq!(kit.gallery.item_names(&kit.admin, &loose).unwrap().total_count, 5);
}

#[test]
fn days_are_boards_of_their_own() {
    let (kit, names, board) = filled();
    kit.clock.advance_millis(86_400_000);
    let later = name(&kit.picture(&kit.alice, Some(&board)));
    let days = json!(kit.gallery.by_date(&kit.alice).unwrap());
    assert_eq!(days[0]["cover_image_name"], json!(later));
    assert_eq!(
        days[1],
        json!({"virtual_board_id": "by_date:2026-09-21", "board_name": "2026-09-21", "date": "2026-09-21", "image_count": 3, "asset_count": 2,
               "video_count": 0, "cover_image_name": names[5], "cover_video_name": null})
    );
    assert_eq!(json!(kit.gallery.by_date(&kit.bob).unwrap())[0]["image_count"], json!(1));
    kit.images.delete(&kit.alice, &later).unwrap();
    assert_eq!(kit.gallery.by_date(&kit.alice).unwrap().len(), 1);
}

#[test]
fn counts_stay_true_through_every_kind_of_change() {
    let (kit, names, board) = filled();
    let check = || {
        let differ: i64 = kit
            .shared
            .db
            .read(|tx| {
                tx.sql().query_row(
                    "SELECT (SELECT COUNT(*) FROM (
                         SELECT gallery_board, user_id, image_category, image_origin, is_intermediate, starred, COUNT(*) FROM images GROUP BY 1, 2, 3, 4, 5, 6
                         EXCEPT SELECT board_id, user_id, image_category, image_origin, is_intermediate, starred, n FROM gallery_counts))
                     + (SELECT COUNT(*) FROM (
                         SELECT board_id, user_id, image_category, image_origin, is_intermediate, starred, n FROM gallery_counts WHERE n <> 0
                         EXCEPT SELECT gallery_board, user_id, image_category, image_origin, is_intermediate, starred, COUNT(*) FROM images GROUP BY 1, 2, 3, 4, 5, 6))
                     + (SELECT COUNT(*) FROM images i LEFT JOIN board_images b USING (image_name) WHERE i.gallery_board <> COALESCE(b.board_id, ''))",
                    [],
                    |row| row.get(0),
                )
            })
            .unwrap_or_else(|error: rusqlite::Error| panic!("{error}"));
        assert_eq!(differ, 0);
    };
    check();
    kit.boards.add_images(&kit.alice, &board, &names).unwrap();
    check();
    kit.images.unstar(&kit.alice, &names).unwrap();
    kit.boards.remove_images(&kit.alice, &names[..2]).unwrap();
    check();
    kit.images.delete_many(&kit.alice, &names[1..3]).unwrap();
    check();
    kit.boards.delete(&kit.alice, &board, false).unwrap();
    check();
}
