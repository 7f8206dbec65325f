//! How much of a model may lie on the device that computes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that weights may still take on a device, and those that found no room.
#[derive(Debug)]
pub(super) struct Room {
    left: AtomicU64,
    resting: AtomicU64,
}

impl Room {
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            left: AtomicU64::new(bytes),
            resting: AtomicU64::default(),
        }
    }

    /// Takes room for what has to lie on the device, whether there is any or not.
    pub(super) fn take(&self, bytes: u64) {
        // The closure always gives a number.
        let _ = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(bytes)));
    }

    /// Takes room if there is enough; what there is not counts as resting.
    pub(super) fn fits(&self, bytes: u64) -> bool {
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes))
            .is_ok();
        if !taken {
            self.resting.fetch_add(bytes, Ordering::Relaxed);
        }
        taken
    }

    /// Bytes that found no room.
    pub(super) fn resting(&self) -> u64 {
        self.resting.load(Ordering::Relaxed)
    }
}
