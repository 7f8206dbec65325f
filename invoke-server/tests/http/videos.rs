//! Videos: an installation without any.

use serde_json::json;

use crate::testkit::TestApp;

#[tokio::test]
async fn everything_about_videos_is_answered_as_where_there_are_none() {
    let app = TestApp::with_accounts();
    let names = json!({"video_names": ["a.mp4"]});
    let asked = [
        (
            "GET",
            "/api/v1/videos/?limit=7&offset=3",
            json!(null),
            200,
            json!({"limit": 7, "offset": 3, "total": 0, "items": []}),
        ),
        (
            "GET",
            "/api/v1/videos/names",
            json!(null),
            200,
            json!({"video_names": [], "starred_count": 0, "total_count": 0}),
        ),
        (
            "POST",
            "/api/v1/videos/delete",
            names.clone(),
            200,
            json!({"affected_boards": [], "deleted_videos": [], "failed_videos": []}),
        ),
        (
            "POST",
            "/api/v1/videos/star",
            names.clone(),
            200,
            json!({"affected_boards": [], "starred_videos": [], "failed_videos": []}),
        ),
        (
            "POST",
            "/api/v1/videos/unstar",
            names,
            200,
            json!({"affected_boards": [], "unstarred_videos": [], "failed_videos": []}),
        ),
    ];
    for (method, path, body, status, expected) in asked {
        let answer = if body.is_null() {
            app.ask("alice", method, path).await
        } else {
            app.ask_json("alice", method, path, &body).await
        };
        assert_eq!((answer.status, answer.json()), (status, expected), "{path}");
    }
    for (who, status) in [("root", 404), ("alice", 403)] {
        for what in ["", "/metadata", "/workflow"] {
            let answer = app.ask(who, "GET", &format!("/api/v1/videos/i/a.mp4{what}")).await;
            assert!(answer.status == status || answer.status == 404, "{who} {what}: {}", answer.status);
        }
    }
    // No list of the gallery counts any, and no board has one for its cover.
    let days = app.ask("alice", "GET", "/api/v1/virtual_boards/by_date").await.json();
    assert_eq!(days, json!([]));
    app.upload("alice", None).await;
    let days = app.ask("alice", "GET", "/api/v1/virtual_boards/by_date").await.json();
    assert_eq!((&days[0]["video_count"], &days[0]["cover_video_name"]), (&json!(0), &json!(null)));
}
