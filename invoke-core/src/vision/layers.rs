//! Layers as picture models have them, with what follows a convolution in training taken into its weights.

use candle_core::{D, DType, Tensor};

use crate::diffusion::{
    ModelError, Result,
    ops::{
        Border, Conv2d, ConvConfig, Depthwise, GroupNorm, PaddingMode, pad, pick, pixel_shuffle, pixels_as_tokens, relu, scale_channels,
        sigmoid, tokens_as_pixels,
    },
    weights::Weights,
};

/// Smallest length of a row that is brought to length 1.
const SHORTEST: f64 = 1e-12;

/// Rows and columns of pictures `[b, c, h, w]` whose sides have to be `least` at least.
pub(super) fn at_least(least: usize, x: &Tensor) -> Result<(usize, usize)> {
    let (_, _, h, w) = x.dims4()?;
    if h.min(w) < least {
        return Err(ModelError::Input(format!(
            "the picture is {w}x{h}, expected at least {least} pixels along each side"
        )));
    }
    Ok((h, w))
}

/// Rows and columns of pictures `[b, c, h, w]` whose sides have to be multiples of `side`.
pub(super) fn multiples_of(side: usize, x: &Tensor) -> Result<(usize, usize)> {
    let (_, _, h, w) = x.dims4()?;
    if h % side != 0 || w % side != 0 || h * w == 0 {
        return Err(ModelError::Input(format!("the picture is {w}x{h}, expected multiples of {side}")));
    }
    Ok((h, w))
}

/// A square convolution with an odd kernel that keeps the picture's size, its shape read from the file.
pub(super) fn conv(weights: &Weights) -> Result<Conv2d> {
    let kernel = side(weights)?;
    conv_with(weights, ConvConfig::padded(kernel / 2))
}

/// Every second place, nothing added at the edges.
pub(super) const HALVING: ConvConfig = ConvConfig {
    stride: 2,
    padding: [0; 4],
};

/// A convolution by channels that keeps the picture's size, its shape read from the file.
pub(super) fn depthwise(weights: &Weights) -> Result<Depthwise> {
    Ok(Depthwise::new(&weights.read("weight")?, bias(weights)?, 1)?)
}

/// A square convolution, its shape read from the file.
pub(super) fn conv_with(weights: &Weights, config: ConvConfig) -> Result<Conv2d> {
    side(weights)?;
    Ok(Conv2d::new(weights.read("weight")?, bias(weights)?, config)?)
}

/// A square convolution and the batch normalisation that follows it.
pub(super) fn conv_norm(weights: &Weights, norm: &Weights, eps: f64, config: ConvConfig) -> Result<Conv2d> {
    side(weights)?;
    let (weight, shift) = Norm::load(norm, eps)?.into_weights(weights, 0)?;
    Ok(Conv2d::new(weight, Some(shift), config)?)
}

/// A convolution by channels and the batch normalisation that follows it.
pub(super) fn depthwise_norm(weights: &Weights, norm: &Weights, eps: f64) -> Result<Depthwise> {
    let (weight, shift) = Norm::load(norm, eps)?.into_weights(weights, 0)?;
    Ok(Depthwise::new(&weight, Some(shift), 1)?)
}

/// The mean of each channel of pictures `[b, c, h, w]`: `[b, c, 1, 1]`.
pub(super) fn channel_means(x: &Tensor) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let mean = (pixels_as_tokens(x)?.sum_keepdim(1)? / (h * w) as f64)?;
    Ok(tokens_as_pixels(&mean, 1, 1)?)
}

/// Channels of a picture weighed by what their means say.
#[derive(Debug)]
pub(super) struct Squeeze([Conv2d; 2]);

impl Squeeze {
    /// From the two products of the means.
    pub(super) fn load(narrow: &Weights, widen: &Weights) -> Result<Self> {
        Ok(Self([conv(narrow)?, conv(widen)?]))
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let ([narrow, widen], (b, c, _, _)) = (&self.0, x.dims4()?);
        let weight = sigmoid(&widen.forward(&relu(&narrow.forward(&channel_means(x)?)?)?)?)?;
        Ok(scale_channels(x, &weight.contiguous()?.reshape((b, c))?)?)
    }
}

/// Exponentials along an axis that sum to 1.
pub(super) fn softmax(x: &Tensor, axis: usize) -> candle_core::Result<Tensor> {
    let powers = x.broadcast_sub(&x.max_keepdim(axis)?)?.exp()?;
    powers.broadcast_div(&powers.sum_keepdim(axis)?)
}

/// Rows, along the last axis, brought to length 1.
pub(super) fn unit(x: &Tensor) -> Result<Tensor> {
    let length = x.to_dtype(DType::F32)?.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.maximum(SHORTEST)?;
    Ok(x.broadcast_div(&length.to_dtype(x.dtype())?)?)
}

/// Side of a square kernel.
pub(super) fn side(weights: &Weights) -> Result<usize> {
    match weights.require("weight")?.as_slice() {
        [outputs, inputs, h, w] if h == w && *h * outputs * inputs > 0 => Ok(*h),
        other => Err(weights.corrupt(format!(
            "`{}.weight` has shape {other:?}, expected a square convolution",
            weights.path()
        ))),
    }
}

/// The bias, if there is one; its length is checked where it is used.
pub(super) fn bias(weights: &Weights) -> Result<Option<Tensor>> {
    Ok(if weights.has("bias") { Some(weights.read("bias")?) } else { None })
}

/// Batch normalisation by statistics that training kept: `scale * x + shift`, each `[channels]`, in single floats.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) scale: Tensor,
    pub(super) shift: Tensor,
}

impl Norm {
    pub(super) fn load(weights: &Weights, eps: f64) -> Result<Self> {
        let one = |name: &str| -> Result<Tensor> { Ok(weights.read(name)?.to_dtype(DType::F32)?) };
        let variance = one("running_var")?;
        let (mut scale, mut shift) = ((variance + eps)?.sqrt()?.recip()?, one("running_mean")?.neg()?);
        if weights.has("weight") {
            scale = (scale * one("weight")?)?;
        }
        shift = (shift * &scale)?;
        if weights.has("bias") {
            shift = (shift + one("bias")?)?;
        }
        Ok(Self { scale, shift })
    }

    /// The weights of a convolution that this follows and its new bias; the convolution's outputs lie along `axis`.
    pub(super) fn into_weights(self, weights: &Weights, axis: usize) -> Result<(Tensor, Tensor)> {
        let weight = weights.read("weight")?.to_dtype(DType::F32)?;
        let mut shape = vec![1; weight.rank()];
        shape[axis] = self.scale.elem_count();
        let scaled = weight.broadcast_mul(&self.scale.reshape(shape)?)?;
        let shift = match bias(weights)? {
            Some(bias) => (bias.to_dtype(DType::F32)? * &self.scale)?.add(&self.shift)?,
            None => self.shift,
        };
        Ok((scaled.to_dtype(weights.dtype())?, shift.to_dtype(weights.dtype())?))
    }
}

/// Each channel of each picture normalised by its own mean and variance.
pub(super) fn instance_norm(weights: &Weights, channels: usize) -> Result<GroupNorm> {
    let ones = Tensor::ones(channels, weights.dtype(), weights.device())?;
    Ok(GroupNorm::new(channels, ones.clone(), ones.zeros_like()?, 1e-5)?)
}

/// A transposed convolution that enlarges, computed as a convolution whose channels become pixels.
#[derive(Debug)]
pub(super) struct Enlarging {
    conv: Conv2d,
    times: usize,
}

impl Enlarging {
    /// Stride 2 with a kernel of 3 (padding 1, one more row and column below and to the right) or 4 (padding 1), then batch normalisation if
    /// there is one. `weight [in, out, k, k]`.
    pub(super) fn doubling(weights: &Weights, norm: Option<(&Weights, f64)>) -> Result<Self> {
        let kernel = side(weights)?;
        if kernel != 3 && kernel != 4 {
            return Err(weights.corrupt(format!("`{}` has a kernel of {kernel}, expected 3 or 4", weights.path())));
        }
        let (weight, bias) = Self::parts(weights, norm)?;
        let (inputs, outputs, _, _) = weight.dims4()?;
        // For an output in each place of a pixel (down, across), by which of the three rows of inputs which row of the kernel is multiplied.
        let taps: [&[(usize, usize)]; 2] = if kernel == 3 {
            [&[(1, 1)], &[(1, 2), (2, 0)]]
        } else {
            [&[(0, 3), (1, 1)], &[(1, 2), (2, 0)]]
        };
        let zero = weight.narrow(2, 0, 1)?.narrow(3, 0, 1)?.zeros_like()?;
        let mut places = Vec::new();
        for down in taps {
            for across in taps {
                let mut rows = Vec::new();
                for y in 0..3 {
                    let mut row = Vec::new();
                    for x in 0..3 {
                        let find = |list: &[(usize, usize)], at: usize| list.iter().find(|(place, _)| *place == at).map(|(_, k)| *k);
                        row.push(match (find(down, y), find(across, x)) {
                            (Some(ky), Some(kx)) => weight.narrow(2, ky, 1)?.narrow(3, kx, 1)?,
                            _ => zero.clone(),
                        });
                    }
                    rows.push(Tensor::cat(&row, 3)?);
                }
                places.push(Tensor::cat(&rows, 2)?);
            }
        }
        // [in, out, 4, 3, 3] to [out * 4, in, 3, 3]
        let kernel = Tensor::stack(&places, 2)?.permute(vec![1, 2, 0, 3, 4])?.contiguous()?;
        let kernel = kernel.reshape((outputs * 4, inputs, 3, 3))?;
        Self::from_kernel(kernel, bias, ConvConfig::padded(1), 2)
    }

    /// A stride as large as the kernel: every pixel becomes a square. `weight [in, out, k, k]`.
    pub(super) fn squares(weights: &Weights) -> Result<Self> {
        let times = side(weights)?;
        let (weight, bias) = Self::parts(weights, None)?;
        let (inputs, outputs, _, _) = weight.dims4()?;
        let kernel = weight.reshape((inputs, outputs * times * times))?.t()?.contiguous()?;
        let kernel = kernel.reshape((outputs * times * times, inputs, 1, 1))?;
        Self::from_kernel(kernel, bias, ConvConfig::padded(0), times)
    }

    fn parts(weights: &Weights, norm: Option<(&Weights, f64)>) -> Result<(Tensor, Option<Tensor>)> {
        Ok(match norm {
            Some((norm, eps)) => {
                let (weight, shift) = Norm::load(norm, eps)?.into_weights(weights, 1)?;
                (weight, Some(shift))
            }
            None => (weights.read("weight")?, bias(weights)?),
        })
    }

    fn from_kernel(kernel: Tensor, bias: Option<Tensor>, config: ConvConfig, times: usize) -> Result<Self> {
        let squares = times * times;
        let bias = bias.map(|bias| {
            let n = bias.elem_count();
            bias.reshape((n, 1))?.broadcast_as((n, squares))?.contiguous()?.flatten_all()
        });
        Ok(Self {
            conv: Conv2d::new(kernel, bias.transpose()?, config)?,
            times,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(pixel_shuffle(&self.conv.forward(x)?, self.times)?)
    }
}

/// A convolution of 3×3 pixels that lie apart, keeping the picture's size: nine products of shifted pictures.
#[derive(Debug)]
pub(super) struct Dilated {
    taps: Vec<Conv2d>,
    step: usize,
}

impl Dilated {
    /// `weight [out, in, 3, 3]`; what it takes together lies `step` pixels apart.
    pub(super) fn new(weight: &Tensor, bias: Option<Tensor>, step: usize) -> Result<Self> {
        let mut bias = bias;
        let mut taps = Vec::new();
        for tap in 0..9 {
            let one = weight.narrow(2, tap / 3, 1)?.narrow(3, tap % 3, 1)?.contiguous()?;
            taps.push(Conv2d::new(one, bias.take(), ConvConfig::padded(0))?);
        }
        Ok(Self { taps, step })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let padded = pad(x, [self.step; 4], Border::Zeros)?;
        let mut sum: Option<Tensor> = None;
        for (tap, conv) in self.taps.iter().enumerate() {
            let places = |from: usize, n: usize| (from..from + n).collect::<Vec<_>>();
            let shifted = pick(&padded, &places(tap / 3 * self.step, h), &places(tap % 3 * self.step, w))?;
            sum = Some(conv.forward_with(&shifted, [PaddingMode::Zeros; 2], sum.as_ref())?);
        }
        sum.ok_or_else(|| candle_core::Error::Msg("nine taps make a sum".into()).into())
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use candle_core::Device;

    use super::*;
    use crate::diffusion::{
        ModelError,
        weights::{Source, TensorInfo},
    };

    #[derive(Debug)]
    struct Given(HashMap<&'static str, Tensor>);

    impl Source for Given {
        fn label(&self) -> String {
            "given".into()
        }
        fn names(&self) -> Vec<String> {
            self.0.keys().map(|name| (*name).to_owned()).collect()
        }
        fn info(&self, name: &str) -> Option<TensorInfo> {
            self.0.get(name).map(|t| TensorInfo {
                shape: t.dims().to_vec(),
                dtype: t.dtype(),
            })
        }
        fn read(&self, name: &str) -> Result<Tensor, ModelError> {
            Ok(self.0[name].clone())
        }
    }

    fn given(tensors: &[(&'static str, Tensor)]) -> Weights {
        Weights::new(Arc::new(Given(tensors.iter().cloned().collect())), DType::F32, &Device::Cpu)
    }

    fn noise(shape: &[usize]) -> Tensor {
        let n: usize = shape.iter().product();
        let values = (0..n).map(|i| ((i * 7919 + n) % 1013) as f32 / 506.0 - 1.0).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn close(a: &Tensor, b: &Tensor) {
        assert_eq!(a.dims(), b.dims());
        let worst = (a - b)
            .unwrap()
            .abs()
            .unwrap()
            .flatten_all()
            .unwrap()
            .max(0)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        assert!(worst < 1e-4, "{worst}");
    }

    #[test]
    fn transposed_convolutions_agree_with_candle() {
        let x = noise(&[1, 5, 6, 4]);
        for (kernel, more) in [(3, 1), (4, 0)] {
            let (weight, bias) = (noise(&[5, 3, kernel, kernel]), noise(&[3]));
            let want = x.conv_transpose2d(&weight, 1, more, 2, 1).unwrap();
            let want = want.broadcast_add(&bias.reshape((1, 3, 1, 1)).unwrap()).unwrap();
            let layer = Enlarging::doubling(&given(&[("weight", weight), ("bias", bias)]), None).unwrap();
            close(&layer.forward(&x).unwrap(), &want);
        }
        let weight = noise(&[5, 3, 4, 4]);
        let want = x.conv_transpose2d(&weight, 0, 0, 4, 1).unwrap();
        close(
            &Enlarging::squares(&given(&[("weight", weight)])).unwrap().forward(&x).unwrap(),
            &want,
        );
    }

    #[test]
    fn pixels_apart_are_taken_together() {
        let (x, weight, bias) = (noise(&[1, 5, 9, 8]), noise(&[4, 5, 3, 3]), noise(&[4]));
        let want = x.conv2d(&weight, 5, 1, 5, 1).unwrap();
        let want = want.broadcast_add(&bias.reshape((1, 4, 1, 1)).unwrap()).unwrap();
        close(&Dilated::new(&weight, Some(bias), 5).unwrap().forward(&x).unwrap(), &want);
    }

    #[test]
    fn normalisation_is_taken_into_the_weights() {
        let (x, weight, bias) = (noise(&[1, 5, 6, 4]), noise(&[4, 5, 3, 3]), noise(&[4]));
        let (mean, variance) = (noise(&[4]), (noise(&[4]).sqr().unwrap() + 0.5).unwrap());
        let (gain, offset) = ((noise(&[4]) + 1.5).unwrap(), noise(&[4]));
        let column = |t: &Tensor| t.reshape((1, 4, 1, 1)).unwrap();
        let y = x.conv2d(&weight, 1, 1, 1, 1).unwrap().broadcast_add(&column(&bias)).unwrap();
        let y = y.broadcast_sub(&column(&mean)).unwrap();
        let y = y.broadcast_div(&column(&(&variance + 1e-5).unwrap().sqrt().unwrap())).unwrap();
        let want = y.broadcast_mul(&column(&gain)).unwrap().broadcast_add(&column(&offset)).unwrap();
        let conv = given(&[("weight", weight), ("bias", bias)]);
        let norm = given(&[
            ("running_mean", mean),
            ("running_var", variance),
            ("weight", gain),
            ("bias", offset),
        ]);
        let folded = conv_norm(&conv, &norm, 1e-5, ConvConfig::padded(1)).unwrap();
        close(&folded.forward(&x).unwrap(), &want);
    }
}
