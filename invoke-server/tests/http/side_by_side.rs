//! Two servers in one process know nothing of each other.

use std::time::Duration;

use serde_json::json;

use crate::testkit::TestApp;

/// The names of the caller's pictures.
async fn names(app: &TestApp, who: &str) -> Vec<String> {
    let told = app.ask(who, "GET", "/api/v1/images/names").await.json();
    serde_json::from_value(told["image_names"].clone()).unwrap()
}

/// The sum that the server's engine computes.
async fn sum(app: &TestApp, who: &str, a: i64) -> i64 {
    let nodes = json!({"add": {"id": "add", "type": "add", "a": a, "b": 1}});
    let batch = json!({"batch": {"graph": {"id": "g", "nodes": nodes, "edges": []}}});
    let made = app
        .ask_json(who, "POST", "/api/v1/queue/default/enqueue_batch", &batch)
        .await
        .json();
    let path = format!("/api/v1/queue/default/i/{}", made["item_ids"][0]);
    let computed = async {
        loop {
            let item = app.ask(who, "GET", &path).await.json();
            match item["status"].as_str().unwrap() {
                "completed" => {
                    let results = item["session"]["results"].as_object().unwrap();
                    return results.values().next().unwrap()["value"].as_i64().unwrap();
                }
                "failed" | "canceled" => panic!("{item}"),
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), computed)
        .await
        .expect("the server computes")
}

#[tokio::test]
async fn two_servers_in_one_process_do_not_meet() {
    let (one, other) = (TestApp::on_disk(), TestApp::on_disk());
    let ones = one.upload("alice", None).await;
    let others = other.upload("alice", None).await;
    assert_eq!(names(&one, "alice").await, [ones]);
    assert_eq!(names(&other, "alice").await, std::slice::from_ref(&others));
    assert_eq!(one.ask("root", "GET", &format!("/api/v1/images/i/{others}")).await.status, 404);

    // A token is good for the server that gave it.
    let me = "/api/v1/auth/me";
    assert_eq!(one.ask_with(one.token("alice"), "GET", me, None).await.status, 200);
    assert_eq!(other.ask_with(one.token("alice"), "GET", me, None).await.status, 401);

    // Both compute at the same time, each its own.
    let (of_one, of_other) = tokio::join!(sum(&one, "alice", 1), sum(&other, "bob", 41));
    assert_eq!((of_one, of_other), (2, 42));
    let counts = |status: serde_json::Value| status["queue"]["completed"].as_i64().unwrap();
    let status = "/api/v1/queue/default/status";
    assert_eq!(counts(one.ask("root", "GET", status).await.json()), 1);
    assert_eq!(counts(other.ask("root", "GET", status).await.json()), 1);

    // The end of one is not the end of the other.
    one.server.core.shutdown();
    drop(one);
    assert_eq!(sum(&other, "alice", 6).await, 7);
    assert_eq!(names(&other, "alice").await, [others]);
}
