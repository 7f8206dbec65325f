//! The classes of models' records: which fields a record has, by its type, format and base. Documents show them, and a changed record is held to them.

mod fields;
mod table;

use std::collections::HashSet;

use serde_json::{Map, Value, json};

pub use fields::{
    ANY_VARIANT, CONTROL_DEFAULTS, EXTERNAL_CAPABILITIES, EXTERNAL_DEFAULTS, EXTERNAL_PANEL, LORA_DEFAULTS, LORA_DEFAULTS_TO_SET,
    MAIN_DEFAULTS, PREDICTIONS, SOURCE_TYPES,
};
pub use table::RECORD;

use crate::domain::{
    shape::{Check, Field, ObjectShape, Shape},
    validation::Issue,
};

/// All classes, in the order in which they are tried.
fn all() -> impl Iterator<Item = &'static ObjectShape> {
    let shapes = match RECORD {
        Shape::Union(shapes) => shapes,
        _ => &[],
    };
    shapes.iter().filter_map(|shape| match shape {
        Shape::Object(class) => Some(*class),
        _ => None,
    })
}

fn constant(class: &ObjectShape, name: &str) -> Option<&'static str> {
    class
        .fields
        .iter()
        .find(|field| field.name == name)
        .and_then(|field| match field.shape {
            Shape::Const(text) => Some(text),
            _ => None,
        })
}

/// Whether a record is of a class, by the texts that tell classes apart.
fn tells(class: &ObjectShape, record: &Map<String, Value>) -> bool {
    ["type", "format", "base", "variant"].iter().all(|name| {
        let expected = constant(class, name);
        expected.is_none() || record.get(*name).and_then(Value::as_str) == expected
    })
}

/// What a field of a class is where a record does not say.
fn missing(field: &Field) -> Option<Value> {
    match field.shape {
        Shape::Const(text) => Some(json!(text)),
        Shape::Nullable(_) => Some(Value::Null),
        Shape::Bool { .. } => Some(json!(false)),
        Shape::Enum(texts) if texts.contains(&"") => Some(json!("")),
        Shape::Enum(texts) if texts.contains(&"none") => Some(json!("none")),
        Shape::Enum(texts) if texts.contains(&"normal") => Some(json!("normal")),
        Shape::Enum(texts) if texts.contains(&"epsilon") => Some(json!("epsilon")),
        Shape::IntEnum(numbers) => numbers.first().map(|n| json!(n)),
        _ => None,
    }
}

/// Trigger phrases are a set: each once.
fn distinct(field: &str, value: Value) -> Value {
    match value {
        Value::Array(mut all) if field == "trigger_phrases" => {
            let mut seen = HashSet::new();
            all.retain(|one| seen.insert(one.to_string()));
            Value::Array(all)
        }
        other => other,
    }
}

/// The fields of a class, from a record, each held to its shape.
fn held_to(class: &ObjectShape, record: &Map<String, Value>) -> Result<Map<String, Value>, Vec<Issue>> {
    let (mut held, mut issues) = (Map::new(), Vec::new());
    for field in class.fields {
        let loc = vec!["body".into(), field.name.into()];
        match record
            .get(field.name)
            .cloned()
            .map(|value| distinct(field.name, value))
            .or_else(|| missing(field))
        {
            None => issues.push(Issue::new("missing", loc, "Field required", Value::Null)),
            Some(value) => match Check::below(loc).run(&field.shape, value) {
                Ok(value) => drop(held.insert(field.name.into(), value)),
                Err(found) => issues.extend(found),
            },
        }
    }
    if issues.is_empty() { Ok(held) } else { Err(issues) }
}

/// A record as its class has it: the fields of the class in their order, defaults where it says nothing, nothing else. If no class has this type,
/// format and base together and `retyped`, the first class of its type that takes the record is tried.
///
/// # Errors
/// What is wrong with it.
pub fn classified(record: &Map<String, Value>, retyped: bool) -> Result<Map<String, Value>, Vec<Issue>> {
    let told = match all().find(|class| tells(class, record)) {
        Some(class) => held_to(class, record),
        None => Err(vec![unknown_class(record)]),
    };
    let Err(issues) = told else { return told };
    if !retyped {
        return Err(issues);
    }
    let kind = record.get("type").and_then(Value::as_str);
    let mut bare = record.clone();
    for stale in ["format", "variant", "default_settings"] {
        bare.shift_remove(stale);
    }
    let fits = |class: &&ObjectShape| {
        let same_base = || constant(class, "base") == bare.get("base").and_then(Value::as_str);
        constant(class, "type") == kind && same_base()
    };
    all().filter(fits).find_map(|class| held_to(class, &bare).ok()).ok_or(issues)
}

fn unknown_class(record: &Map<String, Value>) -> Issue {
    let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or("none").to_owned();
    let message = format!(
        "There are no models of type '{}', format '{}' and base '{}'",
        text("type"),
        text("format"),
        text("base")
    );
    Issue::new("union_tag_invalid", vec!["body".into()], message, Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lora() -> Map<String, Value> {
        let Value::Object(map) = json!({
            "key": "k", "hash": "h", "path": "p", "file_size": 1, "name": "n", "description": null, "source": "s", "source_type": "path",
            "source_api_response": null, "source_url": null, "cover_image": null, "type": "lora", "trigger_phrases": ["a"],
            "default_settings": {"weight": 0.5}, "format": "lycoris", "base": "sd-1", "unheard": 1,
        }) else {
            unreachable!()
        };
        map
    }

    #[test]
    fn a_record_has_the_fields_of_its_class() {
        let record = classified(&lora(), false).unwrap();
        assert_eq!(
            record["default_settings"],
            json!({"weight": 0.5, "weight_min": null, "weight_max": null})
        );
        assert!(!record.contains_key("unheard"));
        assert_eq!(record.keys().next_back().unwrap(), "base");
    }

    #[test]
    fn a_change_of_class_takes_the_fields_of_the_new_one() {
        let mut record = lora();
        record.insert("base".into(), json!("sdxl"));
        assert_eq!(classified(&record, false).unwrap()["base"], json!("sdxl"));
        record.insert("type".into(), json!("main"));
        assert_eq!(classified(&record, false).unwrap_err()[0].kind, "union_tag_invalid");
        let main = classified(&record, true).unwrap();
        assert_eq!(
            (&main["format"], &main["variant"], &main["prediction_type"]),
            (&json!("diffusers"), &json!("normal"), &json!("epsilon"))
        );
    }

    #[test]
    fn values_that_a_class_does_not_take_are_named() {
        let mut record = lora();
        record.insert("default_settings".into(), json!({"weight": "heavy", "colour": 1}));
        let issues = classified(&record, false).unwrap_err();
        assert!(
            issues.iter().all(|issue| issue.loc[1] == "default_settings".into()) && issues.len() == 2,
            "{issues:?}"
        );
    }

    #[test]
    fn no_two_classes_are_told_by_the_same_words() {
        let mut seen = std::collections::BTreeSet::new();
        for class in all() {
            let words: Vec<_> = ["type", "format", "base", "variant"].map(|name| constant(class, name)).into();
            assert!(seen.insert(words), "{}", class.name);
        }
        assert_eq!(seen.len(), 124);
    }
}
