//! `DAT`: attention by turns within windows of the picture and among its channels, each beside a convolution by channels that it weighs and is weighed by.

use candle_core::{DType, Tensor};

use super::{
    Network, Shape,
    frame::{Convs, EPS, Frame, numbered, widths},
    walk::{Between, walk},
};
use crate::{
    diffusion::{
        Result,
        ops::{
            Border, Conv2d, ConvConfig, Depthwise, LayerNorm, Linear, add, crop, gelu, pad, pixels_as_tokens, relu, scale_channels,
            sigmoid, tokens_as_pixels,
        },
        weights::Weights,
    },
    vision::{
        layers::{channel_means, conv, conv_norm, depthwise, depthwise_norm},
        windows::{Cut, channel_attention, too_many_biases, wide_attention},
    },
};

/// The longest side of a window.
const LONGEST: usize = 64;

/// Two products with a gate between: half of the channels, convolved, are what the other half is multiplied with.
#[derive(Debug)]
pub(super) struct Gated {
    widen: Linear,
    norm: LayerNorm,
    conv: Depthwise,
    narrow: Linear,
    half: usize,
}

impl Gated {
    pub(super) fn load(weights: &Weights, width: usize) -> Result<Self> {
        let inner = weights.require("fc1.weight")?.first().copied().unwrap_or_default();
        let (half, gate) = (inner / 2, weights.at("sg"));
        Ok(Self {
            widen: weights.at("fc1").linear(width, inner)?,
            norm: gate.at("norm").layer_norm(half, EPS)?,
            conv: depthwise(&gate.at("conv"))?,
            narrow: weights.at("fc2").linear(half, width)?,
            half,
        })
    }

    /// Added to `residual`, `[1, h * w, width]`.
    pub(super) fn forward_add(&self, x: &Tensor, residual: &Tensor, [h, w]: [usize; 2]) -> Result<Tensor> {
        let x = gelu(&self.widen.forward(x)?)?;
        let (kept, gate) = (x.narrow(2, 0, self.half)?, x.narrow(2, self.half, self.half)?.contiguous()?);
        let gate = self.conv.forward(&tokens_as_pixels(&self.norm.forward(&gate)?, h, w)?)?;
        Ok(self.narrow.forward_add(&(kept * pixels_as_tokens(&gate)?)?, residual)?)
    }
}

/// Two products of each pixel, the first with what training kept of batches.
#[derive(Debug)]
struct Squeeze([Conv2d; 2]);

impl Squeeze {
    /// The layers bear the numbers `first`, the one after it, and `first + 3`.
    fn load(weights: &Weights, first: usize) -> Result<Self> {
        let (one, norm) = (weights.at(first), weights.at(first + 1));
        Ok(Self([
            conv_norm(&one, &norm, EPS, ConvConfig::padded(0))?,
            conv(&weights.at(first + 3))?,
        ]))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [narrow, widen] = &self.0;
        Ok(sigmoid(&widen.forward(&gelu(&narrow.forward(x)?)?)?)?)
    }
}

/// What attention of either kind has beside it.
#[derive(Debug)]
struct Beside {
    conv: Depthwise,
    by_channel: Squeeze,
    by_place: Squeeze,
    out: Linear,
}

impl Beside {
    fn load(weights: &Weights, width: usize) -> Result<Self> {
        let conv = weights.at("dwconv");
        Ok(Self {
            conv: depthwise_norm(&conv.at(0), &conv.at(1), EPS)?,
            by_channel: Squeeze::load(&weights.at("channel_interaction"), 1)?,
            by_place: Squeeze::load(&weights.at("spatial_interaction"), 0)?,
            out: weights.at("proj").linear(width, width)?,
        })
    }

    /// A picture `[1, c, h, w]` weighed by what the whole of another says of each channel.
    fn weighed_by_channel(&self, x: &Tensor, by: &Tensor) -> Result<Tensor> {
        let (b, c, _, _) = by.dims4()?;
        let weight = self.by_channel.forward(&channel_means(by)?)?;
        Ok(scale_channels(x, &weight.contiguous()?.reshape((b, c))?)?)
    }

    /// The same by what it says of each place.
    fn weighed_by_place(&self, x: &Tensor, by: &Tensor) -> Result<Tensor> {
        Ok(x.broadcast_mul(&self.by_place.forward(by)?)?)
    }

    /// What was seen and what was convolved, pictures both, put together.
    fn together(&self, seen: &Tensor, convolved: &Tensor) -> Result<Tensor> {
        Ok(self.out.forward(&pixels_as_tokens(&add(seen, convolved)?)?)?)
    }

    /// What attention within windows gave, and the values that it was given, put together.
    fn with_windows(&self, [seen, values]: [Tensor; 2]) -> Result<Tensor> {
        let convolved = gelu(&self.conv.forward(&values)?)?;
        let weighed = self.weighed_by_channel(&seen.contiguous()?, &convolved)?;
        let convolved = self.weighed_by_place(&convolved, &seen.contiguous()?)?;
        self.together(&weighed, &convolved)
    }
}

/// Attention of half the channels within windows of one form.
#[derive(Debug)]
struct Half {
    /// `[heads, n, n]`
    bias: Tensor,
    heads: usize,
    sides: [usize; 2],
}

impl Half {
    fn load(weights: &Weights, sides: [usize; 2]) -> Result<Self> {
        let part = weights.at("pos");
        let width = part.require("pos_proj.weight")?.first().copied().unwrap_or_default();
        let heads = part.require("pos3.2.weight")?.first().copied().unwrap_or_default();
        let ([tall, broad], device) = (sides, weights.device());
        // A small network says what each distance is worth; there are few, so it is asked once.
        let (down, across) = (2 * tall - 1, 2 * broad - 1);
        let apart = |i: usize, side: usize| i as f32 + 1.0 - side as f32;
        let distances: Vec<f32> = (0..down * across)
            .flat_map(|i| [apart(i / across, tall), apart(i % across, broad)])
            .collect();
        let distances = Tensor::from_vec(distances, (1, down * across, 2), device)?.to_dtype(weights.dtype())?;
        let mut x = part.at("pos_proj").linear(2, width)?.forward(&distances)?;
        for (name, outputs) in [("pos1", width), ("pos2", width), ("pos3", heads)] {
            let layer = part.at(name);
            x = relu(&layer.at(0).layer_norm(width, EPS)?.forward(&x)?)?;
            x = layer.at(2).linear(width, outputs)?.forward(&x)?;
        }
        let pixels = tall * broad;
        if too_many_biases(heads, pixels, pixels) {
            return Err(weights.corrupt(format!(
                "`{}` is for windows of {tall}x{broad} pixels and {heads} heads",
                weights.path()
            )));
        }
        let places: Vec<u32> = (0..pixels * pixels)
            .map(|i| {
                let (a, b) = (i / pixels, i % pixels);
                let place = |a: usize, b: usize, side: usize| a + side - 1 - b;
                (place(a / broad, b / broad, tall) * across + place(a % broad, b % broad, broad)) as u32
            })
            .collect();
        let bias = x
            .squeeze(0)?
            .contiguous()?
            .index_select(&Tensor::from_vec(places, pixels * pixels, device)?, 0)?;
        Ok(Self {
            bias: bias.t()?.contiguous()?.reshape((heads, pixels, pixels))?,
            heads,
            sides,
        })
    }

    /// `qkv`, three of `[1, h * w, half]`, by the windows of `cut`.
    fn forward(&self, qkv: [Tensor; 3], cut: &Cut) -> Result<Tensor> {
        let device = qkv[0].device().clone();
        let [q, k, v] = [cut.windows(&qkv[0])?, cut.windows(&qkv[1])?, cut.windows(&qkv[2])?];
        let seen = wide_attention([&q, &k, &v], self.heads, &self.bias, |from, count| cut.mask(from, count, &device))?;
        cut.pixels(&seen)
    }
}

/// Attention within windows: half of the channels in tall ones, half in broad ones.
#[derive(Debug)]
pub(super) struct Windows {
    qkv: Linear,
    halves: [Half; 2],
    is_shifted: bool,
}

impl Windows {
    /// For block `number` of group `group`.
    pub(super) fn load(weights: &Weights, width: usize, group: usize, number: usize) -> Result<Self> {
        let halves = weights.at("attns");
        let sides = sides_of(&halves.at(0))?;
        let half = |number: usize, sides: [usize; 2]| -> Result<Half> {
            let half = Half::load(&halves.at(number), sides)?;
            if half.heads == 0 || !(width / 2).is_multiple_of(half.heads) {
                return Err(weights.corrupt(format!("`{}` has {} heads for {} channels", weights.path(), half.heads, width / 2)));
            }
            Ok(half)
        };
        Ok(Self {
            qkv: weights.at("qkv").linear(width, 3 * width)?,
            halves: [half(0, sides)?, half(1, [sides[1], sides[0]])?],
            is_shifted: if group.is_multiple_of(2) {
                number % 4 == 2
            } else {
                number.is_multiple_of(4)
            },
        })
    }

    /// Heads of both halves.
    pub(super) fn heads(&self) -> usize {
        2 * self.halves[0].heads
    }

    /// What pixels `[1, h * w, width]` see, and their values; pictures both.
    pub(super) fn forward(&self, x: &Tensor, [h, w]: [usize; 2]) -> Result<[Tensor; 2]> {
        let qkv = self.qkv.forward(x)?;
        let width = qkv.dim(2)? / 3;
        let values = tokens_as_pixels(&qkv.narrow(2, 2 * width, width)?.contiguous()?, h, w)?;
        // Zeros make the picture one that divides into windows; they are seen like others.
        let most = self.halves[0].sides[0].max(self.halves[0].sides[1]);
        let (tall, broad) = (h.next_multiple_of(most), w.next_multiple_of(most));
        let qkv = pad(&tokens_as_pixels(&qkv, h, w)?, [0, tall - h, 0, broad - w], Border::Zeros)?;
        let qkv = pixels_as_tokens(&qkv)?;
        let mut seen = Vec::new();
        for (number, half) in self.halves.iter().enumerate() {
            let part = |which: usize| qkv.narrow(2, which * width + number * (width / 2), width / 2)?.contiguous();
            let shifts = if self.is_shifted { half.sides.map(|side| side / 2) } else { [0, 0] };
            let cut = Cut::rectangles([tall, broad], half.sides, shifts, x.device())?;
            let one = half.forward([part(0)?, part(1)?, part(2)?], &cut)?;
            seen.push(crop(&tokens_as_pixels(&one, tall, broad)?, h, w)?);
        }
        Ok([Tensor::cat(&seen, 1)?, values])
    }
}

/// Height and width of the first half's windows: the last of the distances that the file keeps, plus one.
fn sides_of(weights: &Weights) -> Result<[usize; 2]> {
    const TABLE: &str = "rpe_biases";
    let shape = weights.require(TABLE)?;
    let wrong = || {
        weights.corrupt(format!(
            "`{}.{TABLE}` has shape {shape:?}, expected those of a window",
            weights.path()
        ))
    };
    let [rows, 2] = *shape.as_slice() else { return Err(wrong()) };
    let table = weights.read(TABLE)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
    let last = table.last().ok_or_else(wrong)?;
    let sides = [last[0], last[1]].map(|far| far as usize + 1);
    let fits = sides.iter().all(|side| (1..=LONGEST).contains(side)) && (2 * sides[0] - 1) * (2 * sides[1] - 1) == rows;
    if fits { Ok(sides) } else { Err(wrong()) }
}

/// Attention among channels: each sees the others by how alike they are over the whole picture.
#[derive(Debug)]
struct Channels {
    qkv: Linear,
    /// `[heads, 1, 1]`
    temperature: Tensor,
    beside: Beside,
}

impl Channels {
    fn load(weights: &Weights, width: usize) -> Result<Self> {
        let shape = weights.require("temperature")?;
        if !matches!(shape.as_slice(), [heads, 1, 1] if *heads > 0 && width.is_multiple_of(*heads)) {
            return Err(weights.corrupt(format!("`{}.temperature` has shape {shape:?}", weights.path())));
        }
        Ok(Self {
            qkv: weights.at("qkv").linear(width, 3 * width)?,
            temperature: weights.read("temperature")?,
            beside: Beside::load(weights, width)?,
        })
    }

    fn forward(&self, x: &Tensor, [h, w]: [usize; 2]) -> Result<Tensor> {
        let qkv = self.qkv.forward(x)?;
        let width = qkv.dim(2)? / 3;
        let values = tokens_as_pixels(&qkv.narrow(2, 2 * width, width)?.contiguous()?, h, w)?;
        let seen = channel_attention(&qkv, &self.temperature)?.reshape((1, width, h, w))?;
        let convolved = gelu(&self.beside.conv.forward(&values)?)?;
        let weighed = self.beside.weighed_by_place(&seen, &convolved)?;
        let convolved = self.beside.weighed_by_channel(&convolved, &seen)?;
        self.beside.together(&weighed, &convolved)
    }
}

#[derive(Debug)]
enum Attention {
    Windows(Windows, Beside),
    Channels(Channels),
}

#[derive(Debug)]
struct Block {
    norms: [LayerNorm; 2],
    attention: Attention,
    gated: Gated,
}

impl Block {
    /// Block `number` of group `group`.
    fn load(weights: &Weights, width: usize, group: usize, number: usize) -> Result<Self> {
        let attention = weights.at("attn");
        Ok(Self {
            norms: [
                weights.at("norm1").layer_norm(width, EPS)?,
                weights.at("norm2").layer_norm(width, EPS)?,
            ],
            attention: if number.is_multiple_of(2) {
                Attention::Windows(Windows::load(&attention, width, group, number)?, Beside::load(&attention, width)?)
            } else {
                Attention::Channels(Channels::load(&attention, width)?)
            },
            gated: Gated::load(&weights.at("ffn"), width)?,
        })
    }

    fn forward(&self, x: &Tensor, size: [usize; 2]) -> Result<Tensor> {
        let normed = self.norms[0].forward(x)?;
        let seen = match &self.attention {
            Attention::Windows(windows, beside) => beside.with_windows(windows.forward(&normed, size)?)?,
            Attention::Channels(channels) => channels.forward(&normed, size)?,
        };
        let x = add(x, &seen)?;
        self.gated.forward_add(&self.norms[1].forward(&x)?, &x, size)
    }
}

/// The network.
#[derive(Debug)]
pub(super) struct Dat {
    frame: Frame,
    groups: Vec<(Vec<Block>, Convs)>,
}

impl Dat {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let [_, width] = widths(weights)?;
        let mut groups = Vec::new();
        for (number, group) in numbered(&weights.at("layers"), "blocks.0.norm1.weight").iter().enumerate() {
            let blocks = numbered(&group.at("blocks"), "norm1.weight");
            let blocks = blocks.iter().enumerate().map(|(i, part)| Block::load(part, width, number, i));
            groups.push((blocks.collect::<Result<_>>()?, Convs::load(&group.at("conv"))?));
        }
        let frame = Frame::load(weights, "before_RG.1", 1, 1.0)?;
        Ok(Self { frame, groups })
    }
}

impl Network for Dat {
    fn shape(&self) -> Shape {
        self.frame.shape()
    }

    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor> {
        self.frame.forward(x, between, |pixels, size| {
            self.groups.iter().try_fold(pixels, |given, (blocks, convs)| {
                let x = walk(given.clone(), blocks, between, |x, block| block.forward(&x, size))?;
                convs.forward_add(&x, size, &given)
            })
        })
    }
}
