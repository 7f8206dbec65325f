//! One execution of a graph: which node runs next, with which inputs.
//!
//! A node of the graph runs once, or once for every element of the iterators before it, or not at all. Each of these runs is an *execution* with
//! an id and a path, its index under every iterator. Executions are laid out as soon as it is known how many there are.

mod branches;
mod calls;
mod inputs;
pub mod json;
mod layout;
mod plan;
mod ready;

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use serde_json::{Map, Value};

use self::{plan::Plan, ready::Ready};
use super::{
    meta::NodeMeta,
    model::{Graph, ReadError},
};

/// Key under which an iterator is told how many elements there are, since it is given only its own.
const TOTAL: &str = "total";

/// A node about to run.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Its id among the executions.
    pub exec_id: String,
    /// Its id in the graph.
    pub source_id: String,
    /// Its description.
    pub meta: &'static NodeMeta,
    /// Its values, inputs filled in; its `id` is that of the execution.
    pub node: Value,
}

impl Prepared {
    /// Its values as events carry them: without the collections that repeat and gather.
    pub fn event_node(&self) -> Value {
        let mut node = self.node.clone();
        if ["iterate", "collect"].contains(&self.meta.id) {
            node["collection"] = Value::Array(Vec::new());
        }
        if let Value::Object(values) = &mut node {
            values.shift_remove(TOTAL);
        }
        node
    }
}

/// An input does not take what an edge brought.
#[derive(Debug, Clone, thiserror::Error)]
#[error("Node {} has invalid incoming input for {field}", .prepared.exec_id)]
pub struct NodeInputError {
    /// The node, inputs filled in as far as they fit.
    pub prepared: Prepared,
    /// The way to what does not fit.
    pub field: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Ready,
    Executed,
    Skipped,
}

/// An edge into an execution.
#[derive(Debug, Clone, Copy)]
struct Feed {
    /// The execution that it comes from.
    from: usize,
    /// The edge of the graph that it stands for.
    edge: usize,
}

/// One run of a node.
#[derive(Debug)]
struct Execution {
    source: usize,
    path: Vec<usize>,
    values: Map<String, Value>,
    state: State,
    feeds: Vec<Feed>,
    /// Executions that it feeds, once for every edge.
    feeds_into: Vec<usize>,
    /// How many of its feeds have not run.
    missing: usize,
    /// Of an `if`: the branch taken, once known.
    taken: Option<bool>,
}

/// The execution of a graph.
#[derive(Debug)]
pub struct Session {
    id: String,
    graph: Graph,
    plan: Plan,
    execution_graph_id: String,
    executions: IndexMap<String, Execution>,
    /// Executions of each node of the graph, once they are laid out.
    laid_out: Vec<Option<Vec<usize>>>,
    /// How many of these have not run.
    left: Vec<usize>,
    /// For a node and one related to it by a branch: executions of the latter, by their indices on the axes that both have.
    links: HashMap<(usize, usize), HashMap<Vec<usize>, Vec<usize>>>,
    executed: Vec<bool>,
    history: Vec<usize>,
    results: IndexMap<String, Value>,
    errors: IndexMap<String, String>,
    ready: Ready,
    calls: json::Calls,
}

impl Session {
    /// The session of a graph of which nothing has run. `new_id` makes the id of its execution graph.
    pub fn new(graph: Graph, id: String, new_id: &mut dyn FnMut() -> String) -> Self {
        Self::with(graph, id, new_id(), json::Calls::default())
    }

    fn with(graph: Graph, id: String, execution_graph_id: String, calls: json::Calls) -> Self {
        let n = graph.nodes.len();
        Self {
            id,
            plan: Plan::of(&graph),
            graph,
            execution_graph_id,
            executions: IndexMap::new(),
            laid_out: vec![None; n],
            left: vec![0; n],
            links: HashMap::new(),
            executed: vec![false; n],
            history: Vec::new(),
            results: IndexMap::new(),
            errors: IndexMap::new(),
            ready: Ready::default(),
            calls,
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// What the executions returned, in the order in which they ran.
    pub fn results(&self) -> &IndexMap<String, Value> {
        &self.results
    }

    /// The next node to run, `None` if none can run. `new_id` makes ids of executions.
    ///
    /// # Errors
    /// An input of the node does not take what an edge brought; the node is the session's next all the same.
    pub fn next(&mut self, new_id: &mut dyn FnMut() -> String) -> Result<Option<Prepared>, Box<NodeInputError>> {
        let mut found = self.take_ready();
        if found.is_none() {
            let mut more = self.lay_out_next(new_id);
            while more {
                more = self.lay_out_next(new_id);
                if found.is_none() {
                    found = self.take_ready();
                }
            }
        }
        let Some(at) = found else { return Ok(None) };
        let problem = self.fill_inputs(at);
        let (exec_id, execution) = self.executions.get_index(at).expect("a ready execution exists");
        let (source_id, source) = self
            .graph
            .nodes
            .get_index(execution.source)
            .expect("an execution's node is in the graph");
        let node = Value::Object(execution.values.clone());
        let prepared = Prepared {
            exec_id: exec_id.clone(),
            source_id: source_id.clone(),
            meta: source.meta,
            node,
        };
        match problem {
            None => Ok(Some(prepared)),
            Some(field) => Err(Box::new(NodeInputError { prepared, field })),
        }
    }

    /// Takes what an execution returned and frees what waited for it.
    pub fn complete(&mut self, exec_id: &str, output: Value) {
        let Some(at) = self.executions.get_index_of(exec_id) else { return };
        self.results.insert(exec_id.to_owned(), output);
        if self.has_run(at) {
            return;
        }
        let execution = &mut self.executions[at];
        execution.state = State::Executed;
        if ["iterate", "collect"].contains(&self.graph.nodes[execution.source].meta.id) {
            execution.values.insert("collection".into(), Value::Array(Vec::new()));
            execution.values.shift_remove(TOTAL);
        }
        self.note_done(at);
        for child in self.executions[at].feeds_into.clone() {
            self.executions[child].missing -= 1;
            self.try_choose(child);
            self.offer(child);
        }
    }

    /// Notes an execution's failure, which ends the session; `error` is `Type: message`.
    pub fn fail(&mut self, exec_id: &str, error: impl Into<String>) {
        self.errors.insert(exec_id.to_owned(), error.into());
    }

    /// Whether nothing is left to do.
    pub fn is_complete(&self) -> bool {
        !self.calls.is_waiting() && (self.has_error() || self.executed.iter().all(|done| *done))
    }

    /// Whether an execution failed.
    pub fn has_error(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Counts an execution that has run or never will.
    fn note_done(&mut self, at: usize) {
        let source = self.executions[at].source;
        self.left[source] -= 1;
        if self.left[source] == 0 {
            self.executed[source] = true;
            self.history.push(source);
        }
    }

    fn has_run(&self, at: usize) -> bool {
        matches!(self.executions[at].state, State::Executed | State::Skipped)
    }

    /// Ids of everything that has run: executions, and nodes of which every execution has.
    fn executed_ids(&self) -> HashSet<&str> {
        let executions = self
            .executions
            .iter()
            .filter(|(_, e)| matches!(e.state, State::Executed | State::Skipped))
            .map(|(id, _)| id.as_str());
        let sources = self
            .graph
            .nodes
            .keys()
            .zip(&self.executed)
            .filter(|(_, done)| **done)
            .map(|(id, _)| id.as_str());
        executions.chain(sources).collect()
    }
}

/// What is missing before a node can run: class and text of the error.
pub fn missing_input(meta: &NodeMeta, node: &Value) -> Option<(&'static str, String)> {
    use super::meta::Input;
    let field = meta
        .fields
        .iter()
        .find(|field| field.required && node.get(field.name).is_none_or(Value::is_null) && field.default == Some("null"))?;
    Some(match field.input {
        Input::Connection => (
            "RequiredConnectionException",
            format!("Node {} missing connections for field {}", meta.id, field.name),
        ),
        Input::Any | Input::Direct => (
            "MissingInputException",
            format!("Node {} missing value or connection for field {}", meta.id, field.name),
        ),
    })
}

#[cfg(test)]
mod tests;
