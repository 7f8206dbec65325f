//! Requests from pages of other origins, as configured.

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::reply::Reply;

/// What other origins may do.
#[derive(Debug, Clone, Default)]
pub struct Cors {
    /// Origins whose pages may read answers; `*` for all.
    pub origins: Vec<String>,
    /// Whether they may do so with the user's credentials.
    pub credentials: bool,
    /// Methods that they may use; `*` for all.
    pub methods: Vec<String>,
    /// Headers that they may send; `*` for all.
    pub headers: Vec<String>,
}

const ALL_METHODS: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";
const ALWAYS_ALLOWED: &[&str] = &["accept", "accept-language", "content-language", "content-type"];

impl Cors {
    fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed == "*" || allowed == origin)
    }

    fn any(&self) -> bool {
        self.origins.iter().any(|allowed| allowed == "*")
    }

    /// The answer to a browser that asks before it sends; `None` if this is no such question.
    pub(crate) fn preflight(&self, method: &http::Method, request: &HeaderMap) -> Option<Reply> {
        if method != http::Method::OPTIONS {
            return None;
        }
        let origin = text(request, header::ORIGIN)?;
        let wanted = text(request, header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let mut wrong = Vec::new();
        if !self.allows(origin) {
            wrong.push("origin");
        }
        if !self
            .methods
            .iter()
            .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(wanted))
        {
            wrong.push("method");
        }
        let asked = text(request, header::ACCESS_CONTROL_REQUEST_HEADERS);
        let fine = |name: &str| {
            ALWAYS_ALLOWED.contains(&name)
                || self
                    .headers
                    .iter()
                    .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(name))
        };
        if asked.is_some_and(|names| !names.split(',').all(|name| fine(name.trim().to_ascii_lowercase().as_str()))) {
            wrong.push("headers");
        }
        let reply = if wrong.is_empty() {
            Reply::text(StatusCode::OK, "text/plain; charset=utf-8", "OK")
        } else {
            Reply::text(
                StatusCode::BAD_REQUEST,
                "text/plain; charset=utf-8",
                format!("Disallowed CORS {}", wrong.join(", ")),
            )
        };
        let methods = if self.methods.iter().any(|allowed| allowed == "*") {
            ALL_METHODS.into()
        } else {
            self.methods.join(", ")
        };
        let mut reply = reply
            .header("access-control-allow-methods", &methods)
            .header("access-control-max-age", "600");
        if let Some(names) = asked {
            reply = reply.header("access-control-allow-headers", names);
        }
        Some(self.mark(reply, request))
    }

    /// Adds to an answer what tells the browser who may read it.
    pub(crate) fn mark(&self, mut reply: Reply, request: &HeaderMap) -> Reply {
        let Some(origin) = text(request, header::ORIGIN) else {
            return reply;
        };
        reply = reply.header("access-control-expose-headers", "X-Refreshed-Token");
        if self.credentials {
            reply = reply.header("access-control-allow-credentials", "true");
        }
        if self.any() && !self.credentials {
            return reply.header("access-control-allow-origin", "*");
        }
        if self.allows(origin) {
            reply = reply.header("access-control-allow-origin", origin);
            reply.headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        reply
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors() -> Cors {
        Cors {
            origins: vec!["http://a.example".into()],
            credentials: true,
            methods: vec!["*".into()],
            headers: vec!["*".into()],
        }
    }

    fn request(origin: &'static str) -> HeaderMap {
        HeaderMap::from_iter([
            (header::ORIGIN, HeaderValue::from_static(origin)),
            (header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("PATCH")),
        ])
    }

    #[test]
    fn only_configured_origins_are_let_in() {
        let fine = cors().preflight(&http::Method::OPTIONS, &request("http://a.example")).unwrap();
        assert_eq!(
            (fine.status, &fine.headers["access-control-allow-origin"]),
            (StatusCode::OK, &HeaderValue::from_static("http://a.example"))
        );
        let refused = cors().preflight(&http::Method::OPTIONS, &request("http://b.example")).unwrap();
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.headers.get("access-control-allow-origin").is_none());
        assert!(cors().preflight(&http::Method::GET, &request("http://a.example")).is_none());
        let marked = cors().mark(Reply::empty(StatusCode::OK), &request("http://a.example"));
        assert_eq!(marked.headers["access-control-expose-headers"], "X-Refreshed-Token");
    }
}
