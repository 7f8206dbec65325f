//! Printing shapes as JSON schema.

use serde_json::{Map, Value, json};

use super::{Bounds, Default, Extra, Length, ObjectShape, Shape};

/// Named definitions met while printing; they go to `components.schemas`.
#[derive(Debug, Clone, std::default::Default)]
pub struct Definitions(pub Map<String, Value>);

/// The JSON schema of a shape. Named objects become references, their definitions are added to `definitions`.
pub fn json_schema(shape: &Shape, definitions: &mut Definitions) -> Value {
    match shape {
        Shape::Any => json!({}),
        Shape::Null => json!({"type": "null"}),
        Shape::Bool { .. } => json!({"type": "boolean"}),
        Shape::Int(bounds) => number("integer", bounds),
        Shape::Float(bounds) => number("number", bounds),
        Shape::Str(length) => sized(json!({"type": "string"}), *length, "minLength", "maxLength"),
        Shape::Binary => json!({"type": "string", "contentMediaType": "application/octet-stream"}),
        Shape::DateTime => json!({"type": "string", "format": "date-time"}),
        Shape::Enum(texts) => json!({"type": "string", "enum": texts}),
        Shape::IntEnum(numbers) => json!({"type": "integer", "enum": numbers}),
        Shape::Const(text) => json!({"type": "string", "const": text}),
        Shape::Object(object) => reference(object, definitions),
        Shape::Map(of) => json!({"type": "object", "additionalProperties": json_schema(of, definitions)}),
        Shape::List(of, length) => sized(
            json!({"type": "array", "items": json_schema(of, definitions)}),
            *length,
            "minItems",
            "maxItems",
        ),
        Shape::Nullable(of) => {
            let mut options = match json_schema(of, definitions) {
                Value::Object(mut map) if map.len() == 1 && map.contains_key("anyOf") => match map.shift_remove("anyOf") {
                    Some(Value::Array(options)) => options,
                    _ => Vec::new(),
                },
                other => vec![other],
            };
            options.push(json!({"type": "null"}));
            json!({ "anyOf": options })
        }
        // Texts and numbers of one choice are one list.
        Shape::Union([Shape::Enum(texts), Shape::IntEnum(numbers)]) => {
            let values: Vec<Value> = texts
                .iter()
                .map(|text| json!(text))
                .chain(numbers.iter().map(|n| json!(n)))
                .collect();
            json!({ "enum": values })
        }
        Shape::Union(shapes) => json!({"anyOf": shapes.iter().map(|shape| json_schema(shape, definitions)).collect::<Vec<_>>()}),
        Shape::Ruled(of, _) => json_schema(of, definitions),
        Shape::Tagged { tag, variants } => json!({
            "oneOf": variants.iter().map(|(_, shape)| json_schema(shape, definitions)).collect::<Vec<_>>(),
            "discriminator": {"propertyName": tag},
        }),
    }
}

fn number(kind: &str, bounds: &Bounds) -> Value {
    let mut map = Map::new();
    map.insert("type".into(), json!(kind));
    for (key, limit) in [
        ("minimum", bounds.ge),
        ("exclusiveMinimum", bounds.gt),
        ("maximum", bounds.le),
        ("exclusiveMaximum", bounds.lt),
        ("multipleOf", bounds.multiple_of),
    ] {
        if let Some(limit) = limit {
            map.insert(key.into(), if limit.fract() == 0.0 { json!(limit as i64) } else { json!(limit) });
        }
    }
    Value::Object(map)
}

fn sized(mut schema: Value, length: Length, min: &str, max: &str) -> Value {
    if let Some(map) = schema.as_object_mut() {
        for (key, limit) in [(min, length.min), (max, length.max)] {
            if let Some(limit) = limit {
                map.insert(key.into(), json!(limit));
            }
        }
    }
    schema
}

fn reference(object: &ObjectShape, definitions: &mut Definitions) -> Value {
    if object.name.is_empty() {
        return inline_schema(object, definitions);
    }
    if !definitions.0.contains_key(object.name) {
        // Taken first, so that a shape that contains itself ends.
        definitions.0.insert(object.name.into(), Value::Null);
        let schema = inline_schema(object, definitions);
        definitions.0.insert(object.name.into(), schema);
    }
    json!({"$ref": format!("#/components/schemas/{}", object.name)})
}

/// An object written out where it stands, whatever its name; the objects in its fields are referred to.
pub fn inline_schema(object: &ObjectShape, definitions: &mut Definitions) -> Value {
    let mut properties = Map::new();
    for field in object.fields {
        let mut schema = json_schema(&field.shape, definitions);
        if let (Default::Json(text), Some(map)) = (field.default, schema.as_object_mut()) {
            map.insert("default".into(), serde_json::from_str(text).expect("a declared default is JSON"));
        }
        properties.insert(field.name.into(), schema);
    }
    let required: Vec<&str> = object
        .fields
        .iter()
        .filter(|f| f.default == Default::Required)
        .map(|f| f.name)
        .collect();
    let mut schema = json!({"type": "object", "title": object.name, "properties": properties});
    if let Some(map) = schema.as_object_mut() {
        if object.name.is_empty() {
            map.shift_remove("title");
        }
        if !required.is_empty() {
            map.insert("required".into(), json!(required));
        }
        match object.extra {
            Extra::Ignore => {}
            Extra::Forbid => drop(map.insert("additionalProperties".into(), json!(false))),
            Extra::Keep => drop(map.insert("additionalProperties".into(), json!(true))),
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::shape::Field;

    #[test]
    fn named_objects_become_references() {
        static POINT: ObjectShape = ObjectShape {
            name: "Point",
            fields: &[
                Field::required("x", Shape::INT),
                Field::with("y", Shape::Nullable(&Shape::Float(Bounds::NONE.gt(0.5))), "null"),
            ],
            extra: Extra::Ignore,
        };
        let mut definitions = Definitions::default();
        static ONE: Shape = Shape::Object(&POINT);
        static POINTS: Shape = Shape::list(&ONE);
        let schema = json_schema(&POINTS, &mut definitions);
        assert_eq!(schema, json!({"type": "array", "items": {"$ref": "#/components/schemas/Point"}}));
        assert_eq!(
            definitions.0["Point"]["properties"]["y"],
            json!({"anyOf": [{"type": "number", "exclusiveMinimum": 0.5}, {"type": "null"}], "default": null})
        );
        assert_eq!(definitions.0["Point"]["required"], json!(["x"]));
    }
}
