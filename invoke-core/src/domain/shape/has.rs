//! Which shape the JSON form of a Rust type has.

use serde_json::{Map, Value};

use super::{Bounds, Length, Shape};

/// A type whose JSON form has a known shape.
pub trait HasShape {
    /// The shape.
    const SHAPE: Shape;
}

impl HasShape for bool {
    const SHAPE: Shape = Shape::BOOL;
}

impl HasShape for i64 {
    const SHAPE: Shape = Shape::INT;
}

impl HasShape for u32 {
    const SHAPE: Shape = Shape::INT;
}

impl HasShape for f64 {
    const SHAPE: Shape = Shape::FLOAT;
}

impl HasShape for String {
    const SHAPE: Shape = Shape::STR;
}

impl HasShape for Value {
    const SHAPE: Shape = Shape::Any;
}

impl HasShape for Map<String, Value> {
    const SHAPE: Shape = Shape::Map(&Shape::Any);
}

impl<T: HasShape> HasShape for Option<T> {
    const SHAPE: Shape = Shape::Nullable(&T::SHAPE);
}

impl<T: HasShape> HasShape for Vec<T> {
    const SHAPE: Shape = Shape::list(&T::SHAPE);
}

impl Shape {
    /// The same with bounds. A shape that is no number stops the compiler.
    pub const fn bounded(self, bounds: Bounds) -> Self {
        match self {
            Self::Int(_) => Self::Int(bounds),
            Self::Float(_) => Self::Float(bounds),
            _ => panic!("only a number has bounds"),
        }
    }

    /// The same with bounds on its length. A shape without a length stops the compiler.
    pub const fn sized(self, length: Length) -> Self {
        match self {
            Self::Str(_) => Self::Str(length),
            Self::List(of, _) => Self::List(of, length),
            _ => panic!("only a text or a list has a length"),
        }
    }
}

/// Declares an enumeration whose values are these texts in JSON.
#[macro_export]
macro_rules! choices {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        $vis enum $name {
            $(
                #[doc = $text]
                $(#[$variant_doc])*
                #[serde(rename = $text)]
                $variant,
            )+
        }

        impl $crate::domain::shape::HasShape for $name {
            const SHAPE: $crate::domain::shape::Shape = $crate::domain::shape::Shape::Enum(&[$($text),+]);
        }
    };
}
pub use choices;
