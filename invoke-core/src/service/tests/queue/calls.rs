//! Items that call saved workflows.

use super::*;

/// A workflow that returns the sum of its exposed input and 2 as `sum`.
fn sum_workflow(more: Value) -> Value {
    let node =
        |id: &str, kind: &str, inputs: Value| json!({"id": id, "type": "invocation", "data": {"id": id, "type": kind, "inputs": inputs}});
    let edge = |from: &str, output: &str, to: &str, input: &str| json!({"type": "default", "source": from, "sourceHandle": output, "target": to, "targetHandle": input});
    let mut nodes = vec![
        node("s", "add", json!({"a": {"value": 1}, "b": {"value": 2}})),
        node("v", "workflow_return_value", json!({"key": {"value": "sum"}})),
        node("r", "workflow_return", json!({})),
    ];
    nodes.extend(more.as_array().cloned().unwrap_or_default());
    json!({
        "name": "W", "description": "", "meta": {"category": "user", "version": "3.0.0"},
        "nodes": nodes,
        "edges": [edge("s", "value", "v", "value"), edge("v", "value", "r", "values")],
        "exposedFields": [{"nodeId": "s", "fieldName": "a"}],
    })
}

fn save(world: &World, id: &str, owner: &str, document: &Value) {
    let saved: rusqlite::Result<usize> = world.shared.db.write(|tx| {
        tx.sql().execute(
            "INSERT INTO workflow_library (workflow_id, workflow, user_id) VALUES (?1, ?2, ?3)",
            (id, document.to_string(), owner),
        )
    });
    saved.unwrap();
}

/// A graph that calls a workflow with the result of a sum and takes `sum` from what it returns.
fn caller(workflow_id: &str) -> Value {
    let edge = |from: &str, output: &str, to: &str, input: &str| json!({"source": {"node_id": from, "field": output}, "destination": {"node_id": to, "field": input}});
    json!({"id": "g", "nodes": {
        "a": {"id": "a", "type": "add", "a": 30, "b": 10},
        "c": {"id": "c", "type": "call_saved_workflow", "workflow_id": workflow_id, "workflow_inputs": {"saved_workflow_input::s::a": 7}},
        "g": {"id": "g", "type": "workflow_return_get", "key": "sum"},
    }, "edges": [
        edge("a", "value", "c", "saved_workflow_input::s::a"),
        edge("c", "values", "g", "values"),
    ]})
}

fn item(world: &World, id: ItemId) -> Value {
    world.queue.item(&Actor::local_operator(), &World::queue_id(), id).unwrap()
}

#[test]
fn a_caller_waits_and_goes_on_with_what_was_returned() {
    let world = World::new(QueueMode::RoundRobin);
    save(&world, "w", "alice", &sum_workflow(json!([])));
    let ids = world.enqueue(&world.alice, &caller("w"), 1, false);
    world.start(Arc::new(world.ledger()));
    world.wait_for_ends(2);
    world.queue.processor.stop();
    let (parent, child) = (item(&world, ids[0]), item(&world, ids[0] + 1));
    assert_eq!(
        world.told_of(ids[0]),
        [
            "in_progress",
            "a started",
            "a complete",
            "c started",
            "waiting",
            "c complete",
            "pending",
            "in_progress",
            "g started",
            "g complete",
            "completed"
        ]
    );
    assert_eq!(
        world.told_of(ids[0] + 1),
        [
            "pending",
            "in_progress",
            "s started",
            "s complete",
            "v started",
            "v complete",
            "r started",
            "r complete",
            "completed"
        ]
    );
    for (key, expected) in [
        ("parent_item_id", json!(ids[0])),
        ("root_item_id", json!(ids[0])),
        ("workflow_call_depth", json!(1)),
        ("parent_session_id", parent["session_id"].clone()),
        ("batch_id", parent["batch_id"].clone()),
        ("user_id", json!("alice")),
    ] {
        assert_eq!(child[key], expected, "{key}");
    }
    let result = &parent["session"]["results"][parent["session"]["source_prepared_mapping"]["g"][0].as_str().unwrap()];
    assert_eq!(result["value"], 42);
    let history = &parent["session"]["workflow_call_history"][0];
    assert_eq!(
        (&history["status"], &history["child_item_ids"], &history["id"]),
        (&json!("completed"), &json!([ids[0] + 1]), &child["workflow_call_id"])
    );
    assert!(parent["session"].get("waiting_workflow_call").is_none());
    assert_eq!(child["session"]["workflow_call_parent"]["parent_session_id"], parent["session_id"]);
}

#[test]
fn calls_that_cannot_be_made_fail_their_item() {
    for (workflow, calls, message) in [
        (None, "", "A saved workflow must be selected before executing call_saved_workflow."),
        (None, "w", "The selected saved workflow 'w' could not be found."),
        (Some("bob"), "w", "The selected saved workflow 'w' is not accessible to this user."),
        // It calls itself.
        (Some("alice"), "w", "Maximum workflow call depth exceeded (4) for workflow 'w'"),
    ] {
        let world = World::new(QueueMode::RoundRobin);
        if let Some(owner) = workflow {
            let again = json!([{"id": "c", "type": "invocation", "data": {"id": "c", "type": "call_saved_workflow", "inputs": {"workflow_id": {"value": "w"}}}}]);
            save(&world, "w", owner, &sum_workflow(again));
        }
        let ids = world.enqueue(&world.alice, &caller(calls), 1, false);
        world.start(Arc::new(world.ledger()));
        let depth = if message.starts_with("Maximum") { 5 } else { 1 };
        world.wait_for_ends(depth);
        world.queue.processor.stop();
        let parent = item(&world, ids[0]);
        assert_eq!(
            (&parent["status"], &parent["error_type"], &parent["error_message"]),
            (&json!("failed"), &json!("ValueError"), &json!(message))
        );
        let told = world.told_of(ids[0]);
        assert_eq!(told[told.len() - 2..], ["failed", "c error"], "that the item failed is told first");
        assert_eq!(world.counts(), [0, 0, 0, depth as i64, 0]);
    }
}

#[test]
fn a_chain_of_calls_is_canceled_deleted_and_retried_as_one() {
    let world = World::new(QueueMode::RoundRobin);
    save(&world, "w", "alice", &sum_workflow(json!([])));
    let ledger = world.ledger();
    let queue_id = World::queue_id();
    let begin = || {
        let ids = world.enqueue(&world.alice, &caller("w"), 1, false);
        // Runs the caller up to its call.
        let engine = world.engine();
        let work = claim(&ledger, "cpu", &[], 1).pop().expect("something waits");
        let finished = engine.run(work.job, work.host);
        ledger.finish(ids[0], finished, false);
        ids[0]
    };
    let parent = begin();
    assert_eq!(
        (world.state(parent), world.state(parent + 1)),
        ("waiting 2, 1 results".into(), "pending 0, 0 results".into())
    );
    // What waits for the next of a chain is current.
    assert_eq!(
        world.queue.cancel_all_except_current(&world.alice, &queue_id).unwrap()["canceled"],
        0
    );
    world.queue.cancel_item(&world.alice, &queue_id, parent + 1).unwrap();
    assert_eq!(item(&world, parent)["status"], "canceled");
    let retried = world.queue.retry_items(&world.alice, &queue_id, &[parent + 1, parent]).unwrap();
    assert_eq!(retried["retried_item_ids"], json!([parent]));
    assert_eq!(item(&world, parent + 2)["retried_from_item_id"], parent);
    world.queue.delete_item(&world.alice, &queue_id, parent).unwrap();
    assert_eq!((world.state(parent), world.state(parent + 1)), ("gone".into(), "gone".into()));

    // A server that died in the middle of a chain cancels all of it.
    world.queue.clear(&world.alice, &queue_id).unwrap();
    let parent = begin();
    let ended: rusqlite::Result<usize> = world
        .shared
        .db
        .write(|tx| crate::repo::queue::cancel_unfinished(tx, world.shared.env.now()));
    assert_eq!(ended.unwrap(), 2);
    assert_eq!(
        (&item(&world, parent)["status"], &item(&world, parent + 1)["status"]),
        (&json!("canceled"), &json!("canceled"))
    );
}
