//! Pictures of several users that are denoised as one batch.

use std::{collections::HashMap, sync::mpsc};

use invoke_core::{
    authz::Actor,
    domain::{ImageName, ItemId},
    events::{Event, Subscription},
    service::auth::{AccountChange, Content},
};
use serde_json::{Value, json};

use crate::house::{House, queue};

/// A small picture's batch.
fn picture(house: &House, prompt: &str, seed: u32, steps: u64) -> Value {
    let model = &house.models(&house.admin, Some("invoke-tiny"))[0];
    let model = json!({"key": model["key"], "hash": model["hash"], "name": model["name"], "base": model["base"], "type": model["type"]});
    let edge = |from: &str, output: &str, to: &str, input: &str| json!({"source": {"node_id": from, "field": output}, "destination": {"node_id": to, "field": input}});
    json!({"graph": {"id": "g", "nodes": {
        "model": {"id": "model", "type": "main_model_loader", "model": model},
        "positive": {"id": "positive", "type": "compel", "prompt": prompt, "use_cache": false},
        "negative": {"id": "negative", "type": "compel", "prompt": "", "use_cache": false},
        "noise": {"id": "noise", "type": "noise", "seed": seed, "width": 64, "height": 64},
        "denoise": {"id": "denoise", "type": "denoise_latents", "steps": steps, "cfg_scale": 5.0, "scheduler": "euler_a", "use_cache": false},
        "picture": {"id": "picture", "type": "l2i", "is_intermediate": false, "use_cache": false},
    }, "edges": [
        edge("model", "clip", "positive", "clip"),
        edge("model", "clip", "negative", "clip"),
        edge("model", "unet", "denoise", "unet"),
        edge("positive", "conditioning", "denoise", "positive_conditioning"),
        edge("negative", "conditioning", "denoise", "negative_conditioning"),
        edge("noise", "noise", "denoise", "noise"),
        edge("model", "vae", "picture", "vae"),
        edge("denoise", "latents", "picture", "latents"),
    ]}})
}

/// A picture that takes longer than any test: it is canceled, or its run ends with the program's.
fn long_picture(house: &House, prompt: &str, seed: u32) -> Value {
    let mut batch = picture(house, prompt, seed, 1000);
    let noise = &mut batch["graph"]["nodes"]["noise"];
    (noise["width"], noise["height"]) = (json!(256), json!(256));
    batch
}

/// The pixels that an item made, seen as its owner.
fn pixels(house: &House, owner: &Actor, item: ItemId) -> image::RgbImage {
    let ended = house.ended(owner, item);
    assert_eq!(ended["status"], "completed", "{}", ended["error_message"]);
    let results = ended["session"]["results"].as_object().unwrap();
    let name = results.values().find_map(|result| result["image"]["image_name"].as_str()).unwrap();
    let mut file = house.core.images.full(owner, ImageName::parse(name).unwrap()).unwrap();
    image::load_from_memory(&file.read_all().unwrap()).unwrap().to_rgb8()
}

fn largest_difference(a: &image::RgbImage, b: &image::RgbImage) -> u8 {
    assert_eq!(a.dimensions(), b.dimensions());
    a.iter().zip(b.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// Steps of items' denoising as they are told, and when each began and ended.
fn listen(house: &House) -> (Subscription, mpsc::Receiver<(ItemId, String)>) {
    let (tell, told) = mpsc::channel();
    let listening = house.core.bus().subscribe(move |published| {
        let what = match &*published.event {
            Event::InvocationProgress {
                base,
                message,
                percentage: Some(share),
                image: Some(_),
                ..
            } if message == "Denoising" => (base.item_id, format!("{share:.2}")),
            Event::QueueItemStatusChanged(change) => (change.item_id, change.status.as_str().to_owned()),
            _ => return,
        };
        // The test may be over.
        let _ = tell.send(what);
    });
    (listening, told)
}

/// Waits until so many items have told of two steps each.
fn under_way(told: &mpsc::Receiver<(ItemId, String)>, items: usize) {
    let mut seen: HashMap<ItemId, usize> = HashMap::new();
    while seen.len() < items || seen.values().any(|steps| *steps < 2) {
        let (item, said) = told.recv_timeout(std::time::Duration::from_mins(1)).expect("they denoise");
        *seen.entry(item).or_default() += usize::from(said.contains('.'));
    }
}

/// Waits until some have told that they were canceled, and another has told of two steps after that.
fn goes_on_without(told: &mpsc::Receiver<(ItemId, String)>, mut gone: Vec<ItemId>, other: ItemId) {
    let mut steps = 0;
    while steps < 2 {
        let (item, said) = told.recv_timeout(std::time::Duration::from_mins(1)).expect("it goes on");
        assert!(item != other || said.contains('.'), "it was {said}");
        if said == "canceled" {
            gone.retain(|id| *id != item);
        }
        steps += usize::from(gone.is_empty() && item == other);
    }
}

fn at_a_time(house: &House, n: usize) {
    house.core.engines().iter().for_each(|engine| engine.gains().fix(Some(n)));
}

/// Lets these run at once, as far as the queue lets them, and waits until all have ended.
fn run(house: &House, batches: Vec<(&Actor, Value)>) -> (Vec<ItemId>, Vec<(ItemId, String)>) {
    let (_listening, told) = listen(house);
    house.core.queue.pause(&house.admin).unwrap();
    let items: Vec<ItemId> = batches.into_iter().map(|(owner, batch)| house.enqueue(owner, batch)).collect();
    house.core.queue.resume(&house.admin).unwrap();
    for item in &items {
        house.ended(&house.admin, *item);
    }
    (items, told.try_iter().collect())
}

#[test]
fn company_changes_no_picture_and_each_has_its_own_progress() {
    let house = House::new();
    let long = "a red circle on a blue background, ".repeat(12);
    let asked = [
        (&house.alice, "a red circle on a blue background", 1, 4),
        (&house.bob, "a green square", 2, 4),
        // Longer than one window of the text encoder: the others' texts are filled up.
        (&house.alice, long.as_str(), 3, 4),
        // Not alike.
        (&house.bob, "a yellow star", 4, 5),
    ];
    let batches = || {
        asked
            .iter()
            .map(|(owner, prompt, seed, steps)| (*owner, picture(&house, prompt, *seed, *steps)))
            .collect()
    };
    at_a_time(&house, 1);
    let (alone, _) = run(&house, batches());
    at_a_time(&house, 4);
    let (together, told) = run(&house, batches());
    for (at, (owner, ..)) in asked.iter().enumerate() {
        let (alone, together) = (pixels(&house, owner, alone[at]), pixels(&house, owner, together[at]));
        assert!(largest_difference(&alone, &together) <= 1, "{at}");
    }
    // The first three began before any of them ended, and went step by step side by side; the last began after them.
    let place = |item: ItemId, what: &str| {
        let at = told.iter().position(|(id, said)| *id == item && said == what);
        at.unwrap_or_else(|| panic!("item {item} was {what}"))
    };
    let first_end = together[..3].iter().map(|item| place(*item, "completed")).min().unwrap();
    for item in &together[..3] {
        assert!(place(*item, "in_progress") < first_end);
        let steps: Vec<&str> = told
            .iter()
            .filter(|(id, said)| id == item && said.contains('.'))
            .map(|(_, said)| said.as_str())
            .collect();
        assert_eq!(steps, ["0.00", "0.25", "0.50", "0.75", "1.00"]);
    }
    assert!(place(together[3], "in_progress") > first_end);
}

#[test]
fn one_that_is_canceled_or_loses_its_owner_leaves_and_the_others_go_on() {
    let house = House::new();
    at_a_time(&house, 3);
    let (_listening, told) = listen(&house);
    house.core.queue.pause(&house.admin).unwrap();
    let items = [
        house.enqueue(&house.alice, long_picture(&house, "a red circle", 1)),
        house.enqueue(&house.bob, long_picture(&house, "a red circle", 2)),
        house.enqueue(&house.alice, long_picture(&house, "a red circle", 3)),
    ];
    house.core.queue.resume(&house.admin).unwrap();
    under_way(&told, items.len());
    // The one that leads, and one that follows.
    house.core.queue.cancel_item(&house.alice, &queue(), items[0]).unwrap();
    let off = AccountChange {
        is_active: Some(false),
        ..AccountChange::default()
    };
    house.core.auth.update_user(&house.admin, None, house.bob.user_id(), &off).unwrap();
    for item in &items[..2] {
        assert_eq!(house.ended(&house.admin, *item)["status"], "canceled");
    }
    goes_on_without(&told, items[..2].to_vec(), items[2]);
    house.core.queue.cancel_item(&house.alice, &queue(), items[2]).unwrap();
    assert_eq!(house.ended(&house.admin, items[2])["status"], "canceled");
}

/// Whoever leads works for the others after the account is gone, but its item ends, and is told to have ended, at once; whoever takes the content over
/// does not take over what runs.
#[test]
fn a_deleted_owners_items_end_at_once_whoever_leads() {
    let house = House::new();
    at_a_time(&house, 3);
    let (_listening, told) = listen(&house);
    house.core.queue.pause(&house.admin).unwrap();
    let items = [
        house.enqueue(&house.bob, long_picture(&house, "a red circle", 1)),
        house.enqueue(&house.alice, long_picture(&house, "a red circle", 2)),
        house.enqueue(&house.bob, long_picture(&house, "a red circle", 3)),
    ];
    house.core.queue.resume(&house.admin).unwrap();
    under_way(&told, items.len());
    let content = Content::TransferTo(house.admin.user_id().clone());
    house.core.auth.delete_user(&house.admin, house.bob.user_id(), &content).unwrap();
    for item in [items[0], items[2]] {
        assert_eq!(house.ended(&house.admin, item)["status"], "canceled");
    }
    goes_on_without(&told, vec![items[0], items[2]], items[1]);
    house.core.queue.cancel_item(&house.alice, &queue(), items[1]).unwrap();
    assert_eq!(house.ended(&house.admin, items[1])["status"], "canceled");
}

/// What company gains is measured where nothing is fixed: items go alone until one alone has been timed, then two are tried.
#[test]
fn company_is_tried_once_an_item_alone_has_been_timed() {
    let house = House::new();
    let one = |seed| (&house.alice, picture(&house, "a red circle", seed, 3));
    let side_by_side = |told: &[(ItemId, String)]| {
        let mut running: Vec<ItemId> = Vec::new();
        let mut most = 0;
        for (item, said) in told {
            match said.as_str() {
                "in_progress" => running.push(*item),
                "completed" => running.retain(|other| other != item),
                _ => {}
            }
            most = most.max(running.len());
        }
        most
    };
    let (_, told) = run(&house, vec![one(1), one(2)]);
    assert_eq!(side_by_side(&told), 1, "{told:?}");
    let (_, told) = run(&house, vec![one(3), one(4), one(5), one(6)]);
    assert_eq!(side_by_side(&told), 2, "{told:?}");
}

/// What is wrong with one of them is found when their batch begins: then each runs its own, and only that one fails.
#[test]
fn a_fault_in_a_shared_batch_is_its_owners_alone() {
    let house = House::new();
    let batches = || {
        let (good, mut bad) = (picture(&house, "a red circle", 1, 4), picture(&house, "a red circle", 2, 4));
        // A strength for each of two steps, where there are four.
        bad["graph"]["nodes"]["denoise"]["cfg_scale"] = json!([5.0, 5.0]);
        vec![(&house.alice, good.clone()), (&house.bob, bad), (&house.alice, good)]
    };
    at_a_time(&house, 1);
    let (alone, _) = run(&house, batches());
    at_a_time(&house, 3);
    let (together, told) = run(&house, batches());
    let began = |item: ItemId| told.iter().position(|(id, said)| *id == item && said == "in_progress").unwrap();
    let ended = told.iter().position(|(_, said)| said == "completed" || said == "failed").unwrap();
    assert!(together.iter().all(|item| began(*item) < ended), "they ran side by side: {told:?}");
    for at in [0, 2] {
        let (alone, together) = (pixels(&house, &house.alice, alone[at]), pixels(&house, &house.alice, together[at]));
        assert_eq!(largest_difference(&alone, &together), 0);
    }
    let failed = house.ended(&house.bob, together[1]);
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["error_message"], house.ended(&house.bob, alone[1])["error_message"]);
}

#[test]
fn a_shutdown_puts_all_of_them_back() {
    let house = House::new();
    at_a_time(&house, 3);
    let (_listening, told) = listen(&house);
    house.core.queue.pause(&house.admin).unwrap();
    let items: Vec<ItemId> = (0..3)
        .map(|seed| house.enqueue(&house.alice, long_picture(&house, "a cat", seed)))
        .collect();
    house.core.queue.resume(&house.admin).unwrap();
    while !told
        .recv_timeout(std::time::Duration::from_mins(1))
        .expect("they denoise")
        .1
        .contains('.')
    {}
    house.core.shutdown();
    for item in items {
        assert_eq!(house.item(&house.alice, item)["status"], "pending");
    }
}
