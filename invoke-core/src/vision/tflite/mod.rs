//! Networks in TFLite's files, as MediaPipe publishes its own: read, checked, and computed with [`ops`](crate::diffusion::ops).
//!
//! What an operator needs is made ready once, when the file is read. The files' pictures are `[1, h, w, c]`; here they are `[1, c, h, w]` as everywhere
//! else, and change to the files' order and back where an operator names places in it. All is computed in single floats on the CPU, as the
//! original does: a face takes milliseconds.

mod file;
mod flat;
mod flex;
mod layers;
mod regions;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, path::Path};

use candle_core::Tensor;

use crate::diffusion::{ModelError, Result};
use file::{File, Numbers, count};
use flat::Flaw;
use layers::{Layer, pixels_first};

/// Largest file: MediaPipe's are of a few megabytes.
const MOST_BYTES: u64 = 1 << 28;
/// Most numbers of all tensors that are kept at a time while a network is computed.
const MOST_KEPT: usize = 1 << 26;

/// A layer, the tensors it takes, and the one it gives.
#[derive(Debug)]
struct Step {
    layer: Layer,
    inputs: Vec<usize>,
    output: usize,
    /// Tensors that nothing needs after it.
    done: Vec<usize>,
}

/// Finds which tensors are needed no more after each step.
fn find_done(steps: &mut [Step], outputs: &[usize]) {
    let mut needed: HashSet<usize> = outputs.iter().copied().collect();
    for step in steps.iter_mut().rev() {
        let used = step.inputs.iter().chain([&step.output]).copied();
        step.done = used.filter(|i| needed.insert(*i)).collect();
    }
}

/// A network.
#[derive(Debug)]
pub struct Network {
    steps: Vec<Step>,
    /// Tensors whose numbers the file holds and that layers take as they are.
    constants: Vec<Option<Tensor>>,
    input: usize,
    /// What goes in, in the file's order.
    input_shape: Vec<usize>,
    outputs: Vec<usize>,
    file: String,
    bytes: u64,
}

/// A tensor of the file's order in ours: pictures as `[1, c, h, w]`.
fn channels_second(x: &Tensor) -> candle_core::Result<Tensor> {
    if x.rank() == 4 { x.permute((0, 3, 1, 2)) } else { Ok(x.clone()) }
}

impl Network {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be read, is damaged, or has operators other than those that MediaPipe's models of faces have.
    pub fn open(path: &Path) -> Result<Self> {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let io = |source| ModelError::Io {
            file: file.clone(),
            source,
        };
        let bytes = path.metadata().map_err(io)?.len();
        if bytes > MOST_BYTES {
            return Err(ModelError::Corrupt {
                file,
                reason: format!("it has {bytes} bytes, expected {MOST_BYTES} at most"),
            });
        }
        Self::parse(&std::fs::read(path).map_err(io)?, &file)
    }

    /// From a file's bytes; `file` is its name for errors.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn parse(data: &[u8], file: &str) -> Result<Self> {
        Self::build(data, file).map_err(|reason| ModelError::Corrupt {
            file: file.to_owned(),
            reason,
        })
    }

    fn build(data: &[u8], name: &str) -> std::result::Result<Self, Flaw> {
        let file = File::parse(data)?;
        let [input] = file.inputs[..] else {
            return Err(format!("{} inputs, expected one", file.inputs.len()));
        };
        let input_shape = file.tensors[input].shape.clone();
        if input_shape.len() != 4 || input_shape[0] != 1 || count(&input_shape)? == 0 {
            return Err(format!("it takes {input_shape:?}, expected one picture"));
        }
        let mut tensors = file.tensors;
        let mut steps = Vec::new();
        for operator in &file.operators {
            if operator.code == layers::DEQUANTIZE {
                // Weights are kept in half floats, which were widened as they were read.
                let from = operator.inputs.first().copied().flatten();
                let numbers = match from.and_then(|i| tensors[i].numbers.as_ref()) {
                    Some(Numbers::Floats(numbers)) => numbers.clone(),
                    _ => return Err("an operator widens numbers that are not the file's".to_owned()),
                };
                tensors[operator.output].numbers = Some(Numbers::Floats(numbers));
                continue;
            }
            let (layer, inputs) = layers::build(operator, &tensors)?;
            steps.push(Step {
                layer,
                inputs,
                output: operator.output,
                done: Vec::new(),
            });
        }
        find_done(&mut steps, &file.outputs);
        let taken: HashSet<usize> = steps.iter().flat_map(|s| &s.inputs).chain(&file.outputs).copied().collect();
        let constants = tensors
            .into_iter()
            .enumerate()
            .map(|(i, t)| match t.numbers {
                Some(Numbers::Floats(numbers)) if taken.contains(&i) => {
                    channels_second(&numbers).map(Some).map_err(|error| error.to_string())
                }
                _ => Ok(None),
            })
            .collect::<std::result::Result<Vec<_>, Flaw>>()?;
        Ok(Self {
            steps,
            constants,
            input,
            input_shape,
            outputs: file.outputs,
            file: name.to_owned(),
            // Half floats become single ones.
            bytes: data.len() as u64 * 2,
        })
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Which landmarks each region is around, of those that the network looks at once more.
    pub(super) fn regions(&self) -> impl Iterator<Item = &[usize]> {
        self.steps.iter().filter_map(|step| match &step.layer {
            Layer::Region(region) => Some(region.around()),
            _ => None,
        })
    }

    /// Refuses a network that does not take `[1, 3, side, side]` and give as many numbers as `outputs` says, each by each: what files hold in place of the
    /// expected ones is found when they are read.
    ///
    /// # Errors
    /// [`ModelError::Corrupt`].
    pub fn expect(self, side: usize, outputs: &[usize]) -> Result<Self> {
        let corrupt = |reason| ModelError::Corrupt {
            file: self.file.clone(),
            reason,
        };
        if self.input_shape != [1, side, side, 3] {
            return Err(corrupt(format!("it takes {:?}, expected [1, {side}, {side}, 3]", self.input_shape)));
        }
        if self.outputs.len() != outputs.len() {
            return Err(corrupt(format!(
                "it gives {} tensors, expected {}",
                self.outputs.len(),
                outputs.len()
            )));
        }
        let given = self.run(&vec![0.0; side * side * 3])?;
        let given: Vec<usize> = given.iter().map(Vec::len).collect();
        if given != outputs {
            return Err(corrupt(format!("it gives tensors of {given:?} numbers, expected {outputs:?}")));
        }
        Ok(self)
    }

    /// What the network gives for a picture's samples, pixel by pixel: the numbers of each output in the file's order.
    ///
    /// # Errors
    /// If the picture has another size than the network takes, or layers do not fit each other.
    pub fn run(&self, samples: &[f32]) -> Result<Vec<Vec<f32>>> {
        let wrong = |error: &dyn std::fmt::Display| ModelError::Corrupt {
            file: self.file.clone(),
            reason: error.to_string(),
        };
        let input = Tensor::from_slice(samples, self.input_shape.as_slice(), &candle_core::Device::Cpu)?;
        let mut values = self.constants.clone();
        values[self.input] = Some(channels_second(&input)?);
        let mut kept: usize = values.iter().flatten().map(Tensor::elem_count).sum();
        let value = |values: &[Option<Tensor>], i: usize| {
            values[i]
                .clone()
                .ok_or_else(|| wrong(&format_args!("tensor {i} is used before it is computed")))
        };
        for step in &self.steps {
            let inputs = step.inputs.iter().map(|i| value(&values, *i)).collect::<Result<Vec<_>>>()?;
            let given = step.layer.forward(&inputs).map_err(|error| wrong(&error))?;
            drop(inputs);
            kept += given.elem_count();
            let before = values[step.output].replace(given);
            let dropped = step.done.iter().filter_map(|i| values[*i].take());
            kept -= before.into_iter().chain(dropped).map(|x| x.elem_count()).sum::<usize>();
            if kept > MOST_KEPT {
                return Err(wrong(&format_args!("its tensors take more than {MOST_KEPT} numbers at a time")));
            }
        }
        self.outputs
            .iter()
            .map(|i| Ok(pixels_first(&value(&values, *i)?)?.flatten_all()?.to_vec1()?))
            .collect()
    }
}
