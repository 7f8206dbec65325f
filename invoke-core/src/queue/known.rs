//! What a graph says before it runs: the values of its nodes, with those of a session's own in their place.

use serde_json::Value;

use crate::{domain::queue_item::FieldValue, graph::Graph};

/// A graph with a session's values.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    graph: &'a Graph,
    values: &'a [FieldValue],
}

impl<'a> Known<'a> {
    pub(super) fn of(graph: &'a Graph, values: &'a [FieldValue]) -> Self {
        Self { graph, values }
    }

    /// The value that stands in a node itself.
    pub(super) fn own(&self, node: &str, field: &str) -> Option<&'a Value> {
        let own = self.values.iter().find(|v| v.node_path == node && v.field_name == field);
        own.map(|v| &v.value).or_else(|| self.graph.nodes.get(node)?.values.get(field))
    }

    /// The value that a node will find in a field. What an edge brings counts if it comes straight from a node that just holds it.
    pub(super) fn value(&self, node: &str, field: &str) -> Option<&'a Value> {
        let edge = self.graph.edges_into(node).filter(|edge| edge.destination.field == field).last();
        edge.and_then(|edge| self.own(&edge.source.node_id, "value"))
            .or_else(|| self.own(node, field))
    }

    /// [`Self::value`] as a number.
    pub(super) fn number(&self, node: &str, field: &str) -> Option<f64> {
        self.value(node, field)?.as_f64()
    }
}

/// What the client sends for a picture, for tests.
#[cfg(test)]
pub(super) mod recorded {
    use super::{Graph, Value};
    use crate::graph::validate;

    const REQUEST: &str = include_str!("../../../tests/contract/graphs/sd1_txt2img.enqueue_batch.json");
    pub(in super::super) const DENOISE: &str = "denoise_latents:jD2qP5EqiD";
    pub(in super::super) const NOISE: &str = "noise:Ylo0oeHkpg";
    pub(in super::super) const LOADER: &str = "sd1_model_loader:3zKEpykVjA";

    /// The graph, its nodes changed.
    pub(in super::super) fn graph(change: impl FnOnce(&mut Value)) -> Graph {
        let mut request: Value = serde_json::from_str(REQUEST).unwrap();
        change(&mut request["batch"]["graph"]["nodes"]);
        let registry = crate::nodes::registry(None, None);
        validate::graph(&registry, request["batch"]["graph"].take(), &[], String::new).unwrap()
    }
}
