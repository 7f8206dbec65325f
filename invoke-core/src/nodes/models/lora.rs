//! LoRAs.

use std::collections::HashSet;

use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize};

use crate::nodes::{
    Invoke, NodeCx, NodeEntry, NodeError, entry,
    fields::{CLIPField, LoRAField, ModelIdentifierField, OneOrMany, UNetField},
};

pub(in crate::nodes) const NODES: &[NodeEntry] = &[
    entry::<LoRASelector>(),
    entry::<LoRALoader>(),
    entry::<LoRACollectionLoader>(),
    entry::<SDXLLoRALoader>(),
    entry::<SDXLLoRACollectionLoader>(),
];

/// What LoRAs were added to.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "lora_loader_output")]
pub struct LoRALoaderOutput {
    /// The denoiser.
    #[field(default = null)]
    pub unet: Option<UNetField>,
    /// The text encoder.
    #[field(default = null)]
    pub clip: Option<CLIPField>,
}

/// What LoRAs were added to.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "sdxl_lora_loader_output")]
pub struct SDXLLoRALoaderOutput {
    /// The denoiser.
    #[field(default = null)]
    pub unet: Option<UNetField>,
    /// The text encoder.
    #[field(default = null, title = "CLIP 1")]
    pub clip: Option<CLIPField>,
    /// The second text encoder.
    #[field(default = null)]
    pub clip2: Option<CLIPField>,
}

/// A LoRA and its strength.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "lora_selector_output")]
struct LoRASelectorOutput {
    /// The LoRA.
    lora: LoRAField,
}

fn known_lora(cx: &dyn NodeCx, lora: &ModelIdentifierField) -> Result<(), NodeError> {
    match cx.model(&lora.key)? {
        Some(_) => Ok(()),
        None => Err(NodeError::new("Exception", format!("Unknown lora: {}!", lora.key))),
    }
}

/// The LoRAs of a collection, each once, all of them known and for one of these bases.
fn collected(cx: &dyn NodeCx, loras: Option<OneOrMany<LoRAField>>, bases: &[&str]) -> Result<Vec<LoRAField>, NodeError> {
    let mut seen = HashSet::new();
    let mut loras = loras.map(OneOrMany::into_vec).unwrap_or_default();
    loras.retain(|lora| seen.insert(lora.lora.key.clone()));
    for LoRAField { lora, .. } in &loras {
        known_lora(cx, lora)?;
        if !bases.contains(&lora.base.as_str()) {
            return Err(NodeError::new(
                "AssertionError",
                format!("LoRA {} is for models of base {}", lora.name, lora.base),
            ));
        }
    }
    Ok(loras)
}

fn add(loras: &mut Vec<LoRAField>, lora: &LoRAField, target: &str) -> Result<(), NodeError> {
    if loras.iter().any(|other| other.lora.key == lora.lora.key) {
        return Err(NodeError::new(
            "Exception",
            format!("LoRA \"{}\" already applied to {target}", lora.lora.key),
        ));
    }
    loras.push(lora.clone());
    Ok(())
}

/// A LoRA and its strength.
#[derive(Debug, Deserialize, Node)]
#[node(id = "lora_selector", title = "Select LoRA", version = "1.0.3", category = "model", tags("model"), output = LoRASelectorOutput)]
struct LoRASelector {
    #[field(model_type("lora"))]
    lora: ModelIdentifierField,
    #[field(default = 0.75)]
    weight: f64,
}

impl Invoke for LoRASelector {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<LoRASelectorOutput, NodeError> {
        Ok(LoRASelectorOutput {
            lora: LoRAField {
                lora: self.lora,
                weight: self.weight,
            },
        })
    }
}

/// Adds a LoRA to a denoiser and a text encoder.
#[derive(Debug, Deserialize, Node)]
#[node(id = "lora_loader", title = "Apply LoRA - SD1.5", version = "1.0.4", category = "model", tags("model"), output = LoRALoaderOutput)]
struct LoRALoader {
    #[field(model_base("sd-1"), model_type("lora"))]
    lora: ModelIdentifierField,
    #[field(default = 0.75)]
    weight: f64,
    #[field(input = connection)]
    unet: Option<UNetField>,
    #[field(input = connection)]
    clip: Option<CLIPField>,
}

impl Invoke for LoRALoader {
    fn invoke(self, cx: &dyn NodeCx) -> Result<LoRALoaderOutput, NodeError> {
        known_lora(cx, &self.lora)?;
        let lora = LoRAField {
            lora: self.lora,
            weight: self.weight,
        };
        let unet = self
            .unet
            .map(|mut unet| add(&mut unet.loras, &lora, "unet").map(|()| unet))
            .transpose()?;
        let clip = self
            .clip
            .map(|mut clip| add(&mut clip.loras, &lora, "clip").map(|()| clip))
            .transpose()?;
        Ok(LoRALoaderOutput { unet, clip })
    }
}

/// Adds LoRAs to a denoiser and a text encoder.
#[derive(Debug, Deserialize, Node)]
#[node(id = "lora_collection_loader", title = "Apply LoRA Collection - SD1.5", version = "1.1.3", schema = "LoRACollectionLoader", category = "model", tags("model"), output = LoRALoaderOutput)]
struct LoRACollectionLoader {
    #[field(model_base("sd-1", "sd-2"), model_type("lora"))]
    loras: Option<OneOrMany<LoRAField>>,
    #[field(input = connection)]
    unet: Option<UNetField>,
    #[field(input = connection)]
    clip: Option<CLIPField>,
}

impl Invoke for LoRACollectionLoader {
    fn invoke(self, cx: &dyn NodeCx) -> Result<LoRALoaderOutput, NodeError> {
        let mut output = LoRALoaderOutput {
            unet: self.unet,
            clip: self.clip,
        };
        for lora in collected(cx, self.loras, &["sd-1", "sd-2"])? {
            output.unet.iter_mut().for_each(|unet| unet.loras.push(lora.clone()));
            output.clip.iter_mut().for_each(|clip| clip.loras.push(lora.clone()));
        }
        Ok(output)
    }
}

/// Adds a LoRA to a denoiser and two text encoders.
#[derive(Debug, Deserialize, Node)]
#[node(id = "sdxl_lora_loader", title = "Apply LoRA - SDXL", version = "1.0.5", category = "model", tags("lora", "model"), output = SDXLLoRALoaderOutput)]
struct SDXLLoRALoader {
    #[field(model_base("sdxl"), model_type("lora"))]
    lora: ModelIdentifierField,
    #[field(default = 0.75)]
    weight: f64,
    #[field(input = connection)]
    unet: Option<UNetField>,
    #[field(input = connection, title = "CLIP 1")]
    clip: Option<CLIPField>,
    #[field(input = connection)]
    clip2: Option<CLIPField>,
}

impl Invoke for SDXLLoRALoader {
    fn invoke(self, cx: &dyn NodeCx) -> Result<SDXLLoRALoaderOutput, NodeError> {
        known_lora(cx, &self.lora)?;
        let lora = LoRAField {
            lora: self.lora,
            weight: self.weight,
        };
        let unet = self
            .unet
            .map(|mut unet| add(&mut unet.loras, &lora, "unet").map(|()| unet))
            .transpose()?;
        let clip = self
            .clip
            .map(|mut clip| add(&mut clip.loras, &lora, "clip").map(|()| clip))
            .transpose()?;
        let clip2 = self
            .clip2
            .map(|mut clip2| add(&mut clip2.loras, &lora, "clip2").map(|()| clip2))
            .transpose()?;
        Ok(SDXLLoRALoaderOutput { unet, clip, clip2 })
    }
}

/// Adds LoRAs to a denoiser and two text encoders.
#[derive(Debug, Deserialize, Node)]
#[node(id = "sdxl_lora_collection_loader", title = "Apply LoRA Collection - SDXL", version = "1.1.3", schema = "SDXLLoRACollectionLoader", category = "model", tags("model"), output = SDXLLoRALoaderOutput)]
struct SDXLLoRACollectionLoader {
    #[field(model_base("sdxl"), model_type("lora"))]
    loras: Option<OneOrMany<LoRAField>>,
    #[field(input = connection)]
    unet: Option<UNetField>,
    #[field(input = connection)]
    clip: Option<CLIPField>,
    #[field(input = connection)]
    clip2: Option<CLIPField>,
}

impl Invoke for SDXLLoRACollectionLoader {
    fn invoke(self, cx: &dyn NodeCx) -> Result<SDXLLoRALoaderOutput, NodeError> {
        let mut output = SDXLLoRALoaderOutput {
            unet: self.unet,
            clip: self.clip,
            clip2: self.clip2,
        };
        for lora in collected(cx, self.loras, &["sdxl"])? {
            output.unet.iter_mut().for_each(|unet| unet.loras.push(lora.clone()));
            output.clip.iter_mut().for_each(|clip| clip.loras.push(lora.clone()));
            output.clip2.iter_mut().for_each(|clip2| clip2.loras.push(lora.clone()));
        }
        Ok(output)
    }
}
