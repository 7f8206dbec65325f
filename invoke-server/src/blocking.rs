//! The one crossing from the asynchronous threads to those where waiting is allowed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Semaphore;

use crate::route::Weight;

/// Short pieces of work that run at the same time: as many as the database has readers.
const QUICK: usize = 8;
/// Requests that may wait for their turn; beyond that the server says that it is busy.
const MAX_WAITING: usize = 2048;

/// Bounds how much blocking work runs at a time, long work apart from short.
#[derive(Debug, Clone)]
pub struct Lanes {
    quick: Arc<Semaphore>,
    heavy: Arc<Semaphore>,
    hashing: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// Why work was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotDone {
    /// Too much waits already.
    Busy,
    /// The work panicked.
    Panicked,
}

/// Counts one waiting request down however its wait ends.
struct Waiting<'w>(&'w AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lanes {
    /// Lanes for a machine with so many processors, and so many places for hashing passwords.
    pub fn new(processors: usize, hashing: usize) -> Self {
        Self {
            quick: Arc::new(Semaphore::new(QUICK.max(processors))),
            heavy: Arc::new(Semaphore::new(processors.max(1))),
            hashing: Arc::new(Semaphore::new(hashing.max(1))),
            waiting: Arc::default(),
        }
    }

    /// Runs work on a thread where waiting is allowed. If the caller goes away the work still ends, and keeps its place until then.
    pub async fn run<T: Send + 'static>(&self, weight: Weight, work: impl FnOnce() -> T + Send + 'static) -> Result<T, NotDone> {
        let lane = match weight {
            Weight::Inline => return Ok(work()),
            Weight::Blocking => &self.quick,
            Weight::Heavy => &self.heavy,
            Weight::Hashing => &self.hashing,
        };
        let place = if let Ok(place) = Arc::clone(lane).try_acquire_owned() {
            place
        } else {
            if self.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                return Err(NotDone::Busy);
            }
            let _waiting = Waiting(&self.waiting);
            Arc::clone(lane).acquire_owned().await.expect("lanes are never closed")
        };
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        done.await.map_err(|_| NotDone::Panicked)
    }
}

/// Runs work beside the lanes. It is for the pieces of a file that is being sent, and for nothing else: an answer that has begun cannot say any more that
/// the server is busy, and there is one piece at most for each connection, asked for once the one before is sent.
pub async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, NotDone> {
    tokio::task::spawn_blocking(work).await.map_err(|_| NotDone::Panicked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_work_does_not_hold_up_short_work() {
        let lanes = Lanes::new(1, 1);
        let (release, held) = std::sync::mpsc::channel::<()>();
        let long = tokio::spawn({
            let lanes = lanes.clone();
            async move { lanes.run(Weight::Heavy, move || held.recv().is_ok()).await }
        });
        assert_eq!(lanes.run(Weight::Blocking, || 7).await, Ok(7));
        release.send(()).unwrap();
        assert_eq!(long.await.unwrap(), Ok(true));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_gives_its_place_back() {
        let lanes = Lanes::new(1, 1);
        for _ in 0..3 {
            assert_eq!(
                lanes.run(Weight::Heavy, || panic!("on purpose")).await,
                Err::<(), _>(NotDone::Panicked)
            );
        }
        assert_eq!(lanes.run(Weight::Heavy, || 1).await, Ok(1));
    }
}
