//! A pool of threads for loops of independent tasks.
//!
//! A general pool hands work over in 5 to 50 microseconds when its threads sleep; the layers of a small model take as long. Here the
//! threads watch for the next job for a while before they sleep, the caller works too, and a thread that comes late is not waited
//! for: it joins if the job is still open.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError, TryLockError};

/// How many times a thread without work looks for some before it sleeps (about 100 microseconds).
const LOOKS: u32 = 2500;

type Task<'a> = dyn Fn(usize) + Sync + 'a;

/// Set in [`Door::state`] when no thread may join the job any more.
const CLOSED: u64 = 1 << 31;
/// One job further.
const NEXT_JOB: u64 = 1 << 32;
/// The number of threads that joined.
const JOINED: u64 = CLOSED - 1;

struct Door {
    /// `[number of the job: 32][closed: 1][threads that joined: 31]`.
    state: AtomicU64,
    /// Threads that joined the job and are through with it.
    left: AtomicUsize,
    /// The next task to take, and how many there are.
    next: AtomicUsize,
    tasks: AtomicUsize,
    /// The job's closure. Written only while the door is closed and all who joined have left.
    job: Mutex<Option<&'static Task<'static>>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    sleepers: Mutex<usize>,
    wake: Condvar,
    asleep: AtomicUsize,
}

struct Pool {
    door: Arc<Door>,
    /// Held by the caller whose job is running.
    busy: Mutex<()>,
    threads: usize,
}

static POOL: LazyLock<Pool> = LazyLock::new(Pool::start);

/// How many threads share the work, the caller's included.
pub fn threads() -> usize {
    POOL.threads
}

/// Calls `task` with each of `0..count`, on several threads at once, and returns when all calls have. A caller that finds the pool
/// in use by another does all its tasks itself. A panic in a task is passed on.
pub(crate) fn run(count: usize, task: impl Fn(usize) + Sync) {
    if count <= 1 || POOL.threads == 1 {
        return (0..count).for_each(task);
    }
    match POOL.busy.try_lock() {
        Ok(_guard) => POOL.run(count, &task),
        // A job that panicked left nothing behind.
        Err(TryLockError::Poisoned(error)) => {
            let _guard = error.into_inner();
            POOL.run(count, &task);
        }
        Err(TryLockError::WouldBlock) => (0..count).for_each(task),
    }
}

/// As [`run`] if the work (in vector operations or the like) is worth a second thread, else on this thread alone.
pub(crate) fn run_if(worth: bool, count: usize, task: impl Fn(usize) + Sync) {
    if worth { run(count, task) } else { (0..count).for_each(task) }
}

/// Splits `0..total` into ranges of a multiple of `grain` (the last may be shorter), about `per_thread` for each thread.
pub(crate) fn split(total: usize, grain: usize, per_thread: usize) -> (usize, impl Fn(usize) -> std::ops::Range<usize> + Sync + Copy) {
    let parts = (threads() * per_thread).max(1);
    let size = total.div_ceil(parts).next_multiple_of(grain.max(1)).max(1);
    (total.div_ceil(size), move |i| i * size..((i + 1) * size).min(total))
}

impl Pool {
    fn start() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let door = Arc::new(Door {
            state: AtomicU64::new(CLOSED),
            left: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            tasks: AtomicUsize::new(0),
            job: Mutex::new(None),
            panic: Mutex::new(None),
            sleepers: Mutex::new(0),
            wake: Condvar::new(),
            asleep: AtomicUsize::new(0),
        });
        let mut started = 1;
        for i in 1..threads {
            let door = Arc::clone(&door);
            // Without the thread the work is done by fewer.
            started += usize::from(
                std::thread::Builder::new()
                    .name(format!("kernels-{i}"))
                    .spawn(move || door.serve())
                    .is_ok(),
            );
        }
        Self {
            door,
            busy: Mutex::new(()),
            threads: started,
        }
    }

    fn run(&self, count: usize, task: &Task<'_>) {
        let door = &*self.door;
        // SAFETY: the reference is used only by threads that joined this job, and this function does not return, nor unwind, before
        // the door is closed and all of them have left (see `take_all`: it never unwinds).
        let job = unsafe { std::mem::transmute::<&Task<'_>, &'static Task<'static>>(task) };
        *door.job.lock().unwrap_or_else(PoisonError::into_inner) = Some(job);
        door.left.store(0, Ordering::Relaxed);
        door.next.store(0, Ordering::Relaxed);
        door.tasks.store(count, Ordering::Relaxed);
        let opened = (door.state.load(Ordering::Relaxed) & !(CLOSED | JOINED)).wrapping_add(NEXT_JOB);
        door.state.store(opened, Ordering::SeqCst);
        if door.asleep.load(Ordering::SeqCst) > 0 {
            let _guard = door.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
            door.wake.notify_all();
        }
        door.take_all(task);
        let joined = (door.state.fetch_or(CLOSED, Ordering::AcqRel) & JOINED) as usize;
        let mut looks = 0_u32;
        while door.left.load(Ordering::Acquire) < joined {
            looks += 1;
            // A thread may have lost its processor in the middle of a task: give it this one.
            if looks.is_multiple_of(LOOKS) {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
        *door.job.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let panic = door.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Door {
    /// Takes tasks until there are none. Does not unwind: a panic is kept for the caller, and ends the job.
    fn take_all(&self, task: &Task<'_>) {
        let tasks = self.tasks.load(Ordering::Relaxed);
        loop {
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            if i >= tasks {
                return;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| task(i))) {
                self.next.store(tasks, Ordering::Relaxed);
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
        }
    }

    /// What a thread of the pool does for ever.
    fn serve(&self) {
        let mut seen = 0;
        loop {
            let state = self.wait_past(seen);
            seen = state & !(CLOSED | JOINED);
            if self.join(seen) {
                let job = *self.job.lock().unwrap_or_else(PoisonError::into_inner);
                let job = job.expect("an open job has its closure");
                self.take_all(job);
                self.left.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// Waits for another job than `seen`.
    fn wait_past(&self, seen: u64) -> u64 {
        let news = || Some(self.state.load(Ordering::SeqCst)).filter(|s| s & !(CLOSED | JOINED) != seen && s & CLOSED == 0);
        for _ in 0..LOOKS {
            if let Some(state) = news() {
                return state;
            }
            std::hint::spin_loop();
        }
        let mut guard = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        // Counted before the last look: a caller either sees the sleeper or is seen by it.
        self.asleep.fetch_add(1, Ordering::SeqCst);
        let state = loop {
            if let Some(state) = news() {
                break state;
            }
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        };
        self.asleep.fetch_sub(1, Ordering::SeqCst);
        state
    }

    /// Joins job number `job` if it is still open.
    fn join(&self, job: u64) -> bool {
        let open = |state: u64| (state & !JOINED == job).then_some(state + 1);
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, open).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for count in [0, 1, 2, 7, 1000] {
            let calls: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            run(count, |i| {
                calls[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(calls.iter().all(|c| c.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn many_jobs_from_many_callers() {
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        run(3, |i| {
                            total.fetch_add(i + 1, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(total.load(Ordering::Relaxed), 4 * 2000 * 6);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let caught = catch_unwind(|| run(8, |i| assert!(i != 5, "task five")));
        assert!(caught.is_err());
        let sum = AtomicUsize::new(0);
        run(8, |i| {
            sum.fetch_add(i, Ordering::Relaxed);
        });
        assert_eq!(sum.load(Ordering::Relaxed), 28);
    }

    #[test]
    fn ranges_cover_everything_once() {
        for (total, grain) in [(0, 4), (1, 4), (17, 4), (1000, 16)] {
            let (parts, range) = split(total, grain, 3);
            let all: Vec<usize> = (0..parts).flat_map(range).collect();
            assert_eq!(all, (0..total).collect::<Vec<_>>());
        }
    }
}
