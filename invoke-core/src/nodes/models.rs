//! Choosing models and what is applied to them. Nothing is loaded here: the fields name what later nodes load.

mod flux;
mod lora;

use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize};

pub use lora::{LoRALoaderOutput, SDXLLoRALoaderOutput};

use super::{
    Invoke, NodeCx, NodeEntry, NodeError, entry,
    fields::{CLIPField, FreeUConfig, ModelIdentifierField, UNetField, VAEField},
    outputs::{UNetOutput, VAEOutput},
};

pub(super) const NODES: &[NodeEntry] = &[
    entry::<MainModelLoader>(),
    entry::<SDXLModelLoader>(),
    entry::<SDXLRefinerModelLoader>(),
    entry::<VAELoader>(),
    entry::<ModelIdentifier>(),
    entry::<CLIPSkip>(),
    entry::<SeamlessMode>(),
    entry::<FreeU>(),
];
pub(super) use {flux::NODES as FLUX_NODES, lora::NODES as LORA_NODES};

/// Parts of a Stable Diffusion model.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "model_loader_output")]
pub struct ModelLoaderOutput {
    /// The picture encoder and decoder.
    pub vae: VAEField,
    /// The text encoder.
    pub clip: CLIPField,
    /// The denoiser.
    pub unet: UNetField,
}

/// Parts of an SDXL model.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "sdxl_model_loader_output")]
pub struct SDXLModelLoaderOutput {
    /// The denoiser.
    pub unet: UNetField,
    /// The text encoder.
    #[field(title = "CLIP 1")]
    pub clip: CLIPField,
    /// The second text encoder.
    pub clip2: CLIPField,
    /// The picture encoder and decoder.
    pub vae: VAEField,
}

/// Parts of an SDXL refiner.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "sdxl_refiner_model_loader_output")]
pub struct SDXLRefinerModelLoaderOutput {
    /// The denoiser.
    pub unet: UNetField,
    /// The second text encoder.
    pub clip2: CLIPField,
    /// The picture encoder and decoder.
    pub vae: VAEField,
}

/// A text encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "clip_skip_output")]
pub struct CLIPSkipInvocationOutput {
    /// The text encoder.
    #[field(default = null)]
    pub clip: Option<CLIPField>,
}

/// What tiles.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "seamless_output")]
pub struct SeamlessModeOutput {
    /// The denoiser.
    #[field(default = null)]
    pub unet: Option<UNetField>,
    /// The picture encoder and decoder.
    #[field(default = null)]
    pub vae: Option<VAEField>,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "model_identifier_output")]
pub struct ModelIdentifierOutput {
    /// The model.
    pub model: ModelIdentifierField,
}

/// The denoiser of a model.
pub(super) fn unet_of(model: &ModelIdentifierField) -> UNetField {
    UNetField {
        unet: model.part("unet"),
        scheduler: model.part("scheduler"),
        loras: Vec::new(),
        seamless_axes: Vec::new(),
        freeu_config: None,
    }
}

/// A text encoder of a model; `suffix` is `_2` for the second.
pub(super) fn clip_of(model: &ModelIdentifierField, suffix: &str) -> CLIPField {
    let (tokenizer, text_encoder) = (
        model.part(&format!("tokenizer{suffix}")),
        model.part(&format!("text_encoder{suffix}")),
    );
    CLIPField {
        tokenizer,
        text_encoder,
        skipped_layers: 0,
        loras: Vec::new(),
    }
}

/// The picture encoder and decoder of a model.
pub(super) fn vae_of(model: &ModelIdentifierField) -> VAEField {
    VAEField {
        vae: model.part("vae"),
        seamless_axes: Vec::new(),
    }
}

fn known(cx: &dyn NodeCx, model: &ModelIdentifierField, text: &str) -> Result<(), NodeError> {
    match cx.model(&model.key)? {
        Some(_) => Ok(()),
        None => Err(NodeError::new("Exception", format!("{text}{}", model.key))),
    }
}

/// The parts of a Stable Diffusion 1 or 2 model.
#[derive(Debug, Deserialize, Node)]
#[node(id = "main_model_loader", title = "Main Model - SD1.5, SD2", version = "1.0.4", category = "model", tags("model"), output = ModelLoaderOutput)]
struct MainModelLoader {
    #[field(model_base("sd-1", "sd-2"), model_type("main"))]
    model: ModelIdentifierField,
}

impl Invoke for MainModelLoader {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ModelLoaderOutput, NodeError> {
        known(cx, &self.model, "Unknown model ")?;
        Ok(ModelLoaderOutput {
            unet: unet_of(&self.model),
            clip: clip_of(&self.model, ""),
            vae: vae_of(&self.model),
        })
    }
}

/// The parts of an SDXL model.
#[derive(Debug, Deserialize, Node)]
#[node(id = "sdxl_model_loader", title = "Main Model - SDXL", version = "1.0.4", category = "model", tags("model", "sdxl"), output = SDXLModelLoaderOutput)]
struct SDXLModelLoader {
    #[field(model_base("sdxl"), model_type("main"))]
    model: ModelIdentifierField,
}

impl Invoke for SDXLModelLoader {
    fn invoke(self, cx: &dyn NodeCx) -> Result<SDXLModelLoaderOutput, NodeError> {
        known(cx, &self.model, "Unknown model: ")?;
        let (clip, clip2) = (clip_of(&self.model, ""), clip_of(&self.model, "_2"));
        Ok(SDXLModelLoaderOutput {
            unet: unet_of(&self.model),
            clip,
            clip2,
            vae: vae_of(&self.model),
        })
    }
}

/// The parts of an SDXL refiner.
#[derive(Debug, Deserialize, Node)]
#[node(id = "sdxl_refiner_model_loader", title = "Refiner Model - SDXL", version = "1.0.4", category = "model", tags("model", "sdxl", "refiner"), output = SDXLRefinerModelLoaderOutput)]
struct SDXLRefinerModelLoader {
    #[field(model_base("sdxl-refiner"), model_type("main"))]
    model: ModelIdentifierField,
}

impl Invoke for SDXLRefinerModelLoader {
    fn invoke(self, cx: &dyn NodeCx) -> Result<SDXLRefinerModelLoaderOutput, NodeError> {
        known(cx, &self.model, "Unknown model: ")?;
        Ok(SDXLRefinerModelLoaderOutput {
            unet: unet_of(&self.model),
            clip2: clip_of(&self.model, "_2"),
            vae: vae_of(&self.model),
        })
    }
}

/// A VAE of its own.
#[derive(Debug, Deserialize, Node)]
#[node(id = "vae_loader", title = "VAE Model - SD1.5, SD2, SDXL, SD3, FLUX", version = "1.0.4", category = "model", tags("vae", "model"), output = VAEOutput)]
struct VAELoader {
    #[field(title = "VAE", model_base("sd-1", "sd-2", "sdxl", "sd-3", "flux", "flux2"), model_type("vae"))]
    vae_model: ModelIdentifierField,
}

impl Invoke for VAELoader {
    fn invoke(self, cx: &dyn NodeCx) -> Result<VAEOutput, NodeError> {
        if cx.model(&self.vae_model.key)?.is_none() {
            return Err(NodeError::new("Exception", format!("Unknown vae: {}!", self.vae_model.key)));
        }
        Ok(VAEField {
            vae: self.vae_model,
            seamless_axes: Vec::new(),
        }
        .into())
    }
}

/// Any model.
#[derive(Debug, Deserialize, Node)]
#[node(id = "model_identifier", title = "Any Model", version = "1.0.1", category = "model", tags("model"), output = ModelIdentifierOutput)]
struct ModelIdentifier {
    model: ModelIdentifierField,
}

impl Invoke for ModelIdentifier {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ModelIdentifierOutput, NodeError> {
        known(cx, &self.model, "Unknown model ")?;
        Ok(ModelIdentifierOutput { model: self.model })
    }
}

/// Leaves out last layers of a text encoder.
#[derive(Debug, Deserialize, Node)]
#[node(id = "clip_skip", title = "Apply CLIP Skip - SD1.5, SDXL", version = "1.1.1", category = "prompt", tags("clipskip", "clip", "skip"), output = CLIPSkipInvocationOutput)]
struct CLIPSkip {
    #[field(input = connection)]
    clip: CLIPField,
    #[field(default = 0, ge = 0)]
    skipped_layers: i64,
}

impl Invoke for CLIPSkip {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<CLIPSkipInvocationOutput, NodeError> {
        let mut clip = self.clip;
        clip.skipped_layers += self.skipped_layers;
        Ok(CLIPSkipInvocationOutput { clip: Some(clip) })
    }
}

/// Makes pictures tile.
#[derive(Debug, Deserialize, Node)]
#[node(id = "seamless", title = "Apply Seamless - SD1.5, SDXL", version = "1.0.2", category = "model", tags("seamless", "model"), output = SeamlessModeOutput)]
struct SeamlessMode {
    #[field(input = connection)]
    unet: Option<UNetField>,
    #[field(input = connection)]
    vae: Option<VAEField>,
    #[field(default = true)]
    seamless_y: bool,
    #[field(default = true)]
    seamless_x: bool,
}

impl Invoke for SeamlessMode {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<SeamlessModeOutput, NodeError> {
        let axes = [("x", self.seamless_x), ("y", self.seamless_y)];
        let seamless_axes: Vec<String> = axes
            .into_iter()
            .filter(|(_, wanted)| *wanted)
            .map(|(axis, _)| axis.to_owned())
            .collect();
        let unet = self.unet.map(|unet| UNetField {
            seamless_axes: seamless_axes.clone(),
            ..unet
        });
        let vae = self.vae.map(|vae| VAEField { seamless_axes, ..vae });
        Ok(SeamlessModeOutput { unet, vae })
    }
}

/// Applies FreeU to a denoiser.
#[derive(Debug, Deserialize, Node)]
#[node(id = "freeu", title = "Apply FreeU - SD1.5, SDXL", version = "1.0.2", category = "model", tags("freeu"), output = UNetOutput)]
struct FreeU {
    #[field(input = connection)]
    unet: UNetField,
    #[field(default = 1.2, ge = -1, le = 3)]
    b1: f64,
    #[field(default = 1.4, ge = -1, le = 3)]
    b2: f64,
    #[field(default = 0.9, ge = -1, le = 3)]
    s1: f64,
    #[field(default = 0.2, ge = -1, le = 3)]
    s2: f64,
}

impl Invoke for FreeU {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<UNetOutput, NodeError> {
        let freeu_config = Some(FreeUConfig {
            s1: self.s1,
            s2: self.s2,
            b1: self.b1,
            b2: self.b2,
        });
        Ok(UNetField { freeu_config, ..self.unet }.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::nodes::testing::{TestCx, run_in};

    fn model(key: &str, kind: &str) -> Value {
        json!({"key": key, "hash": "h", "name": key, "base": "sd-1", "type": kind, "submodel_type": null})
    }

    fn cx() -> TestCx {
        TestCx {
            models: vec![model("m", "main"), model("l", "lora")],
            ..TestCx::default()
        }
    }

    #[test]
    fn parts_of_a_model() {
        let output = run_in(&cx(), "main_model_loader", json!({"model": model("m", "main")})).unwrap();
        assert_eq!(output["unet"]["unet"]["submodel_type"], "unet");
        assert_eq!(output["unet"]["scheduler"]["submodel_type"], "scheduler");
        assert_eq!(output["clip"]["text_encoder"]["submodel_type"], "text_encoder");
        assert_eq!(output["clip"]["skipped_layers"], 0);
        assert_eq!(output["vae"]["vae"]["submodel_type"], "vae");
        assert_eq!(
            run_in(&cx(), "sdxl_model_loader", json!({"model": model("m", "main")})).unwrap()["clip2"]["tokenizer"]["submodel_type"],
            "tokenizer_2"
        );
        let error = run_in(&cx(), "main_model_loader", json!({"model": model("x", "main")})).unwrap_err();
        assert_eq!(error.to_string(), "Exception: Unknown model x");
    }

    #[test]
    fn what_is_applied_adds_up() {
        let loaded = run_in(&cx(), "main_model_loader", json!({"model": model("m", "main")})).unwrap();
        let skipped = run_in(&cx(), "clip_skip", json!({"clip": loaded["clip"], "skipped_layers": 2})).unwrap();
        let skipped = run_in(&cx(), "clip_skip", json!({"clip": skipped["clip"], "skipped_layers": 1})).unwrap();
        assert_eq!(skipped["clip"]["skipped_layers"], 3);
        let inputs = json!({"lora": model("l", "lora"), "weight": 0.5, "unet": loaded["unet"], "clip": loaded["clip"]});
        let once = run_in(&cx(), "lora_loader", inputs.clone()).unwrap();
        assert_eq!(once["unet"]["loras"][0]["weight"], 0.5);
        let twice = run_in(&cx(), "lora_loader", json!({"lora": model("l", "lora"), "unet": once["unet"]})).unwrap_err();
        assert_eq!(twice.to_string(), "Exception: LoRA \"l\" already applied to unet");
        let lora = json!({"lora": model("l", "lora"), "weight": 1.0});
        let several = run_in(
            &cx(),
            "lora_collection_loader",
            json!({"loras": [lora, lora], "unet": loaded["unet"]}),
        )
        .unwrap();
        assert_eq!(
            (several["unet"]["loras"].as_array().unwrap().len(), &several["clip"]),
            (1, &Value::Null)
        );
        let tiled = run_in(&cx(), "seamless", json!({"unet": loaded["unet"], "seamless_x": false})).unwrap();
        assert_eq!((&tiled["unet"]["seamless_axes"], &tiled["vae"]), (&json!(["y"]), &Value::Null));
        let freed = run_in(&cx(), "freeu", json!({"unet": loaded["unet"], "b1": 1.1})).unwrap();
        assert_eq!(freed["unet"]["freeu_config"], json!({"s1": 0.9, "s2": 0.2, "b1": 1.1, "b2": 1.4}));
    }
}
