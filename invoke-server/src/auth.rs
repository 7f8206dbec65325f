//! Who may come in: from the credentials of a request to an actor, by the access rule of its route.

use http::{HeaderMap, StatusCode, header};
use invoke_core::{
    authn::{Intent, Presented, Session},
    authz::Actor,
};

use crate::{
    call::Call,
    error::{Fault, Result},
    reply::Reply,
    route::{Access, Route},
    server::Server,
};

/// Name of the cookie that lets `<img>` load pictures.
pub const MEDIA_COOKIE: &str = "invokeai_media_token";

/// The bearer token of a request. Another scheme, or an empty token, counts as none.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The media cookie of a request.
pub fn media_cookie(headers: &HeaderMap) -> Option<&str> {
    let mut pairs = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == MEDIA_COOKIE).then(|| value.trim().trim_matches('"'))
    })
}

/// Lets a request in, or says why not. A bearer token, if there is one, is what counts; the media cookie comes after it.
pub(crate) fn admit(server: &Server, route: &Route, headers: &HeaderMap) -> Result<(Actor, Option<Session>)> {
    let access = route.access;
    if access == Access::Anonymous {
        return Ok((Actor::anonymous(), None));
    }
    let presented = match (bearer(headers), access) {
        (Some(token), _) => Presented::Bearer(token),
        (None, Access::Media) => media_cookie(headers).map_or(Presented::Nothing, Presented::MediaCookie),
        (None, _) => Presented::Nothing,
    };
    let intent = if route.method.writes() { Intent::Write } else { Intent::Read };
    let authenticator = server.core.authenticator();
    let session = if access.is_account() {
        authenticator.account_session(presented, intent)
    } else {
        authenticator.session(presented, intent)
    }?;
    if matches!(access, Access::Admin | Access::AccountAdmin) && !session.actor.is_admin() {
        return Err(Fault::new(StatusCode::FORBIDDEN, "Admin privileges required"));
    }
    Ok((session.actor.clone(), Some(session)))
}

/// Prolongs a sign-in that is still honoured: the answer to a successful write brings a fresh token.
pub(crate) fn prolong(server: &Server, headers: &HeaderMap, reply: Reply) -> Reply {
    let bare = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.strip_prefix("Bearer "));
    let Some(token) = bare.filter(|_| !reply.has("x-refreshed-token")) else {
        return reply;
    };
    match server.core.auth.refresh(&Actor::anonymous(), token) {
        Ok(Some(fresh)) => reply.header("x-refreshed-token", &fresh),
        Ok(None) => reply,
        Err(error) => {
            tracing::warn!("a sign-in could not be prolonged: {error}");
            reply
        }
    }
}

/// The `Set-Cookie` text that lets pages load pictures for so many seconds.
pub(crate) fn media_cookie_of(call: &Call<'_>, token: &str, max_age: i64) -> String {
    let (path, secure) = (cookie_path(call), if is_https(call) { "; Secure" } else { "" });
    format!("{MEDIA_COOKIE}={token}; HttpOnly; Max-Age={max_age}; Path={path}; SameSite=lax{secure}")
}

/// The `Set-Cookie` text that ends that.
pub(crate) fn clear_media_cookie(call: &Call<'_>) -> String {
    let path = cookie_path(call);
    format!("{MEDIA_COOKIE}=\"\"; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path={path}; SameSite=lax")
}

fn cookie_path(call: &Call<'_>) -> String {
    format!("{}/api/v1", call.server.options.base_path)
}

/// Whether the client speaks TLS: to us, or to a trusted proxy that says so.
fn is_https(call: &Call<'_>) -> bool {
    call.server.options.tls.is_some() || (call.by_proxy && call.header("x-forwarded-proto") == Some("https"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn bearers_are_found_whatever_their_case() {
        assert_eq!(bearer(&with(header::AUTHORIZATION, "bEaReR abc")), Some("abc"));
        for none in ["Basic abc", "Bearer", "Bearer ", ""] {
            assert_eq!(bearer(&with(header::AUTHORIZATION, none)), None, "{none:?}");
        }
    }

    #[test]
    fn the_media_cookie_is_found_among_others() {
        assert_eq!(
            media_cookie(&with(header::COOKIE, "a=b; invokeai_media_token=x.y.z; c=d")),
            Some("x.y.z")
        );
        assert_eq!(media_cookie(&with(header::COOKIE, "invokeai_media_token2=x")), None);
    }
}
