//! What a viewer gets to see of an item, and in which shape.

use serde_json::{Map, Value, json};

use crate::{
    authz::{Action, Actor, Decision, Resource, decide},
    domain::queue_item::QueueItem,
};

/// Stands in place of an identity.
const REDACTED: &str = "redacted";

/// Whether this viewer may see what is in this item.
pub(super) fn sees_inside(actor: &Actor, item: &QueueItem) -> bool {
    decide(actor.standing(), Action::ReadQueueItem, item.facts(actor)) == Decision::Allow
}

/// The item without session and workflow, for a list's row.
pub(super) fn summary(actor: &Actor, item: &QueueItem) -> Value {
    let mut row = json!({
        "item_id": item.item_id,
        "created_at": item.created_at,
        "status": item.status,
        "device": item.device,
        "started_at": item.started_at,
        "completed_at": item.completed_at,
        "origin": item.origin,
        "destination": item.destination,
        "batch_id": item.batch_id,
        "user_id": item.user_id,
        "user_display_name": item.user_display_name,
        "user_email": item.user_email,
        "field_values": item.field_values,
        "parent_item_id": item.parent_item_id,
    });
    if let Some(row) = row.as_object_mut().filter(|_| !sees_inside(actor, item)) {
        redact(row);
    }
    row
}

/// The whole item. `session` and `workflow` are only asked for if the viewer may see them; `empty_session` makes what stands in place of the session.
pub(super) fn whole<E>(
    actor: &Actor,
    item: &QueueItem,
    inside: impl FnOnce() -> Result<(Value, Value), E>,
    empty_session: impl FnOnce() -> Value,
) -> Result<Value, E> {
    let sees = sees_inside(actor, item);
    let (session, workflow) = if sees { inside()? } else { (empty_session(), Value::Null) };
    let mut full = json!({
        "item_id": item.item_id,
        "status": item.status,
        "status_sequence": item.status_sequence,
        "priority": item.priority,
        "batch_id": item.batch_id,
        "origin": item.origin,
        "destination": item.destination,
        "session_id": item.session_id,
        "error_type": item.error_type,
        "error_message": item.error_message,
        "error_traceback": item.error_traceback,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
        "started_at": item.started_at,
        "completed_at": item.completed_at,
        "queue_id": item.queue_id,
        "user_id": item.user_id,
        "user_display_name": item.user_display_name,
        "user_email": item.user_email,
        "field_values": item.field_values,
        "retried_from_item_id": item.retried_from_item_id,
        "device": item.device,
        "workflow_call_id": item.workflow_call_id,
        "parent_item_id": item.parent_item_id,
        "parent_session_id": item.parent_session_id,
        "root_item_id": item.root_item_id,
        "workflow_call_depth": item.workflow_call_depth,
    });
    let map = full.as_object_mut().expect("the literal above is an object");
    if !sees {
        redact(map);
    }
    map.insert("session".into(), session);
    map.insert("workflow".into(), workflow);
    Ok(full)
}

/// Takes out of an item's JSON what is its owner's business. What stays: that it exists, where, in which state, since when, on which device.
fn redact(item: &mut Map<String, Value>) {
    const IDENTITIES: &[&str] = &["user_id", "batch_id", "session_id"];
    const STAYS: &[&str] = &[
        "item_id",
        "queue_id",
        "status",
        "status_sequence",
        "device",
        "created_at",
        "updated_at",
        "started_at",
        "completed_at",
    ];
    for (key, value) in item.iter_mut() {
        if IDENTITIES.contains(&key.as_str()) {
            *value = json!(REDACTED);
        } else if key == "priority" {
            *value = json!(0);
        } else if !STAYS.contains(&key.as_str()) {
            *value = Value::Null;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        BatchId, QueueId, SessionId, UserId,
        queue_item::{FieldValue, ItemStatus},
        user::User,
    };
    use crate::env::Timestamp;

    fn actor(name: &str, is_admin: bool) -> Actor {
        let now = Timestamp::from_millis(0);
        Actor::from_account(&User {
            user_id: UserId::new(name),
            email: String::new(),
            display_name: None,
            is_admin,
            is_active: true,
            created_at: now,
            updated_at: now,
            last_login_at: None,
            token_epoch: 0,
        })
    }

    fn item() -> QueueItem {
        let secret = || Some("secret".to_owned());
        QueueItem {
            by_key: false,
            item_id: 7,
            status: ItemStatus::Failed,
            status_sequence: 2,
            priority: 3,
            batch_id: BatchId::new("secret"),
            origin: secret(),
            destination: secret(),
            session_id: SessionId::new("secret"),
            error_type: secret(),
            error_message: secret(),
            error_traceback: secret(),
            created_at: "c".into(),
            updated_at: "u".into(),
            started_at: None,
            completed_at: None,
            queue_id: QueueId::new("default"),
            user_id: UserId::new("alice"),
            user_display_name: secret(),
            user_email: secret(),
            field_values: Some(vec![FieldValue {
                node_path: "secret".into(),
                field_name: "secret".into(),
                value: json!("secret"),
            }]),
            retried_from_item_id: Some(99_999),
            device: Some("cpu".into()),
            workflow_call_id: secret(),
            parent_item_id: Some(99_999),
            parent_session_id: secret(),
            root_item_id: Some(99_999),
            workflow_call_depth: Some(99_999),
        }
    }

    #[test]
    fn a_foreign_item_shows_that_it_exists_and_nothing_else() {
        let bob = actor("bob", false);
        let whole = whole(&bob, &item(), || Err("must not be read"), || json!({"id": "redacted"})).unwrap();
        for view in [summary(&bob, &item()), whole] {
            let text = view.to_string();
            assert!(
                !text.contains("secret") && !text.contains("alice") && !text.contains("99999"),
                "{text}"
            );
            assert_eq!(
                (&view["item_id"], &view["status"], &view["user_id"]),
                (&json!(7), &json!("failed"), &json!("redacted"))
            );
        }
    }

    #[test]
    fn owners_and_administrators_see_all() {
        for viewer in [actor("alice", false), actor("root", true)] {
            let view = whole(&viewer, &item(), || Ok::<_, ()>((json!({"id": "s"}), Value::Null)), || Value::Null).unwrap();
            assert_eq!(
                (&view["batch_id"], &view["session"]["id"], &view["priority"]),
                (&json!("secret"), &json!("s"), &json!(3))
            );
        }
    }
}
