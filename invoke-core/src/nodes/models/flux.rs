//! The parts of FLUX.1 and LoRAs on them.

use std::collections::HashSet;

use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize};

use super::clip_of;
use crate::{
    domain::shape::Shape,
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{
            CLIPField, ControlLoRAField, ImageField, LoRAField, ModelIdentifierField, OneOrMany, T5EncoderField, TransformerField, VAEField,
        },
    },
};

pub(in crate::nodes) const NODES: &[NodeEntry] = &[
    entry::<FluxModelLoader>(),
    entry::<FluxLoRALoader>(),
    entry::<FluxLoRACollectionLoader>(),
    entry::<FluxControlLoRALoader>(),
];

/// How many tokens of T5 a transformer takes.
const LENGTHS: Shape = Shape::IntEnum(&[256, 512]);

/// Parts of FLUX.1.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "flux_model_loader_output")]
struct FluxModelLoaderOutput {
    /// The transformer.
    transformer: TransformerField,
    /// The smaller text encoder, CLIP.
    clip: CLIPField,
    /// The larger text encoder, T5.
    t5_encoder: T5EncoderField,
    /// The picture encoder and decoder.
    vae: VAEField,
    /// How many tokens of T5 the transformer takes: 256 for schnell, 512 for dev.
    #[field(title = "Max Seq Length", shape = LENGTHS)]
    max_seq_len: i64,
}

/// What LoRAs were added to.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "flux_lora_loader_output")]
struct FluxLoRALoaderOutput {
    /// The transformer.
    #[field(default = null, title = "FLUX Transformer")]
    transformer: Option<TransformerField>,
    /// The smaller text encoder.
    #[field(default = null)]
    clip: Option<CLIPField>,
    /// The larger text encoder.
    #[field(default = null)]
    t5_encoder: Option<T5EncoderField>,
}

/// A LoRA that makes FLUX follow a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "flux_control_lora_loader_output")]
struct FluxControlLoRALoaderOutput {
    /// The LoRA, its strength and the picture.
    #[field(default = null, title = "Flux Control LoRA")]
    control_lora: ControlLoRAField,
}

impl FluxLoRALoaderOutput {
    /// The lists of LoRAs that are there, each with the name of what it belongs to.
    fn lists(&mut self) -> impl Iterator<Item = (&'static str, &mut Vec<LoRAField>)> {
        let transformer = self.transformer.iter_mut().map(|field| ("transformer", &mut field.loras));
        let clip = self.clip.iter_mut().map(|field| ("CLIP encoder", &mut field.loras));
        let t5 = self.t5_encoder.iter_mut().map(|field| ("T5 encoder", &mut field.loras));
        transformer.chain(clip).chain(t5)
    }
}

fn wrong(text: String) -> NodeError {
    NodeError::new("ValueError", text)
}

/// The parts of a FLUX.1 model.
#[derive(Debug, Deserialize, Node)]
#[node(id = "flux_model_loader", title = "Main Model - FLUX", version = "1.1.0", category = "model", tags("model", "flux"), output = FluxModelLoaderOutput)]
struct FluxModelLoader {
    #[field(model_base("flux"), model_type("main"))]
    model: ModelIdentifierField,
    #[field(title = "T5 Encoder", model_type("t5_encoder"))]
    t5_encoder_model: Option<ModelIdentifierField>,
    #[field(title = "CLIP Embed", model_type("clip_embed"))]
    clip_embed_model: Option<ModelIdentifierField>,
    #[field(title = "VAE", model_base("flux"), model_type("vae"))]
    vae_model: Option<ModelIdentifierField>,
}

/// How many tokens of T5 the transformer of this variant takes.
fn max_seq_len(variant: &str) -> Result<i64, NodeError> {
    match variant {
        "schnell" => Ok(256),
        "dev" | "dev_fill" => Ok(512),
        other => Err(wrong(format!("Unknown variant for FLUX max seq len: {other}"))),
    }
}

/// The names of T5's tokenizer and encoder inside a model of this base.
fn t5_parts(base: &str) -> Result<(&'static str, &'static str), NodeError> {
    match base {
        "any" | "flux" => Ok(("tokenizer_2", "text_encoder_2")),
        "sd-3" => Ok(("tokenizer_3", "text_encoder_3")),
        other => Err(wrong(format!("Unsupported model base: {other}"))),
    }
}

impl Invoke for FluxModelLoader {
    fn invoke(self, cx: &dyn NodeCx) -> Result<FluxModelLoaderOutput, NodeError> {
        let unknown = |key: &str| wrong(format!("Unknown model: {key}"));
        let main = cx.model(&self.model.key)?.ok_or_else(|| unknown(&self.model.key))?;
        for part in [&self.t5_encoder_model, &self.clip_embed_model, &self.vae_model]
            .into_iter()
            .flatten()
        {
            cx.model(&part.key)?.ok_or_else(|| unknown(&part.key))?;
        }
        let (t5, clip, vae) = match (self.t5_encoder_model, self.clip_embed_model, self.vae_model) {
            (Some(t5), Some(clip), Some(vae)) => (t5, clip, vae),
            (t5, clip, vae) => {
                let parts = [("T5 Encoder", t5.is_none()), ("CLIP Embed", clip.is_none()), ("VAE", vae.is_none())];
                let missing: Vec<&str> = parts.into_iter().filter(|(_, missing)| *missing).map(|(name, _)| name).collect();
                return Err(wrong(format!(
                    "The selected FLUX model does not ship its own {}, so {} must be selected explicitly.",
                    missing.join(", "),
                    if missing.len() == 1 { "it" } else { "they" },
                )));
            }
        };
        if main.record["format"] == "diffusers" {
            return Err(NodeError::new(
                "AssertionError",
                format!(
                    "Model {} is a folder of diffusers' layout; FLUX is loaded from single files",
                    self.model.name
                ),
            ));
        }
        let (tokenizer, text_encoder) = t5_parts(&t5.base)?;
        Ok(FluxModelLoaderOutput {
            transformer: TransformerField {
                transformer: self.model.part("transformer"),
                loras: Vec::new(),
            },
            clip: clip_of(&clip, ""),
            t5_encoder: T5EncoderField {
                tokenizer: t5.part(tokenizer),
                text_encoder: t5.part(text_encoder),
                loras: Vec::new(),
            },
            vae: VAEField {
                vae: vae.part("vae"),
                seamless_axes: Vec::new(),
            },
            max_seq_len: max_seq_len(main.record["variant"].as_str().unwrap_or_default())?,
        })
    }
}

/// Adds a LoRA to the parts of FLUX.1.
#[derive(Debug, Deserialize, Node)]
#[node(id = "flux_lora_loader", title = "Apply LoRA - FLUX", version = "1.2.1", category = "model", tags("lora", "model", "flux"), output = FluxLoRALoaderOutput)]
struct FluxLoRALoader {
    #[field(model_base("flux"), model_type("lora"))]
    lora: ModelIdentifierField,
    #[field(default = 0.75)]
    weight: f64,
    #[field(input = connection, title = "FLUX Transformer")]
    transformer: Option<TransformerField>,
    #[field(input = connection)]
    clip: Option<CLIPField>,
    #[field(input = connection)]
    t5_encoder: Option<T5EncoderField>,
}

impl Invoke for FluxLoRALoader {
    fn invoke(self, cx: &dyn NodeCx) -> Result<FluxLoRALoaderOutput, NodeError> {
        let key = &self.lora.key;
        if cx.model(key)?.is_none() {
            return Err(wrong(format!("Unknown lora: {key}!")));
        }
        let mut output = FluxLoRALoaderOutput {
            transformer: self.transformer,
            clip: self.clip,
            t5_encoder: self.t5_encoder,
        };
        for (name, loras) in output.lists() {
            if loras.iter().any(|other| other.lora.key == *key) {
                return Err(wrong(format!("LoRA \"{key}\" already applied to {name}.")));
            }
            loras.push(LoRAField {
                lora: self.lora.clone(),
                weight: self.weight,
            });
        }
        Ok(output)
    }
}

/// Adds LoRAs to the parts of FLUX.1.
#[derive(Debug, Deserialize, Node)]
#[node(id = "flux_lora_collection_loader", title = "Apply LoRA Collection - FLUX", version = "1.3.2", schema = "FLUXLoRACollectionLoader", category = "model", tags("lora", "model", "flux"), output = FluxLoRALoaderOutput)]
struct FluxLoRACollectionLoader {
    #[field(model_base("flux"), model_type("lora"))]
    loras: Option<OneOrMany<LoRAField>>,
    #[field(input = connection)]
    transformer: Option<TransformerField>,
    #[field(input = connection)]
    clip: Option<CLIPField>,
    #[field(input = connection)]
    t5_encoder: Option<T5EncoderField>,
}

impl Invoke for FluxLoRACollectionLoader {
    fn invoke(self, cx: &dyn NodeCx) -> Result<FluxLoRALoaderOutput, NodeError> {
        let mut output = FluxLoRALoaderOutput {
            transformer: self.transformer,
            clip: self.clip,
            t5_encoder: self.t5_encoder,
        };
        let mut added = HashSet::new();
        for lora in self.loras.map(OneOrMany::into_vec).unwrap_or_default() {
            let (key, base) = (&lora.lora.key, &lora.lora.base);
            if !added.insert(key.clone()) {
                continue;
            }
            if cx.model(key)?.is_none() {
                return Err(NodeError::new("Exception", format!("Unknown lora: {key}!")));
            }
            if base != "flux" {
                return Err(wrong(format!(
                    "LoRA '{key}' is for {base} models, not FLUX models. Ensure you are using a FLUX compatible LoRA."
                )));
            }
            output.lists().for_each(|(_, loras)| loras.push(lora.clone()));
        }
        Ok(output)
    }
}

/// Chooses a LoRA that makes FLUX follow a picture, and the picture.
#[derive(Debug, Deserialize, Node)]
#[node(id = "flux_control_lora_loader", title = "Control LoRA - FLUX", version = "1.1.1", category = "model", tags("lora", "model", "flux"), output = FluxControlLoRALoaderOutput)]
struct FluxControlLoRALoader {
    #[field(title = "Control LoRA", model_base("flux"), model_type("control_lora"))]
    lora: ModelIdentifierField,
    image: ImageField,
    #[field(default = 1.0)]
    weight: f64,
}

impl Invoke for FluxControlLoRALoader {
    fn invoke(self, cx: &dyn NodeCx) -> Result<FluxControlLoRALoaderOutput, NodeError> {
        if cx.model(&self.lora.key)?.is_none() {
            return Err(wrong(format!("Unknown lora: {}!", self.lora.key)));
        }
        Ok(FluxControlLoRALoaderOutput {
            control_lora: ControlLoRAField {
                lora: self.lora,
                weight: self.weight,
                img: self.image,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::nodes::testing::{TestCx, run_in};

    fn model(key: &str, kind: &str, base: &str) -> Value {
        json!({"key": key, "hash": "h", "name": key, "base": base, "type": kind, "submodel_type": null, "variant": key, "format": "checkpoint"})
    }

    fn cx() -> TestCx {
        let mut diffusers = model("folder", "main", "flux");
        diffusers["format"] = json!("diffusers");
        TestCx {
            models: vec![
                model("dev", "main", "flux"),
                model("schnell", "main", "flux"),
                model("dev_fill", "main", "flux"),
                model("t5", "t5_encoder", "any"),
                model("clip", "clip_embed", "any"),
                model("vae", "vae", "flux"),
                model("l", "lora", "flux"),
                model("sd", "lora", "sd-1"),
                diffusers,
            ],
            ..TestCx::default()
        }
    }

    fn identifier(key: &str, kind: &str, base: &str) -> Value {
        json!({"key": key, "hash": "h", "name": key, "base": base, "type": kind})
    }

    fn inputs(main: &str) -> Value {
        json!({
            "model": identifier(main, "main", "flux"), "t5_encoder_model": identifier("t5", "t5_encoder", "any"),
            "clip_embed_model": identifier("clip", "clip_embed", "any"), "vae_model": identifier("vae", "vae", "flux"),
        })
    }

    #[test]
    fn parts_come_from_the_models_that_are_named() {
        for (variant, length) in [("dev", 512), ("schnell", 256), ("dev_fill", 512)] {
            let output = run_in(&cx(), "flux_model_loader", inputs(variant)).unwrap();
            assert_eq!(output["max_seq_len"], length);
            let part = |value: &Value| (value["key"].clone(), value["submodel_type"].clone());
            assert_eq!(part(&output["transformer"]["transformer"]), (json!(variant), json!("transformer")));
            assert_eq!(part(&output["clip"]["tokenizer"]), (json!("clip"), json!("tokenizer")));
            assert_eq!(part(&output["clip"]["text_encoder"]), (json!("clip"), json!("text_encoder")));
            assert_eq!(part(&output["t5_encoder"]["tokenizer"]), (json!("t5"), json!("tokenizer_2")));
            assert_eq!(part(&output["t5_encoder"]["text_encoder"]), (json!("t5"), json!("text_encoder_2")));
            assert_eq!(part(&output["vae"]["vae"]), (json!("vae"), json!("vae")));
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let refused = |inputs: Value| run_in(&cx(), "flux_model_loader", inputs).unwrap_err().to_string();
        let without = |fields: &[&str]| {
            let mut inputs = inputs("dev");
            fields.iter().for_each(|field| inputs[*field] = Value::Null);
            refused(inputs)
        };
        assert_eq!(
            without(&["vae_model"]),
            "ValueError: The selected FLUX model does not ship its own VAE, so it must be selected explicitly."
        );
        assert_eq!(
            without(&["t5_encoder_model", "clip_embed_model"]),
            "ValueError: The selected FLUX model does not ship its own T5 Encoder, CLIP Embed, so they must be selected explicitly."
        );
        let mut unknown = inputs("dev");
        unknown["vae_model"]["key"] = json!("nothing");
        assert_eq!(refused(unknown), "ValueError: Unknown model: nothing");
        let mut odd = inputs("dev");
        odd["t5_encoder_model"]["base"] = json!("sd-1");
        assert_eq!(refused(odd), "ValueError: Unsupported model base: sd-1");
        assert!(refused(inputs("folder")).contains("single files"));
    }

    #[test]
    fn loras_are_added_to_what_is_there() {
        let loaded = run_in(&cx(), "flux_model_loader", inputs("dev")).unwrap();
        let lora = identifier("l", "lora", "flux");
        let all = json!({"lora": lora, "weight": 0.5, "transformer": loaded["transformer"], "clip": loaded["clip"], "t5_encoder": loaded["t5_encoder"]});
        let once = run_in(&cx(), "flux_lora_loader", all).unwrap();
        for part in ["transformer", "clip", "t5_encoder"] {
            assert_eq!(once[part]["loras"][0]["weight"], 0.5, "{part}");
            let twice = run_in(&cx(), "flux_lora_loader", json!({"lora": lora, part: once[part]})).unwrap_err();
            let name = if part == "transformer" {
                part.to_owned()
            } else {
                part.replace("clip", "CLIP encoder").replace("t5_encoder", "T5 encoder")
            };
            assert_eq!(twice.to_string(), format!("ValueError: LoRA \"l\" already applied to {name}."));
        }
        let bare = run_in(
            &cx(),
            "flux_lora_loader",
            json!({"lora": lora, "transformer": loaded["transformer"]}),
        )
        .unwrap();
        assert_eq!((&bare["clip"], &bare["t5_encoder"]), (&Value::Null, &Value::Null));
        let weighed = json!({"lora": lora, "weight": 1.0});
        let several = run_in(
            &cx(),
            "flux_lora_collection_loader",
            json!({"loras": [weighed, weighed], "transformer": loaded["transformer"]}),
        )
        .unwrap();
        assert_eq!(several["transformer"]["loras"].as_array().unwrap().len(), 1);
        let refused = |key: &str, base: &str| {
            let lora = json!({"lora": identifier(key, "lora", base), "weight": 1.0});
            run_in(&cx(), "flux_lora_collection_loader", json!({"loras": lora}))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(refused("x", "flux"), "Exception: Unknown lora: x!");
        assert_eq!(
            refused("sd", "sd-1"),
            "ValueError: LoRA 'sd' is for sd-1 models, not FLUX models. Ensure you are using a FLUX compatible LoRA."
        );
    }

    #[test]
    fn a_control_lora_is_packed_with_its_picture() {
        let inputs = |key: &str| json!({"lora": identifier(key, "control_lora", "flux"), "image": {"image_name": "a.png"}, "weight": 0.5});
        let output = run_in(&cx(), "flux_control_lora_loader", inputs("l")).unwrap();
        let field = &output["control_lora"];
        assert_eq!(
            (&field["img"]["image_name"], &field["weight"], &field["lora"]["key"]),
            (&json!("a.png"), &json!(0.5), &json!("l"))
        );
        let error = run_in(&cx(), "flux_control_lora_loader", inputs("x")).unwrap_err();
        assert_eq!(error.to_string(), "ValueError: Unknown lora: x!");
    }
}
