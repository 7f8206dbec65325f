//! The description of the interface itself. It has no names in itself, so it does not describe itself.

use http::StatusCode;

use crate::{
    call::Call,
    compress::accepts_gzip,
    error::Result,
    reply::Reply,
    route::{Access, Route},
};

/// A page that lists the operations of the document.
const DOCS_PAGE: &str = include_str!("../../web/docs.html");

pub(super) const ROUTES: &[Route] = &[
    Route::get("/openapi.json", Access::Anonymous, document),
    Route::get("/docs", Access::Anonymous, docs).inline(),
    Route::get("/redoc", Access::Anonymous, docs).inline(),
];

#[expect(clippy::unnecessary_wraps, reason = "a handler is of one type, whether it can fail or not")]
fn document(call: &mut Call<'_>) -> Result<Reply> {
    let document = call.server.document();
    if call.server.options.compression_level > 0 && accepts_gzip(call.headers) {
        let reply = Reply::bytes(StatusCode::OK, "application/json", document.compressed());
        return Ok(reply.header("content-encoding", "gzip").header("vary", "Accept-Encoding"));
    }
    Ok(Reply::bytes(StatusCode::OK, "application/json", document.plain.clone()))
}

#[expect(clippy::unnecessary_wraps, reason = "a handler is of one type, whether it can fail or not")]
fn docs(_: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::text(StatusCode::OK, "text/html; charset=utf-8", DOCS_PAGE))
}
