//! Pairs of prompt templates.

use http::StatusCode;
use invoke_core::{
    domain::shape::{Field, Shape},
    service::style_presets::{PresetForm, SentPicture},
};

use super::shapes::{BOOL, STR, STR_OR_NULL, def, object, opt, req};
use crate::{
    call::Call,
    error::Result,
    reply::Reply,
    route::{Access, Route},
};

/// Bytes of a form with a picture.
const FORM_LIMIT: usize = 64 << 20;

object!(DATA = "PresetData" { req("positive_prompt", STR), req("negative_prompt", STR) });
object!(PRESET = "StylePresetRecordWithImage" {
    req("name", STR),
    req("preset_data", Shape::Object(&DATA)),
    req("type", Shape::Enum(&["user", "default"])),
    def("is_public", BOOL, "false"),
    req("id", STR),
    req("user_id", STR),
    req("image", STR_OR_NULL),
});
const PRESET_SHAPE: Shape = Shape::Object(&PRESET);
const PRESETS: Shape = Shape::list(&PRESET_SHAPE);
const FORM: &[Field] = &[req("data", STR), opt("image", Shape::Nullable(&Shape::Binary))];

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/style_presets/", Access::User, list)
        .doc(
            "style_presets",
            "list_style_presets",
            "One's own, what others share and what ships with the program",
        )
        .returns(200, PRESETS),
    Route::post("/api/v1/style_presets/", Access::User, create)
        .doc("style_presets", "create_style_preset", "Keeps a preset")
        .form(FORM, FORM_LIMIT)
        .returns(200, PRESET_SHAPE)
        .heavy(),
    Route::get("/api/v1/style_presets/export", Access::Admin, export)
        .doc("style_presets", "export_style_presets", "Everybody's own presets as a table")
        .returns_media("text/csv")
        .returns(200, Shape::Any),
    Route::post("/api/v1/style_presets/import", Access::Admin, import)
        .doc("style_presets", "import_style_presets", "Keeps the presets of a table or list")
        .form(&[req("file", Shape::Binary)], FORM_LIMIT)
        .returns(200, Shape::Any),
    Route::get("/api/v1/style_presets/i/{style_preset_id}", Access::User, get)
        .doc("style_presets", "get_style_preset", "One preset")
        .returns(200, PRESET_SHAPE),
    Route::patch("/api/v1/style_presets/i/{style_preset_id}", Access::User, update)
        .doc("style_presets", "update_style_preset", "Overwrites a preset")
        .form(FORM, FORM_LIMIT)
        .returns(200, PRESET_SHAPE)
        .heavy(),
    Route::delete("/api/v1/style_presets/i/{style_preset_id}", Access::User, delete)
        .doc("style_presets", "delete_style_preset", "Deletes a preset")
        .returns(200, Shape::Any),
    Route::get("/api/v1/style_presets/i/{style_preset_id}/image", Access::User, picture)
        .doc("style_presets", "get_style_preset_image", "A preset's picture")
        .returns(200, Shape::Any),
];

fn id<'c>(call: &'c Call<'_>) -> &'c str {
    call.path("style_preset_id")
}

fn form(call: &Call<'_>) -> Result<PresetForm> {
    Ok(PresetForm::parse(call.form_text("data").unwrap_or_default())?)
}

fn sent_picture<'c>(call: &'c Call<'_>) -> Option<SentPicture<'c>> {
    call.file("image").map(|part| SentPicture {
        content_type: part.content_type.as_deref(),
        bytes: &part.data,
    })
}

fn list(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().style_presets.list(&call.actor)?))
}

fn create(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().style_presets.create(
        &call.actor,
        form(call)?,
        sent_picture(call),
    )?))
}

fn get(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().style_presets.get(&call.actor, id(call))?))
}

fn update(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().style_presets.update(
        &call.actor,
        id(call),
        form(call)?,
        sent_picture(call),
    )?))
}

fn delete(call: &mut Call<'_>) -> Result<Reply> {
    call.core().style_presets.delete(&call.actor, id(call))?;
    Ok(Reply::ok(&()))
}

/// The picture, under the name and type by which the original sends it.
fn picture(call: &mut Call<'_>) -> Result<Reply> {
    let bytes = call.core().style_presets.picture(&call.actor, id(call))?;
    let reply = Reply::bytes(StatusCode::OK, "image/png", bytes);
    Ok(reply
        .header("content-disposition", &format!("inline; filename=\"{}.png\"", id(call)))
        .header("cache-control", "max-age=31536000"))
}

fn export(call: &mut Call<'_>) -> Result<Reply> {
    let table = call.core().style_presets.export_csv(&call.actor)?;
    let reply = Reply::text(StatusCode::OK, "text/csv; charset=utf-8", table);
    Ok(reply.header("content-disposition", "attachment; filename=prompt_templates.csv"))
}

fn import(call: &mut Call<'_>) -> Result<Reply> {
    if let Some(part) = call.file("file") {
        call.core()
            .style_presets
            .import(&call.actor, part.content_type.as_deref(), &part.data)?;
    }
    Ok(Reply::ok(&()))
}
