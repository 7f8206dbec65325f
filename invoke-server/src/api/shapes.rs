//! Words for declaring shapes, and the shapes that several kinds of things share.

use invoke_core::domain::shape::{Field, Shape};

/// Declares an object shape: `object!(NAME = "WireName" { fields });`. Undeclared keys are dropped.
macro_rules! object {
    ($(#[$doc:meta])* $vis:vis $name:ident = $wire:literal { $($field:expr),* $(,)? }) => {
        $(#[$doc])*
        $vis static $name: invoke_core::domain::shape::ObjectShape = invoke_core::domain::shape::ObjectShape {
            name: $wire,
            fields: &[$($field),*],
            extra: invoke_core::domain::shape::Extra::Ignore,
        };
    };
}
pub(super) use object;

/// A field that must be there.
pub(super) const fn req(name: &'static str, shape: Shape) -> Field {
    Field::required(name, shape)
}

/// A field that may be absent, and then stays so.
pub(super) const fn opt(name: &'static str, shape: Shape) -> Field {
    Field::optional(name, shape)
}

/// A field with a default, as JSON text.
pub(super) const fn def(name: &'static str, shape: Shape, default: &'static str) -> Field {
    Field::with(name, shape, default)
}

pub(super) const STR: Shape = Shape::STR;
pub(super) const INT: Shape = Shape::INT;
pub(super) const BOOL: Shape = Shape::BOOL;
pub(super) const STR_OR_NULL: Shape = Shape::Nullable(&Shape::STR);
pub(super) const INT_OR_NULL: Shape = Shape::Nullable(&Shape::INT);
pub(super) const BOOL_OR_NULL: Shape = Shape::Nullable(&Shape::BOOL);
pub(super) const STRINGS: Shape = Shape::list(&Shape::STR);
pub(super) const INTS: Shape = Shape::list(&Shape::INT);
pub(super) const DIRECTION: Shape = Shape::Enum(&["ASC", "DESC"]);
/// A point in time as a text of either form.
pub(super) const TIME: Shape = Shape::Union(&[Shape::DateTime, Shape::STR]);
pub(super) const TIME_OR_NULL: Shape = Shape::Nullable(&TIME);
