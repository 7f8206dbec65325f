//! Weights that are drawn from their names instead of read from a file.

use std::collections::HashMap;

use candle_core::{DType, Tensor};
use invoke_core::diffusion::{
    Result,
    weights::{Source, TensorInfo},
};

/// A model whose tensors have these shapes, and the numbers that `draw` makes of a name and a shape.
#[derive(Debug, Clone)]
pub(crate) struct Drawn {
    pub(crate) shapes: HashMap<String, Vec<usize>>,
    draw: fn(&str, &[usize]) -> Tensor,
}

impl Drawn {
    pub(crate) fn new(shapes: HashMap<String, Vec<usize>>, draw: fn(&str, &[usize]) -> Tensor) -> Self {
        Self { shapes, draw }
    }
}

impl Source for Drawn {
    fn label(&self) -> String {
        "drawn".into()
    }
    fn names(&self) -> Vec<String> {
        self.shapes.keys().cloned().collect()
    }
    fn info(&self, name: &str) -> Option<TensorInfo> {
        let shape = self.shapes.get(name)?.clone();
        Some(TensorInfo { shape, dtype: DType::F32 })
    }
    fn read(&self, name: &str) -> Result<Tensor> {
        Ok((self.draw)(name, &self.shapes[name]))
    }
}
