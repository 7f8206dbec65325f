//! Static descriptions of nodes: what goes in, what comes out, and how editors present it.
//!
//! They are written as attributes on plain structs (`#[derive(Node)]`, `#[derive(Output)]`) and read by everything that treats nodes alike:
//! validation, the type rules of edges, execution, and the schema that editors build their templates from.

use serde_json::{Map, Value};

use crate::domain::shape::{Extra, ObjectShape, Shape};

/// How far a node can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Classification {
    /// It stays as it is.
    Stable,
    /// It may change.
    Beta,
    /// It may vanish.
    Prototype,
    /// It will vanish.
    Deprecated,
    /// Clients put it into graphs; people do not.
    Internal,
    /// Clients resolve it before they send a graph.
    Special,
}

impl Classification {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Beta => "beta",
            Self::Prototype => "prototype",
            Self::Deprecated => "deprecated",
            Self::Internal => "internal",
            Self::Special => "special",
        }
    }
}

/// How an input may get its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// As it is or by an edge.
    Any,
    /// By an edge only.
    Connection,
    /// As it is only.
    Direct,
}

impl Input {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Connection => "connection",
            Self::Direct => "direct",
        }
    }
}

/// What an input is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An input of its own.
    Input,
    /// Where results go and what is recorded with them.
    Internal,
}

/// Hints for editors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ui {
    /// Label; else made of the name.
    pub title: Option<&'static str>,
    /// `textarea`, `slider`, `none` …
    pub component: Option<&'static str>,
    /// Type name that replaces the one inferred from the shape.
    pub ui_type: Option<&'static str>,
    /// Place among the inputs.
    pub order: Option<i32>,
    /// Not shown.
    pub hidden: bool,
    /// Labels of an enumeration's values.
    pub choice_labels: &'static [(&'static str, &'static str)],
    /// Bases of the models to offer.
    pub model_base: &'static [&'static str],
    /// Types of the models to offer.
    pub model_type: &'static [&'static str],
    /// Variants of the models to offer.
    pub model_variant: &'static [&'static str],
    /// Formats of the models to offer.
    pub model_format: &'static [&'static str],
}

impl Ui {
    /// No hints.
    pub const NONE: Self = Self {
        title: None,
        component: None,
        ui_type: None,
        order: None,
        hidden: false,
        choice_labels: &[],
        model_base: &[],
        model_type: &[],
        model_variant: &[],
        model_format: &[],
    };
}

/// An input.
#[derive(Debug, Clone, Copy)]
pub struct FieldMeta {
    /// Key.
    pub name: &'static str,
    /// What it may be. An input that an edge may fill is nullable until then.
    pub shape: Shape,
    /// What it is for.
    pub kind: Kind,
    /// How it may get its value.
    pub input: Input,
    /// Whether the node cannot run without it.
    pub required: bool,
    /// What it is when absent, as JSON; `None`: it may not be absent.
    pub default: Option<&'static str>,
    /// What becomes of a value before it is checked.
    pub before: Option<fn(Value) -> Value>,
    /// Hints for editors.
    pub ui: Ui,
}

/// `{board_id}`.
const BOARD: &ObjectShape = &ObjectShape {
    name: "BoardField",
    fields: &[crate::domain::shape::Field::required("board_id", Shape::STR)],
    extra: Extra::Ignore,
};

/// Any JSON object.
const METADATA: &ObjectShape = &ObjectShape {
    name: "MetadataField",
    fields: &[],
    extra: Extra::Keep,
};

impl FieldMeta {
    /// The board on which a node's pictures land.
    pub const BOARD: Self = Self {
        name: "board",
        shape: Shape::Nullable(&Shape::Object(BOARD)),
        kind: Kind::Internal,
        input: Input::Direct,
        required: false,
        default: Some("null"),
        before: None,
        ui: Ui::NONE,
    };

    /// What is recorded with a node's pictures.
    pub const METADATA: Self = Self {
        name: "metadata",
        shape: Shape::Nullable(&Shape::Object(METADATA)),
        kind: Kind::Internal,
        input: Input::Connection,
        required: false,
        default: Some("null"),
        before: None,
        ui: Ui::NONE,
    };
}

/// One value among those that a node returns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutputField {
    /// Key.
    pub name: &'static str,
    /// What it may be.
    pub shape: Shape,
    /// What it is when absent, as JSON.
    pub default: Option<&'static str>,
    /// Hints for editors.
    pub ui: Ui,
}

/// What a node returns.
#[derive(Debug, PartialEq)]
pub struct OutputMeta {
    /// Type id, as in `integer_output`.
    pub id: &'static str,
    /// Name of its schema.
    pub schema: &'static str,
    /// Its values.
    pub fields: &'static [OutputField],
}

impl OutputMeta {
    /// A stored output with the values that were left out of storage because they were null.
    pub fn completed(&self, mut stored: Map<String, Value>) -> Value {
        let mut whole = Map::with_capacity(stored.len());
        for field in self.fields {
            let absent = || {
                let default = field.default.and_then(|default| serde_json::from_str(default).ok());
                default.unwrap_or(Value::Null)
            };
            whole.insert(field.name.to_owned(), stored.shift_remove(field.name).unwrap_or_else(absent));
        }
        whole.extend(stored);
        Value::Object(whole)
    }
}

/// A rule that inputs break: the input to blame, if it is one, and the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenRule {
    /// The input.
    pub field: Option<&'static str>,
    /// What is wrong.
    pub text: String,
}

impl BrokenRule {
    /// A rule broken by one input.
    pub fn of(field: &'static str, text: impl Into<String>) -> Self {
        Self {
            field: Some(field),
            text: text.into(),
        }
    }

    /// A rule broken by several inputs together.
    pub fn of_all(text: impl Into<String>) -> Self {
        Self {
            field: None,
            text: text.into(),
        }
    }
}

/// Checks a node's values, each of which is fine by itself.
pub type Rule = fn(&Map<String, Value>) -> Result<(), BrokenRule>;

/// A node.
#[derive(Debug)]
pub struct NodeMeta {
    /// Type id, as in `add`.
    pub id: &'static str,
    /// Name of its schema; also decides between nodes that are ready at the same time.
    pub schema: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// `x.y.z`.
    pub version: &'static str,
    /// Group in editors.
    pub category: Option<&'static str>,
    /// Words to find it by.
    pub tags: Option<&'static [&'static str]>,
    /// How far it can be relied on.
    pub classification: Classification,
    /// Whether its result may be reused when a graph does not say.
    pub use_cache: bool,
    /// Its inputs.
    pub fields: &'static [FieldMeta],
    /// What it returns.
    pub output: &'static OutputMeta,
    /// Whether it keeps inputs that it does not declare.
    pub extra_keys: bool,
    /// A rule that its inputs keep together.
    pub check: Option<Rule>,
}

/// There is one description of a type.
impl PartialEq for NodeMeta {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl NodeMeta {
    /// An input by its name.
    pub fn field(&self, name: &str) -> Option<&'static FieldMeta> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// A returned value by its name.
    pub fn output_field(&self, name: &str) -> Option<&'static OutputField> {
        self.output.fields.iter().find(|field| field.name == name)
    }
}

/// A struct that is a node's inputs.
pub trait Node {
    /// What it returns.
    type Output: Output;
    /// Its description.
    const META: &'static NodeMeta;
}

/// A struct that a node returns.
pub trait Output {
    /// Its description.
    const META: &'static OutputMeta;
}
