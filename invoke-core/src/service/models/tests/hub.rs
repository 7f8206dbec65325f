//! Repositories of the hub.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Kit, lora, server::Page};
use crate::{
    authz::Actor,
    domain::Error,
    service::models::{LinkOutcome, TokenStatus},
};

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Puts a repository on the server: its description and its files.
fn repository(kit: &Kit, id: &str, files: &[(&str, Vec<u8>)]) {
    let siblings: Vec<Value> = files
        .iter()
        .map(|(name, bytes)| {
            let large = name
                .ends_with("safetensors")
                .then(|| json!({"sha256": sha256(bytes), "size": bytes.len()}));
            json!({"rfilename": name, "size": bytes.len(), "lfs": large})
        })
        .collect();
    let answer = json!({"id": id, "siblings": siblings}).to_string();
    kit.server.put(&format!("/api/models/{id}"), Page::of(answer));
    for (name, bytes) in files {
        kit.server.put(&format!("/{id}/resolve/main/{name}"), Page::of(bytes.clone()));
    }
}

fn vae() -> Vec<(&'static str, Vec<u8>)> {
    let config = json!({"_class_name": "AutoencoderKL", "scaling_factor": 0.18215}).to_string();
    vec![
        ("README.md", b"read me".to_vec()),
        ("model_index.json", b"{}".to_vec()),
        ("vae/config.json", config.into_bytes()),
        ("vae/diffusion_pytorch_model.safetensors", lora()),
        ("vae/diffusion_pytorch_model.fp16.safetensors", lora()),
        ("vae/diffusion_pytorch_model.bin", b"pickle".to_vec()),
    ]
}

#[test]
fn a_subfolder_of_a_repository_is_installed_with_the_weights_of_its_variant() {
    let kit = Kit::new();
    repository(&kit, "ann/turbo", &vae());
    let job = kit.wait(kit.install("ann/turbo::vae"), "completed");
    let record = kit.record(&job);
    assert_eq!(
        (
            &record["name"],
            &record["type"],
            &record["source"],
            &record["source_type"],
            &record["repo_variant"]
        ),
        (
            &json!("turbo_vae"),
            &json!("vae"),
            &json!("ann/turbo::vae"),
            &json!("hf_repo_id"),
            &json!("")
        )
    );
    assert!(record["source_api_response"].as_str().unwrap().contains("\"ann/turbo\""));
    assert_eq!(job["source_metadata"]["is_diffusers"], json!(true));
    let parts: Vec<&str> = job["download_parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["source"].as_str().unwrap())
        .collect();
    assert_eq!(
        parts,
        ["config.json", "diffusion_pytorch_model.safetensors"].map(|name| kit.server.url(&format!("/ann/turbo/resolve/main/vae/{name}")))
    );
    let names = kit.names();
    let count = |wanted: &str| names.iter().filter(|name| *name == wanted).count();
    assert_eq!(
        (
            count("download_started"),
            count("download_complete"),
            count("model_install_downloads_complete")
        ),
        (2, 2, 1)
    );

    let job = kit.wait(kit.install("ann/turbo:fp16:vae"), "completed");
    let record = kit.record(&job);
    assert_eq!(
        (&record["source"], &record["repo_variant"]),
        (&json!("ann/turbo:fp16:vae"), &json!(""))
    );
}

#[test]
fn one_file_of_a_repository_and_the_page_of_a_file_are_that_file() {
    let kit = Kit::new();
    repository(
        &kit,
        "ann/brushes",
        &[("deep/er/brush.safetensors", lora()), ("other.safetensors", lora())],
    );
    let job = kit.wait(kit.install("ann/brushes::deep/er/brush.safetensors"), "completed");
    assert_eq!(kit.record(&job)["name"], json!("brushes_brush"));
    let page = kit.server.url("/ann/brushes/blob/main/other.safetensors");
    let job = kit.wait(kit.install(&page), "completed");
    assert_eq!(
        (&kit.record(&job)["name"], &kit.record(&job)["source"]),
        (&json!("other"), &json!(page))
    );
}

#[test]
fn a_file_with_another_checksum_than_the_hub_says_is_refused() {
    let kit = Kit::new();
    repository(&kit, "ann/turbo", &vae());
    let mut other = lora();
    *other.last_mut().unwrap() ^= 1;
    kit.server
        .put("/ann/turbo/resolve/main/vae/diffusion_pytorch_model.safetensors", Page::of(other));
    let job = kit.wait(kit.install("ann/turbo::vae"), "error");
    assert!(job["error"].as_str().unwrap().contains("SHA-256"), "{job:#}");
    assert_eq!(kit.folders(), 0);
    // Begun again, the good file is fetched again too: nothing of the job was kept.
    repository(&kit, "ann/turbo", &vae());
    let id = job["id"].as_u64().unwrap();
    kit.models.restart_failed_install(&Actor::local_operator(), id).unwrap();
    kit.until(|| (kit.job(id)["status"] == json!("completed")).then_some(()));
}

#[test]
fn an_unknown_repository_is_named_and_nothing_is_begun() {
    let kit = Kit::new();
    let admin = Actor::local_operator();
    repository(&kit, "ann/texts", &[("README.md", b"x".to_vec())]);
    for (source, words) in [("no/such", "not found on the hub"), ("ann/texts", "No downloadable files found")] {
        let error = kit.models.install(&admin, source, false, None, Map::new()).unwrap_err();
        assert!(matches!(&error, Error::Conflict(text) if text.contains(words)), "{source}: {error}");
    }
    assert_eq!((kit.folders(), kit.models.install_jobs(&admin).unwrap()), (0, json!([])));
}

#[test]
fn a_repository_tells_its_checkpoints_and_a_link_installs_the_only_one() {
    let kit = Kit::new();
    let admin = Actor::local_operator();
    repository(&kit, "ann/one", &[("brush.safetensors", lora()), ("README.md", b"x".to_vec())]);
    repository(&kit, "ann/two", &[("a.safetensors", lora()), ("b.ckpt", b"x".to_vec())]);
    repository(&kit, "ann/turbo", &vae());
    let asked = |id: &str| kit.models.hub_repository(&admin, Some(id));
    assert_eq!(
        asked("ann/one").unwrap(),
        json!({"urls": [kit.server.url("/ann/one/resolve/main/brush.safetensors")], "is_diffusers": false})
    );
    assert_eq!(asked("ann/turbo").unwrap(), json!({"urls": null, "is_diffusers": true}));
    for id in ["no/such", "no", "../x"] {
        assert!(
            matches!(asked(id), Err(Error::BadRequest(text)) if text == "No HuggingFace repository found"),
            "{id}"
        );
    }
    let link = |id: &str| kit.models.install_by_link(&admin, id).unwrap();
    assert_eq!((link("no/such"), link("ann/two")), (LinkOutcome::Unknown, LinkOutcome::Several));
    assert_eq!(link("ann/one"), LinkOutcome::Begun);
    kit.wait(0, "completed");
}

#[test]
fn a_token_of_the_hub_is_kept_if_the_hub_knows_it_and_sent_to_the_hub() {
    let kit = Kit::new();
    let admin = Actor::local_operator();
    let status = || kit.models.hub_token_status(&admin).unwrap();
    assert_eq!(status(), TokenStatus::Invalid);
    assert_eq!(kit.models.set_hub_token(&admin, "hf_unknown").unwrap(), TokenStatus::Invalid);
    kit.server.put("/api/whoami-v2", Page::of("{}"));
    assert_eq!(kit.models.set_hub_token(&admin, "hf_known").unwrap(), TokenStatus::Valid);
    assert_eq!(
        kit.server.asked("/api/whoami-v2").last().unwrap().headers["authorization"],
        "Bearer hf_known"
    );

    repository(&kit, "ann/turbo", &vae());
    let job = kit.wait(kit.install("ann/turbo::vae"), "completed");
    for path in ["/api/models/ann/turbo", "/ann/turbo/resolve/main/vae/config.json"] {
        assert_eq!(kit.server.asked(path)[0].headers["authorization"], "Bearer hf_known", "{path}");
    }
    assert!(!job.to_string().contains("hf_known"));

    let mut gone = Page::of("");
    gone.status = 500;
    kit.server.put("/api/whoami-v2", gone);
    assert_eq!(status(), TokenStatus::Unknown);
    for _ in 0..2 {
        assert_eq!(kit.models.forget_hub_token(&admin).unwrap(), TokenStatus::Invalid);
    }
    assert_eq!(
        kit.written_down(),
        ["models.set_hub_token", "models.install ann/turbo::vae", "models.forget_hub_token"]
    );
}
