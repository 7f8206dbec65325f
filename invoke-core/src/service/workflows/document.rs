//! What a workflow's document must look like to be kept.

use serde_json::Value;

use crate::domain::{
    library::Origin,
    shape::{Check, Extra, Field, ObjectShape, Shape},
    validation::{Issue, Step},
};

const STR: Shape = Shape::STR;
const JSON_OBJECT: Shape = Shape::Map(&Shape::Any);
const JSON_OBJECTS: Shape = Shape::list(&JSON_OBJECT);
const EXPOSED_FIELD_SHAPE: Shape = Shape::Object(&EXPOSED_FIELD);
const EXPOSED_FIELDS: Shape = Shape::list(&EXPOSED_FIELD_SHAPE);

const fn req(name: &'static str, shape: Shape) -> Field {
    Field::required(name, shape)
}

const fn object(name: &'static str, fields: &'static [Field]) -> ObjectShape {
    ObjectShape {
        name,
        fields,
        extra: Extra::Ignore,
    }
}

static EXPOSED_FIELD: ObjectShape = object("ExposedField", &[req("nodeId", STR), req("fieldName", STR)]);
static META: ObjectShape = object("WorkflowMeta", &[req("version", STR), req("category", Shape::Enum(Origin::TEXTS))]);

/// The fields of a document, and what one with more has after them.
macro_rules! fields {
    ($($more:expr),*) => {
        [
            req("name", STR),
            req("author", STR),
            req("description", STR),
            req("version", STR),
            req("contact", STR),
            req("tags", STR),
            req("notes", STR),
            req("exposedFields", EXPOSED_FIELDS),
            req("meta", Shape::Object(&META)),
            req("nodes", JSON_OBJECTS),
            req("edges", JSON_OBJECTS),
            Field::with("form", Shape::Nullable(&JSON_OBJECT), "null"),
            $($more),*
        ]
    };
}

/// A workflow without an identifier: one that is yet to be kept.
pub static NEW_DOCUMENT: ObjectShape = object("WorkflowWithoutID", &fields![]);

/// A workflow with its identifier.
pub static DOCUMENT: ObjectShape = object("Workflow", &fields![req("id", STR)]);

/// A document as [`super::Workflows::create`] ([`NEW_DOCUMENT`]) and [`super::Workflows::update`] ([`DOCUMENT`]) take it, for programs, which unlike
/// the server have not checked a request before.
///
/// # Errors
/// Everything that is wrong with it, below `workflow`.
pub fn checked(shape: &'static ObjectShape, document: Value) -> Result<Value, Vec<Issue>> {
    let document = Check::at("workflow").run(&Shape::Object(shape), document)?;
    check_rules(&document, &["workflow".into()]).map_err(|issue| vec![*issue])?;
    Ok(document)
}

/// What the shape of a document does not say: the version's form, and that one node at most gives the result. `loc` is where the document lies.
///
/// # Errors
/// The rule that is broken.
pub fn check_rules(document: &Value, loc: &[Step]) -> Result<(), Box<Issue>> {
    let version = document["meta"]["version"].as_str().unwrap_or_default();
    if !is_semantic_version(version) {
        let loc = [loc, &["meta".into(), "version".into()]].concat();
        let text = format!("Invalid workflow meta version: {version}");
        return Err(Box::new(Issue::value_error(loc, text, Value::String(version.into()))));
    }
    let is_return = |node: &&Value| node["type"] == "invocation" && node["data"]["type"] == "workflow_return";
    if document["nodes"].as_array().into_iter().flatten().filter(is_return).count() > 1 {
        let text = "A workflow may contain at most one workflow_return node";
        return Err(Box::new(Issue::value_error(loc.to_vec(), text, Value::Null)));
    }
    Ok(())
}

/// Three whole numbers with dots between them, then perhaps `-` and `+` parts.
fn is_semantic_version(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let whole = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
    core.split('.').count() == 3 && core.split('.').all(whole)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_are_three_numbers() {
        for good in ["3.0.0", "0.10.2", "1.2.3-beta+5"] {
            assert!(is_semantic_version(good), "{good}");
        }
        for bad in ["", "x", "1.2", "1.2.x", "01.2.3", "1..3"] {
            assert!(!is_semantic_version(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let issues = checked(&NEW_DOCUMENT, json!({"name": "x"})).unwrap_err();
        assert_eq!(issues[0].loc, ["workflow".into(), "author".into()]);
        let mut document = json!({"name": "", "author": "", "description": "", "version": "", "contact": "", "tags": "", "notes": "",
            "exposedFields": [], "meta": {"version": "three", "category": "user"}, "nodes": [], "edges": []});
        let issues = checked(&NEW_DOCUMENT, document.clone()).unwrap_err();
        assert_eq!(issues[0].loc, ["workflow", "meta", "version"].map(Step::from));
        document["meta"]["version"] = json!("3.0.0");
        assert_eq!(checked(&NEW_DOCUMENT, document).unwrap()["form"], Value::Null);
    }
}
