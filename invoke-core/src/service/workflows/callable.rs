//! Whether a saved workflow can be called from another.

use serde_json::{Value, json};

use crate::graph::{
    Registry,
    workflow::{BATCH_INPUTS, RETURN},
};

/// `{is_callable, reason, message}`.
pub(super) fn compatibility(registry: &Registry, document: &Value) -> Value {
    let types: Vec<&str> = document["nodes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|node| node["type"] == "invocation")
        .filter_map(|node| node["data"]["type"].as_str())
        .collect();
    let no = |reason: &str, message: String| json!({"is_callable": false, "reason": reason, "message": message});
    match types.iter().filter(|kind| **kind == RETURN).count() {
        0 => {
            return no(
                "missing_workflow_return",
                "The workflow must contain exactly one workflow_return node.".into(),
            );
        }
        1 => {}
        _ => {
            return no(
                "multiple_workflow_return",
                "The workflow must contain exactly one workflow_return node.".into(),
            );
        }
    }
    if let Some(kind) = types.iter().find(|kind| BATCH_INPUTS.contains(kind)) {
        return no(
            "unsupported_batch_input",
            format!("The workflow contains the batch node {kind}, which cannot be called."),
        );
    }
    match types.iter().find(|kind| registry.get(kind).is_none()) {
        Some(kind) => no(
            "unsupported_node",
            format!("The workflow contains the node {kind}, which this server does not have."),
        ),
        None => json!({"is_callable": true, "reason": "ok", "message": null}),
    }
}
