//! Two-dimensional convolution.

use candle_core::{Result, Tensor};

/// What lies beyond an edge of the picture, for one axis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PaddingMode {
    /// Zeros.
    #[default]
    Zeros,
    /// The opposite edge, so that the picture tiles (InvokeAI's "seamless").
    Circular,
}

/// Geometry of a convolution. `padding` is `[top, bottom, left, right]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvConfig {
    /// Step between output pixels, the same for both axes.
    pub stride: usize,
    /// Pixels added at each edge: top, bottom, left, right.
    pub padding: [usize; 4],
}

impl ConvConfig {
    /// Stride 1 and the same padding on all sides.
    pub const fn padded(padding: usize) -> Self {
        Self {
            stride: 1,
            padding: [padding; 4],
        }
    }
}

/// A convolution layer that owns its weights.
#[derive(Debug, Clone)]
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    config: ConvConfig,
}

impl Conv2d {
    /// From torch's layout: `weight [out, in, kh, kw]`, `bias [out]`.
    pub fn new(weight: Tensor, bias: Option<Tensor>, config: ConvConfig) -> Result<Self> {
        weight.dims4()?;
        Ok(Self { weight, bias, config })
    }

    /// Number of output channels.
    pub fn out_channels(&self) -> usize {
        self.weight.dims()[0]
    }

    /// Convolve `x [b, in, h, w]` with zero padding.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_with(x, [PaddingMode::Zeros; 2], None)
    }

    /// Convolve with a padding mode for each axis (`[y, x]`), and add `residual` (the output's shape) in the same pass.
    pub fn forward_with(&self, x: &Tensor, mode: [PaddingMode; 2], residual: Option<&Tensor>) -> Result<Tensor> {
        let [top, bottom, left, right] = self.config.padding;
        let pad = |x: &Tensor, axis: usize, before: usize, after: usize, mode: PaddingMode| match mode {
            PaddingMode::Zeros => x.pad_with_zeros(axis, before, after),
            PaddingMode::Circular => {
                let n = x.dim(axis)?;
                Tensor::cat(&[&x.narrow(axis, n - before, before)?, x, &x.narrow(axis, 0, after)?], axis)
            }
        };
        let x = pad(x, 2, top, bottom, mode[0])?;
        let x = pad(&x, 3, left, right, mode[1])?;
        let mut y = x.conv2d(&self.weight, 0, self.config.stride, 1, 1)?;
        if let Some(bias) = &self.bias {
            y = y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?;
        }
        match residual {
            Some(r) => y + r,
            None => Ok(y),
        }
    }
}
