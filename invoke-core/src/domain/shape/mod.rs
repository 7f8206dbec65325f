//! Shapes of JSON values: declared once, and then checked against, filled with defaults, compared with each other, and printed as JSON
//! schema.
//!
//! Request bodies, queries and the fields of nodes are all declared as shapes. Checking is lenient where pydantic is (`"3"` is an integer,
//! `1` a boolean) and words its issues as pydantic does, since clients of the original read them.

mod check;
mod has;
mod number;
mod schema;

pub use check::Check;
pub use has::{HasShape, choices};
pub use number::{float_text, number_text};
pub use schema::{Definitions, inline_schema, json_schema};

use super::validation::{Issue, Step};
use serde_json::Value;

/// Bounds of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Smallest value.
    pub ge: Option<f64>,
    /// A value it must be above.
    pub gt: Option<f64>,
    /// Largest value.
    pub le: Option<f64>,
    /// A value it must be below.
    pub lt: Option<f64>,
    /// It must be a multiple of this.
    pub multiple_of: Option<f64>,
}

impl Bounds {
    /// No bounds.
    pub const NONE: Self = Self {
        ge: None,
        gt: None,
        le: None,
        lt: None,
        multiple_of: None,
    };

    /// At least this.
    pub const fn ge(self, value: f64) -> Self {
        Self { ge: Some(value), ..self }
    }

    /// More than this.
    pub const fn gt(self, value: f64) -> Self {
        Self { gt: Some(value), ..self }
    }

    /// At most this.
    pub const fn le(self, value: f64) -> Self {
        Self { le: Some(value), ..self }
    }

    /// Less than this.
    pub const fn lt(self, value: f64) -> Self {
        Self { lt: Some(value), ..self }
    }

    /// A multiple of this.
    pub const fn multiple_of(self, value: f64) -> Self {
        Self {
            multiple_of: Some(value),
            ..self
        }
    }
}

/// Bounds of a length, in characters or elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// Least.
    pub min: Option<usize>,
    /// Most.
    pub max: Option<usize>,
}

impl Length {
    /// Any length.
    pub const ANY: Self = Self { min: None, max: None };

    /// At least this.
    pub const fn min(self, min: usize) -> Self {
        Self { min: Some(min), ..self }
    }

    /// At most this.
    pub const fn max(self, max: usize) -> Self {
        Self { max: Some(max), ..self }
    }
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Anything.
    Any,
    /// Null and nothing else.
    Null,
    /// A boolean; texts and numbers that mean one are taken unless `strict`.
    Bool {
        /// Nothing but `true` and `false`.
        strict: bool,
    },
    /// A whole number.
    Int(Bounds),
    /// A number.
    Float(Bounds),
    /// A text.
    Str(Length),
    /// Contents of a file.
    Binary,
    /// A text that is a point in time.
    DateTime,
    /// One of these texts.
    Enum(&'static [&'static str]),
    /// One of these numbers.
    IntEnum(&'static [i64]),
    /// This text and no other.
    Const(&'static str),
    /// An object with these fields.
    Object(&'static ObjectShape),
    /// An object with any keys and values of one shape.
    Map(&'static Shape),
    /// A list.
    List(&'static Shape, Length),
    /// That, or null.
    Nullable(&'static Shape),
    /// Any of these; the first that fits wins.
    Union(&'static [Shape]),
    /// That, and what no shape says.
    Ruled(&'static Shape, &'static Rule),
    /// An object whose shape follows from the text under a key.
    Tagged {
        /// The key.
        tag: &'static str,
        /// The alternatives by that text.
        variants: &'static [(&'static str, Shape)],
    },
}

impl Shape {
    /// A boolean.
    pub const BOOL: Self = Self::Bool { strict: false };
    /// A whole number.
    pub const INT: Self = Self::Int(Bounds::NONE);
    /// A number.
    pub const FLOAT: Self = Self::Float(Bounds::NONE);
    /// A text.
    pub const STR: Self = Self::Str(Length::ANY);

    /// A list of any length.
    pub const fn list(of: &'static Self) -> Self {
        Self::List(of, Length::ANY)
    }
}

/// What a value must fulfil beyond its shape.
#[derive(Debug)]
pub struct Rule {
    /// How an alternative of a union is called in a location, in place of its shape's name.
    pub label: &'static str,
    /// What is wrong with a value of that shape at this location.
    pub check: fn(&Value, Vec<Step>) -> Option<Issue>,
}

impl Rule {
    /// For a rule that is a name and no more.
    pub fn nothing(_: &Value, _: Vec<Step>) -> Option<Issue> {
        None
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.label == other.label
    }
}

/// What happens to keys that a shape does not declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// They are dropped.
    Ignore,
    /// They are an issue.
    Forbid,
    /// They are kept as they are.
    Keep,
}

/// Fields of an object.
#[derive(Debug, PartialEq)]
pub struct ObjectShape {
    /// Name in a document's definitions; empty to print it in place.
    pub name: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
    /// What happens to other keys.
    pub extra: Extra,
}

/// One field of an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// Key.
    pub name: &'static str,
    /// What it may be.
    pub shape: Shape,
    /// What it is when absent.
    pub default: Default,
}

/// What a field is when it is absent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Default {
    /// It may not be absent.
    Required,
    /// It stays absent.
    Absent,
    /// This JSON text.
    Json(&'static str),
    /// This JSON text, which the schema does not show.
    Unprinted(&'static str),
}

impl Field {
    /// A field that must be there.
    pub const fn required(name: &'static str, shape: Shape) -> Self {
        Self {
            name,
            shape,
            default: Default::Required,
        }
    }

    /// A field that may be absent and then stays absent.
    pub const fn optional(name: &'static str, shape: Shape) -> Self {
        Self {
            name,
            shape,
            default: Default::Absent,
        }
    }

    /// A field with a default, as JSON text.
    pub const fn with(name: &'static str, shape: Shape, default: &'static str) -> Self {
        Self {
            name,
            shape,
            default: Default::Json(default),
        }
    }
}
