//! Branches: what feeds only the one that is not taken does not run.

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
        let choosers = self.laid_out[branch.chooser].as_ref()?;
        let shared = self.plan.shared_axes(self.executions[at].source, branch.chooser);
        let path = &self.executions[at].path;
        let mut open = false;
        for chooser in choosers {
            let chooser = &self.executions[*chooser];
            if shared.iter().any(|(mine, theirs)| path[*mine] != chooser.path[*theirs]) {
                continue;
            }
            match chooser.taken {
                Some(taken) if taken == branch.when => return Some(true),
                Some(_) => {}
                None => open |= chooser.state != State::Skipped,
            }
        }
        if open { None } else { Some(false) }
    }

    /// Marks an execution as one that will never run.
    pub(super) fn skip(&mut self, at: usize) {
        if self.has_run(at) {
            return;
        }
        self.executions[at].state = State::Skipped;
        self.note_source_done(at);
        // What served only a skipped choice is no longer waited for either.
        self.settle(self.executions[at].source);
    }

    /// Takes an `if`'s branch once its condition is known.
    pub(super) fn try_choose(&mut self, at: usize) {
        let execution = &self.executions[at];
        let source = execution.source;
        if self.graph.nodes[source].meta.id != "if" || execution.taken.is_some() || self.has_run(at) {
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
        self.settle(source);
        self.offer(at);
    }

    /// Runs or skips what waited for an `if`.
    fn settle(&mut self, chooser: usize) {
        if self.graph.nodes[chooser].meta.id != "if" {
            return;
        }
        for source in 0..self.plan.branches.len() {
            if !self.plan.branches[source].iter().any(|branch| branch.chooser == chooser) {
                continue;
            }
            for at in self.laid_out[source].clone().into_iter().flatten() {
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
