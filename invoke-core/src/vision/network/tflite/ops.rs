//! TFLite's operators as steps of a [`Network`].

use candle_core::{Device, Tensor};

use super::{
    file::{Described, Numbers, Operator},
    flat::{Flaw, Table},
    flex::Map,
};
use crate::vision::network::{Binary, Input, Network, Op, PadMode, Padding, Ranges, Region, Step, Unary, Window};

type Result<T> = std::result::Result<T, Flaw>;

/// For the axes of a picture `[b, c, h, w]` those of the file's `[b, h, w, c]`, and the other way round.
const FROM_FILE: [i64; 4] = [0, 3, 1, 2];
const TO_FILE: [i64; 4] = [0, 2, 3, 1];
/// Which axis of the picture each of the file's is.
const TO_NETWORK: [i64; 4] = [0, 2, 3, 1];

/// A network in the making. A tensor's value is called by the tensor's number.
#[derive(Debug)]
pub(super) struct Making<'a> {
    tensors: &'a [Described],
    pub(super) network: Network,
}

/// An operator and what its tensors are.
struct Taken<'a> {
    operator: &'a Operator<'a>,
    tensors: &'a [Described],
}

impl Taken<'_> {
    fn tensor(&self, i: usize) -> Result<usize> {
        let found = self.operator.inputs.get(i).copied().flatten();
        found.ok_or_else(|| format!("an operator of kind {} lacks its input {i}", self.operator.code))
    }

    fn rank(&self, i: usize) -> Result<usize> {
        Ok(self.tensors[self.tensor(i)?].shape.len())
    }

    fn ints(&self, i: usize) -> Result<&[i32]> {
        match &self.tensors[self.tensor(i)?].numbers {
            Some(Numbers::Ints(numbers)) => Ok(numbers),
            _ => Err(format!(
                "input {i} of an operator of kind {} is not a list of integers",
                self.operator.code
            )),
        }
    }

    fn options(&self) -> Result<Table<'_>> {
        self.operator
            .options
            .ok_or_else(|| format!("an operator of kind {} has no options", self.operator.code))
    }

    /// Where a kernel is put; how the edges are filled is said in the first field, the steps in the next two.
    fn window(&self) -> Result<Window> {
        let options = self.options()?;
        Ok(Window {
            strides: [size(options.int(2, 0)?)?, size(options.int(1, 0)?)?],
            padding: match options.byte(0)? {
                0 => Padding::SameUpper,
                1 => Padding::Explicit([0; 4]),
                code => return Err(format!("padding of kind {code}, expected 0 or 1")),
            },
            ..Window::default()
        })
    }
}

/// A size or step.
fn size(n: i32) -> Result<usize> {
    usize::try_from(n).map_err(|_| format!("a size of {n}"))
}

/// The function that follows an operator in the same pass.
fn after(code: u8) -> Result<Option<Op>> {
    match code {
        0 => Ok(None),
        1 => Ok(Some(Op::Unary(Unary::Relu))),
        3 => Ok(Some(clip_at_six())),
        _ => Err(format!("an operator is followed by function {code}, expected none, 1 or 3")),
    }
}

fn clip_at_six() -> Op {
    Op::Clip {
        min: Some(0.0),
        max: Some(6.0),
    }
}

/// An axis of a file's tensor in the network's value.
fn axis(of_file: i32, rank: usize) -> Result<i64> {
    let counted = if of_file < 0 { of_file + rank as i32 } else { of_file };
    match usize::try_from(counted).ok().filter(|axis| *axis < rank) {
        Some(axis) if rank == 4 => Ok(TO_NETWORK[axis]),
        Some(axis) => Ok(axis as i64),
        None => Err(format!("there is no axis {of_file} of {rank}")),
    }
}

/// All axes of a file's tensor in the network's value.
fn axes(rank: usize) -> Result<Vec<i64>> {
    (0..rank as i32).map(|of_file| axis(of_file, rank)).collect()
}

impl<'a> Making<'a> {
    pub(super) fn new(tensors: &'a [Described]) -> Self {
        Self {
            tensors,
            network: Network::default(),
        }
    }

    /// A tensor that is given from outside, in the file's order.
    pub(super) fn input(&mut self, tensor: usize) {
        let shape = self.tensors[tensor].shape.clone();
        let name = if shape.len() == 4 {
            format!("{tensor} as given")
        } else {
            tensor.to_string()
        };
        if shape.len() == 4 {
            self.turn(FROM_FILE, name.clone(), tensor.to_string());
        }
        let shape = shape.into_iter().map(Some).collect();
        self.network.inputs.push(Input { name, shape });
    }

    /// A tensor that the network gives, in the file's order.
    pub(super) fn output(&mut self, tensor: usize) -> Result<()> {
        let rank = self.rank(tensor);
        let mut name = self.value(tensor, rank)?;
        if rank == 4 {
            let turned = format!("{tensor} as wanted");
            self.turn(TO_FILE, name, turned.clone());
            name = turned;
        }
        self.network.outputs.push(name);
        Ok(())
    }

    fn rank(&self, tensor: usize) -> usize {
        self.tensors[tensor].shape.len()
    }

    fn step(&mut self, op: Op, inputs: Vec<String>, output: String) {
        self.network.steps.push(Step {
            op,
            inputs,
            outputs: vec![output],
        });
    }

    fn turn(&mut self, order: [i64; 4], from: String, to: String) {
        let order = Some(order.to_vec());
        self.step(Op::Transpose { order }, vec![from], to);
    }

    /// What a tensor's value of `rank` axes is called. Numbers that the file holds may have fewer axes, and get ones of length 1 before them.
    fn value(&mut self, tensor: usize, rank: usize) -> Result<String> {
        let own = self.rank(tensor);
        match &self.tensors[tensor].numbers {
            None if own == rank => Ok(tensor.to_string()),
            Some(Numbers::Floats(numbers)) if own <= rank => {
                let shape = [&vec![1; rank - own], numbers.dims()].concat();
                let numbers = numbers.reshape(shape).map_err(|error| error.to_string())?;
                let order: &[i64] = if rank == 4 { &FROM_FILE } else { &[] };
                self.constant(format!("{tensor} with {rank} axes"), &numbers, order)
            }
            _ => Err(format!("tensor {tensor} of {own} axes is taken as one of {rank}")),
        }
    }

    /// Numbers that the file holds, their axes in another order.
    fn constant(&mut self, name: String, numbers: &Tensor, order: &[i64]) -> Result<String> {
        let order: Vec<usize> = order.iter().map(|axis| *axis as usize).collect();
        let numbers = if order.is_empty() {
            Ok(numbers.clone())
        } else {
            numbers.permute(order).and_then(|numbers| numbers.contiguous())
        };
        let numbers = numbers.map_err(|error| error.to_string())?;
        self.network.constants.insert(name.clone(), numbers);
        Ok(name)
    }

    /// Weights of a convolution in the order that ONNX has.
    fn kernel(&mut self, tensor: usize, order: [i64; 4]) -> Result<(String, usize)> {
        match &self.tensors[tensor].numbers {
            Some(Numbers::Floats(numbers)) if numbers.rank() == 4 => {
                let (numbers, outputs) = (numbers.clone(), numbers.dims()[order[0] as usize]);
                Ok((
                    self.constant(format!("{tensor} as a kernel by {order:?}"), &numbers, &order)?,
                    outputs,
                ))
            }
            _ => Err(format!("tensor {tensor} is no kernel of a convolution")),
        }
    }

    /// A step and what follows it in the same pass.
    fn followed(&mut self, op: Op, inputs: Vec<String>, output: usize, code: u8) -> Result<()> {
        let Some(then) = after(code)? else {
            self.step(op, inputs, output.to_string());
            return Ok(());
        };
        let before = format!("{output} before");
        self.step(op, inputs, before.clone());
        self.step(then, vec![before], output.to_string());
        Ok(())
    }

    /// The values of an operator's first inputs, `count` of them, each of `rank` axes.
    fn values(&mut self, taken: &Taken<'_>, count: usize, rank: usize) -> Result<Vec<String>> {
        (0..count).map(|i| self.value(taken.tensor(i)?, rank)).collect()
    }

    /// The steps of an operator.
    pub(super) fn operator(&mut self, operator: &Operator<'_>) -> Result<()> {
        let taken = Taken {
            operator,
            tensors: self.tensors,
        };
        let output = operator.output;
        let (op, inputs) = match operator.code {
            code @ (0 | 18) => {
                let rank = taken.rank(0)?.max(taken.rank(1)?);
                let inputs = self.values(&taken, 2, rank)?;
                let op = Op::Binary(if code == 0 { Binary::Add } else { Binary::Mul });
                return self.followed(op, inputs, output, taken.options()?.byte(0)?);
            }
            2 => {
                let (options, rank) = (taken.options()?, taken.rank(0)?);
                let axis = axis(options.int(0, 0)?, rank)?;
                let inputs = self.values(&taken, operator.inputs.len(), rank)?;
                return self.followed(Op::Concat { axis }, inputs, output, options.byte(1)?);
            }
            3 => return self.convolution(&taken, FROM_FILE, 3),
            4 => return self.convolution(&taken, [3, 0, 1, 2], 4),
            17 => {
                let options = taken.options()?;
                let window = Window {
                    kernel: Some([size(options.int(4, 0)?)?, size(options.int(3, 0)?)?]),
                    ..taken.window()?
                };
                let inputs = self.values(&taken, 1, 4)?;
                return self.followed(Op::MaxPool(window), inputs, output, options.byte(5)?);
            }
            22 => return self.reshape(&taken),
            19 => (Op::Unary(Unary::Relu), self.values(&taken, 1, taken.rank(0)?)?),
            21 => (clip_at_six(), self.values(&taken, 1, taken.rank(0)?)?),
            54 => (Op::PRelu, self.values(&taken, 2, taken.rank(0)?)?),
            34 => {
                let (rank, sides) = (taken.rank(0)?, taken.ints(1)?);
                // Before and after one axis follow each other.
                let side = |which: usize| sides.iter().skip(which).step_by(2).map(|n| i64::from(*n));
                let op = Op::Pad {
                    mode: PadMode::Constant,
                    pads: Some(side(0).chain(side(1)).collect()),
                    value: Some(0.0),
                    axes: Some(axes(rank)?),
                };
                (op, self.values(&taken, 1, rank)?)
            }
            45 => {
                let rank = taken.rank(0)?;
                (Op::Slice(Some(ranges(&taken, rank)?)), self.values(&taken, 1, rank)?)
            }
            32 => self.custom(&taken)?,
            code => return Err(format!("an operator of kind {code}, which faces' models do not have")),
        };
        self.step(op, inputs, output.to_string());
        Ok(())
    }

    /// A convolution, whose options name the function that follows in field `after`, and how far apart it looks in the two behind that.
    fn convolution(&mut self, taken: &Taken<'_>, order: [i64; 4], after: usize) -> Result<()> {
        let options = taken.options()?;
        let window = Window {
            dilations: [size(options.int(after + 2, 1)?)?, size(options.int(after + 1, 1)?)?],
            ..taken.window()?
        };
        let (kernel, outputs) = self.kernel(taken.tensor(1)?, order)?;
        let groups = if order == FROM_FILE { 1 } else { outputs };
        let mut inputs = self.values(taken, 1, 4)?;
        inputs.push(kernel);
        if taken.operator.inputs.get(2).is_some_and(Option::is_some) {
            inputs.push(self.value(taken.tensor(2)?, 1)?);
        }
        self.followed(Op::Conv { window, groups }, inputs, taken.operator.output, options.byte(after)?)
    }

    /// The same elements in another shape, in the file's order.
    fn reshape(&mut self, taken: &Taken<'_>) -> Result<()> {
        let output = taken.operator.output;
        let given = match taken.operator.options {
            Some(options) => options.ints(0, 6)?,
            None => Vec::new(),
        };
        let shape = if given.is_empty() { taken.ints(1)?.to_vec() } else { given };
        let (rank, new) = (taken.rank(0)?, self.rank(output));
        if shape.len() != new {
            return Err(format!("tensor {output} of {new} axes gets the shape {shape:?}"));
        }
        let mut from = self.value(taken.tensor(0)?, rank)?;
        if rank == 4 {
            let turned = format!("{output} before");
            self.turn(TO_FILE, from, turned.clone());
            from = turned;
        }
        let shape: Vec<i64> = shape.into_iter().map(i64::from).collect();
        let shape = Tensor::new(shape, &Device::Cpu).map_err(|error| error.to_string())?;
        let shape = self.constant(format!("the shape of {output}"), &shape, &[])?;
        let op = Op::Reshape { allow_zero: true };
        if new == 4 {
            let reshaped = format!("{output} reshaped");
            self.step(op, vec![from, shape], reshaped.clone());
            self.turn(FROM_FILE, reshaped, output.to_string());
        } else {
            self.step(op, vec![from, shape], output.to_string());
        }
        Ok(())
    }

    /// The operators that `MediaPipe` adds to TFLite's.
    fn custom(&mut self, taken: &Taken<'_>) -> Result<(Op, Vec<String>)> {
        let settings = || Map::parse(taken.operator.settings);
        let pair = |making: &mut Self, rank: usize| -> Result<Vec<String>> {
            Ok(vec![making.value(taken.tensor(0)?, rank)?, making.value(taken.tensor(1)?, 3)?])
        };
        match taken.operator.name {
            b"Landmarks2TransformMatrix" => Ok((Op::Region(region(&settings()?)?), self.values(taken, 1, 3)?)),
            b"TransformTensorBilinear" => {
                let settings = settings()?;
                let size = [settings.count("output_height")?, settings.count("output_width")?];
                Ok((Op::Sample(size), pair(self, 4)?))
            }
            b"TransformLandmarks" => Ok((Op::PlaceLandmarks, pair(self, 3)?)),
            name => Err(format!(
                "an operator `{}`, which faces' models do not have",
                String::from_utf8_lossy(name)
            )),
        }
    }
}

/// From where to where a slice goes along each axis.
fn ranges(taken: &Taken<'_>, rank: usize) -> Result<Ranges> {
    let (from, to, step) = (taken.ints(1)?, taken.ints(2)?, taken.ints(3)?);
    let options = taken.options()?;
    let masks = (0..5).map(|i| options.int(i, 0)).collect::<Result<Vec<_>>>()?;
    let plain = [from.len(), to.len(), step.len()] == [rank; 3]
        && step.iter().all(|n| *n == 1)
        && masks == [0; 5]
        && from.iter().zip(to).all(|(from, to)| (0..*to).contains(from));
    if !plain {
        return Err(format!("a slice from {from:?} to {to:?} in steps of {step:?}"));
    }
    let places = |list: &[i32]| list.iter().map(|n| i64::from(*n)).collect();
    Ok(Ranges {
        starts: places(from),
        ends: places(to),
        axes: Some(axes(rank)?),
    })
}

/// What region an operator is for.
fn region(settings: &Map<'_>) -> Result<Region> {
    let target = settings.number("target_rotation_radians")?;
    if target != 0.0 {
        return Err(format!("a region's `target_rotation_radians` is {target}, expected 0"));
    }
    let size = [settings.count("output_width")?, settings.count("output_height")?];
    let around = settings.counts("subset_idxs")?;
    if around.is_empty() || size.contains(&0) {
        return Err(format!("a region of {size:?} pixels around {} landmarks", around.len()));
    }
    Ok(Region {
        level: [settings.count("left_rotation_idx")?, settings.count("right_rotation_idx")?],
        around,
        scale: [settings.number("scale_x")? as f32, settings.number("scale_y")? as f32],
        size: size.map(|n| n as f32),
    })
}
