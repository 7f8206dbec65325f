//! Rules of the nodes that repeat (`iterate`) and gather (`collect`).

use super::ports::{input_type, output_type};
use crate::{
    domain::shape::Shape,
    graph::{
        model::{Edge, Graph},
        types::{compatible, element_types, extends, is_any, is_or_has_list, members, same},
    },
};

/// Checks all of them; the text of the first broken rule.
pub(super) fn rules(graph: &Graph) -> Result<(), String> {
    for (id, node) in &graph.nodes {
        match node.meta.id {
            "iterate" => iterator(graph, id).map_err(|text| format!("Invalid iterator node ({id}): {text}"))?,
            "collect" => collector(graph, id).map_err(|text| format!("Invalid collector node ({id}): {text}"))?,
            _ => {}
        }
    }
    Ok(())
}

fn into<'a>(graph: &'a Graph, id: &'a str, field: &'a str) -> impl Iterator<Item = &'a Edge> {
    graph.edges_into(id).filter(move |edge| edge.destination.field == field)
}

fn out_of<'a>(graph: &'a Graph, id: &'a str, field: &'a str) -> impl Iterator<Item = &'a Edge> {
    graph.edges_out_of(id).filter(move |edge| edge.source.field == field)
}

fn source_type(graph: &Graph, edge: &Edge) -> Shape {
    output_type(&graph.nodes[&edge.source.node_id], &edge.source.field).unwrap_or(Shape::Null)
}

fn target_types(graph: &Graph, id: &str, field: &str) -> Vec<Shape> {
    out_of(graph, id, field)
        .map(|edge| input_type(&graph.nodes[&edge.destination.node_id], &edge.destination.field).unwrap_or(Shape::Null))
        .collect()
}

fn comes_from_collector(graph: &Graph, edge: &Edge) -> bool {
    edge.source.field == "collection" && graph.nodes[&edge.source.node_id].meta.id == "collect"
}

fn iterator(graph: &Graph, id: &str) -> Result<(), &'static str> {
    let inputs: Vec<&Edge> = into(graph, id, "collection").collect();
    let input = match inputs.as_slice() {
        [] => return Err("Iterator must have a collection input edge"),
        [input] => *input,
        _ => return Err("Iterator may only have one input edge"),
    };
    let Shape::List(element, _) = source_type(graph, input) else {
        return Err("Iterator input must be a collection");
    };
    let targets = target_types(graph, id, "item");
    if !targets.iter().all(|target| compatible(element, target)) {
        return Err("Iterator outputs must connect to an input with a matching type");
    }
    if graph.nodes[&input.source.node_id].meta.id == "collect" {
        let root = gathered_type(graph, &input.source.node_id);
        let root = root.ok_or("Iterator input collector must have at least one item or collection input edge")?;
        if !targets.iter().all(|target| compatible(&root, target)) {
            return Err("Iterator collection type must match all iterator output types");
        }
    }
    Ok(())
}

/// Types of the elements that a collector gathers, through collectors that feed it.
fn gathered_types(graph: &Graph, id: &str) -> Vec<Shape> {
    let mut found: Vec<Shape> = Vec::new();
    let mut add = |shape: Shape| {
        if shape != Shape::Null && !found.iter().any(|other| same(other, &shape)) {
            found.push(shape);
        }
    };
    for edge in into(graph, id, "item") {
        match source_type(graph, edge) {
            // A list given as one item counts by its elements, as InvokeAI has it.
            Shape::List(element, _) => members(element).into_iter().for_each(&mut add),
            other => members(&other).into_iter().for_each(&mut add),
        }
    }
    for edge in into(graph, id, "collection") {
        if comes_from_collector(graph, edge) {
            gathered_types(graph, &edge.source.node_id).into_iter().for_each(&mut add);
        } else {
            element_types(&source_type(graph, edge)).into_iter().for_each(&mut add);
        }
    }
    found
}

/// Those types that no other among them includes; anything at all left out.
fn roots(types: &[Shape]) -> Vec<Shape> {
    let known = || types.iter().filter(|shape| **shape != Shape::Any);
    known()
        .filter(|shape| !known().any(|other| !same(shape, other) && extends(shape, other)))
        .copied()
        .collect()
}

fn gathered_type(graph: &Graph, id: &str) -> Option<Shape> {
    let types = gathered_types(graph, id);
    match roots(&types).as_slice() {
        [] => types.first().copied(),
        [root] => Some(*root),
        _ => Some(Shape::Any),
    }
}

fn collector(graph: &Graph, id: &str) -> Result<(), &'static str> {
    const MISMATCH: &str = "Collector outputs must connect to a collection input with a matching type";
    let mut collections = into(graph, id, "collection").peekable();
    if collections.peek().is_none() && into(graph, id, "item").next().is_none() {
        return Err("Collector must have at least one item or collection input edge");
    }
    if !collections
        .map(|edge| source_type(graph, edge))
        .all(|shape| is_or_has_list(&shape) || is_any(&shape))
    {
        return Err("Collector collection input must be a collection");
    }
    let roots = roots(&gathered_types(graph, id));
    if roots.len() > 1 {
        return Err("Collector input collection items must be of a single type");
    }
    let root = roots.first();
    for target in target_types(graph, id, "collection") {
        if is_any(&target) {
            continue;
        }
        if !is_or_has_list(&target) {
            return Err("Collector output must connect to a collection input");
        }
        let fits = root.is_some_and(|root| {
            element_types(&target)
                .iter()
                .any(|element| same(root, element) || extends(root, element))
        });
        if !fits {
            return Err(MISMATCH);
        }
    }
    for edge in out_of(graph, id, "collection") {
        let next = &graph.nodes[&edge.destination.node_id];
        if next.meta.id != "collect" || edge.destination.field != "collection" {
            continue;
        }
        let fits = match (root, gathered_type(graph, &edge.destination.node_id)) {
            (_, None) => true,
            (None, Some(other)) => other == Shape::Any,
            (Some(root), Some(other)) => compatible(root, &other),
        };
        if !fits {
            return Err(MISMATCH);
        }
    }
    Ok(())
}
