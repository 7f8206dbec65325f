//! Days as boards.

use invoke_core::{
    domain::shape::{Field, Shape},
    repo::gallery::ImageFilter,
};

use super::{
    gallery::{ListQuery, TYPED_NAMES},
    images::NAMES_RESULT,
    shapes::{BOOL, CATEGORIES_OR_NULL, DIRECTION, INT, STR, STR_OR_NULL, def, object, opt, req},
};
use crate::{
    call::Call,
    error::Result,
    reply::Reply,
    route::{Access, Route},
};

object!(DAY = "VirtualSubBoardDTO" {
    req("virtual_board_id", STR),
    req("board_name", STR),
    req("date", STR),
    req("image_count", INT),
    req("asset_count", INT),
    def("video_count", INT, "0"),
    opt("cover_image_name", STR_OR_NULL),
    opt("cover_video_name", STR_OR_NULL),
});
const DAY_SHAPE: Shape = Shape::Object(&DAY);
const LIST: &[Field] = &[
    def("starred_first", BOOL, "true"),
    def("order_dir", DIRECTION, "\"DESC\""),
    opt("categories", CATEGORIES_OR_NULL),
    opt("search_term", STR_OR_NULL),
];

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/virtual_boards/by_date", Access::User, by_date)
        .doc(
            "virtual_boards",
            "list_virtual_boards_by_date",
            "The days on which something was made",
        )
        .returns(200, Shape::list(&DAY_SHAPE))
        .fault("Failed to get virtual boards by date")
        .heavy(),
    Route::get("/api/v1/virtual_boards/by_date/{date}/image_names", Access::User, image_names)
        .doc(
            "virtual_boards",
            "list_virtual_board_image_names_by_date",
            "Names of a day's pictures",
        )
        .deprecated()
        .query(LIST)
        .returns(200, Shape::Object(&NAMES_RESULT))
        .fault("Failed to get image names for date")
        .heavy(),
    Route::get("/api/v1/virtual_boards/by_date/{date}/item_names", Access::User, item_names)
        .doc(
            "virtual_boards",
            "list_virtual_board_item_names_by_date",
            "Names of a day's pictures, each with what it is",
        )
        .deprecated()
        .query(LIST)
        .returns(200, Shape::Object(&TYPED_NAMES))
        .fault("Failed to get item names for date")
        .heavy(),
];

fn by_date(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().gallery.by_date(&call.actor)?))
}

/// What of one's own was made on the day, intermediates left out.
fn of_day(call: &mut Call<'_>) -> Result<ImageFilter> {
    let query: ListQuery = call.query()?;
    Ok(ImageFilter {
        day: Some(call.path("date").to_owned()),
        is_intermediate: Some(false),
        ..query.filter()
    })
}

fn image_names(call: &mut Call<'_>) -> Result<Reply> {
    let filter = of_day(call)?;
    Ok(Reply::ok(&call.core().images.names(&call.actor, &filter)?))
}

fn item_names(call: &mut Call<'_>) -> Result<Reply> {
    let filter = of_day(call)?;
    Ok(Reply::ok(&call.core().gallery.typed_names(&call.actor, &filter)?))
}
