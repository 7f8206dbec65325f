//! Helps for writing prompts.

use http::StatusCode;
use invoke_core::domain::{
    ModelKey,
    shape::{Bounds, Field, Shape},
};
use serde::Deserialize;

use super::shapes::{BOOL, INT, INT_OR_NULL, STR, STR_OR_NULL, STRINGS, def, object, opt, req};
use crate::{
    call::Call,
    error::Result,
    reply::Reply,
    route::{Access, Route},
};

object!(PROMPTS = "DynamicPromptsResponse" { req("prompts", STRINGS), opt("error", STR_OR_NULL) });
object!(FACE = "UserFontFace" { req("path", STR), req("url", STR), req("weight", INT), req("style", STR) });
object!(FONT = "UserFont" {
    req("id", STR),
    req("family", STR),
    req("label", STR),
    req("path", STR),
    req("url", STR),
    req("faces", Shape::list(&Shape::Object(&FACE))),
});
object!(FONTS = "UserFontsResponse" { req("fonts", Shape::list(&Shape::Object(&FONT))) });

object!(EXPAND = "ExpandPromptRequest" {
    req("prompt", STR),
    req("model_key", STR),
    def("max_tokens", Shape::Int(Bounds::NONE.ge(1.0).le(2048.0)), "300"),
    opt("system_prompt", STR_OR_NULL),
    opt("seed", Shape::Nullable(&Shape::Int(Bounds::NONE.ge(0.0).le(4_294_967_295.0)))),
    opt("task_id", STR_OR_NULL),
});
object!(EXPANDED = "ExpandPromptResponse" { req("expanded_prompt", STR), req("seed", INT), opt("error", STR_OR_NULL) });
object!(DESCRIBE = "ImageToPromptRequest" {
    req("image_name", STR),
    req("model_key", STR),
    def("instruction", STR, "\"Describe this image in detail for use as an AI image generation prompt.\""),
    opt("task_id", STR_OR_NULL),
});
object!(DESCRIBED = "ImageToPromptResponse" { req("prompt", STR), opt("error", STR_OR_NULL) });

const TEMPLATE: &[Field] = &[
    req("prompt", STR),
    def("max_prompts", Shape::Int(Bounds::NONE.ge(1.0).le(10000.0)), "1000"),
    def("combinatorial", BOOL, "true"),
    def("seed", INT_OR_NULL, "null"),
];

pub(super) const ROUTES: &[Route] = &[
    Route::post("/api/v1/utilities/dynamicprompts", Access::User, dynamic_prompts)
        .doc("utilities", "parse_dynamicprompts", "The prompts that a template stands for")
        .fields(TEMPLATE)
        .returns(200, Shape::Object(&PROMPTS)),
    Route::post("/api/v1/utilities/expand-prompt", Access::User, expand_prompt)
        .doc("utilities", "expand_prompt", "A longer prompt, by a language model")
        .json(Shape::Object(&EXPAND))
        .returns(200, Shape::Object(&EXPANDED)),
    Route::post("/api/v1/utilities/image-to-prompt", Access::User, image_to_prompt)
        .doc(
            "utilities",
            "image_to_prompt",
            "A prompt that describes a picture, by a language model",
        )
        .json(Shape::Object(&DESCRIBE))
        .returns(200, Shape::Object(&DESCRIBED)),
    Route::get("/api/v1/utilities/fonts", Access::User, fonts)
        .doc("utilities", "list_user_fonts", "Fonts for writing on the canvas")
        .returns(200, Shape::Object(&FONTS)),
    Route::get("/api/v1/utilities/fonts/{*font_path}", Access::User, font)
        .doc("utilities", "get_user_font_file", "A font's file")
        .returns(200, Shape::Any),
];

#[derive(Deserialize)]
struct Template {
    prompt: String,
    max_prompts: usize,
    combinatorial: bool,
    seed: Option<i64>,
}

fn dynamic_prompts(call: &mut Call<'_>) -> Result<Reply> {
    let body: Template = call.body()?;
    let seed = body.seed.map(|seed| seed as u64);
    Ok(Reply::ok(&call.core().utilities.dynamic_prompts(
        &call.actor,
        &body.prompt,
        body.max_prompts,
        body.combinatorial,
        seed,
    )?))
}

#[derive(Deserialize)]
struct Expand {
    model_key: ModelKey,
    #[serde(default)]
    task_id: Option<String>,
}

fn expand_prompt(call: &mut Call<'_>) -> Result<Reply> {
    let body: Expand = call.body()?;
    let core = call.core();
    Ok(Reply::ok(&core.utilities.expand_prompt(
        &call.actor,
        &body.model_key,
        body.task_id.as_deref(),
    )?))
}

#[derive(Deserialize)]
struct Describe {
    image_name: String,
    model_key: ModelKey,
    #[serde(default)]
    task_id: Option<String>,
}

fn image_to_prompt(call: &mut Call<'_>) -> Result<Reply> {
    let body: Describe = call.body()?;
    let core = call.core();
    Ok(Reply::ok(&core.utilities.image_to_prompt(
        &call.actor,
        &body.image_name,
        &body.model_key,
        body.task_id.as_deref(),
    )?))
}

fn fonts(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().utilities.fonts(&call.actor)?))
}

fn font(call: &mut Call<'_>) -> Result<Reply> {
    let font = call.core().utilities.font(&call.actor, call.path("font_path"))?;
    Ok(Reply::bytes(StatusCode::OK, font.media, font.bytes).header("cache-control", "private, max-age=31536000, immutable"))
}
