//! API keys as bearers: what they open, and what they never do.

use invoke_server::{api::routes, route::Access};
use serde_json::{Value, json};

use crate::{access::path, testkit::TestApp};

fn blur(name: &str) -> Value {
    json!({"batch": {"graph": {"id": "g", "nodes": {"n": {"id": "n", "type": "img_blur", "image": {"image_name": name}, "use_cache": false}}, "edges": []}}})
}

async fn ended(app: &TestApp, bearer: &str, item: &Value) -> Value {
    loop {
        let found = app
            .ask_with(bearer, "GET", &format!("/api/v1/queue/default/i/{item}"), None)
            .await
            .json();
        if ["completed", "failed", "canceled"].contains(&found["status"].as_str().unwrap()) {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_key_opens_what_its_scope_says_until_it_is_revoked() {
    let app = TestApp::with_accounts();
    let ((read, _), (write, id)) = (app.key("alice", "read").await, app.key("alice", "write").await);
    for (key, may_write) in [(&read, false), (&write, true)] {
        assert_eq!(app.ask_with(key, "GET", "/api/v1/boards/?all=true", None).await.status, 200);
        let made = app.ask_with(key, "POST", "/api/v1/boards/?board_name=b", None).await;
        assert_eq!(made.status, if may_write { 201 } else { 403 });
        if !may_write {
            assert_eq!(made.detail(), "This API key may only read");
        }
    }
    let boards = app.ask("alice", "GET", "/api/v1/boards/?all=true").await.json();
    assert_eq!(boards.as_array().unwrap().len(), 1);
    assert_eq!(app.ask("alice", "DELETE", &format!("/api/v1/auth/api-keys/{id}")).await.status, 204);
    assert_eq!(app.ask_with(&write, "GET", "/api/v1/boards/?all=true", None).await.status, 401);
    assert_eq!(app.ask_with(&read, "GET", "/api/v1/boards/?all=true", None).await.status, 200);
}

#[tokio::test]
async fn no_key_makes_an_administrator_on_any_route() {
    let app = TestApp::with_accounts();
    let (key, _) = app.key("root", "write").await;
    let mut asked = 0;
    for route in routes().filter(|route| matches!(route.access, Access::Admin | Access::AccountAdmin)) {
        let path = path(&route);
        let method = route.method.lower().to_uppercase();
        let form = [
            ("authorization", format!("Bearer {key}")),
            ("content-type", "multipart/form-data; boundary=b".into()),
        ];
        let answer = match route.body {
            invoke_server::route::Body::Form(_) => {
                let headers: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
                app.send("anonymous", &method, &path, &headers, b"--b--\r\n").await
            }
            _ => app.ask_with(&key, &method, &path, Some(&json!({}))).await,
        };
        assert_eq!(answer.status, 403, "{method} {path}");
        asked += 1;
    }
    assert!(asked > 50, "{asked}");
}

/// A job acts for its owner while nobody watches: one that a key ordered has the key's rights, also when it is retried.
#[tokio::test]
async fn a_job_that_a_key_ordered_has_a_keys_rights() {
    let app = TestApp::with_accounts();
    let (hers, key) = (app.upload("alice", None).await, app.key("root", "write").await.0);
    let enqueue = "/api/v1/queue/default/enqueue_batch";
    let own = app.ask_with(app.token("root"), "POST", enqueue, Some(&blur(&hers))).await.json()["item_ids"][0].clone();
    let done = ended(&app, app.token("root"), &own).await;
    assert_eq!(done["status"], "completed", "the administrator may: {done}");
    let by_key = app.ask_with(&key, "POST", enqueue, Some(&blur(&hers))).await.json()["item_ids"][0].clone();
    let refused = ended(&app, app.token("root"), &by_key).await;
    assert_eq!(
        (&refused["status"], &refused["error_type"]),
        (&json!("failed"), &json!("PermissionError")),
        "{refused}"
    );
    // Nor does a retry by the administrator raise it, nor one by the key of what the administrator ordered.
    app.ask("root", "PUT", "/api/v1/queue/default/processor/pause").await;
    let own = app.ask_with(app.token("root"), "POST", enqueue, Some(&blur(&hers))).await.json()["item_ids"][0].clone();
    app.ask("root", "PUT", &format!("/api/v1/queue/default/i/{own}/cancel")).await;
    app.ask("root", "PUT", "/api/v1/queue/default/processor/resume").await;
    for (bearer, item) in [(app.token("root"), &by_key), (key.as_str(), &own)] {
        let retried = app
            .ask_with(bearer, "PUT", "/api/v1/queue/default/retry_items_by_id", Some(&json!([item])))
            .await;
        assert_eq!(retried.json()["retried_item_ids"], json!([item]));
        let ids = app.ask("root", "GET", "/api/v1/queue/default/item_ids").await.json();
        let new = ids["item_ids"].as_array().unwrap().iter().max_by_key(|id| id.as_i64()).unwrap();
        assert!(new.as_i64() > item.as_i64());
        let refused = ended(&app, app.token("root"), new).await;
        assert_eq!(refused["status"], "failed", "{refused}");
    }
    let file = json!({"batch": {"graph": {"id": "g", "nodes": {"n": {"id": "n", "type": "prompt_from_file", "file_path": "/etc/hostname"}}, "edges": []}}});
    let item = app.ask_with(&key, "POST", enqueue, Some(&file)).await.json()["item_ids"][0].clone();
    assert_eq!(ended(&app, &key, &item).await["status"], "failed");
}
