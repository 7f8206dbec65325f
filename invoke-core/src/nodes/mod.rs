//! The nodes.
//!
//! A node is a struct of its inputs with `#[derive(Node)]` and an [`Invoke`]; it is offered once it stands in the list of its module. Nodes see
//! [`NodeCx`] alone.

pub mod batches;
pub mod cache;
pub mod collections;
pub mod company;
pub mod control;
pub mod cx;
pub mod fields;
mod flux;
pub mod image;
mod latents;
pub mod logic;
pub mod math;
pub mod metadata;
pub mod models;
pub mod outputs;
pub mod primitives;
pub mod prompts;
pub mod store;
pub mod strings;
#[cfg(test)]
pub(crate) mod testing;
pub mod workbench;
pub mod workflows;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub use cx::{Frame, ModelOnDisk, ModelQuery, NodeCx, NodeError, Picture, SavedImage, save, save_as};
pub use latents::DenoiseSeat;

use crate::graph::{
    Registry,
    meta::{Node, NodeMeta, Output},
};

/// A node that can run.
pub trait Invoke: Node + DeserializeOwned {
    /// Runs it.
    fn invoke(self, cx: &dyn NodeCx) -> Result<Self::Output, NodeError>;
}

/// A node of any kind: its description and what runs it.
#[derive(Debug, Clone, Copy)]
pub struct NodeEntry {
    /// Its description.
    pub meta: &'static NodeMeta,
    /// Runs it with these values, returns what it returned, `type` included.
    pub run: fn(Value, &dyn NodeCx) -> Result<Value, NodeError>,
}

/// The entry of a node.
pub const fn entry<N: Invoke>() -> NodeEntry
where
    N::Output: Serialize,
{
    NodeEntry {
        meta: N::META,
        run: run::<N>,
    }
}

fn run<N: Invoke>(values: Value, cx: &dyn NodeCx) -> Result<Value, NodeError>
where
    N::Output: Serialize,
{
    let node: N = serde_json::from_value(values).map_err(|error| NodeError::new("ValidationError", format!("{}: {error}", N::META.id)))?;
    let output = node.invoke(cx)?;
    let mut value = serde_json::to_value(output).map_err(NodeError::runtime)?;
    if let Value::Object(map) = &mut value {
        map.insert("type".into(), <N::Output as Output>::META.id.into());
    }
    Ok(value)
}

/// Every module's nodes.
const MODULES: &[&[NodeEntry]] = &[
    image::basic::NODES,
    image::blend::NODES,
    image::channels::NODES,
    image::color::NODES,
    image::control::NODES,
    image::detect::NODES,
    image::effects::NODES,
    image::faces::NODES,
    image::infill::NODES,
    image::masks::NODES,
    image::material::NODES,
    image::panels::NODES,
    image::pose::NODES,
    image::preprocess::NODES,
    image::safety::NODES,
    image::save::NODES,
    image::segment::NODES,
    image::tiles::NODES,
    image::upscale::NODES,
    batches::NODES,
    collections::NODES,
    control::NODES,
    logic::NODES,
    math::NODES,
    models::NODES,
    models::LORA_NODES,
    models::FLUX_NODES,
    primitives::NODES,
    prompts::NODES,
    strings::NODES,
    workflows::NODES,
];

/// Every node.
pub fn all() -> impl Iterator<Item = &'static NodeEntry> {
    let folders = latents::NODES.iter().chain(flux::NODES).chain(metadata::NODES);
    MODULES.iter().chain(folders).copied().flatten()
}

/// The node of a type.
pub fn find(id: &str) -> Option<&'static NodeEntry> {
    all().find(|entry| entry.meta.id == id)
}

/// What a server offers: every node, or those that `allow` names, without those that `deny` names.
pub fn registry(allow: Option<&[String]>, deny: Option<&[String]>) -> Registry {
    Registry::new(all().map(|entry| entry.meta), allow, deny)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::shape::Definitions,
        graph::{Graph, model::Node as GraphNode, schema},
    };

    #[test]
    fn types_and_schema_names_are_unique() {
        let mut ids: Vec<_> = all().map(|entry| entry.meta.id).collect();
        let mut schemas: Vec<_> = all().map(|entry| entry.meta.schema).collect();
        let n = ids.len();
        ids.sort_unstable();
        ids.dedup();
        schemas.sort_unstable();
        schemas.dedup();
        assert_eq!((ids.len(), schemas.len()), (n, n));
    }

    #[test]
    fn every_node_without_inputs_is_read_back_as_it_was_stored() {
        let registry = registry(None, None);
        for meta in registry.nodes() {
            let mut bare = serde_json::Map::new();
            bare.insert("id".into(), "n".into());
            bare.insert("type".into(), meta.id.into());
            for field in meta.fields.iter().filter(|field| field.default.is_none()) {
                bare.insert(field.name.into(), testing::example(&field.shape));
            }
            let mut nodes = serde_json::Map::new();
            nodes.insert("n".into(), Value::Object(bare));
            let loc = ["body".into()];
            let given = serde_json::json!({"nodes": nodes, "edges": []});
            let graph = crate::graph::validate::graph(&registry, given, &loc, || "g".into());
            // A special node alone breaks the rules of graphs; the readers of metadata ask for a label of the user's own.
            let Ok(graph) = graph else {
                assert!(
                    ["iterate", "collect"].contains(&meta.id) || meta.id.starts_with("metadata_"),
                    "{}: {graph:?}",
                    meta.id
                );
                continue;
            };
            let stored = crate::graph::model::without_nulls(graph.to_value());
            let again = Graph::from_stored(&registry, stored).unwrap();
            assert_eq!(again, graph, "{}", meta.id);
            let GraphNode { values, .. } = &graph.nodes["n"];
            assert_eq!(values["type"], meta.id);
        }
    }

    #[test]
    fn every_schema_has_what_editors_need() {
        let mut definitions = Definitions::default();
        schema::components(&registry(None, None), &mut definitions);
        for (name, schema) in &definitions.0 {
            assert!(schema.is_object(), "{name}");
            if schema["class"] == "invocation" {
                let output = schema["output"]["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
                assert_eq!(definitions.0[output]["class"], "output", "{name}");
                assert!(
                    schema["title"].is_string() && schema["properties"]["type"]["default"].is_string(),
                    "{name}"
                );
            }
        }
    }

    /// The list of node types: a node that vanishes from it breaks people's workflows.
    #[test]
    fn node_types() {
        let mut ids: Vec<_> = all().map(|entry| entry.meta.id).collect();
        ids.sort_unstable();
        let listed: Vec<_> = include_str!("types.txt").lines().collect();
        assert_eq!(ids, listed);
    }
}
