//! Prepares a network for a device, and computes it.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};

use super::{
    Input, Network, Op, Step, Unary, arithmetic, arrange,
    layers::{Affine, Convolution, Product},
    pool, regions, resize,
};
use crate::diffusion::{ModelError, Result, is_lack_of_memory};

/// A network on a device: its weights as the kernels like them, and for each step what may be forgotten after it.
#[derive(Debug)]
pub struct Runner {
    name: String,
    inputs: Vec<Input>,
    /// The numbers of the inputs' and of the outputs' values.
    given: Vec<usize>,
    wanted: Vec<usize>,
    steps: Vec<Prepared>,
    /// The constants that steps read as they are; `None` for every other value.
    values: Vec<Option<Tensor>>,
    device: Device,
    bytes: u64,
}

#[derive(Debug)]
struct Prepared {
    work: Work,
    /// What the step is called in messages.
    label: String,
    reads: Vec<Option<usize>>,
    writes: Vec<Option<usize>>,
    /// Values that nobody reads after this step.
    forget: Vec<usize>,
}

/// A step's operation, with its weights where they are known.
#[derive(Debug)]
enum Work {
    Op(Op),
    Convolution(Convolution),
    Product(Product),
    Affine(Affine),
}

/// What is known of the values while the steps are gone through: the number of each name, which are given by then, and the constants.
#[derive(Default)]
struct Values {
    numbers: HashMap<String, usize>,
    there: Vec<bool>,
    constants: HashMap<usize, Tensor>,
    /// Numbers that were made of the file's, by arranging them or by putting zeros between.
    made: usize,
}

/// The most numbers that the values of a run may have together, and those that are made of a file's before it.
const MOST_ALIVE: usize = 1 << 30;

impl Values {
    /// Counts numbers that were made.
    fn make(&mut self, count: usize) -> Result<(), String> {
        self.made = self.made.saturating_add(count);
        if self.made > MOST_ALIVE {
            return Err(format!(
                "brings what is made of the file's constants to more than {MOST_ALIVE} numbers"
            ));
        }
        Ok(())
    }

    /// A value that was not there before.
    fn add(&mut self, name: &str) -> Result<usize, String> {
        let next = self.numbers.len();
        if self.numbers.insert(name.to_owned(), next).is_some() {
            return Err(format!("gives `{name}`, which is there already"));
        }
        self.there.push(true);
        Ok(next)
    }

    /// A value that is there.
    fn find(&self, name: &str) -> Result<usize, String> {
        self.numbers
            .get(name)
            .copied()
            .ok_or_else(|| format!("reads `{name}`, which nothing before it gives"))
    }
}

impl Runner {
    /// Prepares a network, whose floats go to `device`.
    ///
    /// # Errors
    /// [`ModelError::Config`] if a step reads what no step before it gives, or has weights of a shape that does not fit.
    pub fn new(network: Network, device: &Device) -> Result<Self> {
        let wrong = |reason: String| ModelError::Config {
            file: network.name.clone(),
            reason,
        };
        let (mut values, mut bytes) = (Values::default(), 0);
        for (name, tensor) in network.constants {
            bytes += (tensor.elem_count() * tensor.dtype().size_in_bytes()) as u64;
            let tensor = if tensor.dtype() == DType::F32 {
                tensor.to_device(device)?
            } else {
                tensor
            };
            let number = values.add(&name).map_err(|error| wrong(format!("the file {error}")))?;
            values.constants.insert(number, tensor);
        }
        let given = network.inputs.iter().map(|input| values.add(&input.name));
        let given = given
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong(format!("the caller {error}")))?;
        let mut steps = Vec::with_capacity(network.steps.len());
        for step in network.steps {
            let label = label(&step);
            steps.extend(prepare(step, &mut values, device).map_err(|error| wrong(format!("{label} {error}")))?);
        }
        let wanted = network.outputs.iter().map(|name| values.find(name));
        let wanted = wanted
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong(format!("the end {error}")))?;
        let later = forget(&mut steps, &wanted, values.there.len());
        bytes += 4 * values.made as u64;
        let mut kept = vec![None; values.there.len()];
        for (number, tensor) in values.constants.into_iter().filter(|(number, _)| later[*number]) {
            kept[number] = Some(tensor);
        }
        Ok(Self {
            name: network.name.clone(),
            inputs: network.inputs,
            given,
            wanted,
            steps,
            values: kept,
            device: device.clone(),
            bytes,
        })
    }

    /// What is to be given.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// How many values it gives.
    pub fn outputs(&self) -> usize {
        self.wanted.len()
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Computes the outputs from the inputs; `between` is asked before each step whether to go on.
    ///
    /// # Errors
    /// [`ModelError::Input`] if the inputs are not those that the network takes, [`ModelError::Config`] with the step if its values do not fit each
    /// other, and what `between` fails with.
    pub fn run<E: From<ModelError>>(&self, inputs: Vec<Tensor>, mut between: impl FnMut() -> Result<(), E>) -> Result<Vec<Tensor>, E> {
        self.check(&inputs)?;
        let mut values = self.values.clone();
        for (number, tensor) in self.given.iter().zip(inputs) {
            values[*number] = Some(if tensor.dtype() == DType::F32 {
                tensor.to_device(&self.device).map_err(ModelError::from)?
            } else {
                tensor
            });
        }
        let mut alive: usize = values.iter().flatten().map(Tensor::elem_count).sum();
        for step in &self.steps {
            between()?;
            let wrong = |error: String| ModelError::Config {
                file: self.name.clone(),
                reason: format!("{} {error}", step.label),
            };
            let mut read = Vec::with_capacity(step.reads.len());
            for number in &step.reads {
                let value = number.map(|number| {
                    values[number]
                        .as_ref()
                        .ok_or_else(|| wrong("reads a value that was not given".into()))
                });
                read.push(value.transpose()?);
            }
            let made = step.work.compute(&read, step.writes.len(), &self.device);
            let made = made.map_err(|error| match error {
                error if is_lack_of_memory(&error) => ModelError::Compute(error),
                error => wrong(format!("cannot be computed: {error}")),
            })?;
            for (number, tensor) in step.writes.iter().zip(made) {
                if let Some(number) = number {
                    alive += tensor.elem_count();
                    values[*number] = Some(tensor);
                }
            }
            if alive > MOST_ALIVE {
                return Err(wrong(format!("brings the values to more than {MOST_ALIVE} numbers")).into());
            }
            for number in &step.forget {
                alive -= values[*number].take().map_or(0, |tensor| tensor.elem_count());
            }
        }
        let output = |number: &usize| {
            values[*number].clone().ok_or_else(|| ModelError::Config {
                file: self.name.clone(),
                reason: "an output was not given".into(),
            })
        };
        Ok(self.wanted.iter().map(output).collect::<Result<_>>()?)
    }

    fn check(&self, inputs: &[Tensor]) -> Result<()> {
        let same = |input: &Input, tensor: &Tensor| {
            let sides = input.shape.iter().zip(tensor.dims());
            input.shape.is_empty()
                || (input.shape.len() == tensor.rank() && sides.clone().all(|(want, side)| want.is_none_or(|want| want == *side)))
        };
        if inputs.len() != self.inputs.len() {
            let (found, expected) = (inputs.len(), self.inputs.len());
            return Err(ModelError::Input(format!(
                "`{}` got {found} inputs, expected {expected}",
                self.name
            )));
        }
        match self.inputs.iter().zip(inputs).find(|(input, tensor)| !same(input, tensor)) {
            Some((input, tensor)) => Err(ModelError::Input(format!(
                "the input `{}` of `{}` has shape {:?}, expected {:?} (None is any length)",
                input.name,
                self.name,
                tensor.dims(),
                input.shape
            ))),
            None => Ok(()),
        }
    }
}

/// A step as messages call it: its operation and its first output.
fn label(step: &Step) -> String {
    let op = format!("{:?}", step.op);
    let op = op.split([' ', '(', '{']).next().unwrap_or_default();
    format!("the step {op} that gives `{}`", step.outputs.first().map_or("", String::as_str))
}

/// A step whose values have numbers; none if it only arranged constants, which is done here.
fn prepare(step: Step, values: &mut Values, device: &Device) -> Result<Option<Prepared>, String> {
    let label = label(&step);
    let find = |name: &String| if name.is_empty() { Ok(None) } else { values.find(name).map(Some) };
    let mut reads = step.inputs.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    let fixed: Vec<Option<Tensor>> = reads.iter().map(|n| n.and_then(|n| values.constants.get(&n).cloned())).collect();
    let fixed: Vec<Option<&Tensor>> = fixed.iter().map(Option::as_ref).collect();
    if arranges(&step.op) && fixed.first().is_some_and(Option::is_some) && fixed.iter().zip(&reads).all(|(f, r)| f.is_some() == r.is_some())
    {
        let made = compute(&step.op, &fixed, 1, device).map_err(|error| format!("cannot be computed: {error}"))?;
        if let ([name], [tensor]) = (step.outputs.as_slice(), made.as_slice()) {
            values.make(tensor.elem_count())?;
            let number = values.add(name)?;
            values.constants.insert(number, tensor.clone());
            return Ok(None);
        }
    }
    let work = work(step.op, &fixed).map_err(|error| format!("has weights that do not fit: {error}"))?;
    if let (Work::Convolution(layer), Some(Some(weight))) = (&work, fixed.get(1)) {
        values.make(layer.weights() - weight.elem_count())?;
    }
    if !matches!(work, Work::Op(_)) {
        // The layer has the rest.
        reads.truncate(1);
    }
    let mut give = |name: &String| if name.is_empty() { Ok(None) } else { values.add(name).map(Some) };
    let writes = step.outputs.iter().map(&mut give).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Prepared {
        work,
        label,
        reads,
        writes,
        forget: Vec::new(),
    }))
}

/// Tells each step what nobody reads after it, and returns which values anybody reads at all.
fn forget(steps: &mut [Prepared], wanted: &[usize], values: usize) -> Vec<bool> {
    let mut later = vec![false; values];
    wanted.iter().for_each(|number| later[*number] = true);
    // Going backwards, the first who reads a value is the last to do so.
    for step in steps.iter_mut().rev() {
        for number in step.reads.iter().chain(&step.writes).flatten() {
            if !std::mem::replace(&mut later[*number], true) {
                step.forget.push(*number);
            }
        }
    }
    later
}

/// Whether an operation only arranges what it is given, without making more of it.
fn arranges(op: &Op) -> bool {
    matches!(
        op,
        Op::Unary(_) | Op::Cast(_) | Op::Reshape { .. } | Op::Transpose { .. } | Op::Flatten { .. } | Op::Squeeze(_) | Op::Unsqueeze(_)
    )
}

/// The operation, as a layer if the inputs that are its weights are constants.
fn work(op: Op, fixed: &[Option<&Tensor>]) -> candle_core::Result<Work> {
    let at = |i: usize| fixed.get(i).copied().flatten();
    Ok(match &op {
        // A bias that is computed is added by the general way.
        Op::Conv { window, groups } if fixed.len() == 2 || at(2).is_some() => match at(1) {
            Some(weight) => Work::Convolution(Convolution::new(weight, at(2), window, *groups)?),
            None => Work::Op(op),
        },
        Op::MatMul => match at(1) {
            Some(matrix) if matrix.rank() == 2 && matrix.elem_count() > 0 && at(0).is_none() => Work::Product(Product::new(matrix, None)?),
            _ => Work::Op(op),
        },
        Op::Gemm {
            alpha: 1.0,
            beta: 1.0,
            turn_a: false,
            turn_b,
        } => match (at(1), at(2)) {
            (Some(matrix), bias) if matrix.rank() == 2 && matrix.elem_count() > 0 && (fixed.len() == 2 || bias.is_some()) => {
                let matrix = if *turn_b { matrix.t()? } else { matrix.clone() };
                let outputs = matrix.dim(1)?;
                let bias = bias.map(|bias| bias.flatten_all()?.broadcast_as(outputs)?.contiguous());
                Work::Product(Product::new(&matrix, bias.transpose()?)?)
            }
            _ => Work::Op(op),
        },
        Op::BatchNormalization { epsilon } => match [at(1), at(2), at(3), at(4)] {
            [Some(scale), Some(bias), Some(mean), Some(variance)] => Work::Affine(Affine::new([scale, bias, mean, variance], *epsilon)?),
            _ => Work::Op(op),
        },
        _ => Work::Op(op),
    })
}

impl Work {
    fn compute(&self, inputs: &[Option<&Tensor>], outputs: usize, device: &Device) -> candle_core::Result<Vec<Tensor>> {
        let x = || need(inputs, 0);
        Ok(match self {
            Self::Op(op) => return compute(op, inputs, outputs, device),
            Self::Convolution(layer) => vec![layer.forward(x()?)?],
            Self::Product(layer) => vec![layer.forward(x()?)?],
            Self::Affine(layer) => vec![layer.forward(x()?)?],
        })
    }
}

/// An input that may not be left out.
fn need<'a>(inputs: &[Option<&'a Tensor>], i: usize) -> candle_core::Result<&'a Tensor> {
    match inputs.get(i).copied().flatten() {
        Some(tensor) => Ok(tensor),
        None => candle_core::bail!("the input {i} is missing"),
    }
}

/// Computes one operation, which is to give `outputs` values.
fn compute(op: &Op, inputs: &[Option<&Tensor>], outputs: usize, device: &Device) -> candle_core::Result<Vec<Tensor>> {
    let at = |i: usize| need(inputs, i);
    let maybe = |i: usize| inputs.get(i).copied().flatten();
    let y = match op {
        Op::Conv { window, groups } => Convolution::new(at(1)?, maybe(2), window, *groups)?.forward(at(0)?)?,
        Op::MaxPool(window) => pool::forward(at(0)?, window, pool::Kind::Max)?,
        Op::AveragePool { window, count_padding } => {
            let count_padding = *count_padding;
            pool::forward(at(0)?, window, pool::Kind::Mean { count_padding })?
        }
        Op::GlobalAveragePool => arithmetic::mean_of_channels(at(0)?)?,
        Op::Unary(Unary::Identity) => at(0)?.clone(),
        Op::Unary(unary) => arithmetic::unary(*unary, at(0)?)?,
        Op::Binary(binary) => arithmetic::binary(*binary, inputs)?,
        Op::PRelu => arithmetic::prelu(at(0)?, at(1)?)?,
        Op::Clip { min, max } => {
            let bound = |bound: &Option<f32>, i: usize| bound.map_or_else(|| maybe(i).map(arithmetic::number).transpose(), |b| Ok(Some(b)));
            arithmetic::clip(at(0)?, bound(min, 1)?, bound(max, 2)?)?
        }
        Op::Where => arithmetic::choose(at(0)?, at(1)?, at(2)?)?,
        Op::Concat { axis } => arrange::concat(inputs, *axis)?,
        Op::Reshape { allow_zero } => arrange::reshape(at(0)?, at(1)?, *allow_zero)?,
        Op::Transpose { order } => arrange::transpose(at(0)?, order.as_deref())?,
        Op::Pad { mode, pads, value, axes } => {
            let axes = arrange::numbers(axes.as_ref(), maybe(3))?;
            let Some(pads) = arrange::numbers(pads.as_ref(), maybe(1))? else {
                candle_core::bail!("the input 1 is missing");
            };
            let value = value.map_or_else(|| maybe(2).map_or(Ok(0.0), arithmetic::number), Ok)?;
            arrange::pad(at(0)?, *mode, &pads, axes.as_deref(), value)?
        }
        Op::Slice(ranges) => arrange::slice(ranges.as_ref(), inputs)?,
        Op::Split { axis, sizes } => {
            return arrange::split(at(0)?, *axis, arrange::numbers(sizes.as_ref(), maybe(1))?.as_deref(), outputs);
        }
        Op::Resize(how) => resize::forward(at(0)?, how, inputs)?,
        Op::Flatten { axis } => arrange::flatten(at(0)?, *axis)?,
        Op::Squeeze(axes) => arrange::squeeze(at(0)?, arrange::numbers(axes.as_ref(), maybe(1))?.as_deref())?,
        Op::Unsqueeze(axes) => {
            let axes = arrange::numbers(axes.as_ref(), maybe(1))?;
            arrange::unsqueeze(at(0)?, axes.as_deref().unwrap_or_default())?
        }
        Op::MatMul => arithmetic::product(at(0)?, at(1)?)?,
        Op::Gemm {
            alpha,
            beta,
            turn_a,
            turn_b,
        } => {
            let turned = |x: &Tensor, turn: bool| if turn { x.t() } else { Ok(x.clone()) };
            arithmetic::gemm(turned(at(0)?, *turn_a)?, turned(at(1)?, *turn_b)?, maybe(2), *alpha, *beta)?
        }
        Op::Softmax { axis, to_the_end } => arithmetic::softmax(at(0)?, *axis, *to_the_end)?,
        Op::Reduce {
            how,
            axes,
            keep,
            none_if_empty,
        } => {
            let axes = arrange::numbers(axes.as_ref(), maybe(1))?;
            arithmetic::reduce(at(0)?, *how, axes.as_deref(), *keep, *none_if_empty)?
        }
        Op::BatchNormalization { epsilon } => Affine::new([at(1)?, at(2)?, at(3)?, at(4)?], *epsilon)?.forward(at(0)?)?,
        Op::Shape { start, end } => arrange::shape(at(0)?, *start, *end)?,
        Op::Gather { axis } => arrange::gather(at(0)?, at(1)?, *axis)?,
        Op::Cast(to) => arithmetic::cast(at(0)?, *to, device)?,
        Op::ConstantOfShape(element) => arrange::filled(at(0)?, *element, device)?,
        Op::Expand => arrange::expand(at(0)?, at(1)?)?,
        Op::Region(region) => region.matrix(at(0)?)?,
        Op::Sample(size) => regions::sample(at(0)?, at(1)?, *size)?,
        Op::PlaceLandmarks => regions::transform(at(0)?, at(1)?)?,
    };
    Ok(vec![y])
}
