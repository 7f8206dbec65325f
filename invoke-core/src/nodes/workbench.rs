//! What the nodes of one engine share: the device, the models in memory, the tensors that pass between nodes.

use std::time::Duration;

use candle_core::{DType, Device, Tensor};

use super::{NodeCx, NodeError, store::ObjectStore};
use crate::{config::Settings, models::ModelCache};

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
    /// Pictures are encoded and decoded in tiles, whatever the node says.
    pub tiled: bool,
    /// The denoiser sees one row at a time, in less memory: what is wanted and what is not do not share a batch.
    pub sequential: bool,
    /// How long models stay in memory after the last session; `None` keeps them.
    pub keep_alive: Option<Duration>,
}

impl Options {
    /// Of a configuration.
    pub fn of(settings: &Settings) -> Self {
        let minutes = settings.model_cache_keep_alive_min;
        Self {
            precision: Precision::named(&settings.precision),
            tiled: settings.force_tiled_decode,
            sequential: settings.sequential_guidance,
            keep_alive: (minutes > 0.0).then(|| Duration::try_from_secs_f64(minutes * 60.0).ok()).flatten(),
        }
    }
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
    /// Bytes of memory that are free on the device now; `None` where nobody knows.
    pub free_memory: fn() -> Option<u64>,
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
    let is_enough = || (bench.free_memory)().is_none_or(|free| free >= bytes);
    if is_enough() {
        return Ok(());
    }
    let dropped = bench.cache.drop_idle();
    tracing::info!(bytes, dropped, "models were dropped to make room for {what}");
    if is_enough() {
        return Ok(());
    }
    let free = (bench.free_memory)().unwrap_or_default();
    Err(out_of_memory(&format!(
        "{what} takes about {} and {} are free",
        shown(bytes),
        shown(free)
    )))
}

fn shown(bytes: u64) -> String {
    match bytes {
        0..0x4000_0000 => format!("{} MB", bytes >> 20),
        _ => format!("{:.1} GB", bytes as f64 / f64::from(1 << 30)),
    }
}

fn out_of_memory(text: &str) -> NodeError {
    let advice = "make the picture smaller, switch on tiling for its decoding, choose a smaller model, or free memory on the server";
    NodeError::new(
        "OutOfMemoryError",
        format!("There is too little memory: {text}. To go on, {advice}."),
    )
}

/// A fault of the arithmetic; a device's lack of memory is said to be one.
impl From<candle_core::Error> for NodeError {
    fn from(error: candle_core::Error) -> Self {
        let text = error.to_string();
        if text.to_ascii_lowercase().contains("out of memory") || text.contains("OUT_OF_MEMORY") {
            out_of_memory("the device's ran out")
        } else {
            Self::runtime(text)
        }
    }
}

/// A fault of a model or of what it was given.
impl From<crate::diffusion::ModelError> for NodeError {
    fn from(error: crate::diffusion::ModelError) -> Self {
        match error {
            crate::diffusion::ModelError::Input(text) => Self::value(text),
            crate::diffusion::ModelError::Compute(error) => error.into(),
            other => Self::runtime(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::testing::TestBench;

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
            [bench.dtype(), bench.denoiser_dtype()]
        };
        assert_eq!(of("auto"), [DType::F32; 2]);
        assert_eq!(of("float16"), [DType::F32; 2]);
        assert_eq!(of("float32"), [DType::F32; 2]);
        let held = if invoke_kernels::holds_halves() { DType::BF16 } else { DType::F32 };
        assert_eq!(of("bfloat16"), [DType::F32, held]);
    }
}
