//! Pictures.

use http::StatusCode;
use invoke_core::{
    domain::{
        BoardId, SessionId,
        image::{ImageCategory, ImageChanges},
        shape::{Extra, Field, ObjectShape, Shape},
    },
    files::StoredFile,
    service::images::Upload,
};
use serde::Deserialize;
use serde_json::json;

use super::{
    gallery::ListQuery,
    shapes::{
        BOOL, BOOL_OR_NULL, CATEGORIES_OR_NULL, CATEGORY, DIRECTION, INT, LIMIT, METADATA_AND_WORKFLOW, METADATA_OR_NULL, NAMES, OFFSET,
        ORIGIN, ORIGIN_OR_NULL, STR, STR_OR_NULL, STRINGS, TIME, TIME_OR_NULL, def, object, opt, req,
    },
};
use crate::{
    call::Call,
    error::{Fault, Result},
    file,
    reply::Reply,
    route::{Access, Method, Route},
};

/// Bytes that an uploaded form may have: a picture of the largest size that is read, hardly compressed.
const LARGEST_UPLOAD: usize = 256 << 20;

object!(pub(super) IMAGE = "ImageDTO" {
    req("image_name", STR),
    req("image_url", STR),
    req("thumbnail_url", STR),
    req("image_origin", ORIGIN),
    req("image_category", CATEGORY),
    req("width", INT),
    req("height", INT),
    req("created_at", TIME),
    req("updated_at", TIME),
    opt("deleted_at", TIME_OR_NULL),
    req("is_intermediate", BOOL),
    opt("session_id", STR_OR_NULL),
    opt("node_id", STR_OR_NULL),
    req("starred", BOOL),
    req("has_workflow", BOOL),
    def("image_subfolder", STR, "\"\""),
    opt("board_id", STR_OR_NULL),
});
const IMAGE_SHAPE: Shape = Shape::Object(&IMAGE);
const IMAGES: Shape = Shape::list(&IMAGE_SHAPE);
object!(PAGE = "OffsetPaginatedResults_ImageDTO_" { req("limit", INT), req("offset", INT), req("total", INT), req("items", IMAGES) });
object!(pub(super) NAMES_RESULT = "ImageNamesResult" { req("image_names", STRINGS), req("starred_count", INT), req("total_count", INT) });
object!(URLS = "ImageUrlsDTO" { req("image_name", STR), req("image_url", STR), req("thumbnail_url", STR) });
object!(UPLOAD_ENTRY = "ImageUploadEntry" { req("image_dto", IMAGE_SHAPE), req("presigned_url", STR) });
object!(DELETED = "DeleteImagesResult" { req("affected_boards", STRINGS), req("deleted_images", STRINGS), req("failed_images", STRINGS) });
object!(STARRED = "StarredImagesResult" { req("affected_boards", STRINGS), req("starred_images", STRINGS), req("failed_images", STRINGS) });
object!(UNSTARRED = "UnstarredImagesResult" {
    req("affected_boards", STRINGS),
    req("unstarred_images", STRINGS),
    req("failed_images", STRINGS),
});
object!(DOWNLOAD = "ImagesDownloaded" { opt("response", STR_OR_NULL), opt("bulk_download_item_name", STR_OR_NULL) });
const STRICT_BOOL_OR_NULL: Shape = Shape::Nullable(&Shape::Bool { strict: true });
static CHANGES: ObjectShape = ObjectShape {
    name: "ImageRecordChanges",
    fields: &[
        opt("image_category", Shape::Nullable(&CATEGORY)),
        opt("session_id", STR_OR_NULL),
        opt("is_intermediate", STRICT_BOOL_OR_NULL),
        opt("starred", STRICT_BOOL_OR_NULL),
    ],
    extra: Extra::Keep,
};

const UPLOAD: &[Field] = &[
    req("image_category", CATEGORY),
    req("is_intermediate", BOOL),
    opt("board_id", STR_OR_NULL),
    opt("session_id", STR_OR_NULL),
    def("crop_visible", BOOL_OR_NULL, "false"),
];
const UPLOAD_PARTS: &[Field] = &[
    req("file", Shape::Binary),
    opt("resize_to", STR_OR_NULL),
    opt("metadata", STR_OR_NULL),
];
const ASKED: &[Field] = &[req("image_names", NAMES)];
const LIST: &[Field] = &[
    opt("image_origin", ORIGIN_OR_NULL),
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

pub(super) const ROUTES: &[Route] = &[
    Route::post("/api/v1/images/upload", Access::User, upload)
        .doc("images", "upload_image", "Stores a picture of one's own")
        .query(UPLOAD)
        .form(UPLOAD_PARTS, LARGEST_UPLOAD)
        .returns(201, IMAGE_SHAPE)
        .fault("Failed to create image")
        .heavy(),
    Route::post("/api/v1/images/", Access::User, create)
        .doc("images", "create_image_upload_entry", "Not implemented")
        .fields(&[req("width", INT), req("height", INT), opt("board_id", STR_OR_NULL)])
        .returns(200, Shape::Object(&UPLOAD_ENTRY)),
    Route::get("/api/v1/images/", Access::User, list)
        .doc("images", "list_image_dtos", "A window of a list of pictures")
        .query(LIST)
        .returns(200, Shape::Object(&PAGE))
        .heavy(),
    Route::get("/api/v1/images/names", Access::User, names)
        .doc("images", "get_image_names", "All names of a list of pictures")
        .deprecated()
        .query(LIST_NAMES)
        .returns(200, Shape::Object(&NAMES_RESULT))
        .fault("Failed to get image names")
        .heavy(),
    Route::post("/api/v1/images/images_by_names", Access::User, by_names)
        .doc("images", "get_images_by_names", "Pictures by their names")
        .fields(ASKED)
        .returns(200, IMAGES)
        .fault("Failed to get images by names"),
    Route::get("/api/v1/images/i/{image_name}", Access::User, get)
        .doc("images", "get_image_dto", "A picture's record")
        .returns(200, IMAGE_SHAPE),
    Route::patch("/api/v1/images/i/{image_name}", Access::User, update)
        .doc("images", "update_image", "Changes a picture's record")
        .json(Shape::Object(&CHANGES))
        .returns(200, IMAGE_SHAPE),
    Route::delete("/api/v1/images/i/{image_name}", Access::User, delete)
        .doc("images", "delete_image", "Deletes a picture")
        .returns(200, Shape::Object(&DELETED))
        .fault("Failed to delete image"),
    Route::get("/api/v1/images/i/{image_name}/metadata", Access::User, metadata)
        .doc("images", "get_image_metadata", "A picture's metadata")
        .returns(200, METADATA_OR_NULL),
    Route::get("/api/v1/images/i/{image_name}/workflow", Access::User, workflow)
        .doc("images", "get_image_workflow", "The workflow and graph embedded in a picture")
        .returns(200, Shape::Object(&METADATA_AND_WORKFLOW)),
    Route::get("/api/v1/images/i/{image_name}/urls", Access::User, urls)
        .doc("images", "get_image_urls", "Where a picture is fetched from")
        .returns(200, Shape::Object(&URLS)),
    Route::get("/api/v1/images/i/{image_name}/full", Access::Media, full)
        .doc("images", "get_image_full", "A picture's file")
        .returns_media("image/png"),
    Route::new(Method::Head, "/api/v1/images/i/{image_name}/full", Access::Media, full_head)
        .doc("images", "get_image_full_head", "Whether a picture's file is there")
        .returns_media("image/png"),
    Route::get("/api/v1/images/i/{image_name}/thumbnail", Access::Media, thumbnail)
        .doc("images", "get_image_thumbnail", "A picture's thumbnail")
        .returns_media("image/webp"),
    Route::new(
        Method::Head,
        "/api/v1/images/i/{image_name}/thumbnail",
        Access::Media,
        thumbnail_head,
    )
    .doc("images", "get_image_thumbnail_head", "Whether a picture's thumbnail is there")
    .returns_media("image/webp"),
    Route::post("/api/v1/images/delete", Access::User, delete_many)
        .doc("images", "delete_images_from_list", "Deletes pictures by their names")
        .fields(ASKED)
        .returns(200, Shape::Object(&DELETED))
        .fault("Failed to delete images")
        .heavy(),
    Route::delete("/api/v1/images/uncategorized", Access::User, delete_uncategorized)
        .doc(
            "images",
            "delete_uncategorized_images",
            "Deletes the caller's pictures that are on no board",
        )
        .returns(200, Shape::Object(&DELETED))
        .fault("Failed to delete images")
        .heavy(),
    Route::post("/api/v1/images/star", Access::User, star)
        .doc("images", "star_images_in_list", "Marks pictures")
        .fields(ASKED)
        .returns(200, Shape::Object(&STARRED))
        .fault("Failed to star images"),
    Route::post("/api/v1/images/unstar", Access::User, unstar)
        .doc("images", "unstar_images_in_list", "Takes the marks from pictures")
        .fields(ASKED)
        .returns(200, Shape::Object(&UNSTARRED))
        .fault("Failed to unstar images"),
    Route::get("/api/v1/images/intermediates", Access::User, intermediates)
        .doc("images", "get_intermediates_count", "How many intermediate pictures there are")
        .returns(200, INT)
        .fault("Failed to get intermediates"),
    Route::delete("/api/v1/images/intermediates", Access::User, clear_intermediates)
        .doc("images", "clear_intermediates", "Deletes everybody's intermediate pictures")
        .returns(200, INT)
        .fault("Failed to clear intermediates")
        .heavy(),
    Route::post("/api/v1/images/download", Access::User, order_download)
        .doc("images", "download_images_from_list", "Asks for an archive of pictures")
        .fields(&[opt("image_names", Shape::Nullable(&NAMES)), opt("board_id", STR_OR_NULL)])
        .returns(202, Shape::Object(&DOWNLOAD))
        .heavy(),
    Route::get("/api/v1/images/download/{bulk_download_item_name}", Access::User, fetch_download)
        .doc("images", "get_bulk_download_item", "Fetches an archive, once")
        .returns_media("application/zip"),
];

fn name<'c>(call: &'c Call<'_>) -> &'c str {
    call.path("image_name")
}

#[derive(Deserialize)]
struct UploadQuery {
    image_category: ImageCategory,
    is_intermediate: bool,
    #[serde(default)]
    board_id: Option<BoardId>,
    #[serde(default)]
    session_id: Option<SessionId>,
    #[serde(default)]
    crop_visible: Option<bool>,
}

fn upload(call: &mut Call<'_>) -> Result<Reply> {
    let query: UploadQuery = call.query()?;
    let file = call.file("file").ok_or_else(|| Fault::unsupported("Failed to read image"))?;
    let upload = Upload {
        bytes: &file.data,
        content_type: file.content_type.as_deref().unwrap_or_default(),
        category: query.image_category,
        is_intermediate: query.is_intermediate,
        board_id: query.board_id,
        session_id: query.session_id,
        crop_visible: query.crop_visible.unwrap_or(false),
        metadata: call.form_text("metadata").map(str::to_owned),
        resize_to: call.form_text("resize_to").map(str::to_owned),
    };
    let image = call.core().images.upload(&call.actor, upload)?;
    Ok(Reply::created(&image).header("location", &format!("api/v1/images/i/{}/full", image.image_name())))
}

fn create(_: &mut Call<'_>) -> Result<Reply> {
    Err(Fault::new(StatusCode::NOT_IMPLEMENTED, "Not implemented"))
}

fn list(call: &mut Call<'_>) -> Result<Reply> {
    let query: ListQuery = call.query()?;
    let (offset, limit) = (query.offset, query.limit);
    Ok(Reply::ok(&call.core().images.list(&call.actor, &query.filter(), offset, limit)?))
}

fn names(call: &mut Call<'_>) -> Result<Reply> {
    let query: ListQuery = call.query()?;
    Ok(Reply::ok(&call.core().images.names(&call.actor, &query.filter())?))
}

#[derive(Deserialize)]
struct Asked {
    image_names: Vec<String>,
}

fn by_names(call: &mut Call<'_>) -> Result<Reply> {
    let asked: Asked = call.body()?;
    Ok(Reply::ok(&call.core().images.by_names(&call.actor, &asked.image_names)?))
}

fn get(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().images.dto(&call.actor, name(call))?))
}

fn update(call: &mut Call<'_>) -> Result<Reply> {
    let changes: ImageChanges = call.body()?;
    Ok(Reply::ok(&call.core().images.update(&call.actor, name(call), &changes)?))
}

fn delete(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().images.delete(&call.actor, name(call))?))
}

fn metadata(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().images.metadata(&call.actor, name(call))?))
}

fn workflow(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().images.workflow(&call.actor, name(call))?))
}

fn urls(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().images.urls(&call.actor, name(call))?))
}

/// A file, marked so that no cache hands it to anybody else: with accounts, who may see it can change at any time.
fn sent(call: &Call<'_>, media: &str, file: StoredFile) -> Result<Reply> {
    let multiuser = call.core().config().multiuser();
    let cache = if multiuser { "private, no-store" } else { "max-age=31536000" };
    Ok(file::sent(call.headers, media, file)?.header("cache-control", cache))
}

fn full(call: &mut Call<'_>) -> Result<Reply> {
    let file = call.core().images.full(&call.actor, name(call))?;
    Ok(sent(call, "image/png", file)?.header("content-disposition", &format!("inline; filename=\"{}\"", name(call))))
}

fn full_head(call: &mut Call<'_>) -> Result<Reply> {
    full(call).map(file::head_of)
}

fn thumbnail(call: &mut Call<'_>) -> Result<Reply> {
    let file = call.core().images.thumbnail(&call.actor, name(call))?;
    sent(call, "image/webp", file)
}

fn thumbnail_head(call: &mut Call<'_>) -> Result<Reply> {
    thumbnail(call).map(file::head_of)
}

fn delete_many(call: &mut Call<'_>) -> Result<Reply> {
    let asked: Asked = call.body()?;
    Ok(Reply::ok(&call.core().images.delete_many(&call.actor, &asked.image_names)?))
}

fn delete_uncategorized(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().images.delete_uncategorized(&call.actor)?))
}

fn star(call: &mut Call<'_>) -> Result<Reply> {
    let asked: Asked = call.body()?;
    Ok(Reply::ok(&call.core().images.star(&call.actor, &asked.image_names)?))
}

fn unstar(call: &mut Call<'_>) -> Result<Reply> {
    let asked: Asked = call.body()?;
    Ok(Reply::ok(&call.core().images.unstar(&call.actor, &asked.image_names)?))
}

fn intermediates(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().images.intermediates(&call.actor)?))
}

fn clear_intermediates(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().images.clear_intermediates(&call.actor)?))
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    image_names: Option<Vec<String>>,
    #[serde(default)]
    board_id: Option<String>,
}

fn order_download(call: &mut Call<'_>) -> Result<Reply> {
    let wanted: Wanted = call.body()?;
    let item = call
        .core()
        .downloads
        .order(&call.actor, &wanted.image_names.unwrap_or_default(), wanted.board_id.as_deref())?;
    Ok(Reply::json(
        StatusCode::ACCEPTED,
        &json!({"response": null, "bulk_download_item_name": item}),
    ))
}

fn fetch_download(call: &mut Call<'_>) -> Result<Reply> {
    let item = call.path("bulk_download_item_name");
    let file = call.core().downloads.fetch(&call.actor, item)?;
    Ok(file::sent(call.headers, "application/zip", file)?
        .header("content-disposition", &format!("inline; filename=\"{item}\""))
        .header("cache-control", "max-age=31536000"))
}
