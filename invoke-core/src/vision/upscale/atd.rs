//! `ATD`: transformers whose pixels see those in their window, a small dictionary that each layer hands on to the next, and those of the whole picture that
//! are most like the same entry of it.

use candle_core::{DType, Tensor};

use super::{
    Network, Shape,
    frame::{Convs, EPS, Frame, Side, numbered, widths},
    walk::{Between, Turns},
};
use crate::{
    diffusion::{
        Result,
        ops::{
            AttentionMask, Depthwise, LayerNorm, Linear, add, attention, crop, gelu, pick, pixels_as_tokens, scaled, sigmoid,
            tokens_as_pixels,
        },
        weights::Weights,
    },
    vision::{
        layers::{at_least, depthwise, softmax, unit},
        windows::{BIASES, Cut, WindowAttention},
    },
};

/// Pixels that are alike and see each other; the files do not say. Networks of this width that enlarge in one step have fewer.
const ALIKE: usize = 256;
const ALIKE_IF_LIGHT: usize = 128;
const LIGHT_WIDTH: usize = 48;
/// The most that likeness counts between pixels that are alike.
const MOST_FACTOR: f32 = 100.0;
/// Groups of pixels that are alike that are computed at a time: elsewhere than on the CPU, what each pixel sees is a number in memory.
const AT_A_TIME: usize = 64;

/// What pixels see in the dictionary.
#[derive(Debug)]
struct Lookup {
    qkv: [Linear; 3],
    /// How much likeness to an entry counts: `[1, 1, entries]`.
    factors: Tensor,
}

impl Lookup {
    fn load(weights: &Weights, width: usize, entries: usize) -> Result<Self> {
        let narrow = weights.require("wq.weight")?.first().copied().unwrap_or_default();
        let share = weights.get("scale", &[entries])?.clamp(0f32, 1f32)?;
        Ok(Self {
            qkv: [
                weights.at("wq").linear(width, narrow)?,
                weights.at("wk").linear(width, narrow)?,
                weights.at("wv").linear(width, width)?,
            ],
            factors: share.affine((entries as f64).ln(), 1.0)?.reshape((1, 1, entries))?,
        })
    }

    /// What pixels `x [1, n, width]` see of the entries `[1, m, width]`, and the share that each entry has in it: `[1, n, m]`.
    fn forward(&self, x: &Tensor, dictionary: &Tensor) -> Result<[Tensor; 2]> {
        let [q, k, v] = &self.qkv;
        let keys = unit(&k.forward(dictionary)?)?.transpose(1, 2)?.contiguous()?;
        let alike = unit(&q.forward(x)?)?.matmul(&keys)?.broadcast_mul(&self.factors)?;
        let shares = softmax(&alike.to_dtype(DType::F32)?, 2)?.to_dtype(x.dtype())?;
        Ok([shares.matmul(&v.forward(dictionary)?)?, shares])
    }
}

/// What pixels see of others that are most like the same entry.
#[derive(Debug)]
struct Alike {
    out: Linear,
    factor: f32,
    heads: usize,
    /// How many see each other.
    size: usize,
}

impl Alike {
    fn forward(&self, qkv: &Tensor, shares: &Tensor) -> Result<Tensor> {
        let (_, n, three) = qkv.dims3()?;
        let (width, size) = (three / 3, self.size.min(n));
        let entries: Vec<u32> = shares.argmax(2)?.flatten_all()?.to_vec1()?;
        let mut order: Vec<u32> = (0..n as u32).collect();
        order.sort_by_key(|pixel| entries[*pixel as usize]);
        let mut back = vec![0_u32; n];
        for (place, pixel) in order.iter().enumerate() {
            back[*pixel as usize] = place as u32;
        }
        // The last group is filled up with its last pixels, backwards.
        let groups = n.div_ceil(size);
        order.extend_from_within(2 * n - groups * size..);
        order[n..].reverse();
        let indices = |list: Vec<u32>| -> Result<Tensor> {
            let count = list.len();
            Ok(Tensor::from_vec(list, count, qkv.device())?)
        };
        let sorted = qkv
            .contiguous()?
            .index_select(&indices(order)?, 1)?
            .reshape((groups, size, three))?;
        // Attention divides by the root of a head's width; this one does not.
        let factor = self.factor * ((width / self.heads) as f32).sqrt();
        let mut seen = Vec::new();
        for from in (0..groups).step_by(AT_A_TIME) {
            let some = sorted.narrow(0, from, AT_A_TIME.min(groups - from))?;
            let part = |which: usize| some.narrow(2, which * width, width);
            let queries = scaled(&part(0)?, factor)?;
            seen.push(attention(&queries, &part(1)?, &part(2)?, self.heads, AttentionMask::None)?);
        }
        let seen = Tensor::cat(&seen, 0)?.reshape((1, groups * size, width))?;
        Ok(self.out.forward(&seen.index_select(&indices(back)?, 1)?)?)
    }
}

/// How the dictionary becomes that of the next layer.
#[derive(Debug)]
struct Refine {
    /// `[1, entries, 1]`, all three.
    weight: Tensor,
    bias: Tensor,
    kept: Tensor,
}

impl Refine {
    fn load(weights: &Weights, entries: usize) -> Result<Self> {
        let (column, norm) = ((1, entries, 1), weights.at("norm3"));
        Ok(Self {
            weight: norm.get("weight", &[entries])?.to_dtype(DType::F32)?.reshape(column)?,
            bias: norm.get("bias", &[entries])?.to_dtype(DType::F32)?.reshape(column)?,
            kept: sigmoid(&weights.get("sigma", &[entries, 1])?)?.reshape(column)?,
        })
    }

    /// From the shares that entries had in what pixels saw, and the pixels `x [1, n, width]` now.
    fn forward(&self, dictionary: &Tensor, shares: &Tensor, x: &Tensor) -> Result<Tensor> {
        let shares = shares.transpose(1, 2)?.contiguous()?.to_dtype(DType::F32)?;
        let centred = shares.broadcast_sub(&shares.mean_keepdim(2)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(2)? + EPS)?.sqrt()?;
        let normed = centred
            .broadcast_mul(&self.weight.broadcast_div(&deviation)?)?
            .broadcast_add(&self.bias)?;
        let new = softmax(&normed, 2)?.to_dtype(x.dtype())?.matmul(x)?;
        Ok((&new + (dictionary - &new)?.broadcast_mul(&self.kept)?)?)
    }
}

#[derive(Debug)]
struct Layer {
    norms: [LayerNorm; 2],
    window: WindowAttention,
    lookup: Lookup,
    alike: Alike,
    widen: Linear,
    between: Depthwise,
    narrow: Linear,
    /// The last layer of a group has none.
    refine: Option<Refine>,
}

impl Layer {
    fn load(weights: &Weights, [width, entries, size]: [usize; 3], window: &mut Side) -> Result<Self> {
        let (attention, alike) = (weights.at("attn_win"), weights.at("attn_aca"));
        let out = attention.at("proj").linear(width, width)?;
        let qkv = weights.at("wqkv").linear(width, 3 * width)?;
        let (attention, side) = WindowAttention::new(&attention, BIASES, width, qkv, out)?;
        window.note(side, weights)?;
        let factor = alike
            .get("logit_scale", &[1, 1])?
            .to_dtype(DType::F32)?
            .flatten_all()?
            .to_vec1::<f32>()?[0];
        let (convs, is_last) = (weights.at("convffn"), !weights.has("sigma"));
        let inner = convs.require("fc1.weight")?.first().copied().unwrap_or_default();
        Ok(Self {
            norms: [
                weights.at("norm1").layer_norm(width, EPS)?,
                weights.at("norm2").layer_norm(width, EPS)?,
            ],
            lookup: Lookup::load(&weights.at("attn_atd"), width, entries)?,
            alike: Alike {
                out: alike.at("proj").linear(width, width)?,
                factor: factor.exp().min(MOST_FACTOR),
                heads: attention.heads(),
                size,
            },
            window: attention,
            widen: convs.at("fc1").linear(width, inner)?,
            between: depthwise(&convs.at("dwconv.depthwise_conv.0"))?,
            narrow: convs.at("fc2").linear(inner, width)?,
            refine: if is_last { None } else { Some(Refine::load(weights, entries)?) },
        })
    }

    /// Pixels `[1, h * w, width]` and the dictionary after it.
    fn forward(&self, [x, dictionary]: [Tensor; 2], [h, w]: [usize; 2], cut: &Cut) -> Result<[Tensor; 2]> {
        let normed = self.norms[0].forward(&x)?;
        let qkv = self.window.products(&normed)?;
        let [looked_up, shares] = self.lookup.forward(&normed, &dictionary)?;
        let alike = self.alike.forward(&qkv, &shares)?;
        let x = add(&add(&x, &self.window.look(&qkv, cut)?)?, &add(&looked_up, &alike)?)?;
        let inner = gelu(&self.widen.forward(&self.norms[1].forward(&x)?)?)?;
        let convolved = gelu(&self.between.forward(&tokens_as_pixels(&inner, h, w)?)?)?;
        let x = self.narrow.forward_add(&add(&inner, &pixels_as_tokens(&convolved)?)?, &x)?;
        let dictionary = match &self.refine {
            Some(refine) => refine.forward(&dictionary, &shares, &x)?,
            None => dictionary,
        };
        Ok([x, dictionary])
    }
}

#[derive(Debug)]
struct Group {
    layers: Vec<Layer>,
    /// `[1, entries, width]`
    dictionary: Tensor,
    convs: Convs,
}

impl Group {
    fn load(weights: &Weights, width: usize, size: usize, window: &mut Side) -> Result<Self> {
        let inner = weights.at("residual_group");
        let entries = inner.require("td")?.first().copied().unwrap_or_default();
        if entries == 0 {
            return Err(inner.corrupt("`td` is empty, expected a dictionary of one entry or more"));
        }
        let layers = numbered(&inner.at("layers"), "norm1.weight");
        let layers = layers.iter().map(|part| Layer::load(part, [width, entries, size], window));
        Ok(Self {
            layers: layers.collect::<Result<_>>()?,
            dictionary: inner.get("td", &[entries, width])?.unsqueeze(0)?,
            convs: Convs::load(&weights.at("conv"))?,
        })
    }

    fn forward(&self, given: &Tensor, turns: &Turns<'_>) -> Result<Tensor> {
        let start = [given.clone(), self.dictionary.clone()];
        let [x, _] = turns.walk(start, &self.layers, |both, layer, cut| layer.forward(both, turns.size, cut))?;
        self.convs.forward_add(&x, turns.size, given)
    }
}

/// The network.
#[derive(Debug)]
pub(super) struct Atd {
    frame: Frame,
    groups: Vec<Group>,
    window: usize,
}

impl Atd {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let [_, width] = widths(weights)?;
        let is_direct = weights.has("upsample.0.weight") && !weights.has("conv_before_upsample.0.weight");
        let size = if is_direct && width == LIGHT_WIDTH { ALIKE_IF_LIGHT } else { ALIKE };
        let mut window = Side::default();
        let groups = numbered(&weights.at("layers"), "residual_group.layers.0.norm1.weight");
        let groups = groups.iter().map(|part| Group::load(part, width, size, &mut window));
        let groups = groups.collect::<Result<_>>()?;
        Ok(Self {
            frame: Frame::load(weights, "patch_embed.norm", 1, 1.0)?,
            groups,
            window: window.known(weights)?,
        })
    }
}

impl Network for Atd {
    fn shape(&self) -> Shape {
        Shape {
            minimum: 8,
            ..self.frame.shape()
        }
    }

    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor> {
        // The picture mirrored, its edge repeated.
        let (h, w) = at_least(self.window.div_ceil(2), x)?;
        let places = |n: usize| -> Vec<usize> {
            let mirrored = |i: usize| if i < n { i } else { 2 * n - 1 - i };
            (0..n.next_multiple_of(self.window)).map(mirrored).collect()
        };
        let x = pick(x, &places(h), &places(w))?;
        let y = self.frame.forward_groups(&x, self.window, &self.groups, Group::forward, between)?;
        let scale = self.frame.shape().scale;
        Ok(crop(&y, h * scale, w * scale)?)
    }
}
