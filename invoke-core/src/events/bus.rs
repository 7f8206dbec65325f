//! Handing events to everyone who listens, in the order of publication.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use super::Event;
use crate::env::Timestamp;

/// An event with its time.
#[derive(Debug, Clone)]
pub struct Published {
    /// When it was published.
    pub at: Timestamp,
    /// What happened.
    pub event: Arc<Event>,
}

/// A listener. It is called on the publisher's thread, so it must only pass the event on, never wait, nor use the database: publishers may hold it.
type Listener = Box<dyn Fn(&Published) + Send + Sync>;

/// Where events are published.
#[derive(Clone, Default)]
pub struct Bus {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    next_id: AtomicU64,
    listeners: Mutex<Vec<(u64, Listener)>>,
}

/// Keeps a listener listening; dropping it ends that.
#[must_use]
pub struct Subscription {
    id: u64,
    bus: Weak<Inner>,
}

impl Bus {
    /// Tells everyone, in order. Publishers take turns, so all listeners see one order.
    pub fn publish(&self, at: Timestamp, event: Event) {
        let published = Published {
            at,
            event: Arc::new(event),
        };
        for (_, listener) in self.inner.listeners.lock().iter() {
            listener(&published);
        }
    }

    /// Listens from now on.
    pub fn subscribe(&self, listener: impl Fn(&Published) + Send + Sync + 'static) -> Subscription {
        let id = self.inner.next_id.fetch_add(1, Ordering::Relaxed);
        self.inner.listeners.lock().push((id, Box::new(listener)));
        Subscription {
            id,
            bus: Arc::downgrade(&self.inner),
        }
    }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bus")
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(bus) = self.bus.upgrade() {
            bus.listeners.lock().retain(|(id, _)| *id != self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::QueueId;

    #[test]
    fn a_dropped_subscription_hears_nothing() {
        let (bus, heard) = (Bus::default(), Arc::new(AtomicU64::new(0)));
        let counter = Arc::clone(&heard);
        let subscription = bus.subscribe(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let event = || Event::QueueCleared {
            queue_id: QueueId::new("default"),
            user_id: None,
        };
        bus.publish(Timestamp::from_millis(0), event());
        drop(subscription);
        bus.publish(Timestamp::from_millis(0), event());
        assert_eq!(heard.load(Ordering::Relaxed), 1);
    }
}
