//! Which pictures lie on which board.

use invoke_core::domain::{
    BoardId,
    shape::{Field, Shape},
};
use serde::Deserialize;

use super::shapes::{NAMES, STR, STRINGS, object, req};
use crate::{
    call::Call,
    error::Result,
    reply::Reply,
    route::{Access, Route},
};

object!(ADDED = "AddImagesToBoardResult" { req("affected_boards", STRINGS), req("added_images", STRINGS), req("failed_images", STRINGS) });
object!(REMOVED = "RemoveImagesFromBoardResult" {
    req("affected_boards", STRINGS),
    req("removed_images", STRINGS),
    req("failed_images", STRINGS),
});
const ONE: &[Field] = &[req("board_id", STR), req("image_name", STR)];
const MANY: &[Field] = &[req("board_id", STR), req("image_names", NAMES)];

pub(super) const ROUTES: &[Route] = &[
    Route::post("/api/v1/board_images/", Access::User, add)
        .doc("boards", "add_image_to_board", "Puts a picture on a board")
        .fields(ONE)
        .returns(201, Shape::Object(&ADDED))
        .fault("Failed to add image to board"),
    Route::delete("/api/v1/board_images/", Access::User, remove)
        .doc("boards", "remove_image_from_board", "Takes a picture off its board")
        .fields(&[req("image_name", STR)])
        .returns(201, Shape::Object(&REMOVED))
        .fault("Failed to remove image from board"),
    Route::post("/api/v1/board_images/batch", Access::User, add_many)
        .doc("boards", "add_images_to_board", "Puts pictures on a board")
        .fields(MANY)
        .returns(201, Shape::Object(&ADDED))
        .fault("Failed to add images to board"),
    Route::post("/api/v1/board_images/batch/delete", Access::User, remove_many)
        .doc("boards", "remove_images_from_board", "Takes pictures off their boards")
        .fields(&[req("image_names", NAMES)])
        .returns(201, Shape::Object(&REMOVED))
        .fault("Failed to remove images from board"),
];

#[derive(Deserialize)]
struct One {
    board_id: BoardId,
    image_name: String,
}

fn add(call: &mut Call<'_>) -> Result<Reply> {
    let body: One = call.body()?;
    Ok(Reply::created(&call.core().boards.add_image(
        &call.actor,
        &body.board_id,
        &body.image_name,
    )?))
}

#[derive(Deserialize)]
struct Many {
    board_id: BoardId,
    image_names: Vec<String>,
}

fn add_many(call: &mut Call<'_>) -> Result<Reply> {
    let body: Many = call.body()?;
    Ok(Reply::created(&call.core().boards.add_images(
        &call.actor,
        &body.board_id,
        &body.image_names,
    )?))
}

#[derive(Deserialize)]
struct Name {
    image_name: String,
}

fn remove(call: &mut Call<'_>) -> Result<Reply> {
    let body: Name = call.body()?;
    Ok(Reply::created(&call.core().boards.remove_image(&call.actor, &body.image_name)?))
}

#[derive(Deserialize)]
struct Names {
    image_names: Vec<String>,
}

fn remove_many(call: &mut Call<'_>) -> Result<Reply> {
    let body: Names = call.body()?;
    Ok(Reply::created(&call.core().boards.remove_images(&call.actor, &body.image_names)?))
}
