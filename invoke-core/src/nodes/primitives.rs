//! Values as nodes, so that one value can feed several inputs and a batch can vary it.

use invoke_macros::Node;
use serde::Deserialize;

use super::{
    Invoke, NodeCx, NodeEntry, NodeError, entry,
    fields::{ColorField, ConditioningField, ImageField, LatentsField, SchedulerName},
    outputs::{
        BooleanCollectionOutput, BooleanOutput, ColorOutput, ConditioningCollectionOutput, ConditioningOutput, FloatCollectionOutput,
        FloatOutput, ImageCollectionOutput, ImageOutput, IntegerCollectionOutput, IntegerOutput, LatentsCollectionOutput, SchedulerOutput,
        StringCollectionOutput, StringOutput,
    },
};

pub(super) const NODES: &[NodeEntry] = &[
    entry::<BooleanPrimitive>(),
    entry::<BooleanCollection>(),
    entry::<ColorPrimitive>(),
    entry::<Conditioning>(),
    entry::<ConditioningCollection>(),
    entry::<FloatPrimitive>(),
    entry::<FloatCollection>(),
    entry::<Image>(),
    entry::<ImageCollection>(),
    entry::<IntegerPrimitive>(),
    entry::<IntegerCollection>(),
    entry::<LatentsCollection>(),
    entry::<Scheduler>(),
    entry::<StringPrimitive>(),
    entry::<StringCollection>(),
];

/// Declares nodes that return their one input.
macro_rules! identity {
    ($($name:ident => $output:ident { $field:ident })+) => {$(
        impl Invoke for $name {
            fn invoke(self, _cx: &dyn NodeCx) -> Result<$output, NodeError> {
                Ok(self.$field.into())
            }
        }
    )+};
}

identity! {
    BooleanPrimitive => BooleanOutput { value }
    BooleanCollection => BooleanCollectionOutput { collection }
    ColorPrimitive => ColorOutput { color }
    Conditioning => ConditioningOutput { conditioning }
    ConditioningCollection => ConditioningCollectionOutput { collection }
    FloatPrimitive => FloatOutput { value }
    FloatCollection => FloatCollectionOutput { collection }
    IntegerPrimitive => IntegerOutput { value }
    IntegerCollection => IntegerCollectionOutput { collection }
    LatentsCollection => LatentsCollectionOutput { collection }
    Scheduler => SchedulerOutput { scheduler }
    StringPrimitive => StringOutput { value }
    StringCollection => StringCollectionOutput { collection }
}

/// A truth value.
#[derive(Debug, Deserialize, Node)]
#[node(id = "boolean", schema = "BooleanInvocation", title = "Boolean Primitive", version = "1.0.1", category = "primitives", tags("primitives", "boolean"), output = BooleanOutput)]
struct BooleanPrimitive {
    #[field(default = false)]
    value: bool,
}

/// Truth values.
#[derive(Debug, Deserialize, Node)]
#[node(id = "boolean_collection", title = "Boolean Collection Primitive", version = "1.0.2", category = "primitives", tags("primitives", "boolean", "collection"), output = BooleanCollectionOutput)]
struct BooleanCollection {
    #[field(default = [])]
    collection: Vec<bool>,
}

/// A colour.
#[derive(Debug, Deserialize, Node)]
#[node(id = "color", schema = "ColorInvocation", title = "Color Primitive", version = "1.0.1", category = "primitives", tags("primitives", "color"), output = ColorOutput)]
struct ColorPrimitive {
    #[field(json = "{\"r\": 0, \"g\": 0, \"b\": 0, \"a\": 255}")]
    color: ColorField,
}

/// An encoded prompt.
#[derive(Debug, Deserialize, Node)]
#[node(id = "conditioning", title = "Conditioning Primitive", version = "1.0.1", category = "primitives", tags("primitives", "conditioning"), output = ConditioningOutput)]
struct Conditioning {
    #[field(input = connection)]
    conditioning: ConditioningField,
}

/// Encoded prompts.
#[derive(Debug, Deserialize, Node)]
#[node(id = "conditioning_collection", title = "Conditioning Collection Primitive", version = "1.0.2", category = "primitives", tags("primitives", "conditioning", "collection"), output = ConditioningCollectionOutput)]
struct ConditioningCollection {
    #[field(default = [])]
    collection: Vec<ConditioningField>,
}

/// A number.
#[derive(Debug, Deserialize, Node)]
#[node(id = "float", schema = "FloatInvocation", title = "Float Primitive", version = "1.0.1", category = "primitives", tags("primitives", "float"), output = FloatOutput)]
struct FloatPrimitive {
    #[field(default = 0.0)]
    value: f64,
}

/// Numbers.
#[derive(Debug, Deserialize, Node)]
#[node(id = "float_collection", title = "Float Collection Primitive", version = "1.0.2", category = "primitives", tags("primitives", "float", "collection"), output = FloatCollectionOutput)]
struct FloatCollection {
    #[field(default = [])]
    collection: Vec<f64>,
}

/// A stored picture and its size.
#[derive(Debug, Deserialize, Node)]
#[node(id = "image", title = "Image Primitive", version = "1.0.2", category = "primitives", tags("primitives", "image"), output = ImageOutput)]
struct Image {
    image: ImageField,
}

/// Stored pictures: those of the collection, then the picked ones.
#[derive(Debug, Deserialize, Node)]
#[node(id = "image_collection", title = "Image Collection Primitive", version = "1.0.2", category = "primitives", tags("primitives", "image", "collection"), output = ImageCollectionOutput)]
struct ImageCollection {
    #[field(input = connection, order = 0)]
    collection: Option<Vec<ImageField>>,
    #[field(input = direct, order = 1)]
    images: Option<Vec<ImageField>>,
}

/// A whole number.
#[derive(Debug, Deserialize, Node)]
#[node(id = "integer", schema = "IntegerInvocation", title = "Integer Primitive", version = "1.0.1", category = "primitives", tags("primitives", "integer"), output = IntegerOutput)]
struct IntegerPrimitive {
    #[field(default = 0)]
    value: i64,
}

/// Whole numbers.
#[derive(Debug, Deserialize, Node)]
#[node(id = "integer_collection", title = "Integer Collection Primitive", version = "1.0.2", category = "primitives", tags("primitives", "integer", "collection"), output = IntegerCollectionOutput)]
struct IntegerCollection {
    #[field(default = [])]
    collection: Vec<i64>,
}

/// Latent pictures.
#[derive(Debug, Deserialize, Node)]
#[node(id = "latents_collection", title = "Latents Collection Primitive", version = "1.0.1", category = "primitives", tags("primitives", "latents", "collection"), output = LatentsCollectionOutput)]
struct LatentsCollection {
    collection: Vec<LatentsField>,
}

/// A scheduler by name.
#[derive(Debug, Deserialize, Node)]
#[node(id = "scheduler", title = "Scheduler", version = "1.0.0", category = "latents", tags("scheduler"), output = SchedulerOutput)]
struct Scheduler {
    #[field(default = "euler", ui_type = "SchedulerField")]
    scheduler: SchedulerName,
}

/// A text.
#[derive(Debug, Deserialize, Node)]
#[node(id = "string", schema = "StringInvocation", title = "String Primitive", version = "1.0.1", category = "primitives", tags("primitives", "string"), output = StringOutput)]
struct StringPrimitive {
    #[field(default = "", component = "textarea")]
    value: String,
}

/// Texts.
#[derive(Debug, Deserialize, Node)]
#[node(id = "string_collection", title = "String Collection Primitive", version = "1.0.2", category = "primitives", tags("primitives", "string", "collection"), output = StringCollectionOutput)]
struct StringCollection {
    #[field(default = [])]
    collection: Vec<String>,
}

impl Invoke for ImageCollection {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<ImageCollectionOutput, NodeError> {
        Ok(self.collection.into_iter().chain(self.images).flatten().collect::<Vec<_>>().into())
    }
}

impl Invoke for Image {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let pixels = cx.load_image(&self.image.image_name)?;
        Ok(ImageOutput {
            image: self.image,
            width: i64::from(pixels.width()),
            height: i64::from(pixels.height()),
        })
    }
}
