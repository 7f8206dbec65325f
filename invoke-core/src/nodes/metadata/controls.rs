//! What steered a picture, taken from its metadata.

use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{incoming, models::recorded};
use crate::nodes::{
    Invoke, NodeCx, NodeEntry, NodeError,
    control::recorded_ip_adapter,
    entry,
    fields::{ControlField, IPAdapterField, OneOrMany, T2IAdapterField},
};

pub(super) const NODES: &[NodeEntry] = &[
    entry::<MetadataToControlnets>(),
    entry::<MetadataToIPAdapters>(),
    entry::<MetadataToT2IAdapters>(),
];

type List<T> = Option<OneOrMany<T>>;

/// The given ones and those that the metadata records under a key.
fn appended<T>(
    cx: &dyn NodeCx,
    given: List<T>,
    key: &str,
    read: fn(&dyn NodeCx, &Value) -> Result<T, NodeError>,
) -> Result<List<T>, NodeError> {
    let mut all = given.map(OneOrMany::into_vec).unwrap_or_default();
    for entry in incoming(cx).get(key).and_then(Value::as_array).into_iter().flatten() {
        all.push(read(cx, entry)?);
    }
    Ok(Some(OneOrMany::Many(all)))
}

/// An entry with the installed model in the place of the recorded one.
fn with_model<T: DeserializeOwned>(cx: &dyn NodeCx, entry: &Value, label: &str, kind: &str) -> Result<T, NodeError> {
    let mut entry = entry.clone();
    let map = entry
        .as_object_mut()
        .ok_or_else(|| NodeError::value(format!("the metadata's {kind} is no object")))?;
    let model = recorded(cx, map, label, kind, "")?;
    map.insert(label.to_owned(), serde_json::to_value(model).map_err(NodeError::runtime)?);
    serde_json::from_value(entry).map_err(|error| NodeError::value(format!("the metadata's {kind}: {error}")))
}

fn control(cx: &dyn NodeCx, entry: &Value) -> Result<ControlField, NodeError> {
    with_model(cx, entry, "control_model", "controlnet")
}

fn t2i_adapter(cx: &dyn NodeCx, entry: &Value) -> Result<T2IAdapterField, NodeError> {
    with_model(cx, entry, "t2i_adapter_model", "t2i_adapter")
}

fn ip_adapter(cx: &dyn NodeCx, entry: &Value) -> Result<IPAdapterField, NodeError> {
    recorded_ip_adapter(cx, with_model(cx, entry, "ip_adapter_model", "ip_adapter")?)
}

/// ControlNets.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "md_control_list_output")]
struct MDControlListOutput {
    /// The ControlNets.
    #[field(title = "ControlNet-List")]
    control_list: Option<OneOrMany<ControlField>>,
}

/// IP-Adapters.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "md_ip_adapter_list_output")]
struct MDIPAdapterListOutput {
    /// The IP-Adapters.
    #[field(title = "IP-Adapter-List")]
    ip_adapter_list: Option<OneOrMany<IPAdapterField>>,
}

/// T2I-Adapters.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "md_ip_adapters_output")]
struct MDT2IAdapterListOutput {
    /// The T2I-Adapters.
    #[field(title = "T2I Adapter-List")]
    t2i_adapter_list: Option<OneOrMany<T2IAdapterField>>,
}

/// The ControlNets that a picture was made with, behind those given.
#[derive(Debug, Deserialize, Node)]
#[node(id = "metadata_to_controlnets", title = "Metadata To ControlNets", version = "1.2.0", category = "metadata", tags("metadata"), classification = Beta, metadata, output = MDControlListOutput)]
struct MetadataToControlnets {
    #[field(input = connection, title = "ControlNet-List")]
    control_list: Option<OneOrMany<ControlField>>,
}

impl Invoke for MetadataToControlnets {
    fn invoke(self, cx: &dyn NodeCx) -> Result<MDControlListOutput, NodeError> {
        appended(cx, self.control_list, "controlnets", control).map(|control_list| MDControlListOutput { control_list })
    }
}

/// The IP-Adapters that a picture was made with, behind those given.
#[derive(Debug, Deserialize, Node)]
#[node(id = "metadata_to_ip_adapters", title = "Metadata To IP-Adapters", version = "1.2.0", category = "metadata", tags("metadata"), classification = Beta, metadata, output = MDIPAdapterListOutput)]
struct MetadataToIPAdapters {
    #[field(input = connection, title = "IP-Adapter-List")]
    ip_adapter_list: Option<OneOrMany<IPAdapterField>>,
}

impl Invoke for MetadataToIPAdapters {
    fn invoke(self, cx: &dyn NodeCx) -> Result<MDIPAdapterListOutput, NodeError> {
        appended(cx, self.ip_adapter_list, "ipAdapters", ip_adapter).map(|ip_adapter_list| MDIPAdapterListOutput { ip_adapter_list })
    }
}

/// The T2I-Adapters that a picture was made with, behind those given.
#[derive(Debug, Deserialize, Node)]
#[node(id = "metadata_to_t2i_adapters", title = "Metadata To T2I-Adapters", version = "1.2.0", category = "metadata", tags("metadata"), classification = Beta, metadata, output = MDT2IAdapterListOutput)]
struct MetadataToT2IAdapters {
    #[field(input = connection, title = "T2I-Adapter")]
    t2i_adapter_list: Option<OneOrMany<T2IAdapterField>>,
}

impl Invoke for MetadataToT2IAdapters {
    fn invoke(self, cx: &dyn NodeCx) -> Result<MDT2IAdapterListOutput, NodeError> {
        appended(cx, self.t2i_adapter_list, "t2iAdapters", t2i_adapter).map(|t2i_adapter_list| MDT2IAdapterListOutput { t2i_adapter_list })
    }
}
