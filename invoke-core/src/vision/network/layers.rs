//! Layers whose weights are known before a network runs, in the layout that their kernels like best.

use candle_core::{Result, Tensor};

use super::{
    Window, elements,
    window::{Along, MOST},
};
use crate::diffusion::ops::{Border, Conv2d, ConvConfig, Depthwise, Linear, pad, pick};

/// A convolution over pictures.
#[derive(Debug)]
pub(super) struct Convolution {
    window: Window,
    kernel: [usize; 2],
    /// Channels that come in, and that go out.
    inputs: usize,
    outputs: usize,
    /// Numbers of its kernels, with those between pixels that are apart.
    weights: usize,
    parts: Parts,
}

#[derive(Debug)]
enum Parts {
    /// Each group's layer, for pictures that are padded already; with its stride, which is 1 where the two axes' differ.
    Groups(Vec<Conv2d>, usize),
    /// One channel each: a kernel of an odd side, whose upper left corner is the network's.
    Channels(Depthwise, usize),
}

/// The largest side of a kernel of one channel that is made square; a longer one goes the general way.
const MOST_SQUARE: usize = 31;
/// The most products that a convolution may be made of: minutes of a processor's work.
const MOST_PRODUCTS: u64 = 1 << 40;
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
        if window.dilations.iter().chain(&window.strides).any(|n| *n > MOST) {
            candle_core::bail!(
                "pixels {:?} apart, and windows {:?}, are too far apart",
                window.dilations,
                window.strides
            );
        }
        let mut weights = weight.elem_count();
        let is_square = window.dilations[0] == window.dilations[1] && h.max(w) <= MOST_SQUARE;
        let parts = if share == 1 && groups == outputs && groups > 1 && is_square {
            let side = h.max(w) | 1;
            let square = weight.pad_with_zeros(2, 0, side - h)?.pad_with_zeros(3, 0, side - w)?;
            let dilation = window.dilations[0];
            Parts::Channels(Depthwise::new(&square, bias.cloned(), dilation)?, side / 2 * dilation)
        } else {
            let weight = spread(&spread(weight, 2, window.dilations[0])?, 3, window.dilations[1])?;
            weights = weight.elem_count();
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
            outputs,
            weights,
            parts,
        })
    }

    /// Numbers of its kernels.
    pub(super) fn weights(&self) -> usize {
        self.weights
    }

    /// Convolve `x [b, in, h, w]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (b, c, h, w) = x.dims4()?;
        if c != self.inputs || x.elem_count() == 0 {
            candle_core::bail!("a convolution of {} channels got {:?}", self.inputs, x.dims());
        }
        let [down, across] = self.window.over(self.kernel, [h, w])?;
        elements(&[b, c, h + down.before + down.after, w + across.before + across.after])?;
        let places = elements(&[b, self.outputs, down.places, across.places])? as u64;
        let each = (self.weights / self.outputs.max(1)) as u64;
        if places.checked_mul(each).is_none_or(|products| products > MOST_PRODUCTS) {
            candle_core::bail!(
                "a convolution of {:?} would be made of more than {MOST_PRODUCTS} products",
                x.dims()
            );
        }
        match &self.parts {
            Parts::Groups(layers, stride) => {
                let x = padded(x, [down.before, down.after, across.before, across.after])?;
                let share = self.inputs / layers.len();
                if down.stride != *stride || across.stride != *stride {
                    // Every place is computed, and some are picked.
                    let all = |along: Along, side: usize| along.before + side + along.after - along.reach() + 1;
                    elements(&[b, self.outputs, all(down, h), all(across, w)])?;
                }
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
                elements(&[b, c, down.before + h + bottom, across.before + w + right])?;
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
        if x.dims().get(1) != Some(&self.scale.elem_count()) {
            candle_core::bail!("a normalisation of {} channels got {:?}", self.scale.elem_count(), x.dims());
        }
        if x.rank() == 4 {
            return self.layer.forward(x);
        }
        let mut shape = vec![1; x.rank().max(2)];
        shape[1] = self.scale.elem_count();
        x.broadcast_mul(&self.scale.reshape(shape.as_slice())?)?
            .broadcast_add(&self.shift.reshape(shape.as_slice())?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::vision::network::Padding;

    fn zeros(shape: &[usize]) -> Tensor {
        Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
    }

    fn convolve(x: &[usize], weight: &[usize], window: &Window, groups: usize) -> Result<Tensor> {
        Convolution::new(&zeros(weight), None, window, groups)?.forward(&zeros(x))
    }

    #[test]
    fn small_files_cannot_ask_for_much_memory() {
        let plain = Window::default();
        // One long row a channel is not made a square of its length.
        assert_eq!(
            convolve(&[1, 2, 1, 100_000], &[2, 1, 1, 99_999], &plain, 2).unwrap().dims(),
            [1, 2, 1, 2]
        );
        let apart = Window {
            dilations: [1 << 22; 2],
            padding: Padding::Explicit([0, 1 << 23, 0, 1 << 23]),
            ..Window::default()
        };
        assert!(convolve(&[1, 2, 1, 64], &[2, 1, 1, 3], &apart, 2).is_err());
        let uneven = Window {
            strides: [64, 32],
            ..Window::default()
        };
        assert!(convolve(&[1, 1, 2048, 2048], &[512, 1, 1, 1], &uneven, 1).is_err());
        let far = Window {
            dilations: [usize::MAX / 4; 2],
            ..Window::default()
        };
        assert!(convolve(&[1, 2, 8, 8], &[2, 1, 7, 7], &far, 2).is_err());
    }

    #[test]
    fn a_normalisation_takes_its_channels() {
        let c = |n: usize| zeros(&[n]);
        let affine = Affine::new([&c(3), &c(3), &c(3), &c(3)], 1e-5).unwrap();
        assert!(affine.forward(&zeros(&[2, 3])).is_ok() && affine.forward(&zeros(&[2, 1])).is_err());
    }
}
