//! Moving pictures' files into the subfolders in which the configuration sorts new ones.
//!
//! While files are moved, or a move that was cut off waits to be finished, nothing else touches them: requests for pictures are refused
//! as conflicts (see [`Maintenance`]). A move works through some pictures at a time, each lot under a journal of its own, so that
//! whatever dies leaves every picture where its record says, or where the journal can find it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use serde_json::{Value, json};

use super::Shared;
use crate::{
    authz::{Actor, Deed, Permit, acts, administer, authorize_global},
    domain::{Error, QueueId, Result},
    repo::{image_moves as repo, queue as queue_repo},
};

/// Pictures that are moved under one journal.
const LOT: usize = 100;

/// Whether the store of pictures is being rearranged.
#[derive(Debug, Default)]
pub struct Maintenance {
    active: AtomicBool,
    /// Read by whoever deletes pictures, written by whoever moves them: neither finds files half moved.
    files: RwLock<()>,
}

impl Maintenance {
    /// Refuses while files are moved.
    ///
    /// # Errors
    /// [`Error::Conflict`] then.
    pub fn refuse_if_active(&self) -> Result<()> {
        if self.active.load(Ordering::SeqCst) {
            return Err(Error::Conflict("Image storage maintenance is active".into()));
        }
        Ok(())
    }

    /// Keeps files from being moved while they are deleted.
    pub(super) fn deleting(&self) -> RwLockReadGuard<'_, ()> {
        self.files.read()
    }
}

/// Use of moves.
#[derive(Clone)]
pub struct ImageMoves {
    shared: Arc<Shared>,
    state: Arc<Mutex<State>>,
    stopping: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    running: Option<(Operation, thread::JoinHandle<()>)>,
    last_error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    MoveAll,
    Recovery,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::MoveAll => "move_all",
            Self::Recovery => "recovery",
        }
    }
}

/// Leave to move files and their records: who began it is written down when it begins.
type Leave = Permit<acts::ManageServer, ()>;

impl ImageMoves {
    /// The moves of a core. Moves that a crash cut off are finished first; what cannot be finished leaves the store in maintenance, for an
    /// administrator to look at.
    pub fn open(shared: Arc<Shared>) -> Result<Self> {
        let moves = Self {
            shared,
            state: Arc::default(),
            stopping: Arc::default(),
        };
        if let Err(error) = moves.recover(&Leave::of_program()) {
            tracing::error!("a move of pictures that was cut off cannot be finished: {error}");
        }
        moves.settle();
        Ok(moves)
    }

    /// What goes on, and how many pictures lie elsewhere than the configuration sorts new ones.
    pub fn status(&self, actor: &Actor) -> Result<Value> {
        let leave = authorize_global::<acts::ReadServer>(actor)?;
        self.reap();
        let running = self.state.lock().running.as_ref().map(|(operation, _)| *operation);
        self.report(&leave, running)
    }

    fn report(&self, leave: &Permit<acts::ReadServer, ()>, running: Option<Operation>) -> Result<Value> {
        let last_error = self.state.lock().last_error.clone();
        let operation = running.map(Operation::as_str);
        let strategy = self.shared.config.image_subfolder_strategy();
        self.shared.db.read(|tx| {
            let latest = repo::latest(tx, leave)?;
            Ok(json!({
                "is_running": operation.is_some(),
                "operation": operation,
                "active_job_id": repo::unfinished(tx)?.first(),
                "latest_job": latest.map(|job| json!({"id": job.id, "state": job.state, "error_message": job.error_message})),
                "last_error": last_error,
                "needs_move_count": repo::misplaced_count(tx, leave, strategy)?,
            }))
        })
    }

    /// Begins to move all pictures that lie elsewhere than they belong, and tells how things stand. Nothing may wait or run in the queue.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a move goes on or waits to be finished, or the queue has work.
    pub fn start(&self, actor: &Actor) -> Result<Value> {
        let deed = administer::<acts::ManageServer>(actor, "image_moves.start")?;
        self.begin(Operation::MoveAll, deed)?;
        // It has begun, even if there was so little to do that it has ended.
        self.report(&authorize_global(actor)?, Some(Operation::MoveAll))
    }

    /// Begins to finish moves that were cut off, and tells how things stand.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a move goes on.
    pub fn start_recovery(&self, actor: &Actor) -> Result<Value> {
        let deed = administer::<acts::ManageServer>(actor, "image_moves.start_recovery")?;
        self.begin(Operation::Recovery, deed)?;
        self.report(&authorize_global(actor)?, Some(Operation::Recovery))
    }

    /// Ends after the lot that is being moved; the next move goes on where this one stops.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let running = self.state.lock().running.take();
        if let Some((_, thread)) = running {
            // A panic there has been told already.
            let _ = thread.join();
        }
    }

    fn begin(&self, operation: Operation, deed: Deed<acts::ManageServer>) -> Result<()> {
        self.reap();
        let mut state = self.state.lock();
        if state.running.is_some() {
            return Err(Error::Conflict("An image move job is already running".into()));
        }
        if operation == Operation::MoveAll {
            if !self.shared.db.read(repo::unfinished)?.is_empty() {
                return Err(Error::Conflict("An image move job is already active".into()));
            }
            // From here on nothing more is enqueued; what was is seen, as both are writes.
            self.shared.maintenance.active.store(true, Ordering::SeqCst);
            if let Err(error) = self.refuse_if_queue_works() {
                self.settle();
                return Err(error);
            }
        }
        self.shared.maintenance.active.store(true, Ordering::SeqCst);
        if let Err(error) = self.shared.db.record(deed) {
            self.settle();
            return Err(error.into());
        }
        state.last_error = None;
        let moves = self.clone();
        let thread = thread::Builder::new().name("image-moves".into()).spawn(move || {
            let leave = Leave::of_program();
            let outcome = moves.recover(&leave).and_then(|()| match operation {
                Operation::MoveAll => moves.move_all(&leave),
                Operation::Recovery => Ok(()),
            });
            if let Err(error) = outcome {
                tracing::error!("moving pictures between folders: {error}");
                moves.state.lock().last_error = Some(error.to_string());
            }
            moves.settle();
        });
        match thread {
            Ok(thread) => state.running = Some((operation, thread)),
            Err(error) => {
                self.settle();
                return Err(Error::internal("starting a thread", error));
            }
        }
        Ok(())
    }

    fn refuse_if_queue_works(&self) -> Result<()> {
        let counts = self
            .shared
            .db
            .write(|tx| queue_repo::queue_counts(tx, &QueueId::new("default")))
            .map_err(Error::from)?;
        if counts.pending > 0 || counts.in_progress > 0 {
            return Err(Error::Conflict("Cannot start image move while queue work is active".into()));
        }
        Ok(())
    }

    /// Forgets a thread that has ended.
    fn reap(&self) {
        let mut state = self.state.lock();
        if state.running.as_ref().is_some_and(|(_, thread)| thread.is_finished()) {
            state.running = None;
        }
    }

    /// Ends the maintenance unless a job waits to be finished.
    fn settle(&self) {
        let unfinished = self.shared.db.read(repo::unfinished).map_or(true, |jobs| !jobs.is_empty());
        self.shared.maintenance.active.store(unfinished, Ordering::SeqCst);
    }

    fn recover(&self, leave: &Leave) -> Result<()> {
        for job in self.shared.db.read(repo::unfinished)? {
            let _alone = self.shared.maintenance.files.write();
            let items = self.shared.db.read(|tx| repo::items(tx, leave, job))?;
            self.carry_out(leave, job, &items)?;
            tracing::info!("finished a move of {} pictures that was cut off", items.len());
        }
        Ok(())
    }

    fn move_all(&self, leave: &Leave) -> Result<()> {
        let mut after = String::new();
        while !self.stopping.load(Ordering::SeqCst) {
            let strategy = self.shared.config.image_subfolder_strategy();
            let pictures = self.shared.db.read(|tx| repo::misplaced(tx, leave, strategy, &after, LOT))?;
            let Some(last) = pictures.last() else { break };
            after = last.image_name.to_string();
            let _alone = self.shared.maintenance.files.write();
            let job = self.shared.db.write(|tx| repo::begin(tx, leave, &pictures)).map_err(Error::from)?;
            self.carry_out(leave, job, &pictures)?;
        }
        Ok(())
    }

    /// Moves the files of a job's pictures and ends it. A fault of the machine leaves it unfinished.
    fn carry_out(&self, leave: &Leave, job: i64, pictures: &[repo::Misplaced]) -> Result<()> {
        let (mut moved, mut failed) = (Vec::new(), Vec::new());
        for picture in pictures {
            match self.shared.images.relocate(&picture.image_name, &picture.from, &picture.to) {
                Ok(()) => moved.push(picture.clone()),
                Err(error) if error.is_absent() && picture.is_intermediate => moved.push(picture.clone()),
                Err(error) if error.is_absent() => {
                    failed.push(format!("{0}: Neither old nor new image file exists for {0}", picture.image_name));
                }
                Err(error) if error.is_lasting() => failed.push(format!("{}: {error}", picture.image_name)),
                Err(error) => {
                    let text = format!("{}: {error}", picture.image_name);
                    self.shared.db.write(|tx| repo::note(tx, leave, job, &text)).map_err(Error::from)?;
                    return Err(Error::internal("moving a picture", text));
                }
            }
        }
        self.shared
            .db
            .write(|tx| repo::end(tx, leave, job, &moved, &failed))
            .map_err(Error::from)
    }
}

/// Keeps the store in maintenance for as long as the value lives.
#[cfg(test)]
pub(super) fn hold(shared: &Arc<Shared>) -> impl Drop + use<> {
    struct Held(Arc<Shared>);

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.maintenance.active.store(false, Ordering::SeqCst);
        }
    }

    shared.maintenance.active.store(true, Ordering::SeqCst);
    Held(Arc::clone(shared))
}
