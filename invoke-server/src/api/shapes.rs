//! Words for declaring shapes, and the shapes that several kinds of things share.

use invoke_core::domain::shape::{Bounds, Extra, Field, Length, ObjectShape, Shape};

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

/// What an image is for.
pub(super) const CATEGORY: Shape = Shape::Enum(&["general", "mask", "control", "user", "other"]);
pub(super) const CATEGORIES_OR_NULL: Shape = Shape::Nullable(&Shape::list(&CATEGORY));
/// Where an image came from.
pub(super) const ORIGIN: Shape = Shape::Enum(&["internal", "external"]);
pub(super) const ORIGIN_OR_NULL: Shape = Shape::Nullable(&ORIGIN);
/// Names that one request may hold.
pub(super) const NAMES: Shape = Shape::List(&Shape::Str(Length::ANY.max(255)), Length::ANY.max(1000));
/// How many items of a list are skipped.
pub(super) const OFFSET: Field = def("offset", Shape::Int(Bounds::NONE.ge(0.0)), "0");
/// How many items of a list are sent.
pub(super) const LIMIT: Field = def("limit", Shape::Int(Bounds::NONE.ge(0.0).le(1000.0)), "10");

object!(pub(super) METADATA_AND_WORKFLOW = "WorkflowAndGraphResponse" { req("workflow", STR_OR_NULL), req("graph", STR_OR_NULL) });
pub(super) static METADATA: ObjectShape = ObjectShape {
    name: "MetadataField",
    fields: &[],
    extra: Extra::Keep,
};
pub(super) const METADATA_OR_NULL: Shape = Shape::Nullable(&Shape::Object(&METADATA));
