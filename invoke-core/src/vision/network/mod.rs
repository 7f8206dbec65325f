//! Networks that come as data: a list of steps over named values, as exported files hold them, and what runs such a list.
//!
//! A reader of files ([`onnx`], [`tflite`]) makes a [`Network`]; a [`Runner`] prepares it for a device and computes it. Operations mean what they mean in
//! ONNX (opsets 9 to 18):
//! pictures are `[b, c, h, w]`, and what an operation may take either as an attribute or as an input is an `Option` here: the attribute, or `None` if
//! the input of that place has it. Floats of any width are computed in single floats; whole numbers are `i64` and truth values bytes, and both stay on
//! the CPU, as they are shapes and places and not pictures.
//!
//! Nothing of a network is trusted: shapes, axes and places are checked where they are used, and no value may have more than [`MOST_ELEMENTS`].

mod arithmetic;
mod arrange;
mod layers;
pub mod onnx;
mod pool;
mod regions;
mod resize;
mod run;
#[cfg(test)]
mod tests;
pub mod tflite;
mod window;

use std::{collections::HashMap, path::Path};

use candle_core::{DType, Tensor};

pub use regions::Region;
pub use run::Runner;

use crate::diffusion::{ModelError, short};

/// Most elements that one value may have: a gigabyte of single floats.
pub const MOST_ELEMENTS: usize = 1 << 28;

/// A network: its values have names, and every step gives some from others.
#[derive(Debug, Default)]
pub struct Network {
    /// What the network is called in messages: its file's folder and name.
    pub name: String,
    /// What whoever runs it gives, in this order.
    pub inputs: Vec<Input>,
    /// The values that it gives, in this order.
    pub outputs: Vec<String>,
    /// The values that it brings along: `f32`, `i64` or `u8` (truth), on the CPU.
    pub constants: HashMap<String, Tensor>,
    /// What is computed, one after the other; a step's inputs are constants, inputs of the network, or outputs of steps before it.
    pub steps: Vec<Step>,
}

/// A value that is given from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its shape as far as the file tells; `None` for a side of any length. Empty if the file tells nothing.
    pub shape: Vec<Option<usize>>,
}

/// One operation.
#[derive(Debug)]
pub struct Step {
    /// What is computed.
    pub op: Op,
    /// From which values; an empty name stands for an optional input that is left out.
    pub inputs: Vec<String>,
    /// Which values it gives; an empty name stands for one that nobody wants.
    pub outputs: Vec<String>,
}

/// What a step computes, with ONNX's meaning of the operator of the same name.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// `x [b, c, h, w]`, `weight [out, c / groups, kh, kw]`, optional `bias [out]`.
    Conv {
        /// Where the kernel is put.
        window: Window,
        /// Into how many parts the channels fall.
        groups: usize,
    },
    /// The largest of each window.
    MaxPool(Window),
    /// The mean of each window.
    AveragePool {
        /// Where the windows lie.
        window: Window,
        /// Whether what is added at the edges counts, as zeros.
        count_padding: bool,
    },
    /// The mean of each channel: `[b, c, 1, 1]`.
    GlobalAveragePool,
    /// A function of each element.
    Unary(Unary),
    /// A function of two elements, shapes broadcast.
    Binary(Binary),
    /// `x` where positive, `slope x` elsewhere, with slopes that broadcast to `x`.
    PRelu,
    /// Between two bounds; `None` for a bound that is an input (second and third) or missing.
    Clip {
        /// The least.
        min: Option<f32>,
        /// The most.
        max: Option<f32>,
    },
    /// The second where the first is true, the third elsewhere.
    Where,
    /// All inputs behind one another.
    Concat {
        /// Along this axis.
        axis: i64,
    },
    /// The same elements in the shape that is the second input; −1 is whatever is left over.
    Reshape {
        /// Whether 0 means no elements rather than the input's own length.
        allow_zero: bool,
    },
    /// Axes in another order; reversed if `None`.
    Transpose {
        /// For each new axis the old one.
        order: Option<Vec<i64>>,
    },
    /// Elements added before and after each axis (negative: taken away); all befores come first.
    Pad {
        /// What is added.
        mode: PadMode,
        /// How many; else the second input.
        pads: Option<Vec<i64>>,
        /// The constant that is added; else the third input, or zero.
        value: Option<f32>,
        /// The axes meant, else the fourth input, or all.
        axes: Option<Vec<i64>>,
    },
    /// A part of some axes; starts, ends, axes and steps are inputs if `None`.
    Slice(Option<Ranges>),
    /// Parts along an axis; equal ones if neither the attribute nor the second input says how long each is.
    Split {
        /// Along this axis.
        axis: i64,
        /// How long each is.
        sizes: Option<Vec<i64>>,
    },
    /// Another height and width, by scales (third input) or sizes (fourth).
    Resize(Resize),
    /// Two axes: all before `axis` and all from it on.
    Flatten {
        /// The first axis of the second part.
        axis: i64,
    },
    /// Axes of length 1 removed: these, or those of the second input, or all.
    Squeeze(Option<Vec<i64>>),
    /// Axes of length 1 added where the result has them: these, or those of the second input.
    Unsqueeze(Option<Vec<i64>>),
    /// The matrix product of the last two axes, the others broadcast.
    MatMul,
    /// `alpha a b + beta c`.
    Gemm {
        /// Of the product.
        alpha: f32,
        /// Of the third input.
        beta: f32,
        /// Whether the first is turned.
        turn_a: bool,
        /// Whether the second is turned.
        turn_b: bool,
    },
    /// Exponentials that sum to 1.
    Softmax {
        /// Along this axis.
        axis: i64,
        /// Along this axis and all behind it (before opset 13).
        to_the_end: bool,
    },
    /// Many elements made one.
    Reduce {
        /// How.
        how: Reduce,
        /// Along these axes; else those of the second input, or all.
        axes: Option<Vec<i64>>,
        /// Whether the axes stay, with length 1.
        keep: bool,
        /// Whether no axes mean none rather than all.
        none_if_empty: bool,
    },
    /// `(x - mean) / sqrt(variance + epsilon) * scale + bias`; the inputs are `x`, `scale`, `bias`, `mean`, `variance`.
    BatchNormalization {
        /// Added to the variance.
        epsilon: f64,
    },
    /// The lengths of axes, from `start` to `end`.
    Shape {
        /// The first axis.
        start: i64,
        /// The axis after the last.
        end: Option<i64>,
    },
    /// Places of one axis, by whole numbers.
    Gather {
        /// The axis.
        axis: i64,
    },
    /// Another kind of number.
    Cast(DType),
    /// A value of the shape that is the input, all elements alike: a tensor of one element.
    ConstantOfShape(Element),
    /// Broadcast to the shape that is the second input.
    Expand,
    /// How pixels of a region lie in a picture: a matrix `[1, 4, 4]` from the landmarks `[1, n, 3]` in the picture (`MediaPipe`'s).
    Region(Region),
    /// A part of a picture of so many pixels, down and across, each from where a matrix says it lies.
    Sample([usize; 2]),
    /// Landmarks `[1, n, 2]` of a region in the picture, by its matrix.
    PlaceLandmarks,
}

/// One number of its kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Element {
    /// A float.
    Float(f32),
    /// A whole number.
    Int(i64),
    /// A truth value.
    Bool(bool),
}

/// Where a kernel is put on a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns of the kernel; of a convolution's, the weight tells if this is `None`.
    pub kernel: Option<[usize; 2]>,
    /// From one place to the next, down and across.
    pub strides: [usize; 2],
    /// From one of the kernel's pixels to the next, down and across.
    pub dilations: [usize; 2],
    /// What is added at the edges.
    pub padding: Padding,
    /// Whether a window that does not fit whole counts.
    pub round_up: bool,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            kernel: None,
            strides: [1; 2],
            dilations: [1; 2],
            padding: Padding::Explicit([0; 4]),
            round_up: false,
        }
    }
}

/// What a window adds at the edges of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// So many pixels: top, bottom, left, right.
    Explicit([usize; 4]),
    /// As many as give `ceil(side / stride)` places, an odd one at the bottom and at the right (`SAME_UPPER`, TensorFlow's `SAME`).
    SameUpper,
    /// As above, an odd one at the top and at the left (`SAME_LOWER`).
    SameLower,
}

/// A function of each element.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "they are ONNX's operators of the same names")]
pub enum Unary {
    Identity,
    Relu,
    LeakyRelu { alpha: f32 },
    Sigmoid,
    HardSigmoid { alpha: f32, beta: f32 },
    Tanh,
    Sqrt,
    Exp,
    Log,
    Neg,
    Abs,
    Floor,
    Ceil,
    Reciprocal,
    Erf,
    Not,
}

/// A function of two elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are ONNX's operators of the same names")]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Max,
    Min,
    Equal,
    Less,
    Greater,
}

/// How many elements become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduce {
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// The root of the sum of their squares.
    L2,
}

/// What is added around a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PadMode {
    /// One number.
    Constant,
    /// The value mirrored, its edge not repeated.
    Reflect,
    /// Its edge, repeated.
    Edge,
}

/// Parts of axes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ranges {
    /// The first places; negative ones count from the end.
    pub starts: Vec<i64>,
    /// The places after the last.
    pub ends: Vec<i64>,
    /// Whose these are; else the first axes.
    pub axes: Option<Vec<i64>>,
}

/// How a picture gets another size.
#[derive(Debug, Clone, PartialEq)]
pub struct Resize {
    /// Whether the nearest pixel is taken, or the four around it are mixed.
    pub linear: bool,
    /// Which place of the old picture a new pixel has.
    pub place: Place,
    /// Which pixel is nearest.
    pub nearest: Nearest,
    /// Scales that are an attribute (`Upsample`).
    pub scales: Option<Vec<f32>>,
    /// Index of the input with the scales; that with the sizes is the next.
    pub scales_input: usize,
}

/// Which place of the old picture a new pixel has (`coordinate_transformation_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `(i + 0.5) / scale - 0.5`.
    HalfPixel,
    /// As above, but 0 for a picture of one pixel.
    PytorchHalfPixel,
    /// `i / scale`.
    Asymmetric,
    /// The corners' centres stay.
    AlignCorners,
}

/// Which pixel is nearest to a place (`nearest_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are ONNX's words")]
pub enum Nearest {
    RoundPreferFloor,
    RoundPreferCeil,
    Floor,
    Ceil,
}

/// A network's file as a whole, if it has no more than `most` bytes, and what it is called in messages.
fn read_whole(path: &Path, most: u64) -> Result<(Vec<u8>, String), ModelError> {
    let name = short(path);
    let io = |source| ModelError::Io {
        file: name.clone(),
        source,
    };
    let bytes = std::fs::metadata(path).map_err(io)?.len();
    if bytes > most {
        return Err(corrupt(&name, &format!("it has {bytes} bytes, expected {most} at most")));
    }
    Ok((std::fs::read(path).map_err(io)?, name))
}

/// A network that was read, under the name that it has in messages; or why it could not be.
fn named(name: &str, read: Result<Network, String>) -> Result<Network, ModelError> {
    let network = read.map_err(|reason| corrupt(name, &reason))?;
    Ok(Network {
        name: name.to_owned(),
        ..network
    })
}

fn corrupt(file: &str, reason: &str) -> ModelError {
    ModelError::Corrupt {
        file: file.to_owned(),
        reason: reason.to_owned(),
    }
}

/// The most axes that a value may have.
const MOST_AXES: usize = 16;

/// How many elements a shape has, if that is a number to work with.
fn elements(shape: &[usize]) -> candle_core::Result<usize> {
    // A side of 0 hides none of the others, each of which something may be made for.
    let most = shape.iter().try_fold(1_usize, |n, side| n.checked_mul((*side).max(1)));
    match most {
        Some(most) if most <= MOST_ELEMENTS && shape.len() <= MOST_AXES => Ok(shape.iter().product()),
        _ => candle_core::bail!("a value of shape {shape:?} would have more than {MOST_ELEMENTS} elements, or {MOST_AXES} axes"),
    }
}

/// An axis counted from the front, of `rank` axes.
fn axis(axis: i64, rank: usize) -> candle_core::Result<usize> {
    let counted = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    match counted {
        Some(counted) if (0..rank as i64).contains(&counted) => Ok(counted as usize),
        _ => candle_core::bail!("there is no axis {axis} of {rank}"),
    }
}

/// All numbers of a small whole-number value.
fn integers(x: &Tensor) -> candle_core::Result<Vec<i64>> {
    if x.dtype() != DType::I64 {
        candle_core::bail!("whole numbers were expected, not {:?}", x.dtype());
    }
    x.flatten_all()?.to_vec1()
}

/// The shape that two values broadcast to.
fn broadcast(a: &[usize], b: &[usize]) -> candle_core::Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let side = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    let shape = (0..rank)
        .map(|i| match (side(a, i), side(b, i)) {
            (m, n) if m == n => Ok(m),
            (1, n) | (n, 1) => Ok(n),
            _ => candle_core::bail!("values of shapes {a:?} and {b:?} do not go together"),
        })
        .collect::<candle_core::Result<Vec<_>>>()?;
    elements(&shape)?;
    Ok(shape)
}
