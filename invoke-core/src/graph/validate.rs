//! Checking a submitted graph.

mod ports;
mod special;

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::{
    meta::{BrokenRule, FieldMeta, NodeMeta},
    model::{Edge, Graph, Node, default_of},
    registry::Registry,
};
use crate::domain::{
    shape::{Check, Extra, Field, ObjectShape, Shape},
    validation::{Issue, Step},
};

const PORT: Shape = Shape::Object(&ObjectShape {
    name: "EdgeConnection",
    fields: &[Field::required("node_id", Shape::STR), Field::required("field", Shape::STR)],
    extra: Extra::Ignore,
});
const EDGE: Shape = Shape::Object(&ObjectShape {
    name: "Edge",
    fields: &[Field::required("source", PORT), Field::required("destination", PORT)],
    extra: Extra::Ignore,
});
const EDGES: Shape = Shape::list(&EDGE);

/// A way with one more step.
fn below(loc: &[Step], step: impl Into<Step>) -> Vec<Step> {
    let mut loc = loc.to_vec();
    loc.push(step.into());
    loc
}

/// Reads a graph at `loc` of a request: normalised, absent inputs filled with defaults, undeclared keys dropped. `new_id` makes its id if it
/// has none.
///
/// # Errors
/// Everything that is wrong with its parts; if they are fine by themselves, the first rule that they break together.
pub fn graph(registry: &Registry, value: Value, loc: &[Step], new_id: impl FnOnce() -> String) -> Result<Graph, Vec<Issue>> {
    let whole = value.clone();
    let Value::Object(mut parts) = value else {
        let msg = "Input should be a valid dictionary or object to extract fields from";
        return Err(vec![Issue::new("model_attributes_type", loc.to_vec(), msg, value)]);
    };
    let mut issues = Vec::new();
    let id = match parts.remove("id") {
        None => new_id(),
        Some(Value::String(id)) => id,
        Some(other) => {
            issues.push(Issue::new("string_type", below(loc, "id"), "Input should be a valid string", other));
            String::new()
        }
    };
    let mut nodes = IndexMap::new();
    match parts.remove("nodes") {
        None => {}
        Some(Value::Object(found)) => {
            let loc = below(loc, "nodes");
            for (key, value) in found {
                match node(registry, value, &below(&loc, key.as_str())) {
                    Ok(node) => drop(nodes.insert(key, node)),
                    Err(wrong) => issues.extend(wrong),
                }
            }
        }
        Some(other) => issues.push(Issue::new(
            "dict_type",
            below(loc, "nodes"),
            "Input should be a valid dictionary",
            other,
        )),
    }
    let mut edges: Vec<Edge> = Vec::new();
    if let Some(found) = parts.remove("edges") {
        match Check::below(below(loc, "edges")).run(&EDGES, found) {
            Ok(found) => edges = serde_json::from_value(found).expect("checked edges are edges"),
            Err(wrong) => issues.extend(wrong),
        }
    }
    if !issues.is_empty() {
        return Err(issues);
    }
    let graph = Graph { id, nodes, edges };
    rules(&graph).map_err(|text| vec![Issue::value_error(loc.to_vec(), text, whole)])?;
    Ok(graph)
}

fn node(registry: &Registry, value: Value, loc: &[Step]) -> Result<Node, Vec<Issue>> {
    let Some(kind) = value.get("type").and_then(Value::as_str) else {
        let msg = "Unable to extract tag using discriminator 'type'";
        let ctx = Some(json!({"discriminator": "'type'"}));
        return Err(vec![Issue {
            ctx,
            ..Issue::new("union_tag_not_found", loc.to_vec(), msg, value)
        }]);
    };
    let Some(meta) = registry.get(kind) else {
        let expected = registry
            .nodes()
            .iter()
            .map(|node| format!("'{}'", node.id))
            .collect::<Vec<_>>()
            .join(", ");
        let msg = format!("Input tag '{kind}' found using 'type' does not match any of the expected tags: {expected}");
        let ctx = Some(json!({"discriminator": "'type'", "tag": kind, "expected_tags": expected}));
        return Err(vec![Issue {
            ctx,
            ..Issue::new("union_tag_invalid", loc.to_vec(), msg, value)
        }]);
    };
    let loc = below(loc, meta.id);
    let Value::Object(given) = value else {
        unreachable!("a value with a type is an object")
    };
    node_values(meta, given, &loc).map(|values| Node { meta, values })
}

/// Checks the values of a node's inputs and fills in the absent ones.
fn node_values(meta: &'static NodeMeta, mut given: Map<String, Value>, loc: &[Step]) -> Result<Map<String, Value>, Vec<Issue>> {
    let mut values = Map::new();
    let mut issues = Vec::new();
    let whole = Value::Object(given.clone());
    let attributes: [(&str, Shape, Option<Value>, Option<fn(Value) -> Value>); 3] = [
        // A node that does not say who it is is not the one that its key says.
        ("id", Shape::STR, Some(Value::String("none".into())), None),
        ("is_intermediate", Shape::BOOL, Some(Value::Bool(false)), None),
        ("use_cache", Shape::BOOL, Some(Value::Bool(meta.use_cache)), None),
    ];
    let fields = meta
        .fields
        .iter()
        .map(|f| (f.name, f.shape, f.default.map(|_| default_of(f)), f.before));
    for (name, shape, default, before) in attributes.into_iter().chain(fields) {
        let value = given.remove(name).map(before.unwrap_or(|value| value));
        match (value, default) {
            (Some(value), _) => match Check::below(below(loc, name)).numbers_as_texts().run(&shape, value) {
                Ok(value) => drop(values.insert(name.into(), value)),
                Err(wrong) => issues.extend(wrong),
            },
            (None, Some(default)) => drop(values.insert(name.into(), default)),
            (None, None) => issues.push(Issue::new("missing", below(loc, name), "Field required", whole.clone())),
        }
    }
    given.remove("type");
    if meta.extra_keys {
        values.extend(given);
    }
    values.insert("type".into(), meta.id.into());
    if !issues.is_empty() {
        return Err(issues);
    }
    match meta.check.map_or(Ok(()), |check| check(&values)) {
        Ok(()) => Ok(values),
        Err(BrokenRule { field: Some(field), text }) => {
            let input = values.get(field).cloned().unwrap_or(Value::Null);
            Err(vec![Issue::value_error(below(loc, field), text, input)])
        }
        Err(BrokenRule { field: None, text }) => Err(vec![Issue::value_error(loc.to_vec(), text, Value::Object(values))]),
    }
}

/// Checks a value that an edge brings to an input; the error names the way to what is wrong.
pub(crate) fn incoming(field: &FieldMeta, value: Value) -> Result<Value, String> {
    let value = field.before.unwrap_or(|value| value)(value);
    Check::below(vec![field.name.into()])
        .numbers_as_texts()
        .run(&field.shape, value)
        .map_err(|issues| {
            let mut way = String::new();
            for (i, step) in issues
                .first()
                .map(|issue| issue.loc.as_slice())
                .unwrap_or_default()
                .iter()
                .enumerate()
            {
                match step {
                    Step::Key(key) if i == 0 => way.push_str(key),
                    Step::Key(key) => way.extend([".", key]),
                    Step::Index(index) => way.push_str(&format!("[{index}]")),
                }
            }
            way
        })
}

/// The rules that nodes and edges keep together; the text of the first broken one.
fn rules(graph: &Graph) -> Result<(), String> {
    let mut seen = HashSet::new();
    let twice: Vec<String> = graph
        .nodes
        .values()
        .map(Node::id)
        .filter(|id| !seen.insert(*id))
        .map(|id| format!("'{id}'"))
        .collect();
    if !twice.is_empty() {
        return Err(format!("Node ids must be unique, found duplicates {{{}}}", twice.join(", ")));
    }
    for (key, node) in &graph.nodes {
        if key != node.id() {
            return Err(format!("Node ids must match, got {key} and {}", node.id()));
        }
    }
    for edge in &graph.edges {
        ports::exist(graph, edge)?;
    }
    if has_cycle(graph) {
        return Err("Graph contains cycles".into());
    }
    for edge in &graph.edges {
        ports::match_types(graph, edge)?;
    }
    special::rules(graph)
}

fn has_cycle(graph: &Graph) -> bool {
    let mut waiting_for: HashMap<&str, usize> = graph.nodes.keys().map(|id| (id.as_str(), 0)).collect();
    let mut leads_to: HashMap<&str, Vec<&str>> = HashMap::new();
    for edge in &graph.edges {
        *waiting_for.entry(&edge.destination.node_id).or_default() += 1;
        leads_to.entry(&edge.source.node_id).or_default().push(&edge.destination.node_id);
    }
    let mut free: Vec<&str> = waiting_for.iter().filter(|(_, n)| **n == 0).map(|(id, _)| *id).collect();
    let mut done = 0;
    while let Some(id) = free.pop() {
        done += 1;
        for next in leads_to.get(id).into_iter().flatten() {
            let n = waiting_for.get_mut(next).expect("every end of an edge was entered");
            *n -= 1;
            if *n == 0 {
                free.push(next);
            }
        }
    }
    done < waiting_for.len()
}
