//! Two-dimensional convolution.

use candle_core::{Result, Tensor};
use invoke_kernels::{Conv, ConvInput, Edges, Epilogue, Geometry, Weight};

use super::linear::{Pack, pack};
use super::{Held, add, cpu, upsample_nearest_2x};

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

/// What a convolution does in the same pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fused<'a> {
    /// Double the input first (nearest neighbour).
    pub doubled: bool,
    /// Added to every pixel of a picture: `[b or 1, out]`, such as a projected time embedding.
    pub per_picture: Option<&'a Tensor>,
    /// Added at the end: of the output's shape.
    pub residual: Option<&'a Tensor>,
}

/// A convolution layer that owns its weights.
#[derive(Debug, Clone)]
pub struct Conv2d {
    weights: Weights,
    config: ConvConfig,
    outputs: usize,
}

#[derive(Debug, Clone)]
enum Weights {
    /// On the CPU, packed; shared by clones of the layer.
    Packed(std::sync::Arc<Conv>),
    /// Everything else.
    Plain(Held, Option<Tensor>),
}

struct Shape {
    channels: usize,
    geometry: Geometry,
}

impl Pack for Shape {
    type Layer = Conv;
    fn pack<W: Weight>(self, weight: &[W], bias: Option<&[f32]>) -> Conv {
        Conv::new(weight, self.channels, self.geometry, bias)
    }
}

impl Conv2d {
    /// From torch's layout: `weight [out, in, kh, kw]`, `bias [out]`.
    pub fn new(weight: impl Into<Held>, bias: Option<Tensor>, config: ConvConfig) -> Result<Self> {
        let weight = weight.into();
        let (outputs, channels, height, width) = weight.tensor().dims4()?;
        if let Some(bias) = bias.as_ref().filter(|b| b.dims() != [outputs]) {
            candle_core::bail!("a bias of shape {:?} for {outputs} outputs", bias.dims());
        }
        if config.stride == 0 || weight.tensor().elem_count() == 0 {
            candle_core::bail!("a convolution of {:?} with stride {}", weight.tensor().dims(), config.stride);
        }
        let weights = match weight {
            Held::Here(weight) if cpu::suits_weights(&weight) => {
                let geometry = Geometry {
                    kernel: [height, width],
                    stride: config.stride,
                    padding: config.padding,
                };
                Weights::Packed(pack(&weight, bias, Shape { channels, geometry })?.into())
            }
            weight => Weights::Plain(weight, bias.map(cpu::single).transpose()?),
        };
        Ok(Self { weights, config, outputs })
    }

    /// Number of output channels.
    pub fn out_channels(&self) -> usize {
        self.outputs
    }

    /// Convolve `x [b, in, h, w]` with zero padding.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_fused(x, [PaddingMode::Zeros; 2], Fused::default())
    }

    /// Convolve with a padding mode for each axis (`[y, x]`), and add `residual` (the output's shape) in the same pass.
    pub fn forward_with(&self, x: &Tensor, mode: [PaddingMode; 2], residual: Option<&Tensor>) -> Result<Tensor> {
        self.forward_fused(
            x,
            mode,
            Fused {
                residual,
                ..Fused::default()
            },
        )
    }

    /// Convolve with a padding mode for each axis (`[y, x]`), and do more in the same pass.
    pub fn forward_fused(&self, x: &Tensor, mode: [PaddingMode; 2], fused: Fused<'_>) -> Result<Tensor> {
        match &self.weights {
            Weights::Packed(conv) => packed(conv, x, mode, fused),
            Weights::Plain(weight, bias) => plain(&weight.beside(x)?, bias.as_ref(), self.config, x, mode, fused),
        }
    }
}

fn packed(conv: &Conv, x: &Tensor, mode: [PaddingMode; 2], fused: Fused<'_>) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    if c != conv.channels() {
        candle_core::bail!("a convolution of {} channels got {:?}", conv.channels(), x.dims());
    }
    let scale = if fused.doubled { 2 } else { 1 };
    let [oh, ow] = conv.output_size([h * scale, w * scale]);
    let output = (b, conv.outputs(), oh, ow);
    let last = cpu::channels_last(x)?;
    let residual = match fused.residual {
        Some(r) if r.dims4()? != output => candle_core::bail!("a residual of shape {:?} for an output of {output:?}", r.dims()),
        Some(r) => Some(cpu::channels_last(r)?),
        None => None,
    };
    let per_picture = match fused.per_picture {
        Some(p) => Some(p.broadcast_as((b, conv.outputs()))?.contiguous()?),
        None => None,
    };
    let (residual, per_picture) = (
        residual.as_ref().map(cpu::floats).transpose()?,
        per_picture.as_ref().map(cpu::floats).transpose()?,
    );
    let epilogue = Epilogue {
        residual: residual.as_ref().map(cpu::Floats::slice).transpose()?,
        per_picture: per_picture.as_ref().map(cpu::Floats::slice).transpose()?,
    };
    let edges = mode.map(|mode| match mode {
        PaddingMode::Zeros => Edges::Zeros,
        PaddingMode::Circular => Edges::Wrap,
    });
    let pixels = cpu::floats(&last)?;
    let input = ConvInput {
        pixels: pixels.slice()?,
        batch: b,
        size: [h, w],
        doubled: fused.doubled,
        edges,
    };
    cpu::picture(conv.forward(input, epilogue), output)
}

fn plain(
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: ConvConfig,
    x: &Tensor,
    mode: [PaddingMode; 2],
    fused: Fused<'_>,
) -> Result<Tensor> {
    let x = if fused.doubled { upsample_nearest_2x(x)? } else { x.clone() };
    let [top, bottom, left, right] = config.padding;
    let pad = |x: &Tensor, axis: usize, before: usize, after: usize, mode: PaddingMode| match mode {
        PaddingMode::Zeros => x.pad_with_zeros(axis, before, after),
        PaddingMode::Circular => {
            let n = x.dim(axis)?;
            Tensor::cat(&[&x.narrow(axis, n - before, before)?, x, &x.narrow(axis, 0, after)?], axis)
        }
    };
    let x = pad(&x, 2, top, bottom, mode[0])?;
    let x = pad(&x, 3, left, right, mode[1])?;
    let mut y = x.conv2d(weight, 0, config.stride, 1, 1)?;
    if let Some(bias) = bias {
        y = y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?;
    }
    if let Some(terms) = fused.per_picture {
        y = y.broadcast_add(&terms.unsqueeze(2)?.unsqueeze(3)?)?;
    }
    match fused.residual {
        Some(r) => add(&y, r),
        None => Ok(y),
    }
}

#[cfg(test)]
mod tests {
    use super::super::twin::{close, noise, pictures};
    use super::*;

    #[test]
    fn kernels_agree_with_candle() -> Result<()> {
        let cases = [
            (1, ConvConfig::padded(0)),
            (3, ConvConfig::padded(1)),
            (
                3,
                ConvConfig {
                    stride: 2,
                    padding: [0, 1, 0, 1],
                },
            ),
            (
                3,
                ConvConfig {
                    stride: 2,
                    padding: [1; 4],
                },
            ),
        ];
        for (kernel, config) in cases {
            let (w, b) = (noise(&[20, 12, kernel, kernel])?, noise(&[20])?);
            let conv = Conv2d::new(w.clone(), Some(b.clone()), config)?;
            assert_eq!(conv.out_channels(), 20);
            for x in pictures(2, 12, 14, 11)? {
                for mode in [
                    [PaddingMode::Zeros; 2],
                    [PaddingMode::Circular; 2],
                    [PaddingMode::Zeros, PaddingMode::Circular],
                ] {
                    for doubled in [false, true] {
                        let fused = Fused {
                            doubled,
                            ..Fused::default()
                        };
                        let want = plain(&w, Some(&b), config, &x, mode, fused)?;
                        close(&conv.forward_fused(&x, mode, fused)?, &want, 1e-5)?;
                        let (per_picture, residual) = (noise(&[1, 20])?, noise(want.dims())?);
                        let fused = Fused {
                            doubled,
                            per_picture: Some(&per_picture),
                            residual: Some(&residual),
                        };
                        let want = plain(&w, Some(&b), config, &x, mode, fused)?;
                        close(&conv.forward_fused(&x, mode, fused)?, &want, 1e-5)?;
                    }
                }
            }
        }
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() -> Result<()> {
        let conv = Conv2d::new(noise(&[4, 8, 3, 3])?, None, ConvConfig::padded(1))?;
        assert!(conv.forward(&noise(&[1, 9, 5, 5])?).is_err());
        assert!(
            conv.forward_with(&noise(&[1, 8, 5, 5])?, [PaddingMode::Zeros; 2], Some(&noise(&[1, 4, 5, 6])?))
                .is_err()
        );
        assert!(Conv2d::new(noise(&[4, 8, 3, 3])?, Some(noise(&[5])?), ConvConfig::padded(1)).is_err());
        Ok(())
    }
}
