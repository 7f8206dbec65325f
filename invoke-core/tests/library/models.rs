use std::{
    path::Path,
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use invoke_core::domain::ModelKey;
use serde_json::{Map, json};

use crate::house::{House, absent, forbidden};

fn tiny() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/models/invoke-tiny");
    path.display().to_string()
}

#[test]
fn g27_users_look_at_models() {
    let house = House::new();
    let seen = house.models(&house.alice, None);
    let key = ModelKey::new(seen[0]["key"].as_str().unwrap());
    assert_eq!(house.core.models.get(&house.alice, &key).unwrap()["name"], seen[0]["name"]);
}

#[test]
fn g30_users_do_not_change_models() {
    let house = House::new();
    let key = house.models(&house.alice, None)[0]["key"].as_str().unwrap().to_owned();
    let models = &house.core.models;
    assert!(forbidden(models.install(&house.alice, &tiny(), true, None, Map::new())));
    assert!(forbidden(models.update(&house.alice, &key, &Map::new())) && forbidden(models.delete(&house.alice, &key)));
    assert!(models.get(&house.alice, &ModelKey::new(key)).is_ok());
}

#[test]
fn g38_administrators_install_change_and_delete_models() {
    let house = House::new();
    let models = &house.core.models;
    let wishes = Map::from_iter([("name".to_owned(), json!("tiny two"))]);
    let job = models.install(&house.admin, &tiny(), true, None, wishes).unwrap()["id"]
        .as_u64()
        .unwrap();
    let start = house.core.env().monotonic_ns();
    let (_sender, silence) = mpsc::channel::<()>();
    while !["completed", "error"].contains(&models.install_job(&house.admin, job).unwrap()["status"].as_str().unwrap()) {
        assert!(house.core.env().monotonic_ns() - start < 60_000_000_000, "not within a minute");
        assert_eq!(silence.recv_timeout(Duration::from_millis(20)), Err(RecvTimeoutError::Timeout));
    }
    let installed = house.models(&house.alice, Some("tiny two"));
    let key = installed[0]["key"].as_str().unwrap();
    let changes = Map::from_iter([("description".to_owned(), json!("small"))]);
    assert_eq!(models.update(&house.admin, key, &changes).unwrap()["description"], "small");
    models.delete(&house.admin, key).unwrap();
    assert!(absent(models.get(&house.alice, &ModelKey::new(key))) && Path::new(&tiny()).is_dir());
}
