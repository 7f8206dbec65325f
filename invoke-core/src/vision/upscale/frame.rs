//! What SwinIR and the transformers after it have around their blocks: a convolution before, convolutions and the enlarging after.

use candle_core::{DType, Tensor};

use super::{
    Shape,
    walk::{Between, Turns, walk},
};
use crate::{
    diffusion::{
        Result,
        ops::{
            Border, Conv2d, Fused, LayerNorm, Linear, PaddingMode, add, crop, leaky_relu, pad, pixel_shuffle, pixels_as_tokens,
            resize_bicubic, scaled, tokens_as_pixels,
        },
        weights::Weights,
    },
    vision::layers::conv,
};

/// Of all normalisations.
pub(super) const EPS: f64 = 1e-5;
/// Means of red, green and blue that are taken away at the start and added at the end.
const MEAN: [f32; 3] = [0.4488, 0.4371, 0.404];
/// Most steps by which pictures are enlarged one after another.
const MOST_STEPS: usize = 5;

/// One convolution, three of which the middle ones are narrow, or none.
#[derive(Debug)]
pub(super) struct Convs(Vec<Conv2d>);

impl Convs {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        Ok(Self(if weights.has("weight") {
            vec![conv(weights)?]
        } else if weights.has("0.weight") {
            vec![conv(&weights.at(0))?, conv(&weights.at(2))?, conv(&weights.at(4))?]
        } else {
            Vec::new()
        }))
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for (i, conv) in self.0.iter().enumerate() {
            if i > 0 {
                x = leaky_relu(&x, 0.2)?;
            }
            x = conv.forward(&x)?;
        }
        Ok(x)
    }

    /// What a group made of pixels `x [1, h * w, c]`, added to what it was `given`.
    pub(super) fn forward_add(&self, x: &Tensor, [h, w]: [usize; 2], given: &Tensor) -> Result<Tensor> {
        Ok(add(&pixels_as_tokens(&self.forward(&tokens_as_pixels(x, h, w)?)?)?, given)?)
    }
}

/// What goes beside the features that become pixels (`Swin2SR` for compressed pictures): they are made a picture and come back from it, and the picture that
/// was given, enlarged, is added.
#[derive(Debug)]
struct Aux {
    narrow: Conv2d,
    widen: Conv2d,
    given: Conv2d,
}

/// How the picture is made larger at the end.
#[derive(Debug)]
enum Enlarge {
    /// A convolution, convolutions whose channels become pixels, a convolution.
    Shuffle {
        before: Conv2d,
        aux: Option<Aux>,
        steps: Vec<(Conv2d, usize)>,
        last: Conv2d,
    },
    /// One convolution whose channels become pixels.
    Direct(Conv2d, usize),
    /// A convolution, doublings each followed by a convolution, two convolutions.
    Nearest {
        before: Conv2d,
        steps: Vec<Conv2d>,
        high: Conv2d,
        last: Conv2d,
    },
    /// Not at all: a convolution whose result is added to the picture.
    None(Conv2d),
}

impl Enlarge {
    fn load(weights: &Weights, channels: usize) -> Result<Self> {
        let one = |name: &str| conv(&weights.at(name));
        if weights.has("conv_before_upsample.0.weight") {
            let before = one("conv_before_upsample.0")?;
            if weights.has("conv_up1.weight") {
                let names = (1..=4)
                    .map(|n| format!("conv_up{n}"))
                    .take_while(|name| weights.has(&format!("{name}.weight")));
                return Ok(Self::Nearest {
                    before,
                    steps: names.map(|name| one(&name)).collect::<Result<_>>()?,
                    high: one("conv_hr")?,
                    last: one("conv_last")?,
                });
            }
            let names = (0..MOST_STEPS)
                .map(|n| format!("upsample.{}", 2 * n))
                .take_while(|name| weights.has(&format!("{name}.weight")));
            let step = |name: String| -> Result<(Conv2d, usize)> {
                let shape = weights.require(&format!("{name}.weight"))?;
                let conv = one(&name)?;
                Ok((conv, (shape[0] / shape[1]).isqrt()))
            };
            let aux = || -> Result<Aux> {
                Ok(Aux {
                    narrow: one("conv_aux")?,
                    widen: one("conv_after_aux.0")?,
                    given: one("conv_bicubic")?,
                })
            };
            return Ok(Self::Shuffle {
                before,
                aux: weights.has("conv_bicubic.weight").then(aux).transpose()?,
                steps: names.map(step).collect::<Result<_>>()?,
                last: one("conv_last")?,
            });
        }
        if weights.has("upsample.0.weight") {
            let conv = one("upsample.0")?;
            let side = (conv.out_channels() / channels.max(1)).isqrt();
            return Ok(Self::Direct(conv, side));
        }
        Ok(Self::None(one("conv_last")?))
    }

    /// How many times as large the result is.
    fn scale(&self) -> usize {
        match self {
            Self::Shuffle { steps, .. } => steps.iter().map(|(_, side)| side).product(),
            Self::Direct(_, side) => *side,
            Self::Nearest { steps, .. } => 1 << steps.len(),
            Self::None(_) => 1,
        }
    }

    /// The result from features and the picture, which was `h` by `w` pixels large before it was made one that divides into windows.
    fn forward(&self, x: &Tensor, picture: &Tensor, [h, w]: [usize; 2], between: Between<'_>) -> Result<Tensor> {
        between()?;
        Ok(match self {
            Self::Shuffle { before, aux, steps, last } => {
                let mut x = leaky_relu(&before.forward(x)?, 0.01)?;
                if let Some(aux) = aux {
                    x = leaky_relu(&aux.widen.forward(&aux.narrow.forward(&x)?)?, 0.01)?;
                }
                x = walk(x, steps, between, |x, (conv, side)| Ok(pixel_shuffle(&conv.forward(&x)?, *side)?))?;
                if let Some(aux) = aux {
                    // All of the picture becomes as large as the result, what was added to it too: so the networks were trained.
                    let [tall, broad] = [h, w].map(|n| n * self.scale());
                    let given = aux.given.forward(&resize_bicubic(picture, tall, broad)?)?;
                    x = add(&crop(&x, tall, broad)?, &given)?;
                }
                between()?;
                last.forward(&x)?
            }
            Self::Direct(conv, side) => pixel_shuffle(&conv.forward(x)?, *side)?,
            Self::Nearest { before, steps, high, last } => {
                let doubled = Fused {
                    doubled: true,
                    ..Fused::default()
                };
                let x = leaky_relu(&before.forward(x)?, 0.01)?;
                let x = walk(x, steps, between, |x, conv| {
                    Ok(leaky_relu(&conv.forward_fused(&x, [PaddingMode::Zeros; 2], doubled)?, 0.2)?)
                })?;
                between()?;
                let x = leaky_relu(&high.forward(&x)?, 0.2)?;
                between()?;
                last.forward(&x)?
            }
            Self::None(last) => last.forward_with(x, [PaddingMode::Zeros; 2], Some(picture))?,
        })
    }
}

/// The picture's means as `[1, channels, 1, 1]`.
pub(super) fn means(weights: &Weights, channels: usize) -> Result<Tensor> {
    let values = if channels == 3 { MEAN.to_vec() } else { vec![0.0; channels] };
    let mean = Tensor::from_vec(values, (1, channels, 1, 1), weights.device())?;
    Ok(mean.to_dtype(weights.dtype())?)
}

/// Channels of the picture and of what the blocks see.
pub(super) fn widths(weights: &Weights) -> Result<[usize; 2]> {
    match weights.require("conv_first.weight")?.as_slice() {
        [width, channels, _, _] => Ok([*channels, *width]),
        other => Err(weights.corrupt(format!("`conv_first.weight` has shape {other:?}, expected a convolution"))),
    }
}

/// The parts of `weights` that are numbered from 0 on, as far as they have the tensor `name`.
pub(super) fn numbered(weights: &Weights, name: &str) -> Vec<Weights> {
    let mut parts = Vec::new();
    while weights.has(&format!("{}.{name}", parts.len())) {
        parts.push(weights.at(parts.len()));
    }
    parts
}

/// The one size of windows that all blocks of a network have.
#[derive(Debug, Default)]
pub(super) struct Side(Option<usize>);

impl Side {
    /// Takes note of a block's windows.
    pub(super) fn note(&mut self, side: usize, weights: &Weights) -> Result<()> {
        if *self.0.get_or_insert(side) == side {
            Ok(())
        } else {
            Err(weights.corrupt("its windows are of several sizes"))
        }
    }

    pub(super) fn known(&self, weights: &Weights) -> Result<usize> {
        self.0.ok_or_else(|| weights.corrupt("it has no windows"))
    }
}

/// What is around the blocks.
#[derive(Debug)]
pub(super) struct Frame {
    mean: Tensor,
    /// What pictures in 0 to 1 are multiplied with.
    range: f32,
    first: Conv2d,
    product_in: Option<Linear>,
    norm_in: Option<LayerNorm>,
    norm_out: LayerNorm,
    after: Convs,
    enlarge: Enlarge,
    /// What the blocks take sides in multiples of.
    multiple: usize,
    channels: usize,
}

impl Frame {
    /// For blocks behind the normalisation `norm_in`, if the file has it.
    pub(super) fn load(weights: &Weights, norm_in: &str, multiple: usize, range: f32) -> Result<Self> {
        if weights.has("absolute_pos_embed") {
            return Err(weights.corrupt("networks with absolute positions are not supported: they take pictures of one size"));
        }
        let [channels, width] = widths(weights)?;
        let (mean, norm_in) = (means(weights, channels)?, weights.at(norm_in));
        let product_in = weights.at("patch_embed.proj");
        Ok(Self {
            mean: if weights.has("no_norm") { mean.zeros_like()? } else { mean },
            range,
            first: conv(&weights.at("conv_first"))?,
            product_in: product_in.has("weight").then(|| product_in.linear(width, width)).transpose()?,
            norm_in: norm_in.has("weight").then(|| norm_in.layer_norm(width, EPS)).transpose()?,
            norm_out: weights.at("norm").layer_norm(width, EPS)?,
            after: Convs::load(&weights.at("conv_after_body"))?,
            enlarge: Enlarge::load(weights, channels)?,
            multiple,
            channels,
        })
    }

    pub(super) fn shape(&self) -> Shape {
        Shape {
            scale: self.enlarge.scale(),
            channels: self.channels,
            minimum: 16,
            multiple: 1,
        }
    }

    /// The result for a picture, by what `blocks` make of its pixels `[1, h * w, width]` and their height and width. They ask `between` themselves.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        between: Between<'_>,
        blocks: impl FnOnce(Tensor, [usize; 2]) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let more = |n: usize| n.next_multiple_of(self.multiple) - n;
        let picture = pad(&x.broadcast_sub(&self.mean)?, [0, more(h), 0, more(w)], Border::Reflect)?;
        let picture = scaled(&picture, self.range)?;
        let (_, _, tall, broad) = picture.dims4()?;
        let first = self.first.forward(&picture)?;
        let mut x = pixels_as_tokens(&first)?;
        if let Some(product) = &self.product_in {
            x = product.forward(&x)?;
        }
        if let Some(norm) = &self.norm_in {
            x = norm.forward(&x)?;
        }
        let x = self.norm_out.forward(&blocks(x, [tall, broad])?)?;
        let x = self.after.forward(&tokens_as_pixels(&x, tall, broad)?)?;
        let y = self
            .enlarge
            .forward(&add(&x, &first)?, &picture, [h, w], between)?
            .to_dtype(DType::F32)?;
        let y = scaled(&y, 1.0 / self.range)?.broadcast_add(&self.mean.to_dtype(DType::F32)?)?;
        let scale = self.enlarge.scale();
        Ok(crop(&y, h * scale, w * scale)?)
    }

    /// The same by groups of blocks that look within windows of a `side`, shifted by turns: each makes something of pixels.
    pub(super) fn forward_groups<G>(
        &self,
        x: &Tensor,
        side: usize,
        groups: &[G],
        group: impl Fn(&G, &Tensor, &Turns<'_>) -> Result<Tensor>,
        between: Between<'_>,
    ) -> Result<Tensor> {
        self.forward(x, between, |pixels, size| {
            let turns = Turns::new(size, side, pixels.device(), between)?;
            groups.iter().try_fold(pixels, |x, one| group(one, &x, &turns))
        })
    }
}
