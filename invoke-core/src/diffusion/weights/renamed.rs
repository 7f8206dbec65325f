//! A source under other names.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::Tensor;

use super::{Source, TensorInfo};
use crate::diffusion::error::{ModelError, Result};

/// How a tensor differs from the one it is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Not at all.
    None,
    /// Its two axes are exchanged.
    Transpose,
    /// It is the `index`-th of three equal parts along the first axis.
    Third {
        /// 0, 1 or 2.
        index: usize,
    },
}

/// Tensors of another source by new names; those without one are left out.
#[derive(Debug)]
pub struct Renamed {
    inner: Arc<dyn Source>,
    names: HashMap<String, (String, Change)>,
}

impl Renamed {
    /// Asks `rename` for the new names of every tensor in `inner`.
    pub fn new(inner: Arc<dyn Source>, rename: impl Fn(&str) -> Vec<(String, Change)>) -> Self {
        let mut names = HashMap::new();
        for old in inner.names() {
            for (new, change) in rename(&old) {
                names.insert(new, (old.clone(), change));
            }
        }
        Self { inner, names }
    }

    /// Whether nothing was found to rename.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

impl Source for Renamed {
    fn label(&self) -> String {
        self.inner.label()
    }

    fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        let (old, change) = self.names.get(name)?;
        let mut info = self.inner.info(old)?;
        match (change, info.shape.as_mut_slice()) {
            (Change::Transpose, [a, b]) => std::mem::swap(a, b),
            (Change::Third { .. }, [rows, ..]) if rows.is_multiple_of(3) => *rows /= 3,
            (Change::None, _) => {}
            // A shape that the change does not fit: as good as absent.
            _ => return None,
        }
        Some(info)
    }

    fn read(&self, name: &str) -> Result<Tensor> {
        let missing = || ModelError::MissingTensor {
            file: self.label(),
            tensor: name.to_owned(),
        };
        let (old, change) = self.names.get(name).ok_or_else(missing)?;
        self.info(name).ok_or_else(missing)?;
        let tensor = self.inner.read(old)?;
        Ok(match change {
            Change::None => tensor,
            Change::Transpose => tensor.t()?.contiguous()?,
            Change::Third { index } => {
                let rows = tensor.dim(0)? / 3;
                tensor.narrow(0, index * rows, rows)?.contiguous()?
            }
        })
    }
}
