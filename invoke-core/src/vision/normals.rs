//! Normal BAE: the directions of surfaces, by an EfficientNet and a decoder that refines its guess at every size.

use std::{path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor};

use super::{
    layers::{Norm, conv, conv_norm, conv_with, depthwise_norm, multiples_of},
    upscale::without_prefixes,
};
use crate::diffusion::{
    Result,
    ops::{
        Align, Border, Conv2d, ConvConfig, Depthwise, Linear, add, cat_channels, leaky_relu, pad, pick, pixels_as_tokens, relu,
        resize_bilinear, scale_channels, sigmoid, silu, tokens_as_pixels,
    },
    weights::{Source, Weights, open_weights},
};

/// Of the encoder, as TensorFlow has it.
const ENCODER_EPS: f64 = 1e-3;
const DECODER_EPS: f64 = 1e-5;
/// Means and deviations of red, green and blue in 0 to 1 that the encoder was trained with.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];
/// Which of the encoder's stages halve the picture. The layer before them does, too.
const HALVING: [bool; 7] = [false, true, true, true, false, true, false];
/// After which stages the decoder looks.
const SEEN: [usize; 4] = [0, 1, 2, 4];

/// How many pixels TensorFlow adds before and after `n` for a kernel and a stride of 2.
fn same(n: usize, kernel: usize) -> (usize, usize) {
    let all = ((n.div_ceil(2) - 1) * 2 + kernel).saturating_sub(n);
    (all / 2, all - all / 2)
}

/// Channels weighed by what all of the picture says.
#[derive(Debug)]
struct Squeeze([Conv2d; 2]);

impl Squeeze {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (b, c, h, w) = x.dims4()?;
        let [reduce, expand] = &self.0;
        let mean = (pixels_as_tokens(x)?.sum_keepdim(1)? / (h * w) as f64)?;
        let mean = tokens_as_pixels(&mean, 1, 1)?;
        let weight = sigmoid(&expand.forward(&silu(&reduce.forward(&mean)?)?)?)?;
        Ok(scale_channels(x, &weight.contiguous()?.reshape((b, c))?)?)
    }
}

#[derive(Debug)]
struct Block {
    widen: Option<Conv2d>,
    apart: Depthwise,
    kernel: usize,
    squeeze: Squeeze,
    narrow: Conv2d,
    halves: bool,
    residual: bool,
}

impl Block {
    fn load(weights: &Weights, halves: bool) -> Result<Self> {
        let bare = ConvConfig::padded(0);
        let normed = |conv: &str, norm: &str| conv_norm(&weights.at(conv), &weights.at(norm), ENCODER_EPS, bare);
        let widens = weights.has("conv_pwl.weight");
        let (widen, apart_norm, narrow) = if widens {
            (Some(normed("conv_pw", "bn1")?), "bn2", normed("conv_pwl", "bn3")?)
        } else {
            (None, "bn1", normed("conv_pw", "bn2")?)
        };
        let apart = weights.at("conv_dw");
        let inputs = if widens {
            weights.require("conv_pw.weight")?[1]
        } else {
            apart.require("weight")?[0]
        };
        let squeeze = weights.at("se");
        Ok(Self {
            widen,
            kernel: super::layers::side(&apart)?,
            apart: depthwise_norm(&apart, &weights.at(apart_norm), ENCODER_EPS)?,
            squeeze: Squeeze([conv(&squeeze.at("conv_reduce"))?, conv(&squeeze.at("conv_expand"))?]),
            residual: !halves && inputs == narrow.out_channels(),
            narrow,
            halves,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let wide = match &self.widen {
            Some(conv) => silu(&conv.forward(x)?)?,
            None => x.clone(),
        };
        let mut y = self.apart.forward(&wide)?;
        if self.halves {
            let (_, _, h, w) = y.dims4()?;
            let places = |n: usize| (self.kernel / 2 - same(n, self.kernel).0..n).step_by(2).collect::<Vec<_>>();
            y = pick(&y, &places(h), &places(w))?;
        }
        let y = self.narrow.forward(&self.squeeze.forward(&silu(&y)?)?)?;
        Ok(if self.residual { add(&y, x)? } else { y })
    }
}

/// Two convolutions over an enlarged picture joined with a finer one.
#[derive(Debug)]
struct Up([Conv2d; 2]);

impl Up {
    fn load(weights: &Weights) -> Result<Self> {
        let net = weights.at("_net");
        let one = |at: usize| conv_norm(&net.at(at), &net.at(at + 1), DECODER_EPS, ConvConfig::padded(1));
        Ok(Self([one(0)?, one(3)?]))
    }

    fn forward(&self, x: &Tensor, finer: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = finer.dims4()?;
        let mut x = cat_channels(&resize_bilinear(x, h, w, Align::Corners)?, finer)?;
        for conv in &self.0 {
            x = leaky_relu(&conv.forward(&x)?, 0.01)?;
        }
        Ok(x)
    }
}

/// Four products, one pixel at a time.
#[derive(Debug)]
struct Refine(Vec<Linear>);

impl Refine {
    fn load(weights: &Weights) -> Result<Self> {
        let one = |at: usize| -> Result<Linear> {
            let part = weights.at(at);
            match part.require("weight")?.as_slice() {
                [outputs, inputs, 1] => part.linear(*inputs, *outputs),
                other => Err(weights.corrupt(format!("`{}.weight` has shape {other:?}", part.path()))),
            }
        };
        Ok(Self([0, 2, 4, 6].into_iter().map(one).collect::<Result<_>>()?))
    }

    /// A finer guess from features and the guess so far, both at half the size of the result.
    fn forward(&self, features: &Tensor, guess: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = features.dims4()?;
        let (h, w) = (h * 2, w * 2);
        let double = |x: &Tensor| resize_bilinear(x, h, w, Align::Corners);
        let mut x = pixels_as_tokens(&cat_channels(&double(features)?, &double(guess)?)?)?;
        for (i, layer) in self.0.iter().enumerate() {
            if i > 0 {
                x = relu(&x)?;
            }
            x = layer.forward(&x)?;
        }
        unit(&tokens_as_pixels(&x, h, w)?)
    }
}

/// Directions brought to length 1, and how sure they are kept above 0.
fn unit(x: &Tensor) -> Result<Tensor> {
    let (direction, sure) = (x.narrow(1, 0, 3)?, x.narrow(1, 3, 1)?);
    let length = (direction.sqr()?.sum_keepdim(1)?.sqrt()? + 1e-10)?;
    let sure = (sure.elu(1.0)? + 1.01)?;
    Ok(Tensor::cat(&[&direction.broadcast_div(&length)?, &sure], 1)?)
}

/// The model.
#[derive(Debug)]
pub struct NormalMap {
    first: Conv2d,
    stages: Vec<Vec<Block>>,
    last: Conv2d,
    start: Conv2d,
    ups: Vec<Up>,
    guess: Conv2d,
    refine: Vec<Refine>,
    dtype: DType,
    bytes: u64,
}

/// What the sides of pictures must be multiples of.
pub const MULTIPLE: usize = 8;

impl NormalMap {
    /// Opens a file of weights.
    pub fn open(path: &Path, dtype: DType, device: &Device) -> Result<Self> {
        Self::load(open_weights(path)?, dtype, device)
    }

    /// From weights.
    pub fn load(source: Arc<dyn Source>, dtype: DType, device: &Device) -> Result<Self> {
        let weights = Weights::new(without_prefixes(source), dtype, device);
        let (encoder, decoder) = (weights.at("encoder.original_model"), weights.at("decoder"));
        let mut stages = Vec::new();
        for (stage, halves) in HALVING.iter().enumerate() {
            let part = encoder.at("blocks").at(stage);
            let mut blocks = Vec::new();
            while part.has(&format!("{}.conv_dw.weight", blocks.len())) {
                blocks.push(Block::load(&part.at(blocks.len()), *halves && blocks.is_empty())?);
            }
            stages.push(blocks);
        }
        let halving = ConvConfig {
            stride: 2,
            padding: [0; 4],
        };
        let (kernel, shift) = Norm::load(&encoder.at("bn1"), ENCODER_EPS)?.into_weights(&encoder.at("conv_stem"), 0)?;
        Ok(Self {
            first: Conv2d::new(kernel, Some(shift), halving)?,
            stages,
            last: conv_with(&encoder.at("conv_head"), ConvConfig::padded(0))?,
            start: conv(&decoder.at("conv2"))?,
            ups: (1..=4)
                .map(|n| Up::load(&decoder.at(format_args!("up{n}"))))
                .collect::<Result<_>>()?,
            guess: conv(&decoder.at("out_conv_res8"))?,
            refine: ["out_conv_res4", "out_conv_res2", "out_conv_res1"]
                .iter()
                .map(|name| Refine::load(&decoder.at(name)))
                .collect::<Result<_>>()?,
            dtype,
            bytes: weights.bytes_loaded(),
        })
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Directions of length 1 `[1, 3, h, w]` for a picture `[1, 3, h, w]` in 0 to 1 whose sides are multiples of [`MULTIPLE`].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (h, w) = multiples_of(MULTIPLE, x)?;
        let column = |values: &[f32; 3]| Tensor::from_slice(values, (1, 3, 1, 1), x.device());
        let x = x
            .to_dtype(DType::F32)?
            .broadcast_sub(&column(&MEAN)?)?
            .broadcast_div(&column(&DEVIATION)?)?;
        let ((top, bottom), (left, right)) = (same(h, 3), same(w, 3));
        let x = pad(&x.to_dtype(self.dtype)?, [top, bottom, left, right], Border::Zeros)?;
        let mut x = silu(&self.first.forward(&x)?)?;
        let mut seen = Vec::new();
        for (stage, blocks) in self.stages.iter().enumerate() {
            for block in blocks {
                x = block.forward(&x)?;
            }
            if SEEN.contains(&stage) {
                seen.push(x.clone());
            }
        }
        let mut features = vec![self.start.forward(&self.last.forward(&x)?)?];
        for (up, finer) in self.ups.iter().zip(seen.iter().rev()) {
            let next = up.forward(&features[features.len() - 1], finer)?;
            features.push(next);
        }
        let mut guess = unit(&self.guess.forward(&features[2])?)?;
        for (refine, features) in self.refine.iter().zip(&features[2..]) {
            guess = refine.forward(features, &guess)?;
        }
        Ok(guess.narrow(1, 0, 3)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_tensorflows() {
        assert_eq!([same(8, 3), same(9, 3), same(8, 5), same(9, 5)], [(0, 1), (1, 1), (1, 2), (2, 2)]);
    }
}
