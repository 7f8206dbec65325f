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

/// Bytes of the denoiser in memory, after a picture.
fn denoiser_bytes(house: &House) -> u64 {
    house
        .core
        .text_to_image(&house.alice, &House::request("a red circle", 1), |_, _| {})
        .unwrap();
    let stats = house.core.app.model_cache_stats(&house.admin).unwrap();
    let sizes = stats["loaded_model_sizes"].as_object().unwrap();
    sizes.iter().find(|(name, _)| name.ends_with(":unet")).unwrap().1.as_u64().unwrap()
}

#[test]
fn the_configuration_says_in_which_numbers_a_denoiser_is_held() {
    let (single, half) = (House::with("precision: float32\n"), House::with("precision: bfloat16\n"));
    let share = if invoke_kernels::holds_halves() { 2 } else { 1 };
    assert_eq!(denoiser_bytes(&half) * share, denoiser_bytes(&single));
}

#[test]
fn models_leave_the_memory_when_nobody_has_used_them_for_a_while() {
    let house = House::with("model_cache_keep_alive_min: 0.001\n");
    house
        .core
        .text_to_image(&house.alice, &House::request("a red circle", 1), |_, _| {})
        .unwrap();
    let (_silent, clock) = mpsc::channel::<()>();
    let are_gone = (0..6000).any(|_| {
        assert_eq!(clock.recv_timeout(Duration::from_millis(10)), Err(RecvTimeoutError::Timeout));
        house.core.app.model_cache_stats(&house.admin).unwrap()["in_cache"] == 0
    });
    assert!(are_gone);
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
