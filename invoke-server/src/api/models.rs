//! Models: everybody sees them, administrators change them.

mod shapes;

use http::StatusCode;
use invoke_core::{
    domain::{
        Error, ModelKey,
        page::Direction,
        shape::{Length, Shape},
    },
    models::classes::RECORD,
    nodes::fields::{MODEL_BASES, MODEL_TYPES},
    repo::models::ModelFilter,
    service::models::LinkOutcome,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::shapes::{BOOL_OR_NULL, STR, STR_OR_NULL, STRINGS, def, opt, req};
use crate::{
    call::Call,
    error::{Fault, Result},
    reply::Reply,
    route::{Access, Route},
};
use shapes::{
    CHANGES, DELETED, FOUND_MODELS, HUB_REPOSITORY, HUB_TOKEN, ID, JOB_SHAPE, JOBS, KEYS, KEYS_TO_DELETE, KEYS_TO_LOOK_AT, LIST_QUERY,
    LOOKED_AT, MODELS, ORPHANS, ORPHANS_DELETED, ORPHANS_TO_DELETE, PAIR, STARTERS, STATS_SHAPE, TOKEN_STATUS,
};

/// Bytes of a form with a picture.
const FORM_LIMIT: usize = 64 << 20;

#[expect(clippy::large_types_passed_by_value, reason = "done once, by the compiler")]
const fn models(route: Route, name: &'static str, summary: &'static str) -> Route {
    route.doc("model_manager", name, summary)
}

pub(super) const ROUTES: &[Route] = &[
    models(
        Route::get("/api/v2/models/", Access::User, list)
            .query(LIST_QUERY)
            .returns(200, Shape::Object(&MODELS)),
        "list_model_records",
        "Installed models",
    ),
    models(
        Route::get("/api/v2/models/missing", Access::User, missing).returns(200, Shape::Object(&MODELS)),
        "list_missing_models",
        "Models whose files are gone",
    ),
    models(
        Route::get("/api/v2/models/get_by_attrs", Access::User, get_by_attrs)
            .query(&[req("name", STR), req("type", MODEL_TYPES), req("base", MODEL_BASES)])
            .returns(200, RECORD),
        "get_model_records_by_attrs",
        "The first model of this name, type and base",
    ),
    models(
        Route::get("/api/v2/models/get_by_hash", Access::User, get_by_hash)
            .query(&[req("hash", STR)])
            .returns(200, RECORD),
        "get_model_records_by_hash",
        "The first model with this hash",
    ),
    models(
        Route::get("/api/v2/models/i/{key}", Access::User, get).returns(200, RECORD),
        "get_model_record",
        "One model",
    ),
    models(
        Route::patch("/api/v2/models/i/{key}", Access::Admin, update)
            .json(Shape::Object(&CHANGES))
            .returns(200, RECORD),
        "update_model_record",
        "Changes what a model's record says",
    ),
    models(
        Route::delete("/api/v2/models/i/{key}", Access::Admin, delete).returns_nothing(204),
        "delete_model",
        "Deletes a model, and its files where the program keeps them",
    ),
    models(
        Route::post("/api/v2/models/i/bulk_delete", Access::Admin, bulk_delete)
            .json(Shape::Object(&KEYS_TO_DELETE))
            .returns(200, Shape::Object(&DELETED)),
        "bulk_delete_models",
        "Deletes several models",
    ),
    models(
        Route::post("/api/v2/models/i/bulk_reidentify", Access::Admin, bulk_reidentify)
            .json(Shape::Object(&KEYS_TO_LOOK_AT))
            .returns(200, Shape::Object(&LOOKED_AT))
            .heavy(),
        "bulk_reidentify_models",
        "Looks again what several models are",
    ),
    models(
        Route::post("/api/v2/models/i/{key}/reidentify", Access::Admin, reidentify)
            .returns(200, RECORD)
            .heavy(),
        "reidentify_model",
        "Looks again what a model is",
    ),
    models(
        Route::get("/api/v2/models/i/{key}/image", Access::Anonymous, cover).returns(200, Shape::Any),
        "get_model_image",
        "A model's picture",
    ),
    models(
        Route::patch("/api/v2/models/i/{key}/image", Access::Admin, set_cover)
            .form(&[req("image", Shape::Binary)], FORM_LIMIT)
            .returns(200, Shape::Any)
            .heavy(),
        "update_model_image",
        "Sets a model's picture",
    ),
    models(
        Route::delete("/api/v2/models/i/{key}/image", Access::Admin, delete_cover).returns_nothing(204),
        "delete_model_image",
        "Takes a model's picture away",
    ),
    models(
        Route::get("/api/v2/models/scan_folder", Access::Admin, scan_folder)
            .query(&[opt("scan_path", STR)])
            .returns(200, FOUND_MODELS)
            .heavy(),
        "scan_for_models",
        "Models below a folder",
    ),
    models(
        Route::post("/api/v2/models/install", Access::Admin, install)
            .query(&[
                req("source", STR),
                def("inplace", BOOL_OR_NULL, "false"),
                opt("access_token", STR_OR_NULL),
            ])
            .json(Shape::Object(&CHANGES))
            .returns(201, JOB_SHAPE)
            .heavy(),
        "install_model",
        "Asks for a model to be installed",
    ),
    models(
        Route::get("/api/v2/models/install", Access::Admin, jobs).returns(200, JOBS),
        "list_model_installs",
        "All install jobs",
    ),
    models(
        Route::delete("/api/v2/models/install", Access::Admin, prune_jobs)
            .returns(200, Shape::Any)
            .returns_nothing(204),
        "prune_model_install_jobs",
        "Drops the install jobs that are over",
    ),
    models(
        Route::get("/api/v2/models/install/{id}", Access::Admin, job)
            .path_shapes(ID)
            .returns(200, JOB_SHAPE),
        "get_model_install_job",
        "One install job",
    ),
    models(
        Route::delete("/api/v2/models/install/{id}", Access::Admin, cancel_job)
            .path_shapes(ID)
            .returns(201, Shape::Any),
        "cancel_model_install_job",
        "Calls an install job off",
    ),
    models(
        Route::post("/api/v2/models/install/{id}/pause", Access::Admin, pause_job)
            .path_shapes(ID)
            .returns(201, JOB_SHAPE),
        "pause_model_install_job",
        "Pauses downloads of an install job; one without downloads goes on",
    ),
    models(
        Route::post("/api/v2/models/install/{id}/resume", Access::Admin, resume_job)
            .path_shapes(ID)
            .returns(201, JOB_SHAPE),
        "resume_model_install_job",
        "Goes on with paused downloads of an install job",
    ),
    models(
        Route::post("/api/v2/models/install/{id}/restart_failed", Access::Admin, restart_failed_job)
            .path_shapes(ID)
            .returns(201, JOB_SHAPE),
        "restart_failed_model_install_job",
        "Begins failed downloads of an install job again",
    ),
    models(
        Route::post("/api/v2/models/install/{id}/restart_file", Access::Admin, restart_file)
            .path_shapes(ID)
            .json(Shape::Str(Length::ANY.min(1)))
            .returns(201, JOB_SHAPE),
        "restart_model_install_file",
        "Begins one download of an install job again",
    ),
    models(
        Route::put("/api/v2/models/convert/{key}", Access::Admin, convert)
            .returns(200, RECORD)
            .heavy(),
        "convert_model",
        "Converts a single-file model to a folder",
    ),
    models(
        Route::get("/api/v2/models/starter_models", Access::Admin, starters).returns(200, STARTERS),
        "get_starter_models",
        "Models to install by a click",
    ),
    models(
        Route::get("/api/v2/models/hugging_face", Access::Admin, hub_repository)
            .query(&[opt("hugging_face_repo", STR)])
            .returns(200, HUB_REPOSITORY)
            .heavy(),
        "get_hugging_face_models",
        "What a repository of a hub holds",
    ),
    models(
        Route::get("/api/v2/models/stats", Access::Admin, stats).returns(200, Shape::Nullable(&STATS_SHAPE)),
        "get_stats",
        "What the cache of loaded models did and holds",
    ),
    models(
        Route::post("/api/v2/models/empty_model_cache", Access::Admin, empty_cache).returns(200, Shape::Any),
        "empty_model_cache",
        "Drops all loaded models from memory",
    ),
    models(
        Route::get("/api/v2/models/hf_login", Access::Admin, hub_status)
            .returns(200, TOKEN_STATUS)
            .heavy(),
        "get_hf_login_status",
        "Whether the model hub knows the token that is kept",
    ),
    models(
        Route::post("/api/v2/models/hf_login", Access::Admin, hub_login)
            .json(Shape::Object(&HUB_TOKEN))
            .returns(200, TOKEN_STATUS)
            .heavy(),
        "do_hf_login",
        "Keeps a token for the model hub",
    ),
    models(
        Route::delete("/api/v2/models/hf_login", Access::Admin, hub_logout)
            .returns(200, TOKEN_STATUS)
            .heavy(),
        "reset_hf_token",
        "Forgets the token for the model hub",
    ),
    models(
        Route::get("/api/v2/models/install/huggingface", Access::Admin, install_by_link)
            .query(&[req("source", STR)])
            .returns_media_as(201, "text/html")
            .heavy(),
        "install_hugging_face_model",
        "Installs a repository of the hub, for a link",
    ),
    models(
        Route::get("/api/v2/models/sync/orphaned", Access::Admin, orphaned)
            .returns(200, ORPHANS)
            .heavy(),
        "get_orphaned_models",
        "Files among the models that no record points at",
    ),
    models(
        Route::delete("/api/v2/models/sync/orphaned", Access::Admin, delete_orphaned)
            .json(Shape::Object(&ORPHANS_TO_DELETE))
            .returns(200, Shape::Object(&ORPHANS_DELETED))
            .heavy(),
        "delete_orphaned_models",
        "Deletes such files",
    ),
    Route::get("/api/v1/model_relationships/i/{model_key}", Access::User, related)
        .doc("model_relationships", "get_related_models", "Models related to one")
        .returns(200, STRINGS),
    Route::post("/api/v1/model_relationships/batch", Access::User, related_batch)
        .doc("model_relationships", "get_related_models_batch", "Models related to any of these")
        .json(Shape::Object(&KEYS))
        .returns(200, STRINGS),
    Route::post("/api/v1/model_relationships/", Access::Admin, relate)
        .doc(
            "model_relationships",
            "add_model_relationship_api_v1_model_relationships__post",
            "Relates two models",
        )
        .json(Shape::Object(&PAIR))
        .returns_nothing(204),
    Route::delete("/api/v1/model_relationships/", Access::Admin, unrelate)
        .doc(
            "model_relationships",
            "remove_model_relationship_api_v1_model_relationships__delete",
            "Ends a relation",
        )
        .json(Shape::Object(&PAIR))
        .returns_nothing(204),
];

/// A required text of the query.
fn text<'c>(call: &'c Call<'_>, name: &str) -> &'c str {
    call.query_text(name).unwrap_or_default()
}

fn list(call: &mut Call<'_>) -> Result<Reply> {
    let filter = ModelFilter {
        bases: call.query_list("base_models").unwrap_or_default(),
        model_type: call.query_text("model_type").map(str::to_owned),
        name: call.query_text("model_name").map(str::to_owned),
        format: call.query_text("model_format").map(str::to_owned),
        hash: None,
    };
    let direction = if text(call, "direction") == "DESC" {
        Direction::Desc
    } else {
        Direction::Asc
    };
    let models = call.core().models.list(&call.actor, &filter, text(call, "order_by"), direction)?;
    Ok(Reply::ok(&json!({ "models": models })))
}

fn missing(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&json!({"models": call.core().models.missing(&call.actor)?})))
}

fn get_by_attrs(call: &mut Call<'_>) -> Result<Reply> {
    let (name, kind, base) = (text(call, "name"), text(call, "type"), text(call, "base"));
    Ok(Reply::ok(&call.core().models.get_by_attrs(&call.actor, name, kind, base)?))
}

fn get_by_hash(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().models.get_by_hash(&call.actor, text(call, "hash"))?))
}

fn get(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().models.get(&call.actor, &ModelKey::new(call.path("key")))?))
}

fn update(call: &mut Call<'_>) -> Result<Reply> {
    let changes: Map<String, Value> = call.body()?;
    Ok(Reply::ok(&call.core().models.update(&call.actor, call.path("key"), &changes)?))
}

fn delete(call: &mut Call<'_>) -> Result<Reply> {
    call.core().models.delete(&call.actor, call.path("key"))?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

fn bulk_delete(call: &mut Call<'_>) -> Result<Reply> {
    let body: Keys = call.body()?;
    Ok(Reply::ok(&call.core().models.bulk_delete(&call.actor, &body.keys)?))
}

fn bulk_reidentify(call: &mut Call<'_>) -> Result<Reply> {
    let body: Keys = call.body()?;
    Ok(Reply::ok(&call.core().models.bulk_reidentify(&call.actor, &body.keys)?))
}

fn reidentify(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().models.reidentify(&call.actor, call.path("key"))?))
}

/// The picture, under the name and type by which the original sends it.
fn cover(call: &mut Call<'_>) -> Result<Reply> {
    let bytes = call.core().models.cover(&call.actor, call.path("key"))?;
    let reply = Reply::bytes(StatusCode::OK, "image/png", bytes);
    Ok(reply
        .header("content-disposition", &format!("inline; filename=\"{}.png\"", call.path("key")))
        .header("cache-control", "max-age=31536000"))
}

fn set_cover(call: &mut Call<'_>) -> Result<Reply> {
    if let Some(part) = call.file("image") {
        call.core()
            .models
            .set_cover(&call.actor, call.path("key"), part.content_type.as_deref(), &part.data)?;
    }
    Ok(Reply::ok(&()))
}

fn delete_cover(call: &mut Call<'_>) -> Result<Reply> {
    call.core().models.delete_cover(&call.actor, call.path("key"))?;
    Ok(Reply::no_json())
}

fn scan_folder(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().models.scan_folder(&call.actor, text(call, "scan_path"))?))
}

fn install(call: &mut Call<'_>) -> Result<Reply> {
    let wishes: Map<String, Value> = call.body()?;
    let inplace = call.query_bool("inplace").unwrap_or(false);
    let token = call.query_text("access_token");
    let models = &call.core().models;
    Ok(Reply::created(&models.install(
        &call.actor,
        text(call, "source"),
        inplace,
        token,
        wishes,
    )?))
}

fn jobs(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().models.install_jobs(&call.actor)?))
}

fn prune_jobs(call: &mut Call<'_>) -> Result<Reply> {
    call.core().models.prune_installs(&call.actor)?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn id(call: &Call<'_>) -> u64 {
    u64::try_from(call.path_int("id")).unwrap_or(u64::MAX)
}

fn job(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().models.install_job(&call.actor, id(call))?))
}

fn cancel_job(call: &mut Call<'_>) -> Result<Reply> {
    call.core().models.cancel_install(&call.actor, id(call))?;
    Ok(Reply::created(&()))
}

fn pause_job(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::created(&call.core().models.pause_install(&call.actor, id(call))?))
}

fn resume_job(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::created(&call.core().models.resume_install(&call.actor, id(call))?))
}

fn restart_failed_job(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::created(&call.core().models.restart_failed_install(&call.actor, id(call))?))
}

fn restart_file(call: &mut Call<'_>) -> Result<Reply> {
    let url: String = call.body()?;
    Ok(Reply::created(&call.core().models.restart_install_file(
        &call.actor,
        id(call),
        &url,
    )?))
}

fn convert(call: &mut Call<'_>) -> Result<Reply> {
    match call.core().models.convert(&call.actor, call.path("key")) {
        Ok(record) => Ok(Reply::ok(&record)),
        Err(Error::NotFound(text)) => Err(Fault::new(StatusCode::FAILED_DEPENDENCY, text)),
        Err(error) => Err(error.into()),
    }
}

fn starters(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().models.starters(&call.actor)?))
}

fn hub_repository(call: &mut Call<'_>) -> Result<Reply> {
    let name = call.query_text("hugging_face_repo");
    Ok(Reply::ok(&call.core().models.hub_repository(&call.actor, name)?))
}

fn stats(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().app.model_cache_stats(&call.actor)?))
}

fn empty_cache(call: &mut Call<'_>) -> Result<Reply> {
    call.core().app.empty_model_cache(&call.actor)?;
    Ok(Reply::ok(&()))
}

fn hub_status(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().models.hub_token_status(&call.actor)?.as_str()))
}

#[derive(Deserialize)]
struct HubToken {
    token: String,
}

fn hub_login(call: &mut Call<'_>) -> Result<Reply> {
    let body: HubToken = call.body()?;
    Ok(Reply::ok(&call.core().models.set_hub_token(&call.actor, &body.token)?.as_str()))
}

fn hub_logout(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().models.forget_hub_token(&call.actor)?.as_str()))
}

/// A small page that tells what became of it, for a tab that a link on the hub opened.
fn install_by_link(call: &mut Call<'_>) -> Result<Reply> {
    let (status, heading, text) = match call.core().models.install_by_link(&call.actor, text(call, "source"))? {
        LinkOutcome::Begun => (
            StatusCode::CREATED,
            "The model is being installed",
            "Its progress is shown among the models; this tab can be closed.",
        ),
        LinkOutcome::Unknown => (
            StatusCode::BAD_REQUEST,
            "There is no such repository",
            "Check its name, and whether it needs an access token.",
        ),
        LinkOutcome::Several => (
            StatusCode::OK,
            "This repository holds several models",
            "Choose one of them among the models, under Add Models.",
        ),
        LinkOutcome::Failed => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "The model cannot be installed",
            "Try it among the models, under Add Models.",
        ),
    };
    let source = text_as_html(call.query_text("source").unwrap_or_default());
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{heading}</title><body style=\"font-family:sans-serif;text-align:center\">\
         <h2>{heading}</h2><p>{text}</p><p>{source}</p></body></html>"
    );
    Ok(Reply::bytes(status, "text/html; charset=utf-8", page.into_bytes()))
}

/// A text as HTML shows it.
fn text_as_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn orphaned(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().models.orphaned(&call.actor)?))
}

#[derive(Deserialize)]
struct Paths {
    paths: Vec<String>,
}

fn delete_orphaned(call: &mut Call<'_>) -> Result<Reply> {
    let body: Paths = call.body()?;
    Ok(Reply::ok(&call.core().models.delete_orphaned(&call.actor, &body.paths)?))
}

fn related(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(
        &call.core().models.related(&call.actor, &[call.path("model_key").to_owned()])?,
    ))
}

#[derive(Deserialize)]
struct ModelKeys {
    model_keys: Vec<String>,
}

fn related_batch(call: &mut Call<'_>) -> Result<Reply> {
    let body: ModelKeys = call.body()?;
    Ok(Reply::ok(&call.core().models.related(&call.actor, &body.model_keys)?))
}

#[derive(Deserialize)]
struct Pair {
    model_key_1: String,
    model_key_2: String,
}

fn relate(call: &mut Call<'_>) -> Result<Reply> {
    let pair: Pair = call.body()?;
    call.core().models.relate(&call.actor, &pair.model_key_1, &pair.model_key_2)?;
    Ok(Reply::no_json())
}

fn unrelate(call: &mut Call<'_>) -> Result<Reply> {
    let pair: Pair = call.body()?;
    call.core().models.unrelate(&call.actor, &pair.model_key_1, &pair.model_key_2)?;
    Ok(Reply::no_json())
}
