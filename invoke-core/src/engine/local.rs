//! The engine that runs sessions on this process's own device.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock, mpsc},
    time::Duration,
};

use candle_core::{DType, Tensor};
use image::DynamicImage;
use parking_lot::Mutex;
use serde_json::Value;

use super::{
    Device, DownloadWatch, Engine, Finished, Host, HostError, ImageToSave, Job, NodeEvent, NodeRef, Outcome,
    devices::{self, Opened},
    gains::Gains,
    guarded,
};
use crate::{
    domain::{
        ItemId, UserId,
        queue_item::{Ending, Failure, Likeness},
    },
    env::Env,
    events::Preview,
    files::decode_picture,
    graph::{
        Registry, Session,
        session::{Prepared, missing_input},
    },
    models::{Footprint, ModelCache},
    nodes::{
        self, DenoiseSeat, Frame, ModelOnDisk, ModelQuery, NodeCx, NodeError, Picture, SavedImage,
        cache::{CacheKey, NodeCache},
        company::{self, Cancelled},
        store::ObjectStore,
        workbench::{Options, Precision, Workbench},
    },
};

/// Room for tensors that pass between nodes while sessions run.
const STORE_BYTES: usize = 512 << 20;
/// What of them stays when none does: encoded prompts that the next session is likely to need again.
const KEPT_BYTES: usize = 16 << 20;

/// Runs sessions on one device of this process.
pub struct LocalEngine {
    device: Device,
    registry: Arc<Registry>,
    env: Env,
    workbench: Workbench,
    results: Arc<NodeCache>,
    gains: Gains,
}

impl LocalEngine {
    /// An engine on the CPU whose models take at most so many bytes. `results` may be shared by several engines.
    pub fn on_cpu(registry: Arc<Registry>, env: Env, model_bytes: u64, results: Arc<NodeCache>) -> Self {
        Self::on(devices::cpu(), registry, env, Footprint::of_main(model_bytes), results)
    }

    /// The same on any device.
    pub fn on((device, compute): Opened, registry: Arc<Registry>, env: Env, models: Footprint, results: Arc<NodeCache>) -> Self {
        let memory = devices::memory_of(&compute);
        Self {
            device,
            registry,
            env,
            workbench: Workbench {
                device: compute,
                options: Options::default(),
                cache: ModelCache::new(models),
                store: ObjectStore::new(STORE_BYTES),
                memory,
                cramped: false.into(),
            },
            results,
            gains: Gains::default(),
        }
    }

    /// The same, its models computing as they are told, as far as the device can.
    #[must_use]
    pub fn with_options(mut self, mut options: Options) -> Self {
        let device = &self.workbench.device;
        if !device.is_cpu()
            && let Err(error) = Tensor::ones((2, 2), DType::BF16, device).and_then(|x| x.matmul(&x))
        {
            options.lacks_bfloat16 = true;
            if options.precision == Precision::Bfloat16 {
                tracing::warn!("{} cannot compute bfloat16, and computes float16: {error}", self.device.id);
                options.precision = Precision::Float16;
            }
        }
        self.workbench.options = options;
        self
    }

    /// What its nodes share.
    pub fn workbench(&self) -> &Workbench {
        &self.workbench
    }

    /// What its device gains by denoising several pictures at a time.
    pub fn gains(&self) -> &Gains {
        &self.gains
    }
}

/// Seats for sessions that run side by side.
fn seats<'j>(jobs: impl IntoIterator<Item = &'j Job>) -> Vec<DenoiseSeat> {
    company::seats(jobs.into_iter().map(|job| {
        let cancel = job.cancel.clone();
        Arc::new(move || cancel.is_set()) as Cancelled
    }))
}

fn failure(error_type: &str, message: &str) -> Failure {
    Failure {
        error_type: error_type.into(),
        error_message: message.into(),
        error_traceback: format!("{error_type}: {message}"),
    }
}

impl Engine for LocalEngine {
    fn device(&self) -> &Device {
        &self.device
    }

    fn rests_after(&self) -> Option<Duration> {
        self.workbench.options.keep_alive
    }

    fn rest(&self) {
        let bytes = self.workbench.cache.drop_idle();
        if bytes > 0 {
            tracing::info!(bytes, "models that nobody used for a while were dropped");
        }
    }

    fn loaded_models(&self) -> Vec<String> {
        self.workbench.cache.models()
    }

    fn at_a_time(&self, likeness: &Likeness) -> usize {
        self.gains.at_a_time(likeness)
    }

    fn run(&self, job: Job, host: Arc<dyn Host>) -> Finished {
        let mut seats = seats([&job]);
        self.run_seated(job, host.as_ref(), &seats.remove(0), &Denoised::default())
    }

    fn run_all(&self, sessions: Vec<(Job, Arc<dyn Host>)>, ended: &(dyn Fn(ItemId, Finished) + Sync)) {
        let (count, began) = (sessions.len(), self.env.monotonic_ns());
        let likeness = sessions.first().and_then(|(job, _)| job.likeness.clone());
        let reports = Denoised::default();
        let denoised = &reports;
        let run = |seat: DenoiseSeat, (job, host): (Job, Arc<dyn Host>)| {
            let item_id = job.item_id;
            // The seat is given up before anything is written down: the next has the device meanwhile.
            let finished = guarded(job, move |job| self.run_seated(job, host.as_ref(), &seat, denoised));
            ended(item_id, finished);
        };
        std::thread::scope(|scope| {
            let mut sessions = sessions.into_iter();
            let own = sessions.next();
            // Threads first: nobody is to wait at the meeting for a session that has none.
            let (threads, handed): (Vec<_>, Vec<_>) = sessions.map(|session| (self.hand(scope, run), session)).unzip();
            let (mut alone, mut company) = (Vec::new(), Vec::new());
            for (thread, session) in threads.into_iter().zip(handed) {
                match thread {
                    Some(thread) => company.push((thread, session)),
                    None => alone.push(session),
                }
            }
            let jobs = own.iter().chain(company.iter().map(|(_, session)| session)).map(|(job, _)| job);
            let mut seats = seats(jobs).into_iter();
            let own = own.and_then(|session| Some((seats.next()?, session)));
            for ((thread, session), seat) in company.into_iter().zip(seats) {
                if let Err(back) = thread.send((seat, session)) {
                    tracing::error!("a session's thread is gone");
                    alone.push(back.0.1);
                }
            }
            if let Some((seat, session)) = own {
                run(seat, session);
            }
            for session in alone {
                let mut seats = self::seats([&session.0]);
                run(seats.remove(0), session);
            }
        });
        self.workbench.store.trim(KEPT_BYTES);
        // The whole sessions are timed: threads, encoding and decoding are part of what company costs. What came out of a cache tells nothing.
        let took = self.env.monotonic_ns().saturating_sub(began);
        let reports = reports.into_inner();
        let Some(likeness) = likeness else { return };
        // Those that turned out to be of different settings denoised apart: for them company is all cost.
        let fell_apart = reports.len() > 1 && reports.iter().map(|(jobs, _)| jobs).sum::<usize>() == count;
        if reports.contains(&(count, false)) || fell_apart {
            self.gains.note(&likeness, count, None);
        } else if reports == [(count, true)] {
            self.gains.note(&likeness, count, Some(took));
        }
    }
}

/// How many were denoised together, and whether they could be, each time anything was.
type Denoised = Mutex<Vec<(usize, bool)>>;

/// A session with its place.
type Seated = (DenoiseSeat, (Job, Arc<dyn Host>));

impl LocalEngine {
    /// A thread that runs what it is handed; `None` if the system has none to give.
    fn hand<'s>(
        &'s self,
        scope: &'s std::thread::Scope<'s, '_>,
        run: impl Fn(DenoiseSeat, (Job, Arc<dyn Host>)) + Send + Copy + 's,
    ) -> Option<mpsc::Sender<Seated>> {
        let (hand, handed) = mpsc::channel::<Seated>();
        let name = format!("worker {} beside", self.device.id);
        let thread = std::thread::Builder::new().name(name).spawn_scoped(scope, move || {
            if let Ok((seat, session)) = handed.recv() {
                run(seat, session);
            }
        });
        match thread {
            Ok(_) => Some(hand),
            Err(error) => {
                tracing::warn!("a session runs after another, not beside it: a thread could not be started: {error}");
                None
            }
        }
    }

    fn run_seated(&self, job: Job, host: &dyn Host, seat: &DenoiseSeat, denoised: &Denoised) -> Finished {
        seat.take_floor();
        let mut session = match Session::from_stored(&self.registry, job.session.clone()) {
            Ok(session) => session,
            Err(error) => return Finished::failed(job.session, failure("ValueError", &error.to_string())),
        };
        let mut new_id = || self.env.uuid();
        let graph = OnceLock::new();
        let mut calls = None;
        let ending = loop {
            if job.cancel.is_set() || !host.owner_is_active() {
                break Ending::Canceled;
            }
            let prepared = match session.next(&mut new_id) {
                Ok(Some(prepared)) => prepared,
                Ok(None) => break Ending::Completed,
                Err(wrong) => {
                    let failure = failure("NodeInputError", &wrong.to_string());
                    session.fail(
                        &wrong.prepared.exec_id,
                        format!("{}: {}", failure.error_type, failure.error_message),
                    );
                    host.event(NodeEvent::Error {
                        node: node_ref(&wrong.prepared),
                        failure: failure.clone(),
                    });
                    break Ending::Failed(failure);
                }
            };
            let node = node_ref(&prepared);
            host.event(NodeEvent::Started(node.clone()));
            if prepared.meta.id == nodes::workflows::CALLS_WORKFLOW {
                calls = Some(prepared.exec_id);
                break Ending::Completed;
            }
            let cx = Cx {
                engine: self,
                host,
                job: &job,
                seat,
                denoised,
                frame: Frame::of(&prepared.exec_id, &prepared.source_id, &prepared.node),
                node: node.clone(),
                session: &session,
                graph: &graph,
            };
            let outcome = run_node(&prepared, &cx);
            match outcome {
                Ok(result) => {
                    session.complete(&prepared.exec_id, result.clone());
                    host.event(NodeEvent::Complete { node, result });
                }
                Err(NodeError::Canceled) => break Ending::Canceled,
                // What fails because its owner's account has gone meanwhile is over with the account; nobody did anything wrong.
                Err(NodeError::Failed { .. }) if !host.owner_is_active() => break Ending::Canceled,
                Err(NodeError::Failed { error_type, message }) => {
                    let failure = failure(&error_type, &message);
                    session.fail(&prepared.exec_id, format!("{error_type}: {message}"));
                    host.event(NodeEvent::Error {
                        node,
                        failure: failure.clone(),
                    });
                    break Ending::Failed(failure);
                }
            }
        };
        let ending = if ending == Ending::Completed && !host.owner_is_active() {
            Ending::Canceled
        } else {
            ending
        };
        let outcome = match (ending, calls) {
            (Ending::Completed, Some(exec_id)) => Outcome::Calls { exec_id },
            (ending, _) => Outcome::Ended(ending),
        };
        Finished {
            outcome,
            session: session.to_stored(),
        }
    }
}

fn node_ref(prepared: &Prepared) -> NodeRef {
    NodeRef {
        invocation: prepared.event_node(),
        source_id: prepared.source_id.clone(),
    }
}

fn run_node(prepared: &Prepared, cx: &Cx<'_>) -> Result<Value, NodeError> {
    if let Some((error_type, text)) = missing_input(prepared.meta, &prepared.node) {
        return Err(NodeError::new(error_type, text));
    }
    let entry =
        nodes::find(prepared.meta.id).ok_or_else(|| NodeError::new("ValueError", format!("no node of type {}", prepared.meta.id)))?;
    let results = &cx.engine.results;
    let key = (prepared.node["use_cache"] == Value::Bool(true)).then(|| CacheKey::of(&cx.job.user_id, &prepared.node));
    if let Some(output) = key
        .as_ref()
        .and_then(|key| results.get(key))
        .filter(|output| cx.still_there(output))
    {
        return Ok(output);
    }
    let run = || cx.engine.workbench.with_second_try(|| (entry.run)(prepared.node.clone(), cx));
    let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = crate::domain::panic_text(&*panic);
        tracing::error!(node = prepared.meta.id, "a node panicked: {text}");
        Err(NodeError::runtime(text))
    });
    if let (Some(key), Ok(output)) = (key, &outcome) {
        results.put(key, output);
    }
    outcome
}

/// What a node of this engine may do.
struct Cx<'a> {
    engine: &'a LocalEngine,
    host: &'a dyn Host,
    job: &'a Job,
    seat: &'a DenoiseSeat,
    denoised: &'a Denoised,
    frame: Frame,
    node: NodeRef,
    session: &'a Session,
    graph: &'a OnceLock<String>,
}

impl Cx<'_> {
    /// Whether everything that a result names can still be had: pictures may have been deleted, tensors may have made room for others.
    fn still_there(&self, output: &Value) -> bool {
        const OBJECTS: &[&str] = &[
            "latents_name",
            "conditioning_name",
            "tensor_name",
            "mask_name",
            "masked_latents_name",
        ];
        match output {
            Value::Object(map) => map.iter().all(|(key, value)| match value.as_str() {
                Some(name) if OBJECTS.contains(&key.as_str()) => self.engine.workbench.store.has(&self.job.user_id, name),
                Some(name) if key == "image_name" => self.host.image_metadata(name).is_ok(),
                _ => self.still_there(value),
            }),
            Value::Array(values) => values.iter().all(|value| self.still_there(value)),
            _ => true,
        }
    }
}

impl From<HostError> for NodeError {
    fn from(error: HostError) -> Self {
        Self::new(error.error_type, error.message)
    }
}

impl NodeCx for Cx<'_> {
    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn check_canceled(&self) -> Result<(), NodeError> {
        if self.job.cancel.is_set() {
            Err(NodeError::Canceled)
        } else {
            Ok(())
        }
    }

    fn progress(&self, message: &str, percentage: Option<f64>, image: Option<Preview>) {
        self.host.event(NodeEvent::Progress {
            node: self.node.clone(),
            message: message.into(),
            percentage,
            image,
        });
    }

    fn save_image(&self, picture: Picture) -> Result<SavedImage, NodeError> {
        self.check_canceled()?;
        let graph = self.graph.get_or_init(|| self.session.graph().to_value().to_string());
        Ok(self.host.save_image(ImageToSave {
            pixels: picture.pixels,
            category: picture.category,
            is_intermediate: self.frame.is_intermediate,
            board_id: picture.board,
            metadata: picture.metadata,
            node_id: self.frame.exec_id.clone(),
            graph: Some(graph.clone()),
        })?)
    }

    fn export_file(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<(), NodeError> {
        self.check_canceled()?;
        Ok(self.host.export_file(folder, name, bytes)?)
    }

    fn load_image(&self, name: &str) -> Result<Arc<DynamicImage>, NodeError> {
        let bytes = self.host.load_image(name)?;
        decode_picture(&bytes)
            .map(Arc::new)
            .map_err(|error| NodeError::new("UnidentifiedImageError", error.to_string()))
    }

    fn image_metadata(&self, name: &str) -> Result<Option<Value>, NodeError> {
        Ok(self.host.image_metadata(name)?)
    }

    fn model(&self, key: &str) -> Result<Option<ModelOnDisk>, NodeError> {
        Ok(self.host.model(key)?)
    }

    fn downloaded(&self, source: &str) -> Result<std::path::PathBuf, NodeError> {
        let cancel = self.job.cancel.clone();
        let watch = DownloadWatch {
            goes_on: &move || !cancel.is_set(),
            share: &|share| self.progress(&format!("Downloading {source}"), Some(share), None),
        };
        self.host.downloaded(source, &watch)?.ok_or(NodeError::Canceled)
    }

    fn find_models(&self, query: ModelQuery<'_>) -> Result<Vec<Value>, NodeError> {
        Ok(self.host.find_models(query)?)
    }

    fn text_file(&self, path: &str) -> Result<String, NodeError> {
        Ok(self.host.text_file(path)?)
    }

    fn style_preset(&self, id: &str) -> Result<Option<(String, String)>, NodeError> {
        Ok(self.host.style_preset(id)?)
    }

    fn random_u32(&self) -> u32 {
        self.host.random_u32()
    }

    fn workbench(&self) -> &Workbench {
        &self.engine.workbench
    }

    fn owner(&self) -> &UserId {
        &self.job.user_id
    }

    fn fresh_name(&self) -> String {
        self.engine.env.uuid()
    }

    fn model_loading(&self, key: &str, submodel: Option<&str>, done: bool) {
        self.host.model_loading(key, submodel, done);
    }

    fn seat(&self) -> Option<&DenoiseSeat> {
        Some(self.seat)
    }

    fn left(&self) {
        self.host.event(NodeEvent::Left);
    }

    fn denoised(&self, jobs: usize, could: bool) {
        self.denoised.lock().push((jobs, could));
    }
}
