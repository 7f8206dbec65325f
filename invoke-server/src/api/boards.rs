//! Boards.

use invoke_core::{
    domain::{
        BoardId,
        board::{BoardChanges, BoardOrder},
        image::ImageCategory,
        page::Direction,
        shape::{Extra, Field, Length, ObjectShape, Shape},
    },
    service::boards::BoardListing,
};
use serde::Deserialize;

use super::shapes::{
    BOOL, BOOL_OR_NULL, CATEGORIES_OR_NULL, DIRECTION, INT, INT_OR_NULL, STR, STR_OR_NULL, STRINGS, TIME, TIME_OR_NULL, def, object, opt,
    req,
};
use crate::{
    call::Call,
    error::{Fault, Result},
    reply::Reply,
    route::{Access, Route},
};

const NAME: Shape = Shape::Str(Length::ANY.max(300));
const VISIBILITY: Shape = Shape::Enum(&["private", "shared", "public"]);
object!(BOARD = "BoardDTO" {
    req("board_id", STR),
    req("board_name", STR),
    req("user_id", STR),
    req("created_at", TIME),
    req("updated_at", TIME),
    opt("deleted_at", TIME_OR_NULL),
    req("cover_image_name", STR_OR_NULL),
    req("archived", BOOL),
    def("board_visibility", VISIBILITY, "\"private\""),
    opt("cover_video_name", STR_OR_NULL),
    req("image_count", INT),
    def("video_count", INT, "0"),
    req("asset_count", INT),
    opt("owner_username", STR_OR_NULL),
});
static CHANGES: ObjectShape = ObjectShape {
    name: "BoardChanges",
    fields: &[
        opt("board_name", Shape::Nullable(&NAME)),
        opt("cover_image_name", STR_OR_NULL),
        opt("archived", BOOL_OR_NULL),
        opt("board_visibility", Shape::Nullable(&VISIBILITY)),
    ],
    extra: Extra::Forbid,
};
object!(DELETED = "DeleteBoardResult" {
    req("board_id", STR),
    req("deleted_board_images", STRINGS),
    req("deleted_images", STRINGS),
    opt("deleted_board_videos", STRINGS),
    opt("deleted_videos", STRINGS),
    opt("failed_images", STRINGS),
    opt("failed_videos", STRINGS),
});
const BOARD_SHAPE: Shape = Shape::Object(&BOARD);
const BOARDS: Shape = Shape::list(&BOARD_SHAPE);
object!(PAGE = "OffsetPaginatedResults_BoardDTO_" { req("limit", INT), req("offset", INT), req("total", INT), req("items", BOARDS) });
const PAGE_OR_ALL: Shape = Shape::Union(&[Shape::Object(&PAGE), BOARDS]);

const LIST: &[Field] = &[
    def("order_by", Shape::Enum(&["created_at", "board_name"]), "\"created_at\""),
    def("direction", DIRECTION, "\"DESC\""),
    opt("all", BOOL_OR_NULL),
    opt("offset", INT_OR_NULL),
    opt("limit", INT_OR_NULL),
    def("include_archived", BOOL, "false"),
];

pub(super) const ROUTES: &[Route] = &[
    Route::post("/api/v1/boards/", Access::User, create)
        .doc("boards", "create_board", "Makes a private board")
        .query(&[req("board_name", NAME)])
        .returns(201, BOARD_SHAPE)
        .fault("Failed to create board"),
    Route::get("/api/v1/boards/", Access::User, list)
        .doc("boards", "list_boards", "Boards that the caller may see, all or a page of them")
        .query(LIST)
        .returns(200, PAGE_OR_ALL),
    Route::get("/api/v1/boards/{board_id}", Access::User, get)
        .doc("boards", "get_board", "One board")
        .returns(200, BOARD_SHAPE)
        .fault("Failed to get board"),
    Route::patch("/api/v1/boards/{board_id}", Access::User, update)
        .doc("boards", "update_board", "Renames, archives or shares a board")
        .json(Shape::Object(&CHANGES))
        .returns(201, BOARD_SHAPE)
        .fault("Failed to update board"),
    Route::delete("/api/v1/boards/{board_id}", Access::User, delete)
        .doc("boards", "delete_board", "Deletes a board, with or without its pictures")
        .query(&[def("include_images", BOOL_OR_NULL, "false")])
        .returns(200, Shape::Object(&DELETED))
        .fault("Failed to delete board")
        .heavy(),
    Route::get("/api/v1/boards/{board_id}/image_names", Access::User, image_names)
        .doc("boards", "list_all_board_image_names", "Names of all pictures on a board")
        .query(&[opt("categories", CATEGORIES_OR_NULL), opt("is_intermediate", BOOL_OR_NULL)])
        .returns(200, STRINGS)
        .heavy(),
];

fn board_id(call: &Call<'_>) -> BoardId {
    BoardId::new(call.path("board_id"))
}

fn create(call: &mut Call<'_>) -> Result<Reply> {
    let name = call.query_text("board_name").unwrap_or_default();
    Ok(Reply::created(&call.core().boards.create(&call.actor, name)?))
}

#[derive(Deserialize)]
struct Listing {
    order_by: BoardOrder,
    direction: Direction,
    #[serde(default)]
    all: Option<bool>,
    #[serde(default)]
    offset: Option<i64>,
    #[serde(default)]
    limit: Option<i64>,
    include_archived: bool,
}

fn list(call: &mut Call<'_>) -> Result<Reply> {
    let query: Listing = call.query()?;
    let listing = BoardListing {
        order: query.order_by,
        direction: query.direction,
        include_archived: query.include_archived,
    };
    let boards = &call.core().boards;
    match (query.all, query.offset, query.limit) {
        (Some(true), ..) => Ok(Reply::ok(&boards.list_all(&call.actor, listing)?)),
        (_, Some(offset), Some(limit)) => Ok(Reply::ok(&boards.list_page(&call.actor, listing, offset, limit)?)),
        _ => Err(Fault::bad_request(
            "Invalid request: Must provide either 'all' or both 'offset' and 'limit'",
        )),
    }
}

fn get(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().boards.get(&call.actor, &board_id(call))?))
}

fn update(call: &mut Call<'_>) -> Result<Reply> {
    let changes: BoardChanges = call.body()?;
    Ok(Reply::created(&call.core().boards.update(
        &call.actor,
        &board_id(call),
        &changes,
    )?))
}

fn delete(call: &mut Call<'_>) -> Result<Reply> {
    let include_images = call.query_bool("include_images").unwrap_or(false);
    Ok(Reply::ok(&call.core().boards.delete(
        &call.actor,
        &board_id(call),
        include_images,
    )?))
}

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    categories: Option<Vec<ImageCategory>>,
    #[serde(default)]
    is_intermediate: Option<bool>,
}

fn image_names(call: &mut Call<'_>) -> Result<Reply> {
    let query: Names = call.query()?;
    let board = Some(board_id(call)).filter(|board| board.as_str() != "none");
    let names = call.core().boards.image_names(
        &call.actor,
        board.as_ref(),
        query.categories.unwrap_or_default(),
        query.is_intermediate,
    )?;
    Ok(Reply::ok(&names))
}
