//! Waiting for an item to end.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use serde_json::Value;

use super::Queue;
use crate::{
    authz::Actor,
    domain::{Error, ItemId, QueueId, Result, queue_item::ItemStatus},
    events::Event,
};

/// How often somebody who waits is asked whether they still do.
pub(in crate::service) const ASKED_EVERY: Duration = Duration::from_millis(100);

impl Queue {
    /// Waits until an item has completed, failed or been canceled, and gives it as [`Queue::item`] does. `goes_on` is asked several times a second;
    /// once it says no the answer is `None`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such item, or no longer.
    pub fn wait(&self, actor: &Actor, queue_id: &QueueId, item_id: ItemId, mut goes_on: impl FnMut() -> bool) -> Result<Option<Value>> {
        let (tell, news) = mpsc::channel();
        // Listening begins before the first look, so that no change falls between the two.
        let _listening = self.shared.bus.subscribe(move |published| {
            let concerns = match &*published.event {
                Event::QueueItemStatusChanged(change) => change.item_id == item_id && change.status.is_terminal(),
                Event::QueueItemsCanceled { .. } | Event::QueueCleared { .. } => true,
                _ => false,
            };
            if concerns {
                // Nobody waits any more.
                let _ = tell.send(());
            }
        });
        loop {
            let item = self.item(actor, queue_id, item_id)?;
            let status = item["status"].as_str().and_then(|text| text.parse::<ItemStatus>().ok());
            if status.is_some_and(ItemStatus::is_terminal) {
                return Ok(Some(item));
            }
            loop {
                match news.recv_timeout(ASKED_EVERY) {
                    Ok(()) => break,
                    Err(RecvTimeoutError::Timeout) if goes_on() => {}
                    Err(RecvTimeoutError::Timeout) => return Ok(None),
                    Err(RecvTimeoutError::Disconnected) => return Err(Error::internal("waiting for an item", "the events have ended")),
                }
            }
        }
    }
}
