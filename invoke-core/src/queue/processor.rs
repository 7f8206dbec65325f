//! The workers.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::{
    domain::{
        ItemId, panic_text,
        queue_item::{Ending, Failure},
    },
    engine::{CancelFlag, Device, Engine, Finished, Host, Job, Outcome},
};

/// A claimed item, ready to run.
pub struct Work {
    /// What to run.
    pub job: Job,
    /// Who answers it.
    pub host: Arc<dyn Host>,
}

/// Keeps the books of the queue.
pub trait Ledger: Send + Sync {
    /// Claims the next item for a device that has these models loaded; nobody else gets it.
    fn claim(&self, device: &Device, loaded: &[String], cancel: CancelFlag) -> Claim;
    /// Whether an item that was just claimed still runs; it may have been canceled meanwhile.
    fn is_running(&self, item_id: ItemId) -> bool;
    /// Writes down how an item ended. `stopping` is set when it was canceled because the server shuts down.
    fn finish(&self, item_id: ItemId, finished: Finished, stopping: bool);
    /// The worker of a device broke down: whatever still counts as running there failed with it.
    fn abandon(&self, device: &Device, failure: &Failure);
}

/// The answer to a claim.
pub enum Claim {
    /// Run this.
    Work(Box<Work>),
    /// What came next could not run and has been dealt with; ask again at once.
    Skipped,
    /// Nothing waits.
    Nothing,
    /// The books cannot be read, or nothing may begin at present; ask again in a while.
    Later,
}

/// All workers of one core.
pub struct Processor {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    paused: bool,
    stopping: bool,
    /// Counts wake-ups, so that one between a fruitless claim and the wait is not lost.
    calls: u64,
    running: HashMap<ItemId, CancelFlag>,
}

impl Processor {
    /// Workers that are not started yet.
    pub fn new() -> Self {
        Self {
            shared: Arc::default(),
            threads: Mutex::default(),
        }
    }

    /// Starts a worker for each engine.
    pub fn start(&self, engines: &[Arc<dyn Engine>], ledger: &Arc<dyn Ledger>) -> std::io::Result<()> {
        for engine in engines {
            let (shared, engine, ledger) = (Arc::clone(&self.shared), Arc::clone(engine), Arc::clone(ledger));
            let name = format!("worker {}", engine.device().id);
            let thread = std::thread::Builder::new()
                .name(name)
                .spawn(move || supervise(&shared, engine.as_ref(), ledger.as_ref()))?;
            self.threads.lock().push(thread);
        }
        Ok(())
    }

    /// Something may wait now.
    pub fn wake(&self) {
        self.shared.state.lock().calls += 1;
        self.shared.changed.notify_all();
    }

    /// Stops claiming; what runs goes on.
    pub fn pause(&self) {
        self.shared.state.lock().paused = true;
    }

    /// Claims again.
    pub fn resume(&self) {
        self.shared.state.lock().paused = false;
        self.wake();
    }

    /// Whether it claims.
    pub fn is_started(&self) -> bool {
        !self.shared.state.lock().paused
    }

    /// Whether some worker runs an item.
    pub fn is_processing(&self) -> bool {
        !self.shared.state.lock().running.is_empty()
    }

    /// Whether it was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.shared.state.lock().stopping
    }

    /// Asks a running item to end within a step.
    pub fn cancel(&self, item_id: ItemId) {
        if let Some(flag) = self.shared.state.lock().running.get(&item_id) {
            flag.set();
        }
    }

    /// Asks all to end, and waits until they have.
    pub fn stop(&self) {
        {
            let mut state = self.shared.state.lock();
            state.stopping = true;
            state.running.values().for_each(CancelFlag::set);
        }
        self.shared.changed.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a worker ended by a panic");
            }
        }
    }
}

impl Default for Processor {
    fn default() -> Self {
        Self::new()
    }
}

/// How long a worker waits before it asks again when it was told to ask later.
const A_WHILE: Duration = Duration::from_secs(1);
/// How long a worker that broke down stays down, so that one that breaks down again and again does nothing else.
const DOWN: Duration = Duration::from_millis(100);

fn failure(text: String) -> Failure {
    Failure {
        error_type: "RuntimeError".into(),
        error_message: text.clone(),
        error_traceback: text,
    }
}

/// Works until the processor stops; a worker that breaks down fails what it had claimed and starts anew.
fn supervise(shared: &Shared, engine: &dyn Engine, ledger: &dyn Ledger) {
    while let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(shared, engine, ledger))) {
        let (device, text) = (engine.device(), panic_text(&*panic));
        tracing::error!("the worker of {} broke down and starts anew: {text}", device.id);
        if catch_unwind(AssertUnwindSafe(|| ledger.abandon(device, &failure(text)))).is_err() {
            tracing::error!("what it had claimed could not be failed");
        }
        let mut state = shared.state.lock();
        if !state.stopping {
            shared.changed.wait_for(&mut state, DOWN);
        }
    }
}

fn work(shared: &Shared, engine: &dyn Engine, ledger: &dyn Ledger) {
    loop {
        let mut state = shared.state.lock();
        while state.paused && !state.stopping {
            shared.changed.wait(&mut state);
        }
        if state.stopping {
            return;
        }
        let calls = state.calls;
        drop(state);

        let cancel = CancelFlag::default();
        match ledger.claim(engine.device(), &engine.loaded_models(), cancel.clone()) {
            Claim::Work(work) => run(shared, engine, ledger, *work, cancel),
            Claim::Skipped => {}
            Claim::Nothing => {
                let mut state = shared.state.lock();
                while state.calls == calls && !state.stopping {
                    shared.changed.wait(&mut state);
                }
            }
            Claim::Later => {
                let mut state = shared.state.lock();
                if !state.stopping {
                    shared.changed.wait_for(&mut state, A_WHILE);
                }
            }
        }
    }
}

/// An item that counts as running while this lives.
struct Running<'s> {
    shared: &'s Shared,
    item_id: ItemId,
}

impl<'s> Running<'s> {
    fn note(shared: &'s Shared, item_id: ItemId, cancel: CancelFlag) -> Self {
        let mut state = shared.state.lock();
        if state.stopping {
            cancel.set();
        }
        state.running.insert(item_id, cancel);
        Self { shared, item_id }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.shared.state.lock().running.remove(&self.item_id);
    }
}

fn run(shared: &Shared, engine: &dyn Engine, ledger: &dyn Ledger, work: Work, cancel: CancelFlag) {
    let item_id = work.job.item_id;
    let _running = Running::note(shared, item_id, cancel);
    // Whoever canceled it between the claim and the line above found no flag to set.
    if ledger.is_running(item_id) {
        let session = work.job.session.clone();
        let finished = catch_unwind(AssertUnwindSafe(|| engine.run(work.job, work.host))).unwrap_or_else(|panic| {
            let text = panic_text(&*panic);
            tracing::error!(item_id, "a session panicked: {text}");
            Finished {
                outcome: Outcome::Ended(Ending::Failed(failure(text))),
                session,
            }
        });
        let stopping = shared.state.lock().stopping;
        ledger.finish(item_id, finished, stopping);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{
        domain::{SessionId, UserId},
        engine::{DownloadWatch, HostError, ImageToSave, ModelOnDisk, ModelQuery, NodeEvent, SavedImage},
    };

    struct NoHost;
    impl Host for NoHost {
        fn event(&self, _: NodeEvent) {}
        fn save_image(&self, _: ImageToSave) -> Result<SavedImage, HostError> {
            Err(HostError {
                error_type: "RuntimeError".into(),
                message: "no images here".into(),
            })
        }
        fn export_file(&self, _: &str, _: &str, _: &[u8]) -> Result<(), HostError> {
            Ok(())
        }
        fn load_image(&self, _: &str) -> Result<Vec<u8>, HostError> {
            Ok(Vec::new())
        }
        fn model(&self, _: &str) -> Result<Option<ModelOnDisk>, HostError> {
            Ok(None)
        }
        fn downloaded(&self, source: &str, _: &DownloadWatch<'_>) -> Result<Option<std::path::PathBuf>, HostError> {
            Err(HostError {
                error_type: "FileNotFoundError".into(),
                message: source.into(),
            })
        }
        fn image_metadata(&self, _: &str) -> Result<Option<serde_json::Value>, HostError> {
            Ok(None)
        }
        fn find_models(&self, _: ModelQuery<'_>) -> Result<Vec<serde_json::Value>, HostError> {
            Ok(Vec::new())
        }
        fn style_preset(&self, _: &str) -> Result<Option<(String, String)>, HostError> {
            Ok(None)
        }
        fn text_file(&self, path: &str) -> Result<String, HostError> {
            Err(HostError {
                error_type: "FileNotFoundError".into(),
                message: path.into(),
            })
        }
        fn model_loading(&self, _: &str, _: Option<&str>, _: bool) {}
        fn random_u32(&self) -> u32 {
            4
        }
        fn owner_is_active(&self) -> bool {
            true
        }
    }

    /// Panics on item 1, waits for cancellation on item 2, completes the rest.
    struct Odd(Device);
    impl Engine for Odd {
        fn device(&self) -> &Device {
            &self.0
        }
        fn run(&self, job: Job, _: Arc<dyn Host>) -> Finished {
            assert!(job.item_id != 1, "one is unlucky");
            while job.item_id == 2 && !job.cancel.is_set() {
                std::thread::yield_now();
            }
            let ending = if job.cancel.is_set() { Ending::Canceled } else { Ending::Completed };
            Finished {
                outcome: Outcome::Ended(ending),
                session: job.session,
            }
        }
        fn is_healthy(&self) -> bool {
            true
        }
    }

    /// Stands for a claim that fails.
    const FAILS: ItemId = -1;

    #[derive(Default)]
    struct Book {
        waiting: Mutex<Vec<ItemId>>,
        claims: AtomicUsize,
        ended: Mutex<Vec<(ItemId, Ending)>>,
        changed: Condvar,
    }
    impl Ledger for Book {
        fn claim(&self, _: &Device, _: &[String], cancel: CancelFlag) -> Claim {
            self.claims.fetch_add(1, Ordering::SeqCst);
            let Some(item_id) = self.waiting.lock().pop() else {
                return Claim::Nothing;
            };
            if item_id == FAILS {
                return Claim::Later;
            }
            let job = Job {
                item_id,
                session_id: SessionId::new("s"),
                user_id: UserId::system(),
                session: serde_json::Value::Null,
                cancel,
            };
            Claim::Work(Box::new(Work {
                job,
                host: Arc::new(NoHost),
            }))
        }
        fn is_running(&self, _: ItemId) -> bool {
            true
        }
        fn finish(&self, item_id: ItemId, finished: Finished, _: bool) {
            assert!(
                item_id != 5 || self.ended.lock().iter().any(|(id, _)| *id == 5),
                "five breaks the books"
            );
            let Outcome::Ended(ending) = finished.outcome else {
                panic!("nothing calls here")
            };
            self.ended.lock().push((item_id, ending));
            self.changed.notify_all();
        }
        fn abandon(&self, _: &Device, failure: &Failure) {
            self.ended.lock().push((5, Ending::Failed(failure.clone())));
            self.changed.notify_all();
        }
    }
    impl Book {
        fn wait_for(&self, n: usize) -> Vec<(ItemId, Ending)> {
            let mut ended = self.ended.lock();
            while ended.len() < n {
                self.changed.wait(&mut ended);
            }
            ended.clone()
        }
    }

    #[test]
    fn a_panic_fails_its_item_and_the_worker_lives_on() {
        let book = Arc::new(Book::default());
        *book.waiting.lock() = vec![3, 1];
        let (processor, ledger) = (Processor::new(), Arc::clone(&book) as Arc<dyn Ledger>);
        let engine: Arc<dyn Engine> = Arc::new(Odd(Device {
            id: "cpu".into(),
            name: "CPU".into(),
        }));
        processor.start(&[engine], &ledger).unwrap();
        let ended = book.wait_for(2);
        assert!(
            matches!(&ended[0], (1, Ending::Failed(f)) if f.error_message == "one is unlucky"),
            "{ended:?}"
        );
        assert_eq!(ended[1], (3, Ending::Completed));

        book.waiting.lock().push(2);
        processor.wake();
        // The item before may count as running for a moment after its end is written down.
        while !processor.shared.state.lock().running.contains_key(&2) {
            std::thread::yield_now();
        }
        processor.cancel(2);
        assert_eq!(book.wait_for(3)[2], (2, Ending::Canceled));
        // Idle workers wait for a call; they do not ask again and again.
        let claims = book.claims.load(Ordering::SeqCst);
        processor.stop();
        assert!(book.claims.load(Ordering::SeqCst) <= claims + 1);
    }

    #[test]
    fn a_claim_that_failed_is_made_again() {
        let book = Arc::new(Book::default());
        *book.waiting.lock() = vec![8, FAILS];
        let (processor, ledger) = (Processor::new(), Arc::clone(&book) as Arc<dyn Ledger>);
        processor.start(&[engine("cpu")], &ledger).unwrap();
        assert_eq!(book.wait_for(1), [(8, Ending::Completed)]);
        processor.stop();
    }

    fn engine(id: &str) -> Arc<dyn Engine> {
        Arc::new(Odd(Device {
            id: id.into(),
            name: id.into(),
        }))
    }

    #[test]
    fn a_worker_that_breaks_down_fails_its_item_and_starts_anew() {
        let book = Arc::new(Book::default());
        *book.waiting.lock() = vec![6, 5];
        let (processor, ledger) = (Processor::new(), Arc::clone(&book) as Arc<dyn Ledger>);
        processor.start(&[engine("cpu")], &ledger).unwrap();
        let ended = book.wait_for(2);
        assert!(
            matches!(&ended[0], (5, Ending::Failed(f)) if f.error_message == "five breaks the books"),
            "{ended:?}"
        );
        assert_eq!(ended[1], (6, Ending::Completed));
        // What broke down does not count as running for ever.
        while processor.is_processing() {
            std::thread::yield_now();
        }
        processor.stop();
    }

    #[test]
    fn every_device_has_a_worker_and_no_item_runs_twice() {
        let book = Arc::new(Book::default());
        *book.waiting.lock() = (10..1010).collect();
        let (processor, ledger) = (Processor::new(), Arc::clone(&book) as Arc<dyn Ledger>);
        let engines: Vec<Arc<dyn Engine>> = ["cuda:0", "cuda:1", "cuda:2"].into_iter().map(engine).collect();
        processor.start(&engines, &ledger).unwrap();
        let mut ids: Vec<ItemId> = book.wait_for(1000).into_iter().map(|(id, _)| id).collect();
        ids.sort_unstable();
        assert_eq!(ids, (10..1010).collect::<Vec<_>>());
        book.waiting.lock().push(2);
        processor.wake();
        while !processor.is_processing() {
            std::thread::yield_now();
        }
        // Item 2 holds one device until it is canceled; the others go on.
        book.waiting.lock().extend([2000, 2001]);
        processor.wake();
        book.wait_for(1002);
        assert!(processor.is_processing());
        processor.cancel(2);
        assert_eq!(book.wait_for(1003)[1002], (2, Ending::Canceled));
        processor.stop();
    }

    #[test]
    fn a_paused_processor_claims_nothing_and_a_resumed_one_does() {
        let book = Arc::new(Book::default());
        let (processor, ledger) = (Processor::new(), Arc::clone(&book) as Arc<dyn Ledger>);
        processor.pause();
        processor.start(&[engine("cpu")], &ledger).unwrap();
        book.waiting.lock().push(7);
        processor.wake();
        assert!(!processor.is_started());
        assert_eq!(book.claims.load(Ordering::SeqCst), 0);
        processor.resume();
        assert_eq!(book.wait_for(1), [(7, Ending::Completed)]);
        processor.stop();
    }
}
