//! PiDiNet: edges by differences of pixels. The differences are linear, so each is a plain convolution whose kernel is made once.

use std::{path::Path, sync::Arc};

use candle_core::{D, DType, Device, Tensor};

use crate::{
    diffusion::{
        ModelError, Result,
        ops::{Align, Conv2d, ConvConfig, Depthwise, add, cat_channels, max_pool_2x2, relu, resize_bilinear, sigmoid},
        weights::{Source, Weights, open_weights},
    },
    vision::{
        layers::{Dilated, at_least, bias, conv},
        upscale::without_prefixes,
    },
};

/// How a convolution takes differences.
#[derive(Debug, Clone, Copy)]
enum Difference {
    /// To the pixel in the middle.
    Central,
    /// To the neighbour around the middle.
    Angular,
    /// Of an outer ring to an inner one.
    Radial,
    /// Not at all.
    None,
}

/// The layers' differences: these four over and over.
const KINDS: [Difference; 4] = [Difference::Central, Difference::Angular, Difference::Radial, Difference::None];
/// Blocks at each size; the first layer of all stands before them.
const BLOCKS: [usize; 4] = [3, 4, 4, 4];
/// Steps of the convolutions that look far.
const STEPS: [usize; 4] = [5, 7, 9, 11];

/// The plain kernel of a convolution of differences: `weight [out, in, 3, 3]`; of radial ones it is 5×5.
fn plain(weight: &Tensor, kind: Difference) -> Result<Tensor> {
    let (outputs, inputs, h, w) = weight.dims4()?;
    if (h, w) != (3, 3) {
        return Err(ModelError::Input(format!("a kernel of {h}x{w}, expected 3x3")));
    }
    let flat = weight.reshape((outputs, inputs, 9))?;
    let pick = |places: &[u32]| -> Result<Tensor> { Ok(flat.index_select(&Tensor::new(places, weight.device())?, 2)?) };
    Ok(match kind {
        Difference::None => weight.clone(),
        Difference::Central => {
            let sum = flat.sum_keepdim(D::Minus1)?;
            let zeros = Tensor::zeros((outputs, inputs, 4), weight.dtype(), weight.device())?;
            let middle = Tensor::cat(&[&zeros, &sum, &zeros], 2)?;
            (flat - middle)?.reshape((outputs, inputs, 3, 3))?
        }
        Difference::Angular => (&flat - pick(&[3, 0, 1, 6, 4, 2, 7, 8, 5])?)?.reshape((outputs, inputs, 3, 3))?,
        Difference::Radial => {
            // Eight weights on the outer ring, the same negative on the inner ring; -1 stands for nothing.
            const RINGS: [i8; 25] = [
                1, -1, 2, -1, 3, -1, 11, 12, 13, -1, 4, 14, -1, 15, 5, -1, 16, 17, 18, -1, 6, -1, 7, -1, 8,
            ];
            let nothing = Tensor::zeros((outputs, inputs, 1), weight.dtype(), weight.device())?;
            let parts: Vec<Tensor> = RINGS
                .iter()
                .map(|place| match place {
                    -1 => Ok(nothing.clone()),
                    inner @ 11.. => Ok(flat.narrow(2, *inner as usize - 10, 1)?.neg()?),
                    outer => Ok(flat.narrow(2, *outer as usize, 1)?),
                })
                .collect::<Result<_>>()?;
            Tensor::cat(&parts, 2)?.reshape((outputs, inputs, 5, 5))?
        }
    })
}

#[derive(Debug)]
struct Block {
    shortcut: Option<Conv2d>,
    differences: Depthwise,
    mix: Conv2d,
}

impl Block {
    fn load(weights: &Weights, kind: Difference) -> Result<Self> {
        let kernel = plain(&weights.read("conv1.weight")?, kind)?;
        Ok(Self {
            shortcut: weights.has("shortcut.weight").then(|| conv(&weights.at("shortcut"))).transpose()?,
            differences: Depthwise::new(&kernel, None, 1)?,
            mix: conv(&weights.at("conv2"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = if self.shortcut.is_some() { max_pool_2x2(x)? } else { x.clone() };
        let y = self.mix.forward(&relu(&self.differences.forward(&x)?)?)?;
        Ok(match &self.shortcut {
            Some(shortcut) => add(&y, &shortcut.forward(&x)?)?,
            None => add(&y, &x)?,
        })
    }
}

/// What one size says of edges.
#[derive(Debug)]
struct Side {
    narrow: Conv2d,
    far: Vec<Dilated>,
    attention: [Conv2d; 2],
    reduce: Conv2d,
}

impl Side {
    fn load(weights: &Weights, index: usize) -> Result<Self> {
        let (dilation, attention) = (weights.at("dilations").at(index), weights.at("attentions").at(index));
        let far = |(i, step): (usize, &usize)| {
            let part = dilation.at(format_args!("conv2_{}", i + 1));
            Dilated::new(&part.read("weight")?, bias(&part)?, *step)
        };
        Ok(Self {
            narrow: conv(&dilation.at("conv1"))?,
            far: STEPS.iter().enumerate().map(far).collect::<Result<_>>()?,
            attention: [conv(&attention.at("conv1"))?, conv(&attention.at("conv2"))?],
            reduce: conv(&weights.at("conv_reduces").at(index).at("conv"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.narrow.forward(&relu(x)?)?;
        let mut seen = self.far[0].forward(&x)?;
        for conv in &self.far[1..] {
            seen = add(&seen, &conv.forward(&x)?)?;
        }
        let [first, second] = &self.attention;
        let heed = sigmoid(&second.forward(&first.forward(&relu(&seen)?)?)?)?;
        Ok(self.reduce.forward(&seen.broadcast_mul(&heed)?)?)
    }
}

/// The network.
#[derive(Debug)]
pub struct PidiNet {
    first: Conv2d,
    sizes: Vec<(Vec<Block>, Side)>,
    classifier: Conv2d,
    dtype: DType,
    bytes: u64,
}

impl PidiNet {
    /// Opens a file of weights.
    pub fn open(path: &Path, dtype: DType, device: &Device) -> Result<Self> {
        Self::load(open_weights(path)?, dtype, device)
    }

    /// From weights.
    pub fn load(source: Arc<dyn Source>, dtype: DType, device: &Device) -> Result<Self> {
        let weights = Weights::new(without_prefixes(source), dtype, device);
        let first = plain(&weights.read("init_block.weight")?, KINDS[0])?;
        let mut layer = 1;
        let mut sizes = Vec::new();
        for (i, count) in BLOCKS.iter().enumerate() {
            let mut blocks = Vec::new();
            for k in 1..=*count {
                let part = weights.at(format_args!("block{}_{k}", i + 1));
                blocks.push(Block::load(&part, KINDS[layer % KINDS.len()])?);
                layer += 1;
            }
            sizes.push((blocks, Side::load(&weights, i)?));
        }
        Ok(Self {
            first: Conv2d::new(first, bias(&weights.at("init_block"))?, ConvConfig::padded(1))?,
            sizes,
            classifier: conv(&weights.at("classifier"))?,
            dtype,
            bytes: weights.bytes_loaded(),
        })
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How likely each pixel is an edge, in 0 to 1, for `x [1, 3, h, w]` of blue, green and red in 0 to 1.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (h, w) = at_least(8, x)?;
        let mut x = self.first.forward(&x.to_dtype(self.dtype)?)?;
        let mut all: Option<Tensor> = None;
        for (blocks, side) in &self.sizes {
            for block in blocks {
                x = block.forward(&x)?;
            }
            let guess = resize_bilinear(&side.forward(&x)?, h, w, Align::Edges)?;
            all = Some(match all {
                Some(all) => cat_channels(&all, &guess)?,
                None => guess,
            });
        }
        let all = all.ok_or_else(|| candle_core::Error::Msg("there are four sizes".into()))?;
        Ok(sigmoid(&self.classifier.forward(&all)?)?)
    }
}
