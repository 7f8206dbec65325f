//! What a program takes from its surroundings besides files: the time, chance and fresh identifiers.
//!
//! [`Env`] is held by the core. Tests hold manual versions, so that they move the time and repeat the identifiers; clippy forbids
//! the real clock and the real generators everywhere else.

mod clock;
pub mod memory;
mod rng;

use std::sync::Arc;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use rng::{Rng, SeededRng, SystemRng};

/// Clock and generator of one running core.
#[derive(Clone)]
pub struct Env {
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl Env {
    /// The machine's clock and the operating system's generator.
    pub fn system() -> Self {
        Self::new(Arc::new(SystemClock), Arc::new(SystemRng))
    }

    /// Any clock and generator.
    pub fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { clock, rng }
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A monotonic time for measuring and waiting, in nanoseconds from an arbitrary start.
    pub fn monotonic_ns(&self) -> u64 {
        self.clock.monotonic_ns()
    }

    /// Fills a buffer with unpredictable bytes.
    pub fn fill(&self, bytes: &mut [u8]) {
        self.rng.fill(bytes);
    }

    /// A random version-4 UUID as lower-case text.
    pub fn uuid(&self) -> String {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// A random 32-bit number.
    pub fn random_u32(&self) -> u32 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Env")
    }
}
