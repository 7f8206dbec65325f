//! The OpenAPI document, from the list of routes.

use std::sync::OnceLock;

use bytes::Bytes;
use invoke_core::{
    domain::shape::{Default, Definitions, Field, Shape, inline_schema, json_schema},
    graph::{Registry, schema::components},
};
use serde_json::{Map, Value, json};

use crate::{
    auth::MEDIA_COOKIE,
    compress::gzip,
    input::object_of,
    route::{Access, Answer, Body, Route},
};

/// The document, ready to be sent.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) plain: Bytes,
    compressed: OnceLock<Bytes>,
}

impl Document {
    /// Writes the document of these routes. Routes without a name stay out of it.
    pub(crate) fn of(routes: impl IntoIterator<Item = Route>, registry: &Registry) -> Self {
        let plain = serde_json::to_vec(&write(routes, registry))
            .expect("a JSON value can be written")
            .into();
        Self {
            plain,
            compressed: OnceLock::new(),
        }
    }

    /// The document, compressed.
    pub(crate) fn compressed(&self) -> Bytes {
        self.compressed.get_or_init(|| gzip(&self.plain, 6)).clone()
    }
}

fn write(routes: impl IntoIterator<Item = Route>, registry: &Registry) -> Value {
    let mut definitions = Definitions::default();
    let mut paths: Map<String, Value> = Map::new();
    validation_errors(&mut definitions);
    for route in routes.into_iter().filter(|route| !route.name.is_empty()) {
        let operation = operation(&route, &mut definitions);
        let path = paths.entry(route.path.replace("{*", "{")).or_insert_with(|| json!({}));
        path[route.method.lower()] = operation;
    }
    // Last: routes mention graphs and sessions by name alone.
    components(registry, &mut definitions);
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Invoke - Community Edition", "description": "An API for invoking AI image operations", "version": "1.0.0"},
        "paths": paths,
        "components": {
            "schemas": definitions.0,
            "securitySchemes": {"HTTPBearer": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn operation(route: &Route, definitions: &mut Definitions) -> Value {
    let mut operation = json!({"tags": [route.tag], "summary": route.summary, "operationId": route.name});
    if route.deprecated {
        operation["deprecated"] = json!(true);
    }
    if route.access != Access::Anonymous {
        operation["security"] = json!([{"HTTPBearer": []}]);
    }
    let mut parameters: Vec<Value> = Vec::new();
    for name in route.path_parameters() {
        let schema = json_schema(&route.path_shape(name), definitions);
        parameters.push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
    }
    parameters.extend(route.query.iter().map(|field| query_parameter(field, definitions)));
    if route.access == Access::Media {
        let schema = json!({"anyOf": [{"type": "string"}, {"type": "null"}]});
        parameters.push(json!({"name": MEDIA_COOKIE, "in": "cookie", "required": false, "schema": schema}));
    }
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if let Some((media, schema, required)) = body(route, definitions) {
        operation["requestBody"] = json!({"required": required, "content": {media: {"schema": schema}}});
    }
    let mut responses = Map::new();
    for answer in route.answers.iter().flatten() {
        let described = response(answer, definitions);
        match responses.get_mut(&answer.status.to_string()) {
            // Of the same status in another form.
            Some(known) => known["content"][answer.media] = described["content"][answer.media].clone(),
            None => drop(responses.insert(answer.status.to_string(), described)),
        }
    }
    if operation.get("parameters").is_some() || operation.get("requestBody").is_some() {
        let schema = json!({"$ref": "#/components/schemas/HTTPValidationError"});
        responses.insert(
            "422".into(),
            json!({"description": "Validation Error", "content": {"application/json": {"schema": schema}}}),
        );
    }
    operation["responses"] = json!(responses);
    operation
}

fn query_parameter(field: &Field, definitions: &mut Definitions) -> Value {
    let mut schema = json_schema(&field.shape, definitions);
    if let (Default::Json(text), Some(map)) = (field.default, schema.as_object_mut()) {
        map.insert("default".into(), serde_json::from_str(text).expect("a declared default is JSON"));
    }
    json!({"name": field.name, "in": "query", "required": field.default == Default::Required, "schema": schema})
}

fn body(route: &Route, definitions: &mut Definitions) -> Option<(&'static str, Value, bool)> {
    let name = format!("Body_{}", route.name);
    let mut fields = |fields: &'static [Field]| {
        let mut schema = inline_schema(&object_of("", fields), definitions);
        schema["title"] = json!(name);
        definitions.0.insert(name.clone(), schema);
        json!({"$ref": format!("#/components/schemas/{name}")})
    };
    let described = |checked| if route.described.is_empty() { checked } else { route.described };
    match route.body {
        Body::None => None,
        Body::Json(_) if !route.described.is_empty() => Some(("application/json", fields(route.described), true)),
        Body::Json(shape) => {
            let required = !matches!(shape, Shape::Nullable(_));
            Some(("application/json", json_schema(&shape, definitions), required))
        }
        Body::Fields(checked) => {
            let list = described(checked);
            let required = list.iter().any(|field| field.default == Default::Required);
            Some(("application/json", fields(list), required))
        }
        Body::Form(checked) => Some(("multipart/form-data", fields(described(checked)), true)),
    }
}

fn response(answer: &Answer, definitions: &mut Definitions) -> Value {
    match answer.media {
        "" => json!({"description": "Successful Response"}),
        "application/json" => {
            let schema = json_schema(&answer.shape, definitions);
            json!({"description": "Successful Response", "content": {"application/json": {"schema": schema}}})
        }
        media @ "text/html" => {
            json!({"description": "Successful Response", "content": {media: {"schema": {"type": "string"}}}})
        }
        media => json!({"description": "Successful Response", "content": {media: {}}}),
    }
}

fn validation_errors(definitions: &mut Definitions) {
    let error = json!({
        "type": "object",
        "title": "ValidationError",
        "properties": {
            "loc": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
            "msg": {"type": "string"},
            "type": {"type": "string"},
            "input": {},
            "ctx": {"type": "object"},
        },
        "required": ["loc", "msg", "type"],
    });
    let errors = json!({
        "type": "object",
        "title": "HTTPValidationError",
        "properties": {"detail": {"type": "array", "items": {"$ref": "#/components/schemas/ValidationError"}}},
    });
    definitions.0.insert("HTTPValidationError".into(), errors);
    definitions.0.insert("ValidationError".into(), error);
}
