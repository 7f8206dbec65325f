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
        Event::QueueCleared { .. } => (&["user_id"], &[]),
        // No other is told to companions; of one that some day is, they learn that it happened until it is said here what more.
        _ => return Map::new(),
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
        events::event::{
            AccessChange, BulkDownload, DownloadStage, InstallStage, InvocationBase, ItemStatusChange, ModelLoad, TaskProgress,
            UserAccessChanged, WorkflowChange,
        },
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

    /// One event of every kind, all of them Alice's, with who is told: Alice, an administrator, somebody who listens to the queue, and a stranger who does
    /// not. `whole`, `some` for what is redacted or narrowed, `-` for nothing.
    fn table() -> Vec<(Event, [&'static str; 4])> {
        let (queue_id, user_id) = (QueueId::new("default"), UserId::new("alice"));
        let base = || InvocationBase {
            queue_id: queue_id.clone(),
            item_id: 1,
            batch_id: BatchId::new("secret-batch"),
            origin: Some("secret-origin".into()),
            destination: Some("secret-destination".into()),
            user_id: user_id.clone(),
            session_id: SessionId::new("secret-session"),
            invocation: json!({"prompt": "secret-prompt"}),
            invocation_source_id: "n".into(),
        };
        let items = || ItemsByOwner(vec![(user_id.clone(), vec![1]), (UserId::new("dora"), vec![2])]);
        let load = || ModelLoad {
            config: json!({"name": "secret-model"}),
            submodel_type: None,
            user_id: user_id.clone(),
        };
        let archive = || BulkDownload {
            bulk_download_id: "default".into(),
            bulk_download_item_id: "secret-archive".into(),
            bulk_download_item_name: "secret-archive.zip".into(),
            user_id: user_id.clone(),
        };
        let workflow = |is_public| WorkflowChange {
            workflow_id: "secret-workflow".into(),
            user_id: user_id.clone(),
            is_public,
        };
        let updated = |old_is_public, new_is_public| Event::WorkflowUpdated {
            workflow_id: "secret-workflow".into(),
            user_id: user_id.clone(),
            old_is_public,
            new_is_public,
        };
        let error = || "secret-error".to_owned();
        const OWN: [&str; 4] = ["whole", "whole", "-", "-"];
        const ALL: [&str; 4] = ["whole"; 4];
        const QUEUE: [&str; 4] = ["whole", "whole", "some", "-"];
        const LISTS: [&str; 4] = ["some", "whole", "some", "-"];
        const ADMIN: [&str; 4] = ["-", "whole", "-", "-"];
        const OWNER: [&str; 4] = ["whole", "-", "-", "-"];
        const NOBODY: [&str; 4] = ["-"; 4];
        vec![
            (Event::InvocationStarted(base()), OWN),
            (
                Event::InvocationProgress {
                    base: base(),
                    message: "Denoising".into(),
                    percentage: None,
                    image: None,
                    device: None,
                },
                OWNER,
            ),
            (
                Event::InvocationComplete {
                    base: base(),
                    result: json!({}),
                },
                OWN,
            ),
            (
                Event::InvocationError {
                    base: base(),
                    error_type: error(),
                    error_message: error(),
                    error_traceback: error(),
                },
                OWN,
            ),
            (status_changed(), QUEUE),
            (
                Event::BatchEnqueued {
                    queue_id: queue_id.clone(),
                    batch_id: BatchId::new("secret-batch"),
                    enqueued: 1,
                    requested: 1,
                    priority: 0,
                    origin: Some("secret-origin".into()),
                    user_id: user_id.clone(),
                },
                QUEUE,
            ),
            (
                Event::QueueItemsRetried {
                    queue_id: queue_id.clone(),
                    items: items(),
                },
                LISTS,
            ),
            (
                Event::QueueItemsCanceled {
                    queue_id: queue_id.clone(),
                    items: items(),
                },
                LISTS,
            ),
            (
                Event::QueueCleared {
                    queue_id: queue_id.clone(),
                    user_id: Some(user_id.clone()),
                },
                QUEUE,
            ),
            (
                Event::QueueCleared {
                    queue_id: queue_id.clone(),
                    user_id: None,
                },
                ["-", "-", "whole", "-"],
            ),
            (Event::ModelLoadStarted(load()), OWNER),
            (Event::ModelLoadComplete(load()), OWNER),
            (
                Event::Download {
                    source: "secret-source".into(),
                    stage: DownloadStage::Cancelled,
                },
                ADMIN,
            ),
            (
                Event::ModelInstall {
                    id: 1,
                    source: json!("secret-source"),
                    stage: InstallStage::Started,
                },
                ADMIN,
            ),
            (Event::BulkDownloadStarted(archive()), OWN),
            (Event::BulkDownloadComplete(archive()), OWN),
            (
                Event::BulkDownloadError {
                    download: archive(),
                    error: error(),
                },
                OWN,
            ),
            (Event::WorkflowCreated(workflow(false)), OWN),
            (Event::WorkflowCreated(workflow(true)), ALL),
            (updated(false, false), OWN),
            (updated(true, false), OWN),
            (updated(false, true), ALL),
            (
                Event::WorkflowAccessRevoked {
                    workflow_id: "w".into(),
                    user_id: UserId::new("a"),
                },
                ALL,
            ),
            (Event::WorkflowDeleted(workflow(false)), OWN),
            (Event::WorkflowDeleted(workflow(true)), ALL),
            (
                Event::RecallParametersUpdated {
                    queue_id: queue_id.clone(),
                    user_id: user_id.clone(),
                    parameters: json!({"seed": 1}),
                },
                OWN,
            ),
            (
                Event::LlmTaskProgress {
                    task_id: "t".into(),
                    user_id: user_id.clone(),
                    progress: TaskProgress {
                        phase: "p".into(),
                        message: error(),
                        percentage: None,
                        current_tokens: None,
                        total_tokens: None,
                    },
                },
                OWN,
            ),
            (
                Event::LlmTaskComplete {
                    task_id: "t".into(),
                    user_id: user_id.clone(),
                },
                OWN,
            ),
            (
                Event::LlmTaskError {
                    task_id: "t".into(),
                    user_id: user_id.clone(),
                    error: error(),
                },
                OWN,
            ),
            (
                Event::UserAccessChanged(UserAccessChanged {
                    user_id: user_id.clone(),
                    access: AccessChange {
                        is_admin: false,
                        is_active: true,
                        token_epoch: 0,
                    },
                }),
                NOBODY,
            ),
            (
                Event::ApiKeyRevoked {
                    key_id: "secret-key".into(),
                },
                NOBODY,
            ),
        ]
    }

    #[test]
    fn every_kind_of_event_is_told_to_whom_it_concerns() {
        let viewers = [
            viewer("alice", false, false),
            viewer("root", true, false),
            viewer("bob", false, true),
            viewer("carol", false, false),
        ];
        let mut kinds = std::collections::HashSet::new();
        for (event, expected) in table() {
            kinds.insert(std::mem::discriminant(&event));
            for (viewer, expected) in viewers.iter().zip(expected) {
                let (found, seen) = (telling(&event, viewer), view(&event, viewer));
                let told = match &found {
                    Telling::Nothing => "-",
                    Telling::Whole => "whole",
                    Telling::Companion | Telling::Items(_) => "some",
                };
                let who = viewer.user_id.as_str();
                assert_eq!(told, expected, "{event:?} to {who}");
                assert_eq!(seen.is_some(), told != "-", "{event:?} to {who}");
                match (told, seen) {
                    ("whole", Some(seen)) => assert_eq!(seen, event.payload(), "{event:?} to {who}"),
                    ("some", Some(seen)) if who != "alice" => {
                        let text = Value::Object(seen).to_string();
                        assert!(
                            !text.contains("secret") && !text.contains("alice") && !text.contains("dora"),
                            "{who}: {text}"
                        );
                    }
                    _ => {}
                }
            }
        }
        // A kind that is new to this table has to be put into it.
        assert_eq!(kinds.len(), 26);
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
