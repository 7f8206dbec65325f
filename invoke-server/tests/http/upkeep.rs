//! What administrators do to a root while the server runs.

use std::fs;

use serde_json::json;

use crate::testkit::TestApp;

#[tokio::test]
async fn pictures_are_moved_into_the_subfolders_that_are_configured() {
    let app = TestApp::on_disk();
    let name = app.upload("alice", None).await;
    let folder = app.root.path().join("outputs/images");
    assert!(folder.join(&name).is_file());
    let change = json!({"image_subfolder_strategy": "hash"});
    assert_eq!(
        app.ask_json("root", "PATCH", "/api/v1/app/runtime_config", &change).await.status,
        200
    );
    let before = app.ask("root", "GET", "/api/v1/image_moves/status").await.json();
    assert_eq!(
        before,
        json!({"is_running": false, "operation": null, "active_job_id": null, "latest_job": null, "last_error": null, "needs_move_count": 1})
    );
    let begun = app.ask("root", "POST", "/api/v1/image_moves/start").await;
    assert_eq!((begun.status, &begun.json()["operation"]), (202, &json!("move_all")));
    let ended = loop {
        let status = app.ask("root", "GET", "/api/v1/image_moves/status").await.json();
        if status["is_running"] == json!(false) {
            break status;
        }
    };
    assert_eq!(
        (&ended["needs_move_count"], &ended["latest_job"]["state"]),
        (&json!(0), &json!("committed")),
        "{ended}"
    );
    let (subfolder, thumbnail) = (&name[..2], name.replace(".png", ".webp"));
    assert!(folder.join(subfolder).join(&name).is_file() && !folder.join(&name).exists());
    assert!(folder.join("thumbnails").join(subfolder).join(thumbnail).is_file());
    for what in ["", "/full", "/thumbnail", "/workflow"] {
        assert_eq!(
            app.ask("alice", "GET", &format!("/api/v1/images/i/{name}{what}")).await.status,
            200,
            "{what}"
        );
    }
    assert_eq!(app.ask("alice", "DELETE", &format!("/api/v1/images/i/{name}")).await.status, 200);
    assert_eq!(app.ask("root", "POST", "/api/v1/image_moves/recover").await.status, 202);
}

#[tokio::test]
async fn pictures_are_not_moved_while_the_queue_has_work() {
    let app = TestApp::with_accounts();
    app.ask("root", "PUT", "/api/v1/queue/default/processor/pause").await;
    let batch = json!({"batch": {"graph": {"id": "g", "nodes": {"n": {"id": "n", "type": "add"}}, "edges": []}}});
    assert_eq!(
        app.ask_json("alice", "POST", "/api/v1/queue/default/enqueue_batch", &batch)
            .await
            .status,
        200
    );
    let refused = app.ask("root", "POST", "/api/v1/image_moves/start").await;
    assert_eq!(
        (refused.status, refused.detail().as_str()),
        (409, "Cannot start image move while queue work is active")
    );
    // And nothing is held up by the attempt.
    let name = app.upload("alice", None).await;
    assert_eq!(app.ask("alice", "GET", &format!("/api/v1/images/i/{name}/full")).await.status, 200);
}

#[tokio::test]
async fn leak_9256_packs_of_python_nodes_are_listed_and_removed_and_never_installed() {
    let app = TestApp::on_disk();
    let pack = app.root.path().join("nodes/old-pack");
    fs::create_dir_all(&pack).unwrap();
    let canary = app.root.path().join("canary");
    fs::write(pack.join("__init__.py"), format!("open({:?}, 'w')", canary.display().to_string())).unwrap();
    let listed = app.ask("root", "GET", "/api/v2/custom_nodes/").await.json();
    assert_eq!(
        (&listed["node_packs"][0]["name"], &listed["node_packs"][0]["node_count"]),
        (&json!("old-pack"), &json!(0))
    );
    let install = |source: &str| json!({ "source": source });
    for (source, name) in [
        ("https://example.com/a/new-pack.git", "new-pack"),
        ("https://example.com/..", ""),
        ("", ""),
    ] {
        let answer = app.ask_json("root", "POST", "/api/v2/custom_nodes/install", &install(source)).await;
        assert_eq!(
            (answer.status, &answer.json()["success"], &answer.json()["name"]),
            (200, &json!(false), &json!(name)),
            "{source}"
        );
    }
    assert!(!app.root.path().join("nodes/new-pack").exists());
    assert_eq!(app.ask("root", "POST", "/api/v2/custom_nodes/reload").await.status, 200);
    let gone = app.ask("root", "DELETE", "/api/v2/custom_nodes/old-pack").await.json();
    assert_eq!(gone["success"], json!(true));
    assert!(!pack.exists() && !canary.exists());
    let again = app.ask("root", "DELETE", "/api/v2/custom_nodes/old-pack").await.json();
    assert_eq!(again["message"], json!("Node pack 'old-pack' not found."));
}
