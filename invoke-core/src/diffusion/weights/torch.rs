//! Files that torch saved, as a source of tensors.

use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::{Source, TensorInfo};
use crate::diffusion::error::{ModelError, Result, short};
use crate::models::torch_file::{TorchFile, TorchFileError, TorchTensor, TorchType};

/// A `.pth`, `.pt`, `.ckpt` or `.bin` file. Types that candle lacks are widened as they are read.
#[derive(Debug)]
pub struct TorchWeights(TorchFile);

impl TorchWeights {
    /// Opens a file and checks its description. Nothing of the tensors is read yet.
    pub fn open(path: &Path) -> Result<Self> {
        TorchFile::open(path).map(Self).map_err(|error| match error {
            TorchFileError::Io(source) => ModelError::Io { file: short(path), source },
            TorchFileError::Refused(reason) => ModelError::Corrupt { file: short(path), reason },
        })
    }
}

fn dtype_of(tensor: &TorchTensor) -> DType {
    match tensor.dtype {
        TorchType::F64 => DType::F64,
        TorchType::F32 => DType::F32,
        TorchType::F16 => DType::F16,
        TorchType::Bf16 => DType::BF16,
        TorchType::I64 | TorchType::I8 => DType::I64,
        TorchType::I32 => DType::I32,
        TorchType::I16 => DType::I16,
        TorchType::U8 | TorchType::Bool => DType::U8,
    }
}

impl Source for TorchWeights {
    fn label(&self) -> String {
        short(self.0.path())
    }

    fn names(&self) -> Vec<String> {
        self.0.tensors().keys().cloned().collect()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        self.0.tensors().get(name).map(|tensor| TensorInfo {
            shape: tensor.shape.clone(),
            dtype: dtype_of(tensor),
        })
    }

    fn read(&self, name: &str) -> Result<Tensor> {
        let tensor = self.0.tensors().get(name).ok_or_else(|| ModelError::MissingTensor {
            file: self.label(),
            tensor: name.to_owned(),
        })?;
        let bytes = self.0.read(tensor).map_err(|source| ModelError::Io {
            file: self.label(),
            source,
        })?;
        let shape = tensor.shape.as_slice();
        Ok(match tensor.dtype {
            TorchType::I8 => {
                let wide: Vec<i64> = bytes.iter().map(|b| i64::from(b.cast_signed())).collect();
                Tensor::from_vec(wide, shape, &Device::Cpu)?
            }
            _ => Tensor::from_raw_buffer(&bytes, dtype_of(tensor), shape, &Device::Cpu)?,
        })
    }
}
