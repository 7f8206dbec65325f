//! In which order the queue serves, by its tables and its modes together.

use super::*;
use crate::{
    domain::queue_item::Ending,
    engine::{Finished, Outcome},
};

/// A picture's graph that costs this many steps.
fn picture(steps: u64, model: &str) -> Value {
    let model = json!({"key": model, "hash": "h", "name": "n", "base": "sd-1", "type": "main"});
    let edge =
        |from: &str, field: &str| json!({"source": {"node_id": from, "field": field}, "destination": {"node_id": "d", "field": field}});
    json!({"id": "g", "edges": [edge("m", "unet"), edge("n", "noise")], "nodes": {
        "m": {"id": "m", "type": "main_model_loader", "model": model},
        "n": {"id": "n", "type": "noise", "width": 512, "height": 512},
        "d": {"id": "d", "type": "denoise_latents", "steps": steps, "cfg_scale": 1.0},
    }})
}

fn complete(ledger: &Runs, work: &Work) {
    let finished = Finished {
        outcome: Outcome::Ended(Ending::Completed),
        session: work.job.session.clone(),
    };
    ledger.finish(work.job.item_id, finished, false);
}

/// Claims and ends items one after another, in order.
fn served(world: &World, ledger: &Runs, loaded: &[String], n: usize) -> Vec<ItemId> {
    (0..n)
        .map(|_| {
            world.clock.advance_millis(1);
            let work = claim(ledger, "cuda:0", loaded, 1).pop().expect("something waits");
            complete(ledger, &work);
            work.job.item_id
        })
        .collect()
}

#[test]
fn round_robin_rotates_users_and_a_prepend_reorders_ones_own() {
    let world = World::new(QueueMode::RoundRobin);
    let ledger = world.ledger();
    for _ in 0..3 {
        world.enqueue(&world.alice, &two_sums(), 1, false);
    }
    world.enqueue(&world.bob, &two_sums(), 2, false);
    world.enqueue(&world.bob, &two_sums(), 1, true);
    assert_eq!(served(&world, &ledger, &[], 6), [1, 6, 2, 4, 3, 5]);
}

#[test]
fn what_is_enqueued_after_a_pause_does_not_begin() {
    let world = World::new(QueueMode::Fifo);
    let (ledger, administrator) = (world.ledger(), Actor::local_operator());
    world.queue.pause(&administrator).unwrap();
    let waiting = world.enqueue(&world.alice, &two_sums(), 1, false);
    // A worker that was about to claim when the queue was paused.
    assert!(claim(&ledger, "cuda:0", &[], 1).is_empty());
    world.queue.resume(&administrator).unwrap();
    assert_eq!(served(&world, &ledger, &[], 1), waiting);
}

#[test]
fn first_come_first_served_knows_no_users() {
    let world = World::new(QueueMode::Fifo);
    let ledger = world.ledger();
    world.enqueue(&world.alice, &two_sums(), 2, false);
    world.enqueue(&world.bob, &two_sums(), 1, false);
    world.enqueue(&world.bob, &two_sums(), 1, true);
    assert_eq!(served(&world, &ledger, &[], 4), [4, 1, 2, 3]);
}

#[test]
fn fair_counts_work_and_not_items() {
    let world = World::new(QueueMode::Fair);
    let ledger = world.ledger();
    // Alice's pictures take four times as many steps as Bob's.
    let alice = world.enqueue(&world.alice, &picture(40, "m"), 2, false);
    let bob = world.enqueue(&world.bob, &picture(10, "m"), 8, false);
    let order = served(&world, &ledger, &[], 10);
    let whose: String = order.iter().map(|id| if alice.contains(id) { 'a' } else { 'b' }).collect();
    assert_eq!(whose, "abbbbabbbb");
    assert_eq!(order.iter().filter(|id| bob.contains(id)).count(), 8);
}

#[test]
fn fair_lets_a_loaded_model_go_first_within_bounds() {
    let world = World::new(QueueMode::Fair);
    let ledger = world.ledger();
    let alice = world.enqueue(&world.alice, &picture(1, "hers"), 5, false);
    let bob = world.enqueue(&world.bob, &picture(1, "his"), 5, false);
    let order = served(&world, &ledger, &["his".to_owned()], 10);
    let whose: String = order.iter().map(|id| if alice.contains(id) { 'a' } else { 'b' }).collect();
    assert_eq!(whose, "bbbabbaaaa");
    assert!(
        order.iter().filter(|id| bob.contains(id)).copied().eq(bob.iter().copied()),
        "a user's order is kept"
    );
}

/// Items claimed at once by a device that takes up to three, until nothing waits.
fn claimed_by_three(world: &World, ledger: &Runs) -> Vec<Vec<ItemId>> {
    let mut claims = Vec::new();
    loop {
        world.clock.advance_millis(10);
        let work = claim(ledger, "cuda:0", &[], 3);
        if work.is_empty() {
            return claims;
        }
        claims.push(work.iter().map(|work| work.job.item_id).collect());
        work.iter().for_each(|work| complete(ledger, work));
    }
}

#[test]
fn those_alike_go_along_as_long_as_they_are_next() {
    for mode in [QueueMode::Fifo, QueueMode::RoundRobin, QueueMode::Fair] {
        let world = World::new(mode);
        let ledger = world.ledger();
        // Items 1 to 4 of Alice, 5 and 6 of Bob; 7 of Bob takes more steps.
        world.enqueue(&world.alice, &picture(10, "m"), 4, false);
        world.enqueue(&world.bob, &picture(10, "m"), 2, false);
        world.enqueue(&world.bob, &picture(20, "m"), 1, false);
        let expected: &[&[ItemId]] = match mode {
            QueueMode::Fifo => &[&[1, 2, 3], &[4, 5, 6], &[7]],
            // The other's turn comes first, though what would go along waits behind it.
            QueueMode::RoundRobin | QueueMode::Fair => &[&[1, 5, 2], &[6, 3], &[7], &[4]],
        };
        let claims = claimed_by_three(&world, &ledger);
        assert_eq!(claims, expected, "{mode:?}");
        // In the order in which each would have run alone.
        let alone = World::new(mode);
        let ledger = alone.ledger();
        alone.enqueue(&alone.alice, &picture(10, "m"), 4, false);
        alone.enqueue(&alone.bob, &picture(10, "m"), 2, false);
        alone.enqueue(&alone.bob, &picture(20, "m"), 1, false);
        assert_eq!(claims.concat(), served(&alone, &ledger, &[], 7), "{mode:?}");
    }
}

#[test]
fn those_without_likeness_and_those_whose_owner_is_gone_do_not_go_along() {
    let world = World::new(QueueMode::Fifo);
    let ledger = world.ledger();
    world.enqueue(&world.alice, &two_sums(), 2, false);
    world.enqueue(&world.alice, &picture(10, "m"), 1, false);
    world.enqueue(&world.bob, &picture(10, "m"), 1, false);
    let off: rusqlite::Result<()> = world.shared.db.write(|tx| {
        let changed = tx.sql().execute("UPDATE users SET is_active = 0 WHERE user_id = 'bob'", []);
        changed.map(|_| ())
    });
    off.unwrap();
    assert_eq!(claimed_by_three(&world, &ledger), [vec![1], vec![2], vec![3]]);
    assert_eq!(world.state(4), "canceled 2, 0 results");
}

#[test]
fn workers_of_many_devices_share_the_items_and_run_each_once() {
    let world = World::new(QueueMode::RoundRobin);
    let ids = world.enqueue(&world.alice, &two_sums(), 60, false);
    let more = world.enqueue(&world.bob, &two_sums(), 60, false);
    let ledger: Arc<dyn Ledger> = Arc::new(world.ledger());
    let engines: Vec<Arc<dyn Engine>> = (0..4).map(|_| world.engine()).collect();
    world.queue.processor.start(&engines, &ledger).unwrap();
    world.wait_for_ends(120);
    world.queue.processor.stop();
    for id in ids.into_iter().chain(more) {
        assert_eq!(world.state(id), "completed 2, 2 results");
        assert_eq!(
            world.told_of(id),
            ["in_progress", "a started", "a complete", "b started", "b complete", "completed"]
        );
    }
    assert_eq!(world.counts(), [0, 0, 120, 0, 0]);
}
