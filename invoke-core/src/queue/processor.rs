//! The workers.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{
    domain::{
        ItemId, UserId, panic_text,
        queue_item::{Failure, Likeness},
    },
    engine::{CancelFlag, Device, Engine, Finished, Host, Job},
};

/// A claimed item, ready to run.
pub struct Work {
    /// What to run.
    pub job: Job,
    /// Who answers it.
    pub host: Arc<dyn Host>,
}

/// Who asks for work.
pub struct Asking<'a> {
    /// The device.
    pub device: &'a Device,
    /// Keys of the models that it has loaded.
    pub loaded: &'a [String],
    /// How many items of a likeness it would take now.
    pub at_a_time: &'a dyn Fn(&Likeness) -> usize,
}

/// Keeps the books of the queue.
pub trait Ledger: Send + Sync {
    /// Claims the next item for a device, and those that are next after it as long as they are like it and the device would take them; nobody else
    /// gets them.
    fn claim(&self, asking: &Asking<'_>) -> Claim;
    /// Whether an item that was just claimed still runs; it may have been canceled meanwhile.
    fn is_running(&self, item_id: ItemId) -> bool;
    /// Writes down how an item ended. `stopping` is set when it was canceled because the server shuts down.
    fn finish(&self, item_id: ItemId, finished: Finished, stopping: bool);
    /// The worker of a device broke down: whatever still counts as running there failed with it.
    fn abandon(&self, device: &Device, failure: &Failure);
}

/// The answer to a claim.
pub enum Claim {
    /// Run these: one, or several of one likeness.
    Work(Vec<Work>),
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
    running: HashMap<ItemId, (UserId, CancelFlag)>,
    workers: usize,
    /// Workers that run something.
    busy: usize,
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
        self.shared.state.lock().workers += engines.len();
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

    /// Stops claiming, and says whether it did claim; what runs goes on.
    pub fn pause(&self) -> bool {
        !std::mem::replace(&mut self.shared.state.lock().paused, true)
    }

    /// Claims again, and says whether it did not.
    pub fn resume(&self) -> bool {
        let was_paused = std::mem::take(&mut self.shared.state.lock().paused);
        self.wake();
        was_paused
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
        if let Some((_, flag)) = self.shared.state.lock().running.get(&item_id) {
            flag.set();
        }
    }

    /// Asks everything that runs for an account to end within a step.
    pub fn cancel_of(&self, user_id: &UserId) {
        for (owner, flag) in self.shared.state.lock().running.values() {
            if owner == user_id {
                flag.set();
            }
        }
    }

    /// Asks all to end, and waits until they have.
    pub fn stop(&self) {
        {
            let mut state = self.shared.state.lock();
            state.stopping = true;
            state.running.values().for_each(|(_, flag)| flag.set());
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

/// Works until the processor stops; a worker that breaks down fails what it had claimed and starts anew.
fn supervise(shared: &Shared, engine: &dyn Engine, ledger: &dyn Ledger) {
    while let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(shared, engine, ledger))) {
        let (device, text) = (engine.device(), panic_text(&*panic));
        tracing::error!("the worker of {} broke down and starts anew: {text}", device.id);
        if catch_unwind(AssertUnwindSafe(|| ledger.abandon(device, &Failure::of_panic(text)))).is_err() {
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
        shared.idle(engine, &mut state, |state| state.paused);
        if state.stopping {
            return;
        }
        let calls = state.calls;
        drop(state);

        let asking = Asking {
            device: engine.device(),
            loaded: &engine.loaded_models(),
            at_a_time: &|likeness| {
                if shared.may_take_several() { engine.at_a_time(likeness) } else { 1 }
            },
        };
        match ledger.claim(&asking) {
            Claim::Work(work) => run(shared, engine, ledger, work),
            Claim::Skipped => {}
            Claim::Nothing => {
                shared.idle(engine, &mut shared.state.lock(), |state| state.calls == calls);
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

impl Shared {
    /// Waits while there is nothing to do, and lets the engine rest when that has been long enough.
    fn idle(&self, engine: &dyn Engine, state: &mut MutexGuard<'_, State>, is_idle: impl Fn(&State) -> bool) {
        let mut rests_after = engine.rests_after();
        while is_idle(state) && !state.stopping {
            match rests_after {
                None => self.changed.wait(state),
                // A call that changes nothing for this worker begins the wait anew, which costs nobody anything.
                Some(time) => {
                    if self.changed.wait_for(state, time).timed_out() {
                        MutexGuard::unlocked(state, || engine.rest());
                        rests_after = None;
                    }
                }
            }
        }
    }

    /// Whether a worker may take more than one item: not if another is about to be free for it, or nothing is to begin.
    fn may_take_several(&self) -> bool {
        let state = self.state.lock();
        state.busy + 1 >= state.workers && !state.paused && !state.stopping
    }
}

/// An item that counts as running while this lives.
struct Running<'s> {
    shared: &'s Shared,
    item_id: ItemId,
}

impl<'s> Running<'s> {
    fn note(shared: &'s Shared, job: &Job) -> Self {
        let mut state = shared.state.lock();
        if state.stopping {
            job.cancel.set();
        }
        state.running.insert(job.item_id, (job.user_id.clone(), job.cancel.clone()));
        Self {
            shared,
            item_id: job.item_id,
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.shared.state.lock().running.remove(&self.item_id);
    }
}

/// A worker that counts as busy while this lives.
struct Busy<'s>(&'s Shared);

impl<'s> Busy<'s> {
    fn note(shared: &'s Shared) -> Self {
        shared.state.lock().busy += 1;
        Self(shared)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.state.lock().busy -= 1;
    }
}

fn run(shared: &Shared, engine: &dyn Engine, ledger: &dyn Ledger, work: Vec<Work>) {
    let _busy = Busy::note(shared);
    let running: Mutex<HashMap<ItemId, Running<'_>>> = Mutex::new(
        work.iter()
            .map(|work| (work.job.item_id, Running::note(shared, &work.job)))
            .collect(),
    );
    // Whoever canceled one between the claim and the line above found no flag to set.
    let sessions = work.into_iter().filter(|work| ledger.is_running(work.job.item_id));
    let sessions = sessions.map(|work| (work.job, work.host)).collect();
    engine.run_all(sessions, &|item_id, finished| {
        let stopping = shared.state.lock().stopping;
        ledger.finish(item_id, finished, stopping);
        running.lock().remove(&item_id);
    });
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use super::*;
    use crate::{
        domain::{SessionId, queue_item::Ending},
        engine::{DownloadWatch, HostError, ImageToSave, ModelOnDisk, ModelQuery, NodeEvent, Outcome, SavedImage},
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
        fn claim(&self, asking: &Asking<'_>) -> Claim {
            self.claims.fetch_add(1, Ordering::SeqCst);
            let mut waiting = self.waiting.lock();
            let Some(item_id) = waiting.pop() else {
                return Claim::Nothing;
            };
            if item_id == FAILS {
                return Claim::Later;
            }
            let more = (asking.at_a_time)(&Likeness::new("any")) - 1;
            let from = waiting.len().saturating_sub(more);
            let items = std::iter::once(item_id).chain(waiting.drain(from..));
            let work = |item_id| Work {
                job: Job {
                    item_id,
                    session_id: SessionId::new("s"),
                    user_id: UserId::system(),
                    session: serde_json::Value::Null,
                    likeness: None,
                    cancel: CancelFlag::default(),
                },
                host: Arc::new(NoHost),
            };
            Claim::Work(items.map(work).collect())
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

    /// Completes everything, and tells of its rests.
    struct Restful(Device, Mutex<mpsc::Sender<()>>);
    impl Engine for Restful {
        fn device(&self) -> &Device {
            &self.0
        }
        fn run(&self, job: Job, _: Arc<dyn Host>) -> Finished {
            Finished {
                outcome: Outcome::Ended(Ending::Completed),
                session: job.session,
            }
        }
        fn rests_after(&self) -> Option<Duration> {
            Some(Duration::from_millis(20))
        }
        fn rest(&self) {
            self.1.lock().send(()).unwrap();
        }
    }

    #[test]
    fn an_engine_without_work_rests_once_whether_paused_or_idle() {
        let device = Device {
            id: "cpu".into(),
            name: "CPU".into(),
        };
        let (tell, rests) = mpsc::channel();
        let rested = || rests.recv_timeout(Duration::from_mins(1)).expect("it rests");
        let engine: Arc<dyn Engine> = Arc::new(Restful(device, Mutex::new(tell)));
        let book = Arc::new(Book::default());
        let (processor, ledger) = (Processor::new(), Arc::clone(&book) as Arc<dyn Ledger>);
        processor.pause();
        processor.start(&[engine], &ledger).unwrap();
        rested();
        // Once rested it waits for work, and not for another rest.
        assert!(rests.recv_timeout(Duration::from_millis(100)).is_err());
        book.waiting.lock().push(8);
        processor.resume();
        assert_eq!(book.wait_for(1), [(8, Ending::Completed)]);
        rested();
        processor.stop();
        assert!(rests.recv_timeout(Duration::from_mins(1)).is_err(), "it rests no more");
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
        while !processor.shared.state.lock().running.contains_key(&2) {
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

    /// An engine that takes two items at a time. Item 2 holds it until canceled; it says what it was given together.
    struct Pairs(Odd, Arc<Mutex<Vec<Vec<ItemId>>>>);
    impl Engine for Pairs {
        fn device(&self) -> &Device {
            self.0.device()
        }
        fn run(&self, job: Job, host: Arc<dyn Host>) -> Finished {
            self.0.run(job, host)
        }
        fn at_a_time(&self, _: &Likeness) -> usize {
            2
        }
        fn run_all(&self, sessions: Vec<(Job, Arc<dyn Host>)>, ended: &(dyn Fn(ItemId, Finished) + Sync)) {
            self.1.lock().push(sessions.iter().map(|(job, _)| job.item_id).collect());
            for (job, host) in sessions {
                ended(job.item_id, self.run(job, host));
            }
        }
    }

    #[test]
    fn nobody_goes_along_while_another_device_is_idle() {
        let (book, given) = (Arc::new(Book::default()), Arc::default());
        let (processor, ledger) = (Processor::new(), Arc::clone(&book) as Arc<dyn Ledger>);
        let engines: Vec<Arc<dyn Engine>> = ["cuda:0", "cuda:1"]
            .into_iter()
            .map(|id| {
                let device = Device {
                    id: id.into(),
                    name: id.into(),
                };
                Arc::new(Pairs(Odd(device), Arc::clone(&given))) as Arc<dyn Engine>
            })
            .collect();
        processor.start(&engines, &ledger).unwrap();
        // Both are idle: the first takes one item, though it would take two.
        book.waiting.lock().push(2);
        processor.wake();
        while !processor.shared.state.lock().running.contains_key(&2) {
            std::thread::yield_now();
        }
        // One is busy: the other takes two, and what is left over alone.
        *book.waiting.lock() = vec![10, 11, 12, 13, 14];
        processor.wake();
        book.wait_for(5);
        processor.cancel(2);
        book.wait_for(6);
        // Both are idle again, and two items wait: whoever asks first takes one of them.
        while processor.shared.state.lock().busy > 0 {
            std::thread::yield_now();
        }
        *book.waiting.lock() = vec![20, 21];
        processor.wake();
        book.wait_for(8);
        processor.stop();
        let mut given = given.lock().clone();
        assert_eq!(given.remove(0), [2]);
        let busy: Vec<Vec<ItemId>> = given.drain(..3).collect();
        assert_eq!(busy, [vec![14, 13], vec![12, 11], vec![10]]);
        assert!(given.iter().all(|together| together.len() == 1), "{given:?}");
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
