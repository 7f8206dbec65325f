use std::{collections::HashMap, sync::mpsc, time::Duration};

use invoke_core::{
    authz::Actor,
    domain::{Error, ItemId},
    events::{Event, Viewer, view},
};
use serde_json::json;

use crate::house::{House, adding, forbidden, queue};

fn order_of_service(house: &House, actor: &Actor) -> Vec<ItemId> {
    let items = house.core.queue.list_all(actor, &queue(), None).unwrap();
    items.iter().map(|item| item["item_id"].as_i64().unwrap()).collect()
}

#[test]
fn g23_users_generate() {
    let house = House::new();
    let made = house
        .core
        .text_to_image(&house.alice, &House::request("a red circle", 1), |_, _| {})
        .unwrap();
    assert_eq!((made.pixels.width(), made.pixels.height()), (64, 64));
    let metadata = house.core.images.metadata(&house.alice, &made.image_name).unwrap();
    assert_eq!(metadata["positive_prompt"], "a red circle");
}

#[test]
fn g25_users_see_their_own_jobs() {
    let house = House::new();
    let item = house.enqueue(&house.alice, adding(2, 40));
    house.ended(&house.alice, item);
    let items = house.core.queue.list_all(&house.alice, &queue(), None).unwrap();
    assert_eq!((items.len(), &items[0]["session"]["graph"]["nodes"]["a"]["b"]), (1, &json!(40)));
}

#[test]
fn g34_jobs_of_others_are_closed() {
    let house = House::new();
    house.core.queue.pause(&house.admin).unwrap();
    let item = house.enqueue(&house.alice, adding(2, 40));
    let shell = house.item(&house.bob, item);
    assert_eq!(
        (&shell["session"]["graph"]["nodes"], &shell["user_id"]),
        (&json!({}), &json!("redacted"))
    );
    assert!(forbidden(house.core.queue.cancel_item(&house.bob, &queue(), item)));
    assert!(forbidden(house.core.queue.delete_item(&house.bob, &queue(), item)));
    assert_eq!(house.core.queue.clear(&house.bob, &queue()).unwrap()["deleted"], 0);
    assert_eq!(house.item(&house.alice, item)["status"], "pending");
}

/// The worker is kept busy, so that it looks for the next item at any moment between an item's commit and what is told of it.
#[test]
fn an_item_is_told_of_before_it_runs() {
    let house = House::new();
    let (tell, told) = mpsc::channel();
    let _listening = house.core.bus().subscribe(move |published| {
        let of_batch = match &*published.event {
            Event::BatchEnqueued { batch_id, .. } => (batch_id.clone(), "enqueued"),
            Event::QueueItemStatusChanged(change) => (change.batch_id.clone(), change.status.as_str()),
            _ => return,
        };
        // The test may be over.
        let _ = tell.send(of_batch);
    });
    std::thread::scope(|scope| {
        for actor in [&house.alice, &house.bob] {
            scope.spawn(|| {
                for _ in 0..60 {
                    house.enqueue(actor, adding(2, 40));
                }
            });
        }
    });
    let mut changes: HashMap<_, Vec<&str>> = HashMap::new();
    let mut open = 120;
    while open > 0 {
        let (batch, what) = told.recv_timeout(Duration::from_mins(1)).expect("every item ends");
        changes.entry(batch).or_default().push(what);
        open -= usize::from(what == "completed");
    }
    for told in changes.values() {
        assert_eq!(told, &["enqueued", "in_progress", "completed"]);
    }
}

#[test]
fn g35_first_come_first_served() {
    let house = House::new();
    house.core.queue.pause(&house.admin).unwrap();
    let people = [&house.alice, &house.alice, &house.alice, &house.bob, &house.bob, &house.alice];
    let expected: Vec<ItemId> = people.iter().map(|person| house.enqueue(person, adding(1, 1))).collect();
    let (tell, started) = mpsc::channel();
    let _listening = house.core.bus().subscribe(move |published| {
        if let Event::QueueItemStatusChanged(change) = &*published.event
            && change.status.as_str() == "in_progress"
        {
            tell.send(change.item_id).unwrap();
        }
    });
    house.core.queue.resume(&house.admin).unwrap();
    house.ended(&house.admin, expected[5]);
    assert_eq!(started.try_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn g40_administrators_manage_everybodys_jobs() {
    let house = House::new();
    house.core.queue.pause(&house.admin).unwrap();
    assert!(forbidden(house.core.queue.resume(&house.alice)));
    let item = house.enqueue(&house.alice, adding(2, 40));
    assert_eq!(house.item(&house.admin, item)["session"]["graph"]["nodes"]["a"]["b"], 40);
    house.core.queue.cancel_item(&house.admin, &queue(), item).unwrap();
    house.core.queue.resume(&house.admin).unwrap();
    assert_eq!(house.ended(&house.alice, item)["status"], "canceled");
}

#[test]
fn g56_present_and_past_jobs_are_listed() {
    let house = House::new();
    let past = house.enqueue(&house.alice, adding(1, 2));
    house.ended(&house.alice, past);
    house.core.queue.pause(&house.admin).unwrap();
    let waiting = house.enqueue(&house.alice, adding(3, 4));
    assert_eq!(order_of_service(&house, &house.alice), [past, waiting]);
    let status = |item| house.item(&house.alice, item)["status"].clone();
    assert_eq!((status(past), status(waiting)), (json!("completed"), json!("pending")));
}

#[test]
fn g57_waiting_jobs_are_canceled() {
    let house = House::new();
    house.core.queue.pause(&house.admin).unwrap();
    let (one, other) = (house.enqueue(&house.alice, adding(1, 2)), house.enqueue(&house.alice, adding(3, 4)));
    house.core.queue.cancel_item(&house.alice, &queue(), one).unwrap();
    assert_eq!(
        house.core.queue.cancel_all_except_current(&house.alice, &queue()).unwrap()["canceled"],
        1
    );
    for item in [one, other] {
        assert_eq!(house.ended(&house.alice, item)["status"], "canceled");
    }
}

#[test]
fn g58_jobs_run_again() {
    let house = House::new();
    let broken =
        json!({"graph": {"id": "g", "nodes": {"a": {"id": "a", "type": "img_blur", "image": {"image_name": "nowhere.png"}}}, "edges": []}});
    let item = house.enqueue(&house.alice, broken);
    assert_eq!(house.ended(&house.alice, item)["status"], "failed");
    house.core.queue.retry_items(&house.alice, &queue(), &[item]).unwrap();
    let again = order_of_service(&house, &house.alice).into_iter().max().unwrap();
    assert!(again > item && house.ended(&house.alice, again)["retried_from_item_id"] == item);
}

#[test]
fn g59_progress_is_followed() {
    let house = House::new();
    let mut shares = Vec::new();
    let progress = |share: Option<f64>, _: &str| shares.extend(share);
    house
        .core
        .text_to_image(&house.alice, &House::request("a red circle", 1), progress)
        .unwrap();
    assert!(shares.len() >= 2 && shares.is_sorted() && shares.last() == Some(&1.0), "{shares:?}");
}

#[test]
fn g60_parameters_of_others_are_hidden() {
    let house = House::new();
    let (tell, told) = mpsc::channel();
    let viewer = Viewer {
        user_id: house.bob.user_id().clone(),
        is_admin: false,
        queues: vec![queue()],
    };
    let _listening = house.core.bus().subscribe(move |published| {
        if let Some(payload) = view(&published.event, &viewer) {
            tell.send(json!(payload).to_string()).unwrap();
        }
    });
    let mut batch = adding(2, 40);
    batch["destination"] = json!("heron");
    let item = house.enqueue(&house.alice, batch);
    house.ended(&house.alice, item);
    let mut told: Vec<String> = (0..3).map(|_| told.recv_timeout(Duration::from_mins(1)).unwrap()).collect();
    told.push(house.core.queue.list_all(&house.bob, &queue(), None).unwrap()[0].to_string());
    for text in told {
        assert!(
            text.contains("redacted") && !text.contains("heron") && !text.contains("alice@example.com"),
            "{text}"
        );
    }
    assert_eq!(house.item(&house.admin, item)["destination"], "heron");
}

#[test]
fn g61_jobs_do_not_get_in_each_others_way() {
    let house = House::new();
    let draw = |actor: &Actor, prompt: &str| house.core.text_to_image(actor, &House::request(prompt, 5), |_, _| {}).unwrap();
    let alone = draw(&house.alice, "a red circle").pixels;
    let (together, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| draw(&house.alice, "a red circle"));
        let other = scope.spawn(|| draw(&house.bob, "a green square on a white background"));
        (one.join().unwrap(), other.join().unwrap())
    });
    assert!(together.pixels == alone && other.pixels != alone);
    assert!(forbidden(house.core.images.full(&house.alice, &other.image_name)));
}

#[test]
fn a_picture_that_nobody_waits_for_is_canceled() {
    let house = House::new();
    let mut long = House::request("a red circle", 1);
    (long.width, long.height, long.steps) = (Some(256), Some(256), 900);
    let outcome = house.core.text_to_image_while(&house.alice, &long, |_, _| {}, || false);
    assert!(matches!(outcome, Err(Error::Conflict(_))), "{:?}", outcome.err());
}

#[test]
fn waiting_ends_when_nobody_waits_any_more() {
    let house = House::new();
    house.core.queue.pause(&house.admin).unwrap();
    let item = house.enqueue(&house.alice, adding(1, 2));
    assert!(house.core.queue.wait(&house.alice, &queue(), item, || false).unwrap().is_none());
    assert!(matches!(
        house.core.queue.wait(&house.alice, &queue(), 4711, || true),
        Err(Error::NotFound(_))
    ));
}
