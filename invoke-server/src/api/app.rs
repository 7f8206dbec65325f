//! The server itself.

use invoke_core::domain::shape::{Extra, Field, ObjectShape, Shape};
use serde_json::json;

use crate::{
    call::Call,
    error::Result,
    reply::Reply,
    route::{Access, Route},
};

/// The version of InvokeAI whose contract is spoken; its web client compares it.
const CONTRACT_VERSION: &str = "6.14.2";

static APP_VERSION: ObjectShape = ObjectShape { name: "AppVersion", fields: &[Field::required("version", Shape::STR)], extra: Extra::Ignore };

pub(super) const ROUTES: &[Route] = &[Route::get("/api/v1/app/version", Access::Anonymous, version)
    .doc("app", "app_version", "Gets the version of the contract")
    .returns(200, Shape::Object(&APP_VERSION))
    .inline()];

fn version(_: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&json!({ "version": CONTRACT_VERSION })))
}
