//! The nodes that a server offers.

use std::collections::{BTreeMap, HashMap};

use super::meta::{NodeMeta, OutputMeta};

/// Descriptions of nodes by type.
#[derive(Debug, Clone)]
pub struct Registry {
    nodes: Vec<&'static NodeMeta>,
    by_id: HashMap<&'static str, &'static NodeMeta>,
}

impl Registry {
    /// All of these nodes, or those that `allow` names if it is given, without those that `deny` names.
    pub fn new(nodes: impl IntoIterator<Item = &'static NodeMeta>, allow: Option<&[String]>, deny: Option<&[String]>) -> Self {
        let names = |list: &[String], node: &NodeMeta| list.iter().any(|name| name == node.id);
        let mut nodes: Vec<_> = nodes
            .into_iter()
            .filter(|node| allow.is_none_or(|list| names(list, node)) && !deny.is_some_and(|list| names(list, node)))
            .collect();
        nodes.sort_by_key(|node| node.schema);
        let by_id = nodes.iter().map(|node| (node.id, *node)).collect();
        Self { nodes, by_id }
    }

    /// The description of a type.
    pub fn get(&self, id: &str) -> Option<&'static NodeMeta> {
        self.by_id.get(id).copied()
    }

    /// All descriptions, by schema name.
    pub fn nodes(&self) -> &[&'static NodeMeta] {
        &self.nodes
    }

    /// All outputs that the nodes return, by schema name.
    pub fn outputs(&self) -> Vec<&'static OutputMeta> {
        let by_name: BTreeMap<_, _> = self.nodes.iter().map(|node| (node.output.schema, node.output)).collect();
        by_name.into_values().collect()
    }
}
