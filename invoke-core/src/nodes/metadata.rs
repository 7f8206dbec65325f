//! What is recorded with pictures.

mod controls;
mod core;
mod models;
pub mod recorded;
mod scalars;

use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Invoke, NodeCx, NodeEntry, NodeError, entry,
    fields::{ImageField, MetadataField, MetadataItemField, OneOrMany},
    outputs::{MetadataOutput, StringOutput},
};
use crate::{
    domain::{CONTRACT_VERSION, shape::Shape},
    graph::meta::BrokenRule,
};

const ITEMS: &[NodeEntry] = &[
    entry::<MetadataItem>(),
    entry::<Metadata>(),
    entry::<MergeMetadata>(),
    entry::<MetadataItemLinked>(),
    entry::<MetadataFromImage>(),
    entry::<MetadataFieldExtractor>(),
];

pub(super) const NODES: &[&[NodeEntry]] = &[ITEMS, core::NODES, scalars::NODES, models::NODES, controls::NODES];

/// The label that stands for one of the user's own.
const CUSTOM_LABEL: &str = "* CUSTOM LABEL *";

/// Labels that clients know.
const LABELS: Shape = Shape::Enum(&[
    CUSTOM_LABEL,
    "positive_prompt",
    "positive_style_prompt",
    "negative_prompt",
    "negative_style_prompt",
    "width",
    "height",
    "seed",
    "cfg_scale",
    "cfg_rescale_multiplier",
    "steps",
    "scheduler",
    "clip_skip",
    "model",
    "vae",
    "seamless_x",
    "seamless_y",
    "guidance",
    "cfg_scale_start_step",
    "cfg_scale_end_step",
]);

/// One entry.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "metadata_item_output")]
struct MetadataItemOutput {
    item: MetadataItemField,
}

/// The label that an input names.
fn label(label: String, custom: Option<String>) -> String {
    if label == CUSTOM_LABEL { custom.unwrap_or_default() } else { label }
}

fn check_label(values: &Map<String, Value>) -> Result<(), BrokenRule> {
    let text = |field: &str| values.get(field).and_then(Value::as_str).unwrap_or_default();
    if text("label") == CUSTOM_LABEL && text("custom_label").trim().is_empty() {
        return Err(BrokenRule::of_all("You must enter a Custom Label"));
    }
    Ok(())
}

/// The metadata that comes into the running node.
fn incoming(cx: &dyn NodeCx) -> Map<String, Value> {
    cx.frame().metadata.as_ref().and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Metadata with the version that made it.
fn signed(mut metadata: Map<String, Value>) -> MetadataOutput {
    metadata.insert("app_version".into(), CONTRACT_VERSION.into());
    MetadataField(metadata).into()
}

/// One entry.
#[derive(Debug, Deserialize, Node)]
#[node(id = "metadata_item", title = "Metadata Item", version = "1.0.1", category = "metadata", tags("metadata"), output = MetadataItemOutput)]
struct MetadataItem {
    label: String,
    #[field(ui_type = "AnyField")]
    value: Value,
}

impl Invoke for MetadataItem {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<MetadataItemOutput, NodeError> {
        Ok(MetadataItemOutput {
            item: MetadataItemField {
                label: self.label,
                value: self.value,
            },
        })
    }
}

/// Metadata of entries.
#[derive(Debug, Deserialize, Node)]
#[node(id = "metadata", title = "Metadata", version = "1.0.1", category = "metadata", tags("metadata"), output = MetadataOutput)]
struct Metadata {
    items: OneOrMany<MetadataItemField>,
}

impl Invoke for Metadata {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<MetadataOutput, NodeError> {
        let items = self.items.into_vec().into_iter().map(|item| (item.label, item.value));
        Ok(signed(items.collect()))
    }
}

/// Several metadata in one; of entries with the same label the last one stays.
#[derive(Debug, Deserialize, Node)]
#[node(id = "merge_metadata", title = "Metadata Merge", version = "1.0.1", category = "metadata", tags("metadata"), output = MetadataOutput)]
struct MergeMetadata {
    collection: Vec<MetadataField>,
}

impl Invoke for MergeMetadata {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<MetadataOutput, NodeError> {
        Ok(MetadataField(self.collection.into_iter().flat_map(|metadata| metadata.0).collect()).into())
    }
}

/// Adds an entry to the metadata that comes in.
#[derive(Debug, Deserialize, Node)]
#[node(check = check_label, id = "metadata_item_linked", title = "Metadata Item Linked", version = "1.0.1", category = "metadata", tags("metadata"), classification = Beta, metadata, output = MetadataOutput)]
struct MetadataItemLinked {
    #[field(default = "* CUSTOM LABEL *", shape = LABELS, input = direct)]
    label: String,
    #[field(input = direct)]
    custom_label: Option<String>,
    #[field(ui_type = "AnyField")]
    value: Value,
}

impl Invoke for MetadataItemLinked {
    fn invoke(self, cx: &dyn NodeCx) -> Result<MetadataOutput, NodeError> {
        let mut metadata = incoming(cx);
        // A VAE is recorded as its model.
        let value = match self.value {
            Value::Object(mut vae) if vae.contains_key("vae") && vae.contains_key("seamless_axes") => vae.remove("vae").unwrap_or_default(),
            other => other,
        };
        metadata.insert(label(self.label, self.custom_label), value);
        Ok(signed(metadata))
    }
}

/// What was recorded with a picture.
#[derive(Debug, Deserialize, Node)]
#[node(id = "metadata_from_image", title = "Metadata From Image", version = "1.0.1", category = "metadata", tags("metadata"), classification = Beta, output = MetadataOutput)]
struct MetadataFromImage {
    image: ImageField,
}

impl Invoke for MetadataFromImage {
    fn invoke(self, cx: &dyn NodeCx) -> Result<MetadataOutput, NodeError> {
        Ok(match cx.image_metadata(&self.image.image_name)? {
            Some(Value::Object(metadata)) => MetadataField(metadata).into(),
            _ => MetadataField::default().into(),
        })
    }
}

/// One text of what was recorded with a picture.
#[derive(Debug, Deserialize, Node)]
#[node(id = "metadata_field_extractor", title = "Metadata Field Extractor", version = "1.0.0", category = "metadata", tags("metadata"), classification = Deprecated, output = StringOutput)]
struct MetadataFieldExtractor {
    image: ImageField,
    key: String,
}

impl Invoke for MetadataFieldExtractor {
    fn invoke(self, cx: &dyn NodeCx) -> Result<StringOutput, NodeError> {
        let name = &self.image.image_name;
        let metadata = cx
            .image_metadata(name)?
            .filter(|metadata| metadata.as_object().is_some_and(|metadata| !metadata.is_empty()));
        let metadata = metadata.ok_or_else(|| NodeError::value(format!("No metadata found on image {name}")))?;
        match metadata.get(&self.key) {
            Some(Value::String(text)) => Ok(text.clone().into()),
            Some(_) => Err(NodeError::value(format!("Metadata at key '{}' must be a string", self.key))),
            None => Err(NodeError::value(format!("No key '{}' found in the metadata for {name}", self.key))),
        }
    }
}

#[cfg(test)]
mod tests;
