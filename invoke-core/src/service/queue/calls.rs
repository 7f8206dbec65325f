//! Items that call saved workflows: a caller waits while another item runs what it called, and goes on with what that returns.
//!
//! All of a chain of calls lives and dies together: a failure runs up to the first caller, a cancellation through the whole chain.

use serde_json::{Map, Value};

use super::{Queue, announce, change::Aftermath};
use crate::{
    authz::{Actor, acts, authorize, authorize_global},
    db::WriteTx,
    domain::{
        Error, ItemId, Result, SessionId,
        queue_item::{CallOf, Ending, Failure, ItemStatus, QueueItem},
    },
    engine::NodeRef,
    events::{Event, InvocationBase},
    graph::{Graph, Registry, Session, session::Prepared, validate, workflow},
    queue::cost,
    repo::{queue as repo, workflows},
};

/// A workflow, ready to be called.
struct Callee {
    graph: Graph,
    call_id: String,
    session: Session,
}

fn value_error(message: &str) -> Failure {
    Failure {
        error_type: "ValueError".into(),
        error_message: message.to_owned(),
        error_traceback: format!("ValueError: {message}"),
    }
}

/// What the events of an item's nodes have in common.
pub(super) fn invocation(item: &QueueItem, node: NodeRef) -> InvocationBase {
    InvocationBase {
        queue_id: item.queue_id.clone(),
        item_id: item.item_id,
        batch_id: item.batch_id.clone(),
        origin: item.origin.clone(),
        destination: item.destination.clone(),
        user_id: item.user_id.clone(),
        session_id: item.session_id.clone(),
        invocation: node.invocation,
        invocation_source_id: node.source_id,
    }
}

fn node_of(prepared: Option<Prepared>) -> NodeRef {
    prepared.map_or_else(
        || NodeRef {
            invocation: Value::Object(Map::new()),
            source_id: String::new(),
        },
        |prepared| NodeRef {
            invocation: prepared.event_node(),
            source_id: prepared.source_id,
        },
    )
}

fn read(registry: &Registry, session: &str) -> Result<Session> {
    Session::from_stored(registry, serde_json::from_str(session)?).map_err(|error| Error::internal("reading a session", error))
}

impl Queue {
    /// A running item came to a call: it waits from now on, and what it called is an item of its own. A call that cannot be made fails the item.
    pub(super) fn begin_call(&self, item_id: ItemId, owner: &Actor, session: &Value, exec_id: &str) -> Result<()> {
        let mut session =
            Session::from_stored(&self.registry, session.clone()).map_err(|error| Error::internal("reading a session", error))?;
        self.change(|tx, aftermath| {
            let Some(item) = repo::running_item(tx, item_id)? else {
                // Canceled or deleted on the way.
                return Ok(());
            };
            let called = self.callee(tx, owner, &session, exec_id)?;
            let called = match called {
                Ok(called) => self.enqueue_callee(tx, owner, &item, &mut session, exec_id, called)?,
                Err(message) => Err(message),
            };
            match called {
                Ok(child) => {
                    aftermath.events.push(announce::status_changed(tx, &child)?);
                    aftermath.wake = true;
                    if let Some(repo::Change(item)) = repo::suspend(tx, item_id, &session.to_stored().to_string(), self.shared.env.now())? {
                        aftermath.events.push(announce::status_changed(tx, &item)?);
                    }
                }
                Err(message) => {
                    session.fail(exec_id, format!("ValueError: {message}"));
                    self.fail_caller(tx, &item, &session, exec_id, &message, aftermath)?;
                }
            }
            Ok(())
        })
    }

    /// The workflow that an execution names, as its owner may see it at this moment; or why it cannot be called.
    fn callee(&self, tx: &WriteTx<'_>, owner: &Actor, session: &Session, exec_id: &str) -> Result<Result<Callee, String>> {
        let prepared = session.prepared(exec_id);
        let id = prepared
            .as_ref()
            .and_then(|prepared| prepared.node["workflow_id"].as_str())
            .unwrap_or_default();
        if id.is_empty() {
            return Ok(Err("A saved workflow must be selected before executing call_saved_workflow.".into()));
        }
        let found = match authorize::<acts::ReadWorkflow, _>(owner, workflows::find(tx, id)?) {
            Ok(found) => found,
            Err(Error::NotFound(_)) => return Ok(Err(format!("The selected saved workflow '{id}' could not be found."))),
            Err(Error::Forbidden(_)) => return Ok(Err(format!("The selected saved workflow '{id}' is not accessible to this user."))),
            Err(error) => return Err(error),
        };
        let env = &self.shared.env;
        let graph = workflow::graph_of(&self.registry, &found.document, &session.call_inputs(exec_id)).and_then(|graph| {
            validate::graph(&self.registry, graph, &[], || env.uuid()).map_err(|issues| {
                let first = issues.first().map(|issue| issue.msg.clone()).unwrap_or_default();
                format!("The selected saved workflow '{id}' cannot run: {first}")
            })
        });
        Ok(graph.map(|graph| Callee {
            session: Session::new(graph.clone(), env.uuid(), &mut || env.uuid()),
            graph,
            call_id: env.uuid(),
        }))
    }

    /// Enqueues what is called, in the name and with the rank of the caller.
    fn enqueue_callee(
        &self,
        tx: &mut WriteTx<'_>,
        owner: &Actor,
        item: &QueueItem,
        session: &mut Session,
        exec_id: &str,
        mut called: Callee,
    ) -> Result<Result<QueueItem, String>> {
        if repo::capacity_left(tx, &item.queue_id, self.shared.config.max_queue_size())? == 0 {
            return Ok(Err(
                "call_saved_workflow exceeds remaining queue capacity for child workflow executions".into(),
            ));
        }
        let prepared = session.prepared(exec_id);
        let workflow_id = prepared
            .as_ref()
            .and_then(|prepared| prepared.node["workflow_id"].as_str())
            .unwrap_or_default();
        let depth = match session.call(exec_id, workflow_id, &called.call_id, &mut called.session) {
            Ok(depth) => depth,
            Err(message) => return Ok(Err(message)),
        };
        let leave = authorize_global::<acts::UseServer>(owner)?;
        let graph = called.graph.to_value().to_string();
        let batch = repo::NewBatch {
            queue_id: &item.queue_id,
            batch_id: &item.batch_id,
            user_id: &item.user_id,
            by_key: item.by_key,
            origin: item.origin.as_deref(),
            destination: item.destination.as_deref(),
            priority: item.priority,
            cost: cost::of(&called.graph, &[]),
            models: &cost::models(&called.graph),
            fields: None,
            graph: &graph,
            workflow: None,
            now: self.shared.env.now(),
        };
        let new = repo::NewItem {
            session_id: Some(SessionId::new(called.session.id())),
            session: Some(called.session.to_stored().to_string()),
            call: Some(CallOf {
                workflow_call_id: called.call_id,
                parent_item_id: item.item_id,
                parent_session_id: item.session_id.to_string(),
                root_item_id: item.root_item_id.unwrap_or(item.item_id),
                depth,
            }),
            ..repo::NewItem::default()
        };
        let child = repo::insert_batch(tx, &leave, &batch, [new])?.start;
        session.note_child_item(child);
        Ok(Ok(repo::reload(tx, child)?))
    }

    /// Fails an item whose call failed, and whoever called it.
    fn fail_caller(
        &self,
        tx: &mut WriteTx<'_>,
        item: &QueueItem,
        session: &Session,
        exec_id: &str,
        message: &str,
        aftermath: &mut Aftermath,
    ) -> Result<()> {
        let failure = value_error(message);
        let stored = session.to_stored().to_string();
        let ended = repo::finish(
            tx,
            item.item_id,
            &Ending::Failed(failure.clone()),
            Some(&stored),
            self.shared.env.now(),
        )?;
        let Some(repo::Change(item)) = ended else { return Ok(()) };
        // That the item failed is told before what its node ran into.
        aftermath.events.push(announce::status_changed(tx, &item)?);
        aftermath.events.push(Event::InvocationError {
            base: invocation(&item, node_of(session.prepared(exec_id))),
            error_type: failure.error_type,
            error_message: failure.error_message,
            error_traceback: failure.error_traceback,
        });
        self.settle_caller(tx, &item, aftermath)
    }

    /// An item ended: if another called it, that goes on with what it returned, fails as it failed, or is canceled as it was.
    pub(super) fn settle_caller(&self, tx: &mut WriteTx<'_>, child: &QueueItem, aftermath: &mut Aftermath) -> Result<()> {
        let Some(parent_id) = child.parent_item_id else { return Ok(()) };
        if child.status == ItemStatus::Canceled {
            return self.cancel_chain(tx, child, aftermath);
        }
        let Some(parent) = repo::waiting_item(tx, parent_id)? else {
            return Ok(());
        };
        let stored = repo::stored_session(tx, &parent)?.session.unwrap_or_default();
        let mut session = read(&self.registry, &stored)?;
        let Some(exec_id) = session.waiting_execution() else {
            return Ok(());
        };
        let returned = if child.status == ItemStatus::Completed {
            let stored = repo::stored_session(tx, child)?.session.unwrap_or_default();
            read(&self.registry, &stored)?.returned().cloned()
        } else {
            Err(child
                .error_message
                .clone()
                .unwrap_or_else(|| "The selected saved workflow failed.".into()))
        };
        match returned {
            Err(message) => {
                session.call_failed(&message);
                self.fail_caller(tx, &parent, &session, &exec_id, &message, aftermath)
            }
            Ok(output) => {
                let node = node_of(session.prepared(&exec_id));
                session.call_returned(child.item_id, &output);
                let (now, stored) = (self.shared.env.now(), session.to_stored().to_string());
                aftermath.events.push(Event::InvocationComplete {
                    base: invocation(&parent, node),
                    result: output,
                });
                if session.is_complete() {
                    let Some(repo::Change(parent)) = repo::finish(tx, parent_id, &Ending::Completed, Some(&stored), now)? else {
                        return Ok(());
                    };
                    aftermath.events.push(announce::status_changed(tx, &parent)?);
                    return self.settle_caller(tx, &parent, aftermath);
                }
                if let Some(repo::Change(parent)) = repo::resume(tx, parent_id, &stored, now)? {
                    aftermath.events.push(announce::status_changed(tx, &parent)?);
                    aftermath.wake = true;
                }
                Ok(())
            }
        }
    }

    /// Cancels what has not ended of the chain of calls that an item belongs to, itself included.
    pub(super) fn cancel_chain(&self, tx: &mut WriteTx<'_>, item: &QueueItem, aftermath: &mut Aftermath) -> Result<()> {
        for item_id in repo::chain_of(tx, item.root_item_id.unwrap_or(item.item_id))? {
            if let Some(repo::Change(ended)) = repo::finish(tx, item_id, &Ending::Canceled, None, self.shared.env.now())? {
                aftermath.events.push(announce::status_changed(tx, &ended)?);
                aftermath.stop.push(item_id);
            }
        }
        Ok(())
    }
}
