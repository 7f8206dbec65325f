//! Who sees an event, and how much of it.

use serde_json::{Map, Value, json};

use super::event::{Event, ItemsByOwner};
use crate::domain::{QueueId, UserId};

/// A listener, as far as the question matters. Its rights are those of its account at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// The account.
    pub user_id: UserId,
    /// Whether it is an administrator.
    pub is_admin: bool,
    /// The queues it subscribed to.
    pub queues: Vec<QueueId>,
}

/// What stands in place of an identity that is none of the viewer's business.
const REDACTED: &str = "redacted";

/// How much of an event one viewer is told.
#[derive(Debug, Clone)]
pub enum Telling {
    /// All of it.
    Whole,
    /// That it happened, without what identifies its owner or what they asked for.
    Companion,
    /// Only the viewer's own items.
    Items(ItemsByOwner),
    /// Nothing.
    Nothing,
}

/// The payload that this viewer gets, without the timestamp; `None` if the event is not for them.
pub fn view(event: &Event, viewer: &Viewer) -> Option<Map<String, Value>> {
    told(event, &telling(event, viewer))
}

/// The payload of an event told in a certain way, without the timestamp.
pub fn told(event: &Event, telling: &Telling) -> Option<Map<String, Value>> {
    match (telling, event) {
        (Telling::Whole, _) => Some(event.payload()),
        (Telling::Companion, _) => Some(companion(event)),
        (Telling::Items(items), Event::QueueItemsRetried { queue_id, .. }) => Some(
            Event::QueueItemsRetried {
                queue_id: queue_id.clone(),
                items: items.clone(),
            }
            .payload(),
        ),
        (Telling::Items(items), Event::QueueItemsCanceled { queue_id, .. }) => Some(
            Event::QueueItemsCanceled {
                queue_id: queue_id.clone(),
                items: items.clone(),
            }
            .payload(),
        ),
        // No other event has items to tell of.
        (Telling::Items(_) | Telling::Nothing, _) => None,
    }
}

/// Decides how much of an event a viewer is told.
pub fn telling(event: &Event, viewer: &Viewer) -> Telling {
    let listens = |queue: &QueueId| viewer.queues.contains(queue);
    let whole_if = |told: bool| if told { Telling::Whole } else { Telling::Nothing };
    let owns = |owner: &UserId| &viewer.user_id == owner;
    let owner_or_admin = |owner: &UserId| whole_if(viewer.is_admin || owns(owner));
    let owner_admin_or_companion = |owner: &UserId, queue: &QueueId| match owner_or_admin(owner) {
        Telling::Nothing if listens(queue) => Telling::Companion,
        other => other,
    };
    let items = |queue: &QueueId, items: &ItemsByOwner| {
        if viewer.is_admin {
            return Telling::Whole;
        }
        let own = items.narrowed(&viewer.user_id);
        if own.0.is_empty() && !listens(queue) {
            Telling::Nothing
        } else {
            Telling::Items(own)
        }
    };
    match event {
        Event::InvocationStarted(base) | Event::InvocationComplete { base, .. } | Event::InvocationError { base, .. } => {
            owner_or_admin(&base.user_id)
        }
        Event::InvocationProgress { base, .. } => whole_if(owns(&base.user_id)),
        Event::QueueItemStatusChanged(change) => owner_admin_or_companion(&change.user_id, &change.queue_id),
        Event::QueueItemsRetried { queue_id, items: all } | Event::QueueItemsCanceled { queue_id, items: all } => items(queue_id, all),
        Event::QueueCleared { queue_id, user_id: None } => whole_if(listens(queue_id)),
        Event::BatchEnqueued { user_id, queue_id, .. }
        | Event::QueueCleared {
            queue_id,
            user_id: Some(user_id),
        } => owner_admin_or_companion(user_id, queue_id),
        Event::ModelLoadStarted(load) | Event::ModelLoadComplete(load) => whole_if(owns(&load.user_id)),
        Event::Download { .. } | Event::ModelInstall { .. } => whole_if(viewer.is_admin),
        Event::BulkDownloadStarted(download) | Event::BulkDownloadComplete(download) | Event::BulkDownloadError { download, .. } => {
            owner_or_admin(&download.user_id)
        }
        Event::WorkflowCreated(change) | Event::WorkflowDeleted(change) => {
            whole_if(change.is_public || viewer.is_admin || owns(&change.user_id))
        }
        Event::WorkflowUpdated {
            user_id, new_is_public, ..
        } => whole_if(*new_is_public || viewer.is_admin || owns(user_id)),
        // Everybody could see it until now.
        Event::WorkflowAccessRevoked { .. } => Telling::Whole,
        Event::RecallParametersUpdated { user_id, .. }
        | Event::LlmTaskProgress { user_id, .. }
        | Event::LlmTaskComplete { user_id, .. }
        | Event::LlmTaskError { user_id, .. } => owner_or_admin(user_id),
        Event::UserAccessChanged(_) | Event::ApiKeyRevoked { .. } => Telling::Nothing,
    }
}

/// The payload without what identifies the owner or what they asked for.
fn companion(event: &Event) -> Map<String, Value> {
    let mut payload = event.payload();
    let (redacted, null): (&[&str], &[&str]) = match event {
        Event::QueueItemStatusChanged(_) => (
            &["user_id", "batch_id", "session_id"],
            &["origin", "destination", "error_type", "error_message", "error_traceback"],
        ),
        Event::BatchEnqueued { .. } => (&["user_id", "batch_id"], &["origin"]),
        _ => (&["user_id"], &[]),
    };
    for &key in redacted {
        payload.insert(key.into(), json!(REDACTED));
    }
    for &key in null {
        payload.insert(key.into(), Value::Null);
    }
    if let Some(Value::Object(batch)) = payload.get_mut("batch_status") {
        batch.insert("batch_id".into(), json!(REDACTED));
        for key in ["origin", "destination"] {
            batch.insert(key.into(), Value::Null);
        }
    }
    if let Some(Value::Object(queue)) = payload.get_mut("queue_status") {
        for key in ["item_id", "session_id", "batch_id", "user_pending", "user_in_progress"] {
            queue.insert(key.into(), Value::Null);
        }
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{BatchId, SessionId, queue_item::ItemStatus},
        events::event::{InvocationBase, ItemStatusChange},
    };

    fn viewer(name: &str, is_admin: bool, listens: bool) -> Viewer {
        let queues = if listens { vec![QueueId::new("default")] } else { vec![] };
        Viewer {
            user_id: UserId::new(name),
            is_admin,
            queues,
        }
    }

    fn status_changed() -> Event {
        Event::QueueItemStatusChanged(Box::new(ItemStatusChange {
            queue_id: QueueId::new("default"),
            item_id: 7,
            batch_id: BatchId::new("secret-batch"),
            origin: Some("secret-origin".into()),
            destination: Some("secret-destination".into()),
            user_id: UserId::new("alice"),
            session_id: SessionId::new("secret-session"),
            status: ItemStatus::Failed,
            status_sequence: 2,
            error_type: Some("secret-type".into()),
            error_message: Some("secret-message".into()),
            error_traceback: Some("secret-trace".into()),
            created_at: "c".into(),
            updated_at: "u".into(),
            started_at: None,
            completed_at: None,
            batch_status: json!({"batch_id": "secret-batch", "origin": "secret-origin", "destination": "secret-destination", "total": 3}),
            queue_status: json!({"item_id": 7, "session_id": "secret-session", "batch_id": "secret-batch", "user_pending": 1, "user_in_progress": 1, "pending": 4}),
        }))
    }

    #[test]
    fn others_learn_that_an_item_moved_and_nothing_else() {
        let seen = view(&status_changed(), &viewer("bob", false, true)).unwrap();
        let text = Value::Object(seen.clone()).to_string();
        assert!(!text.contains("secret") && !text.contains("alice"), "{text}");
        assert_eq!(
            (&seen["item_id"], &seen["status"], &seen["user_id"]),
            (&json!(7), &json!("failed"), &json!("redacted"))
        );
        assert_eq!(seen["queue_status"]["pending"], json!(4));
        assert_eq!(view(&status_changed(), &viewer("bob", false, false)), None);
        for whole in [viewer("alice", false, false), viewer("root", true, false)] {
            assert_eq!(view(&status_changed(), &whole).unwrap()["batch_id"], json!("secret-batch"));
        }
    }

    #[test]
    fn previews_are_for_the_owner_alone() {
        let base = InvocationBase {
            queue_id: QueueId::new("default"),
            item_id: 1,
            batch_id: BatchId::new("b"),
            origin: None,
            destination: None,
            user_id: UserId::new("alice"),
            session_id: SessionId::new("s"),
            invocation: json!({}),
            invocation_source_id: "n".into(),
        };
        let event = Event::InvocationProgress {
            base,
            message: "Denoising".into(),
            percentage: Some(0.5),
            image: None,
            device: None,
        };
        assert!(view(&event, &viewer("alice", false, false)).is_some());
        assert!(view(&event, &viewer("root", true, true)).is_none());
        assert!(view(&event, &viewer("bob", false, true)).is_none());
    }

    #[test]
    fn bulk_lists_are_narrowed_to_their_reader() {
        let items = ItemsByOwner(vec![(UserId::new("alice"), vec![1, 2]), (UserId::new("bob"), vec![3])]);
        let event = Event::QueueItemsCanceled {
            queue_id: QueueId::new("default"),
            items,
        };
        let ids = |v: Viewer| view(&event, &v).map(|p| p["canceled_item_ids"].clone());
        assert_eq!(ids(viewer("bob", false, false)), Some(json!([3])));
        assert_eq!(ids(viewer("carol", false, true)), Some(json!([])));
        assert_eq!(ids(viewer("carol", false, false)), None);
        assert_eq!(ids(viewer("root", true, false)), Some(json!([1, 2, 3])));
        assert_eq!(view(&event, &viewer("bob", false, true)).unwrap()["user_ids"], json!(["bob"]));
    }
}
