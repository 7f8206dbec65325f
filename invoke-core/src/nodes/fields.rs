//! Objects that travel between nodes. Their schema names are the types by which editors connect nodes.

use invoke_macros::FieldStruct;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::{
    model_kind::{BASES, SCHEDULERS as SCHEDULER_NAMES, TYPES},
    shape::{Extra, HasShape, ObjectShape, Shape, choices},
};

/// Bases of models.
pub const MODEL_BASES: Shape = Shape::Enum(BASES);

/// Types of models.
pub const MODEL_TYPES: Shape = Shape::Enum(TYPES);

/// Parts of models.
pub const SUBMODEL_TYPES: Shape = Shape::Enum(&[
    "unet",
    "transformer",
    "transformer_2",
    "text_encoder",
    "text_encoder_2",
    "text_encoder_3",
    "tokenizer",
    "tokenizer_2",
    "tokenizer_3",
    "pe",
    "pe_tokenizer",
    "vae",
    "vae_decoder",
    "vae_encoder",
    "scheduler",
    "safety_checker",
]);

/// Schedulers of the Stable Diffusion families.
pub const SCHEDULERS: Shape = Shape::Enum(SCHEDULER_NAMES);

/// A value, or a list of such values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several, or none.
    Many(Vec<T>),
}

impl<T: HasShape> HasShape for OneOrMany<T> {
    const SHAPE: Shape = Shape::Union(&[T::SHAPE, Shape::list(&T::SHAPE)]);
}

impl<T> OneOrMany<T> {
    /// All of them.
    pub fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(value) => vec![value],
            Self::Many(values) => values,
        }
    }
}

/// The name of a scheduler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SchedulerName(pub String);

impl HasShape for SchedulerName {
    const SHAPE: Shape = SCHEDULERS;
}

/// What is recorded with a picture: any keys.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetadataField(pub Map<String, Value>);

impl HasShape for MetadataField {
    const SHAPE: Shape = Shape::Object(&ObjectShape {
        name: "MetadataField",
        fields: &[],
        extra: Extra::Keep,
    });
}

/// A stored picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct ImageField {
    /// Its name.
    pub image_name: String,
}

/// A board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct BoardField {
    /// Its id.
    pub board_id: String,
}

/// A colour with opacity, 0 to 255 each.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct ColorField {
    /// Red.
    #[field(ge = 0, le = 255)]
    pub r: i64,
    /// Green.
    #[field(ge = 0, le = 255)]
    pub g: i64,
    /// Blue.
    #[field(ge = 0, le = 255)]
    pub b: i64,
    /// Opacity.
    #[field(ge = 0, le = 255)]
    pub a: i64,
}

/// A stored latent picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct LatentsField {
    /// Its name.
    pub latents_name: String,
    /// The seed of its noise.
    #[field(default = null)]
    pub seed: Option<i64>,
}

/// A stored tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct TensorField {
    /// Its name.
    pub tensor_name: String,
}

/// A stored encoded prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct ConditioningField {
    /// Its name.
    pub conditioning_name: String,
    /// Where in the picture it holds.
    #[field(default = null)]
    pub mask: Option<TensorField>,
}

/// A stored mask that says where to denoise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct DenoiseMaskField {
    /// Its name.
    pub mask_name: String,
    /// Latents of the picture with the mask cut out, for models made for inpainting.
    #[field(default = null)]
    pub masked_latents_name: Option<String>,
    /// Whether the mask has levels between all and nothing.
    #[field(default = false)]
    pub gradient: bool,
}

/// A rectangle in pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct BoundingBoxField {
    /// Left.
    pub x_min: i64,
    /// Right.
    pub x_max: i64,
    /// Top.
    pub y_min: i64,
    /// Bottom.
    pub y_max: i64,
    /// How sure its finder was, 0 to 1.
    #[field(default = null, ge = 0.0, le = 1.0)]
    pub score: Option<f64>,
}

/// An installed model or a part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct ModelIdentifierField {
    /// Its key.
    pub key: String,
    /// Hash of its weights.
    pub hash: String,
    /// Its name.
    pub name: String,
    /// Its base.
    #[field(shape = MODEL_BASES)]
    pub base: String,
    /// Its type.
    #[field(shape = MODEL_TYPES)]
    #[serde(rename = "type")]
    pub kind: String,
    /// The part.
    #[field(default = null, shape = SUBMODEL_TYPES)]
    pub submodel_type: Option<String>,
}

impl ModelIdentifierField {
    /// A part of the same model.
    pub fn part(&self, submodel_type: &str) -> Self {
        Self {
            submodel_type: Some(submodel_type.to_owned()),
            ..self.clone()
        }
    }
}

/// A LoRA and how strongly it is applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct LoRAField {
    /// The model.
    pub lora: ModelIdentifierField,
    /// Its strength.
    pub weight: f64,
}

/// Strengths of FreeU.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct FreeUConfig {
    /// Damps the skip connections of the first stage.
    #[field(ge = -1, le = 3)]
    pub s1: f64,
    /// Damps the skip connections of the second stage.
    #[field(ge = -1, le = 3)]
    pub s2: f64,
    /// Strengthens the backbone of the first stage.
    #[field(ge = -1, le = 3)]
    pub b1: f64,
    /// Strengthens the backbone of the second stage.
    #[field(ge = -1, le = 3)]
    pub b2: f64,
}

/// A denoiser with everything that is applied to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct UNetField {
    /// The denoiser.
    pub unet: ModelIdentifierField,
    /// Its scheduler's settings.
    pub scheduler: ModelIdentifierField,
    /// LoRAs to apply.
    pub loras: Vec<LoRAField>,
    /// Axes along which the picture tiles: `x`, `y`.
    #[field(default = [], unprinted)]
    pub seamless_axes: Vec<String>,
    /// FreeU.
    #[field(default = null)]
    pub freeu_config: Option<FreeUConfig>,
}

/// A text encoder with everything that is applied to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct CLIPField {
    /// The tokenizer.
    pub tokenizer: ModelIdentifierField,
    /// The encoder.
    pub text_encoder: ModelIdentifierField,
    /// How many of its last layers are left out.
    pub skipped_layers: i64,
    /// LoRAs to apply.
    pub loras: Vec<LoRAField>,
}

/// A transformer that denoises, with everything that is applied to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct TransformerField {
    /// The transformer.
    pub transformer: ModelIdentifierField,
    /// LoRAs to apply.
    pub loras: Vec<LoRAField>,
}

/// T5's text encoder with everything that is applied to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct T5EncoderField {
    /// The tokenizer.
    pub tokenizer: ModelIdentifierField,
    /// The encoder.
    pub text_encoder: ModelIdentifierField,
    /// LoRAs to apply.
    pub loras: Vec<LoRAField>,
}

/// A picture encoder and decoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct VAEField {
    /// The model.
    pub vae: ModelIdentifierField,
    /// Axes along which the picture tiles: `x`, `y`.
    #[field(default = [], unprinted)]
    pub seamless_axes: Vec<String>,
}

choices! {
    /// What a control picture outweighs.
    pub enum ControlMode { Balanced = "balanced", MorePrompt = "more_prompt", MoreControl = "more_control", Unbalanced = "unbalanced" }
}

choices! {
    /// How a control picture gets the size of the result.
    pub enum ResizeMode {
        JustResize = "just_resize",
        CropResize = "crop_resize",
        FillResize = "fill_resize",
        JustResizeSimple = "just_resize_simple",
    }
}

choices! {
    /// What an IP-Adapter takes over from its picture.
    pub enum IPAdapterMethod {
        Full = "full",
        Style = "style",
        Composition = "composition",
        StyleStrong = "style_strong",
        StylePrecise = "style_precise",
    }
}

/// A ControlNet and its picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct ControlField {
    /// The picture.
    pub image: ImageField,
    /// The model.
    pub control_model: ModelIdentifierField,
    /// Its strength, or one a step.
    #[field(default = 1)]
    pub control_weight: OneOrMany<f64>,
    /// From which part of the steps it works.
    #[field(default = 0, ge = 0, le = 1)]
    pub begin_step_percent: f64,
    /// Up to which part of the steps it works.
    #[field(default = 1, ge = 0, le = 1)]
    pub end_step_percent: f64,
    /// What it outweighs.
    #[field(default = "balanced")]
    pub control_mode: ControlMode,
    /// How the picture gets the size of the result.
    #[field(default = "just_resize")]
    pub resize_mode: ResizeMode,
}

/// An IP-Adapter and its pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct IPAdapterField {
    /// The pictures.
    pub image: OneOrMany<ImageField>,
    /// The model.
    pub ip_adapter_model: ModelIdentifierField,
    /// What encodes the pictures.
    pub image_encoder_model: ModelIdentifierField,
    /// Its strength, or one a step.
    #[field(default = 1)]
    pub weight: OneOrMany<f64>,
    /// Blocks of the denoiser that it acts on; all if empty.
    #[field(default = [])]
    pub target_blocks: Vec<String>,
    /// What it takes over.
    #[field(default = "full")]
    pub method: String,
    /// From which part of the steps it works.
    #[field(default = 0, ge = 0, le = 1)]
    pub begin_step_percent: f64,
    /// Up to which part of the steps it works.
    #[field(default = 1, ge = 0, le = 1)]
    pub end_step_percent: f64,
    /// Where in the picture it holds.
    #[field(default = null)]
    pub mask: Option<TensorField>,
}

/// A stored encoded prompt for FLUX.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct FluxConditioningField {
    /// Its name.
    pub conditioning_name: String,
    /// Where in the picture it holds.
    #[field(default = null)]
    pub mask: Option<TensorField>,
}

/// A picture that FLUX Redux has encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct FluxReduxConditioningField {
    /// Its tokens.
    pub conditioning: TensorField,
    /// Where in the picture it holds.
    #[field(default = null)]
    pub mask: Option<TensorField>,
}

/// A picture and what of it FLUX Fill makes anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct FluxFillConditioningField {
    /// The picture.
    pub image: ImageField,
    /// Where it is made anew.
    pub mask: TensorField,
}

/// A picture that FLUX Kontext refers to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct FluxKontextConditioningField {
    /// The picture.
    pub image: ImageField,
}

/// A ControlNet for FLUX and its picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct FluxControlNetField {
    /// The picture.
    pub image: ImageField,
    /// The model.
    pub control_model: ModelIdentifierField,
    /// Its strength, or one a step.
    #[field(default = 1)]
    pub control_weight: OneOrMany<f64>,
    /// From which part of the steps it works.
    #[field(default = 0, ge = 0, le = 1)]
    pub begin_step_percent: f64,
    /// Up to which part of the steps it works.
    #[field(default = 1, ge = 0, le = 1)]
    pub end_step_percent: f64,
    /// How the picture gets the size of the result.
    #[field(default = "just_resize")]
    pub resize_mode: ResizeMode,
    /// What the picture is of, for models that take several kinds.
    #[field(default = -1)]
    pub instantx_control_mode: Option<i64>,
}

/// A LoRA that makes FLUX follow a picture, and the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct ControlLoRAField {
    /// The model.
    pub lora: ModelIdentifierField,
    /// Its strength.
    pub weight: f64,
    /// The picture.
    pub img: ImageField,
}

/// A T2I-Adapter and its picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct T2IAdapterField {
    /// The picture.
    pub image: ImageField,
    /// The model.
    pub t2i_adapter_model: ModelIdentifierField,
    /// Its strength, or one a step.
    #[field(default = 1)]
    pub weight: OneOrMany<f64>,
    /// From which part of the steps it works.
    #[field(default = 0, ge = 0, le = 1)]
    pub begin_step_percent: f64,
    /// Up to which part of the steps it works.
    #[field(default = 1, ge = 0, le = 1)]
    pub end_step_percent: f64,
    /// How the picture gets the size of the result.
    #[field(default = "just_resize")]
    pub resize_mode: ResizeMode,
}

/// One entry of a picture's metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct MetadataItemField {
    /// Its key.
    pub label: String,
    /// Its value.
    pub value: Value,
}

/// Four distances or positions in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, FieldStruct)]
pub struct TBLR {
    /// Top.
    pub top: i64,
    /// Bottom.
    pub bottom: i64,
    /// Left.
    pub left: i64,
    /// Right.
    pub right: i64,
}

/// A part of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, FieldStruct)]
pub struct Tile {
    /// Where it lies.
    pub coords: TBLR,
    /// How far it reaches into its neighbours.
    pub overlap: TBLR,
}

/// A part of a picture and its pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct TileWithImage {
    /// The part.
    pub tile: Tile,
    /// Its pixels.
    pub image: ImageField,
}

/// A style preset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct StylePresetField {
    /// Its id.
    pub style_preset_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::shape::{Check, Definitions, json_schema};
    use serde_json::json;

    #[test]
    fn objects_are_checked_filled_and_printed() {
        let given = json!({"image": {"image_name": "a.png"}, "control_model": {"key": "k", "hash": "h", "name": "n", "base": "sd-1", "type": "controlnet"}});
        let checked = Check::at("x").run(&ControlField::SHAPE, given).unwrap();
        let control: ControlField = serde_json::from_value(checked).unwrap();
        assert_eq!((control.control_weight, control.end_step_percent), (OneOrMany::One(1.0), 1.0));
        let mut definitions = Definitions::default();
        let reference = json_schema(&ControlField::SHAPE, &mut definitions);
        assert_eq!(reference, json!({"$ref": "#/components/schemas/ControlField"}));
        let schema = &definitions.0["ControlField"];
        assert_eq!(schema["required"], json!(["image", "control_model"]));
        assert_eq!(
            schema["properties"]["begin_step_percent"],
            json!({"type": "number", "minimum": 0, "maximum": 1, "default": 0})
        );
        assert!(definitions.0.contains_key("ModelIdentifierField"));
    }
}
