//! Names that are paths, and names without end. The numbers are those of the CVEs that InvokeAI had.

use std::{fs, time::Duration};

use invoke_server::{
    api::routes,
    route::{Body, Method, Route},
};
use serde_json::json;

use crate::testkit::{PICTURE, TestApp};

const SECRET: &str = "secret-4711";

/// Texts that lead out of a folder if somebody makes a path of them; the first one to a file that holds the secret.
fn ways_out(secret: &str) -> Vec<String> {
    let escaped = |text: &str| {
        text.replace('%', "%25")
            .replace('/', "%2F")
            .replace('\\', "%5C")
            .replace('\0', "%00")
    };
    [
        secret,
        "../secret.txt",
        "../../secret.txt",
        "../../../secret.txt",
        "../../../../secret.txt",
        "..",
        ".",
        "....//secret.txt",
        "..\\..\\secret.txt",
        "%2e%2e%2f%2e%2e%2fsecret.txt",
        "x/../../../secret.txt",
        "/etc/passwd",
        "secret.txt\0.png",
        "~/secret.txt",
        "file:///etc/passwd",
    ]
    .iter()
    .map(|text| escaped(text))
    .collect()
}

fn with(route: &Route, value: &str) -> String {
    let mut path = route.path.to_owned();
    for name in route.path_parameters() {
        for braced in [format!("{{{name}}}"), format!("{{*{name}}}")] {
            path = path.replace(&braced, value);
        }
    }
    path
}

async fn ask(app: &TestApp, route: &Route, path: &str) -> crate::testkit::Answer {
    let method = route.method.lower().to_uppercase();
    match route.body {
        Body::Form(_) => {
            let mut body =
                b"--b\r\ncontent-disposition: form-data; name=\"image\"; filename=\"../../x\"\r\ncontent-type: image/png\r\n\r\n".to_vec();
            body.extend_from_slice(PICTURE);
            body.extend_from_slice(b"\r\n--b--\r\n");
            app.send("root", &method, path, &[("content-type", "multipart/form-data; boundary=b")], &body)
                .await
        }
        Body::Json(_) | Body::Fields(_) => {
            app.send("root", &method, path, &[("content-type", "application/json")], b"{}")
                .await
        }
        Body::None => app.ask("root", &method, path).await,
    }
}

/// CVE-2025-6237 and CVE-2024-11042, and every other place where a name could become a path: no route, asked by an administrator, reads or
/// deletes a file by a name that leads to it.
#[tokio::test]
async fn cve_2025_6237_no_name_in_a_path_leads_out_of_its_folder() {
    let app = TestApp::on_disk();
    let root = app.root.path();
    let secrets = [
        root.join("secret.txt"),
        root.join("outputs/secret.txt"),
        root.join("outputs/images/secret.txt"),
        root.join("databases/secret.txt"),
        root.join("models/secret.txt"),
    ];
    for secret in &secrets {
        fs::write(secret, SECRET).unwrap();
    }
    let ways = ways_out(secrets[0].to_str().unwrap());
    let mut asked = 0;
    for route in routes().filter(|route| !route.path_parameters().is_empty() && route.method != Method::Head) {
        for way in &ways {
            let path = with(&route, way);
            let answer = ask(&app, &route, &path).await;
            let text = String::from_utf8_lossy(&answer.body);
            assert!(
                !text.contains(SECRET) && !text.contains("root:x:"),
                "{} {path}: {text}",
                route.method.lower()
            );
            asked += 1;
        }
    }
    assert!(asked > 500, "{asked}");
    for secret in &secrets {
        assert_eq!(fs::read_to_string(secret).unwrap(), SECRET, "{}", secret.display());
    }
}

#[tokio::test]
async fn cve_2024_11042_what_is_deleted_is_a_picture_and_no_path() {
    let app = TestApp::on_disk();
    let secret = app.root.path().join("outputs/secret.png");
    fs::write(&secret, SECRET).unwrap();
    let names = [
        "../secret.png",
        "../../outputs/secret.png",
        secret.to_str().unwrap(),
        "..",
        "",
        "thumbnails",
        ".staged",
        "secret.png\0",
    ];
    for path in [
        "/api/v1/images/delete",
        "/api/v1/images/star",
        "/api/v1/images/images_by_names",
        "/api/v1/board_images/batch/delete",
    ] {
        let answer = app.ask_json("root", "POST", path, &json!({"image_names": names})).await;
        assert!(answer.status < 300, "{path}: {}", answer.status);
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"), "{path}");
    }
    let order = app
        .ask_json("root", "POST", "/api/v1/images/download", &json!({"image_names": names}))
        .await;
    assert_eq!(order.status, 202);
    let archive = order.json()["bulk_download_item_name"].as_str().unwrap().to_owned();
    let answer = app.ask("root", "GET", &format!("/api/v1/images/download/{archive}")).await;
    assert_eq!(answer.status, 404, "there is nothing of that to put into it");
    assert!(secret.exists());
}

#[tokio::test]
async fn a_text_embedded_in_a_picture_names_no_file() {
    let app = TestApp::on_disk();
    let name = app.upload("alice", None).await;
    let lies = fs::read_dir(app.root.path().join("outputs/images")).unwrap();
    let files: Vec<String> = lies.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    // Named by the server, whatever the sender called it.
    assert!(files.contains(&name) && !files.iter().any(|file| file == "a.png"), "{files:?}");
}

/// CVE-2024-10821: a boundary without end kept the original busy for ever.
#[tokio::test]
async fn cve_2024_10821_boundaries_are_bounded_and_read_once() {
    let app = TestApp::with_accounts();
    let path = "/api/v1/images/upload?image_category=user&is_intermediate=false";
    let long = format!("multipart/form-data; boundary={}", "-".repeat(100_000));
    let dashes = vec![b'-'; 1 << 20];
    let mut crafted = b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n".to_vec();
    crafted.extend(std::iter::repeat_n(&b"\r\n--"[..], 200_000).flatten());
    for (content_type, body) in [
        (long.as_str(), &dashes),
        ("multipart/form-data; boundary=b", &dashes),
        ("multipart/form-data; boundary=b", &crafted),
        ("multipart/form-data; boundary=", &dashes),
        ("multipart/form-data", &dashes),
    ] {
        let headers = [("content-type", content_type)];
        let asked = app.send("alice", "POST", path, &headers, body);
        let answer = tokio::time::timeout(Duration::from_secs(20), asked)
            .await
            .expect("an answer in time");
        assert!((400..500).contains(&answer.status), "{}", answer.status);
    }
}

/// CVE-2024-11043: a board's name of any length was stored, and every page that listed it hung.
#[tokio::test]
async fn cve_2024_11043_names_have_an_end() {
    let app = TestApp::with_accounts();
    let long = "x".repeat(60_000);
    let named = app.ask("alice", "POST", &format!("/api/v1/boards/?board_name={long}")).await;
    assert_eq!(named.status, 422);
    let board = app.board("alice", "private").await;
    let renamed = app
        .ask_json("alice", "PATCH", &format!("/api/v1/boards/{board}"), &json!({"board_name": long}))
        .await;
    assert_eq!(renamed.status, 422);
    for (path, body) in [
        ("/api/v1/images/delete", json!({"image_names": [long]})),
        ("/api/v1/images/delete", json!({"image_names": vec!["a"; 1001]})),
        ("/api/v1/images/star", json!({"image_names": vec!["a"; 1001]})),
        ("/api/v1/images/images_by_names", json!({"image_names": [long]})),
        ("/api/v1/images/download", json!({"image_names": vec!["a"; 1001]})),
        ("/api/v1/board_images/batch", json!({"board_id": board, "image_names": [long]})),
    ] {
        assert_eq!(app.ask_json("alice", "POST", path, &body).await.status, 422, "{path}");
    }
}

/// A name in a path that is longer than any name is the name of nothing, and no fault.
#[tokio::test]
async fn endless_names_in_paths_are_names_of_nothing() {
    let app = TestApp::on_disk();
    let long = "x".repeat(20_000);
    for route in routes().filter(|route| !route.path_parameters().is_empty() && route.method == Method::Get) {
        let answer = ask(&app, &route, &with(&route, &long)).await;
        let text = String::from_utf8_lossy(&answer.body);
        assert!(
            answer.status < 500,
            "{}: {} {}",
            route.path,
            answer.status,
            &text[..text.len().min(200)]
        );
    }
}

/// CVE-2024-12029: loading a model ran the program in its pickle.
#[tokio::test]
async fn cve_2024_12029_a_pickle_is_refused_and_not_run() {
    let app = TestApp::on_disk();
    let canary = app.root.path().join("canary");
    for extension in ["ckpt", "pt", "pth", "bin"] {
        let model = app.root.path().join(format!("model.{extension}"));
        // What a pickle says to call `os.system`.
        fs::write(&model, format!("cposix\nsystem\n(S'touch {}'\ntR.", canary.display())).unwrap();
        let path = format!("/api/v2/models/install?source={}", model.display());
        let asked = app.ask_json("root", "POST", &path, &json!({})).await;
        assert_eq!(asked.status, 201, "{}", String::from_utf8_lossy(&asked.body));
        let job = format!("/api/v2/models/install/{}", asked.json()["id"]);
        loop {
            let status = app.ask("root", "GET", &job).await.json()["status"].as_str().unwrap().to_owned();
            match status.as_str() {
                "error" => break,
                "completed" => panic!("a pickle was installed: {extension}"),
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }
    assert!(!canary.exists());
}
