//! TFLite's operators.

use candle_core::{Result, Tensor, bail};

use super::{
    channels_second,
    file::{Described, Numbers, Operator, count},
    flat::{Flaw, Table},
    flex::Map,
    regions::{LandmarkRegion, sample, transform},
};
use crate::diffusion::ops::{Border, Conv2d, ConvConfig, Depthwise, add, cat_channels, max_pool_2x2, pad, pick, prelu, relu, relu6};

pub(super) const DEQUANTIZE: i32 = 6;

/// Most pixels of a kernel along each side.
const MOST_KERNEL: usize = 32;

/// What follows an operator in the same pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    Relu,
    Relu6,
}

impl After {
    fn read(code: u8) -> std::result::Result<Self, Flaw> {
        match code {
            0 => Ok(Self::Nothing),
            1 => Ok(Self::Relu),
            3 => Ok(Self::Relu6),
            _ => Err(format!("an operator is followed by function {code}, expected none, 1 or 3")),
        }
    }

    fn apply(self, x: Tensor) -> Result<Tensor> {
        match self {
            Self::Nothing => Ok(x),
            Self::Relu => relu(&x),
            Self::Relu6 => relu6(&x),
        }
    }
}

/// What an operator does, its weights made ready.
#[derive(Debug)]
pub(super) enum Layer {
    Conv {
        /// Whether zeros surround the picture, so that a stride of 1 keeps its size.
        same: bool,
        conv: Conv2d,
        kernel: [usize; 2],
        stride: usize,
        after: After,
    },
    Depthwise {
        same: bool,
        conv: Depthwise,
        kernel: usize,
        stride: usize,
        after: After,
    },
    Prelu(Tensor),
    Activation(After),
    HalveByMaximum,
    Add(After),
    Multiply,
    /// Zeros around the picture (top, bottom, left, right), and channels of zeros behind the others.
    Pad([usize; 4], usize),
    Reshape(Vec<i32>),
    Join(i32, After),
    /// From where to where along each axis.
    Cut(Vec<(usize, usize)>),
    Region(LandmarkRegion),
    Sample([usize; 2]),
    Transform,
}

/// Zeros before and after one side of `n` pixels, so that `n / stride` kernels, rounded up, fit.
fn surround(n: usize, kernel: usize, stride: usize) -> [usize; 2] {
    let all = ((n.div_ceil(stride).max(1) - 1) * stride + kernel).saturating_sub(n);
    [all / 2, all - all / 2]
}

/// A tensor in the file's order: pictures as `[1, h, w, c]`.
pub(super) fn pixels_first(x: &Tensor) -> Result<Tensor> {
    if x.rank() == 4 {
        x.permute((0, 2, 3, 1))?.contiguous()
    } else {
        x.contiguous()
    }
}

impl Layer {
    /// Computes one layer; tensors of four dimensions are `[1, c, h, w]`.
    pub(super) fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        if let Some(empty) = inputs.iter().find(|x| x.elem_count() == 0) {
            bail!("a tensor of {:?} holds nothing", empty.dims());
        }
        let x = &inputs[0];
        Ok(match self {
            Self::Conv {
                same,
                conv,
                kernel,
                stride,
                after,
            } => {
                let (b, c, h, w) = x.dims4()?;
                let around = |n, kernel| if *same { surround(n, kernel, *stride) } else { [0; 2] };
                let ([top, bottom], [left, right]) = (around(h, kernel[0]), around(w, kernel[1]));
                if top + h + bottom < kernel[0] || left + w + right < kernel[1] {
                    bail!("a picture of {w}x{h} is smaller than a kernel of {kernel:?}");
                }
                fits(&[b, c, top + h + bottom, left + w + right])?;
                fits(&[b, conv.out_channels(), h, w])?;
                after.apply(conv.forward(&pad(x, [top, bottom, left, right], Border::Zeros)?)?)?
            }
            Self::Depthwise {
                same,
                conv,
                kernel,
                stride,
                after,
            } => {
                let (b, c, h, w) = x.dims4()?;
                fits(&[b, c, h + kernel, w + kernel])?;
                let y = conv.forward(x)?;
                // Where the kernels' centres lie: all of them were computed.
                let places = |n: usize| -> Vec<usize> {
                    let (before, all) = if *same {
                        (surround(n, *kernel, *stride)[0], n.div_ceil(*stride))
                    } else {
                        (0, (n + *stride).saturating_sub(*kernel) / *stride)
                    };
                    (0..all).map(|i| i * stride + kernel / 2 - before).collect()
                };
                let y = if *same && *stride == 1 {
                    y
                } else {
                    pick(&y, &places(h), &places(w))?
                };
                after.apply(y)?
            }
            Self::Prelu(slopes) => prelu(x, slopes)?,
            Self::Activation(after) => after.apply(x.clone())?,
            Self::HalveByMaximum => {
                let (_, _, h, w) = x.dims4()?;
                if h % 2 != 0 || w % 2 != 0 {
                    bail!("a picture of {w}x{h} cannot be halved");
                }
                max_pool_2x2(x)?
            }
            Self::Add(after) => after.apply(add(x, &inputs[1])?)?,
            Self::Multiply => {
                let shape = x.shape().broadcast_shape_binary_op(inputs[1].shape(), "mul")?;
                fits(shape.dims())?;
                x.broadcast_mul(&inputs[1])?
            }
            Self::Pad(around, channels) => {
                let (b, c, h, w) = x.dims4()?;
                let [top, bottom, left, right] = *around;
                fits(&[b, c + channels, top + h + bottom, left + w + right])?;
                let x = pad(x, *around, Border::Zeros)?;
                if *channels == 0 {
                    return Ok(x);
                }
                let (b, _, h, w) = x.dims4()?;
                cat_channels(&x, &Tensor::zeros((b, *channels, h, w), x.dtype(), x.device())?)?
            }
            Self::Reshape(shape) => channels_second(&reshaped(&pixels_first(x)?, shape)?)?,
            Self::Join(axis, after) => {
                fits(&[inputs.iter().map(Tensor::elem_count).sum()])?;
                let parts = inputs.iter().map(pixels_first).collect::<Result<Vec<_>>>()?;
                let rank = x.rank() as i32;
                let axis = if *axis < 0 { axis + rank } else { *axis };
                if !(0..rank).contains(&axis) {
                    bail!("tensors of {rank} dimensions joined along dimension {axis}");
                }
                after.apply(channels_second(&Tensor::cat(&parts, axis as usize)?)?)?
            }
            Self::Cut(ranges) => {
                let mut y = pixels_first(x)?;
                if y.rank() != ranges.len() {
                    bail!("{:?} cut to {ranges:?}", y.dims());
                }
                for (axis, (from, to)) in ranges.iter().enumerate() {
                    y = y.narrow(axis, *from, *to - *from)?;
                }
                // Copied, so that a small part does not keep a large tensor.
                channels_second(&y.force_contiguous()?)?
            }
            Self::Region(region) => region.matrix(x)?,
            Self::Sample(size) => sample(x, &inputs[1], *size)?,
            Self::Transform => transform(x, &inputs[1])?,
        })
    }
}

/// Refuses what needs too much memory.
fn fits(shape: &[usize]) -> Result<()> {
    count(shape).map(|_| ()).map_err(candle_core::Error::Msg)
}

/// A shape in which one side may be -1: whatever is left.
fn reshaped(x: &Tensor, shape: &[i32]) -> Result<Tensor> {
    let known = shape.iter().filter(|n| **n >= 0).map(|n| *n as usize).collect::<Vec<_>>();
    let all = count(&known).map_err(candle_core::Error::Msg)?;
    if shape.len() > known.len() + 1 || (shape.len() > known.len() && all == 0) {
        bail!("{:?} cannot become {shape:?}", x.dims());
    }
    let sides: Vec<usize> = shape
        .iter()
        .map(|n| usize::try_from(*n).unwrap_or_else(|_| x.elem_count() / all))
        .collect();
    x.reshape(sides)
}

/// The kernel, its weights and settings of one of the two kinds of convolution.
struct Convolution {
    same: bool,
    stride: usize,
    after: After,
    weight: Tensor,
    bias: Option<Tensor>,
}

/// What is known of the tensors of one operator.
struct Taken<'a> {
    operator: &'a Operator<'a>,
    tensors: &'a [Described],
}

impl Taken<'_> {
    fn place(&self, i: usize) -> std::result::Result<usize, Flaw> {
        let found = self.operator.inputs.get(i).copied().flatten();
        found.ok_or_else(|| format!("an operator of kind {} lacks its input {i}", self.operator.code))
    }

    fn has(&self, i: usize) -> bool {
        self.operator.inputs.get(i).copied().flatten().is_some()
    }

    fn floats(&self, i: usize) -> std::result::Result<Tensor, Flaw> {
        match &self.tensors[self.place(i)?].numbers {
            Some(Numbers::Floats(tensor)) => Ok(tensor.clone()),
            _ => Err(format!(
                "input {i} of an operator of kind {} is not a tensor of weights",
                self.operator.code
            )),
        }
    }

    fn ints(&self, i: usize) -> std::result::Result<&[i32], Flaw> {
        match &self.tensors[self.place(i)?].numbers {
            Some(Numbers::Ints(numbers)) => Ok(numbers),
            _ => Err(format!(
                "input {i} of an operator of kind {} is not a list of integers",
                self.operator.code
            )),
        }
    }

    fn options(&self) -> std::result::Result<Table<'_>, Flaw> {
        self.operator
            .options
            .ok_or_else(|| format!("an operator of kind {} has no options", self.operator.code))
    }

    /// A convolution's parts; its options name the function that follows in field `after`, and how far apart it looks in the two behind that.
    fn convolution(&self, after: usize, order: (usize, usize, usize, usize)) -> std::result::Result<Convolution, Flaw> {
        let options = self.options()?;
        let (stride, other) = (options.int(1, 0)?, options.int(2, 0)?);
        let apart = (options.int(after + 1, 1)?, options.int(after + 2, 1)?);
        if stride != other || !(1..=64).contains(&stride) || apart != (1, 1) {
            return Err(format!(
                "a convolution of strides {stride} and {other} that looks {apart:?} apart, expected like strides and 1"
            ));
        }
        let weight = self.floats(1)?;
        if weight.rank() != 4 || weight.dims().iter().skip(1).take(2).any(|n| *n > MOST_KERNEL) {
            return Err(format!(
                "a kernel of {:?}, expected {MOST_KERNEL} pixels along each side at most",
                weight.dims()
            ));
        }
        let weight = weight.permute(order).and_then(|w| w.contiguous());
        Ok(Convolution {
            same: padding(options.byte(0)?)?,
            stride: stride as usize,
            after: After::read(options.byte(after)?)?,
            weight: weight.map_err(|error| error.to_string())?,
            bias: self.has(2).then(|| self.floats(2)).transpose()?,
        })
    }
}

/// Whether zeros surround the picture.
fn padding(code: u8) -> std::result::Result<bool, Flaw> {
    match code {
        0 => Ok(true),
        1 => Ok(false),
        _ => Err(format!("padding of kind {code}, expected 0 or 1")),
    }
}

/// An operator's layer and the tensors it takes.
pub(super) fn build(operator: &Operator<'_>, tensors: &[Described]) -> std::result::Result<(Layer, Vec<usize>), Flaw> {
    let taken = Taken { operator, tensors };
    let flaw = |error: candle_core::Error| error.to_string();
    let (layer, takes) = match operator.code {
        0 => (Layer::Add(After::read(taken.options()?.byte(0)?)?), 2),
        2 => {
            let options = taken.options()?;
            let layer = Layer::Join(options.int(0, 0)?, After::read(options.byte(1)?)?);
            (layer, operator.inputs.len())
        }
        3 => {
            let Convolution {
                same,
                stride,
                after,
                weight,
                bias,
            } = taken.convolution(3, (0, 3, 1, 2))?;
            let (_, _, h, w) = weight.dims4().map_err(flaw)?;
            let config = ConvConfig { stride, padding: [0; 4] };
            let conv = Conv2d::new(weight, bias, config).map_err(flaw)?;
            (
                Layer::Conv {
                    same,
                    conv,
                    kernel: [h, w],
                    stride,
                    after,
                },
                1,
            )
        }
        4 => {
            let Convolution {
                same,
                stride,
                after,
                weight,
                bias,
            } = taken.convolution(4, (3, 0, 1, 2))?;
            let kernel = weight.dim(2).map_err(flaw)?;
            let conv = Depthwise::new(&weight, bias, 1).map_err(flaw)?;
            (
                Layer::Depthwise {
                    same,
                    conv,
                    kernel,
                    stride,
                    after,
                },
                1,
            )
        }
        17 => {
            let options = taken.options()?;
            let sides = [1, 2, 3, 4].map(|i| options.int(i, 0));
            if sides != [2; 4].map(Ok) || options.byte(5)? != 0 {
                return Err(format!("a maximum of {sides:?}, expected of 2 by 2 pixels"));
            }
            padding(options.byte(0)?)?;
            (Layer::HalveByMaximum, 1)
        }
        18 => match taken.options()?.byte(0)? {
            0 => (Layer::Multiply, 2),
            after => return Err(format!("a product is followed by function {after}, expected none")),
        },
        19 => (Layer::Activation(After::Relu), 1),
        21 => (Layer::Activation(After::Relu6), 1),
        22 => {
            let given = match operator.options {
                Some(options) => options.ints(0, 6)?,
                None => Vec::new(),
            };
            let shape = if given.is_empty() { taken.ints(1)?.to_vec() } else { given };
            (Layer::Reshape(shape), 1)
        }
        34 => {
            let sides = taken.ints(1)?;
            let around: Vec<usize> = sides
                .iter()
                .filter_map(|n| usize::try_from(*n).ok().filter(|n| *n < 1 << 12))
                .collect();
            let [0, 0, top, bottom, left, right, 0, channels] = around[..] else {
                return Err(format!("zeros around a picture: {sides:?}"));
            };
            (Layer::Pad([top, bottom, left, right], channels), 1)
        }
        45 => (Layer::Cut(ranges(&taken)?), 1),
        54 => (Layer::Prelu(taken.floats(1)?), 1),
        32 => custom(&taken)?,
        code => return Err(format!("an operator of kind {code}, which faces' models do not have")),
    };
    if takes == 0 {
        return Err("an operator takes nothing".to_owned());
    }
    let inputs = (0..takes).map(|i| taken.place(i)).collect::<std::result::Result<_, _>>()?;
    Ok((layer, inputs))
}

/// From where to where a slice goes along each axis.
fn ranges(taken: &Taken<'_>) -> std::result::Result<Vec<(usize, usize)>, Flaw> {
    let (from, to, step) = (taken.ints(1)?, taken.ints(2)?, taken.ints(3)?);
    let options = taken.options()?;
    let masks = (0..5).map(|i| options.int(i, 0)).collect::<std::result::Result<Vec<_>, _>>()?;
    let plain = from.len() == to.len() && step.len() == to.len() && step.iter().all(|n| *n == 1) && masks == [0; 5];
    let range = |(from, to): (&i32, &i32)| Some((usize::try_from(*from).ok()?, usize::try_from(*to).ok()?)).filter(|(from, to)| from < to);
    let found: Option<Vec<_>> = from.iter().zip(to).map(range).collect();
    found
        .filter(|_| plain)
        .ok_or_else(|| format!("a slice from {from:?} to {to:?} in steps of {step:?}"))
}

/// The operators that MediaPipe adds to TFLite's, and how many tensors each takes.
fn custom(taken: &Taken<'_>) -> std::result::Result<(Layer, usize), Flaw> {
    match taken.operator.name {
        b"Landmarks2TransformMatrix" => Ok((Layer::Region(LandmarkRegion::read(&Map::parse(taken.operator.settings)?)?), 1)),
        b"TransformTensorBilinear" => {
            let settings = Map::parse(taken.operator.settings)?;
            Ok((
                Layer::Sample([settings.count("output_height")?, settings.count("output_width")?]),
                2,
            ))
        }
        b"TransformLandmarks" => Ok((Layer::Transform, 2)),
        name => Err(format!(
            "an operator `{}`, which faces' models do not have",
            String::from_utf8_lossy(name)
        )),
    }
}
