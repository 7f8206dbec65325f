//! Events.

use std::time::Duration;

use invoke_bindings::Events as Inner;

use crate::{error::Result, records::json};

/// Events from a moment on. Who does not fetch them loses the oldest.
#[derive(Debug, uniffi::Object)]
pub struct Events(pub(crate) Inner);

#[uniffi::export]
impl Events {
    /// The next event, a JSON object with its name under `event`; null if there is none within so many milliseconds.
    pub fn next_within(&self, milliseconds: u32) -> Result<Option<String>> {
        let event = self.0.next(Some(Duration::from_millis(milliseconds.into())), || true)?;
        event.map(|event| json(&event)).transpose()
    }

    /// How many events were lost because they were not fetched.
    pub fn missed(&self) -> u64 {
        self.0.missed()
    }
}
