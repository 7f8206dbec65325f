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

#[test]
fn a_chain_runs_kind_by_kind() {
    let nodes = json!({
        "a": {"type": "integer", "value": 2}, "b": {"type": "integer", "value": 3}, "s": {"type": "add"}, "m": {"type": "mul", "b": 10},
        "t": {"type": "string"},
    });
    let mut session = session(nodes, "a.value -> s.a, b.value -> s.b, s.value -> m.a, m.value -> t.value");
    let ran = run(&mut session);
    assert_eq!(ran.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["a", "b", "s", "m", "t"]);
    assert_eq!(ran[4].1, json!({"value": "50", "type": "string_output"}));
    assert!(session.is_complete() && !session.has_error());
}
