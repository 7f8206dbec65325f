//! Layers whose weights are known before a network runs, in the layout that their kernels like best.

use candle_core::{Result, Tensor};

use super::{Window, elements, window::Along};
use crate::diffusion::ops::{Border, Conv2d, ConvConfig, Depthwise, Linear, pad, pick};

/// A convolution over pictures.
#[derive(Debug)]
pub(super) struct Convolution {
    window: Window,
    kernel: [usize; 2],
    /// Channels that come in.
    inputs: usize,
    parts: Parts,
}

#[derive(Debug)]
enum Parts {
    /// Each group's layer, for pictures that are padded already; with its stride, which is 1 where the two axes' differ.
    Groups(Vec<Conv2d>, usize),
    /// One channel each: a kernel of an odd side, whose upper left corner is the network's.
    Channels(Depthwise, usize),
}

/// Most elements that a kernel may have once zeros stand where dilation skips pixels.
const MOST_WEIGHTS: usize = 1 << 27;

impl Convolution {
    /// From `weight [out, in / groups, kh, kw]` and `bias [out]`.
    pub(super) fn new(weight: &Tensor, bias: Option<&Tensor>, window: &Window, groups: usize) -> Result<Self> {
        let (outputs, share, h, w) = weight.dims4()?;
        if groups == 0 || outputs % groups != 0 || weight.elem_count() == 0 || bias.is_some_and(|b| b.dims() != [outputs]) {
            candle_core::bail!("a convolution of {:?} in {groups} groups", weight.dims());
        }
        if window.kernel.is_some_and(|kernel| kernel != [h, w]) {
            candle_core::bail!(
                "a convolution of {:?} whose kernel is said to be {:?}",
                weight.dims(),
                window.kernel
            );
        }
        let parts = if share == 1 && groups == outputs && groups > 1 && window.dilations[0] == window.dilations[1] {
            let side = h.max(w) | 1;
            let square = weight.pad_with_zeros(2, 0, side - h)?.pad_with_zeros(3, 0, side - w)?;
            let dilation = window.dilations[0];
            Parts::Channels(Depthwise::new(&square, bias.cloned(), dilation)?, side / 2 * dilation)
        } else {
            let weight = spread(&spread(weight, 2, window.dilations[0])?, 3, window.dilations[1])?;
            let stride = if window.strides[0] == window.strides[1] {
                window.strides[0]
            } else {
                1
            };
            let config = ConvConfig { stride, padding: [0; 4] };
            let each = outputs / groups;
            let layer = |group: usize| {
                let bias = bias.map(|b| b.narrow(0, group * each, each)).transpose()?;
                Conv2d::new(weight.narrow(0, group * each, each)?.contiguous()?, bias, config)
            };
            Parts::Groups((0..groups).map(layer).collect::<Result<_>>()?, stride)
        };
        let Some(inputs) = share.checked_mul(groups) else {
            candle_core::bail!("a convolution of {:?} in {groups} groups", weight.dims());
        };
        Ok(Self {
            window: window.clone(),
            kernel: [h, w],
            inputs,
            parts,
        })
    }

    /// Convolve `x [b, in, h, w]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (b, c, h, w) = x.dims4()?;
        if c != self.inputs || x.elem_count() == 0 {
            candle_core::bail!("a convolution of {} channels got {:?}", self.inputs, x.dims());
        }
        let [down, across] = self.window.over(self.kernel, [h, w])?;
        elements(&[b, c, h + down.before + down.after, w + across.before + across.after])?;
        match &self.parts {
            Parts::Groups(layers, stride) => {
                let x = padded(x, [down.before, down.after, across.before, across.after])?;
                let share = self.inputs / layers.len();
                let outputs: usize = layers.iter().map(Conv2d::out_channels).sum();
                elements(&[b, outputs, down.places, across.places])?;
                let y = if let [layer] = layers.as_slice() {
                    layer.forward(&x)?
                } else {
                    let part = |(i, layer): (usize, &Conv2d)| layer.forward(&x.narrow(1, i * share, share)?);
                    Tensor::cat(&layers.iter().enumerate().map(part).collect::<Result<Vec<_>>>()?, 1)?
                };
                if *stride == down.stride && *stride == across.stride {
                    return Ok(y);
                }
                pick(&y, &every(down, 0), &every(across, 0))
            }
            Parts::Channels(layer, center) => {
                // The kernel's own rows and columns may be fewer than the square's; the rest meet zeros.
                let whole = |along: Along| 2 * center + 1 - along.reach() + along.after;
                let (bottom, right) = (whole(down), whole(across));
                // A picture that keeps its size needs nothing added: beyond the edges are zeros.
                let same = |along: Along, side: usize| {
                    along.stride == 1 && along.reach() == 2 * center + 1 && along.before == *center && along.places == side
                };
                if same(down, h) && same(across, w) {
                    return layer.forward(x);
                }
                let y = layer.forward(&padded(x, [down.before, bottom, across.before, right])?)?;
                pick(&y, &every(down, *center), &every(across, *center))
            }
        }
    }
}

/// The windows' places along an axis, the first at `first`.
fn every(along: Along, first: usize) -> Vec<usize> {
    (0..along.places).map(|i| first + i * along.stride).collect()
}

fn padded(x: &Tensor, edges: [usize; 4]) -> Result<Tensor> {
    if edges == [0; 4] {
        Ok(x.clone())
    } else {
        pad(x, edges, Border::Zeros)
    }
}

/// A kernel whose elements lie `step` apart along an axis, with zeros between them.
fn spread(weight: &Tensor, axis: usize, step: usize) -> Result<Tensor> {
    let n = weight.dim(axis)?;
    if step == 1 || n == 1 {
        return Ok(weight.clone());
    }
    let mut shape = weight.dims().to_vec();
    let most = shape.iter().try_fold(step, |all, side| all.checked_mul(*side));
    if step == 0 || most.is_none_or(|most| most > MOST_WEIGHTS) {
        candle_core::bail!("a kernel of {shape:?} whose pixels lie {step} apart is too large");
    }
    shape[axis] = step - 1;
    let zeros = Tensor::zeros(shape, weight.dtype(), weight.device())?;
    let mut rows = Vec::new();
    for i in 0..n {
        if i > 0 {
            rows.push(zeros.clone());
        }
        rows.push(weight.narrow(axis, i, 1)?);
    }
    Tensor::cat(&rows, axis)
}

/// A product with a matrix that is known, and what is added to it.
#[derive(Debug)]
pub(super) struct Product(Linear);

impl Product {
    /// From a matrix `[in, out]` and `bias [out]`.
    pub(super) fn new(matrix: &Tensor, bias: Option<Tensor>) -> Result<Self> {
        Ok(Self(Linear::new(matrix.t()?.contiguous()?, bias)?))
    }

    /// For `x [..., in]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut shape = x.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = self.0.outputs();
        }
        elements(&shape)?;
        self.0.forward(x)
    }
}

/// `scale x + shift` for each channel of pictures, from a batch normalisation's `scale`, `bias`, `mean` and `variance`.
#[derive(Debug)]
pub(super) struct Affine {
    scale: Tensor,
    shift: Tensor,
    layer: Depthwise,
}

impl Affine {
    pub(super) fn new([scale, bias, mean, variance]: [&Tensor; 4], epsilon: f64) -> Result<Self> {
        let c = scale.dims1()?;
        let factor = (scale * (variance + epsilon)?.sqrt()?.recip()?)?;
        let shift = (bias - (mean * &factor)?)?;
        let layer = Depthwise::new(&factor.reshape((c, 1, 1, 1))?, Some(shift.clone()), 1)?;
        Ok(Self {
            scale: factor,
            shift,
            layer,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if x.rank() == 4 {
            return self.layer.forward(x);
        }
        let mut shape = vec![1; x.rank().max(2)];
        shape[1] = self.scale.elem_count();
        x.broadcast_mul(&self.scale.reshape(shape.as_slice())?)?
            .broadcast_add(&self.shift.reshape(shape.as_slice())?)
    }
}
