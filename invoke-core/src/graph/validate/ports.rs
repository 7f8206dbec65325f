//! The ends of edges.

use crate::{
    domain::shape::Shape,
    graph::{
        model::{Edge, Graph, Node},
        types::compatible,
        workflow::DYNAMIC_INPUT,
    },
};

/// Whether an input of the node that calls a saved workflow stands for one of that workflow's own.
fn is_dynamic(node: &Node, field: &str) -> bool {
    node.meta.id == "call_saved_workflow" && field.starts_with(DYNAMIC_INPUT)
}

/// The type of an output.
pub(super) fn output_type(node: &Node, field: &str) -> Option<Shape> {
    node.meta.output_field(field).map(|field| field.shape)
}

/// The type of an input.
pub(super) fn input_type(node: &Node, field: &str) -> Option<Shape> {
    let attribute = match field {
        "id" => Some(Shape::STR),
        "is_intermediate" | "use_cache" => Some(Shape::BOOL),
        "type" => Some(Shape::Const(node.meta.id)),
        _ => None,
    };
    node.meta.field(field).map(|field| field.shape).or(attribute)
}

/// Both ends of an edge exist.
pub(super) fn exist(graph: &Graph, edge: &Edge) -> Result<(), String> {
    let (source, destination) = (&edge.source, &edge.destination);
    let from = graph
        .nodes
        .get(&source.node_id)
        .ok_or_else(|| format!("Edge source node {} does not exist in the graph", source.node_id))?;
    let to = graph
        .nodes
        .get(&destination.node_id)
        .ok_or_else(|| format!("Edge destination node {} does not exist in the graph", destination.node_id))?;
    if output_type(from, &source.field).is_none() && source.field != "type" {
        return Err(format!(
            "Edge source field {} does not exist in node {}",
            source.field, source.node_id
        ));
    }
    if input_type(to, &destination.field).is_none() && !is_dynamic(to, &destination.field) {
        return Err(format!(
            "Edge destination field {} does not exist in node {}",
            destination.field, destination.node_id
        ));
    }
    Ok(())
}

/// The output may feed the input.
pub(super) fn match_types(graph: &Graph, edge: &Edge) -> Result<(), String> {
    let (source, destination) = (&edge.source, &edge.destination);
    let (from, to) = (&graph.nodes[&source.node_id], &graph.nodes[&destination.node_id]);
    if is_dynamic(to, &destination.field) {
        return Ok(());
    }
    let fits = match (output_type(from, &source.field), input_type(to, &destination.field)) {
        (Some(from), Some(to)) => compatible(&from, &to),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let (a, b) = (
        format!("{}.{}", source.node_id, source.field),
        format!("{}.{}", destination.node_id, destination.field),
    );
    Err(format!("Edge source and target types do not match ({a} -> {b})"))
}
