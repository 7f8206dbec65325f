//! Every node is described as InvokeAI describes it: what editors read of it is equal to the reference document.

#![expect(clippy::unwrap_used, reason = "what is missing here fails the test")]

use std::{collections::BTreeMap, fs, path::Path};

use invoke_core::{domain::shape::Definitions, graph::schema, nodes};
use serde_json::Value;

/// The nodes there are.
const NODES: &str = include_str!("../src/nodes/types.txt");
/// What editors read of a node.
const NODE_KEYS: &[&str] = &["title", "version", "category", "classification", "node_pack", "tags", "output"];
/// What editors read of a node's field.
const FIELD_KEYS: &[&str] = &[
    "type",
    "enum",
    "$ref",
    "anyOf",
    "items",
    "default",
    "field_kind",
    "input",
    "orig_required",
    "ui_hidden",
    "ui_order",
    "ui_component",
    "ui_type",
    "ui_choice_labels",
    "ui_model_base",
    "ui_model_type",
    "ui_model_variant",
    "ui_model_format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
];

/// Nodes by their type.
fn by_type(schemas: &serde_json::Map<String, Value>) -> BTreeMap<String, &Value> {
    let nodes = schemas.values().filter(|schema| schema["class"] == "invocation");
    nodes
        .map(|schema| (schema["properties"]["type"]["default"].as_str().unwrap().to_owned(), schema))
        .collect()
}

/// Numbers written as whole or not, and lists whose order means nothing, brought to one form.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(n) => n.as_f64().map_or(Value::Null, Value::from),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(plain).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, _)| !["title", "description"].contains(&key.as_str()));
            let sorted: BTreeMap<String, Value> = kept.map(|(key, value)| (key.clone(), plain(value))).collect();
            sorted.into_iter().collect()
        }
        other => other.clone(),
    }
}

#[test]
fn every_node_is_described_as_the_original_describes_it() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/contract/openapi-6.14.2.json");
    let reference: Value = serde_json::from_str(&fs::read_to_string(reference).unwrap()).unwrap();
    let reference = by_type(reference["components"]["schemas"].as_object().unwrap());
    let mut definitions = Definitions::default();
    schema::components(&nodes::registry(None, None), &mut definitions);
    let ours = by_type(&definitions.0);
    let mut wrong = Vec::new();
    for name in NODES.lines() {
        let (Some(want), Some(found)) = (reference.get(name), ours.get(name)) else {
            wrong.push(format!("{name} is not in both documents"));
            continue;
        };
        for key in NODE_KEYS {
            if want[key] != found[key] {
                wrong.push(format!("{name}: {key} is {}, expected {}", found[key], want[key]));
            }
        }
        let (wanted, fields) = (want["properties"].as_object().unwrap(), found["properties"].as_object().unwrap());
        for (field, want) in wanted {
            let Some(found) = fields.get(field) else {
                wrong.push(format!("{name}.{field} is missing"));
                continue;
            };
            for key in FIELD_KEYS {
                let (want, found) = (plain(&want[key]), plain(&found[key]));
                if want != found {
                    wrong.push(format!("{name}.{field}: {key} is {found}, expected {want}"));
                }
            }
        }
        wrong.extend(
            fields
                .keys()
                .filter(|field| !wanted.contains_key(*field))
                .map(|field| format!("{name}.{field} is new")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
