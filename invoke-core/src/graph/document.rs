//! What a workflow's document must look like to be kept.

use serde_json::Value;

use crate::domain::{
    library::Origin,
    shape::{Check, Extra, Field, ObjectShape, Rule, Shape},
    validation::Issue,
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
const VERSION: Shape = Shape::Ruled(&STR, &SEMANTIC);
const NODES: Shape = Shape::Ruled(&JSON_OBJECTS, &ONE_RESULT);
static META: ObjectShape = object(
    "WorkflowMeta",
    &[req("version", VERSION), req("category", Shape::Enum(Origin::TEXTS))],
);

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
            req("nodes", NODES),
            req("edges", JSON_OBJECTS),
            Field::with("form", Shape::Nullable(&JSON_OBJECT), "null"),
            $($more),*
        ]
    };
}

/// A workflow without an identifier: one that is yet to be kept.
pub const NEW_DOCUMENT: Shape = Shape::Object(&NEW);
static NEW: ObjectShape = object("WorkflowWithoutID", &fields![]);

/// A workflow with its identifier.
pub const DOCUMENT: Shape = Shape::Object(&KEPT);
static KEPT: ObjectShape = object("Workflow", &fields![req("id", STR)]);

/// The version of the form of documents is three numbers.
static SEMANTIC: Rule = Rule {
    label: "str",
    check: |version, loc| {
        let text = version.as_str().unwrap_or_default();
        let told = || Issue::value_error(loc, format!("Invalid workflow meta version: {text}"), version.clone());
        (!is_semantic_version(text)).then(told)
    },
};

/// One node at most gives the result.
static ONE_RESULT: Rule = Rule {
    label: "list[dict[str,any]]",
    check: |nodes, loc| {
        let is_return = |node: &&Value| node["type"] == "invocation" && node["data"]["type"] == "workflow_return";
        let results = nodes.as_array().into_iter().flatten().filter(is_return).count();
        (results > 1).then(|| Issue::value_error(loc, "A workflow may contain at most one workflow_return node", nodes.clone()))
    },
};

/// A document as the library takes it: one that is new ([`NEW_DOCUMENT`]) or changed ([`DOCUMENT`]), for programs, which unlike
/// the server have not checked a request before.
///
/// # Errors
/// Everything that is wrong with it, below `workflow`.
pub fn checked(shape: &Shape, document: Value) -> Result<Value, Vec<Issue>> {
    Check::at("workflow").run(shape, document)
}

/// Three whole numbers with dots between them, then perhaps a part after `-` and one after `+`, which are words with dots between them.
fn is_semantic_version(text: &str) -> bool {
    let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
    let (numbers, stage) = rest.split_once('-').map_or((rest, None), |(numbers, stage)| (numbers, Some(stage)));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let has_no_zero = |part: &str| part == "0" || !part.starts_with('0');
    let is_number = |part: &str| !part.is_empty() && is_digits(part) && has_no_zero(part);
    numbers.split('.').count() == 3
        && numbers.split('.').all(is_number)
        && stage.is_none_or(|stage| {
            stage
                .split('.')
                .all(|part| is_word(part) && (!is_digits(part) || has_no_zero(part)))
        })
        && build.is_none_or(|build| build.split('.').all(is_word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::validation::Step;

    #[test]
    fn versions_are_three_numbers() {
        for good in ["3.0.0", "0.10.2", "1.2.3-beta+5", "1.0.0-a-b.0+01.x"] {
            assert!(is_semantic_version(good), "{good}");
        }
        for bad in [
            "",
            "x",
            "1.2",
            "1.2.x",
            "01.2.3",
            "1..3",
            "1.0.0-",
            "1.0.0-01",
            "1.0.0+",
            "1.0.0-a_b",
            "1.0.0 ",
        ] {
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
        assert_eq!(checked(&NEW_DOCUMENT, document.clone()).unwrap()["form"], Value::Null);
        let result = json!({"type": "invocation", "data": {"type": "workflow_return"}});
        document["nodes"] = json!([result, result]);
        assert_eq!(
            checked(&NEW_DOCUMENT, document).unwrap_err()[0].loc,
            ["workflow", "nodes"].map(Step::from)
        );
    }
}
