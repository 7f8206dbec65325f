//! What nodes return, where several nodes return the same.

use invoke_macros::Output;
use serde::Serialize;

use super::fields::{
    BoundingBoxField, CLIPField, ColorField, ConditioningField, DenoiseMaskField, ImageField, LatentsField, MetadataField, SchedulerName,
    TensorField, UNetField, VAEField,
};

/// Declares outputs with one value.
macro_rules! single {
    ($($(#[$doc:meta])* $name:ident $id:literal { $(#[$attr:meta])* $field:ident: $ty:ty })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Output)]
        #[output(id = $id)]
        pub struct $name {
            #[doc = "The value."]
            $(#[$attr])*
            pub $field: $ty,
        }

        impl From<$ty> for $name {
            fn from($field: $ty) -> Self {
                Self { $field }
            }
        }
    )+};
}

single! {
    /// A truth value.
    BooleanOutput "boolean_output" { value: bool }
    /// Truth values.
    BooleanCollectionOutput "boolean_collection_output" { collection: Vec<bool> }
    /// A whole number.
    IntegerOutput "integer_output" { value: i64 }
    /// Whole numbers.
    IntegerCollectionOutput "integer_collection_output" { collection: Vec<i64> }
    /// A number.
    FloatOutput "float_output" { value: f64 }
    /// Numbers.
    FloatCollectionOutput "float_collection_output" { collection: Vec<f64> }
    /// A text.
    StringOutput "string_output" { value: String }
    /// Texts.
    StringCollectionOutput "string_collection_output" { collection: Vec<String> }
    /// Pictures.
    ImageCollectionOutput "image_collection_output" { collection: Vec<ImageField> }
    /// A colour.
    ColorOutput "color_output" { color: ColorField }
    /// Colours.
    ColorCollectionOutput "color_collection_output" { collection: Vec<ColorField> }
    /// Latent pictures.
    LatentsCollectionOutput "latents_collection_output" { collection: Vec<LatentsField> }
    /// An encoded prompt.
    ConditioningOutput "conditioning_output" { conditioning: ConditioningField }
    /// Encoded prompts.
    ConditioningCollectionOutput "conditioning_collection_output" { collection: Vec<ConditioningField> }
    /// A mask that says where to denoise.
    DenoiseMaskOutput "denoise_mask_output" { denoise_mask: DenoiseMaskField }
    /// What is recorded with a picture.
    MetadataOutput "metadata_output" { metadata: MetadataField }
    /// A rectangle.
    BoundingBoxOutput "bounding_box_output" { bounding_box: BoundingBoxField }
    /// Rectangles.
    BoundingBoxCollectionOutput "bounding_box_collection_output" { #[field(title = "Bounding Boxes")] collection: Vec<BoundingBoxField> }
    /// A scheduler's name.
    SchedulerOutput "scheduler_output" { #[field(ui_type = "SchedulerField")] scheduler: SchedulerName }
    /// A denoiser.
    UNetOutput "unet_output" { unet: UNetField }
    /// A text encoder.
    CLIPOutput "clip_output" { clip: CLIPField }
    /// A picture encoder and decoder.
    VAEOutput "vae_output" { vae: VAEField }
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "image_output")]
pub struct ImageOutput {
    /// The picture.
    pub image: ImageField,
    /// Pixels across.
    pub width: i64,
    /// Pixels down.
    pub height: i64,
}

/// A latent picture.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "latents_output")]
pub struct LatentsOutput {
    /// The latent picture.
    pub latents: LatentsField,
    /// Pixels across of the picture it stands for.
    pub width: i64,
    /// Pixels down of the picture it stands for.
    pub height: i64,
}

/// Noise to start from.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "noise_output")]
pub struct NoiseOutput {
    /// The noise.
    pub noise: LatentsField,
    /// Pixels across of the picture it is for.
    pub width: i64,
    /// Pixels down of the picture it is for.
    pub height: i64,
}

/// A mask.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "mask_output")]
pub struct MaskOutput {
    /// The mask.
    pub mask: TensorField,
    /// Pixels across.
    pub width: i64,
    /// Pixels down.
    pub height: i64,
}

/// A face cut out of a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "face_off_output")]
pub struct FaceOffOutput {
    /// The picture of the face.
    pub image: ImageField,
    /// Pixels across.
    pub width: i64,
    /// Pixels down.
    pub height: i64,
    /// The mask: black on the face.
    pub mask: ImageField,
    /// Where the face's picture lies in the whole one: pixels to its left side.
    pub x: i64,
    /// Pixels to its upper side.
    pub y: i64,
}

/// A picture and a mask of its faces.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "face_mask_output")]
pub struct FaceMaskOutput {
    /// The picture.
    pub image: ImageField,
    /// Pixels across.
    pub width: i64,
    /// Pixels down.
    pub height: i64,
    /// The mask: black on faces.
    pub mask: ImageField,
}
