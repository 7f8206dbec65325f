//! What follows from a graph before anything has run: the order of its nodes, what repeats them, and which branch each belongs to.

use std::collections::{BTreeSet, HashMap};

use crate::graph::model::Graph;

/// An `if` and one of its branches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Branch {
    /// The `if`, by its place in the graph.
    pub(super) chooser: usize,
    /// The branch taken when the condition holds.
    pub(super) when: bool,
}

/// Facts about the nodes of a graph; nodes and edges are known by their places in it.
#[derive(Debug)]
pub(super) struct Plan {
    /// Nodes, inputs before what needs them.
    pub(super) order: Vec<usize>,
    /// Edges into each node.
    pub(super) inputs: Vec<Vec<usize>>,
    /// Source and destination node of each edge.
    pub(super) ends: Vec<(usize, usize)>,
    /// The iterators over whose elements each node is repeated, outermost first. Those of an iterator end with itself; a collector lacks the
    /// innermost one of what it gathers.
    pub(super) axes: Vec<Vec<usize>>,
    /// Iterators that must have run before each node can be laid out.
    pub(super) waits_for: Vec<BTreeSet<usize>>,
    /// Branches that each node serves and nothing else.
    pub(super) branches: Vec<Vec<Branch>>,
    /// Of an `if`: the nodes that serve its branches; of these: the `if`s.
    pub(super) related: Vec<Vec<usize>>,
}

impl Plan {
    pub(super) fn of(graph: &Graph) -> Self {
        let n = graph.nodes.len();
        let place = |id: &str| graph.nodes.get_index_of(id).expect("the edges of a checked graph end at its nodes");
        let ends: Vec<(usize, usize)> = graph
            .edges
            .iter()
            .map(|edge| (place(&edge.source.node_id), place(&edge.destination.node_id)))
            .collect();
        let mut inputs = vec![Vec::new(); n];
        let mut outputs = vec![Vec::new(); n];
        for (edge, (from, to)) in ends.iter().enumerate() {
            inputs[*to].push(edge);
            outputs[*from].push(edge);
        }
        let order = order(&inputs, &outputs, &ends);
        let kind = |node: usize| graph.nodes[node].meta.id;

        let mut rank = vec![0; n];
        order.iter().enumerate().for_each(|(at, node)| rank[*node] = at);
        let mut axes: Vec<Vec<usize>> = vec![Vec::new(); n];
        let mut waits_for = vec![BTreeSet::new(); n];
        for node in &order {
            let mut own: Vec<usize> = Vec::new();
            let mut waits = BTreeSet::new();
            for edge in &inputs[*node] {
                let from = ends[*edge].0;
                let gathered = kind(*node) == "collect" && graph.edges[*edge].destination.field == "item";
                let outer = &axes[from][..axes[from].len() - usize::from(gathered && !axes[from].is_empty())];
                own.extend(outer);
                waits.extend(&waits_for[from]);
                if kind(from) == "iterate" {
                    waits.insert(from);
                }
            }
            own.sort_unstable_by_key(|iterator| rank[*iterator]);
            own.dedup();
            if kind(*node) == "iterate" {
                own.push(*node);
            }
            axes[*node] = own;
            waits_for[*node] = waits;
        }

        let mut plan = Self {
            order,
            inputs,
            ends,
            axes,
            waits_for,
            branches: vec![Vec::new(); n],
            related: vec![Vec::new(); n],
        };
        for chooser in (0..n).filter(|node| kind(*node) == "if") {
            for when in [true, false] {
                for node in plan.served_only(graph, &outputs, chooser, when) {
                    plan.branches[node].push(Branch { chooser, when });
                    plan.related[node].push(chooser);
                    plan.related[chooser].push(node);
                }
            }
        }
        plan
    }

    /// Nodes whose results reach this branch and nothing else. None if one of them repeats others: how often the `if` itself runs would then
    /// hang on what its condition lets run.
    fn served_only(&self, graph: &Graph, outputs: &[Vec<usize>], chooser: usize, when: bool) -> BTreeSet<usize> {
        let field = if when { "true_input" } else { "false_input" };
        let feeds = |edge: usize| self.ends[edge].1 == chooser && graph.edges[edge].destination.field == field;
        let mut found: BTreeSet<usize> = BTreeSet::new();
        let mut open: Vec<usize> = self.inputs[chooser]
            .iter()
            .filter(|edge| feeds(**edge))
            .map(|edge| self.ends[*edge].0)
            .collect();
        while let Some(node) = open.pop() {
            if found.insert(node) {
                open.extend(self.inputs[node].iter().map(|edge| self.ends[*edge].0));
            }
        }
        loop {
            let stays = |edge: &usize| feeds(*edge) || found.contains(&self.ends[*edge].1);
            let shared: Vec<usize> = found.iter().copied().filter(|node| !outputs[*node].iter().all(stays)).collect();
            if shared.is_empty() {
                break;
            }
            found.retain(|node| !shared.contains(node));
        }
        if found.iter().any(|node| graph.nodes[*node].meta.id == "iterate") {
            BTreeSet::new()
        } else {
            found
        }
    }

    /// The part of a path that two nodes have in common: places in the paths of the one and of the other.
    pub(super) fn shared_axes(&self, a: usize, b: usize) -> Vec<(usize, usize)> {
        let places: HashMap<usize, usize> = self.axes[b]
            .iter()
            .enumerate()
            .map(|(place, iterator)| (*iterator, place))
            .collect();
        self.axes[a]
            .iter()
            .enumerate()
            .filter_map(|(place, iterator)| Some((place, *places.get(iterator)?)))
            .collect()
    }
}

/// Nodes by generations: those without inputs, then those that need only these, and so on.
fn order(inputs: &[Vec<usize>], outputs: &[Vec<usize>], ends: &[(usize, usize)]) -> Vec<usize> {
    let mut missing: Vec<usize> = inputs.iter().map(Vec::len).collect();
    let mut order: Vec<usize> = (0..inputs.len()).filter(|node| missing[*node] == 0).collect();
    let mut done = 0;
    while done < order.len() {
        for edge in &outputs[order[done]] {
            let to = ends[*edge].1;
            missing[to] -= 1;
            if missing[to] == 0 {
                order.push(to);
            }
        }
        done += 1;
    }
    order
}
