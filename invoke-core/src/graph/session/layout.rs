//! Laying out the executions of a node.

use std::collections::HashMap;

use serde_json::Value;

use super::{Execution, Feed, Session, State};

/// A combination of executions that feed one: the index under each iterator, as far as known, and the executions by the node they belong to.
#[derive(Debug, Clone)]
struct Row {
    path: Vec<Option<usize>>,
    from: Vec<(usize, usize)>,
}

impl Session {
    /// Lays out the next node that can be; `false` if there is none.
    pub(super) fn lay_out_next(&mut self, new_id: &mut dyn FnMut() -> String) -> bool {
        let Some(source) = self.plan.order.iter().copied().find(|source| self.can_be_laid_out(*source)) else {
            return false;
        };
        let rows = if self.graph.nodes[source].meta.id == "collect" {
            self.groups(source)
        } else {
            self.joined(source)
        };
        self.laid_out[source] = Some(Vec::new());
        for row in rows {
            for index in self.indices(source, &row) {
                self.add_execution(source, &row, index, new_id());
            }
        }
        self.link(source);
        let added = self.laid_out[source].clone().unwrap_or_default();
        if added.is_empty() {
            self.executed[source] = true;
            self.history.push(source);
        }
        for at in added {
            self.try_choose(at);
            if self.wanted(at) == Some(false) {
                self.skip(at);
            } else {
                self.offer(at);
            }
        }
        true
    }

    /// Executions of a node can be laid out once those of its inputs are, and it is known how often every iterator before it repeats.
    fn can_be_laid_out(&self, source: usize) -> bool {
        let mut inputs = self.plan.inputs[source].iter().map(|edge| self.plan.ends[*edge].0);
        let is_iterator = self.graph.nodes[source].meta.id == "iterate";
        self.laid_out[source].is_none()
            && self.plan.waits_for[source].iter().all(|iterator| self.executed[*iterator])
            && inputs.all(|from| self.laid_out[from].is_some() && (!is_iterator || self.executed[from]))
    }

    /// Every way to feed a node with one execution of each of its inputs, all of the same elements.
    fn joined(&self, source: usize) -> Vec<Row> {
        let mut rows = vec![Row {
            path: vec![None; self.plan.axes[source].len()],
            from: Vec::new(),
        }];
        let mut seen = Vec::new();
        for edge in &self.plan.inputs[source] {
            let from = self.plan.ends[*edge].0;
            if !seen.contains(&from) {
                seen.push(from);
                rows = self.join(source, rows, from);
            }
        }
        rows.sort_by(|a, b| a.path.cmp(&b.path));
        rows
    }

    /// The groups in which a collector gathers: one for every combination of the elements that it is repeated for.
    fn groups(&self, source: usize) -> Vec<Row> {
        let mut rows = vec![Row {
            path: vec![None; self.plan.axes[source].len()],
            from: Vec::new(),
        }];
        for iterator in &self.plan.axes[source] {
            rows = self.join(source, rows, *iterator);
        }
        rows.sort_by(|a, b| a.path.cmp(&b.path));
        for row in &mut rows {
            row.from.clear();
        }
        let mut seen = Vec::new();
        for edge in &self.plan.inputs[source] {
            let from = self.plan.ends[*edge].0;
            if seen.contains(&from) {
                continue;
            }
            seen.push(from);
            let shared = self.plan.shared_axes(source, from);
            let by_key = self.by_key(from, &shared);
            for row in &mut rows {
                let key: Vec<usize> = shared.iter().filter_map(|(mine, _)| row.path[*mine]).collect();
                row.from.extend(by_key.get(&key).into_iter().flatten().map(|at| (from, *at)));
            }
        }
        rows
    }

    /// Executions of a node that were not skipped, by their index on these axes.
    fn by_key(&self, from: usize, shared: &[(usize, usize)]) -> HashMap<Vec<usize>, Vec<usize>> {
        let mut by_key: HashMap<Vec<usize>, Vec<usize>> = HashMap::new();
        for at in self.laid_out[from].iter().flatten() {
            let execution = &self.executions[*at];
            if execution.state != State::Skipped {
                by_key
                    .entry(shared.iter().map(|(_, theirs)| execution.path[*theirs]).collect())
                    .or_default()
                    .push(*at);
            }
        }
        by_key
    }

    /// Extends rows by the executions of an input that fit them.
    fn join(&self, source: usize, rows: Vec<Row>, from: usize) -> Vec<Row> {
        let shared = self.plan.shared_axes(source, from);
        let known: Vec<(usize, usize)> = shared
            .iter()
            .copied()
            .filter(|(mine, _)| rows.first().is_some_and(|row| row.path[*mine].is_some()))
            .collect();
        let by_key = self.by_key(from, &known);
        let mut joined = Vec::with_capacity(rows.len());
        for row in rows {
            let key: Vec<usize> = known.iter().filter_map(|(mine, _)| row.path[*mine]).collect();
            for at in by_key.get(&key).into_iter().flatten() {
                let mut row = row.clone();
                for (mine, theirs) in &shared {
                    row.path[*mine] = Some(self.executions[*at].path[*theirs]);
                }
                row.from.push((from, *at));
                joined.push(row);
            }
        }
        joined
    }

    /// The indices under which one row is repeated: those of an iterator's elements, or just once.
    fn indices(&self, source: usize, row: &Row) -> Vec<Option<usize>> {
        if self.graph.nodes[source].meta.id != "iterate" {
            return vec![None];
        }
        let edge = self.plan.inputs[source]
            .iter()
            .find(|edge| self.graph.edges[**edge].destination.field == "collection");
        let elements = edge.and_then(|edge| {
            let at = row.from.iter().find(|(from, _)| *from == self.plan.ends[*edge].0)?.1;
            let output = self.results.get(self.executions.get_index(at)?.0)?;
            output.get(&self.graph.edges[*edge].source.field)?.as_array().map(Vec::len)
        });
        (0..elements.unwrap_or(0)).map(Some).collect()
    }

    fn add_execution(&mut self, source: usize, row: &Row, index: Option<usize>, id: String) {
        let node = &self.graph.nodes[source];
        let mut values = node.values.clone();
        values.insert("id".into(), id.clone().into());
        if let Some(index) = index {
            values.insert("index".into(), index.into());
        }
        if ["iterate", "collect"].contains(&node.meta.id) {
            // Running them costs less than looking their large inputs up.
            values.insert("use_cache".into(), Value::Bool(false));
        }
        let path: Vec<usize> = row.path.iter().copied().flatten().chain(index).collect();
        let mut feeds = Vec::new();
        for edge in &self.plan.inputs[source] {
            let from = self.plan.ends[*edge].0;
            feeds.extend(
                row.from
                    .iter()
                    .filter(|(node, _)| *node == from)
                    .map(|(_, at)| Feed { from: *at, edge: *edge }),
            );
        }
        let missing = feeds.iter().filter(|feed| !self.has_run(feed.from)).count();
        let at = self.executions.len();
        for feed in &feeds {
            self.executions[feed.from].feeds_into.push(at);
        }
        let execution = Execution {
            source,
            path,
            values,
            state: State::Waiting,
            feeds,
            feeds_into: Vec::new(),
            missing,
            taken: None,
        };
        self.executions.insert(id, execution);
        self.laid_out[source].get_or_insert_default().push(at);
        self.left[source] += 1;
    }
}
