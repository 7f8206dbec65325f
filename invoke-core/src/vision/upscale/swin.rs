//! `SwinIR`: residual groups of transformers that look within windows, every other of them shifted by half a window.

use candle_core::Tensor;

use super::{Network, Shape};
use crate::{
    diffusion::{
        Result,
        ops::{
            Border, Conv2d, Fused, LayerNorm, Linear, PaddingMode, add, crop, gelu, leaky_relu, pad, pixel_shuffle, pixels_as_tokens,
            scaled, tokens_as_pixels,
        },
        weights::Weights,
    },
    vision::{
        layers::conv,
        windows::{Cut, WindowAttention},
    },
};

const EPS: f64 = 1e-5;
/// Means of red, green and blue that are taken away at the start and added at the end.
const MEAN: [f32; 3] = [0.4488, 0.4371, 0.404];

/// Two products with an activation between.
#[derive(Debug)]
pub(super) struct Mlp {
    widen: Linear,
    narrow: Linear,
}

impl Mlp {
    pub(super) fn load(weights: &Weights, width: usize) -> Result<Self> {
        let inner = weights.require("fc1.weight")?.first().copied().unwrap_or_default();
        Ok(Self {
            widen: weights.at("fc1").linear(width, inner)?,
            narrow: weights.at("fc2").linear(inner, width)?,
        })
    }

    /// Added to `residual`.
    pub(super) fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        Ok(self.narrow.forward_add(&gelu(&self.widen.forward(x)?)?, residual)?)
    }
}

#[derive(Debug)]
struct Block {
    norms: [LayerNorm; 2],
    attention: WindowAttention,
    mlp: Mlp,
}

/// One convolution, or three of which the middle ones are narrow.
#[derive(Debug)]
pub(super) struct Convs(Vec<Conv2d>);

impl Convs {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        Ok(Self(if weights.has("weight") {
            vec![conv(weights)?]
        } else {
            vec![conv(&weights.at(0))?, conv(&weights.at(2))?, conv(&weights.at(4))?]
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
}

/// How the picture is made larger at the end.
#[derive(Debug)]
pub(super) enum Enlarge {
    /// A convolution, convolutions whose channels become pixels, a convolution.
    Shuffle {
        before: Conv2d,
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
    pub(super) fn load(weights: &Weights, channels: usize) -> Result<Self> {
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
            let names = (0..10)
                .step_by(2)
                .map(|n| format!("upsample.{n}"))
                .take_while(|name| weights.has(&format!("{name}.weight")));
            let step = |name: String| -> Result<(Conv2d, usize)> {
                let shape = weights.require(&format!("{name}.weight"))?;
                let side = (shape[0] / shape[1].max(1)).isqrt();
                Ok((one(&name)?, side))
            };
            return Ok(Self::Shuffle {
                before,
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
    pub(super) fn scale(&self) -> usize {
        match self {
            Self::Shuffle { steps, .. } => steps.iter().map(|(_, side)| side).product(),
            Self::Direct(_, side) => *side,
            Self::Nearest { steps, .. } => 1 << steps.len(),
            Self::None(_) => 1,
        }
    }

    /// The result from features and, for a network that does not enlarge, the picture.
    pub(super) fn forward(&self, x: &Tensor, picture: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Shuffle { before, steps, last } => {
                let mut x = leaky_relu(&before.forward(x)?, 0.01)?;
                for (conv, side) in steps {
                    x = pixel_shuffle(&conv.forward(&x)?, *side)?;
                }
                last.forward(&x)?
            }
            Self::Direct(conv, side) => pixel_shuffle(&conv.forward(x)?, *side)?,
            Self::Nearest { before, steps, high, last } => {
                let doubled = Fused {
                    doubled: true,
                    ..Fused::default()
                };
                let mut x = leaky_relu(&before.forward(x)?, 0.01)?;
                for conv in steps {
                    x = leaky_relu(&conv.forward_fused(&x, [PaddingMode::Zeros; 2], doubled)?, 0.2)?;
                }
                last.forward(&leaky_relu(&high.forward(&x)?, 0.2)?)?
            }
            Self::None(last) => last.forward_with(x, [PaddingMode::Zeros; 2], Some(picture))?,
        })
    }
}

/// The network.
#[derive(Debug)]
pub(super) struct SwinIr {
    mean: Tensor,
    /// What pictures in 0 to 1 are multiplied with.
    range: f32,
    first: Conv2d,
    norm_in: Option<LayerNorm>,
    groups: Vec<(Vec<Block>, Convs)>,
    norm_out: LayerNorm,
    after: Convs,
    enlarge: Enlarge,
    window: usize,
    shape: Shape,
}

/// Whether weights are of this architecture.
pub(super) fn matches(weights: &Weights) -> bool {
    let block = "layers.0.residual_group.blocks.0";
    ["norm1.weight", "mlp.fc1.bias", "attn.relative_position_bias_table"]
        .iter()
        .all(|name| weights.has(&format!("{block}.{name}")))
        && (weights.has("conv_first.weight") || weights.has("conv_first.1.weight"))
}

/// The picture's means as `[1, channels, 1, 1]`.
pub(super) fn means(weights: &Weights, channels: usize) -> Result<Tensor> {
    let values = if channels == 3 { MEAN.to_vec() } else { vec![0.0; channels] };
    let mean = Tensor::from_vec(values, (1, channels, 1, 1), weights.device())?;
    Ok(mean.to_dtype(weights.dtype())?)
}

impl SwinIr {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        if !weights.has("conv_first.weight") {
            return Err(weights.corrupt("SwinIR that begins with smaller pictures is not supported"));
        }
        if weights.has("absolute_pos_embed") {
            return Err(weights.corrupt("SwinIR with absolute positions is not supported: it takes pictures of one size"));
        }
        let first = conv(&weights.at("conv_first"))?;
        let channels = weights.require("conv_first.weight")?[1];
        let width = first.out_channels();
        let mut window = 0;
        let mut groups = Vec::new();
        while weights.has(&format!("layers.{}.residual_group.blocks.0.norm1.weight", groups.len())) {
            let group = weights.at("layers").at(groups.len());
            let mut blocks = Vec::new();
            while group.has(&format!("residual_group.blocks.{}.norm1.weight", blocks.len())) {
                let part = group.at("residual_group.blocks").at(blocks.len());
                let (attention, side) = WindowAttention::load(&part.at("attn"), width)?;
                if window != 0 && window != side {
                    return Err(weights.corrupt("its windows are of several sizes"));
                }
                window = side;
                blocks.push(Block {
                    norms: [part.at("norm1").layer_norm(width, EPS)?, part.at("norm2").layer_norm(width, EPS)?],
                    attention,
                    mlp: Mlp::load(&part.at("mlp"), width)?,
                });
            }
            groups.push((blocks, Convs::load(&group.at("conv"))?));
        }
        let enlarge = Enlarge::load(weights, channels)?;
        let norm_in = weights.at("patch_embed.norm");
        Ok(Self {
            mean: means(weights, channels)?,
            // The models against artefacts of JPEG alone have windows of 7, and were trained on bytes.
            range: if window == 7 { 255.0 } else { 1.0 },
            first,
            norm_in: norm_in.has("weight").then(|| norm_in.layer_norm(width, EPS)).transpose()?,
            groups,
            norm_out: weights.at("norm").layer_norm(width, EPS)?,
            after: Convs::load(&weights.at("conv_after_body"))?,
            shape: Shape {
                scale: enlarge.scale(),
                channels,
                minimum: 16,
                multiple: 1,
            },
            enlarge,
            window,
        })
    }
}

impl Network for SwinIr {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let more = |n: usize| n.next_multiple_of(self.window) - n;
        let x = pad(x, [0, more(h), 0, more(w)], Border::Reflect)?;
        let picture = scaled(&x.broadcast_sub(&self.mean)?, self.range)?;
        let (_, _, tall, broad) = picture.dims4()?;
        let cuts = [0, self.window / 2].map(|shift| Cut::new(tall, broad, self.window, shift, x.device()));
        let [plain, shifted] = cuts;
        let cuts = [plain?, shifted?];
        let first = self.first.forward(&picture)?;
        let mut x = pixels_as_tokens(&first)?;
        if let Some(norm) = &self.norm_in {
            x = norm.forward(&x)?;
        }
        for (blocks, convs) in &self.groups {
            let start = x.clone();
            for (i, block) in blocks.iter().enumerate() {
                let seen = block.attention.forward(&block.norms[0].forward(&x)?, &cuts[i % 2])?;
                x = add(&x, &seen)?;
                x = block.mlp.forward_add(&block.norms[1].forward(&x)?, &x)?;
            }
            let convolved = convs.forward(&tokens_as_pixels(&x, tall, broad)?)?;
            x = add(&pixels_as_tokens(&convolved)?, &start)?;
        }
        let x = tokens_as_pixels(&self.norm_out.forward(&x)?, tall, broad)?;
        let x = add(&self.after.forward(&x)?, &first)?;
        let y = scaled(&self.enlarge.forward(&x, &picture)?, 1.0 / self.range)?.broadcast_add(&self.mean)?;
        Ok(crop(&y, h * self.shape.scale, w * self.shape.scale)?)
    }
}
