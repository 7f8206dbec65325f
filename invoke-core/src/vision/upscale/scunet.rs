//! `SCUNet`, against noise: a network that looks at smaller and smaller pictures and comes back, in whose blocks half of the channels are convolved and
//! half see each other within windows.

use candle_core::Tensor;

use super::{
    Network, Shape,
    frame::{EPS, Side},
    walk::{Between, Turns},
};
use crate::{
    diffusion::{
        Result,
        ops::{
            Border, Conv2d, LayerNorm, Linear, PaddingMode, add, cat_channels, crop, gelu, pad, pixels_as_tokens, relu, tokens_as_pixels,
        },
        weights::Weights,
    },
    vision::{
        layers::{Enlarging, HALVING, conv, conv_with},
        windows::{Cut, WindowAttention},
    },
};

/// What sides are made multiples of.
const MULTIPLE: usize = 64;
/// How often the picture becomes half as large.
const LEVELS: usize = 3;

/// A transformer for half of the channels.
#[derive(Debug)]
struct Transformer {
    norms: [LayerNorm; 2],
    attention: WindowAttention,
    widen: Linear,
    narrow: Linear,
}

impl Transformer {
    fn load(weights: &Weights, width: usize, window: &mut Side) -> Result<Self> {
        const TABLE: &str = "relative_position_params";
        let attention = weights.at("msa");
        let (heads, rows) = match attention.require(TABLE)?.as_slice() {
            [heads, rows, columns] if *heads > 0 && width.is_multiple_of(*heads) && *rows <= 127 && *columns <= 127 => {
                (*heads, rows * columns)
            }
            other => return Err(weights.corrupt(format!("`{}.{TABLE}` has shape {other:?}", attention.path()))),
        };
        let table = attention.read(TABLE)?.reshape((heads, rows))?.t()?.contiguous()?;
        let qkv = attention.at("embedding_layer").linear(width, 3 * width)?;
        let out = attention.at("linear").linear(width, width)?;
        let (attention, side) = WindowAttention::with_table(&attention, TABLE, &table, qkv, out)?;
        window.note(side, weights)?;
        let inner = weights.require("mlp.0.weight")?.first().copied().unwrap_or_default();
        Ok(Self {
            norms: [weights.at("ln1").layer_norm(width, EPS)?, weights.at("ln2").layer_norm(width, EPS)?],
            attention,
            widen: weights.at("mlp.0").linear(width, inner)?,
            narrow: weights.at("mlp.2").linear(inner, width)?,
        })
    }

    fn forward(&self, x: &Tensor, cut: &Cut) -> Result<Tensor> {
        let x = add(x, &self.attention.forward(&self.norms[0].forward(x)?, cut)?)?;
        Ok(self
            .narrow
            .forward_add(&gelu(&self.widen.forward(&self.norms[1].forward(&x)?)?)?, &x)?)
    }
}

#[derive(Debug)]
struct Block {
    before: Conv2d,
    convs: [Conv2d; 2],
    transformer: Transformer,
    after: Conv2d,
}

impl Block {
    fn load(weights: &Weights, window: &mut Side) -> Result<Self> {
        let (before, convs) = (conv(&weights.at("conv1_1"))?, weights.at("conv_block"));
        let half = before.out_channels() / 2;
        Ok(Self {
            convs: [conv(&convs.at(0))?, conv(&convs.at(2))?],
            transformer: Transformer::load(&weights.at("trans_block"), half, window)?,
            after: conv(&weights.at("conv1_2"))?,
            before,
        })
    }

    fn forward(&self, x: &Tensor, cut: &Cut) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let both = self.before.forward(x)?;
        let half = both.dim(1)? / 2;
        let (convolved, seen) = (both.narrow(1, 0, half)?, both.narrow(1, half, half)?);
        let [first, second] = &self.convs;
        let convolved = second.forward_with(&relu(&first.forward(&convolved)?)?, [PaddingMode::Zeros; 2], Some(&convolved))?;
        let seen = self.transformer.forward(&pixels_as_tokens(&seen)?, cut)?;
        let both = cat_channels(&convolved, &tokens_as_pixels(&seen, h, w)?)?;
        Ok(self.after.forward_with(&both, [PaddingMode::Zeros; 2], Some(x))?)
    }
}

/// The blocks of `weights`, whose numbers begin with `first`.
fn blocks(weights: &Weights, first: usize, window: &mut Side) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    while weights.has(&format!("{}.conv1_1.weight", first + blocks.len())) {
        blocks.push(Block::load(&weights.at(first + blocks.len()), window)?);
    }
    Ok(blocks)
}

/// A picture after blocks, whose windows are shifted by turns.
fn through(blocks: &[Block], x: Tensor, side: usize, between: Between<'_>) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let turns = Turns::new([h, w], side, x.device(), between)?;
    turns.walk(x, blocks, |x, block, cut| block.forward(&x, cut))
}

/// The network.
#[derive(Debug)]
pub(super) struct ScuNet {
    first: Conv2d,
    down: Vec<(Vec<Block>, Conv2d)>,
    middle: Vec<Block>,
    /// The smallest first.
    up: Vec<(Enlarging, Vec<Block>)>,
    last: Conv2d,
    window: usize,
    channels: usize,
}

impl ScuNet {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let first = conv(&weights.at("m_head.0"))?;
        let channels = weights.require("m_head.0.weight")?[1];
        let mut window = Side::default();
        let mut down = Vec::new();
        for level in 1..=LEVELS {
            let part = weights.at(format_args!("m_down{level}"));
            let blocks = blocks(&part, 0, &mut window)?;
            let halve = conv_with(&part.at(blocks.len()), HALVING)?;
            down.push((blocks, halve));
        }
        let middle = blocks(&weights.at("m_body"), 0, &mut window)?;
        let mut up = Vec::new();
        for level in (1..=LEVELS).rev() {
            let part = weights.at(format_args!("m_up{level}"));
            up.push((Enlarging::squares(&part.at(0))?, blocks(&part, 1, &mut window)?));
        }
        Ok(Self {
            first,
            down,
            middle,
            up,
            last: conv(&weights.at("m_tail.0"))?,
            window: window.known(weights)?,
            channels,
        })
    }
}

impl Network for ScuNet {
    fn shape(&self) -> Shape {
        Shape {
            scale: 1,
            channels: self.channels,
            minimum: 40,
            multiple: 1,
        }
    }

    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let more = |n: usize| n.next_multiple_of(MULTIPLE) - n;
        let x = pad(x, [0, more(h), 0, more(w)], Border::Reflect)?;
        let mut kept = vec![self.first.forward(&x)?];
        let mut x = kept[0].clone();
        for (blocks, halve) in &self.down {
            x = halve.forward(&through(blocks, x, self.window, between)?)?;
            kept.push(x.clone());
        }
        x = through(&self.middle, x, self.window, between)?;
        for ((enlarge, blocks), before) in self.up.iter().zip(kept.iter().rev()) {
            x = through(blocks, enlarge.forward(&add(&x, before)?)?, self.window, between)?;
        }
        between()?;
        Ok(crop(&self.last.forward(&add(&x, &kept[0])?)?, h, w)?)
    }
}
