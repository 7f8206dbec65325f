//! Models over HTTP: what an administrator does with them, what a regular user may see, and what is refused.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::testkit::TestApp;

const LORA: &str = "tests/contract/pictures/addons/tiny-lora.safetensors";
const MAIN: &str = "assets/models/invoke-tiny";

pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        std::fs::copy(from, to).unwrap();
    }
}

/// Serves one file under every path, to as many as ask.
fn serve(file: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                if line.unwrap().is_empty() {
                    break;
                }
            }
            let body = std::fs::read(&file).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body).unwrap();
        }
    });
    port
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

async fn until<T>(mut ready: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..2400 {
        if let Some(found) = ready().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not happen within two minutes");
}

/// Installs a model as the administrator and returns its record.
pub(crate) async fn install(app: &TestApp, source: &str, inplace: bool) -> Value {
    let path = format!("/api/v2/models/install?source={}&inplace={inplace}", encoded(source));
    let answer = app.ask_json("root", "POST", &path, &json!({})).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    let id = answer.json()["id"].as_u64().unwrap();
    until(async || {
        let job = app.ask("root", "GET", &format!("/api/v2/models/install/{id}")).await.json();
        assert_ne!(job["status"], json!("error"), "{job:#}");
        (job["status"] == json!("completed")).then(|| job["config_out"].clone())
    })
    .await
}

/// The record of the main model that ships with the program.
pub(crate) async fn shipped_main(app: &TestApp) -> Value {
    let models = app.ask("alice", "GET", "/api/v2/models/").await.json();
    let mut all = models["models"].as_array().unwrap().iter();
    all.find(|model| model["type"] == "main").unwrap().clone()
}

pub(crate) fn named(record: &Value) -> Value {
    json!({"key": record["key"], "hash": record["hash"], "name": record["name"], "base": record["base"], "type": record["type"]})
}

/// A graph that draws with a main model and a LoRA of some weight.
fn drawing(main: &Value, lora: &Value, weight: f64) -> Value {
    let edge = |from: (&str, &str), to: (&str, &str)| json!({"source": {"node_id": from.0, "field": from.1}, "destination": {"node_id": to.0, "field": to.1}});
    let nodes = json!({
        "main": {"type": "main_model_loader", "id": "main", "model": named(main)},
        "lora": {"type": "lora_loader", "id": "lora", "lora": named(lora), "weight": weight},
        "with": {"type": "compel", "id": "with", "prompt": "a red circle"},
        "without": {"type": "compel", "id": "without", "prompt": ""},
        "noise": {"type": "noise", "id": "noise", "seed": 7, "width": 64, "height": 64},
        "draw": {"type": "denoise_latents", "id": "draw", "steps": 2, "cfg_scale": 2.0, "scheduler": "ddim"},
        "picture": {"type": "l2i", "id": "picture", "is_intermediate": false},
    });
    let edges = json!([
        edge(("main", "unet"), ("lora", "unet")),
        edge(("main", "clip"), ("lora", "clip")),
        edge(("lora", "clip"), ("with", "clip")),
        edge(("lora", "clip"), ("without", "clip")),
        edge(("lora", "unet"), ("draw", "unet")),
        edge(("with", "conditioning"), ("draw", "positive_conditioning")),
        edge(("without", "conditioning"), ("draw", "negative_conditioning")),
        edge(("noise", "noise"), ("draw", "noise")),
        edge(("draw", "latents"), ("picture", "latents")),
        edge(("main", "vae"), ("picture", "vae")),
    ]);
    json!({"batch": {"graph": {"nodes": nodes, "edges": edges}, "runs": 1}})
}

/// Puts a graph into somebody's queue and waits for how it ends.
pub(crate) async fn run(app: &TestApp, who: &str, graph: &Value) -> Value {
    let answer = app.ask_json(who, "POST", "/api/v1/queue/default/enqueue_batch", graph).await;
    assert!(answer.status < 300, "{}", answer.json());
    let id = answer.json()["item_ids"][0].as_i64().unwrap();
    until(async || {
        let item = app.ask(who, "GET", &format!("/api/v1/queue/default/i/{id}")).await.json();
        let over = ["completed", "failed", "canceled"].contains(&item["status"].as_str().unwrap());
        over.then_some(item)
    })
    .await
}

pub(crate) fn open() -> TestApp {
    TestApp::with_accounts_and(|settings| settings.allow_private_download_urls = true)
}

#[tokio::test(flavor = "multi_thread")]
async fn g38_an_administrator_installs_uses_edits_and_deletes_models() {
    let app = open();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("my main model");
    copy(&repository(MAIN), &place);
    let main = install(&app, place.to_str().unwrap(), false).await;
    assert!(!place.join("unet").exists(), "its files are moved");
    let port = serve(repository(LORA));
    let lora = install(&app, &format!("http://127.0.0.1:{port}/files/brush.safetensors"), false).await;
    assert_eq!(
        (&lora["name"], &lora["type"], &lora["source_type"]),
        (&json!("brush"), &json!("lora"), &json!("url"))
    );

    let item = run(&app, "alice", &drawing(&main, &lora, 0.5)).await;
    assert_eq!(item["status"], json!("completed"), "{item:#}");
    let pictures = app.ask("alice", "GET", "/api/v1/images/names").await.json();
    assert_eq!(pictures["image_names"].as_array().map(Vec::len), Some(1), "{pictures}");

    let path = format!("/api/v2/models/i/{}", lora["key"].as_str().unwrap());
    let changes = json!({"name": "Brush", "trigger_phrases": ["thick"], "default_settings": {"weight": 0.6}});
    let edited = app.ask_json("root", "PATCH", &path, &changes).await;
    assert_eq!(edited.status, 200, "{}", edited.json());
    assert_eq!(app.ask("alice", "GET", &path).await.json(), edited.json());
    assert_eq!(
        (&edited.json()["name"], &edited.json()["default_settings"]["weight"]),
        (&json!("Brush"), &json!(0.6))
    );
    let mismatched = app
        .ask_json("root", "PATCH", &path, &json!({"format": "diffusers", "base": "any"}))
        .await;
    assert_eq!(mismatched.status, 409, "{}", mismatched.json());

    let file = app.server.core.config().layout().models_dir().join(lora["path"].as_str().unwrap());
    assert!(file.is_file());
    assert_eq!(app.ask("root", "DELETE", &path).await.status, 204);
    assert_eq!(app.ask("root", "GET", &path).await.status, 404);
    assert!(!file.exists() && !file.parent().unwrap().exists(), "its files go with it");
    // Another weight, so that no result of before is taken again.
    let item = run(&app, "alice", &drawing(&main, &lora, 0.7)).await;
    assert_eq!(item["status"], json!("failed"), "a model that is gone draws nothing more");
}

/// A file may be cut short or exchanged after it was installed: the item that needs it fails and says why, and the server goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_went_bad_fails_its_item_and_nothing_else() {
    let app = open();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("brush.safetensors");
    let whole = std::fs::read(repository(LORA)).unwrap();
    std::fs::write(&file, &whole).unwrap();
    let lora = install(&app, file.to_str().unwrap(), true).await;
    let main = shipped_main(&app).await;
    let mut hostile = u64::MAX.to_le_bytes().to_vec();
    hostile.extend_from_slice(b"{}");
    // Another weight each time, so that no result of before is taken again.
    for (bytes, weight) in [(whole[..whole.len() / 2].to_vec(), 0.1), (hostile, 0.2), (Vec::new(), 0.3)] {
        std::fs::write(&file, bytes).unwrap();
        let item = run(&app, "alice", &drawing(&main, &lora, weight)).await;
        assert_eq!(item["status"], json!("failed"), "{item:#}");
        let told = item["error_message"].as_str().unwrap();
        assert!(
            !told.is_empty() && item["error_type"].is_string() && item["error_traceback"].is_string(),
            "{item:#}"
        );
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(run(&app, "alice", &drawing(&main, &lora, 0.4)).await["status"], json!("failed"));
    std::fs::write(&file, &whole).unwrap();
    let item = run(&app, "alice", &drawing(&main, &lora, 0.5)).await;
    assert_eq!(item["status"], json!("completed"), "{item:#}");
}

/// Upscalers are mostly published as torch saves them.
#[tokio::test(flavor = "multi_thread")]
async fn an_upscaler_that_torch_saved_is_installed_and_used() {
    let app = open();
    let file = repository("tests/numerics/vision/compact.pth");
    let model = install(&app, file.to_str().unwrap(), true).await;
    assert_eq!(
        (&model["type"], &model["base"], &model["format"], &model["name"]),
        (
            &json!("spandrel_image_to_image"),
            &json!("any"),
            &json!("checkpoint"),
            &json!("compact.pth")
        )
    );
    let nodes = json!({
        "blank": {"type": "blank_image", "id": "blank", "width": 48, "height": 32, "color": {"r": 200, "g": 30, "b": 60, "a": 255}},
        "large": {"type": "spandrel_image_to_image", "id": "large", "image_to_image_model": named(&model), "is_intermediate": false},
    });
    let edges = json!([{"source": {"node_id": "blank", "field": "image"}, "destination": {"node_id": "large", "field": "image"}}]);
    let item = run(
        &app,
        "alice",
        &json!({"batch": {"graph": {"nodes": nodes, "edges": edges}, "runs": 1}}),
    )
    .await;
    assert_eq!(item["status"], json!("completed"), "{item:#}");
    let results = item["session"]["results"].as_object().unwrap();
    assert!(
        results.values().any(|result| result["width"] == 96 && result["height"] == 64),
        "{results:#?}"
    );
    let path = format!("/api/v2/models/i/{}", model["key"].as_str().unwrap());
    assert_eq!(app.ask("root", "DELETE", &path).await.status, 204);
    assert!(file.is_file(), "what was installed in its place stays");
}

/// What the Models tab of a regular user can show, and that nothing behind its buttons would work: the page has none for them
/// (`tests/browser/page_models.test.mjs`).
#[tokio::test(flavor = "multi_thread")]
async fn g73_a_regular_user_sees_models_and_finds_no_way_to_add_any() {
    let app = open();
    let shown = |who: &'static str| {
        let app = &app;
        async move { app.ask(who, "GET", "/api/v2/models/").await.json()["models"].clone() }
    };
    let before = shown("alice").await;
    assert!(
        before.as_array().is_some_and(|models| !models.is_empty()),
        "the shipped model at least"
    );
    assert_eq!(before, shown("root").await, "the same that an administrator sees");
    let source = encoded(repository(LORA).to_str().unwrap());
    let folder = encoded(repository("tests").to_str().unwrap());
    for (method, path) in [
        ("POST", format!("/api/v2/models/install?source={source}")),
        ("GET", format!("/api/v2/models/install/huggingface?source={source}")),
        // What an administrator chooses from.
        ("GET", "/api/v2/models/install".into()),
        ("GET", format!("/api/v2/models/scan_folder?scan_path={folder}")),
    ] {
        let answer = app.ask_json("alice", method, &path, &json!({})).await;
        assert_eq!(
            (answer.status, answer.detail().as_str()),
            (403, "Admin privileges required"),
            "{method} {path}"
        );
    }
    assert_eq!(shown("alice").await, before);
    install(&app, repository(LORA).to_str().unwrap(), true).await;
    assert_eq!(
        shown("alice").await.as_array().map(Vec::len),
        before.as_array().map(|models| models.len() + 1),
        "what an administrator adds is seen"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn g30_a_regular_user_is_refused_every_change_of_models() {
    let app = open();
    let lora = install(&app, repository(LORA).to_str().unwrap(), true).await;
    let key = lora["key"].as_str().unwrap();
    let one = format!("/api/v2/models/i/{key}");
    let source = encoded(repository(LORA).to_str().unwrap());
    let writes: Vec<(&str, String, Value)> = vec![
        ("POST", format!("/api/v2/models/install?source={source}"), json!({})),
        ("POST", "/api/v2/models/install?source=owner%2Fname".into(), json!({})),
        ("GET", "/api/v2/models/install/huggingface?source=owner%2Fname".into(), Value::Null),
        ("DELETE", "/api/v2/models/install".into(), Value::Null),
        ("DELETE", "/api/v2/models/install/0".into(), Value::Null),
        ("POST", "/api/v2/models/install/0/pause".into(), Value::Null),
        ("POST", "/api/v2/models/install/0/resume".into(), Value::Null),
        ("POST", "/api/v2/models/install/0/restart_failed".into(), Value::Null),
        (
            "POST",
            "/api/v2/models/install/0/restart_file".into(),
            json!("http://example.com/x"),
        ),
        ("PATCH", one.clone(), json!({"name": "mine"})),
        ("DELETE", one.clone(), Value::Null),
        ("POST", "/api/v2/models/i/bulk_delete".into(), json!({"keys": [key]})),
        ("POST", format!("{one}/reidentify"), Value::Null),
        ("POST", "/api/v2/models/i/bulk_reidentify".into(), json!({"keys": [key]})),
        ("DELETE", format!("{one}/image"), Value::Null),
        ("PUT", format!("/api/v2/models/convert/{key}"), Value::Null),
        ("POST", "/api/v2/models/hf_login".into(), json!({"token": "hf_x"})),
        ("DELETE", "/api/v2/models/hf_login".into(), Value::Null),
        ("POST", "/api/v2/models/empty_model_cache".into(), Value::Null),
        ("DELETE", "/api/v2/models/sync/orphaned".into(), json!({"paths": ["x"]})),
        (
            "POST",
            "/api/v1/model_relationships/".into(),
            json!({"model_key_1": key, "model_key_2": "x"}),
        ),
        (
            "DELETE",
            "/api/v1/model_relationships/".into(),
            json!({"model_key_1": key, "model_key_2": "x"}),
        ),
    ];
    for (method, path, body) in writes {
        let answer = if body.is_null() {
            app.ask("alice", method, &path).await
        } else {
            app.ask_json("alice", method, &path, &body).await
        };
        assert_eq!(
            (answer.status, answer.detail().as_str()),
            (403, "Admin privileges required"),
            "{method} {path}"
        );
    }
    assert_eq!(app.ask("alice", "GET", &one).await.json(), lora, "nothing changed");
    let jobs = app.ask("root", "GET", "/api/v2/models/install").await.json();
    assert_eq!(jobs.as_array().map(Vec::len), Some(1), "no job was added or dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn g27_a_regular_user_views_the_models() {
    let app = open();
    let lora = install(&app, repository(LORA).to_str().unwrap(), true).await;
    let (key, hash) = (lora["key"].as_str().unwrap(), lora["hash"].as_str().unwrap());
    let list = app.ask("alice", "GET", "/api/v2/models/?model_type=lora").await;
    assert_eq!((list.status, list.json()), (200, json!({"models": [lora]})));
    for path in [
        format!("/api/v2/models/i/{key}"),
        format!("/api/v2/models/get_by_hash?hash={}", encoded(hash)),
        "/api/v2/models/get_by_attrs?name=tiny-lora&type=lora&base=sd-1".into(),
    ] {
        let answer = app.ask("alice", "GET", &path).await;
        assert_eq!((answer.status, answer.json()), (200, lora.clone()), "{path}");
    }
    assert_eq!(
        app.ask("alice", "GET", "/api/v2/models/missing").await.json(),
        json!({"models": []})
    );
    assert_eq!(app.ask("anonymous", "GET", "/api/v2/models/").await.status, 401);
}
