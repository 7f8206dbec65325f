//! Helps for writing prompts.

use http::StatusCode;
use invoke_core::domain::shape::{Bounds, Field, Shape};
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

fn fonts(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().utilities.fonts(&call.actor)?))
}

fn font(call: &mut Call<'_>) -> Result<Reply> {
    let font = call.core().utilities.font(&call.actor, call.path("font_path"))?;
    Ok(Reply::bytes(StatusCode::OK, font.media, font.bytes).header("cache-control", "private, max-age=31536000, immutable"))
}
