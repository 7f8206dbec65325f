//! The library of workflows.

use http::StatusCode;
use invoke_core::{
    domain::{
        library::Origin,
        page::Direction,
        shape::{Field, Shape},
    },
    repo::workflows::Filter,
    service::workflows::{
        PageOf,
        document::{DOCUMENT, NEW_DOCUMENT},
    },
};
use serde::Deserialize;
use serde_json::Value;

use super::shapes::{
    BOOL, BOOL_OR_NULL, DIRECTION, INT, INT_OR_NULL, STR, STR_OR_NULL, STRINGS, TIME, TIME_OR_NULL, def, object, opt, req,
};
use crate::{
    call::Call,
    error::Result,
    reply::Reply,
    route::{Access, Route},
};

const FORM_LIMIT: usize = 64 << 20;
const CATEGORY: Shape = Shape::Enum(Origin::TEXTS);
const CATEGORIES: Shape = Shape::list(&CATEGORY);
const CATEGORIES_OR_NULL: Shape = Shape::Nullable(&CATEGORIES);
const STRINGS_OR_NULL: Shape = Shape::Nullable(&STRINGS);

object!(COMPATIBILITY = "WorkflowCallCompatibility" { req("is_callable", BOOL), req("reason", REASON), req("message", STR_OR_NULL) });
const REASON: Shape = Shape::Enum(&[
    "ok",
    "missing_workflow_return",
    "multiple_workflow_return",
    "unsupported_node",
    "unsupported_batch_input",
    "invalid_graph",
    "invalid_inputs",
    "exceeds_capacity",
    "unknown",
]);
object!(RECORD = "WorkflowRecordDTO" {
    req("workflow_id", STR),
    req("name", STR),
    req("created_at", TIME),
    req("updated_at", TIME),
    opt("opened_at", TIME_OR_NULL),
    req("user_id", STR),
    req("is_public", BOOL),
    req("workflow", DOCUMENT),
});
object!(FULL_RECORD = "WorkflowRecordWithThumbnailDTO" {
    req("workflow_id", STR),
    req("name", STR),
    req("created_at", TIME),
    req("updated_at", TIME),
    opt("opened_at", TIME_OR_NULL),
    req("user_id", STR),
    req("is_public", BOOL),
    req("workflow", DOCUMENT),
    opt("thumbnail_url", STR_OR_NULL),
    opt("call_saved_workflow_compatibility", Shape::Nullable(&Shape::Object(&COMPATIBILITY))),
});
object!(LIST_ITEM = "WorkflowRecordListItemWithThumbnailDTO" {
    req("workflow_id", STR),
    req("name", STR),
    req("created_at", TIME),
    req("updated_at", TIME),
    opt("opened_at", TIME_OR_NULL),
    req("user_id", STR),
    req("is_public", BOOL),
    req("description", STR),
    req("category", CATEGORY),
    req("tags", STR),
    opt("thumbnail_url", STR_OR_NULL),
    opt("call_saved_workflow_compatibility", Shape::Nullable(&Shape::Object(&COMPATIBILITY))),
});
object!(PAGE = "PaginatedResults_WorkflowRecordListItemWithThumbnailDTO_" {
    req("page", INT),
    req("pages", INT),
    req("per_page", INT),
    req("total", INT),
    req("items", Shape::list(&Shape::Object(&LIST_ITEM))),
});

const RECORD_SHAPE: Shape = Shape::Object(&RECORD);
const TO_CREATE: &[Field] = &[req("workflow", NEW_DOCUMENT)];
const TO_UPDATE: &[Field] = &[req("workflow", DOCUMENT)];
const LIST_QUERY: &[Field] = &[
    def("page", INT, "0"),
    opt("per_page", INT_OR_NULL),
    def(
        "order_by",
        Shape::Enum(&["name", "created_at", "updated_at", "opened_at", "is_public"]),
        "\"name\"",
    ),
    def("direction", DIRECTION, "\"ASC\""),
    opt("categories", CATEGORIES_OR_NULL),
    opt("tags", STRINGS_OR_NULL),
    opt("query", STR_OR_NULL),
    opt("has_been_opened", BOOL_OR_NULL),
    opt("is_public", BOOL_OR_NULL),
    opt("callable", BOOL_OR_NULL),
];

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/workflows/", Access::User, list)
        .doc("workflows", "list_workflows", "One page of the library")
        .query(LIST_QUERY)
        .returns(200, Shape::Object(&PAGE)),
    Route::post("/api/v1/workflows/", Access::User, create)
        .doc("workflows", "create_workflow", "Keeps a workflow")
        .fields(TO_CREATE)
        .returns(200, RECORD_SHAPE),
    Route::get("/api/v1/workflows/tags", Access::User, tags)
        .doc("workflows", "get_all_tags", "All tags of a list")
        .query(&[opt("categories", CATEGORIES_OR_NULL), opt("is_public", BOOL_OR_NULL)])
        .returns(200, STRINGS),
    Route::get("/api/v1/workflows/counts_by_tag", Access::User, counts_by_tag)
        .doc("workflows", "get_counts_by_tag", "How many workflows have each of these tags")
        .query(&[
            req("tags", STRINGS),
            opt("categories", CATEGORIES_OR_NULL),
            opt("has_been_opened", BOOL_OR_NULL),
            opt("is_public", BOOL_OR_NULL),
        ])
        .returns(200, Shape::Map(&INT)),
    Route::get("/api/v1/workflows/counts_by_category", Access::User, counts_by_category)
        .doc(
            "workflows",
            "counts_by_category",
            "How many workflows there are of each of these categories",
        )
        .query(&[
            req("categories", CATEGORIES),
            opt("has_been_opened", BOOL_OR_NULL),
            opt("is_public", BOOL_OR_NULL),
        ])
        .returns(200, Shape::Map(&INT)),
    Route::get("/api/v1/workflows/i/{workflow_id}", Access::User, get)
        .doc("workflows", "get_workflow", "One workflow")
        .returns(200, Shape::Object(&FULL_RECORD)),
    Route::patch("/api/v1/workflows/i/{workflow_id}", Access::User, update)
        .doc("workflows", "update_workflow", "Replaces a workflow's document; its id says which")
        .fields(TO_UPDATE)
        .returns(200, RECORD_SHAPE),
    Route::delete("/api/v1/workflows/i/{workflow_id}", Access::User, delete)
        .doc("workflows", "delete_workflow", "Deletes a workflow")
        .returns(200, Shape::Any),
    Route::patch("/api/v1/workflows/i/{workflow_id}/is_public", Access::User, set_public)
        .doc(
            "workflows",
            "update_workflow_is_public",
            "Shares a workflow with everybody, or no longer",
        )
        .fields(&[req("is_public", BOOL)])
        .returns(200, RECORD_SHAPE),
    Route::put("/api/v1/workflows/i/{workflow_id}/opened_at", Access::User, set_opened)
        .doc("workflows", "update_opened_at", "Notes that a workflow was opened")
        .returns(200, Shape::Any),
    Route::put("/api/v1/workflows/i/{workflow_id}/thumbnail", Access::User, set_thumbnail)
        .doc("workflows", "set_workflow_thumbnail", "Gives a workflow a picture")
        .form(&[req("image", Shape::Binary)], FORM_LIMIT)
        .returns(200, RECORD_SHAPE)
        .heavy(),
    Route::delete("/api/v1/workflows/i/{workflow_id}/thumbnail", Access::User, delete_thumbnail)
        .doc("workflows", "delete_workflow_thumbnail", "Takes a workflow's picture away")
        .returns(200, RECORD_SHAPE),
    Route::get("/api/v1/workflows/i/{workflow_id}/thumbnail", Access::Anonymous, thumbnail)
        .doc("workflows", "get_workflow_thumbnail", "A workflow's picture")
        .returns(200, Shape::Any),
];

#[derive(Deserialize)]
struct ListQuery {
    #[serde(default)]
    page: i64,
    per_page: Option<i64>,
    #[serde(default)]
    order_by: String,
    #[serde(default)]
    direction: String,
    categories: Option<Vec<Origin>>,
    tags: Option<Vec<String>>,
    query: Option<String>,
    has_been_opened: Option<bool>,
    is_public: Option<bool>,
    callable: Option<bool>,
}

impl ListQuery {
    fn filter(&self) -> Filter {
        Filter {
            categories: self.categories.clone().unwrap_or_default(),
            tags: self.tags.clone().unwrap_or_default(),
            query: self.query.clone(),
            has_been_opened: self.has_been_opened,
            is_public: self.is_public,
        }
    }
}

fn id<'c>(call: &'c Call<'_>) -> &'c str {
    call.path("workflow_id")
}

fn list(call: &mut Call<'_>) -> Result<Reply> {
    let query: ListQuery = call.query()?;
    let page = PageOf {
        page: query.page,
        per_page: query.per_page,
        order: query.order_by.clone(),
        direction: if query.direction == "DESC" {
            Direction::Desc
        } else {
            Direction::Asc
        },
        callable: query.callable,
    };
    Ok(Reply::ok(&call.core().workflows.list(&call.actor, &query.filter(), &page)?))
}

fn tags(call: &mut Call<'_>) -> Result<Reply> {
    let query: ListQuery = call.query()?;
    Ok(Reply::ok(&call.core().workflows.tags(&call.actor, &query.filter())?))
}

fn counts_by_tag(call: &mut Call<'_>) -> Result<Reply> {
    let mut query: ListQuery = call.query()?;
    let tags = query.tags.take().unwrap_or_default();
    Ok(Reply::ok(&call.core().workflows.counts_by_tag(
        &call.actor,
        &tags,
        &query.filter(),
    )?))
}

fn counts_by_category(call: &mut Call<'_>) -> Result<Reply> {
    let mut query: ListQuery = call.query()?;
    let categories = query.categories.take().unwrap_or_default();
    Ok(Reply::ok(&call.core().workflows.counts_by_category(
        &call.actor,
        &categories,
        &query.filter(),
    )?))
}

/// The document of a request.
fn document(call: &mut Call<'_>) -> Value {
    call.body_json()["workflow"].take()
}

fn create(call: &mut Call<'_>) -> Result<Reply> {
    let document = document(call);
    Ok(Reply::ok(&call.core().workflows.create(&call.actor, &document)?))
}

fn get(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().workflows.get(&call.actor, id(call))?))
}

fn update(call: &mut Call<'_>) -> Result<Reply> {
    let document = document(call);
    Ok(Reply::ok(&call.core().workflows.update(&call.actor, &document)?))
}

fn delete(call: &mut Call<'_>) -> Result<Reply> {
    call.core().workflows.delete(&call.actor, id(call))?;
    Ok(Reply::ok(&()))
}

#[derive(Deserialize)]
struct Sharing {
    is_public: bool,
}

fn set_public(call: &mut Call<'_>) -> Result<Reply> {
    let sharing: Sharing = call.body()?;
    Ok(Reply::ok(&call.core().workflows.set_public(
        &call.actor,
        id(call),
        sharing.is_public,
    )?))
}

fn set_opened(call: &mut Call<'_>) -> Result<Reply> {
    call.core().workflows.set_opened(&call.actor, id(call))?;
    Ok(Reply::ok(&()))
}

fn set_thumbnail(call: &mut Call<'_>) -> Result<Reply> {
    if let Some(part) = call.file("image") {
        call.core()
            .workflows
            .set_thumbnail(&call.actor, id(call), part.content_type.as_deref(), &part.data)?;
    }
    Ok(Reply::ok(&()))
}

fn delete_thumbnail(call: &mut Call<'_>) -> Result<Reply> {
    call.core().workflows.delete_thumbnail(&call.actor, id(call))?;
    Ok(Reply::ok(&()))
}

/// The picture, under the name and type by which the original sends it.
fn thumbnail(call: &mut Call<'_>) -> Result<Reply> {
    let bytes = call.core().workflows.thumbnail(&call.actor, id(call))?;
    let reply = Reply::bytes(StatusCode::OK, "image/png", bytes);
    Ok(reply
        .header("content-disposition", &format!("inline; filename=\"{}.png\"", id(call)))
        .header("cache-control", "max-age=31536000"))
}
