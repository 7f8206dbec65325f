//! What the nodes of one engine share: the device, the models in memory, the tensors that pass between nodes.

use candle_core::{DType, Device, Tensor};

use super::{NodeCx, NodeError, store::ObjectStore};
use crate::models::ModelCache;

/// What the nodes of one engine share.
pub struct Workbench {
    /// Where the models compute.
    pub device: Device,
    /// Models in memory.
    pub cache: ModelCache,
    /// Tensors and encoded prompts by name.
    pub store: ObjectStore,
}

impl Workbench {
    /// The data type in which denoisers and text encoders compute here.
    pub fn dtype(&self) -> DType {
        if self.device.is_cpu() { DType::F32 } else { DType::F16 }
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

/// A fault of the arithmetic.
impl From<candle_core::Error> for NodeError {
    fn from(error: candle_core::Error) -> Self {
        Self::runtime(error)
    }
}

/// A fault of a model or of what it was given.
impl From<crate::diffusion::ModelError> for NodeError {
    fn from(error: crate::diffusion::ModelError) -> Self {
        match error {
            crate::diffusion::ModelError::Input(text) => Self::value(text),
            other => Self::runtime(other),
        }
    }
}
