//! Signing in and out, one's own account, and everybody's for administrators.

use invoke_core::{
    authn::Claims,
    domain::{UserId, shape::Shape},
    service::auth::{AccountChange, Credentials, NewAccount, ProfileChange, Setup, Updated},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    accounts::{EMAIL, email},
    shapes::{BOOL, BOOL_OR_NULL, INT, STR, STR_OR_NULL, def, object, opt, req},
};
use crate::{
    auth::{clear_media_cookie, media_cookie_of},
    call::Call,
    error::{Fault, Result},
    reply::Reply,
    route::{Access, Route},
};

object!(pub(super) USER = "UserDTO" {
    req("user_id", STR),
    req("email", STR),
    opt("display_name", STR_OR_NULL),
    def("is_admin", BOOL, "false"),
    def("is_active", BOOL, "true"),
    req("created_at", Shape::DateTime),
    req("updated_at", Shape::DateTime),
    opt("last_login_at", Shape::Nullable(&Shape::DateTime)),
    def("token_epoch", INT, "0"),
});
object!(SETUP_STATUS = "SetupStatusResponse" {
    req("setup_required", BOOL),
    req("multiuser_enabled", BOOL),
    req("strict_password_checking", BOOL),
    opt("admin_email", STR_OR_NULL),
});
object!(LOGIN = "LoginRequest" { req("email", EMAIL), req("password", STR), def("remember_me", BOOL, "false") });
object!(LOGGED_IN = "LoginResponse" { req("token", STR), req("user", Shape::Object(&USER)), req("expires_in", INT) });
object!(LOGGED_OUT = "LogoutResponse" { req("success", BOOL) });
object!(COOKIE_SET = "MediaCookieResponse" { req("success", BOOL) });
object!(SETUP = "SetupRequest" { req("email", EMAIL), def("display_name", STR_OR_NULL, "null"), req("password", STR) });
object!(SET_UP = "SetupResponse" { req("success", BOOL), req("user", Shape::Object(&USER)) });
object!(PASSWORD = "GeneratePasswordResponse" { req("password", STR) });
object!(PROFILE = "UserProfileUpdateRequest" {
    opt("display_name", STR_OR_NULL),
    opt("current_password", STR_OR_NULL),
    opt("new_password", STR_OR_NULL),
});
object!(NEW_USER = "AdminUserCreateRequest" {
    req("email", EMAIL),
    def("display_name", STR_OR_NULL, "null"),
    req("password", STR),
    def("is_admin", BOOL, "false"),
});
object!(USER_CHANGES = "AdminUserUpdateRequest" {
    opt("display_name", STR_OR_NULL),
    opt("password", STR_OR_NULL),
    opt("is_admin", BOOL_OR_NULL),
    opt("is_active", BOOL_OR_NULL),
});

const USER_SHAPE: Shape = Shape::Object(&USER);
const USERS: Shape = Shape::list(&USER_SHAPE);

#[expect(clippy::large_types_passed_by_value, reason = "done once, by the compiler")]
const fn account(route: Route, name: &'static str, summary: &'static str) -> Route {
    route.doc("authentication", name, summary)
}

pub(super) const ROUTES: &[Route] = &[
    account(
        Route::get("/api/v1/auth/status", Access::Anonymous, status).returns(200, Shape::Object(&SETUP_STATUS)),
        "get_setup_status_api_v1_auth_status_get",
        "Whether there are accounts, and whether the first is yet to be made",
    ),
    account(
        Route::post("/api/v1/auth/login", Access::Anonymous, login)
            .json(Shape::Object(&LOGIN))
            .returns(200, Shape::Object(&LOGGED_IN))
            .hashing()
            .without_refresh(),
        "login_api_v1_auth_login_post",
        "Begins a session",
    ),
    account(
        Route::post("/api/v1/auth/logout", Access::AccountUser, logout)
            .returns(200, Shape::Object(&LOGGED_OUT))
            .without_refresh(),
        "logout_api_v1_auth_logout_post",
        "Ends a session",
    ),
    account(
        Route::post("/api/v1/auth/media-cookie", Access::User, media_cookie)
            .returns(200, Shape::Object(&COOKIE_SET))
            .without_refresh(),
        "refresh_media_cookie_api_v1_auth_media_cookie_post",
        "Sets the cookie by which pages load pictures",
    ),
    account(
        Route::get("/api/v1/auth/me", Access::AccountUser, me).returns(200, USER_SHAPE),
        "get_current_user_info_api_v1_auth_me_get",
        "One's own account",
    ),
    account(
        Route::patch("/api/v1/auth/me", Access::AccountUser, update_me)
            .json(Shape::Object(&PROFILE))
            .returns(200, USER_SHAPE)
            .hashing(),
        "update_current_user_api_v1_auth_me_patch",
        "Changes one's own name or password",
    ),
    account(
        Route::post("/api/v1/auth/setup", Access::Anonymous, setup)
            .json(Shape::Object(&SETUP))
            .returns(200, Shape::Object(&SET_UP))
            .hashing(),
        "setup_admin_api_v1_auth_setup_post",
        "Makes the first administrator, once",
    ),
    account(
        Route::get("/api/v1/auth/generate-password", Access::AccountUser, generate_password).returns(200, Shape::Object(&PASSWORD)),
        "generate_password_api_v1_auth_generate_password_get",
        "A password made up by chance",
    ),
    account(
        Route::get("/api/v1/auth/users", Access::AccountAdmin, list_users).returns(200, USERS),
        "list_users_api_v1_auth_users_get",
        "All accounts",
    ),
    account(
        Route::post("/api/v1/auth/users", Access::AccountAdmin, create_user)
            .json(Shape::Object(&NEW_USER))
            .returns(201, USER_SHAPE)
            .hashing(),
        "create_user_api_v1_auth_users_post",
        "Makes an account",
    ),
    account(
        Route::get("/api/v1/auth/users/{user_id}", Access::AccountAdmin, get_user).returns(200, USER_SHAPE),
        "get_user_api_v1_auth_users__user_id__get",
        "One account",
    ),
    account(
        Route::patch("/api/v1/auth/users/{user_id}", Access::AccountAdmin, update_user)
            .json(Shape::Object(&USER_CHANGES))
            .returns(200, USER_SHAPE)
            .hashing(),
        "update_user_api_v1_auth_users__user_id__patch",
        "Changes an account",
    ),
    account(
        Route::delete("/api/v1/auth/users/{user_id}", Access::AccountAdmin, delete_user)
            .query(&[
                def("content", Shape::Enum(&["leave", "transfer", "delete"]), "\"leave\""),
                opt("to_user_id", STR_OR_NULL),
            ])
            .returns_nothing(204)
            .heavy(),
        "delete_user_api_v1_auth_users__user_id__delete",
        "Removes an account; what it owns stays unless asked otherwise",
    ),
];

fn claims<'c>(call: &'c Call<'_>) -> Option<&'c Claims> {
    call.session.as_ref().and_then(|session| session.claims.as_ref())
}

fn status(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().auth.status(&call.actor)?))
}

#[derive(Deserialize)]
struct Login {
    email: String,
    password: String,
    remember_me: bool,
}

fn login(call: &mut Call<'_>) -> Result<Reply> {
    let body: Login = call.body()?;
    let credentials = Credentials {
        email: email(&body.email)?,
        password: body.password,
        remember_me: body.remember_me,
    };
    let session = call
        .core()
        .auth
        .login(&call.actor, &credentials, call.peer)
        .map_err(|error| Fault::from(error).with_challenge())?;
    let cookie = media_cookie_of(call, &session.media_token, session.expires_in);
    Ok(Reply::ok(&session).cookie(&cookie))
}

fn logout(call: &mut Call<'_>) -> Result<Reply> {
    call.core().auth.logout(&call.actor)?;
    Ok(Reply::ok(&json!({"success": true})).cookie(&clear_media_cookie(call)))
}

fn media_cookie(call: &mut Call<'_>) -> Result<Reply> {
    let token = call.core().auth.media_token(&call.actor, claims(call))?;
    let reply = Reply::ok(&json!({"success": true}));
    Ok(match token {
        Some(media) => reply.cookie(&media_cookie_of(call, &media.token, media.max_age)),
        None => reply,
    })
}

fn me(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().auth.me(&call.actor)?))
}

/// A changed account, with the tokens that replace the caller's if theirs are dead now.
fn updated(call: &Call<'_>, updated: &Updated) -> Reply {
    let reply = Reply::ok(&updated.user);
    match &updated.replacement {
        Some(fresh) => {
            reply
                .header("x-refreshed-token", &fresh.api.token)
                .cookie(&media_cookie_of(call, &fresh.media.token, fresh.media.expires_in))
        }
        None => reply,
    }
}

#[derive(Deserialize)]
struct Profile {
    display_name: Option<String>,
    current_password: Option<String>,
    new_password: Option<String>,
}

fn update_me(call: &mut Call<'_>) -> Result<Reply> {
    let body: Profile = call.body()?;
    let change = ProfileChange {
        display_name: body.display_name,
        current_password: body.current_password,
        new_password: body.new_password,
    };
    let done = call.core().auth.update_me(&call.actor, claims(call), &change)?;
    Ok(updated(call, &done))
}

#[derive(Deserialize)]
struct NewUser {
    email: String,
    display_name: Option<String>,
    password: String,
    #[serde(default)]
    is_admin: bool,
}

fn setup(call: &mut Call<'_>) -> Result<Reply> {
    let body: NewUser = call.body()?;
    let setup = Setup {
        email: email(&body.email)?,
        display_name: body.display_name,
        password: body.password,
    };
    let user = call.core().auth.setup(&call.actor, &setup)?;
    Ok(Reply::ok(&json!({"success": true, "user": user})))
}

fn generate_password(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&json!({"password": call.core().auth.generate_password(&call.actor)?})))
}

fn list_users(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().auth.list_users(&call.actor)?))
}

fn create_user(call: &mut Call<'_>) -> Result<Reply> {
    let body: NewUser = call.body()?;
    let account = NewAccount {
        email: email(&body.email)?,
        display_name: body.display_name,
        password: body.password,
        is_admin: body.is_admin,
    };
    Ok(Reply::created(&call.core().auth.create_user(&call.actor, &account)?))
}

fn user_id(call: &Call<'_>) -> UserId {
    UserId::new(call.path("user_id"))
}

fn get_user(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().auth.get_user(&call.actor, &user_id(call))?))
}

#[derive(Deserialize)]
struct UserChanges {
    display_name: Option<String>,
    password: Option<String>,
    is_admin: Option<bool>,
    is_active: Option<bool>,
}

fn update_user(call: &mut Call<'_>) -> Result<Reply> {
    let body: UserChanges = call.body()?;
    let change = AccountChange {
        display_name: body.display_name,
        password: body.password,
        is_admin: body.is_admin,
        is_active: body.is_active,
        ..AccountChange::default()
    };
    let done = call.core().auth.update_user(&call.actor, claims(call), &user_id(call), &change)?;
    Ok(updated(call, &done))
}

fn delete_user(call: &mut Call<'_>) -> Result<Reply> {
    call.core()
        .auth
        .delete_user(&call.actor, &user_id(call), &super::accounts::content(call)?)?;
    // The original names a type for the content that there is not.
    Ok(Reply::no_json())
}
