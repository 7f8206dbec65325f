//! What clients keep of themselves: texts by key. The queue in the path plays no part.

use invoke_core::domain::shape::{Field, Shape};

use super::shapes::{STR, STR_OR_NULL, STRINGS, req};
use crate::{
    call::Call,
    error::Result,
    reply::Reply,
    route::{Access, Route},
};

const KEY: &[Field] = &[req("key", STR)];

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/client_state/{queue_id}/get_by_key", Access::User, get)
        .doc("client_state", "get_client_state_by_key", "The text under a key")
        .query(KEY)
        .returns(200, STR_OR_NULL)
        .fault("Error getting client state"),
    Route::post("/api/v1/client_state/{queue_id}/set_by_key", Access::User, set)
        .doc("client_state", "set_client_state", "Sets the text under a key")
        .query(KEY)
        .json(STR)
        .returns(200, STR)
        .fault("Error setting client state"),
    Route::get("/api/v1/client_state/{queue_id}/get_keys_by_prefix", Access::User, keys)
        .doc(
            "client_state",
            "get_client_state_keys_by_prefix",
            "Keys that begin so, the last changed first",
        )
        .query(&[req("prefix", STR)])
        .returns(200, STRINGS)
        .fault("Error getting client state keys"),
    Route::post("/api/v1/client_state/{queue_id}/delete_by_key", Access::User, delete)
        .doc("client_state", "delete_client_state_by_key", "Deletes the text under a key")
        .query(KEY)
        .returns(200, Shape::Any)
        .returns_nothing(204)
        .fault("Error deleting client state key"),
    Route::post("/api/v1/client_state/{queue_id}/delete", Access::User, delete_all)
        .doc("client_state", "delete_client_state", "Deletes all one's texts")
        .returns(200, Shape::Any)
        .returns_nothing(204)
        .fault("Error deleting client state"),
];

/// A required text of the query.
fn text<'c>(call: &'c Call<'_>, name: &str) -> &'c str {
    call.query_text(name).unwrap_or_default()
}

fn get(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().client_state.get(&call.actor, text(call, "key"))?))
}

fn set(call: &mut Call<'_>) -> Result<Reply> {
    let value: String = call.body()?;
    call.core().client_state.set(&call.actor, text(call, "key"), &value)?;
    Ok(Reply::ok(&value))
}

fn keys(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().client_state.keys(&call.actor, text(call, "prefix"))?))
}

fn delete(call: &mut Call<'_>) -> Result<Reply> {
    call.core().client_state.delete(&call.actor, Some(text(call, "key")))?;
    Ok(Reply::ok(&()))
}

fn delete_all(call: &mut Call<'_>) -> Result<Reply> {
    call.core().client_state.delete(&call.actor, None)?;
    Ok(Reply::ok(&()))
}
