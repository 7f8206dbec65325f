//! A network of `MediaPipe`'s: it takes one picture and gives lists of numbers. It is computed on the CPU, as the original is: a face takes milliseconds.

use std::path::Path;

use candle_core::{Device, Tensor};

use crate::{
    diffusion::{ModelError, Result},
    vision::network::{Network, Op, Runner, tflite},
};

/// A network that is known to take and give what is expected.
#[derive(Debug)]
pub(super) struct Known {
    runner: Runner,
    side: usize,
}

/// Which landmarks each region is around, of those that a network looks at once more.
pub(super) fn regions(network: &Network) -> Vec<Vec<usize>> {
    let region = |op: &Op| match op {
        Op::Region(region) => Some(region.around.clone()),
        _ => None,
    };
    network.steps.iter().filter_map(|step| region(&step.op)).collect()
}

impl Known {
    /// Opens a file whose network takes `[1, side, side, 3]` and gives as many numbers as `outputs` says, each by each.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or holds another network.
    pub(super) fn open(path: &Path, side: usize, outputs: &[usize]) -> Result<Self> {
        Self::new(tflite::open(path)?, side, outputs)
    }

    /// The same of a file that was opened: what it holds in place of the expected weights is found by trying.
    pub(super) fn new(network: Network, side: usize, outputs: &[usize]) -> Result<Self> {
        let file = network.name.clone();
        let corrupt = |reason| {
            Err(ModelError::Corrupt {
                file: file.clone(),
                reason,
            })
        };
        let runner = Runner::new(network, &Device::Cpu)?;
        let shapes: Vec<&[Option<usize>]> = runner.inputs().iter().map(|input| input.shape.as_slice()).collect();
        if shapes != [[1, side, side, 3].map(Some)] {
            return corrupt(format!("it takes {shapes:?}, expected [1, {side}, {side}, 3]"));
        }
        if runner.outputs() != outputs.len() {
            return corrupt(format!("it gives {} tensors, expected {}", runner.outputs(), outputs.len()));
        }
        let known = Self { runner, side };
        let given = known.run(&vec![0.0; side * side * 3], || Ok::<_, ModelError>(()))?;
        let given: Vec<usize> = given.iter().map(Vec::len).collect();
        if given != outputs {
            return corrupt(format!("it gives tensors of {given:?} numbers, expected {outputs:?}"));
        }
        Ok(known)
    }

    /// Bytes of its weights.
    pub(super) fn bytes(&self) -> u64 {
        self.runner.bytes()
    }

    /// The numbers of each output for a picture's samples, pixel by pixel; `between` is asked before each step whether to go on.
    pub(super) fn run<E: From<ModelError>>(&self, samples: &[f32], between: impl FnMut() -> Result<(), E>) -> Result<Vec<Vec<f32>>, E> {
        let numbers = |x: &Tensor| x.flatten_all()?.to_vec1();
        let input = Tensor::from_slice(samples, (1, self.side, self.side, 3), &Device::Cpu).map_err(ModelError::from)?;
        let outputs = self.runner.run(vec![input], between)?;
        Ok(outputs
            .iter()
            .map(numbers)
            .collect::<candle_core::Result<_>>()
            .map_err(ModelError::from)?)
    }
}
