//! A database that fails at the worst moment, and names that two users chose alike.

use super::*;

fn sql(world: &World, text: &str) {
    let done: rusqlite::Result<()> = world.shared.db.write(|tx| tx.sql().execute_batch(text));
    done.unwrap();
}

fn refuse(world: &World, status: &str) {
    sql(
        world,
        &format!(
            "CREATE TRIGGER refused BEFORE UPDATE OF status ON session_queue WHEN NEW.status = '{status}'
             BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        ),
    );
}

#[test]
fn an_end_that_cannot_be_written_is_written_later_and_nothing_begins_before() {
    let world = World::new(QueueMode::Fifo);
    refuse(&world, "completed");
    let ids = world.enqueue(&world.alice, &two_sums(), 2, false);
    world.start(Arc::new(world.ledger()));
    while !world.told_of(ids[0]).contains(&"b complete".to_owned()) {
        std::thread::yield_now();
    }
    assert_eq!(world.state(ids[0]).split(' ').next(), Some("in_progress"));
    assert!(world.told_of(ids[1]).is_empty());
    sql(&world, "DROP TRIGGER refused");
    world.wait_for_ends(2);
    world.queue.processor.stop();
    for id in ids {
        assert_eq!(world.state(id), "completed 2, 2 results");
    }
}

#[test]
fn an_item_that_cannot_begin_fails_once_that_can_be_written() {
    let world = World::new(QueueMode::Fifo);
    let ids = world.enqueue(&world.alice, &two_sums(), 1, false);
    sql(&world, "UPDATE queue_graphs SET graph = 'no graph'");
    refuse(&world, "failed");
    let ledger: Arc<dyn Ledger> = Arc::new(world.ledger());
    assert!(claim(ledger.as_ref(), "cpu", &[], 1).is_empty());
    let status = |tx: &crate::db::ReadTx<'_>| {
        let sql = "SELECT status FROM session_queue WHERE item_id = ?1";
        tx.sql().query_row(sql, [ids[0]], |row| row.get::<_, String>(0))
    };
    assert_eq!(world.shared.db.read(status).unwrap(), "in_progress");
    sql(&world, "DROP TRIGGER refused");
    assert!(claim(ledger.as_ref(), "cpu", &[], 1).is_empty());
    assert_eq!(world.shared.db.read(status).unwrap(), "failed");
}

#[test]
fn a_claim_that_the_database_refuses_leaves_the_item_waiting() {
    let world = World::new(QueueMode::Fifo);
    let ids = world.enqueue(&world.alice, &two_sums(), 1, false);
    refuse(&world, "in_progress");
    let ledger: Arc<dyn Ledger> = Arc::new(world.ledger());
    assert!(claim(ledger.as_ref(), "cpu", &[], 1).is_empty());
    assert_eq!(world.state(ids[0]), "pending 0, 0 results");
    sql(&world, "DROP TRIGGER refused");
    assert_eq!(claim(ledger.as_ref(), "cpu", &[], 1).len(), 1);
}

#[test]
fn a_name_that_two_users_gave_their_batches_tells_neither_of_the_other() {
    let world = World::new(QueueMode::Fifo);
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let _listening = world.shared.bus.subscribe(move |published| {
        if let Event::QueueItemStatusChanged(change) = &*published.event {
            heard.lock().push((change.user_id.clone(), change.batch_status.clone()));
        }
    });
    for (owner, runs, destination) in [(&world.alice, 3, "hers"), (&world.bob, 1, "his")] {
        let batch = json!({"graph": two_sums(), "runs": runs, "batch_id": "same", "origin": destination, "destination": destination});
        world.queue.enqueue_batch(owner, &World::queue_id(), batch, false).unwrap();
    }
    world.start(Arc::new(world.ledger()));
    world.wait_for_ends(4);
    world.queue.processor.stop();
    let told = told.lock();
    assert_eq!(told.len(), 8);
    for (owner, batch) in told.iter() {
        let batch = json!(batch);
        let (total, foreign) = if owner == world.alice.user_id() { (3, "his") } else { (1, "hers") };
        assert_eq!(batch["total"], json!(total), "{batch}");
        assert!(!batch.to_string().contains(&format!("\"{foreign}\"")), "{batch}");
    }
}
