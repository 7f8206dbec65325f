//! Which outputs may feed which inputs.
//!
//! The rules are InvokeAI's, oddities included, so that both accept the same graphs: types compare by their declared shape without bounds, and a
//! list counts as holding its element type just as a union holds its members. A value is checked again when it arrives.

use crate::domain::shape::{ObjectShape, Shape};

/// Objects that extend another: they go wherever the other goes.
const EXTENDS: &[(&str, &str)] = &[("ControlLoRAField", "LoRAField")];

/// Whether both are the same type; bounds do not matter.
pub fn same(a: &Shape, b: &Shape) -> bool {
    match (a, b) {
        (Shape::Any, Shape::Any)
        | (Shape::Null, Shape::Null)
        | (Shape::Bool { .. }, Shape::Bool { .. })
        | (Shape::Int(_), Shape::Int(_))
        | (Shape::Float(_), Shape::Float(_))
        | (Shape::Str(_), Shape::Str(_)) => true,
        (Shape::Enum(a), Shape::Enum(b)) => a.len() == b.len() && a.iter().all(|text| b.contains(text)),
        (Shape::IntEnum(a), Shape::IntEnum(b)) => a.len() == b.len() && a.iter().all(|n| b.contains(n)),
        (Shape::Const(a), Shape::Const(b)) => a == b,
        (Shape::Object(a), Shape::Object(b)) => same_object(a, b),
        (Shape::List(a, _), Shape::List(b, _)) | (Shape::Map(a), Shape::Map(b)) => same(a, b),
        (Shape::Nullable(_) | Shape::Union(_), _) | (_, Shape::Nullable(_) | Shape::Union(_)) => {
            let (a, b) = (members(a), members(b));
            a.len() == b.len() && a.iter().all(|x| b.iter().any(|y| same(x, y)))
        }
        _ => false,
    }
}

fn same_object(a: &ObjectShape, b: &ObjectShape) -> bool {
    a.name == b.name && (!a.name.is_empty() || a == b)
}

/// The alternatives of a union, null among them; any other type alone.
pub fn members(shape: &Shape) -> Vec<Shape> {
    match shape {
        Shape::Nullable(of) => {
            let mut found = members(of);
            found.push(Shape::Null);
            found
        }
        Shape::Union(shapes) => shapes.iter().flat_map(members).collect(),
        other => vec![*other],
    }
}

/// What a type is made of: alternatives of a union, the element type of a list.
fn parts(shape: &Shape) -> Vec<Shape> {
    match shape {
        Shape::Nullable(_) | Shape::Union(_) => members(shape),
        Shape::List(of, _) => vec![**of],
        Shape::Map(of) => vec![Shape::STR, **of],
        _ => Vec::new(),
    }
}

/// Whether a type is anything at all or is made of that.
pub fn is_any(shape: &Shape) -> bool {
    matches!(shape, Shape::Any) || parts(shape).iter().any(|part| matches!(part, Shape::Any))
}

/// Whether a type is a list or has one among its alternatives.
pub fn is_or_has_list(shape: &Shape) -> bool {
    members(shape).iter().any(|member| matches!(member, Shape::List(..)))
}

/// Element types of a list, or of the lists among a union's alternatives.
pub fn element_types(shape: &Shape) -> Vec<Shape> {
    if is_any(shape) {
        return vec![Shape::Any];
    }
    let elements = members(shape).into_iter().filter_map(|member| match member {
        Shape::List(of, _) => Some(*of),
        _ => None,
    });
    elements
        .flat_map(|element| if is_any(&element) { vec![Shape::Any] } else { vec![element] })
        .collect()
}

/// Whether a value of one type is one of the other as well.
pub fn extends(from: &Shape, to: &Shape) -> bool {
    match (from, to) {
        (Shape::Bool { .. }, Shape::Int(_)) => true,
        (Shape::Object(from), Shape::Object(to)) => EXTENDS.contains(&(from.name, to.name)),
        _ => same(from, to),
    }
}

/// Whether an output of one type may feed an input of another.
pub fn compatible(from: &Shape, to: &Shape) -> bool {
    if same(from, to) || is_any(from) || is_any(to) {
        return true;
    }
    let (from_parts, to_parts) = (parts(from), parts(to));
    if to_parts.iter().any(|part| same(part, from)) || from_parts.iter().any(|part| same(part, to)) {
        return true;
    }
    match (from, to) {
        (Shape::Int(_), Shape::Float(_)) | (Shape::Int(_) | Shape::Float(_), Shape::Str(_)) => return true,
        _ if extends(from, to) => return true,
        _ => {}
    }
    !from_parts.is_empty() && from_parts.iter().all(|part| to_parts.iter().any(|other| same(part, other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOATS: Shape = Shape::list(&Shape::FLOAT);
    const FLOAT_OR_FLOATS: Shape = Shape::Union(&[Shape::FLOAT, FLOATS]);

    #[test]
    fn recorded_pairs() {
        let table = [
            (Shape::INT, Shape::FLOAT, true),
            (Shape::FLOAT, Shape::INT, false),
            (Shape::INT, Shape::STR, true),
            (Shape::FLOAT, Shape::STR, true),
            (Shape::STR, Shape::INT, false),
            (Shape::BOOL, Shape::INT, true),
            (Shape::INT, Shape::BOOL, false),
            (Shape::BOOL, Shape::STR, false),
            (Shape::BOOL, Shape::FLOAT, false),
            (Shape::INT, FLOAT_OR_FLOATS, false),
            (FLOATS, FLOAT_OR_FLOATS, true),
            (Shape::INT, Shape::Nullable(&Shape::INT), true),
            (Shape::Nullable(&Shape::INT), Shape::INT, true),
            (Shape::Nullable(&FLOATS), Shape::Nullable(&FLOAT_OR_FLOATS), true),
            (Shape::Nullable(&FLOAT_OR_FLOATS), Shape::Nullable(&FLOATS), false),
            (Shape::Any, Shape::INT, true),
            (Shape::STR, Shape::list(&Shape::Any), true),
        ];
        for (from, to, expected) in table {
            assert_eq!(compatible(&from, &to), expected, "{from:?} -> {to:?}");
        }
    }
}
