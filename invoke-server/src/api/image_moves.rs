//! Moves of pictures' files between subfolders.

use http::StatusCode;
use invoke_core::domain::shape::Shape;

use super::shapes::{BOOL, INT, INT_OR_NULL, STR_OR_NULL, object, opt, req};
use crate::{
    call::Call,
    error::Result,
    reply::Reply,
    route::{Access, Route},
};

object!(JOB = "ImageMoveJobResponse" {
    req("id", INT),
    req("state", Shape::Enum(&["planned", "moving", "moved", "committed", "error"])),
    opt("error_message", STR_OR_NULL),
});
object!(STATUS = "ImageMoveStatusResponse" {
    req("is_running", BOOL),
    opt("operation", Shape::Nullable(&Shape::Enum(&["move_all", "recovery"]))),
    opt("active_job_id", INT_OR_NULL),
    opt("latest_job", Shape::Nullable(&Shape::Object(&JOB))),
    opt("last_error", STR_OR_NULL),
    req("needs_move_count", INT),
});
const STATUS_SHAPE: Shape = Shape::Object(&STATUS);

pub(super) const ROUTES: &[Route] = &[
    Route::post("/api/v1/image_moves/start", Access::Admin, start)
        .doc(
            "image_moves",
            "start_image_move",
            "Moves pictures' files into the subfolders that are configured",
        )
        .returns(202, STATUS_SHAPE)
        .heavy(),
    Route::post("/api/v1/image_moves/recover", Access::Admin, recover)
        .doc("image_moves", "start_image_move_recovery", "Finishes moves that were cut off")
        .returns(202, STATUS_SHAPE)
        .heavy(),
    Route::get("/api/v1/image_moves/status", Access::Admin, status)
        .doc(
            "image_moves",
            "get_image_move_status",
            "What is moved, and how many pictures lie elsewhere than configured",
        )
        .returns(200, STATUS_SHAPE)
        .heavy(),
];

fn start(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::json(StatusCode::ACCEPTED, &call.core().image_moves.start(&call.actor)?))
}

fn recover(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::json(
        StatusCode::ACCEPTED,
        &call.core().image_moves.start_recovery(&call.actor)?,
    ))
}

fn status(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().image_moves.status(&call.actor)?))
}
