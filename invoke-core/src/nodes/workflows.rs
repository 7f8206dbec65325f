//! Calling saved workflows, and the results of workflows that others call.

use invoke_macros::{FieldStruct, Node, Output};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Invoke, NodeCx, NodeEntry, NodeError, entry, fields::OneOrMany};

pub(super) const NODES: &[NodeEntry] = &[
    entry::<WorkflowReturnValue>(),
    entry::<WorkflowReturn>(),
    entry::<WorkflowReturnGet>(),
    entry::<CallSavedWorkflow>(),
];

/// The node that calls a saved workflow. It is never invoked: the engine stops at it, and the queue enqueues what it calls.
pub const CALLS_WORKFLOW: &str = "call_saved_workflow";

/// One named result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct WorkflowReturnValueField {
    /// Its name.
    pub key: String,
    /// Its value.
    #[field(default = null)]
    pub value: Value,
}

/// One named result.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "workflow_return_value_output")]
struct WorkflowReturnValueOutput {
    #[field(title = "Return Value", ui_type = "CollectionItemField")]
    value: WorkflowReturnValueField,
}

/// Named results.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "workflow_return_output")]
struct WorkflowReturnOutput {
    #[field(json = "{}", ui_type = "AnyField")]
    values: Map<String, Value>,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "workflow_return_get_output")]
struct WorkflowReturnGetOutput {
    #[field(ui_type = "AnyField")]
    value: Value,
}

/// A name without space around it.
fn named(key: &str) -> Result<String, NodeError> {
    match key.trim() {
        "" => Err(NodeError::value("Workflow return key must not be empty.")),
        key => Ok(key.to_owned()),
    }
}

/// One named result of a workflow.
#[derive(Debug, Deserialize, Node)]
#[node(id = "workflow_return_value", title = "Workflow Return Value", version = "1.0.0", category = "workflow", tags("workflow", "return", "output"), classification = Beta, cache = false, output = WorkflowReturnValueOutput)]
struct WorkflowReturnValue {
    #[field(default = "")]
    key: String,
    #[field(ui_type = "AnyField")]
    value: Option<Value>,
}

impl Invoke for WorkflowReturnValue {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<WorkflowReturnValueOutput, NodeError> {
        Ok(WorkflowReturnValueOutput {
            value: WorkflowReturnValueField {
                key: named(&self.key)?,
                value: self.value.unwrap_or_default(),
            },
        })
    }
}

/// The results of a workflow that others may call.
#[derive(Debug, Deserialize, Node)]
#[node(id = "workflow_return", title = "Workflow Return", version = "1.0.0", category = "workflow", tags("workflow", "return", "output"), classification = Beta, cache = false, output = WorkflowReturnOutput)]
struct WorkflowReturn {
    #[field(default = [], input = connection)]
    values: OneOrMany<WorkflowReturnValueField>,
}

impl Invoke for WorkflowReturn {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<WorkflowReturnOutput, NodeError> {
        let mut values = Map::new();
        for WorkflowReturnValueField { key, value } in self.values.into_vec() {
            let key = named(&key)?;
            if values.contains_key(&key) {
                return Err(NodeError::value(format!("Duplicate workflow return key '{key}'.")));
            }
            values.insert(key, value);
        }
        Ok(WorkflowReturnOutput { values })
    }
}

/// One named result of a called workflow.
#[derive(Debug, Deserialize, Node)]
#[node(id = "workflow_return_get", title = "Get Workflow Return Value", version = "1.0.0", category = "workflow", tags("workflow", "return", "input"), classification = Beta, cache = false, output = WorkflowReturnGetOutput)]
struct WorkflowReturnGet {
    #[field(json = "{}", input = connection, ui_type = "AnyField")]
    values: Map<String, Value>,
    #[field(default = "")]
    key: String,
}

impl Invoke for WorkflowReturnGet {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<WorkflowReturnGetOutput, NodeError> {
        let (key, mut values) = (named(&self.key)?, self.values);
        let value = values
            .remove(&key)
            .ok_or_else(|| NodeError::value(format!("Workflow return key '{key}' was not found.")))?;
        Ok(WorkflowReturnGetOutput { value })
    }
}

/// Runs a saved workflow and returns what it returns.
#[derive(Debug, Deserialize, Node)]
#[node(id = "call_saved_workflow", title = "Call Saved Workflow", version = "1.0.0", category = "workflow", tags("workflow", "saved", "library"), classification = Beta, cache = false, output = WorkflowReturnOutput)]
struct CallSavedWorkflow {
    #[field(default = "", ui_type = "SavedWorkflowField")]
    workflow_id: String,
    #[field(json = "{}", hidden)]
    workflow_inputs: Map<String, Value>,
}

impl Invoke for CallSavedWorkflow {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<WorkflowReturnOutput, NodeError> {
        Err(NodeError::runtime(format!(
            "{CALLS_WORKFLOW} of {} with {} inputs needs the queue",
            self.workflow_id,
            self.workflow_inputs.len()
        )))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::nodes::testing::run;

    #[test]
    fn results_have_names() {
        let one = run("workflow_return_value", json!({"key": " a ", "value": 1})).unwrap();
        assert_eq!(one["value"], json!({"key": "a", "value": 1}));
        let all = run(
            "workflow_return",
            json!({"values": [{"key": "a", "value": 1}, {"key": "b", "value": [2]}]}),
        )
        .unwrap();
        assert_eq!(all["values"], json!({"a": 1, "b": [2]}));
        assert_eq!(
            run("workflow_return_get", json!({"values": all["values"], "key": "b"})).unwrap()["value"],
            json!([2])
        );
        assert!(
            run(
                "workflow_return",
                json!({"values": [{"key": "a", "value": 1}, {"key": "a", "value": 2}]})
            )
            .is_err()
        );
        assert!(run("workflow_return_get", json!({"values": {}, "key": "b"})).is_err());
        assert!(run("workflow_return_value", json!({"key": " "})).is_err());
    }
}
