//! Nodes that clients resolve into a batch's data before they send a graph. Editors need their descriptions; none of them runs.

#![expect(dead_code, reason = "what never runs is never read; editors need the description")]

use invoke_macros::{FieldStruct, Node, Output};
use serde::{Deserialize, Serialize};

use super::{
    Invoke, NodeCx, NodeEntry, NodeError, entry,
    fields::ImageField,
    outputs::{FloatOutput, ImageOutput, IntegerOutput, StringOutput},
};
use crate::domain::shape::choices;

pub(super) const NODES: &[NodeEntry] = &[
    entry::<ImageBatch>(),
    entry::<StringBatch>(),
    entry::<IntegerBatch>(),
    entry::<FloatBatch>(),
    entry::<ImageGenerator>(),
    entry::<StringGenerator>(),
    entry::<IntegerGenerator>(),
    entry::<FloatGenerator>(),
];

choices! {
    /// Batches of one group are taken element by element.
    enum BatchGroup { None = "None", Group1 = "Group 1", Group2 = "Group 2", Group3 = "Group 3", Group4 = "Group 4", Group5 = "Group 5" }
}

/// How a client makes pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
struct ImageGeneratorField {}

/// How a client makes texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
struct StringGeneratorField {}

/// How a client makes whole numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
struct IntegerGeneratorField {}

/// How a client makes numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
struct FloatGeneratorField {}

/// Pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "image_generator_output")]
struct ImageGeneratorOutput {
    images: Vec<ImageField>,
}

/// Texts.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "string_generator_output")]
struct StringGeneratorOutput {
    strings: Vec<String>,
}

/// Whole numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "integer_generator_output")]
struct IntegerGeneratorOutput {
    integers: Vec<i64>,
}

/// Numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "float_generator_output")]
struct FloatGeneratorOutput {
    floats: Vec<f64>,
}

fn not_executable() -> NodeError {
    NodeError::new(
        "NotExecutableNodeError",
        "This class should never be executed or instantiated directly.",
    )
}

/// Pictures of which a client makes one session each.
#[derive(Debug, Deserialize, Node)]
#[node(id = "image_batch", title = "Image Batch", version = "1.0.0", category = "batch", tags("primitives", "image", "batch", "special"), classification = Special, output = ImageOutput)]
struct ImageBatch {
    #[field(default = "None", input = direct, title = "Batch Group")]
    batch_group_id: BatchGroup,
    #[field(min_items = 1)]
    images: Vec<ImageField>,
}

impl Invoke for ImageBatch {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        Err(not_executable())
    }
}

/// Texts of which a client makes one session each.
#[derive(Debug, Deserialize, Node)]
#[node(id = "string_batch", title = "String Batch", version = "1.0.0", category = "batch", tags("primitives", "string", "batch", "special"), classification = Special, output = StringOutput)]
struct StringBatch {
    #[field(default = "None", input = direct, title = "Batch Group")]
    batch_group_id: BatchGroup,
    #[field(min_items = 1)]
    strings: Vec<String>,
}

impl Invoke for StringBatch {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<StringOutput, NodeError> {
        Err(not_executable())
    }
}

/// Whole numbers of which a client makes one session each.
#[derive(Debug, Deserialize, Node)]
#[node(id = "integer_batch", title = "Integer Batch", version = "1.0.0", category = "batch", tags("primitives", "integer", "number", "batch", "special"), classification = Special, output = IntegerOutput)]
struct IntegerBatch {
    #[field(default = "None", input = direct, title = "Batch Group")]
    batch_group_id: BatchGroup,
    #[field(min_items = 1)]
    integers: Vec<i64>,
}

impl Invoke for IntegerBatch {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<IntegerOutput, NodeError> {
        Err(not_executable())
    }
}

/// Numbers of which a client makes one session each.
#[derive(Debug, Deserialize, Node)]
#[node(id = "float_batch", title = "Float Batch", version = "1.0.0", category = "batch", tags("primitives", "float", "number", "batch", "special"), classification = Special, output = FloatOutput)]
struct FloatBatch {
    #[field(default = "None", input = direct, title = "Batch Group")]
    batch_group_id: BatchGroup,
    #[field(min_items = 1)]
    floats: Vec<f64>,
}

impl Invoke for FloatBatch {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<FloatOutput, NodeError> {
        Err(not_executable())
    }
}

/// Pictures that a client makes before it sends a graph.
#[derive(Debug, Deserialize, Node)]
#[node(id = "image_generator", title = "Image Generator", version = "1.0.0", schema = "ImageGenerator", category = "batch", tags("primitives", "board", "image", "batch", "special"), classification = Special, output = ImageGeneratorOutput)]
struct ImageGenerator {
    #[field(input = direct, title = "Generator Type")]
    generator: ImageGeneratorField,
}

impl Invoke for ImageGenerator {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<ImageGeneratorOutput, NodeError> {
        Err(not_executable())
    }
}

/// Texts that a client makes before it sends a graph.
#[derive(Debug, Deserialize, Node)]
#[node(id = "string_generator", title = "String Generator", version = "1.0.0", schema = "StringGenerator", category = "batch", tags("primitives", "string", "number", "batch", "special"), classification = Special, output = StringGeneratorOutput)]
struct StringGenerator {
    #[field(input = direct, title = "Generator Type")]
    generator: StringGeneratorField,
}

impl Invoke for StringGenerator {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<StringGeneratorOutput, NodeError> {
        Err(not_executable())
    }
}

/// Whole numbers that a client makes before it sends a graph.
#[derive(Debug, Deserialize, Node)]
#[node(id = "integer_generator", title = "Integer Generator", version = "1.0.0", schema = "IntegerGenerator", category = "batch", tags("primitives", "int", "number", "batch", "special"), classification = Special, output = IntegerGeneratorOutput)]
struct IntegerGenerator {
    #[field(input = direct, title = "Generator Type")]
    generator: IntegerGeneratorField,
}

impl Invoke for IntegerGenerator {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<IntegerGeneratorOutput, NodeError> {
        Err(not_executable())
    }
}

/// Numbers that a client makes before it sends a graph.
#[derive(Debug, Deserialize, Node)]
#[node(id = "float_generator", title = "Float Generator", version = "1.0.0", schema = "FloatGenerator", category = "batch", tags("primitives", "float", "number", "batch", "special"), classification = Special, output = FloatGeneratorOutput)]
struct FloatGenerator {
    #[field(input = direct, title = "Generator Type")]
    generator: FloatGeneratorField,
}

impl Invoke for FloatGenerator {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<FloatGeneratorOutput, NodeError> {
        Err(not_executable())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::nodes::testing::run;

    #[test]
    fn none_of_them_runs() {
        let error = run("integer_batch", json!({"integers": [1]})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "NotExecutableNodeError: This class should never be executed or instantiated directly."
        );
    }
}
