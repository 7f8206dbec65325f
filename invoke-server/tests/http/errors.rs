//! How the server says no, and in which order it looks at things.

use serde_json::json;

use crate::testkit::{TestApp, password};

#[tokio::test]
async fn json_is_parsed_before_anybody_is_asked_who_they_are() {
    let app = TestApp::with_accounts();
    let json_type = [("content-type", "application/json")];
    let broken = app.send("anonymous", "POST", "/api/v1/system_prompts/", &json_type, b"{").await;
    assert_eq!(
        (broken.status, broken.json()["detail"][0]["type"].clone()),
        (422, json!("json_invalid"))
    );
    let stranger = app.send("anonymous", "POST", "/api/v1/system_prompts/", &json_type, b"[1]").await;
    assert_eq!((stranger.status, stranger.detail().as_str()), (401, "Authentication required"));
    let misshapen = app.send("alice", "POST", "/api/v1/system_prompts/", &json_type, b"[1]").await;
    assert_eq!(
        (misshapen.status, misshapen.json()["detail"][0]["type"].clone()),
        (422, json!("model_attributes_type"))
    );
    let untyped = app
        .send("alice", "POST", "/api/v1/system_prompts/", &[], br#"{"name":"a","content":"b"}"#)
        .await;
    assert_eq!(untyped.status, 422);
}

#[tokio::test]
async fn what_no_route_matches_is_the_page_or_refused() {
    let app = TestApp::with_accounts();
    for path in ["/", "/boards/x", "/api/v1/no/such", "/api/v2/models"] {
        let page = app.ask("anonymous", "GET", path).await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (200, Some("text/html; charset=utf-8")),
            "{path}"
        );
    }
    let refused = app.ask("alice", "DELETE", "/api/v1/no/such").await;
    assert_eq!(
        (refused.status, refused.detail().as_str(), refused.header("allow")),
        (405, "Method Not Allowed", Some("GET, HEAD"))
    );
}

#[tokio::test]
async fn successful_writes_prolong_the_sign_in_and_nothing_else_does() {
    let app = TestApp::with_accounts();
    let state = "/api/v1/client_state/default/set_by_key?key=a";
    let wrote = app.ask_json("alice", "POST", state, &json!("x")).await;
    assert_eq!(wrote.status, 200);
    let fresh = wrote.header("x-refreshed-token").unwrap().to_owned();
    let with_fresh = format!("Bearer {fresh}");
    assert_eq!(
        app.send("anonymous", "GET", "/api/v1/auth/me", &[("authorization", &with_fresh)], b"")
            .await
            .status,
        200
    );
    for (method, path) in [
        ("GET", "/api/v1/auth/me"),
        ("POST", "/api/v1/auth/logout"),
        ("POST", "/api/v1/auth/media-cookie"),
    ] {
        assert_eq!(app.ask("alice", method, path).await.header("x-refreshed-token"), None, "{path}");
    }
    assert_eq!(
        app.ask_json("alice", "POST", state, &json!(1)).await.header("x-refreshed-token"),
        None
    );
}

#[tokio::test]
async fn g21_a_changed_password_ends_the_old_token_and_brings_a_new_one() {
    let app = TestApp::with_accounts();
    let change = json!({"current_password": password("alice"), "new_password": "An0ther-one"});
    let changed = app.ask_json("alice", "PATCH", "/api/v1/auth/me", &change).await;
    assert_eq!(changed.status, 200);
    let fresh = format!("Bearer {}", changed.header("x-refreshed-token").unwrap());
    assert_eq!(
        app.ask("alice", "GET", "/api/v1/auth/me").await.detail(),
        "User account is inactive or does not exist"
    );
    assert_eq!(
        app.send("anonymous", "GET", "/api/v1/auth/me", &[("authorization", &fresh)], b"")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn bodies_that_are_too_large_are_refused_unread() {
    let app = TestApp::with_accounts();
    let upload = "/api/v1/images/upload?image_category=user&is_intermediate=false";
    for (path, kind) in [
        ("/api/v1/system_prompts/", "application/json"),
        (upload, "multipart/form-data; boundary=b"),
    ] {
        let headers = [("content-length", "999999999"), ("content-type", kind)];
        let declared = app.send("alice", "POST", path, &headers, b"x").await;
        assert_eq!(declared.status, 413, "{path}");
        assert!(declared.detail().contains("MiB at most"), "{path}: {}", declared.detail());
    }
}

#[tokio::test]
async fn long_texts_are_compressed_for_who_takes_it() {
    let app = TestApp::single_user();
    let plain = app.ask("anonymous", "GET", "/openapi.json").await;
    let small = app
        .send("anonymous", "GET", "/openapi.json", &[("accept-encoding", "gzip")], b"")
        .await;
    assert_eq!(
        (plain.header("content-encoding"), small.header("content-encoding")),
        (None, Some("gzip"))
    );
    assert!(small.body.len() * 4 < plain.body.len());
}
