//! Events that one waits for.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use invoke_core::{
    domain::QueueId,
    events::{Published, Subscription, Viewer, view},
};
use parking_lot::{Condvar, Mutex};
use serde_json::{Map, Value};

use super::{Session, fault::Result};

/// Events that are kept for somebody who does not fetch them.
const KEPT: usize = 2048;

/// How often somebody who waits is asked whether they still do.
const ASKED_EVERY: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Inbox {
    letters: Mutex<Letters>,
    arrived: Condvar,
}

#[derive(Default)]
struct Letters {
    waiting: VecDeque<Published>,
    missed: u64,
}

impl Inbox {
    /// Takes an event in. A full inbox refuses progress, and loses its oldest event for anything else.
    fn put(&self, published: &Published) {
        let mut letters = self.letters.lock();
        if letters.waiting.len() >= KEPT {
            letters.missed += 1;
            if published.event.is_progress() {
                return;
            }
            letters.waiting.pop_front();
        }
        letters.waiting.push_back(published.clone());
        self.arrived.notify_one();
    }
}

/// Events from a moment on, as a session may see them. The inbox is bounded: of somebody who does not fetch them the oldest are lost, and counted.
pub struct Events {
    session: Session,
    queues: Vec<QueueId>,
    inbox: Arc<Inbox>,
    _subscription: Subscription,
}

impl Events {
    pub(crate) fn of(session: Session, queues: &[String]) -> Self {
        let inbox = Arc::new(Inbox::default());
        let of_bus = Arc::clone(&inbox);
        let subscription = session.core().bus().subscribe(move |published| {
            if published.event.name().is_some() {
                of_bus.put(published);
            }
        });
        Self {
            queues: queues.iter().map(QueueId::new).collect(),
            session,
            inbox,
            _subscription: subscription,
        }
    }

    /// The next event: its payload with `event`, its name, and `timestamp`, in seconds. `None` once the time has passed or `goes_on`, asked several
    /// times a second, says no.
    ///
    /// # Errors
    /// The session is no longer honoured.
    pub fn next(&self, timeout: Option<Duration>, mut goes_on: impl FnMut() -> bool) -> Result<Option<Map<String, Value>>> {
        let mut left = self.session.within(timeout);
        loop {
            if let Some(published) = self.take() {
                if let Some(told) = self.told(&published)? {
                    return Ok(Some(told));
                }
            } else if !left() || !goes_on() {
                return Ok(None);
            }
        }
    }

    /// The oldest event that is kept; waits a moment for one.
    fn take(&self) -> Option<Published> {
        let mut letters = self.inbox.letters.lock();
        if letters.waiting.is_empty() {
            self.inbox.arrived.wait_for(&mut letters, ASKED_EVERY);
        }
        letters.waiting.pop_front()
    }

    /// What the session is told of an event, by the rights that it has now.
    fn told(&self, published: &Published) -> Result<Option<Map<String, Value>>> {
        let actor = self.session.actor()?;
        let viewer = Viewer {
            user_id: actor.user_id().clone(),
            is_admin: actor.is_admin(),
            queues: self.queues.clone(),
        };
        Ok(view(&published.event, &viewer).map(|payload| {
            let name = published.event.name().unwrap_or_default();
            let mut told = Map::from_iter([("event".to_owned(), Value::from(name))]);
            told.extend(payload);
            told.insert("timestamp".into(), Value::from(published.at.seconds()));
            told
        }))
    }

    /// How many events were lost because the inbox was full.
    pub fn missed(&self) -> u64 {
        self.inbox.letters.lock().missed
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("queues", &self.queues).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use invoke_core::{env::Timestamp, events::Event};

    use super::*;

    fn cleared() -> Published {
        Published {
            at: Timestamp::from_millis(0),
            event: Arc::new(Event::QueueCleared {
                queue_id: QueueId::new("default"),
                user_id: None,
            }),
        }
    }

    #[test]
    fn a_full_inbox_loses_its_oldest_events_and_counts_them() {
        let inbox = Inbox::default();
        for _ in 0..KEPT + 3 {
            inbox.put(&cleared());
        }
        let letters = inbox.letters.lock();
        assert_eq!((letters.waiting.len(), letters.missed), (KEPT, 3));
    }
}
