//! Checking a value against a shape.

use serde_json::{Map, Number, Value, json};

use super::{Bounds, Default, Extra, Length, ObjectShape, Rule, Shape, number_text};
use crate::domain::validation::{Issue, Step};

/// One check: collects issues on the way.
#[derive(Debug, Default)]
pub struct Check {
    loc: Vec<Step>,
    issues: Vec<Issue>,
    numbers_are_texts: bool,
}

/// The shape of the value was wrong; what exactly is in the check's issues.
struct Wrong;

impl Check {
    /// Begins at `body`, `query` or `path`.
    pub fn at(root: &str) -> Self {
        Self {
            loc: vec![root.into()],
            ..Self::default()
        }
    }

    /// Begins below that.
    pub fn below(loc: Vec<Step>) -> Self {
        Self { loc, ..Self::default() }
    }

    /// Takes a number where a text is due and writes it out; not inside objects.
    #[must_use]
    pub fn numbers_as_texts(self) -> Self {
        Self {
            numbers_are_texts: true,
            ..self
        }
    }

    /// Checks a value and returns it as the shape understands it: numbers for texts that mean numbers, defaults for absent fields, undeclared
    /// keys dropped.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn run(mut self, shape: &Shape, value: Value) -> Result<Value, Vec<Issue>> {
        let checked = self.value(shape, value);
        match checked {
            Ok(value) if self.issues.is_empty() => Ok(value),
            _ => Err(self.issues),
        }
    }

    fn wrong<T>(&mut self, kind: &str, msg: impl Into<String>, input: Value, ctx: Option<Value>) -> Result<T, Wrong> {
        self.issues.push(Issue {
            ctx,
            ..Issue::new(kind, self.loc.clone(), msg, input)
        });
        Err(Wrong)
    }

    fn inside<T>(&mut self, step: impl Into<Step>, work: impl FnOnce(&mut Self) -> T) -> T {
        self.loc.push(step.into());
        let result = work(self);
        self.loc.pop();
        result
    }

    fn value(&mut self, shape: &Shape, value: Value) -> Result<Value, Wrong> {
        match shape {
            Shape::Any => Ok(value),
            Shape::Null if value.is_null() => Ok(value),
            Shape::Null => self.wrong("none_required", "Input should be None", value, None),
            Shape::Bool { strict } => self.boolean(value, *strict),
            Shape::Int(bounds) => self.integer(value, bounds),
            Shape::Float(bounds) => self.float(value, bounds),
            Shape::Str(length) => self.text(value, *length),
            Shape::Binary | Shape::DateTime => self.text(value, Length::ANY),
            Shape::Enum(texts) => self.one_of(texts, value),
            Shape::IntEnum(numbers) => match value.as_i64() {
                Some(n) if numbers.contains(&n) => Ok(value),
                _ => {
                    let expected = joined(numbers.iter().map(ToString::to_string));
                    self.wrong(
                        "literal_error",
                        format!("Input should be {expected}"),
                        value,
                        Some(json!({ "expected": expected })),
                    )
                }
            },
            Shape::Const(text) => {
                if value.as_str() == Some(text) {
                    return Ok(value);
                }
                let expected = format!("'{text}'");
                self.wrong(
                    "literal_error",
                    format!("Input should be {expected}"),
                    value,
                    Some(json!({ "expected": expected })),
                )
            }
            Shape::Object(object) => self.object(object, value),
            Shape::Map(of) => match value {
                Value::Object(map) => {
                    let mut out = Map::new();
                    let mut fine = true;
                    for (key, value) in map {
                        match self.inside(key.clone(), |c| c.value(of, value)) {
                            Ok(value) => drop(out.insert(key, value)),
                            Err(Wrong) => fine = false,
                        }
                    }
                    if fine { Ok(Value::Object(out)) } else { Err(Wrong) }
                }
                other => self.wrong("dict_type", "Input should be a valid dictionary", other, None),
            },
            Shape::List(of, length) => self.list(of, *length, value),
            Shape::Nullable(_) if value.is_null() => Ok(value),
            Shape::Nullable(of) => self.value(of, value),
            Shape::Union(shapes) => self.union(shapes, value),
            Shape::Ruled(of, rule) => self.ruled(of, rule, value),
            Shape::Tagged { tag, variants } => self.tagged(tag, variants, value),
        }
    }

    fn boolean(&mut self, value: Value, strict: bool) -> Result<Value, Wrong> {
        let meant = match &value {
            Value::Bool(_) => return Ok(value),
            _ if strict => return self.wrong("bool_type", "Input should be a valid boolean", value, None),
            Value::Number(n) if n.as_f64() == Some(1.0) => Some(true),
            Value::Number(n) if n.as_f64() == Some(0.0) => Some(false),
            Value::Number(_) | Value::String(_) => value.as_str().and_then(truth),
            _ => return self.wrong("bool_type", "Input should be a valid boolean", value, None),
        };
        match meant {
            Some(meant) => Ok(Value::Bool(meant)),
            None => self.wrong(
                "bool_parsing",
                "Input should be a valid boolean, unable to interpret input",
                value,
                None,
            ),
        }
    }

    fn integer(&mut self, value: Value, bounds: &Bounds) -> Result<Value, Wrong> {
        let number = match &value {
            Value::Number(n) if n.is_i64() || n.is_u64() => n.clone(),
            Value::Number(n) => match n.as_f64() {
                Some(x) if x.fract() == 0.0 && x.abs() < 9.2e18 => Number::from(x as i64),
                _ => {
                    return self.wrong(
                        "int_from_float",
                        "Input should be a valid integer, got a number with a fractional part",
                        value,
                        None,
                    );
                }
            },
            Value::Bool(b) => Number::from(i64::from(*b)),
            Value::String(text) => match whole_number(text) {
                Some(n) => Number::from(n),
                None => {
                    let msg = "Input should be a valid integer, unable to parse string as an integer";
                    return self.wrong("int_parsing", msg, value, None);
                }
            },
            _ => return self.wrong("int_type", "Input should be a valid integer", value, None),
        };
        let x = number.as_f64().unwrap_or(f64::MAX);
        self.bounded(Value::Number(number), x, bounds, true)
    }

    fn float(&mut self, value: Value, bounds: &Bounds) -> Result<Value, Wrong> {
        let x = match &value {
            Value::Number(n) => n.as_f64(),
            Value::Bool(b) => Some(f64::from(u8::from(*b))),
            Value::String(text) => match text.trim().parse::<f64>() {
                Ok(x) => Some(x),
                Err(_) => {
                    let msg = "Input should be a valid number, unable to parse string as a number";
                    return self.wrong("float_parsing", msg, value, None);
                }
            },
            _ => None,
        };
        let Some(x) = x else {
            return self.wrong("float_type", "Input should be a valid number", value, None);
        };
        // Whole numbers stay as they were written: clients compare what comes back.
        let kept = if value.is_number() {
            value
        } else {
            Number::from_f64(x).map_or(Value::Null, Value::Number)
        };
        self.bounded(kept, x, bounds, false)
    }

    fn bounded(&mut self, value: Value, x: f64, bounds: &Bounds, whole: bool) -> Result<Value, Wrong> {
        let print = |limit: f64| {
            if whole || limit.fract() == 0.0 {
                json!(limit as i64)
            } else {
                json!(limit)
            }
        };
        let broken = [
            (
                bounds.ge,
                "greater_than_equal",
                "ge",
                "greater than or equal to",
                bounds.ge.is_some_and(|l| x < l),
            ),
            (bounds.gt, "greater_than", "gt", "greater than", bounds.gt.is_some_and(|l| x <= l)),
            (
                bounds.le,
                "less_than_equal",
                "le",
                "less than or equal to",
                bounds.le.is_some_and(|l| x > l),
            ),
            (bounds.lt, "less_than", "lt", "less than", bounds.lt.is_some_and(|l| x >= l)),
            (
                bounds.multiple_of,
                "multiple_of",
                "multiple_of",
                "a multiple of",
                bounds.multiple_of.is_some_and(|l| x % l != 0.0),
            ),
        ];
        for (limit, kind, key, words, is_broken) in broken {
            if let (Some(limit), true) = (limit, is_broken) {
                let limit = print(limit);
                return self.wrong(kind, format!("Input should be {words} {limit}"), value, Some(json!({ key: limit })));
            }
        }
        Ok(value)
    }

    fn text(&mut self, value: Value, length: Length) -> Result<Value, Wrong> {
        let value = match value {
            Value::Number(number) if self.numbers_are_texts => Value::String(number_text(&number)),
            other => other,
        };
        let Value::String(text) = &value else {
            return self.wrong("string_type", "Input should be a valid string", value, None);
        };
        let n = text.chars().count();
        if let Some(min) = length.min.filter(|min| n < *min) {
            let s = if min == 1 { "" } else { "s" };
            let msg = format!("String should have at least {min} character{s}");
            return self.wrong("string_too_short", msg, value, Some(json!({ "min_length": min })));
        }
        if let Some(max) = length.max.filter(|max| n > *max) {
            let s = if max == 1 { "" } else { "s" };
            let msg = format!("String should have at most {max} character{s}");
            return self.wrong("string_too_long", msg, value, Some(json!({ "max_length": max })));
        }
        Ok(value)
    }

    fn one_of(&mut self, texts: &[&str], value: Value) -> Result<Value, Wrong> {
        if value.as_str().is_some_and(|text| texts.contains(&text)) {
            return Ok(value);
        }
        let expected = joined(texts.iter().map(|text| format!("'{text}'")));
        self.wrong(
            "enum",
            format!("Input should be {expected}"),
            value,
            Some(json!({ "expected": expected })),
        )
    }

    fn object(&mut self, object: &ObjectShape, value: Value) -> Result<Value, Wrong> {
        let Value::Object(mut map) = value else {
            let msg = "Input should be a valid dictionary or object to extract fields from";
            return self.wrong("model_attributes_type", msg, value, None);
        };
        let before = self.issues.len();
        let numbers_are_texts = std::mem::take(&mut self.numbers_are_texts);
        let mut out = Map::new();
        let missing: Vec<&str> = object
            .fields
            .iter()
            .filter(|f| f.default == Default::Required && !map.contains_key(f.name))
            .map(|f| f.name)
            .collect();
        if !missing.is_empty() {
            let whole = Value::Object(map.clone());
            for name in missing {
                let _ = self.inside(name, |c| c.wrong::<()>("missing", "Field required", whole.clone(), None));
            }
        }
        for field in object.fields {
            match (map.shift_remove(field.name), field.default) {
                (Some(value), _) => {
                    if let Ok(value) = self.inside(field.name, |c| c.value(&field.shape, value)) {
                        out.insert(field.name.into(), value);
                    }
                }
                (None, Default::Json(text) | Default::Unprinted(text)) => {
                    out.insert(field.name.into(), serde_json::from_str(text).expect("a declared default is JSON"));
                }
                (None, Default::Required | Default::Absent) => {}
            }
        }
        match object.extra {
            Extra::Ignore => {}
            Extra::Keep => out.extend(map),
            Extra::Forbid => {
                for (key, value) in map {
                    let _ = self.inside(key, |c| {
                        c.wrong::<()>("extra_forbidden", "Extra inputs are not permitted", value, None)
                    });
                }
            }
        }
        self.numbers_are_texts = numbers_are_texts;
        if self.issues.len() == before {
            Ok(Value::Object(out))
        } else {
            Err(Wrong)
        }
    }

    fn list(&mut self, of: &Shape, length: Length, value: Value) -> Result<Value, Wrong> {
        let Value::Array(items) = value else {
            return self.wrong("list_type", "Input should be a valid list", value, None);
        };
        let n = items.len();
        if let Some(max) = length.max.filter(|max| n > *max) {
            let msg = format!("List should have at most {max} items after validation, not {n}");
            return self.wrong(
                "too_long",
                msg,
                Value::Null,
                Some(json!({"field_type": "List", "max_length": max, "actual_length": n})),
            );
        }
        if let Some(min) = length.min.filter(|min| n < *min) {
            let msg = format!(
                "List should have at least {min} item{} after validation, not {n}",
                if min == 1 { "" } else { "s" }
            );
            return self.wrong(
                "too_short",
                msg,
                Value::Array(items),
                Some(json!({"field_type": "List", "min_length": min, "actual_length": n})),
            );
        }
        let mut out = Vec::with_capacity(n);
        let mut fine = true;
        for (index, item) in items.into_iter().enumerate() {
            match self.inside(index, |c| c.value(of, item)) {
                Ok(item) => out.push(item),
                Err(Wrong) => fine = false,
            }
        }
        if fine { Ok(Value::Array(out)) } else { Err(Wrong) }
    }

    fn ruled(&mut self, of: &Shape, rule: &Rule, value: Value) -> Result<Value, Wrong> {
        let value = self.value(of, value)?;
        match (rule.check)(&value, self.loc.clone()) {
            None => Ok(value),
            Some(issue) => {
                self.issues.push(issue);
                Err(Wrong)
            }
        }
    }

    fn union(&mut self, shapes: &[Shape], value: Value) -> Result<Value, Wrong> {
        let mut found = Vec::new();
        // An exact fit beats one that needs conversion: 3 is an integer before it is a text or a boolean.
        let (fitting, others): (Vec<&Shape>, Vec<&Shape>) = shapes.iter().partition(|shape| fits(shape, &value));
        for shape in fitting.into_iter().chain(others) {
            let mut attempt = Self {
                loc: self.loc.clone(),
                issues: Vec::new(),
                numbers_are_texts: self.numbers_are_texts,
            };
            attempt.loc.push(label(shape).into());
            match attempt.value(shape, value.clone()) {
                Ok(value) => return Ok(value),
                Err(Wrong) => found.extend(attempt.issues),
            }
        }
        self.issues.extend(found);
        Err(Wrong)
    }

    fn tagged(&mut self, tag: &str, variants: &[(&str, Shape)], value: Value) -> Result<Value, Wrong> {
        let Some(text) = value.get(tag).and_then(Value::as_str).map(str::to_owned) else {
            let msg = format!("Unable to extract tag using discriminator '{tag}'");
            return self.wrong(
                "union_tag_not_found",
                msg,
                value,
                Some(json!({"discriminator": format!("'{tag}'")})),
            );
        };
        let Some((name, shape)) = variants.iter().find(|(name, _)| *name == text) else {
            let expected = variants.iter().map(|(name, _)| format!("'{name}'")).collect::<Vec<_>>().join(", ");
            let msg = format!("Input tag '{text}' found using '{tag}' does not match any of the expected tags: {expected}");
            let ctx = json!({"discriminator": format!("'{tag}'"), "tag": text, "expected_tags": expected});
            return self.wrong("union_tag_invalid", msg, value, Some(ctx));
        };
        self.inside(*name, |c| c.value(shape, value))
    }
}

/// A whole number as Python writes one: digits may stand in groups, and zeros after a point are none.
fn whole_number(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = match text.split_once('.') {
        Some((digits, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => digits,
        Some(_) => return None,
        None => text,
    };
    let is_digit = |c: char| c.is_ascii_digit();
    if !digits.contains('_') {
        return digits.parse().ok();
    }
    let grouped = digits
        .trim_start_matches(['+', '-'])
        .split('_')
        .all(|group| !group.is_empty() && group.chars().all(is_digit));
    grouped.then(|| digits.replace('_', "").parse().ok())?
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
        "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
        _ => None,
    }
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    let texts: Vec<String> = texts.collect();
    match texts.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => texts.concat(),
    }
}

/// Whether a value is of a shape's JSON kind without conversion.
fn fits(shape: &Shape, value: &Value) -> bool {
    match shape {
        Shape::Any => true,
        Shape::Null => value.is_null(),
        Shape::Bool { .. } => value.is_boolean(),
        Shape::Int(_) => value.is_i64() || value.is_u64(),
        Shape::IntEnum(numbers) => value.as_i64().is_some_and(|n| numbers.contains(&n)),
        Shape::Float(_) => value.is_number(),
        Shape::Str(_) | Shape::Binary | Shape::DateTime => value.is_string(),
        Shape::Enum(texts) => value.as_str().is_some_and(|text| texts.contains(&text)),
        Shape::Const(text) => value.as_str() == Some(text),
        Shape::Object(object) => value.as_object().is_some_and(|map| {
            object.fields.iter().all(|f| match map.get(f.name) {
                Some(value) => fits(&f.shape, value),
                None => f.default != Default::Required,
            }) && (object.extra != Extra::Forbid || map.keys().all(|key| object.fields.iter().any(|f| f.name == key)))
        }),
        Shape::Map(_) | Shape::Tagged { .. } => value.is_object(),
        Shape::List(of, _) => value.as_array().is_some_and(|items| items.iter().all(|item| fits(of, item))),
        Shape::Nullable(of) => value.is_null() || fits(of, value),
        Shape::Ruled(of, _) => fits(of, value),
        Shape::Union(shapes) => shapes.iter().any(|shape| fits(shape, value)),
    }
}

/// The name by which pydantic calls an alternative in a location.
fn label(shape: &Shape) -> String {
    match shape {
        Shape::Any => "any".into(),
        Shape::Null => "none".into(),
        Shape::Bool { .. } => "bool".into(),
        Shape::Int(_) => "int".into(),
        Shape::Float(_) => "float".into(),
        Shape::Str(_) | Shape::DateTime => "str".into(),
        Shape::Binary => "bytes".into(),
        Shape::Enum(texts) => format!("literal[{}]", texts.iter().map(|t| format!("'{t}'")).collect::<Vec<_>>().join(",")),
        Shape::IntEnum(numbers) => format!("literal[{}]", numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
        Shape::Const(text) => format!("literal['{text}']"),
        Shape::Object(object) => object.name.into(),
        Shape::Map(of) => format!("dict[str,{}]", label(of)),
        Shape::List(of, _) => format!("list[{}]", label(of)),
        Shape::Nullable(of) => format!("nullable[{}]", label(of)),
        Shape::Union(shapes) => format!("union[{}]", shapes.iter().map(label).collect::<Vec<_>>().join(",")),
        Shape::Ruled(_, rule) => rule.label.into(),
        Shape::Tagged { tag, .. } => format!("tagged-union[{tag}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::shape::Field;

    static PERSON: ObjectShape = ObjectShape {
        name: "Person",
        fields: &[
            Field::required("name", Shape::Str(Length::ANY.min(1))),
            Field::with("age", Shape::Nullable(&Shape::Int(Bounds::NONE.ge(0.0))), "null"),
            Field::with("tags", Shape::list(&Shape::STR), "[]"),
        ],
        extra: Extra::Forbid,
    };

    fn check(shape: Shape, value: Value) -> Result<Value, Vec<String>> {
        Check::at("body").run(&shape, value).map_err(|issues| {
            issues
                .iter()
                .map(|i| {
                    format!(
                        "{} {}",
                        i.kind,
                        i.loc
                            .iter()
                            .map(|s| match s {
                                Step::Key(k) => k.clone(),
                                Step::Index(n) => n.to_string(),
                            })
                            .collect::<Vec<_>>()
                            .join("/")
                    )
                })
                .collect()
        })
    }

    #[test]
    fn objects_name_each_wrong_field() {
        assert_eq!(
            check(Shape::Object(&PERSON), json!({"name": "x"})),
            Ok(json!({"name": "x", "age": null, "tags": []}))
        );
        let wrong = check(Shape::Object(&PERSON), json!({"age": -1, "tags": ["a", 2], "colour": 1})).unwrap_err();
        assert_eq!(
            wrong,
            [
                "missing body/name",
                "greater_than_equal body/age",
                "string_type body/tags/1",
                "extra_forbidden body/colour"
            ]
        );
        assert_eq!(
            check(Shape::Object(&PERSON), json!([1])).unwrap_err(),
            ["model_attributes_type body"]
        );
    }

    #[test]
    fn texts_that_mean_numbers_are_numbers() {
        assert_eq!(check(Shape::INT, json!("12")), Ok(json!(12)));
        assert_eq!(check(Shape::INT, json!(2.0)), Ok(json!(2)));
        assert_eq!(check(Shape::INT, json!(2.5)).unwrap_err(), ["int_from_float body"]);
        assert_eq!(check(Shape::INT, json!("x")).unwrap_err(), ["int_parsing body"]);
        assert_eq!(check(Shape::BOOL, json!("Yes")), Ok(json!(true)));
        assert_eq!(check(Shape::Bool { strict: true }, json!(1)).unwrap_err(), ["bool_type body"]);
    }

    #[test]
    fn unions_prefer_what_fits_and_name_every_attempt() {
        const ITEMS: Shape = Shape::Union(&[Shape::FLOAT, Shape::list(&Shape::FLOAT)]);
        assert_eq!(check(ITEMS, json!([1, 2.5])), Ok(json!([1, 2.5])));
        assert_eq!(
            check(ITEMS, json!({})).unwrap_err(),
            ["float_type body/float", "list_type body/list[float]"]
        );
    }
}
