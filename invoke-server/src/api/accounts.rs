//! What accounts have beyond InvokeAI's: keys for programs, the record of what was done, another login name, content handed over.

use http::StatusCode;
use invoke_core::{
    authn::Email,
    domain::{
        Error, UserId,
        api_key::KeyScope,
        shape::{Rule, Shape},
        validation::Issue,
    },
    repo::audit::AuditFilter,
    service::auth::{AccountChange, NewApiKey},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    auth::USER,
    shapes::{BOOL, INT, INT_OR_NULL, STR, STR_OR_NULL, def, object, opt, req},
};
use crate::{
    call::Call,
    error::Result,
    reply::Reply,
    route::{Access, Route},
};

const SCOPE: Shape = Shape::Enum(KeyScope::TEXTS);

object!(API_KEY = "ApiKey" {
    req("key_id", STR),
    req("user_id", STR),
    req("name", STR),
    req("scope", SCOPE),
    req("created_at", STR),
    req("expires_at", STR_OR_NULL),
    req("last_used_at", STR_OR_NULL),
});
object!(NEW_API_KEY = "ApiKeyRequest" {
    req("name", STR),
    def("scope", SCOPE, "\"read\""),
    def("expires_in_days", INT_OR_NULL, "null"),
});
object!(CREATED_API_KEY = "ApiKeyCreated" { req("key", STR), req("record", Shape::Object(&API_KEY)) });
object!(AUDIT_ENTRY = "AuditEntry" {
    req("entry_id", INT),
    req("at", STR),
    req("actor_id", STR),
    req("door", STR),
    req("act", STR),
    req("subject_id", STR_OR_NULL),
    req("address", STR_OR_NULL),
    req("detail", STR_OR_NULL),
});
object!(AUDIT_PAGE = "AuditPage" {
    req("limit", INT),
    req("offset", INT),
    req("total", INT),
    req("items", Shape::list(&Shape::Object(&AUDIT_ENTRY))),
});
object!(NEW_EMAIL = "EmailChangeRequest" { req("email", EMAIL) });
object!(TRANSFER = "ContentTransferRequest" { req("to_user_id", STR) });

const KEY_SHAPE: Shape = Shape::Object(&API_KEY);

const fn account(route: Route, name: &'static str, summary: &'static str) -> Route {
    route.doc("authentication", name, summary)
}

pub(super) const ROUTES: &[Route] = &[
    account(
        Route::get("/api/v1/auth/api-keys", Access::AccountUser, list_keys)
            .query(&[def("all", BOOL, "false")])
            .returns(200, Shape::list(&KEY_SHAPE)),
        "list_api_keys",
        "One's own API keys; for administrators, if asked for, everybody's",
    ),
    account(
        Route::post("/api/v1/auth/api-keys", Access::AccountUser, create_key)
            .json(Shape::Object(&NEW_API_KEY))
            .returns(201, Shape::Object(&CREATED_API_KEY)),
        "create_api_key",
        "Makes an API key, which is shown this once",
    ),
    account(
        Route::delete("/api/v1/auth/api-keys/{key_id}", Access::AccountUser, revoke_key).returns_nothing(204),
        "revoke_api_key",
        "Ends an API key at once",
    ),
    account(
        Route::get("/api/v1/auth/audit", Access::AccountAdmin, audit)
            .query(&[
                opt("user_id", STR_OR_NULL),
                opt("act", STR_OR_NULL),
                def("offset", INT, "0"),
                def("limit", INT, "50"),
            ])
            .returns(200, Shape::Object(&AUDIT_PAGE)),
        "list_audit_log",
        "Who signed in and who administered what, newest first",
    ),
    account(
        Route::put("/api/v1/auth/users/{user_id}/email", Access::AccountAdmin, change_email)
            .json(Shape::Object(&NEW_EMAIL))
            .returns(200, Shape::Object(&USER)),
        "change_user_email",
        "Changes an account's login name",
    ),
    account(
        Route::post("/api/v1/auth/users/{user_id}/transfer", Access::AccountAdmin, transfer)
            .json(Shape::Object(&TRANSFER))
            .returns(200, Shape::Any)
            .heavy(),
        "transfer_user_content",
        "Hands everything that an account owns to another",
    ),
];

/// A text that is an address.
pub(super) const EMAIL: Shape = Shape::Ruled(&STR, &ADDRESS);
static ADDRESS: Rule = Rule {
    label: "str",
    check: |text, loc| {
        let error = Email::parse(text.as_str().unwrap_or_default()).err()?;
        Some(Issue::new("value_error", loc, error.to_string(), text.clone()))
    },
};

/// The address of a request, whose shape is [`EMAIL`].
pub(super) fn email(text: &str) -> Result<Email> {
    Email::parse(text).map_err(|error| Error::BadRequest(format!("email: {error}")).into())
}

/// How many things of each kind, as an object.
pub(super) fn counted(counts: &[(&'static str, usize)]) -> Value {
    counts
        .iter()
        .map(|&(kind, n)| (kind.to_owned(), json!(n)))
        .collect::<Map<_, _>>()
        .into()
}

fn list_keys(call: &mut Call<'_>) -> Result<Reply> {
    let auth = &call.core().auth;
    let all = call.query_bool("all").unwrap_or(false);
    let keys = if all {
        auth.list_all_api_keys(&call.actor)
    } else {
        auth.list_api_keys(&call.actor)
    }?;
    Ok(Reply::ok(&keys))
}

#[derive(Deserialize)]
struct NewKey {
    name: String,
    scope: KeyScope,
    expires_in_days: Option<i64>,
}

fn create_key(call: &mut Call<'_>) -> Result<Reply> {
    let body: NewKey = call.body()?;
    // What is no number of days at all is refused as one that is out of range.
    let expires_in_days = body.expires_in_days.map(|days| u32::try_from(days).unwrap_or(0));
    let new = NewApiKey {
        name: body.name,
        scope: body.scope,
        expires_in_days,
    };
    Ok(Reply::created(&call.core().auth.create_api_key(&call.actor, &new)?))
}

fn revoke_key(call: &mut Call<'_>) -> Result<Reply> {
    call.core().auth.revoke_api_key(&call.actor, call.path("key_id"))?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn audit(call: &mut Call<'_>) -> Result<Reply> {
    let filter = AuditFilter {
        user_id: call.query_text("user_id").map(UserId::new),
        act: call.query_text("act").map(Into::into),
        since: None,
    };
    let (offset, limit) = (call.query_int("offset").unwrap_or(0), call.query_int("limit").unwrap_or(50));
    Ok(Reply::ok(&call.core().auth.audit_log(&call.actor, &filter, offset, limit)?))
}

#[derive(Deserialize)]
struct NewEmail {
    email: String,
}

fn change_email(call: &mut Call<'_>) -> Result<Reply> {
    let body: NewEmail = call.body()?;
    let change = AccountChange {
        email: Some(email(&body.email)?),
        ..AccountChange::default()
    };
    let user_id = UserId::new(call.path("user_id"));
    Ok(Reply::ok(&call.core().auth.update_user(&call.actor, None, &user_id, &change)?.user))
}

#[derive(Deserialize)]
struct Transfer {
    to_user_id: String,
}

fn transfer(call: &mut Call<'_>) -> Result<Reply> {
    let body: Transfer = call.body()?;
    let from = UserId::new(call.path("user_id"));
    let moved = call
        .core()
        .auth
        .transfer_content(&call.actor, &from, &UserId::new(body.to_user_id))?;
    Ok(Reply::ok(&counted(&moved.content)))
}

/// What is to become of a deleted account's content, from the query.
pub(super) fn content(call: &Call<'_>) -> Result<invoke_core::service::auth::Content> {
    use invoke_core::service::auth::Content;
    match (call.query_text("content"), call.query_text("to_user_id")) {
        (Some("delete"), _) => Ok(Content::Delete),
        (Some("transfer"), Some(to)) => Ok(Content::TransferTo(UserId::new(to))),
        (Some("transfer"), None) => Err(Error::BadRequest("to_user_id: expected the account that the content goes to".into()).into()),
        _ => Ok(Content::Leave),
    }
}
