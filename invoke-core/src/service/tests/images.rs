use std::{io::Read, sync::mpsc, time::Duration};

use image::{DynamicImage, Rgba, RgbaImage};
use serde_json::{Value, json};

use super::{Kit, absent, forbidden, name, written_down};
use crate::{
    authz::Actor,
    domain::{
        Error, Result,
        board::BoardChanges,
        image::{
            BoardVisibility::{Private, Public},
            ImageCategory, ImageChanges, ImageDto,
        },
    },
    events::Event,
    files::{Chunks, EncodeOptions, encode_png},
    service::{downloads::Downloads, images::Upload},
};

fn png(width: u32, height: u32, chunks: &Chunks) -> Vec<u8> {
    encode_png(&DynamicImage::new_rgb8(width, height), chunks, EncodeOptions { compression: 1 }).unwrap()
}

fn upload_of(bytes: &[u8]) -> Upload<'_> {
    Upload {
        bytes,
        content_type: "image/png",
        category: ImageCategory::User,
        is_intermediate: false,
        board_id: None,
        session_id: None,
        crop_visible: false,
        metadata: None,
        resize_to: None,
    }
}

fn size(image: &Result<ImageDto>) -> (Value, Value) {
    let image = json!(image.as_ref().unwrap());
    (image["width"].clone(), image["height"].clone())
}

#[test]
fn an_upload_is_stored_with_its_texts() {
    let kit = Kit::new();
    let chunks = Chunks {
        metadata: Some("{\"seed\": 7}".into()),
        graph: Some("{\"nodes\": {}, \"edges\": []}".into()),
        workflow: Some("{}".into()),
    };
    let stored = name(&kit.images.upload(&kit.alice, upload_of(&png(16, 12, &chunks))).unwrap());
    let dto = json!(kit.images.dto(&kit.alice, &stored).unwrap());
    assert_eq!(
        (&dto["image_origin"], &dto["has_workflow"], &dto["width"]),
        (&json!("external"), &json!(true), &json!(16))
    );
    assert_eq!(kit.images.metadata(&kit.alice, &stored).unwrap(), json!({"seed": 7}));
    assert_eq!(
        kit.images.workflow(&kit.alice, &stored).unwrap(),
        json!({"workflow": null, "graph": chunks.graph})
    );
    let form = kit
        .images
        .upload(
            &kit.alice,
            Upload {
                metadata: Some("{\"a\": 1}".into()),
                ..upload_of(&png(4, 4, &chunks))
            },
        )
        .unwrap();
    assert_eq!(kit.images.metadata(&kit.alice, name(&form)).unwrap(), json!({"a": 1}));
    let webp = kit.images.thumbnail(&kit.alice, &stored).unwrap().read_all().unwrap();
    assert_eq!(image::load_from_memory(&webp).unwrap().width(), 16);
}

#[test]
fn an_upload_is_cropped_and_resized_as_asked() {
    let kit = Kit::new();
    let mut framed = RgbaImage::new(30, 20);
    for (x, y) in [(3, 4), (12, 9)] {
        framed.put_pixel(x, y, Rgba([9, 9, 9, 255]));
    }
    let bytes = encode_png(&framed.into(), &Chunks::default(), EncodeOptions { compression: 1 }).unwrap();
    assert_eq!(
        size(&kit.images.upload(
            &kit.alice,
            Upload {
                crop_visible: true,
                ..upload_of(&bytes)
            }
        )),
        (json!(10), json!(6))
    );
    let sized = |text: &str| {
        kit.images.upload(
            &kit.alice,
            Upload {
                resize_to: Some(text.into()),
                ..upload_of(&bytes)
            },
        )
    };
    assert_eq!(size(&sized("{\"width\": 5, \"height\": 7}")), (json!(5), json!(7)));
    assert!(matches!(sized("[5, 7]"), Err(Error::BadRequest(_))));
}

#[test]
fn what_is_no_picture_is_refused_and_leaves_nothing() {
    let kit = Kit::new();
    let whole = png(64, 64, &Chunks::default());
    for bytes in [&b"text"[..], b"", &whole[..whole.len() / 2]] {
        assert!(matches!(
            kit.images.upload(&kit.alice, upload_of(bytes)),
            Err(Error::Unsupported(_))
        ));
    }
    let csv = Upload {
        content_type: "text/csv",
        ..upload_of(&whole)
    };
    assert!(matches!(kit.images.upload(&kit.alice, csv), Err(Error::Unsupported(text)) if text == "Not an image"));
    assert_eq!(kit.images.names(&kit.alice, &Default::default()).unwrap().total_count, 0);
}

#[test]
fn uploads_into_boards_follow_the_boards_rules() {
    let kit = Kit::new();
    let (private, public) = (kit.board(&kit.alice, "own", Private), kit.board(&kit.alice, "open", Public));
    let bytes = png(4, 4, &Chunks::default());
    let into = |actor: &Actor, board: &str| {
        kit.images.upload(
            actor,
            Upload {
                board_id: Some(crate::domain::BoardId::new(board)),
                ..upload_of(&bytes)
            },
        )
    };
    assert!(matches!(into(&kit.bob, private.as_str()), Err(Error::Forbidden(text)) if text == "Not authorized to upload to this board"));
    assert!(absent(into(&kit.bob, "nowhere")) && absent(into(&kit.admin, "none")));
    assert!(
        into(&kit.bob, public.as_str()).is_ok() && into(&kit.alice, private.as_str()).is_ok() && into(&kit.admin, private.as_str()).is_ok()
    );
}

#[test]
fn g31_g69_nobody_sees_anothers_pictures() {
    let kit = Kit::new();
    let image = name(&kit.picture(&kit.alice, None));
    let private = kit.board(&kit.bob, "bob's", Private);
    assert!(forbidden(kit.images.dto(&kit.bob, &image)) && forbidden(kit.images.full(&kit.bob, &image)));
    assert!(forbidden(kit.images.thumbnail(&kit.bob, &image)) && forbidden(kit.images.metadata(&kit.bob, &image)));
    assert!(forbidden(kit.images.workflow(&kit.bob, &image)) && forbidden(kit.images.urls(&kit.bob, &image)));
    assert!(forbidden(kit.images.update(&kit.bob, &image, &ImageChanges::default())) && forbidden(kit.images.delete(&kit.bob, &image)));
    assert!(forbidden(kit.boards.add_image(&kit.bob, &private, &image)));
    assert!(kit.images.by_names(&kit.bob, std::slice::from_ref(&image)).unwrap().is_empty());
    assert!(
        kit.images
            .delete_many(&kit.bob, std::slice::from_ref(&image))
            .unwrap()
            .deleted_images
            .is_empty()
    );
    assert!(absent(kit.images.dto(&kit.bob, "missing.png")) && absent(kit.images.dto(&kit.bob, "../x")));
    assert!(
        forbidden(kit.images.delete(&kit.bob, "missing.png")),
        "that it is missing is not told"
    );
    assert!(absent(kit.images.delete(&kit.admin, "missing.png")));
    let nobody = Actor::anonymous();
    assert!(matches!(kit.images.full(&nobody, &image), Err(Error::Unauthenticated(_))));
    assert!(matches!(kit.images.full(&nobody, "missing.png"), Err(Error::Unauthenticated(_))));
}

#[test]
fn records_change_and_marks_come_and_go() {
    let kit = Kit::new();
    let image = name(&kit.picture(&kit.alice, None));
    let changes = ImageChanges {
        image_category: Some(ImageCategory::Mask),
        is_intermediate: Some(true),
        ..ImageChanges::default()
    };
    let before = json!(kit.images.dto(&kit.alice, &image).unwrap());
    kit.clock.advance_millis(5);
    let after = json!(kit.images.update(&kit.alice, &image, &changes).unwrap());
    assert_eq!(
        (&after["image_category"], &after["is_intermediate"], &after["starred"]),
        (&json!("mask"), &json!(true), &json!(false))
    );
    assert_eq!(before["created_at"], after["created_at"]);
    assert_ne!(before["updated_at"], after["updated_at"]);
    let names = [image.clone(), image.clone(), "missing.png".into(), "../bad".into()];
    assert_eq!(
        json!(kit.images.star(&kit.alice, &names).unwrap()),
        json!({"affected_boards": ["none"], "starred_images": [image], "failed_images": []})
    );
    assert_eq!(
        json!(kit.images.unstar(&kit.alice, &names).unwrap())["unstarred_images"],
        json!([image])
    );
    assert!(
        matches!(kit.images.update(&kit.admin, "missing.png", &changes), Err(Error::BadRequest(text)) if text == "Failed to update image")
    );
}

#[test]
fn deleting_takes_record_and_files() {
    let kit = Kit::new();
    let images: Vec<String> = (0..3).map(|_| name(&kit.picture(&kit.alice, None))).collect();
    let asked = [images[0].clone(), "missing.png".into(), images[1].clone(), images[0].clone()];
    let gone = json!(kit.images.delete_many(&kit.alice, &asked).unwrap());
    assert_eq!(
        gone,
        json!({"affected_boards": ["none"], "deleted_images": [images[0], images[1]], "failed_images": []})
    );
    assert!(absent(kit.images.full(&kit.alice, &images[0])) && kit.images.full(&kit.alice, &images[2]).is_ok());
    assert!(kit.images.delete(&kit.alice, &images[2]).is_ok());
    assert!(forbidden(kit.images.delete(&kit.alice, &images[2])));
}

#[test]
fn intermediates_and_uncategorised_pictures_are_cleared_in_bulk() {
    let kit = Kit::new();
    let board = kit.board(&kit.alice, "own", Private);
    for owner in [&kit.alice, &kit.bob] {
        kit.picture_of(owner, None, ImageCategory::Other, true);
        kit.picture(owner, None);
    }
    let kept = name(&kit.picture(&kit.alice, Some(&board)));
    assert_eq!(
        (
            kit.images.intermediates(&kit.alice).unwrap(),
            kit.images.intermediates(&kit.admin).unwrap()
        ),
        (1, 2)
    );
    assert!(
        matches!(kit.images.clear_intermediates(&kit.bob), Err(Error::Forbidden(text)) if text == "Only admins can clear all intermediates")
    );
    assert_eq!(kit.images.clear_intermediates(&kit.admin).unwrap(), 2);
    assert_eq!(kit.images.delete_uncategorized(&kit.alice).unwrap().deleted_images.len(), 1);
    assert_eq!(kit.images.names(&kit.bob, &Default::default()).unwrap().total_count, 1);
    assert!(kit.images.dto(&kit.alice, &kept).is_ok());
    let told = written_down(&kit.shared);
    assert!(
        told.len() == 2 && told[0] == "images.clear_intermediates" && told[1].starts_with("others.UpdateImage 2: "),
        "{told:?}"
    );
}

/// Lets a row refer to a picture.
fn hold(kit: &Kit, picture: &str) {
    kit.shared
        .db
        .write(|tx| {
            tx.sql()
                .execute("INSERT INTO image_subfolder_move_jobs (id, state) VALUES (1, 'planned')", [])?;
            tx.sql().execute(
                "INSERT INTO image_subfolder_move_items VALUES (1, ?1, '', '', 0, '', '', '', '', 'planned', NULL)",
                [picture],
            )
        })
        .unwrap();
}

#[test]
fn a_row_that_still_refers_to_a_picture_keeps_it_whole() {
    let kit = Kit::new();
    let (held, free) = (name(&kit.picture(&kit.alice, None)), name(&kit.picture(&kit.alice, None)));
    hold(&kit, &held);
    let gone = json!(kit.images.delete_many(&kit.alice, &[held.clone(), free.clone()]).unwrap());
    assert_eq!((&gone["deleted_images"], &gone["failed_images"]), (&json!([free]), &json!([held])));
    assert!(kit.images.full(&kit.alice, &held).unwrap().read_all().is_ok());
}

#[test]
fn the_record_names_the_pictures_that_are_gone_and_no_others() {
    let kit = Kit::new();
    let (held, free) = (name(&kit.picture(&kit.alice, None)), name(&kit.picture(&kit.alice, None)));
    hold(&kit, &held);
    kit.images.delete_many(&kit.admin, &[held, free.clone()]).unwrap();
    assert_eq!(written_down(&kit.shared), [format!("others.UpdateImage {free}")]);
}

#[test]
fn an_act_and_its_entry_are_one() {
    let kit = Kit::new();
    let (hers, another) = (name(&kit.picture(&kit.alice, None)), name(&kit.picture(&kit.alice, None)));
    let full = "CREATE TRIGGER full BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'full'); END";
    kit.shared.db.write(|tx| tx.sql().execute_batch(full)).unwrap();
    let star = ImageChanges {
        starred: Some(true),
        ..ImageChanges::default()
    };
    assert!(kit.images.update(&kit.admin, &hers, &star).is_err());
    assert_eq!(json!(kit.images.dto(&kit.alice, &hers).unwrap())["starred"], false);
    assert!(kit.images.delete_many(&kit.admin, &[hers.clone(), another]).is_err());
    assert!(kit.images.full(&kit.alice, &hers).unwrap().read_all().is_ok());
    // Whose picture it is needs no entry.
    assert_eq!(json!(kit.images.update(&kit.alice, &hers, &star).unwrap())["starred"], true);
}

#[test]
fn intermediates_are_not_cleared_without_an_entry() {
    let kit = Kit::new();
    let hers = name(&kit.picture_of(&kit.alice, None, ImageCategory::Other, true));
    let full = "CREATE TRIGGER full BEFORE INSERT ON audit_log WHEN NEW.act LIKE 'images.%' BEGIN SELECT RAISE(ABORT, 'full'); END";
    kit.shared.db.write(|tx| tx.sql().execute_batch(full)).unwrap();
    assert!(kit.images.clear_intermediates(&kit.admin).is_err());
    assert!(kit.images.full(&kit.alice, &hers).unwrap().read_all().is_ok());
    assert_eq!(written_down(&kit.shared), [""; 0]);
}

#[test]
fn an_entry_counts_many_things_and_names_some() {
    let kit = Kit::new();
    let pictures: Vec<String> = (0..25).map(|_| name(&kit.picture(&kit.alice, None))).collect();
    kit.images.star(&kit.admin, &pictures).unwrap();
    let told = written_down(&kit.shared);
    let words: Vec<&str> = told[0].split(' ').collect();
    assert_eq!((told.len(), words[0], words[1], words.len()), (1, "others.UpdateImage", "25:", 23));
    assert_eq!(words.last(), Some(&"…"));
    assert!(
        words[2..22].iter().all(|&word| pictures.iter().any(|picture| picture == word)),
        "{told:?}"
    );
}

#[test]
fn a_boards_archive_holds_what_its_owner_may_read() {
    let kit = Kit::new();
    let downloads = Downloads::new(kit.shared.clone()).unwrap();
    let board = kit.board(&kit.alice, "open", Public);
    let (own, foreign) = (
        name(&kit.picture(&kit.alice, Some(&board))),
        name(&kit.picture(&kit.bob, Some(&board))),
    );
    let close = BoardChanges {
        board_visibility: Some(Private),
        ..BoardChanges::default()
    };
    kit.boards.update(&kit.alice, &board, &close).unwrap();
    assert!(forbidden(kit.images.dto(&kit.alice, &foreign)));
    let item = downloads.order(&kit.alice, &[], Some(board.as_str())).unwrap();
    let mut file = loop {
        match downloads.fetch(&kit.alice, &item) {
            Ok(file) => break file,
            Err(_) => std::thread::yield_now(),
        }
    };
    let archive = zip::ZipArchive::new(std::io::Cursor::new(file.read_all().unwrap())).unwrap();
    let names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    assert_eq!(names, [format!("general/{own}")]);
}

#[test]
fn archives_that_nobody_fetches_make_room() {
    let kit = Kit::new();
    let downloads = Downloads::new(kit.shared.clone()).unwrap();
    let image = name(&kit.picture(&kit.alice, None));
    let ordered = || {
        kit.clock.advance_millis(1);
        let item = downloads.order(&kit.alice, std::slice::from_ref(&image), None).unwrap();
        while downloads.fetch(&kit.alice, &item).is_err() {
            std::thread::yield_now();
        }
        item
    };
    let items: Vec<String> = (0..9).map(|_| ordered()).collect();
    assert!(absent(downloads.fetch(&kit.alice, &items[0])) && downloads.fetch(&kit.alice, &items[1]).is_ok());
    kit.clock.advance_millis(86_400_001);
    ordered();
    assert_eq!(std::fs::read_dir(kit.shared.layout.downloads_dir()).unwrap().count(), 1);
}

#[test]
fn an_archive_is_made_in_the_background_and_fetched_once_by_its_owner() {
    let kit = Kit::new();
    let downloads = Downloads::new(kit.shared.clone()).unwrap();
    let board = kit.board(&kit.alice, "My/board: 1", Private);
    let image = name(&kit.picture(&kit.alice, Some(&board)));
    let (told, heard) = mpsc::channel();
    let _listening = kit.shared.bus.subscribe(move |published| {
        if let Event::BulkDownloadStarted(_) | Event::BulkDownloadComplete(_) = &*published.event {
            let _ = told.send(published.event.name().unwrap());
        }
    });
    assert!(matches!(downloads.order(&kit.alice, &[], None), Err(Error::BadRequest(_))));
    assert!(
        forbidden(downloads.order(&kit.bob, &[], Some(board.as_str())))
            && forbidden(downloads.order(&kit.bob, std::slice::from_ref(&image), None))
    );
    assert!(absent(downloads.order(&kit.bob, &[], Some("none"))));
    let item = downloads.order(&kit.alice, &[], Some(board.as_str())).unwrap();
    assert!(item.starts_with("Myboard 1_") && item.ends_with(".zip"), "{item}");
    for expected in ["bulk_download_started", "bulk_download_complete"] {
        assert_eq!(heard.recv_timeout(Duration::from_secs(20)).unwrap(), expected);
    }
    assert!(matches!(downloads.fetch(&kit.bob, &item), Err(Error::Forbidden(text)) if text == "Not authorized to access this download"));
    let mut file = downloads.fetch(&kit.alice, &item).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, file.len());
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let entry = archive.by_index(0).unwrap();
    assert_eq!(entry.name().unwrap(), format!("general/{image}"));
    assert_eq!(entry.compression(), zip::CompressionMethod::Stored);
    drop(file);
    assert!(absent(downloads.fetch(&kit.alice, &item)));
    assert_eq!(std::fs::read_dir(kit.shared.layout.downloads_dir()).unwrap().count(), 0);
}
