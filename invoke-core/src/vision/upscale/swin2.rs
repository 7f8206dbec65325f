//! `Swin2SR`: SwinIR with transformers of the second kind, which go by the direction of queries and keys alone and normalise what they add.

use candle_core::{DType, Tensor};

use super::{
    Network, Shape,
    frame::{Convs, EPS, Frame, Side, numbered, widths},
    swin::{Mlp, range_of},
    walk::{Between, Turns},
};
use crate::{
    diffusion::{
        Result,
        ops::{LayerNorm, Linear, add, pixels_as_tokens, relu, sigmoid, tokens_as_pixels},
        weights::Weights,
    },
    vision::{
        layers::unit,
        windows::{Cut, WindowAttention},
    },
};

/// The most that likeness counts.
const MOST_FACTOR: f32 = 100.0;
/// The largest bias.
const MOST_BIAS: f64 = 16.0;

/// Attention within windows.
#[derive(Debug)]
struct Attention {
    window: WindowAttention,
    /// How much likeness counts in each head, and what attention divides by: `[1, heads, 1]`.
    factors: Tensor,
}

impl Attention {
    fn load(weights: &Weights, width: usize, window: &mut Side) -> Result<Self> {
        const TABLE: &str = "relative_coords_table";
        let heads = match weights.require("logit_scale")?.as_slice() {
            [heads, 1, 1] if *heads > 0 && width.is_multiple_of(*heads) => *heads,
            other => return Err(weights.corrupt(format!("`{}.logit_scale` has shape {other:?}", weights.path()))),
        };
        let rows = match weights.require(TABLE)?.as_slice() {
            [1, rows, columns, 2] if rows == columns && *rows <= 127 => rows * columns,
            other => return Err(weights.corrupt(format!("`{}.{TABLE}` has shape {other:?}", weights.path()))),
        };
        // A small network says what each distance is worth; there are few, so it is asked once.
        let mlp = weights.at("cpb_mlp");
        let inner = mlp.require("0.weight")?.first().copied().unwrap_or_default();
        let distances = weights.read(TABLE)?.reshape((1, rows, 2))?;
        let worth = mlp
            .at(2)
            .linear(inner, heads)?
            .forward(&relu(&mlp.at(0).linear(2, inner)?.forward(&distances)?)?)?;
        let table = (sigmoid(&worth.squeeze(0)?.contiguous()?)? * MOST_BIAS)?;
        let bias = if weights.has("q_bias") {
            let part = |name: &str| weights.get(name, &[width]);
            let queries = part("q_bias")?;
            Some(Tensor::cat(&[&queries, &queries.zeros_like()?, &part("v_bias")?], 0)?)
        } else {
            None
        };
        let qkv = Linear::new(weights.get("qkv.weight", &[3 * width, width])?, bias)?;
        let out = weights.at("proj").linear(width, width)?;
        let (attention, side) = WindowAttention::with_table(weights, TABLE, &table, qkv, out)?;
        window.note(side, weights)?;
        let factors = weights.read("logit_scale")?.to_dtype(DType::F32)?.exp()?.minimum(MOST_FACTOR)?;
        let factors = (factors * ((width / heads) as f64).sqrt())?;
        Ok(Self {
            window: attention,
            factors: factors.to_dtype(weights.dtype())?.reshape((1, heads, 1))?,
        })
    }

    fn forward(&self, x: &Tensor, cut: &Cut) -> Result<Tensor> {
        let qkv = self.window.products(x)?;
        let (_, n, three) = qkv.dims3()?;
        let (width, heads) = (three / 3, self.window.heads());
        let direction = |which: usize| -> Result<Tensor> {
            let part = qkv.narrow(2, which * width, width)?.contiguous()?;
            unit(&part.reshape((n, heads, width / heads))?)
        };
        let queries = direction(0)?.broadcast_mul(&self.factors)?.reshape((1, n, width))?;
        let keys = direction(1)?.reshape((1, n, width))?;
        let values = qkv.narrow(2, 2 * width, width)?.contiguous()?;
        self.window.look(&Tensor::cat(&[queries, keys, values], 2)?, cut)
    }
}

#[derive(Debug)]
struct Block {
    attention: Attention,
    mlp: Mlp,
    norms: [LayerNorm; 2],
}

impl Block {
    fn load(weights: &Weights, width: usize, window: &mut Side) -> Result<Self> {
        Ok(Self {
            attention: Attention::load(&weights.at("attn"), width, window)?,
            mlp: Mlp::load(&weights.at("mlp"), width)?,
            norms: [
                weights.at("norm1").layer_norm(width, EPS)?,
                weights.at("norm2").layer_norm(width, EPS)?,
            ],
        })
    }

    fn forward(&self, x: &Tensor, cut: &Cut) -> Result<Tensor> {
        let x = add(x, &self.norms[0].forward(&self.attention.forward(x, cut)?)?)?;
        Ok(add(&x, &self.norms[1].forward(&self.mlp.forward(&x)?)?)?)
    }
}

#[derive(Debug)]
struct Group {
    blocks: Vec<Block>,
    convs: Convs,
    out: Linear,
}

impl Group {
    fn load(weights: &Weights, width: usize, window: &mut Side) -> Result<Self> {
        let blocks = numbered(&weights.at("residual_group.blocks"), "norm1.weight");
        Ok(Self {
            blocks: blocks.iter().map(|part| Block::load(part, width, window)).collect::<Result<_>>()?,
            convs: Convs::load(&weights.at("conv"))?,
            out: weights.at("patch_embed.proj").linear(width, width)?,
        })
    }

    fn forward(&self, given: &Tensor, turns: &Turns<'_>) -> Result<Tensor> {
        let x = turns.walk(given.clone(), &self.blocks, |x, block, cut| block.forward(&x, cut))?;
        let [h, w] = turns.size;
        let x = pixels_as_tokens(&self.convs.forward(&tokens_as_pixels(&x, h, w)?)?)?;
        Ok(self.out.forward_add(&x, given)?)
    }
}

/// The network.
#[derive(Debug)]
pub(super) struct Swin2Sr {
    frame: Frame,
    groups: Vec<Group>,
    window: usize,
}

impl Swin2Sr {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        if weights.has("conv_after_body_hf.weight") {
            return Err(weights.corrupt("Swin2SR that gives three pictures is not supported"));
        }
        let [_, width] = widths(weights)?;
        let mut window = Side::default();
        let groups = numbered(&weights.at("layers"), "residual_group.blocks.0.norm1.weight");
        let groups = groups.iter().map(|part| Group::load(part, width, &mut window));
        let groups = groups.collect::<Result<_>>()?;
        let window = window.known(weights)?;
        Ok(Self {
            frame: Frame::load(weights, "patch_embed.norm", window, range_of(window))?,
            groups,
            window,
        })
    }
}

impl Network for Swin2Sr {
    fn shape(&self) -> Shape {
        self.frame.shape()
    }

    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor> {
        self.frame.forward_groups(x, self.window, &self.groups, Group::forward, between)
    }
}
