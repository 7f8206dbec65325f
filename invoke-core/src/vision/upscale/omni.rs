//! `OmniSR`: attention by turns among pixels and among channels, first within windows, then within windows that are spread over the whole picture.

use candle_core::Tensor;

use super::{
    Network, Shape,
    compact::scale_of,
    frame::{EPS, Side, numbered},
    walk::{Between, walk},
};
use crate::{
    diffusion::{
        Result,
        ops::{
            Align, Border, Conv2d, Depthwise, LayerNorm, Linear, PaddingMode, Pool, add, crop, gelu, pad, pixel_shuffle, pixels_as_tokens,
            pool, resize_bilinear, scale_channels, sigmoid, silu, tokens_as_pixels,
        },
        weights::Weights,
    },
    vision::{
        layers::{HALVING, at_least, channel_means, conv, conv_with, depthwise},
        windows::{Cut, WindowAttention, channel_attention},
    },
};

/// Of the normalisations before all but attention among pixels.
const SMALL_EPS: f64 = 1e-6;
/// Heads of every attention.
const HEADS: usize = 4;
/// Side of the windows where no table of distances tells of it.
const USUAL_SIDE: usize = 8;
/// Smallest side of a picture: a pool of [`POOL`] pixels behind a convolution of three with stride 2 fits on it.
const LEAST: usize = 2 * POOL + 1;
/// Pixels along a side of each group's pool, and how many lie between two.
const POOL: usize = 7;
const POOL_STRIDE: usize = 3;

/// What begins a block: a convolution by channels between two products, its channels weighed by their means.
#[derive(Debug)]
struct Mixer {
    products: [Conv2d; 2],
    between: Depthwise,
    squeeze: [Linear; 2],
}

impl Mixer {
    fn load(weights: &Weights, width: usize) -> Result<Self> {
        let gate = weights.at("4.gate");
        let inner = gate.require("1.weight")?.first().copied().unwrap_or_default();
        Ok(Self {
            products: [conv(&weights.at(0))?, conv(&weights.at(5))?],
            between: depthwise(&weights.at(2))?,
            squeeze: [gate.at(1).linear(width, inner)?, gate.at(3).linear(inner, width)?],
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let ([first, last], [narrow, widen]) = (&self.products, &self.squeeze);
        let y = gelu(&self.between.forward(&gelu(&first.forward(x)?)?)?)?;
        let means = pixels_as_tokens(&channel_means(&y)?)?;
        let weight = sigmoid(&widen.forward(&silu(&narrow.forward(&means)?)?)?)?;
        let y = scale_channels(&y, &weight.squeeze(0)?)?;
        Ok(last.forward_with(&y, [PaddingMode::Zeros; 2], Some(x))?)
    }
}

/// Two products and, between them, a convolution by channels, half of whose channels are what the other half is multiplied with.
#[derive(Debug)]
struct Gated {
    norm: LayerNorm,
    products: [Conv2d; 2],
    between: Depthwise,
}

impl Gated {
    fn load(weights: &Weights, width: usize) -> Result<Self> {
        let inner = weights.at("fn");
        Ok(Self {
            norm: weights.at("norm").layer_norm(width, SMALL_EPS)?,
            products: [conv(&inner.at("project_in"))?, conv(&inner.at("project_out"))?],
            between: depthwise(&inner.at("dwconv"))?,
        })
    }

    /// Pixels `[1, h * w, width]` with what it makes of them added.
    fn forward(&self, x: &Tensor, [h, w]: [usize; 2]) -> Result<Tensor> {
        let [widen, narrow] = &self.products;
        let y = widen.forward(&tokens_as_pixels(&self.norm.forward(x)?, h, w)?)?;
        let y = pixels_as_tokens(&self.between.forward(&y)?)?;
        let half = y.dim(2)? / 2;
        let (gate, kept) = (y.narrow(2, 0, half)?.contiguous()?, y.narrow(2, half, half)?);
        let y = narrow.forward(&tokens_as_pixels(&(gelu(&gate)? * kept)?, h, w)?)?;
        Ok(add(x, &pixels_as_tokens(&y)?)?)
    }
}

/// Attention among the channels of each window.
#[derive(Debug)]
struct Channels {
    qkv: Conv2d,
    between: Depthwise,
    /// `[heads, 1, 1]`
    temperature: Tensor,
    out: Conv2d,
}

impl Channels {
    fn load(weights: &Weights) -> Result<Self> {
        Ok(Self {
            qkv: conv(&weights.at("qkv"))?,
            between: depthwise(&weights.at("qkv_dwconv"))?,
            temperature: weights.get("temperature", &[HEADS, 1, 1])?,
            out: conv(&weights.at("project_out"))?,
        })
    }

    fn forward(&self, x: &Tensor, [h, w]: [usize; 2], cut: &Cut) -> Result<Tensor> {
        let qkv = self.between.forward(&self.qkv.forward(&tokens_as_pixels(x, h, w)?)?)?;
        let seen = channel_attention(&cut.windows(&pixels_as_tokens(&qkv)?)?, &self.temperature)?;
        let seen = cut.pixels(&seen.transpose(1, 2)?.contiguous()?)?;
        Ok(pixels_as_tokens(&self.out.forward(&tokens_as_pixels(&seen, h, w)?)?)?)
    }
}

#[derive(Debug)]
enum Attention {
    Pixels(WindowAttention),
    Channels(Channels),
}

impl Attention {
    fn of_pixels(weights: &Weights, width: usize, window: &mut Side) -> Result<Self> {
        const TABLE: &str = "rel_pos_bias.weight";
        let qkv = weights.at("to_qkv").linear(width, 3 * width)?;
        let out = weights.at("to_out.0").linear(width, width)?;
        Ok(Self::Pixels(if weights.has(TABLE) {
            let (attention, side) = WindowAttention::new(weights, TABLE, width, qkv, out)?;
            window.note(side, weights)?;
            attention
        } else {
            window.note(USUAL_SIDE, weights)?;
            WindowAttention::without_distances(qkv, out, HEADS, USUAL_SIDE, weights)?
        }))
    }
}

/// Attention, and what follows each.
#[derive(Debug)]
struct Step {
    norm: LayerNorm,
    attention: Attention,
    gated: Gated,
}

impl Step {
    /// Pixels `[1, h * w, width]` after it.
    fn forward(&self, x: &Tensor, size: [usize; 2], cut: &Cut) -> Result<Tensor> {
        let normed = self.norm.forward(x)?;
        let seen = match &self.attention {
            Attention::Pixels(attention) => attention.forward(&normed, cut)?,
            Attention::Channels(attention) => attention.forward(&normed, size, cut)?,
        };
        self.gated.forward(&add(x, &seen)?, size)
    }
}

#[derive(Debug)]
struct Block {
    mixer: Mixer,
    /// Among pixels and among channels of windows; the same of windows that are spread.
    steps: [Step; 4],
}

impl Block {
    fn load(weights: &Weights, width: usize, window: &mut Side) -> Result<Self> {
        let mut pixels = |number: usize| -> Result<Step> {
            let part = weights.at(number);
            Ok(Step {
                norm: part.at("norm").layer_norm(width, EPS)?,
                attention: Attention::of_pixels(&part.at("fn"), width, window)?,
                gated: Gated::load(&weights.at(number + 2), width)?,
            })
        };
        let channels = |number: usize| -> Result<Step> {
            let part = weights.at(number);
            Ok(Step {
                norm: part.at("norm").layer_norm(width, SMALL_EPS)?,
                attention: Attention::Channels(Channels::load(&part.at("fn"))?),
                gated: Gated::load(&weights.at(number + 1), width)?,
            })
        };
        Ok(Self {
            mixer: Mixer::load(&weights.at("0.fn"), width)?,
            steps: [pixels(2)?, channels(5)?, pixels(8)?, channels(11)?],
        })
    }

    /// `cuts` has windows for each of the steps.
    fn forward(&self, x: &Tensor, cuts: [&Cut; 4]) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let x = pixels_as_tokens(&self.mixer.forward(x)?)?;
        let x = self
            .steps
            .iter()
            .zip(cuts)
            .try_fold(x, |x, (step, cut)| step.forward(&x, [h, w], cut))?;
        Ok(tokens_as_pixels(&x, h, w)?)
    }
}

/// What ends a group: each pixel's channels weighed by what they are, and by what is around them.
#[derive(Debug)]
struct Weigh {
    narrow: Conv2d,
    own: Conv2d,
    halve: Conv2d,
    around: Conv2d,
    widen: Conv2d,
}

impl Weigh {
    fn load(weights: &Weights) -> Result<Self> {
        Ok(Self {
            narrow: conv(&weights.at("conv1"))?,
            own: conv(&weights.at("conv_f"))?,
            halve: conv_with(&weights.at("conv2"), HALVING)?,
            around: conv(&weights.at("conv3"))?,
            widen: conv(&weights.at("conv4"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let narrow = self.narrow.forward(x)?;
        let halved = self.halve.forward(&narrow)?;
        let (_, _, rows, columns) = halved.dims4()?;
        let windows = |n: usize| -> Vec<Vec<usize>> {
            let starts = (0..(n + 1).saturating_sub(POOL)).step_by(POOL_STRIDE);
            starts.map(|start| (start..start + POOL).collect()).collect()
        };
        let around = self.around.forward(&pool(&halved, &windows(rows), &windows(columns), Pool::Max)?)?;
        let around = resize_bilinear(&around, h, w, Align::Edges)?;
        let own = self.own.forward_with(&narrow, [PaddingMode::Zeros; 2], Some(&around))?;
        Ok((sigmoid(&self.widen.forward(&own)?)? * x)?)
    }
}

#[derive(Debug)]
struct Group {
    blocks: Vec<Block>,
    last: Conv2d,
    weigh: Weigh,
}

impl Group {
    fn load(weights: &Weights, width: usize, window: &mut Side) -> Result<Self> {
        let inner = weights.at("residual_layer");
        let blocks = numbered(&inner, "layer.0.fn.0.weight");
        Ok(Self {
            last: conv(&inner.at(blocks.len()))?,
            blocks: blocks
                .iter()
                .map(|part| Block::load(&part.at("layer"), width, window))
                .collect::<Result<_>>()?,
            weigh: Weigh::load(&weights.at("esa"))?,
        })
    }

    fn forward(&self, given: &Tensor, cuts: [&Cut; 4], between: Between<'_>) -> Result<Tensor> {
        let x = walk(given.clone(), &self.blocks, between, |x, block| block.forward(&x, cuts))?;
        self.weigh
            .forward(&self.last.forward_with(&x, [PaddingMode::Zeros; 2], Some(given))?)
    }
}

/// The network.
#[derive(Debug)]
pub(super) struct OmniSr {
    first: Conv2d,
    groups: Vec<Group>,
    after: Conv2d,
    last: Conv2d,
    window: usize,
    shape: Shape,
}

impl OmniSr {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let first = conv(&weights.at("input"))?;
        let channels = weights.require("input.weight")?[1];
        let width = first.out_channels();
        if !width.is_multiple_of(HEADS) {
            return Err(weights.corrupt(format!("it has {width} channels, which do not divide among {HEADS} heads")));
        }
        let mut window = Side::default();
        let groups = numbered(&weights.at("residual_layer"), "residual_layer.0.layer.0.fn.0.weight");
        let groups = groups.iter().map(|part| Group::load(part, width, &mut window));
        let groups = groups.collect::<Result<_>>()?;
        let last = conv(&weights.at("up.0"))?;
        let scale = scale_of(&last, channels, weights)?;
        Ok(Self {
            first,
            groups,
            after: conv(&weights.at("output"))?,
            last,
            window: window.known(weights)?,
            shape: Shape {
                scale,
                channels,
                minimum: 16,
                multiple: 1,
            },
        })
    }
}

impl Network for OmniSr {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor> {
        let (scale, side, (_, _, h, w)) = (self.shape.scale, self.window, x.dims4()?);
        let more = |n: usize| n.next_multiple_of(side) - n;
        let x = pad(x, [0, more(h), 0, more(w)], Border::Zeros)?;
        let (tall, broad) = at_least(LEAST, &x)?;
        let near = Cut::new(tall, broad, side, 0, x.device())?;
        let far = Cut::spread([tall, broad], [side; 2], x.device())?;
        // Channels see by windows of which the picture has as many as those others have pixels.
        let far_channels = Cut::spread([tall, broad], [tall / side, broad / side], x.device())?;
        let cuts = [&near, &near, &far, &far_channels];
        let first = self.first.forward(&x)?;
        let y = self
            .groups
            .iter()
            .try_fold(first.clone(), |x, group| group.forward(&x, cuts, between))?;
        between()?;
        let y = self.after.forward_with(&y, [PaddingMode::Zeros; 2], Some(&first))?;
        Ok(crop(&pixel_shuffle(&self.last.forward(&y)?, scale)?, h * scale, w * scale)?)
    }
}
