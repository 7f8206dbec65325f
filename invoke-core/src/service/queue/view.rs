//! What a viewer gets to see of an item, and in which shape.

use serde_json::{Value, json};

use crate::{
    authz::{Actor, Sealed, Seen, outlined},
    domain::queue_item::QueueItem,
};

/// The item without session and workflow, for a list's row; `None` if there is none.
pub(super) fn summary(actor: &Actor, item: Sealed<QueueItem>) -> Option<Value> {
    let seen = outlined(actor, item)?;
    let item = seen.get();
    Some(json!({
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
    }))
}

/// The whole item; `None` if there is none. Session and workflow are only asked for if the viewer may see `inside`; `empty_session` makes what stands in
/// place of the session.
pub(super) fn whole<E>(
    actor: &Actor,
    item: Sealed<QueueItem>,
    inside: impl FnOnce(&QueueItem) -> Result<(Value, Value), E>,
    empty_session: impl FnOnce() -> Value,
) -> Result<Option<Value>, E> {
    let Some(seen) = outlined(actor, item) else {
        return Ok(None);
    };
    let (session, workflow) = match &seen {
        Seen::Whole(item) => inside(item)?,
        Seen::Outline(_) => (empty_session(), Value::Null),
    };
    let item = seen.get();
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
    map.insert("session".into(), session);
    map.insert("workflow".into(), workflow);
    Ok(Some(full))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::Powers;
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

    fn sealed() -> Sealed<QueueItem> {
        Sealed::new(Some(item()), &Powers::default())
    }

    #[test]
    fn a_foreign_item_shows_that_it_exists_and_nothing_else() {
        let bob = actor("bob", false);
        let whole = whole(&bob, sealed(), |_| Err("must not be read"), || json!({"id": "redacted"})).unwrap();
        for view in [summary(&bob, sealed()).unwrap(), whole.unwrap()] {
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
            let inside = |_: &QueueItem| Ok::<_, ()>((json!({"id": "s"}), Value::Null));
            let view = whole(&viewer, sealed(), inside, || Value::Null).unwrap().unwrap();
            assert_eq!(
                (&view["batch_id"], &view["session"]["id"], &view["priority"]),
                (&json!("secret"), &json!("s"), &json!(3))
            );
        }
    }
}
