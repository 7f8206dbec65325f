//! Denoising jobs of several sessions as one batch.
//!
//! Each session brings its job to the meeting of its company; the first in line runs all of them, and the others follow their progress. A job that cannot
//! be run with the others, for whatever reason, is run by its own session.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
};

use candle_core::Tensor;

use crate::{
    diffusion::{
        Seamless,
        denoise::{
            self as sampling, AdapterInput, DenoiseMask, Guidance, Job, Outcome, Plan, Progress, Prompt, Stage, UNetDenoiser, Watcher,
        },
        schedulers::{SchedulerConfig, SchedulerName},
        unet::{FreeU, UNet},
    },
    domain::panic_text,
    nodes::{
        NodeCx, NodeError,
        company::{Cancelled, Met, Seat},
        workbench::make_room,
    },
};

/// A session's place in the company of those that denoise together.
pub type DenoiseSeat = Seat<Setting, Brought>;

/// What is one for all jobs of a batch.
pub struct Setting {
    unet: Arc<UNet>,
    config: SchedulerConfig,
    run: Run,
}

/// The part of a setting that is plain data.
#[derive(Clone, Copy, PartialEq)]
struct Run {
    scheduler: SchedulerName,
    steps: usize,
    part: (f64, f64),
    shape: (usize, usize, usize, usize),
    seamless: Seamless,
    free_u: Option<FreeU>,
    is_guided: bool,
}

impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        // Models in memory are equal if they are one, and one model has one schedule.
        Arc::ptr_eq(&self.unet, &other.unet) && self.config == other.config && self.run == other.run
    }
}

/// A job without what is borrowed from its session.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) latents: Option<Tensor>,
    pub(super) noise: Option<Tensor>,
    pub(super) seed: u64,
    pub(super) positive: Vec<Prompt>,
    pub(super) negative: Vec<Prompt>,
    pub(super) guidance: Guidance,
    pub(super) mask: Option<DenoiseMask>,
    pub(super) adapters: Vec<AdapterInput>,
}

impl Order {
    /// The job, followed by a watcher.
    pub(super) fn job<'a>(&self, watcher: &'a dyn Watcher) -> Job<'a> {
        let order = self.clone();
        Job {
            latents: order.latents,
            noise: order.noise,
            seed: order.seed,
            positive: order.positive,
            negative: order.negative,
            guidance: order.guidance,
            mask: order.mask,
            controls: Vec::new(),
            adapters: order.adapters,
            images: Vec::new(),
            watcher,
        }
    }
}

/// What a session brings to the meeting.
pub struct Brought {
    order: Order,
    relay: Relay,
}

/// What a session that follows is told. If it is told nothing more before the end it runs its job itself.
enum Told {
    Progress {
        stage: Stage,
        latents: Tensor,
        predicted: Option<Tensor>,
    },
    End(Outcome),
}

/// Passes a job's progress to the session that it belongs to.
struct Relay {
    cancelled: Cancelled,
    tell: mpsc::Sender<Told>,
}

impl Watcher for Relay {
    fn is_cancelled(&self) -> bool {
        (self.cancelled)()
    }

    fn progressed(&self, progress: Progress<'_>) {
        // A session that no longer listens has been canceled, and will be seen to have been.
        let _ = self.tell.send(Told::Progress {
            stage: progress.stage,
            latents: progress.latents.clone(),
            predicted: progress.predicted.cloned(),
        });
    }

    fn left(&self) {
        let _ = self.tell.send(Told::End(Outcome::Cancelled));
    }
}

/// A job and all that it needs.
pub(super) struct Task<'a> {
    pub(super) unet: &'a Arc<UNet>,
    pub(super) denoiser: UNetDenoiser<'a>,
    pub(super) plan: Plan<'a>,
    pub(super) order: Order,
    /// Of the latents.
    pub(super) shape: (usize, usize, usize, usize),
    /// Bytes that one job takes.
    pub(super) bytes: u64,
}

impl Task<'_> {
    fn setting(&self) -> Setting {
        Setting {
            unet: Arc::clone(self.unet),
            config: self.plan.config.clone(),
            run: Run {
                scheduler: self.plan.scheduler,
                steps: self.plan.steps,
                part: (self.plan.start, self.plan.end),
                shape: self.shape,
                seamless: self.denoiser.seamless,
                free_u: self.denoiser.free_u,
                is_guided: self.order.guidance.is_guided(),
            },
        }
    }
}

/// Runs a job, with those of other sessions if there are any in company.
pub(super) fn denoise(cx: &dyn NodeCx, task: &Task<'_>, watcher: &dyn Watcher) -> Result<Option<Outcome>, NodeError> {
    let Some(seat) = cx.seat() else {
        return alone(cx, task, watcher);
    };
    let (tell, told) = mpsc::channel();
    let relay = Relay {
        cancelled: Arc::clone(seat.cancelled()),
        tell,
    };
    let brought = Brought {
        order: task.order.clone(),
        relay,
    };
    match seat.meet(task.setting(), brought) {
        Met::Cancelled => Ok(Some(Outcome::Cancelled)),
        Met::Leads(others) if others.is_empty() => alone(cx, task, watcher),
        // Whatever is wrong with somebody's job is that session's alone: each runs its own then, and one of them meets the fault again.
        Met::Leads(others) => match unpanicked(|| lead(cx, task, &others, watcher)) {
            Ok(own) => Ok(own),
            Err(error) => {
                tracing::warn!("{} jobs could not be run together and run one by one: {error}", others.len() + 1);
                cx.denoised(others.len() + 1, false);
                drop(others);
                alone(cx, task, watcher)
            }
        },
        Met::Follows => {
            let end = follow(&told, watcher);
            if let Some(Outcome::Cancelled) = end {
                // Nothing is left to compute; the others keep the floor.
                return Ok(end);
            }
            seat.take_floor();
            match end {
                Some(outcome) => Ok(Some(outcome)),
                None => alone(cx, task, watcher),
            }
        }
    }
}

fn unpanicked<T>(work: impl FnOnce() -> Result<T, NodeError>) -> Result<T, NodeError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(NodeError::runtime(panic_text(&*panic))))
}

fn alone(cx: &dyn NodeCx, task: &Task<'_>, watcher: &dyn Watcher) -> Result<Option<Outcome>, NodeError> {
    Ok(run(cx, task, &[task.order.job(watcher)])?.pop())
}

/// Runs all jobs and returns the outcome of one's own.
fn lead(cx: &dyn NodeCx, task: &Task<'_>, others: &[Brought], watcher: &dyn Watcher) -> Result<Option<Outcome>, NodeError> {
    let count = others.len() + 1;
    make_room(
        cx,
        task.bytes.saturating_mul(count as u64),
        &format!("denoising {count} pictures together"),
    )?;
    let mut jobs = vec![task.order.job(watcher)];
    jobs.extend(others.iter().map(|other| other.order.job(&other.relay)));
    let mut outcomes = run(cx, task, &jobs)?.into_iter();
    let own = outcomes.next();
    for (other, outcome) in others.iter().zip(outcomes) {
        let _ = other.relay.tell.send(Told::End(outcome));
    }
    Ok(own)
}

fn run(cx: &dyn NodeCx, task: &Task<'_>, jobs: &[Job<'_>]) -> Result<Vec<Outcome>, NodeError> {
    let outcomes = sampling::denoise(&task.denoiser, &task.plan, jobs)?;
    if outcomes.iter().all(|outcome| matches!(outcome, Outcome::Done(_))) {
        cx.denoised(jobs.len(), true);
    }
    Ok(outcomes)
}

/// Follows a job that another session runs; `None` if it let it fall.
fn follow(told: &mpsc::Receiver<Told>, watcher: &dyn Watcher) -> Option<Outcome> {
    for told in told {
        match told {
            Told::Progress { stage, latents, predicted } => watcher.progressed(Progress {
                stage,
                latents: &latents,
                predicted: predicted.as_ref(),
            }),
            Told::End(outcome) => return Some(outcome),
        }
    }
    None
}
