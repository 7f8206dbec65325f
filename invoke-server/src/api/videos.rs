//! Videos. This server makes and keeps none; clients that ask for them are answered as by an installation without any.

use std::collections::BTreeSet;

use http::StatusCode;
use invoke_core::{
    domain::{
        BoardId, Error,
        shape::{Extra, Field, ObjectShape, Shape},
    },
    service::videos::VideoChange,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::shapes::{
    BOOL, BOOL_OR_NULL, CATEGORIES_OR_NULL, CATEGORY, DIRECTION, INT, LIMIT, METADATA_AND_WORKFLOW, METADATA_OR_NULL, NAMES, OFFSET,
    ORIGIN, ORIGIN_OR_NULL, STR, STR_OR_NULL, STRINGS, TIME, TIME_OR_NULL, def, object, opt, req,
};
use crate::{
    call::Call,
    error::{Fault, Result},
    reply::Reply,
    route::{Access, Method, Route},
};

/// Bytes of an upload that are read before it is refused.
const LARGEST_UPLOAD: usize = 64 << 20;
const STRICT_BOOL_OR_NULL: Shape = Shape::Nullable(&Shape::Bool { strict: true });

object!(VIDEO = "VideoDTO" {
    req("video_name", STR),
    req("video_url", STR),
    req("thumbnail_url", STR),
    req("video_origin", ORIGIN),
    req("video_category", CATEGORY),
    req("width", INT),
    req("height", INT),
    req("duration", Shape::FLOAT),
    opt("fps", Shape::Nullable(&Shape::FLOAT)),
    req("created_at", TIME),
    req("updated_at", TIME),
    opt("deleted_at", TIME_OR_NULL),
    req("is_intermediate", BOOL),
    opt("session_id", STR_OR_NULL),
    opt("node_id", STR_OR_NULL),
    req("starred", BOOL),
    req("has_workflow", BOOL),
    def("video_subfolder", STR, "\"\""),
    opt("board_id", STR_OR_NULL),
});
const VIDEO_SHAPE: Shape = Shape::Object(&VIDEO);
object!(PAGE = "OffsetPaginatedResults_VideoDTO_" {
    req("limit", INT),
    req("offset", INT),
    req("total", INT),
    req("items", Shape::list(&VIDEO_SHAPE)),
});
object!(NAMES_RESULT = "VideoNamesResult" { req("video_names", STRINGS), req("starred_count", INT), req("total_count", INT) });
object!(URLS = "VideoUrlsDTO" { req("video_name", STR), req("video_url", STR), req("thumbnail_url", STR) });
object!(DELETED = "DeleteVideosResult" { req("affected_boards", STRINGS), req("deleted_videos", STRINGS), req("failed_videos", STRINGS) });
object!(STARRED = "StarredVideosResult" { req("affected_boards", STRINGS), req("starred_videos", STRINGS), req("failed_videos", STRINGS) });
object!(UNSTARRED = "UnstarredVideosResult" {
    req("affected_boards", STRINGS),
    req("unstarred_videos", STRINGS),
    req("failed_videos", STRINGS),
});
object!(ADDED = "AddVideosToBoardResult" { req("affected_boards", STRINGS), req("added_videos", STRINGS) });
object!(REMOVED = "RemoveVideosFromBoardResult" { req("affected_boards", STRINGS), req("removed_videos", STRINGS) });
object!(BATCH = "VideoNamesBatch" { req("video_names", NAMES) });
object!(ON_BOARD = "VideoBoardArg" { req("board_id", STR), req("video_name", STR) });
static CHANGES: ObjectShape = ObjectShape {
    name: "VideoRecordChanges",
    fields: &[
        opt("video_category", Shape::Nullable(&CATEGORY)),
        opt("session_id", STR_OR_NULL),
        opt("is_intermediate", STRICT_BOOL_OR_NULL),
        opt("starred", STRICT_BOOL_OR_NULL),
    ],
    extra: Extra::Keep,
};

const LIST: &[Field] = &[
    opt("video_origin", ORIGIN_OR_NULL),
    opt("categories", CATEGORIES_OR_NULL),
    opt("is_intermediate", BOOL_OR_NULL),
    opt("board_id", STR_OR_NULL),
    OFFSET,
    LIMIT,
    def("order_dir", DIRECTION, "\"DESC\""),
    def("starred_first", BOOL, "true"),
    opt("search_term", STR_OR_NULL),
];
const LIST_NAMES: &[Field] = &[LIST[0], LIST[1], LIST[2], LIST[3], LIST[6], LIST[7], LIST[8]];
const METADATA: Field = opt("metadata", STR_OR_NULL);
const UPLOAD: &[Field] = &[
    req("video_category", CATEGORY),
    req("is_intermediate", BOOL),
    opt("board_id", STR_OR_NULL),
    opt("session_id", STR_OR_NULL),
];

pub(super) const ROUTES: &[Route] = &[
    Route::post("/api/v1/videos/upload", Access::User, upload)
        .doc("videos", "upload_video", "Refuses a video")
        .query(UPLOAD)
        .form(&[opt("file", Shape::Binary), METADATA], LARGEST_UPLOAD)
        .described_by(&[req("file", Shape::Binary), METADATA])
        .returns(201, VIDEO_SHAPE),
    Route::get("/api/v1/videos/", Access::User, list)
        .doc("videos", "list_video_dtos", "A window of no videos")
        .query(LIST)
        .returns(200, Shape::Object(&PAGE)),
    Route::get("/api/v1/videos/names", Access::User, names)
        .doc("videos", "get_video_names", "Names of no videos")
        .deprecated()
        .query(LIST_NAMES)
        .returns(200, Shape::Object(&NAMES_RESULT)),
    Route::get("/api/v1/videos/i/{video_name}", Access::User, missing)
        .doc("videos", "get_video_dto", "No video's record")
        .returns(200, VIDEO_SHAPE),
    Route::patch("/api/v1/videos/i/{video_name}", Access::User, update)
        .doc("videos", "update_video", "Changes no video's record")
        .json(Shape::Object(&CHANGES))
        .returns(200, VIDEO_SHAPE),
    Route::delete("/api/v1/videos/i/{video_name}", Access::User, delete)
        .doc("videos", "delete_video", "Deletes no video")
        .returns(200, Shape::Object(&DELETED)),
    Route::get("/api/v1/videos/i/{video_name}/metadata", Access::User, missing)
        .doc("videos", "get_video_metadata", "No video's metadata")
        .returns(200, METADATA_OR_NULL),
    Route::get("/api/v1/videos/i/{video_name}/workflow", Access::User, missing)
        .doc("videos", "get_video_workflow", "No video's workflow")
        .returns(200, Shape::Object(&METADATA_AND_WORKFLOW)),
    Route::get("/api/v1/videos/i/{video_name}/urls", Access::User, urls)
        .doc("videos", "get_video_urls", "Where no video is fetched from")
        .returns(200, Shape::Object(&URLS)),
    Route::get("/api/v1/videos/i/{video_name}/full", Access::Media, missing)
        .doc("videos", "get_video_full", "No video's file")
        .returns_media("video/mp4")
        .returns_media_as(206, "video/mp4"),
    Route::new(Method::Head, "/api/v1/videos/i/{video_name}/full", Access::Media, missing)
        .doc("videos", "get_video_full_head", "Whether a video's file is there")
        .returns_media("video/mp4"),
    Route::get("/api/v1/videos/i/{video_name}/thumbnail", Access::Media, missing)
        .doc("videos", "get_video_thumbnail", "No video's thumbnail")
        .returns_media("image/webp"),
    Route::post("/api/v1/videos/delete", Access::User, delete_many)
        .doc("videos", "delete_videos_from_list", "Deletes no videos")
        .json(Shape::Object(&BATCH))
        .returns(200, Shape::Object(&DELETED)),
    Route::delete("/api/v1/videos/uncategorized", Access::User, delete_uncategorized)
        .doc("videos", "delete_uncategorized_videos", "Deletes no videos")
        .returns(200, Shape::Object(&DELETED)),
    Route::post("/api/v1/videos/star", Access::User, star)
        .doc("videos", "star_videos_in_list", "Marks no videos")
        .json(Shape::Object(&BATCH))
        .returns(200, Shape::Object(&STARRED)),
    Route::post("/api/v1/videos/unstar", Access::User, unstar)
        .doc("videos", "unstar_videos_in_list", "Takes marks from no videos")
        .json(Shape::Object(&BATCH))
        .returns(200, Shape::Object(&UNSTARRED)),
    Route::post("/api/v1/videos/board", Access::User, add_to_board)
        .doc("videos", "add_video_to_board", "Puts no video on a board")
        .json(Shape::Object(&ON_BOARD))
        .returns(200, Shape::Object(&ADDED))
        .fault("Failed to add video to board"),
    Route::delete("/api/v1/videos/board", Access::User, remove_from_board)
        .doc("videos", "remove_video_from_board", "Takes no video off its board")
        .fields(&[req("video_name", STR)])
        .returns(200, Shape::Object(&REMOVED))
        .fault("Failed to remove video from board"),
];

fn upload(call: &mut Call<'_>) -> Result<Reply> {
    let query: Query = call.query()?;
    if let Some(board_id) = &query.board_id {
        call.core().boards.authorize_upload(&call.actor, board_id)?;
    }
    let lacks = |text: &str| Err(Fault::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    let form = call.header("content-type").unwrap_or_default().to_ascii_lowercase();
    if !form.starts_with("multipart/form-data") || !form.contains("boundary=") {
        return lacks("Expected a multipart/form-data video upload");
    }
    if call.file("file").is_none() {
        return lacks("Expected a video file in the upload");
    }
    let is_object = |text: &str| serde_json::from_str::<Map<String, Value>>(text).is_ok();
    if call.form_text("metadata").is_some_and(|text| !is_object(text)) {
        return lacks("Metadata must be a JSON object");
    }
    Err(Fault::unsupported("Not an MP4 video file"))
}

#[derive(Deserialize)]
struct Query {
    #[serde(default)]
    board_id: Option<BoardId>,
    #[serde(default)]
    offset: i64,
    #[serde(default)]
    limit: i64,
}

fn readable(call: &mut Call<'_>) -> Result<Query> {
    let query: Query = call.query()?;
    call.core().videos.may_list(&call.actor, query.board_id.as_ref())?;
    Ok(query)
}

fn list(call: &mut Call<'_>) -> Result<Reply> {
    let query = readable(call)?;
    Ok(Reply::ok(
        &json!({"limit": query.limit, "offset": query.offset, "total": 0, "items": []}),
    ))
}

fn names(call: &mut Call<'_>) -> Result<Reply> {
    readable(call)?;
    Ok(Reply::ok(&json!({"video_names": [], "starred_count": 0, "total_count": 0})))
}

fn missing(call: &mut Call<'_>) -> Result<Reply> {
    match call.core().videos.open(&call.actor)? {}
}

fn urls(call: &mut Call<'_>) -> Result<Reply> {
    call.core().videos.may_ask_addresses(&call.actor)?;
    let name = call.path("video_name");
    let url = |what: &str| format!("api/v1/videos/i/{name}/{what}");
    Ok(Reply::ok(
        &json!({"video_name": name, "video_url": url("full"), "thumbnail_url": url("thumbnail")}),
    ))
}

fn update(call: &mut Call<'_>) -> Result<Reply> {
    call.core().videos.change(&call.actor, VideoChange::Update)?;
    Err(Fault::bad_request("Failed to update video"))
}

fn delete(call: &mut Call<'_>) -> Result<Reply> {
    call.core().videos.change(&call.actor, VideoChange::Update)?;
    Err(Fault::not_found("Video not found"))
}

#[derive(Deserialize)]
struct Asked {
    video_names: Vec<String>,
}

/// Nothing is done with any video. Whoever may change everything is told of each name that it is nobody's; to others it is somebody else's.
fn done(call: &mut Call<'_>, what: &str) -> Result<Reply> {
    let asked: Asked = call.body()?;
    let told = call.core().videos.may_change(&call.actor);
    let names: BTreeSet<&String> = asked.video_names.iter().filter(|_| told).collect();
    Ok(Reply::ok(&json!({"affected_boards": [], what: [], "failed_videos": names})))
}

fn delete_many(call: &mut Call<'_>) -> Result<Reply> {
    done(call, "deleted_videos")
}

#[expect(clippy::unnecessary_wraps, reason = "a handler is of one type, whether it can fail or not")]
fn delete_uncategorized(_: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(
        &json!({"affected_boards": [], "deleted_videos": [], "failed_videos": []}),
    ))
}

fn star(call: &mut Call<'_>) -> Result<Reply> {
    done(call, "starred_videos")
}

fn unstar(call: &mut Call<'_>) -> Result<Reply> {
    done(call, "unstarred_videos")
}

#[derive(Deserialize)]
struct OnBoard {
    board_id: BoardId,
}

fn add_to_board(call: &mut Call<'_>) -> Result<Reply> {
    let body: OnBoard = call.body()?;
    call.core().videos.put_on_board(&call.actor, &body.board_id)?;
    Err(Error::internal("putting a video on a board", "there is no such video").into())
}

#[derive(Deserialize)]
struct Named {
    video_name: String,
}

/// What is on no board is off its board.
fn remove_from_board(call: &mut Call<'_>) -> Result<Reply> {
    call.core().videos.change(&call.actor, VideoChange::Move)?;
    let named: Named = call.body()?;
    Ok(Reply::ok(
        &json!({"affected_boards": ["none"], "removed_videos": [named.video_name]}),
    ))
}
