//! Who may come in, for every route there is.

use invoke_server::{
    api::routes,
    route::{Access, Body, Method, Route},
};
use serde_json::json;

use crate::testkit::{Answer, TestApp};

/// A path of a route: parameters filled in with something that exists nowhere.
pub(crate) fn path(route: &Route) -> String {
    let mut path = route.path.to_owned();
    for name in route.path_parameters() {
        for braced in [format!("{{{name}}}"), format!("{{*{name}}}")] {
            path = path.replace(&braced, "4711");
        }
    }
    path
}

pub(crate) async fn ask(app: &TestApp, who: &str, route: &Route) -> Answer {
    ask_at(app, who, route, &path(route)).await
}

/// Asks a route for something, with a body that is well-formed and says nothing.
pub(crate) async fn ask_at(app: &TestApp, who: &str, route: &Route, path: &str) -> Answer {
    let method = route.method.lower().to_uppercase();
    match route.body {
        // An empty form: its sender is admitted before it is read.
        Body::Form(_) => {
            app.send(
                who,
                &method,
                path,
                &[("content-type", "multipart/form-data; boundary=b")],
                b"--b--\r\n",
            )
            .await
        }
        // Well-formed, so that it is not refused before its sender is.
        Body::Json(_) | Body::Fields(_) => app.send(who, &method, path, &[("content-type", "application/json")], b"{}").await,
        Body::None => app.ask(who, &method, path).await,
    }
}

fn detail(answer: &Answer) -> String {
    if answer.header("content-type") == Some("application/json") {
        answer.detail()
    } else {
        String::new()
    }
}

#[tokio::test]
async fn nobody_gets_past_a_route_that_asks_who_they_are() {
    let app = TestApp::with_accounts();
    for route in routes().filter(|route| route.method != Method::Head) {
        let answer = ask(&app, "anonymous", &route).await;
        let what = format!(
            "{} {}: {} {}",
            route.method.lower(),
            route.path,
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        let (text, challenge) = match route.access {
            Access::Anonymous => {
                assert!(detail(&answer) != "Authentication required", "{what}");
                continue;
            }
            Access::AccountUser | Access::AccountAdmin => ("Missing authentication credentials", Some("Bearer")),
            Access::User | Access::Admin | Access::Media => ("Authentication required", None),
        };
        assert_eq!(
            (answer.status, detail(&answer).as_str(), answer.header("www-authenticate")),
            (401, text, challenge),
            "{what}"
        );
    }
}

#[tokio::test]
async fn users_do_not_get_past_the_routes_of_administrators() {
    let app = TestApp::with_accounts();
    for route in routes().filter(|route| matches!(route.access, Access::Admin | Access::AccountAdmin)) {
        let answer = ask(&app, "alice", &route).await;
        assert_eq!(
            (answer.status, detail(&answer).as_str()),
            (403, "Admin privileges required"),
            "{} {}",
            route.method.lower(),
            route.path
        );
    }
}

#[tokio::test]
async fn without_accounts_everybody_is_the_administrator_except_of_accounts() {
    let app = TestApp::single_user();
    for route in routes().filter(|route| route.method == Method::Get) {
        let answer = ask(&app, "anonymous", &route).await;
        if route.access.is_account() {
            assert_eq!(answer.status, 401, "{}", route.path);
        } else {
            assert!(![401, 403].contains(&answer.status), "{}: {}", route.path, answer.status);
        }
    }
}

/// A browser sends a cookie that is `Secure` over TLS alone. Whether it speaks TLS is the server's to know, or its proxy's to say.
#[tokio::test]
async fn the_media_cookie_is_secure_where_the_browser_speaks_tls() {
    let app = TestApp::with_accounts_and(|settings| settings.forwarded_allow_ips = "10.0.0.0/8".into());
    let (proxy, stranger) = ([10, 0, 0, 1].into(), [192, 0, 2, 1].into());
    for (peer, said, secure) in [
        (proxy, Some("https"), true),
        (proxy, Some("http"), false),
        (proxy, None, false),
        (stranger, Some("https"), false),
    ] {
        let said: Vec<(&str, &str)> = said.map(|said| ("x-forwarded-proto", said)).into_iter().collect();
        let answer = app
            .send_from(Some(peer), "alice", ("POST", "/api/v1/auth/media-cookie"), &said, b"")
            .await;
        let cookie = answer.header("set-cookie").unwrap();
        assert_eq!(cookie.ends_with("; Secure"), secure, "{peer} {said:?}: {cookie}");
    }
}

#[tokio::test]
async fn the_media_cookie_opens_pictures_and_nothing_else() {
    let app = TestApp::with_accounts();
    let cookie = app
        .ask("alice", "POST", "/api/v1/auth/media-cookie")
        .await
        .header("set-cookie")
        .unwrap()
        .to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("Path=/api/v1") && cookie.contains("SameSite=lax"),
        "{cookie}"
    );
    let pair = cookie.split(';').next().unwrap();
    for route in routes().filter(|route| route.method == Method::Get && route.access != Access::Anonymous) {
        let answer = app.send("anonymous", "GET", &path(&route), &[("cookie", pair)], b"").await;
        assert_eq!(
            answer.status == 401,
            route.access != Access::Media,
            "{}: {}",
            route.path,
            answer.status
        );
    }
    let refused = app
        .send(
            "anonymous",
            "GET",
            "/api/v1/images/i/x.png/full",
            &[("cookie", pair), ("authorization", "Bearer junk")],
            b"",
        )
        .await;
    assert!(refused.status != 200);
}

/// The same list feeds all of them, so what one has, the others have.
#[tokio::test]
async fn every_named_route_is_in_the_document_and_has_a_group() {
    let app = TestApp::with_accounts();
    let document = app.ask("anonymous", "GET", "/openapi.json").await.json();
    for route in routes() {
        let shown = &document["paths"][route.path.replace("{*", "{")][route.method.lower()];
        if route.name.is_empty() {
            assert!(shown.is_null() && !route.path.starts_with("/api"), "{}", route.path);
            continue;
        }
        assert_eq!(shown["operationId"], route.name, "{}", route.path);
        assert_eq!(shown["security"].is_null(), route.access == Access::Anonymous, "{}", route.path);
        assert!(
            !route.tag.is_empty() && !route.summary.is_empty() && route.answers[0].is_some(),
            "{}",
            route.path
        );
    }
}

/// Who may use which route, for people to read and to see every change of: a route that falls from administrators to users is no line of code that
/// nobody looks at.
#[tokio::test]
async fn the_written_table_of_access_is_the_one_in_force() {
    let mut lines: Vec<String> = routes()
        .map(|route| format!("{:6} {:80} {:?}", route.method.lower().to_uppercase(), route.path, route.access))
        .collect();
    lines.sort_unstable_by(|a, b| a[7..].cmp(&b[7..]));
    let table = format!("{}\n", lines.join("\n"));
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let written = std::fs::read_to_string(repository.join("tests/http/access.txt")).unwrap_or_default();
    if table != written {
        std::fs::write(repository.join("../target/access.txt"), &table).unwrap();
        panic!("who may use which route has changed: if it should have, copy target/access.txt to invoke-server/tests/http/access.txt");
    }
}

/// What pages draw the badge from, the own page (`tests/browser/page_users.test.mjs`) and others: it is told of every account, and follows a
/// change at once.
#[tokio::test]
async fn g74_who_is_an_administrator_is_told_for_the_badge() {
    let app = TestApp::with_accounts();
    let me = |who: &'static str| {
        let app = &app;
        async move { app.ask(who, "GET", "/api/v1/auth/me").await.json() }
    };
    assert_eq!(
        (&me("root").await["is_admin"], &me("alice").await["is_admin"]),
        (&json!(true), &json!(false))
    );
    let users = app.ask("root", "GET", "/api/v1/auth/users").await.json();
    let marked: Vec<&str> = users
        .as_array()
        .unwrap()
        .iter()
        .filter(|user| user["is_admin"] == json!(true))
        .filter_map(|user| user["email"].as_str())
        .collect();
    assert_eq!(marked, ["root@example.com"], "{users}");
    let alice = format!("/api/v1/auth/users/{}", me("alice").await["user_id"].as_str().unwrap());
    for is_admin in [true, false] {
        let changed = app.ask_json("root", "PATCH", &alice, &json!({"is_admin": is_admin})).await;
        assert_eq!(changed.status, 200, "{}", changed.json());
        assert_eq!(me("alice").await["is_admin"], json!(is_admin));
    }
}

/// What the interface is can be read, and every change of it seen, without a server: `docs/openapi.json`.
#[tokio::test]
async fn the_committed_document_is_the_one_that_is_served() {
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let app = TestApp::with_accounts();
    let served = app.ask("anonymous", "GET", "/openapi.json").await.json();
    let committed = std::fs::read(repository.join("docs/openapi.json")).unwrap_or_default();
    if serde_json::from_slice::<serde_json::Value>(&committed).ok().as_ref() != Some(&served) {
        let new = repository.join("target/openapi.json");
        std::fs::write(&new, format!("{served:#}\n")).unwrap();
        panic!("the interface has changed: if it should have, copy target/openapi.json to docs/openapi.json");
    }
}
