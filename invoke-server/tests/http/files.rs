//! How pictures' files are sent.

use crate::testkit::{Answer, TestApp};

async fn picture(app: &TestApp, who: &str) -> String {
    format!("/api/v1/images/i/{}/full", app.upload(who, None).await)
}

async fn part(app: &TestApp, path: &str, range: &str) -> Answer {
    app.send("alice", "GET", path, &[("range", range)], b"").await
}

#[tokio::test]
async fn parts_of_a_picture_are_sent_if_asked_for() {
    let app = TestApp::on_disk();
    let path = picture(&app, "alice").await;
    let whole = app.ask("alice", "GET", &path).await;
    let n = whole.body.len();
    assert_eq!((whole.status, whole.header("accept-ranges")), (200, Some("bytes")));
    let middle = part(&app, &path, "bytes=10-19").await;
    assert_eq!((middle.status, &middle.body[..]), (206, &whole.body[10..20]));
    assert_eq!(middle.header("content-range"), Some(format!("bytes 10-19/{n}").as_str()));
    assert_eq!(middle.header("content-type"), Some("image/png"));
    let tail = part(&app, &path, "bytes=-7").await;
    assert_eq!((tail.status, &tail.body[..]), (206, &whole.body[n - 7..]));
    let beyond = part(&app, &path, &format!("bytes={n}-")).await;
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, Some(format!("bytes */{n}").as_str()))
    );
    // Several parts, or what cannot be read, are answered by the whole.
    for odd in ["bytes=0-1,4-5", "bytes=9-3", "pages=1-2"] {
        assert_eq!(part(&app, &path, odd).await.body, whole.body, "{odd}");
    }
}

#[tokio::test]
async fn a_picture_that_the_client_has_is_not_sent_again() {
    let app = TestApp::on_disk();
    let full = picture(&app, "alice").await;
    for path in [full.replace("/full", "/thumbnail"), full] {
        let whole = app.ask("alice", "GET", &path).await;
        let (etag, modified) = (whole.header("etag").unwrap(), whole.header("last-modified").unwrap());
        let known = [
            ("if-none-match", etag.to_owned()),
            ("if-none-match", format!("\"other\", W/{etag}")),
            ("if-none-match", "*".to_owned()),
            ("if-modified-since", modified.to_owned()),
        ];
        for (name, value) in &known {
            let answer = app.send("alice", "GET", &path, &[(*name, value.as_str())], b"").await;
            assert_eq!((answer.status, answer.body.len()), (304, 0), "{name}: {value}");
            assert_eq!(answer.header("etag"), Some(etag));
            assert_eq!(answer.header("cache-control"), Some("private, no-store"));
        }
        let unknown = [
            [("if-none-match", "\"other\""), ("if-modified-since", modified)],
            [("if-modified-since", "Thu, 01 Jan 1970 00:00:01 GMT"), ("x-none", "")],
        ];
        for headers in unknown {
            assert_eq!(app.send("alice", "GET", &path, &headers, b"").await.status, 200, "{headers:?}");
        }
        // A part of what has changed since is of no use.
        let range = ("range", "bytes=0-3");
        for (value, status) in [
            (etag, 206),
            (modified, 206),
            ("\"other\"", 200),
            ("Thu, 01 Jan 1970 00:00:01 GMT", 200),
        ] {
            let answer = app.send("alice", "GET", &path, &[range, ("if-range", value)], b"").await;
            assert_eq!(answer.status, status, "{value}");
        }
        // Who may not see a picture does not learn whether they have the right one.
        assert_eq!(app.send("bob", "GET", &path, &[("if-none-match", etag)], b"").await.status, 403);
    }
}

#[tokio::test]
async fn the_head_of_a_picture_says_what_the_whole_would() {
    let app = TestApp::on_disk();
    let full = picture(&app, "alice").await;
    for path in [full.replace("/full", "/thumbnail"), full] {
        let whole = app.ask("alice", "GET", &path).await;
        let head = app.ask("alice", "HEAD", &path).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), Some(whole.body.len().to_string().as_str()));
        for name in ["content-type", "etag", "last-modified", "cache-control", "content-disposition"] {
            assert_eq!(head.header(name), whole.header(name), "{name}");
        }
        let etag = whole.header("etag").unwrap();
        assert_eq!(app.send("alice", "HEAD", &path, &[("if-none-match", etag)], b"").await.status, 304);
        assert_eq!(app.ask("anonymous", "HEAD", &path).await.status, 401);
        assert_eq!(app.ask("bob", "HEAD", &path).await.status, 403);
        let absent = app
            .ask("alice", "HEAD", "/api/v1/images/i/00000000-0000-4000-8000-000000000000.png/full")
            .await;
        assert_eq!(absent.status, 404);
    }
}

#[tokio::test]
async fn an_archive_can_be_fetched_in_one_piece() {
    let app = TestApp::on_disk();
    let name = app.upload("alice", None).await;
    let ordered = app
        .ask_json(
            "alice",
            "POST",
            "/api/v1/images/download",
            &serde_json::json!({"image_names": [name]}),
        )
        .await;
    let path = format!(
        "/api/v1/images/download/{}",
        ordered.json()["bulk_download_item_name"].as_str().unwrap()
    );
    let archive = loop {
        let answer = app.ask("alice", "GET", &path).await;
        if answer.status != 404 {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((archive.status, &archive.body[..2]), (200, &b"PK"[..]));
    assert!(archive.header("etag").is_some());
    assert_eq!(app.ask("alice", "GET", &path).await.status, 404);
}
