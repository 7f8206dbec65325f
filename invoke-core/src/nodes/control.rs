//! Pictures that steer the denoiser. Nothing is computed here: the fields say what the denoiser is to do.

use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Invoke, ModelQuery, NodeCx, NodeEntry, NodeError, entry,
    fields::{
        ControlField, ControlMode, IPAdapterField, IPAdapterMethod, ImageField, ModelIdentifierField, OneOrMany, ResizeMode,
        T2IAdapterField, TensorField,
    },
    metadata::recorded::{ClipVision, IPAdapterMetadataField},
};
use crate::{domain::shape::choices, graph::meta::BrokenRule};

pub(super) const NODES: &[NodeEntry] = &[entry::<ControlNet>(), entry::<T2IAdapter>(), entry::<IPAdapter>()];

/// A ControlNet with its picture.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "control_output")]
pub struct ControlOutput {
    /// The ControlNet.
    pub control: ControlField,
}

/// An IP-Adapter with its pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "ip_adapter_output")]
pub struct IPAdapterOutput {
    /// The IP-Adapter.
    #[field(title = "IP-Adapter")]
    pub ip_adapter: IPAdapterField,
}

/// A T2I-Adapter with its picture.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "t2i_adapter_output")]
pub struct T2IAdapterOutput {
    /// The T2I-Adapter.
    pub t2i_adapter: T2IAdapterField,
}

fn check_control(values: &Map<String, Value>) -> Result<(), BrokenRule> {
    weights(values, "control_weight")?;
    steps(values)
}

fn check_adapter(values: &Map<String, Value>) -> Result<(), BrokenRule> {
    weights(values, "weight")?;
    steps(values)
}

fn check_t2i_adapter(values: &Map<String, Value>) -> Result<(), BrokenRule> {
    if values.get("weight").and_then(Value::as_f64).is_some_and(|weight| weight < 0.0) {
        return Err(BrokenRule::of("weight", "Input should be greater than or equal to 0"));
    }
    check_adapter(values)
}

fn weights(values: &Map<String, Value>, field: &'static str) -> Result<(), BrokenRule> {
    let fine = |weight: &Value| weight.as_f64().is_none_or(|weight| (-1.0..=2.0).contains(&weight));
    let all_fine = match values.get(field) {
        Some(Value::Array(weights)) => weights.iter().all(fine),
        Some(weight) => fine(weight),
        None => true,
    };
    if all_fine {
        Ok(())
    } else {
        Err(BrokenRule::of(field, "Control weights must be within -1 to 2 range"))
    }
}

fn steps(values: &Map<String, Value>) -> Result<(), BrokenRule> {
    let number = |field: &str| values.get(field).and_then(Value::as_f64);
    match (number("begin_step_percent"), number("end_step_percent")) {
        (Some(begin), Some(end)) if begin > end => Err(BrokenRule::of_all(
            "Begin step percent must be less than or equal to end step percent",
        )),
        _ => Ok(()),
    }
}

/// A ControlNet with its picture.
#[derive(Debug, Deserialize, Node)]
#[node(id = "controlnet", check = check_control, title = "ControlNet - SD1.5, SD2, SDXL", version = "1.1.3", category = "conditioning", tags("controlnet"), output = ControlOutput)]
struct ControlNet {
    image: ImageField,
    #[field(model_base("sd-1", "sd-2", "sdxl"), model_type("controlnet"))]
    control_model: ModelIdentifierField,
    #[field(default = 1.0)]
    control_weight: OneOrMany<f64>,
    #[field(default = 0, ge = 0, le = 1)]
    begin_step_percent: f64,
    #[field(default = 1, ge = 0, le = 1)]
    end_step_percent: f64,
    #[field(default = "balanced")]
    control_mode: ControlMode,
    #[field(default = "just_resize")]
    resize_mode: ResizeMode,
}

impl Invoke for ControlNet {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<ControlOutput, NodeError> {
        let control = ControlField {
            image: self.image,
            control_model: self.control_model,
            control_weight: self.control_weight,
            begin_step_percent: self.begin_step_percent,
            end_step_percent: self.end_step_percent,
            control_mode: self.control_mode,
            resize_mode: self.resize_mode,
        };
        Ok(ControlOutput { control })
    }
}

/// A T2I-Adapter with its picture.
#[derive(Debug, Deserialize, Node)]
#[node(id = "t2i_adapter", check = check_t2i_adapter, title = "T2I-Adapter - SD1.5, SDXL", version = "1.0.4", category = "conditioning", tags("t2i_adapter", "control"), output = T2IAdapterOutput)]
struct T2IAdapter {
    image: ImageField,
    #[field(title = "T2I-Adapter Model", order = -1, model_base("sd-1", "sdxl"), model_type("t2i_adapter"))]
    t2i_adapter_model: ModelIdentifierField,
    #[field(default = 1)]
    weight: OneOrMany<f64>,
    #[field(default = 0, ge = 0, le = 1)]
    begin_step_percent: f64,
    #[field(default = 1, ge = 0, le = 1)]
    end_step_percent: f64,
    #[field(default = "just_resize")]
    resize_mode: ResizeMode,
}

impl Invoke for T2IAdapter {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<T2IAdapterOutput, NodeError> {
        let t2i_adapter = T2IAdapterField {
            image: self.image,
            t2i_adapter_model: self.t2i_adapter_model,
            weight: self.weight,
            begin_step_percent: self.begin_step_percent,
            end_step_percent: self.end_step_percent,
            resize_mode: self.resize_mode,
        };
        Ok(T2IAdapterOutput { t2i_adapter })
    }
}

choices! {
    /// Encoders of pictures.
    enum IPAdapterClipVisionModel { ViTH = "ViT-H", ViTG = "ViT-G", ViTL = "ViT-L" }
}

/// An IP-Adapter with its pictures.
#[derive(Debug, Deserialize, Node)]
#[node(id = "ip_adapter", check = check_adapter, title = "IP-Adapter - SD1.5, SDXL", version = "1.5.1", category = "conditioning", tags("ip_adapter", "control"), output = IPAdapterOutput)]
struct IPAdapter {
    #[field(order = 1)]
    image: OneOrMany<ImageField>,
    #[field(title = "IP-Adapter Model", order = -1, model_base("sd-1", "sdxl"), model_type("ip_adapter"))]
    ip_adapter_model: ModelIdentifierField,
    #[field(default = "ViT-H", order = 2)]
    clip_vision_model: IPAdapterClipVisionModel,
    #[field(default = 1)]
    weight: OneOrMany<f64>,
    #[field(default = "full")]
    method: IPAdapterMethod,
    #[field(default = 0, ge = 0, le = 1)]
    begin_step_percent: f64,
    #[field(default = 1, ge = 0, le = 1)]
    end_step_percent: f64,
    mask: Option<TensorField>,
}

impl Invoke for IPAdapter {
    fn invoke(self, cx: &dyn NodeCx) -> Result<IPAdapterOutput, NodeError> {
        let unknown = || {
            NodeError::new(
                "UnknownModelException",
                format!("No model with key '{}' found", self.ip_adapter_model.key),
            )
        };
        let record = cx.model(&self.ip_adapter_model.key)?.ok_or_else(unknown)?.record;
        let encoder = match record["image_encoder_model_id"].as_str() {
            Some(id) => id.rsplit('/').next().unwrap_or(id).trim(),
            None => self.clip_vision_model.encoder(),
        };
        let query = ModelQuery {
            name: Some(encoder),
            base: Some("any"),
            kind: Some("clip_vision"),
        };
        let encoders = cx.find_models(query)?;
        let missing = || {
            NodeError::new(
                "UnknownModelException",
                format!("the image encoder {encoder} of this IP-Adapter is not installed"),
            )
        };
        let image_encoder_model = serde_json::from_value(encoders.into_iter().next().ok_or_else(missing)?).map_err(NodeError::runtime)?;
        let target_blocks = blocks(self.method, record["base"].as_str().unwrap_or_default())?;
        let ip_adapter = IPAdapterField {
            image: self.image,
            ip_adapter_model: self.ip_adapter_model,
            image_encoder_model,
            weight: self.weight,
            target_blocks: target_blocks.iter().map(|block| (*block).to_owned()).collect(),
            method: self.method.as_str().to_owned(),
            begin_step_percent: self.begin_step_percent,
            end_step_percent: self.end_step_percent,
            mask: self.mask,
        };
        Ok(IPAdapterOutput { ip_adapter })
    }
}

/// An IP-Adapter as metadata records it; as InvokeAI recalls it, it takes over everything.
pub(super) fn recorded_ip_adapter(cx: &dyn NodeCx, recorded: IPAdapterMetadataField) -> Result<IPAdapterField, NodeError> {
    let node = IPAdapter {
        image: OneOrMany::One(recorded.image),
        ip_adapter_model: recorded.ip_adapter_model,
        clip_vision_model: match recorded.clip_vision_model {
            ClipVision::ViTL => IPAdapterClipVisionModel::ViTL,
            ClipVision::ViTH => IPAdapterClipVisionModel::ViTH,
            ClipVision::ViTG => IPAdapterClipVisionModel::ViTG,
        },
        weight: recorded.weight,
        method: IPAdapterMethod::Full,
        begin_step_percent: recorded.begin_step_percent,
        end_step_percent: recorded.end_step_percent,
        mask: None,
    };
    node.invoke(cx).map(|output| output.ip_adapter)
}

impl IPAdapterClipVisionModel {
    /// Name of the installed model.
    const fn encoder(self) -> &'static str {
        match self {
            Self::ViTH => "IP Adapter SD1.5 Image Encoder",
            Self::ViTG => "IP Adapter SDXL Image Encoder",
            Self::ViTL => "clip-vit-large-patch14",
        }
    }
}

impl IPAdapterMethod {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Style => "style",
            Self::Composition => "composition",
            Self::StyleStrong => "style_strong",
            Self::StylePrecise => "style_precise",
        }
    }
}

/// Blocks of the denoiser that a method acts on.
fn blocks(method: IPAdapterMethod, base: &str) -> Result<&'static [&'static str], NodeError> {
    use IPAdapterMethod::{Composition, Full, Style, StylePrecise, StyleStrong};
    Ok(match (method, base) {
        (Full, _) => &["block"],
        (Style, "sd-1") => &["up_blocks.1"],
        (Style, "sdxl") => &["up_blocks.0.attentions.1"],
        (Composition, "sd-1") => &["down_blocks.2", "mid_block"],
        (Composition, "sdxl") => &["down_blocks.2.attentions.1"],
        (StylePrecise, "sd-1") => &["up_blocks.1", "down_blocks.2", "mid_block"],
        (StylePrecise, "sdxl") => &["up_blocks.0.attentions.1", "down_blocks.2.attentions.1"],
        (StyleStrong, "sd-1") => &["up_blocks.0", "up_blocks.1", "up_blocks.2", "down_blocks.0", "down_blocks.1"],
        (StyleStrong, "sdxl") => &[
            "up_blocks.0.attentions.1",
            "up_blocks.1.attentions.1",
            "up_blocks.2.attentions.1",
            "up_blocks.0.attentions.2",
            "up_blocks.1.attentions.2",
            "up_blocks.2.attentions.2",
            "up_blocks.0.attentions.0",
            "up_blocks.1.attentions.0",
            "up_blocks.2.attentions.0",
            "down_blocks.0.attentions.0",
            "down_blocks.0.attentions.1",
            "down_blocks.0.attentions.2",
            "down_blocks.1.attentions.0",
            "down_blocks.1.attentions.1",
            "down_blocks.1.attentions.2",
            "down_blocks.2.attentions.0",
            "down_blocks.2.attentions.2",
        ],
        _ => return Err(NodeError::value(format!("Unsupported IP-Adapter base type: '{base}'."))),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::nodes::testing::{TestCx, run_in};

    fn values(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn rules() {
        assert_eq!(
            check_control(&values(
                json!({"control_weight": [0.5, 2.0], "begin_step_percent": 0, "end_step_percent": 1})
            )),
            Ok(())
        );
        assert_eq!(
            check_control(&values(json!({"control_weight": 2.5}))).unwrap_err().field,
            Some("control_weight")
        );
        assert_eq!(
            check_adapter(&values(json!({"weight": 1, "begin_step_percent": 0.6, "end_step_percent": 0.5})))
                .unwrap_err()
                .field,
            None
        );
    }

    #[test]
    fn an_ip_adapter_finds_its_encoder_and_blocks() {
        let adapter = json!({"key": "a", "hash": "h", "name": "a", "base": "sd-1", "type": "ip_adapter", "submodel_type": null});
        let encoder = json!({"key": "e", "hash": "h", "name": "ip_adapter_sd_image_encoder", "base": "any", "type": "clip_vision", "submodel_type": null});
        let mut record = adapter.clone();
        record["image_encoder_model_id"] = json!("someone/ip_adapter_sd_image_encoder");
        let cx = TestCx {
            models: vec![record, encoder],
            ..TestCx::default()
        };
        let inputs = json!({"image": {"image_name": "a.png"}, "ip_adapter_model": adapter, "method": "style_precise"});
        let output = run_in(&cx, "ip_adapter", inputs).unwrap();
        assert_eq!(output["ip_adapter"]["image_encoder_model"]["key"], "e");
        assert_eq!(
            output["ip_adapter"]["target_blocks"],
            json!(["up_blocks.1", "down_blocks.2", "mid_block"])
        );
    }
}
