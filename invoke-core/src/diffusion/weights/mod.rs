//! Where a model's weights come from: safetensors files and those that torch saves, under whatever names, checked and converted as they are read.
//!
//! A [`Source`] knows names, shapes and bytes. [`Weights`] is a view on a source below a prefix, with the data type and device
//! the model shall have; layers ask it for tensors by name and expected shape. Sources can be stacked: one that renames a
//! single-file checkpoint, one that adds LoRA deltas.
//!
//! Files are read by position, each tensor once, rather than mapped: a file that shrinks while it is in use is then an error
//! and not a signal that ends the process, and no page of the file stays in the process once its tensor has been converted.

mod bitsandbytes;
mod checkpoint;
mod file;
mod folder;
mod gguf;
mod layers;
pub(crate) mod ldm;
mod renamed;
mod room;
mod spans;
mod torch;

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{DType, Device, Tensor};

pub use bitsandbytes::BitsAndBytes;
pub use checkpoint::{Checkpoint, TextPart};
pub use file::SafetensorsFile;
pub use folder::{ShardedFiles, find_weights, open_weights};
pub use gguf::GgufFile;
pub use renamed::{Change, Renamed};
pub use torch::TorchWeights;

use self::room::Room;
use super::error::{ModelError, Result};
use super::ops::Held;

/// What a source says of a tensor before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Data type in the file.
    pub dtype: DType,
}

impl TensorInfo {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Named tensors to read.
pub trait Source: Send + Sync + Debug {
    /// How the source is named in messages.
    fn label(&self) -> String;
    /// All names, in no particular order.
    fn names(&self) -> Vec<String>;
    /// Shape and type of a tensor, or `None` if the source has none of that name.
    fn info(&self, name: &str) -> Option<TensorInfo>;
    /// The tensor as stored, on the CPU.
    fn read(&self, name: &str) -> Result<Tensor>;
}

/// A view on a source: the tensors below a prefix, to be had in one data type on one device.
#[derive(Debug, Clone)]
pub struct Weights {
    source: Arc<dyn Source>,
    prefix: String,
    dtype: DType,
    device: Device,
    loaded: Arc<AtomicU64>,
    room: Arc<Room>,
}

impl Weights {
    /// A view on the whole of `source`.
    pub fn new(source: Arc<dyn Source>, dtype: DType, device: &Device) -> Self {
        Self {
            source,
            prefix: String::new(),
            dtype,
            device: device.clone(),
            loaded: Arc::default(),
            room: Arc::new(Room::new(u64::MAX)),
        }
    }

    /// The same, of which at most so many bytes lie on the device. What is left over of matrices and kernels rests in main memory and is copied over for each
    /// use, which is slow, but lets a model run that is larger than the device.
    #[must_use]
    pub fn within(self, bytes: u64) -> Self {
        Self {
            room: Arc::new(Room::new(bytes)),
            ..self
        }
    }

    /// The same in single floats where it would be float16, whose range is small. What it hands out is counted apart.
    #[must_use]
    pub fn wide(&self) -> Self {
        Self {
            dtype: if self.dtype == DType::F16 { DType::F32 } else { self.dtype },
            loaded: Arc::default(),
            ..self.clone()
        }
    }

    /// The tensors whose names start with `name` and a dot.
    #[must_use]
    pub fn at(&self, name: impl std::fmt::Display) -> Self {
        Self {
            prefix: format!("{}{name}.", self.prefix),
            ..self.clone()
        }
    }

    /// The data type tensors are converted to.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The data type of what layers of these weights take and give: on the CPU, single floats in any case.
    pub fn computes_in(&self) -> DType {
        match self.dtype {
            DType::BF16 if self.device.is_cpu() => DType::F32,
            dtype => dtype,
        }
    }

    /// The device tensors are put on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The source below the view.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// The prefix of this view without its closing dot: the name of the module it describes.
    pub fn path(&self) -> &str {
        self.prefix.strip_suffix('.').unwrap_or(&self.prefix)
    }

    /// Whether there is a tensor of that name below the prefix.
    pub fn has(&self, name: &str) -> bool {
        self.shape(name).is_some()
    }

    /// Shape of a tensor, if there is one of that name.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.source.info(&self.full(name)).map(|info| info.shape)
    }

    /// The tensor `name`, which must have the shape `expected`.
    pub fn get(&self, name: &str, expected: &[usize]) -> Result<Tensor> {
        self.on_device(self.stored(name, Some(expected))?)
    }

    /// The tensor `name` of any shape.
    pub fn read(&self, name: &str) -> Result<Tensor> {
        self.on_device(self.stored(name, None)?)
    }

    /// The tensor `name` in main memory, in the data type of the view.
    fn stored(&self, name: &str, expected: Option<&[usize]>) -> Result<Tensor> {
        let tensor = self.full(name);
        let found = self.require(name)?;
        match expected {
            Some(expected) if found != expected => Err(ModelError::Shape {
                file: self.source.label(),
                tensor,
                expected: expected.to_vec(),
                found,
            }),
            _ => Ok(self.source.read(&tensor)?.to_dtype(self.dtype)?),
        }
    }

    /// What every use needs at once.
    fn on_device(&self, tensor: Tensor) -> Result<Tensor> {
        let bytes = self.count(&tensor);
        self.room.take(bytes);
        Ok(tensor.to_device(&self.device)?)
    }

    /// The weight of a layer: on the device, or, where there is no room for it, in main memory.
    fn held(&self, tensor: Tensor) -> Result<Held> {
        let bytes = self.count(&tensor);
        Ok(if self.room.fits(bytes) {
            Held::Here(tensor.to_device(&self.device)?)
        } else {
            Held::Resting(tensor)
        })
    }

    /// Counts a tensor: one that was read, or is made of others and kept beside them.
    pub(crate) fn count(&self, tensor: &Tensor) -> u64 {
        let bytes = (tensor.elem_count() * tensor.dtype().size_in_bytes()) as u64;
        self.loaded.fetch_add(bytes, Ordering::Relaxed);
        bytes
    }

    /// Shape of a tensor that must be there.
    pub fn require(&self, name: &str) -> Result<Vec<usize>> {
        self.shape(name).ok_or_else(|| ModelError::MissingTensor {
            file: self.source.label(),
            tensor: self.full(name),
        })
    }

    /// Bytes of all tensors handed out so far by this view and those made from the same one, in the type they were asked for.
    pub fn bytes_loaded(&self) -> u64 {
        self.loaded.load(Ordering::Relaxed)
    }

    /// Bytes of those that found no room on the device (see [`within`](Self::within)).
    pub fn bytes_resting(&self) -> u64 {
        self.room.resting()
    }

    /// Bytes that all tensors below the prefix would take in the view's data type, by the file's header alone.
    pub fn bytes(&self) -> u64 {
        let width = self.dtype.size_in_bytes() as u64;
        let names = self.source.names();
        names
            .iter()
            .filter(|name| name.starts_with(&self.prefix))
            .filter_map(|name| self.source.info(name))
            .map(|info| info.elements() as u64 * width)
            .sum()
    }

    /// An error about this source's config or contents.
    pub(crate) fn corrupt(&self, reason: impl Into<String>) -> ModelError {
        ModelError::Corrupt {
            file: self.source.label(),
            reason: reason.into(),
        }
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
