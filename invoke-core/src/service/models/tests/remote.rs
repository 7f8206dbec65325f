//! Files from addresses.

use serde_json::{Map, json};

use super::{
    Kit, lora,
    server::{Page, Server},
};
use crate::{
    authz::Actor,
    config::{Secret, Settings, UrlToken},
    models::remote::{Client, HttpError},
};

fn open() -> Settings {
    Settings {
        allow_private_download_urls: true,
        ..Settings::default()
    }
}

#[test]
fn a_model_is_installed_from_an_address_and_its_way_is_told() {
    let kit = Kit::new();
    kit.server.put("/files/brush.safetensors", Page::of(lora()));
    kit.server.put("/d/42/get", Page::redirect("/files/brush.safetensors"));
    let url = kit.server.url("/d/42/get");
    kit.server.put(
        "/files/brush.safetensors",
        Page::of(lora()).header("content-disposition", "attachment; filename=\"brush.safetensors\""),
    );
    let id = kit.install(&url);
    let job = kit.wait(id, "completed");
    assert_eq!(job["source"], json!({"url": url, "access_token": null, "type": "url"}));
    let part = &job["download_parts"][0];
    assert_eq!(
        (&part["status"], &part["bytes"], &part["source"], &part["final_url"], &part["etag"]),
        (
            &json!("completed"),
            &json!(lora().len()),
            &json!(url),
            &json!(kit.server.url("/files/brush.safetensors")),
            &json!("\"v1\"")
        )
    );
    let record = kit.record(&job);
    assert_eq!(
        (
            &record["name"],
            &record["type"],
            &record["base"],
            &record["source"],
            &record["source_type"],
            &record["file_size"]
        ),
        (
            &json!("brush"),
            &json!("lora"),
            &json!("sd-1"),
            &json!(url),
            &json!("url"),
            &json!(lora().len())
        )
    );
    let file = kit.models.shared.layout.models_dir().join(record["path"].as_str().unwrap());
    assert_eq!(std::fs::read(file).unwrap(), lora());
    assert_eq!(kit.folders(), 0);
    kit.until(|| kit.names().iter().any(|name| name == "model_install_complete").then_some(()));
    assert_eq!(
        kit.names(),
        [
            "download_started",
            "model_install_download_progress",
            "download_progress",
            "model_install_downloads_complete",
            "download_complete",
            "model_install_started",
            "model_install_complete"
        ]
    );
    let last = kit
        .events
        .lock()
        .iter()
        .rfind(|(name, _)| name == "model_install_download_progress")
        .unwrap()
        .1
        .clone();
    assert_eq!((&last["bytes"], &last["total_bytes"]), (&json!(lora().len()), &json!(lora().len())));
    assert_eq!(last["parts"][0]["url"], json!(url));
}

#[test]
fn a_second_wish_for_a_living_source_gets_its_job() {
    let kit = Kit::new();
    let mut page = Page::of(lora());
    page.hold = Some(1000);
    kit.server.put("/x.safetensors", page);
    let id = kit.install(&kit.server.url("/x.safetensors"));
    assert_eq!(kit.install(&kit.server.url("/x.safetensors")), id);
    kit.server.open();
    kit.wait(id, "completed");
    assert_eq!(kit.written_down(), [format!("models.install {}", kit.server.url("/x.safetensors"))]);
}

#[test]
fn what_breaks_off_is_gone_on_with_where_it_broke_off() {
    let kit = Kit::new();
    let mut page = Page::of(lora());
    page.cut = Some(150_000);
    kit.server.put("/x.safetensors", page);
    let id = kit.install(&kit.server.url("/x.safetensors"));
    let job = kit.wait(id, "paused");
    let part = &job["download_parts"][0];
    assert_eq!(
        (&part["status"], &part["resume_required"], &part["bytes"]),
        (&json!("paused"), &json!(true), &json!(150_000))
    );
    kit.server.put("/x.safetensors", Page::of(lora()));
    kit.models.resume_install(&Actor::local_operator(), id).unwrap();
    let job = kit.wait(id, "completed");
    assert_eq!(job["download_parts"][0]["resume_required"], json!(false));
    let asked = kit.server.asked("/x.safetensors");
    assert_eq!(asked[1].headers["range"], "bytes=150000-");
    assert_eq!(asked[1].headers["if-range"], "\"v1\"");
    assert_eq!(kit.record(&job)["file_size"], json!(lora().len()));
}

#[test]
fn what_cannot_be_gone_on_with_begins_anew_when_somebody_says_so() {
    for one_file in [false, true] {
        let kit = Kit::new();
        let url = kit.server.url("/x.safetensors");
        let mut page = Page::of(lora());
        (page.cut, page.ranges) = (Some(150_000), false);
        kit.server.put("/x.safetensors", page.clone());
        let id = kit.install(&url);
        kit.wait(id, "paused");
        page.cut = None;
        kit.server.put("/x.safetensors", page);
        let admin = Actor::local_operator();
        kit.models.resume_install(&admin, id).unwrap();
        kit.until(|| (kit.server.asked("/x.safetensors").len() == 2).then_some(()));
        let job = kit.wait(id, "paused");
        assert!(
            job["download_parts"][0]["resume_message"].as_str().unwrap().contains("begin anew"),
            "{job:#}"
        );
        if one_file {
            kit.models.restart_install_file(&admin, id, &url).unwrap();
        } else {
            kit.models.restart_failed_install(&admin, id).unwrap();
        }
        kit.wait(id, "completed");
        assert!(!kit.server.asked("/x.safetensors")[2].headers.contains_key("range"));
        kit.models.resume_install(&admin, id).unwrap();
        let again = if one_file { "install_file" } else { "failed_install" };
        assert_eq!(
            kit.written_down()[1..],
            [format!("models.resume_install {url}"), format!("models.restart_{again} {url}")]
        );
    }
}

#[test]
fn what_cannot_be_written_down_is_not_installed() {
    let kit = Kit::new();
    kit.server.put("/x.safetensors", Page::of(lora()));
    let full = "CREATE TRIGGER full BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'full'); END";
    kit.models.shared.db.write(|tx| tx.sql().execute_batch(full)).unwrap();
    let admin = Actor::local_operator();
    let url = kit.server.url("/x.safetensors");
    assert!(kit.models.install(&admin, &url, false, None, Map::new()).is_err());
    assert_eq!((kit.folders(), kit.models.install_jobs(&admin).unwrap()), (0, json!([])));
}

#[test]
fn a_download_that_was_called_off_leaves_nothing() {
    let kit = Kit::new();
    let mut page = Page::of(lora());
    page.hold = Some(1000);
    kit.server.put("/x.safetensors", page);
    let url = kit.server.url("/x.safetensors");
    let id = kit.install(&url);
    kit.wait(id, "downloading");
    for _ in 0..2 {
        kit.models.cancel_install(&Actor::local_operator(), id).unwrap();
    }
    assert_eq!(kit.written_down()[1..], [format!("models.cancel_install {url}")]);
    kit.until(|| kit.names().contains(&"model_install_cancelled".to_owned()).then_some(()));
    assert_eq!(kit.job(id)["status"], json!("cancelled"));
    assert_eq!(kit.job(id)["download_parts"][0]["status"], json!("cancelled"));
    assert_eq!(kit.folders(), 0);
    assert!(kit.names().contains(&"download_cancelled".to_owned()));
}

#[test]
fn a_paused_download_waits_over_a_restart_and_one_that_ran_goes_on_by_itself() {
    let kit = Kit::new();
    let mut page = Page::of(lora());
    page.hold = Some(140_000);
    kit.server.put("/x.safetensors", page);
    let url = kit.server.url("/x.safetensors");
    let id = kit.install(&url);
    kit.until(|| (kit.job(id)["bytes"] == json!(131_072) || kit.job(id)["bytes"] == json!(140_000)).then_some(()));
    let job = kit.models.pause_install(&Actor::local_operator(), id).unwrap();
    assert_eq!(job["status"], json!("paused"));
    kit.server.put("/x.safetensors", Page::of(lora()));

    let kit = kit.again();
    let job = kit.job(0);
    assert_eq!((&job["status"], &job["source"]["url"]), (&json!("paused"), &json!(url)));
    kit.models.resume_install(&Actor::local_operator(), 0).unwrap();
    kit.wait(0, "completed");
    assert!(kit.server.asked("/x.safetensors")[1].headers["range"].starts_with("bytes=1"));

    // A process that dies leaves the folder as it is while bytes arrive.
    let folder = kit.models.shared.layout.models_dir().join("tmpinstall_left");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("y.safetensors.downloading"), &lora()[..5000]).unwrap();
    kit.server.put("/y.safetensors", Page::of(lora()));
    let url = kit.server.url("/y.safetensors");
    let marker = json!({
        "version": 1, "source": url, "access_token": "mine", "config_in": {"name": "Kept name", "base": null}, "status": "downloading",
        "updated_at": "", "files": [{"url": url, "etag": "\"v1\"", "download_path": folder.join("y.safetensors")}],
    });
    std::fs::write(folder.join(".invokeai_install.json"), marker.to_string()).unwrap();
    // And one whose state nobody can read.
    std::fs::create_dir(folder.with_file_name("tmpinstall_unreadable")).unwrap();
    let kit = kit.again();
    let job = kit.wait(0, "completed");
    assert_eq!(kit.record(&job)["name"], json!("Kept name"));
    let asked = &kit.server.asked("/y.safetensors")[0];
    assert_eq!(
        (&*asked.headers["range"], &*asked.headers["authorization"]),
        ("bytes=5000-", "Bearer mine")
    );
    assert_eq!(kit.folders(), 0);
}

#[test]
fn private_addresses_are_refused_unless_the_configuration_permits_them() {
    let kit = Kit::with(Settings::default());
    kit.server.put("/x.safetensors", Page::of(lora()));
    let id = kit.install(&kit.server.url("/x.safetensors"));
    let job = kit.wait(id, "error");
    assert_eq!(job["error_reason"], json!("UnsafeDownloadURLException"));
    assert!(job["error"].as_str().unwrap().contains("allow_private_download_urls"), "{job:#}");
    assert!(kit.server.asked("/x.safetensors").is_empty());
    assert_eq!(kit.folders(), 0);
    // The second is told after the job's status has changed.
    kit.until(|| (kit.names().len() > 1).then_some(()));
    assert_eq!(kit.names(), ["model_install_error", "download_error"]);
}

#[test]
fn leak_9492_and_9258_every_hop_of_a_redirect_is_judged() {
    let server = Server::start();
    server.put("/there", Page::redirect(&server.url("/secret")));
    server.put("/secret", Page::of("secret"));
    server.put("/circle", Page::redirect("/circle"));
    server.put("/odd", Page::redirect("file:///etc/passwd"));
    let line = Client::pretending("public.test", server.port()).line();
    let ask = |path: &str| {
        let url = format!("http://public.test:{}{path}", server.port());
        line.get(&url.parse().unwrap(), &[], Some("token"))
    };
    assert_eq!(ask("/secret").unwrap().status, 200);
    assert!(matches!(ask("/there").unwrap_err(), HttpError::Private(_)));
    assert!(matches!(ask("/circle").unwrap_err(), HttpError::Redirects(_)));
    assert!(matches!(ask("/odd").unwrap_err(), HttpError::Scheme(_)));
    // Once by its public name, never by the redirect.
    assert_eq!(server.asked("/secret").len(), 1);
}

#[test]
fn tokens_come_from_the_request_or_the_configuration_and_those_are_shown_to_nobody() {
    let kit = Kit::with(Settings {
        remote_api_tokens: Some(vec![UrlToken {
            url_regex: "/members/".into(),
            token: Secret::new("configured"),
        }]),
        ..open()
    });
    for path in ["/members/only/a.safetensors", "/members/only/b.safetensors", "/c.safetensors"] {
        kit.server.put(path, Page::of(lora()));
    }
    let sent = |path: &str| kit.server.asked(path)[0].headers.get("authorization").cloned();
    let job = kit.wait(kit.install(&kit.server.url("/members/only/a.safetensors")), "completed");
    assert_eq!(sent("/members/only/a.safetensors").as_deref(), Some("Bearer configured"));
    assert!(!job.to_string().contains("configured") && !format!("{:?}", kit.events.lock()).contains("configured"));
    let job = kit.wait(
        kit.install_with(&kit.server.url("/members/only/b.safetensors"), Some("given")),
        "completed",
    );
    assert_eq!(sent("/members/only/b.safetensors").as_deref(), Some("Bearer given"));
    assert_eq!(job["source"]["access_token"], json!("given"));
    kit.wait(kit.install(&kit.server.url("/c.safetensors")), "completed");
    assert_eq!(sent("/c.safetensors"), None);
}

#[test]
fn what_is_no_model_fails_in_words_and_leaves_nothing() {
    let kit = Kit::new();
    let page = Page::of("<html>sign in</html>").header("content-type", "text/html; charset=utf-8");
    kit.server.put("/login", page);
    let job = kit.wait(kit.install(&kit.server.url("/login")), "error");
    assert_eq!(job["error_reason"], json!("ValueError"));
    assert!(job["error"].as_str().unwrap().contains("access token"), "{job:#}");

    let job = kit.wait(kit.install(&kit.server.url("/absent.safetensors")), "error");
    assert_eq!((&job["error_reason"], &job["error"]), (&json!("HTTPError"), &json!("Not Found")));
    assert_eq!(job["download_parts"], json!([]));

    kit.server.put("/", Page::of(lora()));
    let job = kit.wait(kit.install(&kit.server.url("/")), "error");
    assert!(job["error"].as_str().unwrap().starts_with("No safe name"), "{job:#}");

    let mut broken = lora();
    broken.truncate(9000);
    kit.server.put("/short.safetensors", Page::of(broken));
    let job = kit.wait(kit.install(&kit.server.url("/short.safetensors")), "error");
    assert_eq!(job["error_reason"], json!("InvalidModelConfigException"));
    assert_eq!(kit.folders(), 0);

    // Begun again, everything is fetched again.
    kit.server.put("/short.safetensors", Page::of(lora()));
    let mut page = Page::of(lora());
    page.chunked = true;
    kit.server.put("/unmeasured.safetensors", page);
    kit.wait(kit.install(&kit.server.url("/unmeasured.safetensors")), "completed");
}
