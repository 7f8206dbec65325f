//! Changes of the queue: a transaction, and what it makes known once it has been committed.

use super::Queue;
use crate::{
    db::WriteTx,
    domain::{ItemId, Result},
    events::Event,
};

/// What a change makes known after its commit.
#[derive(Default)]
pub(super) struct Aftermath {
    /// To be published, in order.
    pub(super) events: Vec<Event>,
    /// Running items that must be told to end.
    pub(super) stop: Vec<ItemId>,
    /// Whether something waits now that did not.
    pub(super) wake: bool,
}

impl Queue {
    /// Runs a closure in a transaction and makes known what it noted. Events are published in the order of the commits: nobody hears that an
    /// item runs before hearing that it was enqueued, nor that it runs after hearing that it was canceled.
    pub(super) fn change<T>(&self, work: impl FnOnce(&mut WriteTx<'_>, &mut Aftermath) -> Result<T>) -> Result<T> {
        let (result, stop, wake) = self.shared.db.write_then(
            |tx| -> Result<_> {
                let mut aftermath = Aftermath::default();
                Ok((work(tx, &mut aftermath)?, aftermath))
            },
            |(result, aftermath)| {
                self.publish(aftermath.events);
                (result, aftermath.stop, aftermath.wake)
            },
        )?;
        for item_id in stop {
            self.processor.cancel(item_id);
        }
        if wake {
            self.processor.wake();
        }
        Ok(result)
    }

    /// Tells of what no transaction goes with.
    pub(super) fn publish(&self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.shared.bus.publish(self.shared.env.now(), event);
        }
    }
}
