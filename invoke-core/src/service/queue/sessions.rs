//! From what is stored of an item to its session.
//!
//! Before an item has run, its session follows from its batch's graph and its own values; afterwards it is stored as it ended.

use serde_json::{Map, Value};

use crate::{
    db::ReadTx,
    domain::{
        Error, Result,
        queue_item::{Likeness, QueueItem},
    },
    env::Env,
    graph::{Graph, Registry, Session, batch::put_values, session::json::empty_session},
    queue::likeness,
    repo::queue as repo,
};

fn missing(item: &QueueItem) -> Error {
    Error::internal(
        "reading a session",
        format!("item {} has neither a session nor a graph", item.item_id),
    )
}

/// The item's graph as stored JSON: its batch's, or the one in its own session.
pub(super) fn graph_of(tx: &ReadTx<'_>, item: &QueueItem) -> Result<String> {
    let stored = repo::stored_session(tx, item)?;
    if let Some(graph) = stored.graph {
        return Ok(graph);
    }
    let session: Value = serde_json::from_str(stored.session.as_deref().ok_or_else(|| missing(item))?)?;
    session.get("graph").map(Value::to_string).ok_or_else(|| missing(item))
}

fn fresh(registry: &Registry, env: &Env, item: &QueueItem, graph: &str) -> Result<Session> {
    let mut graph: Map<String, Value> = serde_json::from_str(graph)?;
    put_values(&mut graph, item.field_values.as_deref().unwrap_or_default());
    let graph = Graph::from_stored(registry, Value::Object(graph)).map_err(|error| Error::internal("reading a graph", error))?;
    Ok(Session::new(graph, item.session_id.to_string(), &mut || env.uuid()))
}

/// What an engine needs of an item.
pub(super) struct Prepared {
    /// The session's state.
    pub(super) session: Value,
    /// With which others it may run; a session that has begun before runs alone.
    pub(super) likeness: Option<Likeness>,
    /// What its pictures carry.
    pub(super) workflow: Option<String>,
}

/// The session as an engine takes it.
pub(super) fn prepare(registry: &Registry, env: &Env, tx: &ReadTx<'_>, item: &QueueItem) -> Result<Prepared> {
    let stored = repo::stored_session(tx, item)?;
    let (session, likeness) = match (stored.session, stored.graph) {
        (Some(session), _) => (serde_json::from_str(&session)?, None),
        (None, Some(graph)) => {
            let session = fresh(registry, env, item, &graph)?;
            // The values are in the graph already.
            (session.to_stored(), likeness::of(session.graph(), &[]))
        }
        (None, None) => return Err(missing(item)),
    };
    Ok(Prepared {
        session,
        likeness,
        workflow: stored.workflow,
    })
}

/// Session and workflow as clients read them.
pub(super) fn stored(registry: &Registry, env: &Env, tx: &ReadTx<'_>, item: &QueueItem) -> Result<(Value, Value)> {
    let stored = repo::stored_session(tx, item)?;
    let session = match (stored.session, stored.graph) {
        (Some(text), _) => {
            let value: Value = serde_json::from_str(&text)?;
            // A session of nodes that are no longer offered is shown as it was stored.
            Session::from_stored(registry, value.clone()).map_or(value, |session| session.to_value())
        }
        (None, Some(graph)) => fresh(registry, env, item, &graph)?.to_value(),
        (None, None) => return Err(missing(item)),
    };
    let workflow = stored
        .workflow
        .as_deref()
        .map(serde_json::from_str)
        .transpose()?
        .unwrap_or(Value::Null);
    Ok((session, workflow))
}

/// What stands in place of a session that is none of the viewer's business.
pub(super) fn redacted(env: &Env) -> Value {
    empty_session("redacted", &mut || env.uuid())
}
