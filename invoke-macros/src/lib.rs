//! Derives that turn attributes on plain structs into the static descriptions of `invoke_core::graph::meta`. They emit constants only, no
//! logic: what a struct's derive yields can be read off its attributes.

mod attrs;
mod field_struct;
mod node;
mod output;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Describes a node: implements `graph::meta::Node` for a struct whose fields are the node's inputs.
///
/// On the struct, `#[node(id = "add", title = "Add Integers", version = "1.0.1", category = "math", tags("math", "add"), output = IntegerOutput)]`;
/// also `schema = "Name"` (else the struct's name with `Invocation` behind it), `classification = Beta`, `cache = false`,
/// `check = function` (a rule that inputs keep together), `board` and `metadata` (the node saves pictures and takes these two besides its own
/// inputs). A field with `#[serde(flatten)]` keeps undeclared keys.
///
/// On a field, `#[field(…)]`: `default = 3` (a literal, `null`, or JSON in a text after `json =`), `ge`, `gt`, `le`, `lt`, `multiple_of`,
/// `min_items`, `max_items`, `min_length`, `max_length`, `input = connection` or `direct`, `title = "…"`, `order = 1`, `hidden`, `component = "…"`,
/// `ui_type = "…"`, `choices("VALUE" = "Label")`, `model_base(…)`, `model_type(…)`, `model_variant(…)`, `model_format(…)`, `required`,
/// `shape = …` for a type whose shape says too little, `before = function` (what becomes of a value before it is checked).
/// A field without a default is required; an `Option` without one is null. A `#[serde(rename = "…")]` names the input.
#[proc_macro_derive(Node, attributes(node, field, serde))]
pub fn derive_node(input: TokenStream) -> TokenStream {
    node::expand(&parse_macro_input!(input as DeriveInput))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Describes what a node returns: implements `graph::meta::Output`.
///
/// On the struct, `#[output(id = "integer_output")]`, also `schema = "Name"` (else the struct's name). On a field, `#[field(…)]` with `default`,
/// `title`, `hidden`, `ui_type`, `order`.
#[proc_macro_derive(Output, attributes(output, field, serde))]
pub fn derive_output(input: TokenStream) -> TokenStream {
    output::expand(&parse_macro_input!(input as DeriveInput))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Describes an object that travels between nodes: implements `domain::shape::HasShape`.
///
/// On the struct, `#[schema(name = "Name")]` (else the struct's name) and `#[schema(keep_extra)]`. On a field, `#[field(…)]` with `default` and
/// bounds; `unprinted` for a default that the schema does not show.
#[proc_macro_derive(FieldStruct, attributes(schema, field, serde))]
pub fn derive_field_struct(input: TokenStream) -> TokenStream {
    field_struct::expand(&parse_macro_input!(input as DeriveInput))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
