//! Branches: what feeds only the one that is not taken does not run.

use std::collections::HashMap;

use serde_json::Value;

use super::{Session, State, plan::Branch};

impl Session {
    /// Whether an execution is wanted by the branches that it serves: `None` while that hangs on a condition.
    pub(super) fn wanted(&self, at: usize) -> Option<bool> {
        let source = self.executions[at].source;
        let mut open = false;
        for branch in &self.plan.branches[source] {
            match self.wanted_by(at, *branch) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => open = true,
            }
        }
        if open { None } else { Some(true) }
    }

    fn wanted_by(&self, at: usize, branch: Branch) -> Option<bool> {
        let mut open = false;
        for chooser in self.matching(at, branch.chooser)? {
            let chooser = &self.executions[*chooser];
            match chooser.taken {
                Some(taken) if taken == branch.when => return Some(true),
                Some(_) => {}
                None => open |= chooser.state != State::Skipped,
            }
        }
        if open { None } else { Some(false) }
    }

    /// Executions of a related node for the same elements; `None` before they are laid out.
    fn matching(&self, at: usize, other: usize) -> Option<&[usize]> {
        self.laid_out[other].as_ref()?;
        let execution = &self.executions[at];
        let key: Vec<usize> = self
            .plan
            .shared_axes(execution.source, other)
            .iter()
            .map(|(mine, _)| execution.path[*mine])
            .collect();
        let found = self.links.get(&(execution.source, other)).and_then(|by_key| by_key.get(&key));
        Some(found.map_or(&[], Vec::as_slice))
    }

    /// Makes the executions of a node findable by those of the nodes that are related to it.
    pub(super) fn link(&mut self, source: usize) {
        for other in &self.plan.related[source] {
            let shared = self.plan.shared_axes(*other, source);
            let mut by_key: HashMap<Vec<usize>, Vec<usize>> = HashMap::new();
            for at in self.laid_out[source].iter().flatten() {
                let path = &self.executions[*at].path;
                by_key
                    .entry(shared.iter().map(|(_, mine)| path[*mine]).collect())
                    .or_default()
                    .push(*at);
            }
            self.links.insert((*other, source), by_key);
        }
    }

    /// Marks an execution as one that will never run.
    pub(super) fn skip(&mut self, at: usize) {
        if self.has_run(at) {
            return;
        }
        self.executions[at].state = State::Skipped;
        self.note_done(at);
        // What served only a skipped choice is not waited for either.
        self.settle(at);
    }

    /// Takes an `if`'s branch once its condition is known.
    pub(super) fn try_choose(&mut self, at: usize) {
        let execution = &self.executions[at];
        if self.graph.nodes[execution.source].meta.id != "if" || execution.taken.is_some() || self.has_run(at) {
            return;
        }
        let field = |edge: usize| self.graph.edges[edge].destination.field.as_str();
        let mut condition = execution.values.get("condition").cloned();
        for feed in execution.feeds.iter().filter(|feed| field(feed.edge) == "condition") {
            let (id, from) = self.executions.get_index(feed.from).expect("a feed comes from an execution");
            if from.state != State::Executed {
                return;
            }
            condition = self.results[id].get(&self.graph.edges[feed.edge].source.field).cloned();
        }
        let taken = condition.as_ref().is_some_and(is_true);
        let cut = if taken { "false_input" } else { "true_input" };
        let removed: Vec<usize> = execution
            .feeds
            .iter()
            .filter(|feed| field(feed.edge) == cut)
            .map(|feed| feed.from)
            .collect();
        let kept = execution.feeds.iter().copied().filter(|feed| field(feed.edge) != cut).collect();

        let unmet = removed.iter().filter(|from| !self.has_run(**from)).count();
        let execution = &mut self.executions[at];
        execution.taken = Some(taken);
        execution.values.insert("condition".into(), Value::Bool(taken));
        execution.feeds = kept;
        execution.missing -= unmet;
        for from in removed {
            let children = &mut self.executions[from].feeds_into;
            if let Some(place) = children.iter().position(|child| *child == at) {
                children.remove(place);
            }
        }
        self.settle(at);
        self.offer(at);
    }

    /// Runs or skips what waited for an `if`.
    fn settle(&mut self, chooser: usize) {
        let source = self.executions[chooser].source;
        if self.plan.related[source].is_empty() || self.graph.nodes[source].meta.id != "if" {
            return;
        }
        for served in self.plan.order.clone() {
            if !self.plan.branches[served].iter().any(|branch| branch.chooser == source) {
                continue;
            }
            for at in self.matching(chooser, served).map(<[usize]>::to_vec).unwrap_or_default() {
                match self.wanted(at) {
                    Some(true) => self.offer(at),
                    Some(false) => self.skip(at),
                    None => {}
                }
            }
        }
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        _ => false,
    }
}
