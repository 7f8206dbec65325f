//! From a workflow as the editor saves it to the graph that it draws.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::Registry;

/// Begins the names of inputs that stand for those of a called workflow.
pub const DYNAMIC_INPUT: &str = "saved_workflow_input::";
/// The node by which a workflow returns.
pub const RETURN: &str = "workflow_return";
/// Nodes that the editor turns into batches; they never run.
pub const BATCH_INPUTS: &[&str] = &["image_batch", "string_batch", "integer_batch", "float_batch"];
/// The input and output of a node that only bends an edge.
const BEND: &str = "connector";

fn items<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

/// Nodes that run, with their ids.
fn invocations(document: &Value) -> impl Iterator<Item = (&str, &Value)> {
    items(document, "nodes")
        .filter(|node| node["type"] == "invocation")
        .filter_map(|node| Some((node["data"]["id"].as_str()?, &node["data"])))
}

/// Node and field of an input that stands for one of a called workflow.
fn parse_dynamic(name: &str) -> Option<(&str, &str)> {
    let (node, field) = name.strip_prefix(DYNAMIC_INPUT)?.rsplit_once("::")?;
    (!node.is_empty() && !field.is_empty()).then_some((node, field))
}

/// Names of the inputs that a workflow exposes: those in its form, or else those in its list.
fn exposed(document: &Value) -> HashSet<String> {
    let name = |field: &Value| {
        Some(format!(
            "{DYNAMIC_INPUT}{}::{}",
            field["nodeId"].as_str()?,
            field["fieldName"].as_str()?
        ))
    };
    let (mut found, mut seen, mut open) = (HashSet::new(), HashSet::new(), Vec::new());
    let elements = &document["form"]["elements"];
    open.extend(document["form"]["rootElementId"].as_str());
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let element = &elements[id];
        if element["type"] == "node-field" {
            found.extend(name(&element["data"]["fieldIdentifier"]));
        }
        open.extend(items(&element["data"], "children").filter_map(Value::as_str));
    }
    if found.is_empty() {
        found.extend(items(document, "exposedFields").filter_map(name));
    }
    found
}

/// The end of an edge that runs through bends: node and output.
fn source_of<'d>(document: &'d Value, edge: &'d Value) -> Option<(&'d str, &'d str)> {
    let mut edge = edge;
    // A chain of bends is no longer than there are edges; one that is runs in a circle.
    for _ in 0..=items(document, "edges").count() {
        let id = edge["source"].as_str()?;
        let node = items(document, "nodes").find(|node| node["id"] == id)?;
        if node["type"] == "invocation" {
            return Some((id, edge["sourceHandle"].as_str()?));
        }
        if node["type"] != BEND {
            return None;
        }
        edge = items(document, "edges").find(|edge| edge["type"] == "default" && edge["target"] == id && edge["targetHandle"] == "in")?;
    }
    None
}

/// The graph of a workflow with values for its exposed inputs, still to be checked.
///
/// # Errors
/// Why it cannot be called, as a text for people.
pub fn graph_of(registry: &Registry, document: &Value, inputs: &Map<String, Value>) -> Result<Value, String> {
    let types: Vec<(&str, &str)> = invocations(document)
        .filter_map(|(id, data)| Some((id, data["type"].as_str()?)))
        .collect();
    if let Some((id, kind)) = types.iter().find(|(_, kind)| BATCH_INPUTS.contains(kind)) {
        return Err(format!(
            "call_saved_workflow cannot call a workflow with the batch node '{kind}' (node '{id}')"
        ));
    }
    if types.iter().filter(|(_, kind)| *kind == RETURN).count() != 1 {
        return Err("call_saved_workflow needs a workflow with exactly one workflow_return node".into());
    }
    let mut nodes: Map<String, Value> = Map::new();
    for (id, data) in invocations(document) {
        let mut node = Map::new();
        node.insert("id".into(), json!(id));
        node.insert("type".into(), data["type"].clone());
        node.insert("use_cache".into(), json!(data["useCache"].as_bool().unwrap_or(false)));
        node.insert("is_intermediate".into(), json!(data["isIntermediate"].as_bool().unwrap_or(false)));
        for (field, input) in data["inputs"].as_object().into_iter().flatten() {
            let Some(value) = input.get("value") else { continue };
            // What the editor's choice of a board says beside a board's id means none.
            if field == "board" && (value == "auto" || value == "none") {
                continue;
            }
            node.insert(field.clone(), value.clone());
        }
        nodes.insert(id.to_owned(), Value::Object(node));
    }
    let allowed = exposed(document);
    for (name, value) in inputs {
        let place = parse_dynamic(name).filter(|_| allowed.contains(name));
        let Some((id, field)) = place else {
            return Err(format!(
                "call_saved_workflow input '{name}' is not exposed by the selected workflow"
            ));
        };
        let Some(Value::Object(node)) = nodes.get_mut(id) else {
            return Err(format!(
                "call_saved_workflow input '{name}' targets the missing node '{id}' of the called workflow"
            ));
        };
        let declared = node.get("type").and_then(Value::as_str).and_then(|kind| registry.get(kind));
        if declared.is_none_or(|meta| meta.field(field).is_none()) {
            return Err(format!(
                "call_saved_workflow input '{name}' targets the missing field '{field}' of the called workflow"
            ));
        }
        node.insert(field.to_owned(), value.clone());
    }
    let (mut edges, mut seen) = (Vec::new(), HashSet::new());
    for edge in items(document, "edges").filter(|edge| edge["type"] == "default") {
        let Some(((from, output), (to, input))) = source_of(document, edge).zip(edge["target"].as_str().zip(edge["targetHandle"].as_str()))
        else {
            continue;
        };
        let Some(Value::Object(node)) = nodes.get_mut(to) else { continue };
        if seen.insert((from, output, to, input)) {
            // What an edge brings stands before a value that was typed in.
            node.shift_remove(input);
            edges.push(json!({"source": {"node_id": from, "field": output}, "destination": {"node_id": to, "field": input}}));
        }
    }
    Ok(json!({"nodes": nodes, "edges": edges}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, kind: &str, inputs: Value) -> Value {
        json!({"id": id, "type": "invocation", "data": {"id": id, "type": kind, "inputs": inputs, "useCache": true, "isIntermediate": true}})
    }

    fn edge(from: (&str, &str), to: (&str, &str)) -> Value {
        json!({"type": "default", "source": from.0, "sourceHandle": from.1, "target": to.0, "targetHandle": to.1})
    }

    fn document() -> Value {
        json!({
            "nodes": [
                node("a", "add", json!({"a": {"value": 1}, "b": {"value": 2}, "board": {"value": "auto"}, "c": {}})),
                {"id": "bend", "type": "connector", "data": {}},
                {"id": "bow", "type": "connector", "data": {}},
                node("v", "workflow_return_value", json!({"key": {"value": "sum"}, "value": {"value": 9}})),
                node("r", "workflow_return", json!({})),
                {"id": "n", "type": "notes", "data": {"id": "n"}},
            ],
            "edges": [
                edge(("a", "value"), ("bend", "in")),
                edge(("bend", "out"), ("bow", "in")),
                edge(("bow", "out"), ("v", "value")),
                edge(("bow", "out"), ("v", "value")),
                edge(("v", "value"), ("r", "values")),
                {"type": "collapsed", "source": "a", "target": "r"},
            ],
            "exposedFields": [{"nodeId": "a", "fieldName": "a"}],
        })
    }

    fn built(document: &Value, inputs: Value) -> Result<Value, String> {
        graph_of(&crate::nodes::registry(None, None), document, inputs.as_object().unwrap())
    }

    #[test]
    fn a_workflow_becomes_its_graph() {
        let graph = built(&document(), json!({"saved_workflow_input::a::a": 40})).unwrap();
        assert_eq!(
            graph["nodes"]["a"],
            json!({"id": "a", "type": "add", "use_cache": true, "is_intermediate": true, "a": 40, "b": 2})
        );
        assert!(graph["nodes"]["v"].get("value").is_none() && graph["nodes"].get("n").is_none());
        let ends: Vec<String> = items(&graph, "edges")
            .map(|edge| format!("{} {}", edge["source"]["node_id"], edge["destination"]["node_id"]))
            .collect();
        assert_eq!(ends, ["\"a\" \"v\"", "\"v\" \"r\""]);
    }

    #[test]
    fn only_exposed_inputs_are_given() {
        let wrong = |inputs: Value| built(&document(), inputs).unwrap_err();
        assert!(wrong(json!({"saved_workflow_input::a::b": 1})).contains("not exposed"));
        assert!(wrong(json!({"a": 1})).contains("not exposed"));
        let mut with_form = document();
        with_form["form"] = json!({"rootElementId": "root", "elements": {
            "root": {"type": "container", "data": {"children": ["row", "root"]}},
            "row": {"type": "node-field", "data": {"fieldIdentifier": {"nodeId": "a", "fieldName": "b"}}},
        }});
        assert_eq!(
            built(&with_form, json!({"saved_workflow_input::a::b": 7})).unwrap()["nodes"]["a"]["b"],
            7
        );
        assert!(built(&with_form, json!({"saved_workflow_input::a::a": 7})).is_err());
        let mut gone = document();
        gone["exposedFields"] = json!([{"nodeId": "x", "fieldName": "a"}, {"nodeId": "a", "fieldName": "zz"}]);
        assert!(
            built(&gone, json!({"saved_workflow_input::x::a": 1}))
                .unwrap_err()
                .contains("missing node")
        );
        assert!(
            built(&gone, json!({"saved_workflow_input::a::zz": 1}))
                .unwrap_err()
                .contains("missing field")
        );
    }

    #[test]
    fn what_cannot_be_called_is_refused_and_circles_end() {
        let mut twice = document();
        twice["nodes"].as_array_mut().unwrap().push(node("r2", RETURN, json!({})));
        assert!(built(&twice, json!({})).unwrap_err().contains("exactly one"));
        let mut batch = document();
        batch["nodes"].as_array_mut().unwrap().push(node("i", "integer_batch", json!({})));
        assert!(built(&batch, json!({})).unwrap_err().contains("integer_batch"));
        assert!(built(&Value::Null, json!({})).is_err());
        let mut circle = document();
        circle["edges"] = json!([
            edge(("bend", "out"), ("bow", "in")),
            edge(("bow", "out"), ("bend", "in")),
            edge(("bow", "out"), ("v", "value"))
        ]);
        assert_eq!(built(&circle, json!({})).unwrap()["edges"], json!([]));
    }
}
