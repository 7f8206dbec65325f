//! Every leak that InvokeAI had since it has accounts, each closed here. A name's number is that of the report: a pull request or an issue
//! of invoke-ai/InvokeAI.

use serde_json::{Value, json};

use crate::testkit::{Answer, TestApp, password};

/// The names in whatever list an answer has.
fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

async fn enqueue(app: &TestApp, who: &str, nodes: Value) -> i64 {
    let batch = json!({"batch": {"graph": {"id": "g", "nodes": nodes, "edges": []}, "origin": "secret-origin"}});
    let answer = app.ask_json(who, "POST", "/api/v1/queue/default/enqueue_batch", &batch).await;
    assert_eq!(answer.status, 200, "{}", text(&answer));
    answer.json()["item_ids"][0].as_i64().unwrap()
}

async fn ended(app: &TestApp, who: &str, item: i64) -> Value {
    loop {
        let found = app.ask(who, "GET", &format!("/api/v1/queue/default/i/{item}")).await.json();
        if ["completed", "failed", "canceled"].contains(&found["status"].as_str().unwrap()) {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

fn add() -> Value {
    json!({"n": {"id": "n", "type": "add", "a": 1, "b": 2}})
}

#[tokio::test]
async fn leak_9163_pictures_are_not_sent_without_a_login_and_not_kept_by_caches() {
    let app = TestApp::with_accounts();
    let name = app.upload("alice", None).await;
    for what in ["full", "thumbnail"] {
        let path = format!("/api/v1/images/i/{name}/{what}");
        assert_eq!(app.ask("anonymous", "GET", &path).await.status, 401);
        assert_eq!(app.ask("bob", "GET", &path).await.status, 403);
        let own = app.ask("alice", "GET", &path).await;
        assert_eq!((own.status, own.header("cache-control")), (200, Some("private, no-store")));
    }
}

#[tokio::test]
async fn leak_9163_a_pictures_identifier_is_no_right_to_it() {
    let app = TestApp::with_accounts();
    let name = app.upload("alice", None).await;
    for what in ["", "/metadata", "/workflow", "/urls", "/full", "/thumbnail"] {
        let path = format!("/api/v1/images/i/{name}{what}");
        assert_eq!(app.ask("bob", "GET", &path).await.status, 403, "{what}");
        assert_eq!(app.ask("root", "GET", &path).await.status, 200, "{what}");
    }
    let names = json!({"image_names": [name]});
    assert_eq!(
        app.ask_json("bob", "POST", "/api/v1/images/images_by_names", &names).await.json(),
        json!([])
    );
    let changes = json!({"starred": true});
    assert_eq!(
        app.ask_json("bob", "PATCH", &format!("/api/v1/images/i/{name}"), &changes)
            .await
            .status,
        403
    );
    assert_eq!(app.ask("bob", "DELETE", &format!("/api/v1/images/i/{name}")).await.status, 403);
    for (path, key) in [
        ("star", "starred_images"),
        ("unstar", "unstarred_images"),
        ("delete", "deleted_images"),
    ] {
        let answer = app.ask_json("bob", "POST", &format!("/api/v1/images/{path}"), &names).await;
        assert_eq!(answer.json()[key], json!([]), "{path}");
    }
    assert_eq!(
        app.ask("alice", "GET", &format!("/api/v1/images/i/{name}")).await.json()["starred"],
        json!(false)
    );
}

#[tokio::test]
async fn leak_9163_a_graph_reads_what_its_owner_may_read_and_nothing_else() {
    let app = TestApp::with_accounts();
    let name = app.upload("alice", None).await;
    let blur = |name: &str| json!({"n": {"id": "n", "type": "img_blur", "image": {"image_name": name}}});
    let (bobs, alices) = (enqueue(&app, "bob", blur(&name)).await, enqueue(&app, "alice", blur(&name)).await);
    assert_eq!(ended(&app, "bob", bobs).await["status"], json!("failed"));
    assert_eq!(ended(&app, "alice", alices).await["status"], json!("completed"));
    let made = app.ask("bob", "GET", "/api/v1/images/names").await.json();
    assert_eq!(made["total_count"], json!(0));
    // Metadata as well, which a picture made from it would carry along.
    let metadata = json!({"n": {"id": "n", "type": "metadata_from_image", "image": {"image_name": name}}});
    let item = enqueue(&app, "bob", metadata).await;
    assert_eq!(ended(&app, "bob", item).await["status"], json!("failed"));
}

#[tokio::test]
async fn leak_9163_a_graph_puts_nothing_on_anothers_board() {
    let app = TestApp::with_accounts();
    let (board, own) = (app.board("alice", "shared").await, app.upload("bob", None).await);
    let blur = json!({"n": {"id": "n", "type": "img_blur", "image": {"image_name": own}, "board": {"board_id": board}}});
    let item = enqueue(&app, "bob", blur).await;
    ended(&app, "bob", item).await;
    let there = app.ask("alice", "GET", &format!("/api/v1/boards/{board}/image_names")).await.json();
    assert_eq!(there, json!([]));
}

#[tokio::test]
async fn leak_9163_lists_hold_ones_own_alone() {
    let app = TestApp::with_accounts();
    let (name, board) = (app.upload("alice", None).await, app.board("alice", "private").await);
    let on_board = app.upload("alice", Some(&board)).await;
    for path in [
        "/api/v1/images/",
        "/api/v1/images/?board_id=none",
        "/api/v1/images/names",
        "/api/v1/gallery/item_names",
        "/api/v1/gallery/items/",
        "/api/v1/gallery/items/names",
        "/api/v1/boards/none/image_names",
        "/api/v1/boards/?all=true&include_archived=true",
        "/api/v1/boards/?offset=0&limit=100",
        "/api/v1/virtual_boards/by_date",
        "/api/v1/workflows/",
        "/api/v1/client_state/default/get_keys_by_prefix?prefix=",
    ] {
        let told = text(&app.ask("bob", "GET", path).await);
        for secret in [&name, &on_board, &board] {
            assert!(!told.contains(secret.as_str()), "{path}: {told}");
        }
    }
    assert_eq!(app.ask("bob", "GET", "/api/v1/images/intermediates").await.json(), json!(0));
    let day = app.ask("alice", "GET", "/api/v1/virtual_boards/by_date").await.json()[0]["date"]
        .as_str()
        .unwrap()
        .to_owned();
    for what in ["image_names", "item_names"] {
        let told = app.ask("bob", "GET", &format!("/api/v1/virtual_boards/by_date/{day}/{what}")).await;
        assert!(!text(&told).contains(&name), "{what}");
    }
}

#[tokio::test]
async fn leak_9163_the_queue_of_a_deactivated_user_does_not_run() {
    let app = TestApp::with_accounts();
    assert_eq!(app.ask("root", "PUT", "/api/v1/queue/default/processor/pause").await.status, 200);
    let item = enqueue(&app, "bob", add()).await;
    let path = format!("/api/v1/auth/users/{}", app.user_id("bob").await);
    assert_eq!(app.ask_json("root", "PATCH", &path, &json!({"is_active": false})).await.status, 200);
    app.ask("root", "PUT", "/api/v1/queue/default/processor/resume").await;
    assert_eq!(ended(&app, "root", item).await["status"], json!("canceled"));
}

#[tokio::test]
async fn leak_9018_a_board_gives_no_right_to_a_foreign_picture() {
    let app = TestApp::with_accounts();
    let (name, public) = (app.upload("alice", None).await, app.board("bob", "public").await);
    let one = json!({"board_id": public, "image_name": name});
    assert_eq!(app.ask_json("bob", "POST", "/api/v1/board_images/", &one).await.status, 403);
    let many = json!({"board_id": public, "image_names": [name]});
    let answer = app.ask_json("bob", "POST", "/api/v1/board_images/batch", &many).await;
    assert_eq!(answer.json()["added_images"], json!([]));
    assert_eq!(app.ask("bob", "GET", &format!("/api/v1/images/i/{name}/full")).await.status, 403);
    // Nor can its owner's board be emptied or filled by others.
    let board = app.board("alice", "shared").await;
    let shown = app.upload("alice", Some(&board)).await;
    assert_eq!(
        app.ask_json("bob", "DELETE", "/api/v1/board_images/", &json!({"image_name": shown}))
            .await
            .status,
        403
    );
    let upload = format!("/api/v1/images/upload?image_category=user&is_intermediate=false&board_id={board}");
    let form = [("content-type", "multipart/form-data; boundary=b")];
    let body = b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\ncontent-type: image/png\r\n\r\nx\r\n--b--\r\n";
    assert_eq!(app.send("bob", "POST", &upload, &form, body).await.status, 403);
}

#[tokio::test]
async fn leak_9018_boards_cannot_be_found_out_by_trying() {
    let app = TestApp::with_accounts();
    let board = app.board("alice", "private").await;
    let name = app.upload("alice", Some(&board)).await;
    for path in [
        format!("/api/v1/boards/{board}"),
        format!("/api/v1/boards/{board}/image_names"),
        format!("/api/v1/images/?board_id={board}"),
        format!("/api/v1/images/names?board_id={board}"),
        format!("/api/v1/gallery/item_names?board_id={board}"),
        format!("/api/v1/gallery/items/?board_id={board}"),
        format!("/api/v1/videos/?board_id={board}"),
    ] {
        let answer = app.ask("bob", "GET", &path).await;
        assert_eq!(answer.status, 403, "{path}: {}", text(&answer));
        assert!(!text(&answer).contains(&name), "{path}");
    }
    let board_path = format!("/api/v1/boards/{board}");
    assert_eq!(
        app.ask_json("bob", "PATCH", &board_path, &json!({"board_visibility": "public"}))
            .await
            .status,
        403
    );
    assert_eq!(app.ask("bob", "DELETE", &board_path).await.status, 403);
}

#[tokio::test]
async fn leak_9018_an_archive_is_fetched_by_who_ordered_it() {
    let app = TestApp::on_disk();
    let name = app.upload("alice", None).await;
    let order = json!({"image_names": [name]});
    assert_eq!(app.ask_json("bob", "POST", "/api/v1/images/download", &order).await.status, 403);
    let item = app.ask_json("alice", "POST", "/api/v1/images/download", &order).await.json()["bulk_download_item_name"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/api/v1/images/download/{item}");
    assert_eq!(app.ask("anonymous", "GET", &path).await.status, 401);
    assert_eq!(app.ask("bob", "GET", &path).await.status, 403);
    let board = app.board("alice", "private").await;
    let of_board = json!({"board_id": board});
    assert_eq!(app.ask_json("bob", "POST", "/api/v1/images/download", &of_board).await.status, 403);
    assert_eq!(
        app.ask_json("bob", "POST", "/api/v1/images/download", &json!({"board_id": "none"}))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn leak_9018_recalled_parameters_name_no_foreign_picture() {
    let app = TestApp::with_accounts();
    let name = app.upload("alice", None).await;
    for parameters in [
        json!({"reference_images": [{"image_name": name}]}),
        json!({"control_layers": [{"model_name": "m", "image_name": name}]}),
        json!({"ip_adapters": [{"model_name": "m", "image_name": name}]}),
    ] {
        let answer = app.ask_json("bob", "POST", "/api/v1/recall/default", &parameters).await;
        assert_eq!(answer.status, 403, "{parameters}");
        assert!(!text(&answer).contains("width"), "{}", text(&answer));
    }
}

#[tokio::test]
async fn leak_9087_and_9262_the_queue_tells_ones_own_numbers_and_everybodys_and_no_names() {
    let app = TestApp::with_accounts();
    app.ask("root", "PUT", "/api/v1/queue/default/processor/pause").await;
    let item = enqueue(&app, "alice", add()).await;
    let own = app.ask("alice", "GET", &format!("/api/v1/queue/default/i/{item}")).await.json();
    let secrets = ["batch_id", "session_id", "user_id"].map(|key| own[key].as_str().unwrap().to_owned());
    for path in [
        "/api/v1/queue/default/status".to_owned(),
        "/api/v1/queue/default/current".to_owned(),
        "/api/v1/queue/default/next".to_owned(),
        "/api/v1/queue/default/list_all".to_owned(),
        "/api/v1/queue/default/item_ids".to_owned(),
        format!("/api/v1/queue/default/i/{item}"),
        format!("/api/v1/queue/default/b/{}/status", secrets[0]),
        "/api/v1/queue/default/counts_by_destination?destination=x".to_owned(),
    ] {
        let told = text(&app.ask("bob", "GET", &path).await);
        // A batch's own status repeats the identifier that was asked for.
        let hidden = if path.contains("/b/") { &secrets[1..] } else { &secrets[..] };
        for secret in hidden {
            assert!(!told.contains(secret.as_str()), "{path}: {told}");
        }
        assert!(!told.contains("secret-origin"), "{path}: {told}");
    }
    let status = app.ask("bob", "GET", "/api/v1/queue/default/status").await.json();
    assert_eq!(
        (&status["queue"]["pending"], &status["queue"]["user_pending"]),
        (&json!(1), &json!(0)),
        "{status}"
    );
    assert_eq!(
        app.ask("bob", "PUT", &format!("/api/v1/queue/default/i/{item}/cancel"))
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn leak_9365_folders_are_scanned_for_administrators() {
    let app = TestApp::with_accounts();
    let path = "/api/v2/models/scan_folder?scan_path=/";
    assert_eq!(app.ask("anonymous", "GET", path).await.status, 401);
    assert_eq!(app.ask("alice", "GET", path).await.status, 403);
}

#[tokio::test]
async fn leak_9367_no_answer_holds_a_secret_of_the_configuration() {
    let app = TestApp::on_disk();
    let secret = "sk-4711-of-the-provider";
    let set = json!({"api_key": secret});
    let answer = app
        .ask_json("root", "POST", "/api/v1/app/external_providers/config/openai", &set)
        .await;
    assert_eq!(answer.status, 200);
    assert!(!text(&answer).contains(secret));
    for path in [
        "/api/v1/app/runtime_config",
        "/api/v1/app/external_providers/config",
        "/api/v1/app/external_providers/status",
    ] {
        assert!(!text(&app.ask("root", "GET", path).await).contains(secret), "{path}");
    }
    assert_eq!(app.ask("alice", "GET", "/api/v1/app/runtime_config").await.status, 403);
    assert_eq!(app.ask("alice", "GET", "/api/v1/app/external_providers/config").await.status, 403);
}

#[tokio::test]
async fn leak_9200_presets_and_prompts_of_others_are_hidden() {
    let app = TestApp::with_accounts();
    let preset = b"--b\r\ncontent-disposition: form-data; name=\"data\"\r\n\r\n{\"name\":\"hers\",\"positive_prompt\":\"p\",\"negative_prompt\":\"n\",\"type\":\"user\"}\r\n--b--\r\n";
    let form = [("content-type", "multipart/form-data; boundary=b")];
    let made = app.send("alice", "POST", "/api/v1/style_presets/", &form, preset).await.json();
    let path = format!("/api/v1/style_presets/i/{}", made["id"].as_str().unwrap());
    assert_eq!(app.ask("bob", "GET", &path).await.status, 403);
    assert_eq!(app.ask("bob", "DELETE", &path).await.status, 403);
    assert!(!text(&app.ask("bob", "GET", "/api/v1/style_presets/").await).contains("hers"));
    let prompt = json!({"name": "hers too", "content": "c"});
    let made = app.ask_json("alice", "POST", "/api/v1/system_prompts/", &prompt).await.json();
    let path = format!("/api/v1/system_prompts/i/{}", made["id"].as_str().unwrap());
    assert_eq!(app.ask("bob", "GET", &path).await.status, 403);
    assert!(!text(&app.ask("bob", "GET", "/api/v1/system_prompts/").await).contains("hers too"));
}

#[tokio::test]
async fn leak_9171_and_8944_users_neither_set_keys_nor_touch_models() {
    let app = TestApp::with_accounts();
    let key = json!({"api_key": "k"});
    for (method, path) in [
        ("POST", "/api/v1/app/external_providers/config/openai"),
        ("POST", "/api/v2/models/install?source=x"),
        ("DELETE", "/api/v2/models/i/x"),
    ] {
        assert_eq!(app.ask_json("alice", method, path, &key).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn leak_9360_system_cannot_sign_in() {
    let app = TestApp::with_accounts();
    for password in ["", "system", &password("root")] {
        let login = json!({"email": "system@system.invokeai", "password": password});
        let answer = app.ask_json("anonymous", "POST", "/api/v1/auth/login", &login).await;
        assert_eq!(
            (answer.status, answer.detail().as_str()),
            (401, "Incorrect email or password"),
            "{password:?}"
        );
    }
    let set = json!({"password": "Passw0rd-new", "is_admin": true});
    assert_eq!(app.ask_json("root", "PATCH", "/api/v1/auth/users/system", &set).await.status, 400);
}

#[tokio::test]
async fn leak_9360_rights_are_those_of_the_account_and_not_of_the_token() {
    let app = TestApp::with_accounts();
    let made = json!({"email": "second@example.com", "password": "Passw0rd-second", "is_admin": true});
    assert_eq!(app.ask_json("root", "POST", "/api/v1/auth/users", &made).await.status, 201);
    let path = format!("/api/v1/auth/users/{}", app.user_id("root").await);
    assert_eq!(app.ask_json("root", "PATCH", &path, &json!({"is_admin": false})).await.status, 200);
    assert_eq!(app.ask("root", "GET", "/api/v1/auth/users").await.status, 403);
    let name = app.upload("alice", None).await;
    assert_eq!(app.ask("root", "GET", &format!("/api/v1/images/i/{name}")).await.status, 403);
}

#[tokio::test]
async fn leak_image_to_prompt_asks_for_the_right_to_the_picture_first() {
    let app = TestApp::with_accounts();
    let name = app.upload("alice", None).await;
    let path = "/api/v1/utilities/image-to-prompt";
    let about = json!({"image_name": name, "model_key": "none"});
    assert_eq!(app.ask_json("bob", "POST", path, &about).await.status, 403);
    let own = app.ask_json("alice", "POST", path, &about).await;
    assert_eq!((own.status, own.detail().as_str()), (404, "Model 'none' not found"));
    let expand = json!({"prompt": "a fox", "model_key": "none"});
    assert_eq!(
        app.ask_json("alice", "POST", "/api/v1/utilities/expand-prompt", &expand)
            .await
            .status,
        404
    );
}
