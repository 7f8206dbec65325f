//! Sessions as JSON, in the shape that InvokeAI stores and sends.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Execution, Feed, ReadError, Session, State};
use crate::graph::{
    model::{Edge, Graph, Node, Port, without_nulls},
    registry::Registry,
};

/// Calls of saved workflows: kept as they are, the queue reads and writes them.
#[derive(Debug, Clone)]
pub struct Calls(Map<String, Value>);

impl Default for Calls {
    fn default() -> Self {
        let Value::Object(calls) = json!({
            "workflow_call_stack": [],
            "workflow_call_history": [],
            "workflow_call_parent": null,
            "waiting_workflow_call": null,
            "waiting_workflow_call_execution": null,
            "waiting_workflow_call_child_session": null,
            "max_workflow_call_depth": 4,
        }) else {
            unreachable!("the literal is an object")
        };
        Self(calls)
    }
}

impl Calls {
    /// Whether the session waits for a called workflow.
    pub fn is_waiting(&self) -> bool {
        self.0.get("waiting_workflow_call").is_some_and(|call| !call.is_null())
    }

    /// One of the entries; null if it is not set.
    pub fn get(&self, key: &str) -> &Value {
        self.0.get(key).unwrap_or(&Value::Null)
    }

    /// Sets one of the entries.
    pub fn set(&mut self, key: &str, value: Value) {
        self.0.insert(key.into(), value);
    }
}

/// The parts of a stored session that tell how far it got.
#[derive(Debug, Deserialize)]
struct Stored {
    id: String,
    graph: Value,
    execution_graph: Value,
    #[serde(default)]
    executed: Vec<String>,
    #[serde(default)]
    executed_history: Vec<String>,
    #[serde(default)]
    results: IndexMap<String, Value>,
    #[serde(default)]
    errors: IndexMap<String, String>,
    #[serde(default)]
    prepared_source_mapping: IndexMap<String, String>,
    #[serde(default)]
    source_prepared_mapping: IndexMap<String, Vec<String>>,
    #[serde(default)]
    prepared_iteration_paths: IndexMap<String, Vec<usize>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Session {
    /// Calls of saved workflows.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Its JSON form, nulls included.
    pub fn to_value(&self) -> Value {
        let id_of = |at: usize| self.executions.get_index(at).map(|(id, _)| id.as_str()).unwrap_or_default();
        let mut edges: Vec<(usize, usize, Feed)> = Vec::new();
        for (at, execution) in self.executions.values().enumerate() {
            edges.extend(execution.feeds.iter().enumerate().map(|(place, feed)| (at, place, *feed)));
        }
        let edges: Vec<Edge> = edges
            .into_iter()
            .map(|(at, _, feed)| {
                let edge = &self.graph.edges[feed.edge];
                let source = Port {
                    node_id: id_of(feed.from).to_owned(),
                    field: edge.source.field.clone(),
                };
                Edge {
                    source,
                    destination: Port {
                        node_id: id_of(at).to_owned(),
                        field: edge.destination.field.clone(),
                    },
                }
            })
            .collect();
        let nodes: Map<String, Value> = self
            .executions
            .iter()
            .map(|(id, e)| (id.clone(), Value::Object(e.values.clone())))
            .collect();
        let source_id = |source: usize| self.graph.nodes.get_index(source).map(|(id, _)| id.as_str()).unwrap_or_default();
        let by_source: Map<String, Value> = self
            .laid_out
            .iter()
            .enumerate()
            .filter_map(|(source, laid_out)| {
                Some((
                    source_id(source).to_owned(),
                    laid_out.as_ref()?.iter().map(|at| id_of(*at)).collect(),
                ))
            })
            .collect();
        let by_execution: Map<String, Value> = self
            .executions
            .iter()
            .map(|(id, e)| (id.clone(), source_id(e.source).into()))
            .collect();
        let paths: Map<String, Value> = self.executions.iter().map(|(id, e)| (id.clone(), json!(e.path))).collect();
        let missing: Map<String, Value> = self.executions.iter().map(|(id, e)| (id.clone(), e.missing.into())).collect();
        let mut executed: Vec<&str> = self.executed_ids().into_iter().collect();
        executed.sort_unstable();
        let mut value = json!({
            "id": self.id,
            "graph": self.graph.to_value(),
            "execution_graph": {"id": self.execution_graph_id, "nodes": nodes, "edges": edges},
            "executed": executed,
            "executed_history": self.history.iter().map(|source| source_id(*source)).collect::<Vec<_>>(),
            "results": self.results,
            "errors": self.errors,
        });
        let Value::Object(map) = &mut value else {
            unreachable!("the literal is an object")
        };
        map.extend(self.calls.0.clone());
        map.insert("prepared_source_mapping".into(), Value::Object(by_execution));
        map.insert("source_prepared_mapping".into(), Value::Object(by_source));
        map.insert("prepared_iteration_paths".into(), Value::Object(paths));
        map.insert("ready_order".into(), json!([]));
        map.insert("indegree".into(), Value::Object(missing));
        value
    }

    /// Its JSON form as it is stored, nulls left out.
    pub fn to_stored(&self) -> Value {
        without_nulls(self.to_value())
    }

    /// Reads a stored session and goes on where it stood.
    ///
    /// # Errors
    /// It is malformed, or a node's type is no longer offered.
    pub fn from_stored(registry: &Registry, stored: Value) -> Result<Self, ReadError> {
        let stored: Stored = serde_json::from_value(stored)?;
        let mut calls = Calls::default();
        for (key, value) in stored.rest {
            if calls.0.contains_key(&key) {
                calls.0.insert(key, value);
            }
        }
        let Graph {
            id: execution_graph_id,
            nodes,
            edges,
        } = Graph::from_stored(registry, stored.execution_graph)?;
        let mut session = Self::with(Graph::from_stored(registry, stored.graph)?, stored.id, execution_graph_id, calls);
        session.results = stored.results;
        session.errors = stored.errors;
        let source_of = |id: &str| session.graph.nodes.get_index_of(id);
        let mut executions = IndexMap::with_capacity(nodes.len());
        for (id, Node { values, .. }) in nodes {
            let source = stored.prepared_source_mapping.get(&id).and_then(|id| source_of(id));
            let source = source.ok_or(ReadError::Malformed("prepared_source_mapping"))?;
            let path = stored.prepared_iteration_paths.get(&id).cloned().unwrap_or_default();
            if path.len() != session.plan.axes[source].len() {
                return Err(ReadError::Malformed("prepared_iteration_paths"));
            }
            if let Some(Value::Object(output)) = session.results.get_mut(&id) {
                let output = std::mem::take(output);
                let completed = session.graph.nodes[source].meta.output.completed(output);
                session.results.insert(id.clone(), completed);
            }
            let has_run = stored.executed.contains(&id);
            let state = match (has_run, session.results.contains_key(&id)) {
                (true, true) => State::Executed,
                (true, false) => State::Skipped,
                (false, _) => State::Waiting,
            };
            executions.insert(
                id,
                Execution {
                    source,
                    path,
                    values,
                    state,
                    feeds: Vec::new(),
                    feeds_into: Vec::new(),
                    missing: 0,
                    taken: None,
                },
            );
        }
        session.executions = executions;
        session.restore_feeds(&edges)?;
        for (source, ids) in &stored.source_prepared_mapping {
            let source = session
                .graph
                .nodes
                .get_index_of(source)
                .ok_or(ReadError::Malformed("source_prepared_mapping"))?;
            let places = ids.iter().map(|id| {
                session
                    .executions
                    .get_index_of(id)
                    .ok_or(ReadError::Malformed("source_prepared_mapping"))
            });
            let places = places.collect::<Result<Vec<usize>, _>>()?;
            session.left[source] = places.iter().filter(|at| !session.has_run(**at)).count();
            session.laid_out[source] = Some(places);
            session.link(source);
        }
        for id in &stored.executed {
            if let Some(source) = session.graph.nodes.get_index_of(id) {
                session.executed[source] = true;
            }
        }
        session.history = stored
            .executed_history
            .iter()
            .filter_map(|id| session.graph.nodes.get_index_of(id))
            .collect();
        for at in 0..session.executions.len() {
            session.restore_choice(at);
            session.try_choose(at);
            session.offer(at);
        }
        Ok(session)
    }

    fn restore_feeds(&mut self, edges: &[Edge]) -> Result<(), ReadError> {
        for edge in edges {
            let places = (
                self.executions.get_index_of(&edge.source.node_id),
                self.executions.get_index_of(&edge.destination.node_id),
            );
            let (Some(from), Some(at)) = places else {
                return Err(ReadError::Malformed("an edge of the execution graph"));
            };
            let ends = (self.executions[from].source, self.executions[at].source);
            let stands_for = |place: &usize| {
                let original = &self.graph.edges[*place];
                self.plan.ends[*place] == ends
                    && original.source.field == edge.source.field
                    && original.destination.field == edge.destination.field
            };
            let edge = (0..self.graph.edges.len())
                .find(stands_for)
                .ok_or(ReadError::Malformed("an edge of the execution graph"))?;
            let has_run = self.has_run(from);
            self.executions[from].feeds_into.push(at);
            let execution = &mut self.executions[at];
            execution.feeds.push(Feed { from, edge });
            execution.missing += usize::from(!has_run);
        }
        Ok(())
    }

    /// A choice that was made before shows in the edges that are left.
    fn restore_choice(&mut self, at: usize) {
        let execution = &self.executions[at];
        if self.graph.nodes[execution.source].meta.id == "if" && execution.state == State::Executed {
            let taken = execution.values.get("condition").and_then(Value::as_bool).unwrap_or(false);
            self.executions[at].taken = Some(taken);
        }
    }
}

/// The session that stands in for one that the caller may not see: without nodes, with this id.
pub fn empty_session(id: &str, new_id: &mut dyn FnMut() -> String) -> Value {
    Session::new(Graph::empty(new_id()), id.to_owned(), new_id).to_value()
}
