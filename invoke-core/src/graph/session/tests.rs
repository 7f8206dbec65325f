use serde_json::{Value, json};

use super::*;
use crate::{
    graph::{Registry, validate},
    nodes::{self, testing::TestCx},
};

fn registry() -> Registry {
    nodes::registry(None, None)
}

fn counter() -> impl FnMut() -> String {
    let mut n = 0;
    move || {
        n += 1;
        format!("x{n}")
    }
}

/// `a.field -> b.field`, several of them separated by commas.
fn edges(text: &str) -> Value {
    let port = |text: &str| {
        let (node_id, field) = text.trim().split_once('.').unwrap();
        json!({"node_id": node_id, "field": field})
    };
    text.split(',')
        .filter(|edge| !edge.trim().is_empty())
        .map(|edge| {
            let (source, destination) = edge.split_once("->").unwrap();
            json!({"source": port(source), "destination": port(destination)})
        })
        .collect()
}

fn graph(mut nodes: Value, text: &str) -> Graph {
    for (id, node) in nodes.as_object_mut().unwrap() {
        node["id"] = id.clone().into();
    }
    let value = json!({"id": "g", "nodes": nodes, "edges": edges(text)});
    validate::graph(&registry(), value, &["body".into()], || "g".into()).unwrap_or_else(|issues| panic!("{issues:?}"))
}

/// Runs a session to its end; the nodes as they ran, by their ids in the graph, with their outputs.
fn run(session: &mut Session) -> Vec<(String, Value)> {
    let mut new_id = counter();
    let mut ran = Vec::new();
    loop {
        let prepared = match session.next(&mut new_id) {
            Ok(Some(prepared)) => prepared,
            Ok(None) => break,
            Err(error) => {
                session.fail(&error.prepared.exec_id.clone(), format!("NodeInputError: {error}"));
                break;
            }
        };
        if let Some((kind, text)) = missing_input(prepared.meta, &prepared.node) {
            session.fail(&prepared.exec_id, format!("{kind}: {text}"));
            break;
        }
        match (nodes::find(prepared.meta.id).unwrap().run)(prepared.node, &TestCx::default()) {
            Ok(output) => {
                session.complete(&prepared.exec_id, output.clone());
                ran.push((prepared.source_id, output));
            }
            Err(error) => {
                session.fail(&prepared.exec_id, error.to_string());
                break;
            }
        }
    }
    ran
}

fn session(nodes: Value, text: &str) -> Session {
    Session::new(graph(nodes, text), "s".into(), &mut counter())
}

/// Graphs whose executions InvokeAI 6.14.2 ran in this order, with these paths and results.
#[test]
fn recorded_executions() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("recorded.json")).unwrap();
    for case in cases {
        let mut session = session(case["nodes"].clone(), case["edges"].as_str().unwrap());
        let ran: Vec<Value> = run(&mut session)
            .into_iter()
            .zip(session.results())
            .map(|((id, output), (exec_id, _))| {
                let value = ["value", "item", "collection"]
                    .iter()
                    .find_map(|key| output.get(key))
                    .unwrap_or(&Value::Null);
                json!([id, session.executions[exec_id].path, value])
            })
            .collect();
        assert_eq!(Value::Array(ran), case["ran"], "{}", case["name"]);
        assert_eq!(session.to_value()["executed_history"], case["history"], "{}", case["name"]);
        assert!(session.is_complete() && !session.has_error(), "{}", case["name"]);
    }
}

fn collected(session: &mut Session, id: &str) -> Vec<Value> {
    run(session)
        .into_iter()
        .filter(|(ran, _)| ran == id)
        .map(|(_, output)| output["collection"].clone())
        .collect()
}

#[test]
fn independent_iterators_are_gathered_per_element_of_the_first() {
    let nodes = json!({
        "r": {"type": "range", "stop": 2}, "i": {"type": "iterate"}, "q": {"type": "range", "stop": 3}, "j": {"type": "iterate"},
        "s": {"type": "add"}, "c": {"type": "collect"},
    });
    let edges = "r.collection -> i.collection, q.collection -> j.collection, i.item -> s.a, j.item -> s.b, s.value -> c.item";
    assert_eq!(collected(&mut session(nodes, edges), "c"), [json!([0, 1, 2]), json!([1, 2, 3])]);
}

#[test]
fn a_branch_with_an_iterator_runs_and_a_constant_branch_too() {
    let nodes = |taken: bool| {
        json!({
            "b": {"type": "boolean", "value": taken}, "r": {"type": "range", "stop": 2}, "i": {"type": "iterate"}, "m": {"type": "mul", "b": 2},
            "c": {"type": "collect"}, "z": {"type": "integer_collection", "collection": [5]}, "f": {"type": "if"},
        })
    };
    let edges = "b.value -> f.condition, r.collection -> i.collection, i.item -> m.a, m.value -> c.item, c.collection -> f.true_input, \
                 z.collection -> f.false_input";
    for (taken, expected) in [(true, json!([0, 2])), (false, json!([5]))] {
        let mut session = session(nodes(taken), edges);
        let ran = run(&mut session);
        assert_eq!(
            ran.last().unwrap(),
            &("f".to_owned(), json!({"value": expected, "type": "if_output"}))
        );
        assert!(session.is_complete());
    }
    // What does not change from element to element runs once if any element takes it.
    let nodes = json!({
        "r": {"type": "boolean_collection", "collection": [true, true]}, "i": {"type": "iterate"}, "x": {"type": "integer", "value": 1},
        "y": {"type": "integer", "value": 2}, "f": {"type": "if"}, "c": {"type": "collect"},
    });
    let edges = "r.collection -> i.collection, i.item -> f.condition, x.value -> f.true_input, y.value -> f.false_input, f.value -> c.item";
    let mut session = session(nodes, edges);
    let ran = run(&mut session);
    assert_eq!(ran.iter().filter(|(id, _)| id == "x").count(), 1);
    assert_eq!(ran.iter().filter(|(id, _)| id == "y").count(), 0);
    assert_eq!(ran.last().unwrap().1["collection"], json!([1, 1]));
    assert!(session.is_complete());
}

#[test]
fn an_inner_iterator_may_find_nothing() {
    let nodes = json!({
        "r": {"type": "integer_collection", "collection": [1, 2, 3]}, "i": {"type": "iterate"}, "e": {"type": "integer_math", "operation": "MOD", "b": 2},
        "t": {"type": "string"}, "s": {"type": "string_collection"}, "j": {"type": "iterate"}, "u": {"type": "string"}, "c": {"type": "collect"},
    });
    let edges = "r.collection -> i.collection, i.item -> e.a, e.value -> t.value, s.collection -> j.collection, j.item -> u.value, \
                 u.value -> c.item";
    let mut session = session(nodes, edges);
    let ran = run(&mut session);
    let collected: Vec<&Value> = ran
        .iter()
        .filter(|(id, _)| id == "c")
        .map(|(_, output)| &output["collection"])
        .collect();
    assert_eq!(collected, [&json!([])]);
    assert!(session.is_complete());
}

#[test]
fn a_value_that_does_not_fit_ends_the_session() {
    let nodes = json!({"r": {"type": "string_collection", "collection": ["x"]}, "i": {"type": "iterate"}, "f": {"type": "if", "condition": true}, "s": {"type": "add"}});
    let mut session = session(nodes, "r.collection -> i.collection, i.item -> f.true_input, f.value -> s.a");
    run(&mut session);
    let error = session.errors.values().next().unwrap();
    assert!(
        error.starts_with("NodeInputError: Node x") && error.ends_with(" has invalid incoming input for a"),
        "{error}"
    );
    assert!(session.is_complete() && session.has_error());
}

#[test]
fn rules_are_checked_when_inputs_arrive() {
    let nodes = json!({"a": {"type": "integer", "value": 7}, "r": {"type": "range", "stop": 10}});
    let mut session = session(nodes.clone(), "a.value -> r.start");
    assert_eq!(collected(&mut session, "r"), [json!([7, 8, 9])]);
    let mut session = self::session(nodes, "a.value -> r.start, a.value -> r.stop");
    run(&mut session);
    assert!(
        session
            .errors
            .values()
            .next()
            .unwrap()
            .ends_with(" has invalid incoming input for stop")
    );
}

#[test]
fn missing_inputs_are_named() {
    let mut session = session(json!({"i": {"type": "image"}}), "");
    run(&mut session);
    let error = session.errors.values().next().unwrap();
    assert_eq!(
        error,
        "MissingInputException: Node image missing value or connection for field image"
    );
}

#[test]
fn a_session_goes_on_where_it_was_stored() {
    let nodes = json!({
        "r": {"type": "range", "start": 1, "stop": 4}, "i": {"type": "iterate"}, "m": {"type": "mul", "b": 10}, "c": {"type": "collect"},
        "b": {"type": "boolean"}, "x": {"type": "integer"}, "f": {"type": "if"},
    });
    let edges = "r.collection -> i.collection, i.item -> m.a, m.value -> c.item, b.value -> f.condition, x.value -> f.true_input";
    let whole = {
        let mut session = session(nodes.clone(), edges);
        run(&mut session);
        session.results().values().cloned().collect::<Vec<_>>()
    };
    for stop_after in 0..whole.len() {
        let mut session = session(nodes.clone(), edges);
        let mut new_id = counter();
        for _ in 0..stop_after {
            let prepared = session.next(&mut new_id).unwrap().unwrap();
            let output = (nodes::find(prepared.meta.id).unwrap().run)(prepared.node, &TestCx::default()).unwrap();
            session.complete(&prepared.exec_id, output);
        }
        let stored = session.to_stored();
        let mut again = Session::from_stored(&registry(), stored.clone()).unwrap();
        assert_eq!(again.to_stored(), stored, "after {stop_after}");
        // Its ids go on where they stood.
        let mut n = 100;
        let mut new_id = || {
            n += 1;
            format!("y{n}")
        };
        while let Some(prepared) = again.next(&mut new_id).unwrap() {
            let output = (nodes::find(prepared.meta.id).unwrap().run)(prepared.node, &TestCx::default()).unwrap();
            again.complete(&prepared.exec_id, output);
        }
        assert!(again.is_complete());
        let sorted = |values: &[Value]| {
            let mut texts: Vec<String> = values.iter().map(Value::to_string).collect();
            texts.sort();
            texts
        };
        assert_eq!(
            sorted(&again.results().values().cloned().collect::<Vec<_>>()),
            sorted(&whole),
            "after {stop_after}"
        );
    }
}

#[test]
fn the_json_form_has_every_key() {
    let session = session(json!({"a": {"type": "add", "a": 1}}), "");
    let value = session.to_value();
    let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "id",
            "graph",
            "execution_graph",
            "executed",
            "executed_history",
            "results",
            "errors",
            "workflow_call_stack",
            "workflow_call_history",
            "workflow_call_parent",
            "waiting_workflow_call",
            "waiting_workflow_call_execution",
            "waiting_workflow_call_child_session",
            "max_workflow_call_depth",
            "prepared_source_mapping",
            "source_prepared_mapping",
            "prepared_iteration_paths",
            "ready_order",
            "indegree",
        ]
    );
    assert_eq!(
        value["graph"]["nodes"]["a"],
        json!({"id": "a", "is_intermediate": false, "use_cache": true, "a": 1, "b": 0, "type": "add"})
    );
    assert_eq!(session.to_stored().get("workflow_call_parent"), None);
    let empty = json::empty_session("redacted", &mut counter());
    assert_eq!(
        (&empty["id"], &empty["graph"]["nodes"], &empty["execution_graph"]["edges"]),
        (&json!("redacted"), &json!({}), &json!([]))
    );
}

/// Many elements are laid out and run without searching through all of them again and again.
#[test]
fn many_elements() {
    let nodes =
        json!({"r": {"type": "range", "stop": 20_000}, "i": {"type": "iterate"}, "m": {"type": "mul", "b": 2}, "c": {"type": "collect"}});
    let mut session = session(nodes, "r.collection -> i.collection, i.item -> m.a, m.value -> c.item");
    let mut new_id = counter();
    let mut gathered = 0;
    while let Some(prepared) = session.next(&mut new_id).unwrap() {
        let output = match prepared.meta.id {
            "range" => json!({"collection": (0..20_000).collect::<Vec<_>>()}),
            "collect" => {
                gathered = prepared.node["collection"].as_array().unwrap().len();
                json!({"collection": []})
            }
            "iterate" => json!({"item": prepared.node["index"]}),
            _ => json!({"value": prepared.node["a"].as_i64().unwrap() * 2}),
        };
        session.complete(&prepared.exec_id, output);
    }
    assert_eq!(gathered, 20_000);
    assert!(session.is_complete());
}
