//! What InvokeAI's administrators ask for and it lacks: a record of what was done, changed addresses, content that is handed on.

use serde_json::{Value, json};

use crate::testkit::TestApp;

async fn acts(app: &TestApp, query: &str) -> Vec<String> {
    let page = app.ask("root", "GET", &format!("/api/v1/auth/audit{query}")).await.json();
    let acts = page["items"].as_array().unwrap_or_else(|| panic!("{page}")).iter();
    acts.map(|entry| entry["act"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_record_tells_who_administered_what_and_cannot_be_flooded() {
    let app = TestApp::with_accounts();
    app.ask("root", "PUT", "/api/v1/queue/default/processor/pause").await;
    app.ask("root", "PUT", "/api/v1/queue/default/processor/resume").await;
    assert_eq!(app.ask("alice", "PUT", "/api/v1/queue/default/processor/pause").await.status, 403);
    let told = acts(&app, "?limit=100").await;
    let of = |part: &str| told.iter().filter(|act| act.contains(part)).count();
    assert_eq!((of("queue.pause"), of("queue.resume"), of("setup")), (1, 1, 1), "{told:?}");
    let wrong = json!({"email": "alice@example.com", "password": "Wr0ng-wrong", "remember_me": false});
    app.ask_json("anonymous", "POST", "/api/v1/auth/login", &wrong).await;
    assert_eq!(acts(&app, "?limit=1").await, ["login.refused"]);
    assert_eq!(acts(&app, "?act=login.refused&limit=10").await, ["login.refused"]);
    let alice = app.user_id("alice").await;
    let about = acts(&app, &format!("?user_id={alice}&limit=10")).await;
    assert!(about.contains(&"user.created".to_owned()), "{about:?}");
    let first = app.ask("root", "GET", "/api/v1/auth/audit?limit=1&offset=1").await.json();
    let all = acts(&app, "?limit=100").await;
    assert_eq!(
        (first["items"][0]["act"].as_str(), &first["total"]),
        (Some(all[1].as_str()), &json!(all.len()))
    );
    assert_eq!(app.ask("root", "GET", "/api/v1/auth/audit?limit=0").await.status, 400);
    assert_eq!(app.ask("alice", "GET", "/api/v1/auth/audit").await.status, 403);
}

#[tokio::test]
async fn what_an_administrator_changes_of_other_peoples_is_recorded_and_what_they_change_of_their_own_is_not() {
    let app = TestApp::with_accounts();
    let (own, hers) = (app.upload("root", None).await, app.upload("alice", None).await);
    let board = app.board("alice", "private").await;
    for name in [&own, &hers] {
        let starred = app
            .ask_json("root", "PATCH", &format!("/api/v1/images/i/{name}"), &json!({"starred": true}))
            .await;
        assert_eq!(starred.status, 200);
    }
    app.ask_json("alice", "PATCH", &format!("/api/v1/images/i/{hers}"), &json!({"starred": false}))
        .await;
    assert_eq!(app.ask("root", "DELETE", &format!("/api/v1/boards/{board}")).await.status, 200);
    let more = [app.upload("alice", None).await, app.upload("bob", None).await];
    assert_eq!(
        app.ask_json("root", "POST", "/api/v1/images/delete", &json!({"image_names": more}))
            .await
            .status,
        200
    );
    // A queue without other people's items is cleared without power over them.
    app.ask("root", "PUT", "/api/v1/queue/default/clear").await;
    let batch = json!({"batch": {"graph": {"id": "g", "nodes": {"a": {"id": "a", "type": "add"}}, "edges": []}}});
    app.ask_json("alice", "POST", "/api/v1/queue/default/enqueue_batch", &batch).await;
    app.ask("root", "PUT", "/api/v1/queue/default/clear").await;
    // What is refused is no act, and looking is none either.
    app.ask("root", "GET", &format!("/api/v1/images/i/{hers}/full")).await;
    app.ask("root", "DELETE", &format!("/api/v1/boards/{board}")).await;
    let page = app.ask("root", "GET", "/api/v1/auth/audit?act=others.&limit=100").await.json();
    let entries = page["items"].as_array().unwrap();
    let told: Vec<(&str, Option<&str>)> = entries
        .iter()
        .rev()
        .map(|entry| (entry["act"].as_str().unwrap(), entry["subject_id"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("others.UpdateImage", Some(hers.as_str())),
            ("others.DeleteBoard", Some(board.as_str())),
            ("others.UpdateImage", None),
            ("others.DeleteQueueItem", Some("everybody's")),
        ]
    );
    let root = app.user_id("root").await;
    let who = |entry: &Value| (entry["actor_id"].as_str(), entry["door"].as_str()) == (Some(root.as_str()), Some("server"));
    assert!(entries.iter().all(who), "{entries:?}");
    let detail = entries[1]["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("2: ") && more.iter().all(|name| detail.contains(name)),
        "{detail}"
    );
}

#[tokio::test]
async fn what_is_for_administrators_alone_is_recorded_with_what_it_was_done_to() {
    let app = TestApp::with_accounts();
    for level in [10, 10] {
        assert_eq!(app.ask_json("root", "POST", "/api/v1/app/logging", &json!(level)).await.status, 200);
    }
    assert_eq!(app.ask_json("alice", "POST", "/api/v1/app/logging", &json!(20)).await.status, 403);
    let config = "/api/v1/app/runtime_config";
    assert_eq!(
        app.ask_json("root", "PATCH", config, &json!({"max_queue_history": 5})).await.status,
        200
    );
    assert_eq!(
        app.ask_json("root", "PATCH", config, &json!({"max_queue_history": "many"}))
            .await
            .status,
        422
    );
    let page = app.ask("root", "GET", "/api/v1/auth/audit?act=app.&limit=100").await.json();
    let told: Vec<(&str, &str)> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|entry| (entry["act"].as_str().unwrap(), entry["subject_id"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [("app.set_log_level", "10"), ("app.change_runtime_config", "max_queue_history")]
    );
}

#[tokio::test]
async fn a_changed_address_is_the_one_to_sign_in_with() {
    let app = TestApp::with_accounts();
    let alice = app.user_id("alice").await;
    let path = format!("/api/v1/auth/users/{alice}/email");
    let to = |email: &str| json!({"email": email});
    assert_eq!(app.ask_json("bob", "PUT", &path, &to("new@example.com")).await.status, 403);
    assert_eq!(app.ask_json("root", "PUT", &path, &to("bob@example.com")).await.status, 400);
    assert_eq!(app.ask_json("root", "PUT", &path, &to("no address")).await.status, 422);
    let changed = app.ask_json("root", "PUT", &path, &to("new@example.com")).await;
    assert_eq!((changed.status, &changed.json()["email"]), (200, &json!("new@example.com")));
    let sign_in = |email: &str| json!({"email": email, "password": crate::testkit::password("alice"), "remember_me": false});
    assert_eq!(
        app.ask_json("anonymous", "POST", "/api/v1/auth/login", &sign_in("new@example.com"))
            .await
            .status,
        200
    );
    assert_eq!(
        app.ask_json("anonymous", "POST", "/api/v1/auth/login", &sign_in("alice@example.com"))
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn content_is_handed_on_or_goes_with_its_account() {
    let app = TestApp::with_accounts();
    let (alice, bob) = (app.user_id("alice").await, app.user_id("bob").await);
    let (picture, board) = (app.upload("alice", None).await, app.board("alice", "private").await);
    let path = format!("/api/v1/auth/users/{alice}/transfer");
    assert_eq!(app.ask_json("bob", "POST", &path, &json!({"to_user_id": bob})).await.status, 403);
    let moved = app.ask_json("root", "POST", &path, &json!({"to_user_id": bob})).await;
    assert_eq!(moved.status, 200, "{}", String::from_utf8_lossy(&moved.body));
    assert_eq!(app.ask("alice", "GET", &format!("/api/v1/images/i/{picture}")).await.status, 403);
    assert_eq!(app.ask("bob", "GET", &format!("/api/v1/images/i/{picture}/full")).await.status, 200);
    assert_eq!(app.ask("bob", "GET", &format!("/api/v1/boards/{board}")).await.status, 200);
    let own = app.upload("alice", None).await;
    let gone = app
        .ask(
            "root",
            "DELETE",
            &format!("/api/v1/auth/users/{alice}?content=transfer&to_user_id={bob}"),
        )
        .await;
    assert_eq!(gone.status, 204);
    assert_eq!(app.ask("bob", "GET", &format!("/api/v1/images/i/{own}")).await.status, 200);
    let gone = app.ask("root", "DELETE", &format!("/api/v1/auth/users/{bob}?content=delete")).await;
    assert_eq!(gone.status, 204);
    for name in [picture, own] {
        assert_eq!(app.ask("root", "GET", &format!("/api/v1/images/i/{name}")).await.status, 404);
    }
    let left = app.ask("root", "GET", "/api/v1/images/names").await.json();
    assert_eq!(left["total_count"], json!(0));
}

#[tokio::test]
async fn who_guesses_is_told_when_to_come_back() {
    let app = TestApp::with_accounts();
    let wrong = json!({"email": "alice@example.com", "password": "Wr0ng-wrong", "remember_me": false});
    for _ in 0..200 {
        let answer = app.ask_json("anonymous", "POST", "/api/v1/auth/login", &wrong).await;
        if answer.status == 429 {
            let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!(seconds > 0, "{answer:?}");
            return;
        }
        assert_eq!(answer.status, 401);
    }
    panic!("200 wrong passwords and nobody minds");
}

#[tokio::test]
async fn names_that_others_see_are_bounded_and_the_refusal_names_the_field() {
    let app = TestApp::with_accounts();
    let long = "x".repeat(200_000);
    let document = |name: &str, description: &str| {
        json!({"workflow": {
            "name": name, "author": "", "description": description, "version": "", "contact": "", "tags": "", "notes": "", "exposedFields": [],
            "meta": {"version": "3.0.0", "category": "user"}, "nodes": [], "edges": [],
        }})
    };
    let asked: [(&str, &str, Value, &str); 3] = [
        ("PATCH", "/api/v1/auth/me", json!({"display_name": long}), "display_name"),
        ("POST", "/api/v1/workflows/", document(&long, ""), "name"),
        ("POST", "/api/v1/workflows/", document("", &long), "description"),
    ];
    for (method, path, body, field) in asked {
        let answer = app.ask_json("alice", method, path, &body).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(
            answer.detail().starts_with(&format!("{field}: expected at most")),
            "{}",
            answer.detail()
        );
    }
    let data = json!({"name": long, "positive_prompt": "", "negative_prompt": "", "type": "user", "is_public": true});
    let form = format!("--b\r\ncontent-disposition: form-data; name=\"data\"\r\n\r\n{data}\r\n--b--\r\n");
    let multipart = [("content-type", "multipart/form-data; boundary=b")];
    let answer = app
        .send("alice", "POST", "/api/v1/style_presets/", &multipart, form.as_bytes())
        .await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn an_archive_is_there_until_it_has_been_sent_whole() {
    let app = TestApp::with_accounts();
    let name = app.upload("alice", None).await;
    let ordered = app
        .ask_json("alice", "POST", "/api/v1/images/download", &json!({"image_names": [name]}))
        .await
        .json();
    let path = format!("/api/v1/images/download/{}", ordered["bulk_download_item_name"].as_str().unwrap());
    let part = async |range: &str| app.send("alice", "GET", &path, &[("range", range)], b"").await.status;
    while part("bytes=0-0").await == 404 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!((part("bytes=0-0").await, part("bytes=99999999-").await), (206, 416));
    assert_eq!(app.send("alice", "GET", &path, &[("if-none-match", "*")], b"").await.status, 304);
    let whole = app.ask("alice", "GET", &path).await;
    assert_eq!((whole.status, &whole.body[..2]), (200, &b"PK"[..]));
    while part("bytes=0-0").await != 404 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
