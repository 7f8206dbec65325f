//! Nodes as OpenAPI component schemas, from which editors build their node templates.

use serde_json::{Map, Value, json};

use super::{
    meta::{FieldMeta, Kind, NodeMeta, OutputField, OutputMeta, Ui},
    registry::Registry,
};
use crate::domain::shape::{Definitions, json_schema};

/// Schemas of all nodes, of what they return and of every object that travels between them; added to `definitions`.
pub fn components(registry: &Registry, definitions: &mut Definitions) {
    for node in registry.nodes() {
        let schema = node_schema(node, definitions);
        definitions.0.insert(node.schema.into(), schema);
    }
    for output in registry.outputs() {
        let schema = output_schema(output, definitions);
        definitions.0.insert(output.schema.into(), schema);
    }
    let outputs: Map<String, Value> = registry
        .nodes()
        .iter()
        .map(|node| (node.id.into(), reference(node.output.schema)))
        .collect();
    let required: Vec<&str> = registry.nodes().iter().map(|node| node.id).collect();
    definitions.0.insert(
        "InvocationOutputMap".into(),
        json!({"type": "object", "properties": outputs, "required": required}),
    );
    graph_schemas(registry, definitions);
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn graph_schemas(registry: &Registry, definitions: &mut Definitions) {
    let kinds: Vec<Value> = registry.nodes().iter().map(|node| reference(node.schema)).collect();
    let mapping: Map<String, Value> = registry
        .nodes()
        .iter()
        .map(|node| (node.id.into(), json!(format!("#/components/schemas/{}", node.schema))))
        .collect();
    let any_node = json!({"oneOf": kinds, "discriminator": {"propertyName": "type", "mapping": mapping}});
    let connection = json!({"type": "object", "properties": {"node_id": {"type": "string"}, "field": {"type": "string"}}, "required": ["node_id", "field"]});
    let ends = json!({"source": reference("EdgeConnection"), "destination": reference("EdgeConnection")});
    let edge = json!({"type": "object", "properties": ends, "required": ["source", "destination"]});
    let parts = json!({
        "id": {"type": "string"},
        "nodes": {"type": "object", "additionalProperties": any_node},
        "edges": {"type": "array", "items": reference("Edge")},
    });
    session_schemas(registry, definitions);
    for (name, schema) in [
        ("EdgeConnection", connection),
        ("Edge", edge),
        ("Graph", json!({"type": "object", "title": "Graph", "properties": parts})),
    ] {
        definitions.0.insert(name.into(), schema);
    }
}

/// A session as `session::json` writes it.
fn session_schemas(registry: &Registry, definitions: &mut Definitions) {
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": text});
    let set = json!({"type": "array", "items": text, "uniqueItems": true});
    let whole = json!({"type": "integer"});
    let counted = json!({"type": "integer", "minimum": 1});
    let by_name = |of: &Value| json!({"type": "object", "additionalProperties": of});
    let or_null = |of: &Value| json!({"anyOf": [of, {"type": "null"}]});
    let list = |of: &Value| json!({"type": "array", "items": of});
    let outputs: Vec<Value> = registry.outputs().iter().map(|output| reference(output.schema)).collect();
    let frame = json!({"prepared_call_node_id": text, "source_call_node_id": text, "workflow_id": text, "depth": counted});
    let with = |more: Value| {
        let mut all = object(more);
        all.extend(object(frame.clone()));
        Value::Object(all)
    };
    let parent = with(json!({"workflow_call_id": text, "parent_session_id": text}));
    let call = with(json!({
        "id": text, "parent_session_id": text, "child_session_id": or_null(&text),
        "status": {"type": "string", "enum": ["waiting_for_child", "running_child", "completed", "failed"]},
        "error_message": or_null(&text), "child_session_ids": texts, "child_item_ids": list(&whole), "expected_child_count": counted,
        "completed_child_item_ids": list(&whole), "aggregated_values": by_name(&json!({"type": "array", "items": {}})),
        "child_outputs": by_name(&json!({"type": "object", "additionalProperties": true})),
    }));
    let session = json!({
        "id": text, "graph": reference("Graph"), "execution_graph": reference("Graph"), "executed": set, "executed_history": texts,
        "results": by_name(&json!({"oneOf": outputs})), "errors": by_name(&text),
        "workflow_call_stack": list(&reference("WorkflowCallFrame")), "workflow_call_history": list(&reference("WorkflowCallExecution")),
        "workflow_call_parent": or_null(&reference("WorkflowCallParentRef")), "waiting_workflow_call": or_null(&reference("WorkflowCallFrame")),
        "waiting_workflow_call_execution": or_null(&reference("WorkflowCallExecution")),
        "waiting_workflow_call_child_session": or_null(&reference("GraphExecutionState")), "max_workflow_call_depth": counted,
        "prepared_source_mapping": by_name(&text), "source_prepared_mapping": by_name(&set), "prepared_iteration_paths": by_name(&list(&whole)),
        "ready_order": texts, "indegree": by_name(&whole),
    });
    for (name, properties) in [
        ("WorkflowCallFrame", frame),
        ("WorkflowCallParentRef", parent),
        ("WorkflowCallExecution", call),
        ("GraphExecutionState", session),
    ] {
        let schema = json!({"type": "object", "title": name, "properties": properties});
        definitions.0.insert(name.into(), schema);
    }
}

fn node_schema(node: &NodeMeta, definitions: &mut Definitions) -> Value {
    let mut properties = Map::new();
    let (internal, inputs): (Vec<&FieldMeta>, Vec<&FieldMeta>) = node.fields.iter().partition(|field| field.kind == Kind::Internal);
    for field in internal {
        properties.insert(field.name.into(), field_schema(field, definitions));
    }
    properties.insert("id".into(), json!({"type": "string", "field_kind": "node_attribute"}));
    properties.insert(
        "is_intermediate".into(),
        json!({
            "type": "boolean", "default": false, "field_kind": "node_attribute", "input": "direct", "orig_required": true, "ui_hidden": false,
            "ui_type": "IsIntermediate",
        }),
    );
    properties.insert(
        "use_cache".into(),
        json!({"type": "boolean", "default": node.use_cache, "field_kind": "node_attribute"}),
    );
    let mut required: Vec<&str> = Vec::new();
    for field in inputs {
        properties.insert(field.name.into(), field_schema(field, definitions));
        if field.default.is_none() {
            required.push(field.name);
        }
    }
    required.extend(["type", "id"]);
    properties.insert("type".into(), type_schema(node.id));
    let mut schema = Map::new();
    schema.insert("type".into(), json!("object"));
    schema.insert("class".into(), json!("invocation"));
    schema.insert("title".into(), json!(node.title));
    schema.insert("version".into(), json!(node.version));
    schema.insert("node_pack".into(), json!("invokeai"));
    schema.insert("classification".into(), json!(node.classification.as_str()));
    if let Some(category) = node.category {
        schema.insert("category".into(), json!(category));
    }
    if let Some(tags) = node.tags {
        schema.insert("tags".into(), json!(tags));
    }
    if node.extra_keys {
        schema.insert("additionalProperties".into(), json!(true));
    }
    schema.insert("properties".into(), Value::Object(properties));
    schema.insert("required".into(), json!(required));
    schema.insert("output".into(), reference(node.output.schema));
    Value::Object(schema)
}

fn type_schema(id: &str) -> Value {
    json!({"type": "string", "const": id, "default": id, "field_kind": "node_attribute"})
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("a declared default is JSON")
}

fn object(schema: Value) -> Map<String, Value> {
    match schema {
        Value::Object(map) => map,
        other => unreachable!("a schema is an object, not {other}"),
    }
}

fn field_schema(field: &FieldMeta, definitions: &mut Definitions) -> Value {
    let mut schema = object(json_schema(&field.shape, definitions));
    if let Some(text) = field.default {
        schema.insert("default".into(), parsed(text));
    }
    let internal = field.kind == Kind::Internal;
    schema.insert("field_kind".into(), json!(if internal { "internal" } else { "input" }));
    schema.insert("input".into(), json!(field.input.as_str()));
    schema.insert("orig_required".into(), json!(field.required));
    if internal {
        schema.insert("ui_hidden".into(), json!(false));
    } else if let (false, Some(text)) = (field.required, field.default) {
        schema.insert("orig_default".into(), parsed(text));
    }
    hints(&field.ui, &mut schema);
    Value::Object(schema)
}

fn hints(ui: &Ui, schema: &mut Map<String, Value>) {
    let texts = [("title", ui.title), ("ui_component", ui.component), ("ui_type", ui.ui_type)];
    for (key, text) in texts.into_iter().filter_map(|(key, text)| Some((key, text?))) {
        schema.insert(key.into(), json!(text));
    }
    if let Some(order) = ui.order {
        schema.insert("ui_order".into(), json!(order));
    }
    if ui.hidden {
        schema.insert("ui_hidden".into(), json!(true));
    }
    if !ui.choice_labels.is_empty() {
        let labels: Map<String, Value> = ui
            .choice_labels
            .iter()
            .map(|(value, label)| ((*value).into(), json!(label)))
            .collect();
        schema.insert("ui_choice_labels".into(), Value::Object(labels));
    }
    let lists = [
        ("ui_model_base", ui.model_base),
        ("ui_model_type", ui.model_type),
        ("ui_model_variant", ui.model_variant),
        ("ui_model_format", ui.model_format),
    ];
    for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        schema.insert(key.into(), json!(list));
    }
}

fn output_schema(output: &OutputMeta, definitions: &mut Definitions) -> Value {
    let mut properties = Map::new();
    let mut required = vec!["output_meta"];
    for field in output.fields {
        required.push(field.name);
        properties.insert(field.name.into(), output_field_schema(field, definitions));
    }
    required.extend(["type", "type"]);
    properties.insert("type".into(), type_schema(output.id));
    json!({"type": "object", "class": "output", "title": output.schema, "properties": properties, "required": required})
}

fn output_field_schema(field: &OutputField, definitions: &mut Definitions) -> Value {
    let mut schema = object(json_schema(&field.shape, definitions));
    if let Some(text) = field.default {
        schema.insert("default".into(), parsed(text));
    }
    schema.insert("field_kind".into(), json!("output"));
    schema.insert("ui_hidden".into(), json!(false));
    hints(&field.ui, &mut schema);
    Value::Object(schema)
}
