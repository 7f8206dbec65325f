//! From the raw request to checked parameters.

use std::collections::HashMap;

use bytes::Bytes;
use invoke_core::domain::{
    shape::{Check, Default, Extra, Field, ObjectShape, Shape},
    validation::{Issue, Step},
};
use serde_json::{Map, Value, json};

use crate::{
    call::RawBody,
    error::{Fault, Result},
    multipart::Part,
    route::{Body, Route},
};

/// A body after the first look at it, which comes before the sign-in: JSON is parsed, nothing is checked.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// There is none.
    Absent,
    /// JSON.
    Value(Value),
    /// Something else, as a text.
    Text(String),
    /// The parts of a form.
    Parts(Vec<Part>),
}

/// Parses a body.
pub(crate) fn parse(body: RawBody, content_type: Option<&str>) -> Result<Parsed> {
    let bytes = match body {
        RawBody::Unread => return Ok(Parsed::Absent),
        RawBody::Parts(parts) => return Ok(Parsed::Parts(parts)),
        RawBody::Bytes(bytes) if bytes.is_empty() => return Ok(Parsed::Absent),
        RawBody::Bytes(bytes) => bytes,
    };
    if !is_json(content_type) {
        return Ok(Parsed::Text(String::from_utf8_lossy(&bytes).into_owned()));
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Null) => Ok(Parsed::Absent),
        Ok(value) => Ok(Parsed::Value(value)),
        Err(error) => {
            let loc = vec!["body".into(), Step::Index(offset(&bytes, &error))];
            let ctx = Some(json!({"error": error.to_string()}));
            Err(Fault::issue(Issue {
                ctx,
                ..Issue::new("json_invalid", loc, "JSON decode error", json!({}))
            }))
        }
    }
}

fn is_json(content_type: Option<&str>) -> bool {
    let media = content_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    media
        .strip_prefix("application/")
        .is_some_and(|kind| kind == "json" || kind.ends_with("+json"))
}

/// The byte at which parsing stopped.
fn offset(bytes: &Bytes, error: &serde_json::Error) -> usize {
    let before: usize = bytes
        .split_inclusive(|&b| b == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    (before + error.column()).saturating_sub(1)
}

/// Checked parameters.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    /// From the path.
    pub(crate) path: Map<String, Value>,
    /// From the query.
    pub(crate) query: Map<String, Value>,
    /// The body, or a form's texts.
    pub(crate) body: Value,
    /// A form's files.
    pub(crate) parts: Vec<Part>,
}

/// Checks everything that a route declares, and says everything that is wrong.
pub(crate) fn check(route: &Route, path: Vec<(&'static str, String)>, query: &str, body: Parsed) -> Result<Inputs> {
    let mut inputs = Inputs::default();
    let mut issues = Vec::new();
    for (name, text) in path {
        collect(
            &mut inputs.path,
            &mut issues,
            "path",
            name,
            &route.path_shape(name),
            Value::String(text),
        );
    }
    if !route.query.is_empty() {
        query_parameters(route.query, query, &mut inputs.query, &mut issues);
    }
    match (route.body, body) {
        (Body::Json(shape), body @ (Parsed::Value(_) | Parsed::Text(_))) => {
            let value = match body {
                Parsed::Value(value) => value,
                Parsed::Text(text) => Value::String(text),
                Parsed::Absent | Parsed::Parts(_) => Value::Null,
            };
            match Check::at("body").run(&shape, value) {
                Ok(value) => inputs.body = value,
                Err(found) => issues.extend(found),
            }
        }
        (Body::None | Body::Json(Shape::Nullable(_)), _) => {}
        (Body::Json(_), _) => issues.push(missing(vec!["body".into()])),
        (Body::Fields(fields), body) => {
            let mut out = Map::new();
            match body {
                // What is no object lacks even what an object may lack.
                Parsed::Value(value) if !value.is_object() => {
                    issues.extend(fields.iter().map(|field| missing(vec!["body".into(), field.name.into()])));
                }
                body => {
                    let mut given = match body {
                        Parsed::Value(Value::Object(map)) => map,
                        _ => Map::new(),
                    };
                    for field in fields {
                        let value = given.shift_remove(field.name).filter(|value| !value.is_null());
                        parameter(field, value, "body", &mut out, &mut issues);
                    }
                }
            }
            inputs.body = Value::Object(out);
        }
        (Body::Form(fields), body) => {
            let parts = match body {
                Parsed::Parts(parts) => parts,
                _ => Vec::new(),
            };
            form(fields, parts, &mut inputs, &mut issues);
        }
    }
    if issues.is_empty() {
        Ok(inputs)
    } else {
        Err(Fault::invalid(issues))
    }
}

fn missing(loc: Vec<Step>) -> Issue {
    Issue::new("missing", loc, "Field required", Value::Null)
}

fn collect(out: &mut Map<String, Value>, issues: &mut Vec<Issue>, root: &str, name: &str, shape: &Shape, value: Value) {
    match Check::below(vec![root.into(), name.into()]).run(shape, value) {
        Ok(value) => {
            out.insert(name.into(), value);
        }
        Err(found) => issues.extend(found),
    }
}

/// One parameter that was given or not.
fn parameter(field: &Field, value: Option<Value>, root: &str, out: &mut Map<String, Value>, issues: &mut Vec<Issue>) {
    match (value, field.default) {
        (Some(value), _) => collect(out, issues, root, field.name, &field.shape, value),
        (None, Default::Required) => issues.push(missing(vec![root.into(), field.name.into()])),
        (None, Default::Json(text) | Default::Unprinted(text)) => {
            out.insert(field.name.into(), serde_json::from_str(text).expect("a declared default is JSON"));
        }
        (None, Default::Absent) => {}
    }
}

fn is_list(shape: &Shape) -> bool {
    match shape {
        Shape::List(..) => true,
        Shape::Nullable(of) => is_list(of),
        _ => false,
    }
}

/// Of a parameter given several times the last one counts, unless it is a list. Undeclared ones are ignored.
fn query_parameters(fields: &[Field], query: &str, out: &mut Map<String, Value>, issues: &mut Vec<Issue>) {
    let mut given: HashMap<String, Vec<String>> = HashMap::new();
    for (key, value) in form_urlencoded(query) {
        given.entry(key).or_default().push(value);
    }
    for field in fields {
        let values = given.remove(field.name).unwrap_or_default();
        let value = if values.is_empty() {
            None
        } else if is_list(&field.shape) {
            Some(Value::Array(values.into_iter().map(Value::String).collect()))
        } else {
            values.into_iter().next_back().map(Value::String)
        };
        parameter(field, value, "query", out, issues);
    }
}

fn form(fields: &[Field], parts: Vec<Part>, inputs: &mut Inputs, issues: &mut Vec<Issue>) {
    let mut texts = Map::new();
    for field in fields {
        let wants_file = matches!(field.shape, Shape::Binary | Shape::Nullable(Shape::Binary));
        let part = parts.iter().rev().find(|part| part.name == field.name);
        let loc = || vec!["body".into(), field.name.into()];
        match part {
            Some(part) if part.is_file() == wants_file && wants_file => {}
            Some(_) if wants_file => {
                issues.push(Issue::value_error(
                    loc(),
                    "Expected UploadFile, received: <class 'str'>",
                    Value::Null,
                ));
            }
            Some(part) if part.is_file() => issues.push(Issue::new("string_type", loc(), "Input should be a valid string", Value::Null)),
            // What a page sends for a field that was left empty.
            Some(part) if part.data.is_empty() && field.default == Default::Required => issues.push(missing(loc())),
            Some(part) => {
                let text = Value::String(String::from_utf8_lossy(&part.data).into_owned());
                collect(&mut texts, issues, "body", field.name, &field.shape, text);
            }
            None => parameter(field, None, "body", &mut texts, issues),
        }
    }
    inputs.body = Value::Object(texts);
    inputs.parts = parts;
}

/// Pairs of a query string.
pub(crate) fn form_urlencoded(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (unescape(key, true), unescape(value, true))
    })
}

/// Undoes percent escapes; what is no UTF-8 then is replaced.
pub(crate) fn unescape(text: &str, plus_is_space: bool) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'+' if plus_is_space => out.push(b' '),
            b'%' => match (bytes.get(at + 1).copied().and_then(hex), bytes.get(at + 2).copied().and_then(hex)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    at += 2;
                }
                _ => out.push(b'%'),
            },
            byte => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The shape of a body that is an object of parameters, for the document.
pub(crate) const fn object_of(name: &'static str, fields: &'static [Field]) -> ObjectShape {
    ObjectShape {
        name,
        fields,
        extra: Extra::Ignore,
    }
}

#[cfg(test)]
mod tests {
    use invoke_core::domain::shape::Bounds;

    use super::*;
    use crate::{call::Call, reply::Reply, route::Access};

    #[expect(clippy::unnecessary_wraps, reason = "a handler is of one type, whether it can fail or not")]
    fn answer(_: &mut Call<'_>) -> Result<Reply> {
        Ok(Reply::empty(http::StatusCode::OK))
    }

    const LIST: Route = Route::get("/x/{id}", Access::User, answer)
        .path_shapes(&[Field::required("id", Shape::INT)])
        .query(&[
            Field::with("limit", Shape::Int(Bounds::NONE.ge(0.0).le(1000.0)), "10"),
            Field::optional("categories", Shape::list(&Shape::STR)),
            Field::required("flag", Shape::BOOL),
        ]);
    const EMBED: Route = Route::post("/x", Access::User, answer).fields(&[Field::required("ids", Shape::list(&Shape::INT))]);
    const OPEN: Route = Route::post("/x", Access::User, answer).fields(&[Field::with("seed", Shape::INT, "7")]);
    const TEXT: Route = Route::post("/x", Access::User, answer).json(Shape::STR);

    fn places(result: Result<Inputs>) -> Vec<String> {
        let fault = result.map(|_| ()).unwrap_err();
        assert_eq!(fault.status(), 422);
        let reply = fault.into_reply();
        let crate::reply::Content::Bytes(bytes) = reply.content else {
            panic!("an error is no file")
        };
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        body["detail"]
            .as_array()
            .unwrap()
            .iter()
            .map(|issue| format!("{} {}", issue["type"].as_str().unwrap(), issue["loc"]))
            .collect()
    }

    #[test]
    fn queries_are_read_by_their_shapes() {
        let inputs = check(
            &LIST,
            vec![("id", "7".into())],
            "flag=Yes&categories=a&categories=b%20c&limit=3&limit=4&other=1",
            Parsed::Absent,
        )
        .unwrap();
        assert_eq!(json!(inputs.query), json!({"limit": 4, "categories": ["a", "b c"], "flag": true}));
        assert_eq!(inputs.path["id"], json!(7));
        let wrong = places(check(&LIST, vec![("id", "x".into())], "limit=1001&categories=a", Parsed::Absent));
        assert_eq!(
            wrong,
            [
                r#"int_parsing ["path","id"]"#,
                r#"less_than_equal ["query","limit"]"#,
                r#"missing ["query","flag"]"#
            ]
        );
    }

    #[test]
    fn bodies_are_looked_at_as_the_original_does() {
        let json = Some("application/json");
        let bytes = |text: &'static str| RawBody::Bytes(Bytes::from_static(text.as_bytes()));
        assert_eq!(parse(bytes("{\n\"a\": tru"), json).unwrap_err().status(), 422);
        assert_eq!(
            places(check(&EMBED, vec![], "", parse(bytes("[1]"), json).unwrap())),
            [r#"missing ["body","ids"]"#]
        );
        assert_eq!(
            places(check(&EMBED, vec![], "", parse(bytes(r#"{"ids":["a"]}"#), json).unwrap())),
            [r#"int_parsing ["body","ids",0]"#]
        );
        for absent in [parse(bytes("[1]"), None), parse(bytes("null"), json)] {
            assert!(check(&OPEN, vec![], "", absent.unwrap()).is_ok());
        }
        assert_eq!(
            places(check(&OPEN, vec![], "", parse(bytes("[1]"), json).unwrap())),
            [r#"missing ["body","seed"]"#]
        );
        let null = parse(bytes(r#"{"seed": null}"#), json).unwrap();
        assert_eq!(check(&OPEN, vec![], "", null).unwrap().body, json!({"seed": 7}));
        assert_eq!(
            places(check(&TEXT, vec![], "", parse(bytes(""), None).unwrap())),
            [r#"missing ["body"]"#]
        );
        assert_eq!(
            places(check(&TEXT, vec![], "", parse(bytes("{}"), json).unwrap())),
            [r#"string_type ["body"]"#]
        );
        assert_eq!(
            check(&TEXT, vec![], "", parse(bytes("{}"), Some("text/plain")).unwrap())
                .unwrap()
                .body,
            json!("{}")
        );
        assert_eq!(
            check(
                &TEXT,
                vec![],
                "",
                parse(bytes("\"x\""), Some("application/merge-patch+json")).unwrap()
            )
            .unwrap()
            .body,
            json!("x")
        );
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescape("a%2Fb+c%zz%", true), "a/b c%zz%");
        assert_eq!(unescape("a+b%C3%A9", false), "a+bé");
        assert_eq!(unescape("%ff", false), "\u{fffd}");
    }
}
