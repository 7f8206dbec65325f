//! The gallery: pictures as the page lists them.

use invoke_core::{
    domain::{
        BoardId,
        image::{ImageCategory, ImageOrigin},
        page::Direction,
        shape::{Field, Shape},
    },
    repo::gallery::{ImageFilter, OnBoard},
};
use serde::Deserialize;

use super::shapes::{
    BOOL, BOOL_OR_NULL, CATEGORIES_OR_NULL, CATEGORY, DIRECTION, INT, LIMIT, OFFSET, ORIGIN_OR_NULL, STR, STR_OR_NULL, STRINGS, TIME, def,
    object, opt, req,
};
use crate::{
    call::Call,
    error::Result,
    reply::Reply,
    route::{Access, Route},
};

const KIND: Shape = Shape::Enum(&["image", "video"]);
const NUMBER_OR_NULL: Shape = Shape::Nullable(&Shape::FLOAT);
object!(ITEM = "GalleryItem" {
    req("kind", KIND),
    req("name", STR),
    req("full_url", STR),
    req("thumbnail_url", STR),
    req("width", INT),
    req("height", INT),
    req("category", CATEGORY),
    req("starred", BOOL),
    req("is_intermediate", BOOL),
    opt("board_id", STR_OR_NULL),
    req("created_at", TIME),
    opt("duration", NUMBER_OR_NULL),
    opt("fps", NUMBER_OR_NULL),
});
const ITEM_SHAPE: Shape = Shape::Object(&ITEM);
object!(PAGE = "OffsetPaginatedResults_GalleryItem_" {
    req("limit", INT),
    req("offset", INT),
    req("total", INT),
    req("items", Shape::list(&ITEM_SHAPE)),
});
object!(ITEM_NAMES = "GalleryItemNames" { req("item_names", STRINGS), req("starred_count", INT), req("total_count", INT) });
object!(REF = "GalleryItemRef" { req("kind", KIND), req("name", STR) });
const REF_SHAPE: Shape = Shape::Object(&REF);
object!(pub(super) TYPED_NAMES = "GalleryItemNamesResult" {
    req("items", Shape::list(&REF_SHAPE)),
    req("starred_count", INT),
    req("total_count", INT),
});

const LIST: &[Field] = &[
    opt("origin", ORIGIN_OR_NULL),
    opt("categories", CATEGORIES_OR_NULL),
    opt("is_intermediate", BOOL_OR_NULL),
    opt("board_id", STR_OR_NULL),
    def("order_dir", DIRECTION, "\"DESC\""),
    def("starred_first", BOOL, "true"),
    opt("search_term", STR_OR_NULL),
];
const WINDOW: &[Field] = &[LIST[0], LIST[1], LIST[2], LIST[3], OFFSET, LIMIT, LIST[4], LIST[5], LIST[6]];
const OF_DAY: &[Field] = &[
    LIST[0],
    LIST[1],
    LIST[2],
    LIST[3],
    opt("created_date", STR_OR_NULL),
    LIST[4],
    LIST[5],
    LIST[6],
];

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/gallery/item_names", Access::User, item_names)
        .doc("gallery", "list_gallery_item_names", "All names of a list")
        .query(OF_DAY)
        .returns(200, Shape::Object(&ITEM_NAMES))
        .fault("Failed to get gallery item names")
        .heavy(),
    Route::get("/api/v1/gallery/items/", Access::User, items)
        .doc("gallery", "list_gallery_items", "A window of a list")
        .query(WINDOW)
        .returns(200, Shape::Object(&PAGE))
        .heavy(),
    Route::get("/api/v1/gallery/items/names", Access::User, typed_names)
        .doc("gallery", "get_gallery_item_names", "All names of a list, each with what it is")
        .deprecated()
        .query(LIST)
        .returns(200, Shape::Object(&TYPED_NAMES))
        .fault("Failed to get gallery item names")
        .heavy(),
];

/// The query of a list of pictures, whatever part of it a route declares.
#[derive(Deserialize)]
pub(super) struct ListQuery {
    #[serde(default, alias = "image_origin")]
    origin: Option<ImageOrigin>,
    #[serde(default)]
    categories: Option<Vec<ImageCategory>>,
    #[serde(default)]
    is_intermediate: Option<bool>,
    #[serde(default)]
    board_id: Option<String>,
    #[serde(default)]
    created_date: Option<String>,
    order_dir: Direction,
    starred_first: bool,
    #[serde(default)]
    search_term: Option<String>,
    #[serde(default)]
    pub(super) offset: i64,
    #[serde(default)]
    pub(super) limit: i64,
}

impl ListQuery {
    /// What the list covers, and its order.
    pub(super) fn filter(self) -> ImageFilter {
        ImageFilter {
            origin: self.origin,
            categories: self.categories.unwrap_or_default(),
            is_intermediate: self.is_intermediate,
            board: match self.board_id.as_deref() {
                None => OnBoard::Any,
                Some("none") => OnBoard::None,
                Some(board) => OnBoard::Board(BoardId::new(board)),
            },
            day: self.created_date,
            search_term: self.search_term,
            starred_first: self.starred_first,
            direction: self.order_dir,
        }
    }
}

fn item_names(call: &mut Call<'_>) -> Result<Reply> {
    let query: ListQuery = call.query()?;
    Ok(Reply::ok(&call.core().gallery.item_names(&call.actor, &query.filter())?))
}

fn items(call: &mut Call<'_>) -> Result<Reply> {
    let query: ListQuery = call.query()?;
    let (offset, limit) = (query.offset, query.limit);
    Ok(Reply::ok(&call.core().gallery.items(
        &call.actor,
        &query.filter(),
        offset,
        limit,
    )?))
}

fn typed_names(call: &mut Call<'_>) -> Result<Reply> {
    let query: ListQuery = call.query()?;
    Ok(Reply::ok(&call.core().gallery.typed_names(&call.actor, &query.filter())?))
}
