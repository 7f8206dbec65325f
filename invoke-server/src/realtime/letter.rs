//! An event on its way to many clients. Its text is written once for all who are told the same.

use std::sync::{Arc, OnceLock};

use invoke_core::events::{Event, Published, Telling, told};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

/// A payload, written.
type Text = Option<Arc<RawValue>>;

/// An event with its name on the wire.
#[derive(Debug)]
pub(super) struct Letter {
    published: Published,
    /// Its name on the wire.
    pub(super) name: &'static str,
    whole: OnceLock<Text>,
    companion: OnceLock<Text>,
}

impl Letter {
    /// A letter, if the event ever leaves the server.
    pub(super) fn of(published: &Published) -> Option<Self> {
        let name = published.event.name()?;
        Some(Self {
            published: published.clone(),
            name,
            whole: OnceLock::new(),
            companion: OnceLock::new(),
        })
    }

    /// What happened.
    pub(super) fn event(&self) -> &Event {
        &self.published.event
    }

    /// The payload for whoever is told this much.
    pub(super) fn text(&self, telling: &Telling) -> Text {
        match telling {
            Telling::Whole => self.whole.get_or_init(|| self.write(telling)).clone(),
            Telling::Companion => self.companion.get_or_init(|| self.write(telling)).clone(),
            Telling::Items(_) => self.write(telling),
            Telling::Nothing => None,
        }
    }

    fn write(&self, telling: &Telling) -> Text {
        let mut payload = told(self.event(), telling)?;
        payload.insert("timestamp".into(), Value::from(self.published.at.seconds()));
        to_raw_value(&payload).ok().map(Arc::from)
    }
}

#[cfg(test)]
mod tests {
    use invoke_core::{
        domain::{BatchId, QueueId, UserId},
        env::Timestamp,
    };

    use super::*;

    #[test]
    fn a_text_is_written_once_and_bears_its_time() {
        let event = Event::BatchEnqueued {
            queue_id: QueueId::new("default"),
            batch_id: BatchId::new("secret"),
            enqueued: 1,
            requested: 1,
            priority: 0,
            origin: None,
            user_id: UserId::new("alice"),
        };
        let letter = Letter::of(&Published {
            at: Timestamp::from_millis(7_900),
            event: Arc::new(event),
        })
        .unwrap();
        let (one, two) = (letter.text(&Telling::Whole).unwrap(), letter.text(&Telling::Whole).unwrap());
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!(serde_json::from_str::<Value>(one.get()).unwrap()["timestamp"], 7);
        assert!(!letter.text(&Telling::Companion).unwrap().get().contains("secret"));
        assert!(letter.text(&Telling::Nothing).is_none());
    }
}
