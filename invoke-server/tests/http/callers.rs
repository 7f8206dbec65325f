//! Every route there is, as every kind of caller: with a token that no longer counts, deactivated, as an administrator; and every route to
//! something that somebody owns, as its owner, as another user and as an administrator.

use std::collections::BTreeMap;

use invoke_server::{
    api::routes,
    route::{Access, Method, Route},
};
use serde_json::{Value, json};

use crate::{
    access::{ask, ask_at},
    testkit::{TestApp, password},
};

fn named(route: &Route) -> String {
    format!("{} {}", route.method.lower(), route.path)
}

async fn nothing_is_open_to(app: &TestApp, who: &str) {
    let mut asked = 0;
    for route in routes().filter(|route| route.access != Access::Anonymous) {
        let answer = ask(app, who, &route).await;
        assert_eq!(answer.status, 401, "{}", named(&route));
        asked += 1;
    }
    assert!(asked > 150, "{asked}");
}

#[tokio::test]
async fn a_token_of_before_the_password_changed_opens_nothing() {
    let app = TestApp::with_accounts();
    let change = json!({"current_password": password("alice"), "new_password": "An0ther-one"});
    assert_eq!(app.ask_json("alice", "PATCH", "/api/v1/auth/me", &change).await.status, 200);
    nothing_is_open_to(&app, "alice").await;
}

#[tokio::test]
async fn a_deactivated_user_opens_nothing() {
    let app = TestApp::with_accounts();
    let bob = format!("/api/v1/auth/users/{}", app.user_id("bob").await);
    assert_eq!(app.ask_json("root", "PATCH", &bob, &json!({"is_active": false})).await.status, 200);
    nothing_is_open_to(&app, "bob").await;
}

#[tokio::test]
async fn an_administrator_gets_past_every_route() {
    let app = TestApp::with_accounts();
    // What ends the administrator's own session comes last.
    let (last, first): (Vec<Route>, Vec<Route>) = routes().partition(|route| route.path.ends_with("/auth/logout"));
    for route in first.into_iter().chain(last) {
        let answer = ask(&app, "root", &route).await;
        assert!(![401, 403].contains(&answer.status), "{}: {}", named(&route), answer.status);
    }
}

/// One thing of each kind that Alice owns and nobody else may see, by the parameter that names it in a path.
async fn things(app: &TestApp) -> BTreeMap<&'static str, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let board = app.board("alice", "private").await;
    let image = app.upload("alice", Some(&board)).await;
    let document = json!({
        "name": "heron", "author": "", "description": "", "version": "", "contact": "", "tags": "", "notes": "", "exposedFields": [],
        "meta": {"version": "3.0.0", "category": "user"}, "nodes": [], "edges": [],
    });
    let workflow = app
        .ask_json("alice", "POST", "/api/v1/workflows/", &json!({"workflow": document}))
        .await
        .json();
    let form = |data: &Value| format!("--b\r\ncontent-disposition: form-data; name=\"data\"\r\n\r\n{data}\r\n--b--\r\n");
    let preset = json!({"name": "heron", "positive_prompt": "a {prompt}", "negative_prompt": "", "type": "user", "is_public": false});
    let multipart = [("content-type", "multipart/form-data; boundary=b")];
    let preset = app
        .send("alice", "POST", "/api/v1/style_presets/", &multipart, form(&preset).as_bytes())
        .await
        .json();
    let prompt = app
        .ask_json(
            "alice",
            "POST",
            "/api/v1/system_prompts/",
            &json!({"name": "heron", "content": "heron"}),
        )
        .await
        .json();
    let key = app
        .ask_json("alice", "POST", "/api/v1/auth/api-keys", &json!({"name": "heron", "scope": "read"}))
        .await
        .json();
    app.server.core.queue.pause(&invoke_core::authz::Actor::local_operator()).unwrap();
    let graph = json!({"nodes": {"n": {"id": "n", "type": "string", "value": "heron"}}, "edges": []});
    let batch = json!({"batch": {"graph": graph, "runs": 1, "destination": "heron"}});
    let queued = app
        .ask_json("alice", "POST", "/api/v1/queue/default/enqueue_batch", &batch)
        .await
        .json();
    BTreeMap::from([
        ("board_id", board),
        ("image_name", image),
        ("workflow_id", text(&workflow["workflow_id"])),
        ("style_preset_id", text(&preset["id"])),
        ("system_prompt_id", text(&prompt["id"])),
        ("key_id", text(&key["record"]["key_id"])),
        ("item_id", queued["item_ids"][0].to_string()),
    ])
}

/// Routes that lead to something owned, with the thing in their paths.
fn leading_to(things: &BTreeMap<&'static str, String>) -> Vec<(Route, String)> {
    let filled = |route: Route| {
        let names = route.path_parameters();
        let owned = names.iter().any(|name| things.contains_key(*name)) && !route.path.contains("/videos/");
        let mut path = route.path.replace("{queue_id}", "default");
        for (name, value) in things {
            path = path.replace(&format!("{{{name}}}"), value);
        }
        (owned && !path.contains('{')).then_some((route, path))
    };
    routes().filter_map(filled).collect()
}

#[tokio::test]
async fn what_somebody_owns_is_theirs_on_every_route_to_it() {
    let app = TestApp::with_accounts();
    let things = things(&app).await;
    let leading = leading_to(&things);
    for name in things.keys() {
        let one = leading.iter().any(|(route, _)| route.path_parameters().contains(name));
        assert!(one, "no route to a {name}");
    }
    let alice = app.user_id("alice").await;
    let seen = async |who: &str| {
        let mut answers = BTreeMap::new();
        for (route, path) in leading.iter().filter(|(route, _)| route.method == Method::Get) {
            let answer = app.ask(who, "GET", path).await;
            let mut told = serde_json::from_slice(&answer.body).unwrap_or_else(|_| json!(answer.body));
            if let Some(session) = told.get_mut("session") {
                // That of an item which waits is laid out, with identifiers of its own, each time it is shown.
                *session = session["graph"].take();
            }
            answers.insert(path.clone(), (answer.status, told));
            assert!(![401, 403].contains(&answers[path].0), "{who}: {}", named(route));
        }
        answers
    };
    let before = seen("alice").await;
    seen("root").await;
    for (route, path) in &leading {
        let answer = ask_at(&app, "bob", route, path).await;
        let what = format!("{}: {} {}", named(route), answer.status, String::from_utf8_lossy(&answer.body));
        if path == &format!("/api/v1/queue/default/i/{}", things["item_id"]) && route.method == Method::Get {
            // That it waits is everybody's to know, what is in it is not.
            let told = String::from_utf8_lossy(&answer.body);
            assert!(!told.contains(&alice) && !told.contains("heron"), "{what}");
        } else {
            assert!([403, 404, 422].contains(&answer.status), "{what}");
        }
    }
    // Well-formed changes as well, where an empty one is refused for its form.
    let document = json!({
        "id": things["workflow_id"], "name": "taken", "author": "", "description": "", "version": "", "contact": "", "tags": "", "notes": "",
        "exposedFields": [], "meta": {"version": "3.0.0", "category": "user"}, "nodes": [], "edges": [],
    });
    let workflow = format!("/api/v1/workflows/i/{}", things["workflow_id"]);
    let changed = app.ask_json("bob", "PATCH", &workflow, &json!({"workflow": document})).await;
    let shared = app
        .ask_json("bob", "PATCH", &format!("{workflow}/is_public"), &json!({"is_public": true}))
        .await;
    let multipart = [("content-type", "multipart/form-data; boundary=b")];
    let mut picture =
        b"--b\r\ncontent-disposition: form-data; name=\"image\"; filename=\"a.png\"\r\ncontent-type: image/png\r\n\r\n".to_vec();
    picture.extend_from_slice(crate::testkit::PICTURE);
    picture.extend_from_slice(b"\r\n--b--\r\n");
    let thumbnail = app.send("bob", "PUT", &format!("{workflow}/thumbnail"), &multipart, &picture).await;
    let data = json!({"name": "taken", "positive_prompt": "", "negative_prompt": "", "type": "user", "is_public": true});
    let form = format!("--b\r\ncontent-disposition: form-data; name=\"data\"\r\n\r\n{data}\r\n--b--\r\n");
    let preset = format!("/api/v1/style_presets/i/{}", things["style_preset_id"]);
    let preset = app.send("bob", "PATCH", &preset, &multipart, form.as_bytes()).await;
    for answer in [&changed, &shared, &thumbnail, &preset] {
        assert!(
            [403, 404].contains(&answer.status),
            "{} {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
    }
    assert_eq!(seen("alice").await, before, "what Bob asked for changed nothing");
}
