//! What the guide promises about the queue, row by row.

use super::*;
use crate::domain::{Error, page::Direction};

/// An item of Alice's and one of Bob's, both ended unless `waiting`.
fn two(waiting: bool) -> (World, ItemId, ItemId) {
    let world = World::new(QueueMode::RoundRobin);
    let alices = world.enqueue(&world.alice, &two_sums(), 1, false)[0];
    let bobs = world.enqueue(&world.bob, &two_sums(), 1, false)[0];
    if !waiting {
        world.start(Arc::new(world.ledger()));
        world.wait_for_ends(2);
        world.queue.processor.stop();
    }
    (world, alices, bobs)
}

fn refused<T>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Forbidden(_)))
}

#[test]
fn g25_g56_own_items_are_seen_with_all_that_is_in_them() {
    let (world, alices, _) = two(false);
    let item = world.queue.item(&world.alice, &World::queue_id(), alices).unwrap();
    assert_eq!((&item["user_id"], &item["status"]), (&json!("alice"), &json!("completed")));
    assert_eq!(item["session"]["results"].as_object().unwrap().len(), 2);
    assert_eq!(item["session"]["graph"]["nodes"]["a"]["b"], 2);
}

#[test]
fn g34_others_items_are_neither_looked_into_nor_canceled() {
    let (world, _, bobs) = two(true);
    let (alice, queue_id) = (&world.alice, World::queue_id());
    let item = world.queue.item(alice, &queue_id, bobs).unwrap();
    assert_eq!((&item["user_id"], &item["batch_id"]), (&json!("redacted"), &json!("redacted")));
    assert_eq!(item["session"]["graph"]["nodes"], json!({}));
    assert!(refused(world.queue.cancel_item(alice, &queue_id, bobs)));
    assert!(refused(world.queue.delete_item(alice, &queue_id, bobs)));
    assert!(refused(world.queue.retry_items(alice, &queue_id, &[bobs])));
    // What concerns everything concerns one's own only.
    assert_eq!(
        world.queue.cancel_all_except_current(alice, &queue_id).unwrap(),
        json!({"canceled": 1})
    );
    assert_eq!(world.queue.clear(alice, &queue_id).unwrap(), json!({"deleted": 1}));
    assert_eq!(world.state(bobs), "pending 0, 0 results");
    assert!(refused(world.queue.pause(alice)) && refused(world.queue.resume(alice)));
}

#[test]
fn g35_all_stand_in_one_queue_first_come_first_served() {
    let (world, alices, bobs) = two(true);
    let ids = world.queue.item_ids(&world.bob, &World::queue_id(), Direction::Asc).unwrap();
    assert_eq!(ids, json!({"total_count": 2, "item_ids": [alices, bobs]}));
    let next = world.queue.next(&world.bob, &World::queue_id()).unwrap().unwrap();
    assert_eq!(next["item_id"], alices);
    world.start(Arc::new(world.ledger()));
    world.wait_for_ends(2);
    world.queue.processor.stop();
    let began: Vec<ItemId> = world
        .told
        .lock()
        .iter()
        .filter(|(_, what)| what == "in_progress")
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(began, [alices, bobs]);
}

#[test]
fn g36_the_badge_counts_own_and_all_items() {
    let (world, _, _) = two(true);
    world.enqueue(&world.bob, &two_sums(), 2, false);
    let badge = |actor: &Actor| {
        let status = world.queue.status(actor, &World::queue_id()).unwrap();
        (
            status["queue"]["user_pending"].as_i64().unwrap(),
            status["queue"]["pending"].as_i64().unwrap(),
        )
    };
    assert_eq!((badge(&world.alice), badge(&world.bob)), ((1, 4), (3, 4)));
}

#[test]
fn g40_administrators_see_and_manage_everybodys_items() {
    let (world, alices, bobs) = two(true);
    let (admin, queue_id) = (actor("root", true), World::queue_id());
    assert_eq!(world.queue.item(&admin, &queue_id, alices).unwrap()["user_id"], "alice");
    assert_eq!(world.queue.cancel_item(&admin, &queue_id, bobs).unwrap()["status"], "canceled");
    assert_eq!(world.queue.pause(&admin).unwrap()["is_started"], false);
    assert_eq!(world.queue.resume(&admin).unwrap()["is_started"], true);
    assert_eq!(world.queue.clear(&admin, &queue_id).unwrap(), json!({"deleted": 2}));
}

#[test]
fn g57_waiting_items_are_canceled() {
    let (world, alices, bobs) = two(true);
    let canceled = world.queue.cancel_item(&world.alice, &World::queue_id(), alices).unwrap();
    assert_eq!(
        (&canceled["status"], canceled["completed_at"].is_string()),
        (&json!("canceled"), true)
    );
    world.start(Arc::new(world.ledger()));
    world.wait_for_ends(2);
    world.queue.processor.stop();
    assert_eq!(
        (world.state(alices), world.state(bobs)),
        ("canceled 1, 0 results".into(), "completed 2, 2 results".into())
    );
}

#[test]
fn g58_earlier_items_run_again() {
    let (world, alices, _) = two(true);
    let queue_id = World::queue_id();
    world.queue.cancel_item(&world.alice, &queue_id, alices).unwrap();
    let retried = world.queue.retry_items(&world.alice, &queue_id, &[alices]).unwrap();
    assert_eq!(retried["retried_item_ids"], json!([alices]));
    world.start(Arc::new(world.ledger()));
    world.wait_for_ends(3);
    world.queue.processor.stop();
    let again = world.queue.item(&world.alice, &queue_id, alices + 2).unwrap();
    assert_eq!(
        (&again["status"], &again["retried_from_item_id"]),
        (&json!("completed"), &json!(alices))
    );
}

#[test]
fn g59_progress_is_told_live_and_in_order() {
    let (world, alices, _) = two(false);
    assert_eq!(
        world.told_of(alices),
        ["in_progress", "a started", "a complete", "b started", "b complete", "completed"]
    );
}

#[test]
fn g60_others_items_are_listed_without_their_parameters() {
    let (world, alices, bobs) = two(false);
    let list = |actor: &Actor| {
        world
            .queue
            .item_summaries_by_ids(actor, &World::queue_id(), &[alices, bobs])
            .unwrap()
    };
    let owners = |rows: Vec<Value>| rows.into_iter().map(|row| row["user_id"].clone()).collect::<Vec<_>>();
    assert_eq!(owners(list(&world.alice)), ["alice", "redacted"]);
    assert_eq!(owners(list(&actor("root", true))), ["alice", "bob"]);
    let foreign = &list(&world.alice)[1];
    assert_eq!(
        (&foreign["status"], &foreign["field_values"], &foreign["destination"]),
        (&json!("completed"), &Value::Null, &Value::Null)
    );
}

#[test]
fn g61_ones_items_do_not_interfere_with_anothers() {
    let world = World::new(QueueMode::RoundRobin);
    // Alice's fail; Bob's, between them, do not notice.
    let fails = json!({"id": "g", "nodes": {"a": {"id": "a", "type": "div", "a": 1, "b": 0}}, "edges": []});
    let alices = world.enqueue(&world.alice, &fails, 3, false);
    let bobs = world.enqueue(&world.bob, &two_sums(), 3, false);
    world.start(Arc::new(world.ledger()));
    world.wait_for_ends(6);
    world.queue.processor.stop();
    assert!(alices.into_iter().all(|id| world.state(id).starts_with("failed 2")));
    assert!(bobs.into_iter().all(|id| world.state(id) == "completed 2, 2 results"));
}
