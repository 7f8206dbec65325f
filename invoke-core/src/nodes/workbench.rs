//! What the nodes of one engine share: the device, the models in memory, the tensors that pass between nodes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use candle_core::{DType, Device, Tensor};

use super::{NodeCx, NodeError, store::ObjectStore};
use crate::{
    config::Settings,
    diffusion::is_lack_of_memory,
    env::memory,
    models::{Footprint, ModelCache},
};

/// The numbers that models are held in and computed with, as the configuration names them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precision {
    /// float16 on accelerators, single floats on the CPU.
    #[default]
    Auto,
    /// float16 where an accelerator computes.
    Float16,
    /// bfloat16 on accelerators, and for denoisers and ControlNets on the CPU.
    Bfloat16,
    /// Single floats everywhere.
    Float32,
}

impl Precision {
    /// From the configuration's word; what it does not know is [`Precision::Auto`].
    pub fn named(name: &str) -> Self {
        match name {
            "float16" => Self::Float16,
            "bfloat16" => Self::Bfloat16,
            "float32" => Self::Float32,
            _ => Self::Auto,
        }
    }
}

/// What the configuration says of how models compute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// In which numbers.
    pub precision: Precision,
    /// Whether the device is an accelerator that cannot compute bfloat16.
    pub lacks_bfloat16: bool,
    /// Pictures are encoded and decoded in tiles, whatever the node says.
    pub tiled: bool,
    /// The denoiser sees one row at a time, in less memory: what is wanted and what is not do not share a batch.
    pub sequential: bool,
    /// How long models stay in memory after the last session; `None` keeps them.
    pub keep_alive: Option<Duration>,
    /// Bytes of an accelerator's memory that models leave to the work itself.
    pub working_bytes: u64,
    /// Whether a model that an accelerator has no room for may lie there in part.
    pub partial: bool,
}

impl Options {
    /// Of a configuration.
    pub fn of(settings: &Settings) -> Self {
        let minutes = settings.model_cache_keep_alive_min;
        Self {
            precision: Precision::named(&settings.precision),
            lacks_bfloat16: false,
            tiled: settings.force_tiled_decode,
            sequential: settings.sequential_guidance,
            keep_alive: (minutes > 0.0).then(|| Duration::try_from_secs_f64(minutes * 60.0).ok()).flatten(),
            working_bytes: gigabytes(settings.device_working_mem_gb),
            partial: settings.enable_partial_loading,
        }
    }
}

/// GiB as the configuration has them, in bytes.
pub fn gigabytes(gb: f64) -> u64 {
    (gb * f64::from(1 << 30)) as u64
}

/// The memory that a device computes in.
#[derive(Clone)]
pub struct Memory {
    /// Whether the device has it for itself, beside the machine's.
    pub is_own: bool,
    /// Tells how many bytes of it are free at this moment; `None` where nobody knows.
    pub free: Arc<dyn Fn() -> Option<u64> + Send + Sync>,
}

/// What the nodes of one engine share.
pub struct Workbench {
    /// Where the models compute.
    pub device: Device,
    /// How they compute.
    pub options: Options,
    /// Models in memory.
    pub cache: ModelCache,
    /// Tensors and encoded prompts by name.
    pub store: ObjectStore,
    /// Where tensors on the device lie.
    pub memory: Memory,
    /// Set while work is tried again that found too little memory: models then take half of what they could.
    pub cramped: AtomicBool,
}

impl Workbench {
    /// The data type in which models compute here, but for those that always need single floats.
    pub fn dtype(&self) -> DType {
        match self.options.precision {
            _ if self.device.is_cpu() => DType::F32,
            Precision::Auto | Precision::Float16 => DType::F16,
            Precision::Bfloat16 => DType::BF16,
            Precision::Float32 => DType::F32,
        }
    }

    /// The data type that denoisers and their ControlNets are held in. On the CPU, bfloat16 takes half the memory and, where the processor multiplies such
    /// numbers, less time; there, layers take and give single floats all the same. A processor that gains nothing by it is spared the rounding.
    pub fn denoiser_dtype(&self) -> DType {
        match self.options.precision {
            Precision::Bfloat16 if !self.device.is_cpu() || invoke_kernels::holds_halves() => DType::BF16,
            _ => self.dtype(),
        }
    }

    /// The data type of models whose numbers float16 is too narrow for: FLUX' transformers and T5. Half floats of theirs are bfloat16, and single floats
    /// where an accelerator has none of those.
    pub fn wide_dtype(&self) -> DType {
        match self.options.precision {
            _ if self.device.is_cpu() => self.denoiser_dtype(),
            Precision::Float32 => DType::F32,
            _ if self.options.lacks_bfloat16 => DType::F32,
            _ => DType::BF16,
        }
    }

    /// What so many bytes of weights take, of which `resting` have no place on the device.
    pub fn footprint(&self, bytes: u64, resting: u64) -> Footprint {
        if self.memory.is_own {
            Footprint {
                device: bytes.saturating_sub(resting),
                main: resting,
            }
        } else {
            Footprint::of_main(bytes)
        }
    }

    fn is_free(&self, bytes: u64) -> bool {
        (self.memory.free)().is_none_or(|free| free >= bytes)
    }

    /// How many bytes an accelerator has for weights, besides those that it holds.
    fn room_for_weights(&self) -> u64 {
        let budget = self.cache.room().device;
        let room = (self.memory.free)().map_or(budget, |free| budget.min(free.saturating_sub(self.options.working_bytes)));
        if self.cramped.load(Ordering::Relaxed) { room / 2 } else { room }
    }

    /// Does work that may find the device's memory too small. If it does, all models go, and the work is done once more, with less of them there.
    pub fn with_second_try<T>(&self, work: impl Fn() -> Result<T, NodeError>) -> Result<T, NodeError> {
        match work() {
            Err(error) if error.is_out_of_memory() && self.memory.is_own && self.options.partial => {
                tracing::warn!("work found too little memory, and is tried again with less of its models on the device: {error}");
                // Also those that others use: what is loaded now shall fit beside them.
                self.cache.clear();
                let _cramped = Cramped::begin(self);
                work()
            }
            done => done,
        }
    }

    /// Makes parts that nobody uses go until so many bytes of the memory that the device computes in are free, or nothing is left that could go. Returns how
    /// many bytes went.
    fn drop_until(&self, is_enough: impl Fn(&Self) -> bool) -> u64 {
        self.cache
            .drop_until(|held| !self.memory.is_own || held.device > 0, || is_enough(self))
    }
}

/// While this lives, models take half of the room that there is. What was loaded so goes at its end: the next work may need less.
struct Cramped<'a>(&'a Workbench);

impl<'a> Cramped<'a> {
    fn begin(bench: &'a Workbench) -> Self {
        bench.cramped.store(true, Ordering::Relaxed);
        Self(bench)
    }
}

impl Drop for Cramped<'_> {
    fn drop(&mut self) {
        self.0.cramped.store(false, Ordering::Relaxed);
        self.0.cache.drop_idle();
    }
}

impl std::fmt::Debug for Workbench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workbench").field("device", &self.device).finish_non_exhaustive()
    }
}

/// Keeps a tensor for the session's owner and returns its name.
pub fn keep(cx: &dyn NodeCx, tensor: Tensor) -> String {
    let bytes = tensor.elem_count() * tensor.dtype().size_in_bytes();
    keep_object(cx, tensor, bytes)
}

/// Keeps any object for the session's owner and returns its name.
pub fn keep_object<T: Send + Sync + 'static>(cx: &dyn NodeCx, value: T, bytes: usize) -> String {
    let name = cx.fresh_name();
    cx.workbench().store.put(cx.owner(), name.clone(), value, bytes);
    name
}

/// A kept tensor.
pub fn tensor(cx: &dyn NodeCx, name: &str) -> Result<Tensor, NodeError> {
    let kept = cx.workbench().store.get::<Tensor>(cx.owner(), name);
    kept.map(|tensor| tensor.as_ref().clone())
        .ok_or_else(|| NodeError::new("FileNotFoundError", format!("there is no tensor named {name}")))
}

/// Sees to it that so many bytes are free before work that takes them begins: memory that runs out in the middle of it would end the process. Models
/// that nobody uses make room. An error says for `what` there is too little, and what may be done.
pub fn make_room(cx: &dyn NodeCx, bytes: u64, what: &str) -> Result<(), NodeError> {
    let bench = cx.workbench();
    if bench.is_free(bytes) {
        return Ok(());
    }
    let dropped = bench.drop_until(|bench| bench.is_free(bytes));
    tracing::info!(bytes, dropped, "models were dropped to make room for {what}");
    if bench.is_free(bytes) {
        return Ok(());
    }
    let free = (bench.memory.free)().unwrap_or_default();
    Err(out_of_memory(&format!(
        "{what} takes about {} and {} are free",
        shown(bytes),
        shown(free)
    )))
}

/// Makes room for weights of so many bytes, and says how many of them may lie on the device: all, or, where an accelerator has no room for them, as many as
/// there is room for.
pub fn make_room_for_weights(cx: &dyn NodeCx, bytes: u64, what: &str) -> Result<u64, NodeError> {
    let bench = cx.workbench();
    if !bench.memory.is_own {
        return make_room(cx, bytes, what).map(|()| u64::MAX);
    }
    bench.drop_until(|bench| bench.room_for_weights() >= bytes);
    let room = bench.room_for_weights();
    if room >= bytes {
        return Ok(u64::MAX);
    }
    if !bench.options.partial {
        return Err(out_of_memory(&format!(
            "{what} takes about {} and {} of the device's are free for it",
            shown(bytes),
            shown(room)
        )));
    }
    let resting = bytes - room;
    let is_enough = || memory::available().is_none_or(|free| free >= resting);
    bench.cache.drop_until(|held| held.main > 0, is_enough);
    if !is_enough() {
        let free = memory::available().unwrap_or_default();
        return Err(out_of_memory(&format!(
            "{what} takes about {}, of which {} find room on the device, and {} of the machine's memory are free",
            shown(bytes),
            shown(room),
            shown(free)
        )));
    }
    tracing::warn!(
        bytes,
        room,
        "the device has no room for the whole of {what}: what is left over is copied there for each use"
    );
    Ok(room)
}

fn shown(bytes: u64) -> String {
    match bytes {
        0..0x4000_0000 => format!("{} MB", bytes >> 20),
        _ => format!("{:.1} GB", bytes as f64 / f64::from(1 << 30)),
    }
}

/// How errors of too little memory are named.
const OUT_OF_MEMORY: &str = "OutOfMemoryError";

impl NodeError {
    fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Failed { error_type, .. } if error_type == OUT_OF_MEMORY)
    }
}

fn out_of_memory(text: &str) -> NodeError {
    let advice = "make the picture smaller, switch on tiling for its decoding, choose a smaller model, or free memory on the server";
    NodeError::new(OUT_OF_MEMORY, format!("There is too little memory: {text}. To go on, {advice}."))
}

/// A fault of the arithmetic; a device's lack of memory is said to be one.
impl From<candle_core::Error> for NodeError {
    fn from(error: candle_core::Error) -> Self {
        if is_lack_of_memory(&error) {
            out_of_memory("the device's ran out")
        } else {
            Self::runtime(error)
        }
    }
}

/// A fault of a model or of what it was given.
impl From<crate::diffusion::ModelError> for NodeError {
    fn from(error: crate::diffusion::ModelError) -> Self {
        match error {
            crate::diffusion::ModelError::Input(text) => Self::value(text),
            crate::diffusion::ModelError::Compute(error) => error.into(),
            crate::diffusion::ModelError::Stopped => Self::Canceled,
            other => Self::runtime(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{models::PartKey, nodes::testing::TestBench};

    #[test]
    fn half_floats_hold_denoisers_where_the_configuration_says_so() {
        let of = |name: &str| {
            let bench = Workbench {
                options: Options::of(&Settings {
                    precision: name.to_owned(),
                    ..Settings::default()
                }),
                ..TestBench::default().0
            };
            [bench.dtype(), bench.denoiser_dtype(), bench.wide_dtype()]
        };
        assert_eq!(of("auto"), [DType::F32; 3]);
        assert_eq!(of("float16"), [DType::F32; 3]);
        assert_eq!(of("float32"), [DType::F32; 3]);
        let held = if invoke_kernels::holds_halves() { DType::BF16 } else { DType::F32 };
        assert_eq!(of("bfloat16"), [DType::F32, held, held]);
    }

    fn key() -> PartKey {
        PartKey {
            model: "m".into(),
            part: "unet",
            variant: String::new(),
        }
    }

    fn accelerator(partial: bool) -> Workbench {
        let mut bench = TestBench::default().0;
        bench.memory = Memory {
            is_own: true,
            free: Arc::new(|| Some(10 << 30)),
        };
        bench.options = Options::of(&Settings {
            device_working_mem_gb: 3.0,
            enable_partial_loading: partial,
            ..Settings::default()
        });
        bench
    }

    #[test]
    fn weights_leave_room_to_the_work() {
        let mut bench = accelerator(true);
        bench.cache = ModelCache::new(Footprint { device: 8 << 30, main: 0 });
        assert_eq!(bench.room_for_weights(), 7 << 30);
        bench.cache = ModelCache::new(Footprint { device: 4 << 30, main: 0 });
        assert_eq!(bench.room_for_weights(), 4 << 30);
        bench.memory.free = Arc::new(|| Some(1 << 30));
        assert_eq!(bench.room_for_weights(), 0);
        bench.memory.free = Arc::new(|| None);
        assert_eq!(bench.room_for_weights(), 4 << 30);
        assert_eq!(bench.footprint(9, 2), Footprint { device: 7, main: 2 });
        bench.memory.is_own = false;
        assert_eq!(bench.footprint(9, 0), Footprint::of_main(9));
    }

    #[test]
    fn what_found_too_little_memory_is_tried_once_more_with_less_of_the_models() {
        let mut bench = accelerator(true);
        bench.cache = ModelCache::new(Footprint { device: 4 << 30, main: 0 });
        let rooms = |bench: &Workbench, error: fn() -> NodeError| {
            let seen = parking_lot::Mutex::new(Vec::new());
            let done = bench.with_second_try(|| {
                let mut seen = seen.lock();
                seen.push(bench.room_for_weights() >> 30);
                let held = bench
                    .cache
                    .get_or_load::<_, NodeError>(key(), Footprint::default(), || Ok(((), Footprint::of_main(seen.len() as u64))));
                held.unwrap();
                if seen.len() == 1 { Err(error()) } else { Ok(()) }
            });
            (done.is_ok(), seen.into_inner())
        };
        // What was loaded in the cramped room does not stay, also where the work panics.
        let panics = AtomicBool::new(false);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            bench.with_second_try(|| {
                assert!(!panics.swap(true, Ordering::Relaxed), "the second time");
                Err::<(), _>(out_of_memory("all"))
            })
        }));
        assert!(panicked.is_err() && bench.room_for_weights() == 4 << 30);
        let full = || candle_core::Error::Msg("CUDA_ERROR_OUT_OF_MEMORY".into()).into();
        assert_eq!(rooms(&bench, full), (true, vec![4, 2]));
        assert_eq!(bench.cache.stats().bytes, 0);
        assert_eq!(bench.room_for_weights(), 4 << 30);
        assert_eq!(rooms(&bench, || NodeError::value("no")), (false, vec![4]));
        bench.options.partial = false;
        assert_eq!(rooms(&bench, full), (false, vec![4]));
    }
}
