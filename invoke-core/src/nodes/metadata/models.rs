//! Models that a picture was made with, as far as they are installed.

use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{CUSTOM_LABEL, check_label, incoming, label};
use crate::{
    domain::shape::Shape,
    nodes::{
        Invoke, ModelQuery, NodeCx, NodeEntry, NodeError, entry,
        fields::{CLIPField, LoRAField, ModelIdentifierField, OneOrMany, UNetField, VAEField},
        models::{LoRALoaderOutput, SDXLLoRALoaderOutput, clip_of, unet_of, vae_of},
        outputs::VAEOutput,
    },
};

pub(super) const NODES: &[NodeEntry] = &[
    entry::<MetadataToModel>(),
    entry::<MetadataToSDXLModel>(),
    entry::<MetadataToVAE>(),
    entry::<MetadataToLoras>(),
    entry::<MetadataToSDXLLoras>(),
    entry::<MetadataToLorasCollection>(),
];

const MODEL_LABELS: Shape = Shape::Enum(&[CUSTOM_LABEL, "model"]);
const VAE_LABELS: Shape = Shape::Enum(&[CUSTOM_LABEL, "vae"]);

/// Key of the installed model that an entry names by key or by name.
fn installed(cx: &dyn NodeCx, entry: &Value, kind: &str) -> Result<Option<String>, NodeError> {
    if let Some(key) = entry["key"].as_str().filter(|key| !key.is_empty())
        && cx.model(key)?.is_some()
    {
        return Ok(Some(key.to_owned()));
    }
    for name in [&entry["name"], &entry["model_name"]].into_iter().filter_map(Value::as_str) {
        let found = cx.find_models(ModelQuery {
            name: Some(name),
            base: None,
            kind: Some(kind),
        })?;
        if let Some(key) = found.first().and_then(|record| record["key"].as_str()) {
            return Ok(Some(key.to_owned()));
        }
    }
    Ok(None)
}

/// An installed model by its key.
fn identified(cx: &dyn NodeCx, key: &str) -> Result<ModelIdentifierField, NodeError> {
    let found = cx
        .model(key)?
        .ok_or_else(|| NodeError::new("Exception", format!("Unknown model: {key}")))?;
    serde_json::from_value(found.record).map_err(NodeError::runtime)
}

/// The model under a label of the metadata; if that is not installed, the default.
pub(super) fn recorded(
    cx: &dyn NodeCx,
    metadata: &Map<String, Value>,
    label: &str,
    kind: &str,
    default: &str,
) -> Result<ModelIdentifierField, NodeError> {
    let key = metadata.get(label).map(|entry| installed(cx, entry, kind)).transpose()?.flatten();
    identified(cx, key.as_deref().unwrap_or(default))
}

/// The LoRAs under a key of the metadata that are installed; `labels` are the names of the model in an entry, the likeliest first.
fn loras(cx: &dyn NodeCx, key: &str, labels: &[&str]) -> Result<Vec<LoRAField>, NodeError> {
    let mut loras = Vec::new();
    for entry in incoming(cx).get(key).and_then(Value::as_array).into_iter().flatten() {
        let mut found = None;
        for label in labels {
            if found.is_none() {
                found = entry.get(*label).map(|model| installed(cx, model, "lora")).transpose()?.flatten();
            }
        }
        if let Some(key) = found {
            let weight = entry["weight"]
                .as_f64()
                .ok_or_else(|| NodeError::value(format!("the LoRA {key} has no weight in the metadata")))?;
            loras.push(LoRAField {
                lora: identified(cx, &key)?,
                weight,
            });
        }
    }
    Ok(loras)
}

fn add(loras: &mut Vec<LoRAField>, lora: &LoRAField) {
    if loras.iter().all(|other| other.lora.key != lora.lora.key) {
        loras.push(lora.clone());
    }
}

/// Parts of a Stable Diffusion model.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "metadata_to_model_output")]
struct MetadataToModelOutput {
    /// The model.
    model: ModelIdentifierField,
    /// Its base and name.
    name: String,
    /// The denoiser.
    unet: UNetField,
    /// The picture encoder and decoder.
    vae: VAEField,
    /// The text encoder.
    clip: CLIPField,
}

/// Parts of an SDXL model.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "metadata_to_sdxl_model_output")]
struct MetadataToSDXLModelOutput {
    /// The model.
    model: ModelIdentifierField,
    /// Its base and name.
    name: String,
    /// The denoiser.
    unet: UNetField,
    /// The text encoder.
    #[field(title = "CLIP 1")]
    clip: CLIPField,
    /// The second text encoder.
    clip2: CLIPField,
    /// The picture encoder and decoder.
    vae: VAEField,
}

/// LoRAs.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "metadata_to_lora_collection_output")]
struct MetadataToLorasCollectionOutput {
    /// The LoRAs.
    #[field(title = "LoRAs")]
    lora: Vec<LoRAField>,
}

/// The model that a picture was made with.
#[derive(Debug, Deserialize, Node)]
#[node(check = check_label, id = "metadata_to_model", title = "Metadata To Model", version = "1.3.0", category = "metadata", tags("metadata"), classification = Beta, metadata, output = MetadataToModelOutput)]
struct MetadataToModel {
    #[field(default = "model", shape = MODEL_LABELS, input = direct)]
    label: String,
    #[field(input = direct)]
    custom_label: Option<String>,
    #[field(model_type("main"))]
    default_value: ModelIdentifierField,
}

impl Invoke for MetadataToModel {
    fn invoke(self, cx: &dyn NodeCx) -> Result<MetadataToModelOutput, NodeError> {
        let label = label(self.label, self.custom_label);
        let model = recorded(cx, &incoming(cx), &label, "main", &self.default_value.key)?;
        let (unet, clip, vae) = (unet_of(&model), clip_of(&model, ""), vae_of(&model));
        Ok(MetadataToModelOutput {
            name: format!("{}: {}", model.base, model.name),
            model,
            unet,
            vae,
            clip,
        })
    }
}

/// The SDXL model that a picture was made with.
#[derive(Debug, Deserialize, Node)]
#[node(check = check_label, id = "metadata_to_sdxl_model", title = "Metadata To SDXL Model", version = "1.3.0", category = "metadata", tags("metadata"), classification = Beta, metadata, output = MetadataToSDXLModelOutput)]
struct MetadataToSDXLModel {
    #[field(default = "model", shape = MODEL_LABELS, input = direct)]
    label: String,
    #[field(input = direct)]
    custom_label: Option<String>,
    #[field(model_base("sdxl"), model_type("main"))]
    default_value: ModelIdentifierField,
}

impl Invoke for MetadataToSDXLModel {
    fn invoke(self, cx: &dyn NodeCx) -> Result<MetadataToSDXLModelOutput, NodeError> {
        let label = label(self.label, self.custom_label);
        let model = recorded(cx, &incoming(cx), &label, "main", &self.default_value.key)?;
        let (unet, clip, clip2, vae) = (unet_of(&model), clip_of(&model, ""), clip_of(&model, "_2"), vae_of(&model));
        Ok(MetadataToSDXLModelOutput {
            name: format!("{}: {}", model.base, model.name),
            model,
            unet,
            clip,
            clip2,
            vae,
        })
    }
}

/// The VAE that a picture was made with.
#[derive(Debug, Deserialize, Node)]
#[node(check = check_label, id = "metadata_to_vae", title = "Metadata To VAE", version = "1.2.1", category = "metadata", tags("metadata"), classification = Beta, metadata, output = VAEOutput)]
struct MetadataToVAE {
    #[field(default = "vae", shape = VAE_LABELS, input = direct)]
    label: String,
    #[field(input = direct)]
    custom_label: Option<String>,
    default_value: VAEField,
}

impl Invoke for MetadataToVAE {
    fn invoke(self, cx: &dyn NodeCx) -> Result<VAEOutput, NodeError> {
        let label = label(self.label, self.custom_label);
        let model = recorded(cx, &incoming(cx), &label, "vae", &self.default_value.vae.key)?;
        Ok(vae_of(&model).into())
    }
}

/// Applies the LoRAs that a picture was made with.
#[derive(Debug, Deserialize, Node)]
#[node(id = "metadata_to_loras", title = "Metadata To LoRAs", version = "1.1.1", category = "metadata", tags("metadata"), classification = Beta, metadata, output = LoRALoaderOutput)]
struct MetadataToLoras {
    #[field(input = connection)]
    unet: Option<UNetField>,
    #[field(input = connection)]
    clip: Option<CLIPField>,
}

impl Invoke for MetadataToLoras {
    fn invoke(self, cx: &dyn NodeCx) -> Result<LoRALoaderOutput, NodeError> {
        let mut output = LoRALoaderOutput {
            unet: self.unet,
            clip: self.clip,
        };
        for lora in loras(cx, "loras", &["model"])? {
            output.unet.iter_mut().for_each(|unet| add(&mut unet.loras, &lora));
            output.clip.iter_mut().for_each(|clip| add(&mut clip.loras, &lora));
        }
        Ok(output)
    }
}

/// Applies the LoRAs that a picture was made with to SDXL.
#[derive(Debug, Deserialize, Node)]
#[node(id = "metadata_to_sdlx_loras", title = "Metadata To SDXL LoRAs", version = "1.1.1", category = "metadata", tags("metadata"), classification = Beta, metadata, output = SDXLLoRALoaderOutput)]
struct MetadataToSDXLLoras {
    #[field(input = connection)]
    unet: Option<UNetField>,
    #[field(input = connection, title = "CLIP 1")]
    clip: Option<CLIPField>,
    #[field(input = connection)]
    clip2: Option<CLIPField>,
}

impl Invoke for MetadataToSDXLLoras {
    fn invoke(self, cx: &dyn NodeCx) -> Result<SDXLLoRALoaderOutput, NodeError> {
        let mut output = SDXLLoRALoaderOutput {
            unet: self.unet,
            clip: self.clip,
            clip2: self.clip2,
        };
        for lora in loras(cx, "loras", &["model"])? {
            output.unet.iter_mut().for_each(|unet| add(&mut unet.loras, &lora));
            output.clip.iter_mut().for_each(|clip| add(&mut clip.loras, &lora));
            output.clip2.iter_mut().for_each(|clip| add(&mut clip.loras, &lora));
        }
        Ok(output)
    }
}

/// The LoRAs that a picture was made with, behind those given.
#[derive(Debug, Deserialize, Node)]
#[node(id = "metadata_to_lora_collection", title = "Metadata To LoRA Collection", version = "1.1.0", category = "metadata", tags("metadata"), classification = Beta, metadata, output = MetadataToLorasCollectionOutput)]
struct MetadataToLorasCollection {
    #[field(default = "loras", input = direct)]
    custom_label: String,
    #[field(default = [])]
    loras: Option<OneOrMany<LoRAField>>,
}

impl Invoke for MetadataToLorasCollection {
    fn invoke(self, cx: &dyn NodeCx) -> Result<MetadataToLorasCollectionOutput, NodeError> {
        let key = self.custom_label.trim();
        let mut lora = Vec::new();
        self.loras
            .into_iter()
            .flat_map(OneOrMany::into_vec)
            .for_each(|given| add(&mut lora, &given));
        for recorded in loras(cx, if key.is_empty() { "loras" } else { key }, &["model", "lora"])? {
            add(&mut lora, &recorded);
        }
        Ok(MetadataToLorasCollectionOutput { lora })
    }
}
