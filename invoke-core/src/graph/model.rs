//! Graphs as data.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    meta::{FieldMeta, NodeMeta},
    registry::Registry,
};

/// One end of an edge.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Port {
    /// A node.
    pub node_id: String,
    /// One of its inputs or outputs.
    pub field: String,
}

/// Leads an output to an input.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Edge {
    /// An output.
    pub source: Port,
    /// An input.
    pub destination: Port,
}

/// A node with the values of its inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its description.
    pub meta: &'static NodeMeta,
    /// `id`, `type`, `is_intermediate`, `use_cache` and every declared input, nulls included.
    pub values: Map<String, Value>,
}

/// Nodes and the edges between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Its id.
    pub id: String,
    /// Nodes by id, in the order of the request.
    pub nodes: IndexMap<String, Node>,
    /// Edges, in the order of the request.
    pub edges: Vec<Edge>,
}

/// Why a stored graph cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A part is missing or of the wrong kind.
    #[error("{0} is missing or malformed")]
    Malformed(&'static str),
    /// A node's type is not offered.
    #[error("node type {0} is not available")]
    UnknownType(String),
    /// A part is of the wrong form.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// The default of a field that has one.
pub(crate) fn default_of(field: &FieldMeta) -> Value {
    match field.default {
        None | Some("null") => Value::Null,
        Some(text) => serde_json::from_str(text).expect("a declared default is JSON"),
    }
}

impl Node {
    /// The node's id.
    pub fn id(&self) -> &str {
        self.values.get("id").and_then(Value::as_str).unwrap_or_default()
    }

    /// Reads a node that was checked before it was stored; absent inputs have their defaults.
    pub fn from_stored(registry: &Registry, mut stored: Map<String, Value>) -> Result<Self, ReadError> {
        let kind = stored
            .get("type")
            .and_then(Value::as_str)
            .ok_or(ReadError::Malformed("a node's type"))?;
        let meta = registry.get(kind).ok_or_else(|| ReadError::UnknownType(kind.to_owned()))?;
        for field in meta.fields {
            if !stored.contains_key(field.name) {
                stored.insert(field.name.into(), default_of(field));
            }
        }
        stored.entry("is_intermediate").or_insert(Value::Bool(false));
        stored.entry("use_cache").or_insert(Value::Bool(meta.use_cache));
        Ok(Self { meta, values: stored })
    }

    /// Its JSON form.
    pub fn to_value(&self) -> Value {
        Value::Object(self.values.clone())
    }
}

impl Graph {
    /// A graph without nodes.
    pub fn empty(id: String) -> Self {
        Self {
            id,
            nodes: IndexMap::new(),
            edges: Vec::new(),
        }
    }

    /// Reads a graph that was checked before it was stored.
    pub fn from_stored(registry: &Registry, stored: Value) -> Result<Self, ReadError> {
        let Value::Object(mut parts) = stored else {
            return Err(ReadError::Malformed("the graph"));
        };
        let Some(Value::String(id)) = parts.remove("id") else {
            return Err(ReadError::Malformed("the graph's id"));
        };
        let mut nodes = IndexMap::new();
        if let Some(Value::Object(stored)) = parts.remove("nodes") {
            nodes.reserve(stored.len());
            for (key, node) in stored {
                let Value::Object(node) = node else {
                    return Err(ReadError::Malformed("a node"));
                };
                nodes.insert(key, Node::from_stored(registry, node)?);
            }
        }
        let edges = match parts.remove("edges") {
            Some(edges) => serde_json::from_value(edges)?,
            None => Vec::new(),
        };
        Ok(Self { id, nodes, edges })
    }

    /// Its JSON form, nulls included.
    pub fn to_value(&self) -> Value {
        let nodes: Map<String, Value> = self.nodes.iter().map(|(id, node)| (id.clone(), node.to_value())).collect();
        json!({"id": self.id, "nodes": nodes, "edges": self.edges})
    }

    /// Edges into a node, in the order of the request.
    pub fn edges_into<'a>(&'a self, node_id: &'a str) -> impl Iterator<Item = &'a Edge> {
        self.edges.iter().filter(move |edge| edge.destination.node_id == node_id)
    }

    /// Edges out of a node, in the order of the request.
    pub fn edges_out_of<'a>(&'a self, node_id: &'a str) -> impl Iterator<Item = &'a Edge> {
        self.edges.iter().filter(move |edge| edge.source.node_id == node_id)
    }
}

/// A value without the keys whose value is null, all the way down.
pub fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(_, v)| !v.is_null())
            .map(|(k, v)| (k, without_nulls(v)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nulls_go_at_every_depth() {
        assert_eq!(
            without_nulls(json!({"a": null, "b": [{"c": null, "d": 1}]})),
            json!({"b": [{"d": 1}]})
        );
    }
}
