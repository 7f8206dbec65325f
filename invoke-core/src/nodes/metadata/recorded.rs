//! Objects that metadata consists of.

use invoke_macros::FieldStruct;
use serde::{Deserialize, Serialize};

use crate::{
    domain::shape::choices,
    nodes::fields::{ControlMode, IPAdapterMethod, ImageField, ModelIdentifierField, OneOrMany, ResizeMode},
};

choices! {
    /// Encoders of pictures.
    pub enum ClipVision { ViTL = "ViT-L", ViTH = "ViT-H", ViTG = "ViT-G" }
}

/// A ControlNet that was used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct ControlNetMetadataField {
    /// Its picture.
    pub image: ImageField,
    /// The picture after preprocessing.
    #[field(default = null)]
    pub processed_image: Option<ImageField>,
    /// The model.
    pub control_model: ModelIdentifierField,
    /// Its strength, or one a step.
    #[field(default = 1)]
    pub control_weight: OneOrMany<f64>,
    /// From which part of the steps it worked.
    #[field(default = 0, ge = 0, le = 1)]
    pub begin_step_percent: f64,
    /// Up to which part of the steps it worked.
    #[field(default = 1, ge = 0, le = 1)]
    pub end_step_percent: f64,
    /// What it outweighed.
    #[field(default = "balanced")]
    pub control_mode: ControlMode,
    /// How the picture got the size of the result.
    #[field(default = "just_resize")]
    pub resize_mode: ResizeMode,
}

/// An IP-Adapter that was used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct IPAdapterMetadataField {
    /// Its picture.
    pub image: ImageField,
    /// The model.
    pub ip_adapter_model: ModelIdentifierField,
    /// What encoded the picture.
    pub clip_vision_model: ClipVision,
    /// What it took over.
    pub method: IPAdapterMethod,
    /// Its strength, or one a step.
    pub weight: OneOrMany<f64>,
    /// From which part of the steps it worked.
    pub begin_step_percent: f64,
    /// Up to which part of the steps it worked.
    pub end_step_percent: f64,
}

/// A T2I-Adapter that was used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct T2IAdapterMetadataField {
    /// Its picture.
    pub image: ImageField,
    /// The picture after preprocessing.
    #[field(default = null)]
    pub processed_image: Option<ImageField>,
    /// The model.
    pub t2i_adapter_model: ModelIdentifierField,
    /// Its strength, or one a step.
    #[field(default = 1)]
    pub weight: OneOrMany<f64>,
    /// From which part of the steps it worked.
    #[field(default = 0, ge = 0, le = 1)]
    pub begin_step_percent: f64,
    /// Up to which part of the steps it worked.
    #[field(default = 1, ge = 0, le = 1)]
    pub end_step_percent: f64,
    /// How the picture got the size of the result.
    #[field(default = "just_resize")]
    pub resize_mode: ResizeMode,
}

/// A LoRA that was used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
pub struct LoRAMetadataField {
    /// The model.
    pub model: ModelIdentifierField,
    /// Its strength, or one a step.
    pub weight: f64,
}
