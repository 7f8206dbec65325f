//! Instructions for language models.

use invoke_core::{
    domain::shape::{Extra, Length, ObjectShape, Shape},
    repo::system_prompts::Changes,
};
use serde::Deserialize;

use super::shapes::{BOOL, BOOL_OR_NULL, STR, object, opt, req};
use crate::{
    call::Call,
    error::Result,
    reply::Reply,
    route::{Access, Route},
};

const FILLED: Shape = Shape::Str(Length::ANY.min(1));
const FILLED_OR_NULL: Shape = Shape::Nullable(&FILLED);

object!(PROMPT = "SystemPromptRecordDTO" {
    req("name", FILLED),
    req("content", FILLED),
    req("id", STR),
    req("user_id", STR),
    req("is_public", BOOL),
    req("created_at", Shape::DateTime),
    req("updated_at", Shape::DateTime),
});
static NEW: ObjectShape = ObjectShape {
    name: "SystemPromptWithoutId",
    fields: &[req("name", FILLED), req("content", FILLED)],
    extra: Extra::Forbid,
};
static CHANGES: ObjectShape = ObjectShape {
    name: "SystemPromptChanges",
    fields: &[
        opt("name", FILLED_OR_NULL),
        opt("content", FILLED_OR_NULL),
        opt("is_public", BOOL_OR_NULL),
    ],
    extra: Extra::Forbid,
};
const PROMPT_SHAPE: Shape = Shape::Object(&PROMPT);
const PROMPTS: Shape = Shape::list(&PROMPT_SHAPE);

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/system_prompts/", Access::User, list)
        .doc("system_prompts", "list_system_prompts", "One's own and what others share")
        .returns(200, PROMPTS),
    Route::post("/api/v1/system_prompts/", Access::User, create)
        .doc("system_prompts", "create_system_prompt", "Keeps a prompt")
        .json(Shape::Object(&NEW))
        .returns(200, PROMPT_SHAPE),
    Route::get("/api/v1/system_prompts/i/{system_prompt_id}", Access::User, get)
        .doc("system_prompts", "get_system_prompt", "One prompt")
        .returns(200, PROMPT_SHAPE),
    Route::patch("/api/v1/system_prompts/i/{system_prompt_id}", Access::User, update)
        .doc("system_prompts", "update_system_prompt", "Changes a prompt")
        .json(Shape::Object(&CHANGES))
        .returns(200, PROMPT_SHAPE),
    Route::delete("/api/v1/system_prompts/i/{system_prompt_id}", Access::User, delete)
        .doc("system_prompts", "delete_system_prompt", "Deletes a prompt")
        .returns(200, Shape::Any),
];

fn id<'c>(call: &'c Call<'_>) -> &'c str {
    call.path("system_prompt_id")
}

fn list(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().system_prompts.list(&call.actor)?))
}

#[derive(Deserialize)]
struct Sent {
    name: Option<String>,
    content: Option<String>,
    is_public: Option<bool>,
}

fn create(call: &mut Call<'_>) -> Result<Reply> {
    let sent: Sent = call.body()?;
    let (name, content) = (sent.name.unwrap_or_default(), sent.content.unwrap_or_default());
    Ok(Reply::ok(&call.core().system_prompts.create(&call.actor, &name, &content)?))
}

fn get(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().system_prompts.get(&call.actor, id(call))?))
}

fn update(call: &mut Call<'_>) -> Result<Reply> {
    let sent: Sent = call.body()?;
    let changes = Changes {
        name: sent.name.as_deref(),
        content: sent.content.as_deref(),
        is_public: sent.is_public,
    };
    Ok(Reply::ok(&call.core().system_prompts.update(&call.actor, id(call), &changes)?))
}

fn delete(call: &mut Call<'_>) -> Result<Reply> {
    call.core().system_prompts.delete(&call.actor, id(call))?;
    Ok(Reply::ok(&()))
}
