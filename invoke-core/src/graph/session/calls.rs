//! A session that calls a saved workflow: it waits for another session, and goes on with what that returns.

use serde_json::{Map, Value, json};

use super::{Prepared, Session};
use crate::graph::workflow::{DYNAMIC_INPUT, RETURN};

/// The output of the node that calls, as of the one that returns.
const OUTPUT: &str = "workflow_return_output";

impl Session {
    /// One of the executions as it stands.
    pub fn prepared(&self, exec_id: &str) -> Option<Prepared> {
        let execution = self.executions.get(exec_id)?;
        let (source_id, source) = self.graph.nodes.get_index(execution.source)?;
        Some(Prepared {
            exec_id: exec_id.to_owned(),
            source_id: source_id.clone(),
            meta: source.meta,
            node: Value::Object(execution.values.clone()),
        })
    }

    /// The values that a calling execution has for the called workflow's inputs: those in the node, and over them those that edges bring.
    pub fn call_inputs(&self, exec_id: &str) -> Map<String, Value> {
        let Some(execution) = self.executions.get(exec_id) else {
            return Map::new();
        };
        let mut inputs = execution
            .values
            .get("workflow_inputs")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        for feed in &execution.feeds {
            let edge = &self.graph.edges[feed.edge];
            let from = self.executions.get_index(feed.from).and_then(|(id, _)| self.results.get(id));
            if let Some(value) = from.and_then(|output| output.get(&edge.source.field))
                && edge.destination.field.starts_with(DYNAMIC_INPUT)
            {
                inputs.insert(edge.destination.field.clone(), value.clone());
            }
        }
        inputs
    }

    /// Begins a call: this session waits from now on, and `child` knows who called it. Returns how deep the call is.
    ///
    /// # Errors
    /// The calls are too deep, as a text for people.
    pub fn call(&mut self, exec_id: &str, workflow_id: &str, call_id: &str, child: &mut Self) -> Result<i64, String> {
        let stack = self.calls.get("workflow_call_stack").as_array().cloned().unwrap_or_default();
        let most = self.calls.get("max_workflow_call_depth").as_u64().unwrap_or(4);
        let depth = stack.len() as u64 + 1;
        if depth > most {
            return Err(format!(
                "Maximum workflow call depth exceeded ({most}) for workflow '{workflow_id}'"
            ));
        }
        let source = self.prepared(exec_id).map(|prepared| prepared.source_id).unwrap_or_default();
        let frame = json!({"prepared_call_node_id": exec_id, "source_call_node_id": source, "workflow_id": workflow_id, "depth": depth});
        let with = |more: Value| {
            let mut all = more.as_object().cloned().unwrap_or_default();
            all.extend(frame.as_object().cloned().unwrap_or_default());
            Value::Object(all)
        };
        let child_stack: Vec<Value> = stack.into_iter().chain([frame.clone()]).collect();
        child.calls.set("workflow_call_stack", Value::Array(child_stack));
        child.calls.set("max_workflow_call_depth", json!(most));
        child.calls.set(
            "workflow_call_parent",
            with(json!({"workflow_call_id": call_id, "parent_session_id": self.id})),
        );
        self.calls.set(
            "waiting_workflow_call_execution",
            with(json!({
                "id": call_id, "parent_session_id": self.id, "child_session_id": child.id, "status": "running_child", "error_message": null,
                "child_session_ids": [child.id], "child_item_ids": [], "expected_child_count": 1, "completed_child_item_ids": [],
                "aggregated_values": {}, "child_outputs": {},
            })),
        );
        self.calls.set("waiting_workflow_call", frame);
        self.calls.set("waiting_workflow_call_child_session", child.to_value());
        Ok(depth as i64)
    }

    /// Notes the number of the item that runs the called session.
    pub fn note_child_item(&mut self, item_id: i64) {
        let mut execution = self.calls.get("waiting_workflow_call_execution").clone();
        execution["child_item_ids"] = json!([item_id]);
        self.calls.set("waiting_workflow_call_execution", execution);
    }

    /// The execution that waits for a called session, if one does.
    pub fn waiting_execution(&self) -> Option<String> {
        let frame = self.calls.get("waiting_workflow_call");
        frame["prepared_call_node_id"].as_str().map(str::to_owned)
    }

    /// The called session, or its item `child_item`, returned: the execution that waited has its result, and this session can go on.
    pub fn call_returned(&mut self, child_item: i64, output: &Value) {
        let Some(exec_id) = self.waiting_execution() else { return };
        let values = output["values"].as_object().cloned().unwrap_or_default();
        let lists: Map<String, Value> = values.iter().map(|(key, value)| (key.clone(), json!([value]))).collect();
        self.end_call(&json!({
            "status": "completed", "completed_child_item_ids": [child_item], "aggregated_values": lists,
            "child_outputs": {child_item.to_string(): values},
        }));
        self.complete(&exec_id, output.clone());
    }

    /// The call failed: the execution that waited has failed with it.
    pub fn call_failed(&mut self, message: &str) {
        let Some(exec_id) = self.waiting_execution() else { return };
        self.end_call(&json!({"status": "failed", "error_message": message}));
        self.fail(&exec_id, format!("ValueError: {message}"));
    }

    fn end_call(&mut self, outcome: &Value) {
        let mut execution = self.calls.get("waiting_workflow_call_execution").clone();
        if let (Value::Object(execution), Some(outcome)) = (&mut execution, outcome.as_object()) {
            execution.extend(outcome.clone());
        }
        let mut history = self.calls.get("workflow_call_history").as_array().cloned().unwrap_or_default();
        history.push(execution);
        self.calls.set("workflow_call_history", Value::Array(history));
        for key in [
            "waiting_workflow_call",
            "waiting_workflow_call_execution",
            "waiting_workflow_call_child_session",
        ] {
            self.calls.set(key, Value::Null);
        }
    }

    /// What a called session returned.
    ///
    /// # Errors
    /// It returned nothing, or more than once, as a text for people.
    pub fn returned(&self) -> Result<&Value, String> {
        let source = (0..self.graph.nodes.len()).find(|source| self.graph.nodes[*source].meta.id == RETURN);
        let source = source.ok_or("The selected saved workflow must contain exactly one workflow_return node.")?;
        let executions = self.laid_out[source].as_deref().unwrap_or_default();
        let [only] = executions else {
            return Err("The selected saved workflow produced an unsupported number of workflow_return executions.".into());
        };
        let output = self.executions.get_index(*only).and_then(|(id, _)| self.results.get(id));
        output
            .filter(|output| output["type"] == OUTPUT)
            .ok_or_else(|| "The selected saved workflow did not produce a valid workflow_return output.".into())
    }
}
