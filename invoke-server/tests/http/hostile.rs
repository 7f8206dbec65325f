//! Every route there is, given queries and bodies that nobody sends in earnest: each is answered, soon, and never by a fault of the server.

use std::{collections::BTreeMap, time::Duration};

use invoke_server::{
    api::routes,
    route::{Body, Method, Route},
};
use serde_json::{Value, json};

use crate::testkit::TestApp;

/// The longest that an answer may take: a password is hashed in less.
const SOON: Duration = Duration::from_secs(20);
/// What ends the asker's own rights.
const LEFT_OUT: &[&str] = &["/api/v1/auth/logout"];
/// What the original calls a fault of its own, in these words, and its clients know: a picture that does not exist cannot be taken off a board.
const AS_THE_ORIGINAL: &str = "{\"detail\":\"Failed to remove ";

fn document() -> Value {
    serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap()
}

/// Values of every kind where others are expected.
fn values() -> Vec<Value> {
    let nested = (0..100).fold(json!(0), |inner, _| json!([inner]));
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(""),
        json!("\0"),
        json!("../../../etc/passwd"),
        json!("'; DROP TABLE users; --"),
        json!("\u{202e}\u{fffd}{{}}%s%n"),
        json!("a".repeat(100_000)),
        json!([]),
        json!([null, {}, "x"]),
        json!({"": {}}),
        nested,
    ]
}

/// Bodies that are not what their content type says, or hardly.
fn raw() -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        b"{".to_vec(),
        b"nul".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"0".to_vec(),
        b"\"x\"".to_vec(),
        b"{\"a\": 1e999999}".to_vec(),
        b"{\"a\": 1, \"a\": 2}".to_vec(),
        vec![0xff; 64],
        b"[".repeat(200_000),
        b"{\"a\":".repeat(100_000),
    ]
}

const QUERIES: &[&str] = &[
    "",
    "-1",
    "99999999999999999999999",
    "9223372036854775807",
    "-9223372036854775808",
    "1e309",
    "NaN",
    "%00",
    "%ff%fe",
    "..%2F..%2F..%2Fetc%2Fpasswd",
    "%27%20OR%201%3D1%20--",
    "true&true",
    "%5B%5D",
    "%7B%22a%22%3A",
];

fn filled(route: &Route) -> String {
    let mut path = route.path.replace("{queue_id}", "default");
    for name in route.path_parameters() {
        for braced in [format!("{{{name}}}"), format!("{{*{name}}}")] {
            path = path.replace(&braced, "nothing");
        }
    }
    path
}

fn at_hand() -> Vec<(Route, String)> {
    let known = routes().filter(|route| route.method != Method::Head && !LEFT_OUT.contains(&route.path));
    known.map(|route| (route, filled(&route))).collect()
}

async fn send(app: &TestApp, route: &Route, path: &str, media: &str, body: &[u8]) {
    let method = route.method.lower().to_uppercase();
    let headers = [("content-type", media)];
    let asked = app.send("root", &method, path, &headers, body);
    let shown = || String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    let answer = tokio::time::timeout(SOON, asked).await;
    let answer = answer.unwrap_or_else(|_| panic!("{method} {path}: no answer to {}", shown()));
    let told = String::from_utf8_lossy(&answer.body);
    assert!(
        answer.status < 500 || told.starts_with(AS_THE_ORIGINAL),
        "{method} {path}: {} to {}: {told}",
        answer.status,
        shown(),
    );
}

async fn still_answers(app: &TestApp) {
    assert_eq!(app.ask("root", "GET", "/api/v1/auth/me").await.status, 200);
    assert_eq!(app.ask("root", "GET", "/api/v1/queue/default/status").await.status, 200);
}

#[tokio::test]
async fn no_query_is_answered_by_a_fault() {
    let app = TestApp::with_accounts();
    let mut asked = 0;
    for (route, path) in at_hand().into_iter().filter(|(route, _)| route.method == Method::Get) {
        for field in route.query {
            for value in QUERIES {
                send(&app, &route, &format!("{path}?{}={value}", field.name), "application/json", b"").await;
                asked += 1;
            }
        }
        // Numbers that are fine one by one may not be in a sum or a product.
        for number in ["9223372036854775807", "1"] {
            let all = route.query.iter().map(|field| format!("{}={number}", field.name));
            let all: Vec<String> = all.chain([format!("per_page={}", i64::MAX), "callable=true".into()]).collect();
            send(&app, &route, &format!("{path}?{}", all.join("&")), "application/json", b"").await;
        }
    }
    assert!(asked > 500, "{asked}");
    still_answers(&app).await;
}

/// Names of the fields of each operation's body, as the document tells them.
fn fields() -> BTreeMap<(String, String), Vec<String>> {
    let document = document();
    let resolved = |schema: &Value| -> Value {
        let name = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/components/schemas/"));
        name.map_or_else(|| schema.clone(), |name| document["components"]["schemas"][name].clone())
    };
    let mut found = BTreeMap::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let schema = resolved(&operation["requestBody"]["content"]["application/json"]["schema"]);
            if let Some(properties) = schema["properties"].as_object() {
                found.insert((method.clone(), path.clone()), properties.keys().cloned().collect());
            }
        }
    }
    found
}

#[tokio::test]
async fn no_body_is_answered_by_a_fault() {
    let app = TestApp::with_accounts();
    let fields = fields();
    let mut asked = 0;
    for (route, path) in at_hand() {
        for body in raw() {
            for media in ["application/json", "multipart/form-data; boundary=b", "multipart/form-data", ""] {
                if media == "application/json" || !matches!(route.body, Body::None) {
                    send(&app, &route, &path, media, &body).await;
                    asked += 1;
                }
            }
        }
        let named = fields.get(&(route.method.lower().to_owned(), route.path.to_owned()));
        for value in values() {
            let one = named.into_iter().flatten().map(|name| json!({name.as_str(): value}));
            let all: serde_json::Map<String, Value> = named.into_iter().flatten().map(|name| (name.clone(), value.clone())).collect();
            for body in one.chain([Value::Object(all)]) {
                send(&app, &route, &path, "application/json", body.to_string().as_bytes()).await;
                asked += 1;
            }
        }
    }
    assert!(asked > 5_000, "{asked}");
    still_answers(&app).await;
}
