//! What a generation was made with.

use invoke_macros::Node;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    recorded::{ControlNetMetadataField, IPAdapterMetadataField, LoRAMetadataField, T2IAdapterMetadataField},
    signed,
};
use crate::{
    domain::shape::Shape,
    graph::model::without_nulls,
    nodes::{Invoke, NodeCx, NodeEntry, NodeError, entry, fields::ModelIdentifierField, outputs::MetadataOutput},
};

pub(super) const NODES: &[NodeEntry] = &[entry::<CoreMetadata>()];

/// Kinds of generations.
const MODES: Shape = Shape::Enum(&[
    "txt2img",
    "img2img",
    "inpaint",
    "outpaint",
    "sdxl_txt2img",
    "sdxl_img2img",
    "sdxl_inpaint",
    "sdxl_outpaint",
    "flux_txt2img",
    "flux_img2img",
    "flux_inpaint",
    "flux_outpaint",
    "flux2_txt2img",
    "flux2_img2img",
    "flux2_inpaint",
    "flux2_outpaint",
    "sd3_txt2img",
    "sd3_img2img",
    "sd3_inpaint",
    "sd3_outpaint",
    "cogview4_txt2img",
    "cogview4_img2img",
    "cogview4_inpaint",
    "cogview4_outpaint",
    "z_image_txt2img",
    "z_image_img2img",
    "z_image_inpaint",
    "z_image_outpaint",
    "ernie_image_txt2img",
    "ideogram4_txt2img",
    "qwen_image_txt2img",
    "qwen_image_img2img",
    "qwen_image_inpaint",
    "qwen_image_outpaint",
    "anima_txt2img",
    "anima_img2img",
    "anima_inpaint",
    "anima_outpaint",
    "krea2_txt2img",
    "krea2_img2img",
    "krea2_inpaint",
    "krea2_outpaint",
    "wan_txt2img",
    "wan_img2img",
    "wan_inpaint",
    "wan_outpaint",
    "wan_i2v",
]);

/// Values of a node that are not recorded.
const ATTRIBUTES: [&str; 4] = ["id", "type", "is_intermediate", "use_cache"];

/// What a generation was made with.
#[derive(Debug, Deserialize, Serialize, Node)]
#[node(id = "core_metadata", title = "Core Metadata", version = "2.2.0", category = "metadata", tags("metadata"), classification = Internal, output = MetadataOutput)]
struct CoreMetadata {
    #[field(shape = MODES)]
    generation_mode: Option<String>,
    positive_prompt: Option<String>,
    negative_prompt: Option<String>,
    width: Option<i64>,
    height: Option<i64>,
    seed: Option<i64>,
    rand_device: Option<String>,
    cfg_scale: Option<f64>,
    cfg_rescale_multiplier: Option<f64>,
    steps: Option<i64>,
    scheduler: Option<String>,
    seamless_x: Option<bool>,
    seamless_y: Option<bool>,
    clip_skip: Option<i64>,
    model: Option<ModelIdentifierField>,
    controlnets: Option<Vec<ControlNetMetadataField>>,
    #[serde(rename = "ipAdapters")]
    ip_adapters: Option<Vec<IPAdapterMetadataField>>,
    #[serde(rename = "t2iAdapters")]
    t2i_adapters: Option<Vec<T2IAdapterMetadataField>>,
    loras: Option<Vec<LoRAMetadataField>>,
    strength: Option<f64>,
    init_image: Option<String>,
    vae: Option<ModelIdentifierField>,
    qwen3_encoder: Option<ModelIdentifierField>,
    mistral_encoder: Option<ModelIdentifierField>,
    ideogram4_caption: Option<String>,
    hrf_enabled: Option<bool>,
    hrf_method: Option<String>,
    hrf_strength: Option<f64>,
    positive_style_prompt: Option<String>,
    negative_style_prompt: Option<String>,
    refiner_model: Option<ModelIdentifierField>,
    refiner_cfg_scale: Option<f64>,
    refiner_steps: Option<i64>,
    refiner_scheduler: Option<String>,
    refiner_positive_aesthetic_score: Option<f64>,
    refiner_negative_aesthetic_score: Option<f64>,
    refiner_start: Option<f64>,
    /// Any other key.
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Invoke for CoreMetadata {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<MetadataOutput, NodeError> {
        let Value::Object(mut values) = without_nulls(serde_json::to_value(self).map_err(NodeError::runtime)?) else {
            unreachable!("a struct becomes an object")
        };
        values.retain(|key, _| !ATTRIBUTES.contains(&key.as_str()));
        Ok(signed(values))
    }
}
