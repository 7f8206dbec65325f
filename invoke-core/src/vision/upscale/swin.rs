//! `SwinIR`: residual groups of transformers that look within windows, every other of them shifted by half a window; and `HAT`, which has more in each
//! block and each group.

use candle_core::Tensor;

use super::{
    Network, Shape,
    frame::{Convs, EPS, Frame, Side, numbered, widths},
    hat::{Beside, Overlapping},
    walk::{Between, Turns},
};
use crate::{
    diffusion::{
        Result,
        ops::{LayerNorm, Linear, add, gelu},
        weights::Weights,
    },
    vision::windows::{Cut, WindowAttention},
};

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

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.narrow.forward(&gelu(&self.widen.forward(x)?)?)?)
    }

    /// Added to `residual`.
    pub(super) fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        Ok(self.narrow.forward_add(&gelu(&self.widen.forward(x)?)?, residual)?)
    }
}

/// What pictures in 0 to 1 are multiplied with: the models against artefacts of JPEG alone have windows of 7, and were trained on bytes.
pub(super) fn range_of(window: usize) -> f32 {
    if window == 7 { 255.0 } else { 1.0 }
}

/// One transformer.
#[derive(Debug)]
pub(super) struct Block {
    norms: [LayerNorm; 2],
    attention: WindowAttention,
    beside: Option<Beside>,
    mlp: Mlp,
}

impl Block {
    pub(super) fn load(weights: &Weights, width: usize, window: &mut Side) -> Result<Self> {
        let (attention, side) = WindowAttention::load(&weights.at("attn"), width)?;
        window.note(side, weights)?;
        let beside = weights.at("conv_block.cab");
        Ok(Self {
            norms: [
                weights.at("norm1").layer_norm(width, EPS)?,
                weights.at("norm2").layer_norm(width, EPS)?,
            ],
            attention,
            beside: beside.has("0.weight").then(|| Beside::load(&beside)).transpose()?,
            mlp: Mlp::load(&weights.at("mlp"), width)?,
        })
    }

    /// For pixels `[1, h * w, width]`.
    pub(super) fn forward(&self, x: &Tensor, size: [usize; 2], cut: &Cut) -> Result<Tensor> {
        let normed = self.norms[0].forward(x)?;
        let mut y = add(x, &self.attention.forward(&normed, cut)?)?;
        if let Some(beside) = &self.beside {
            y = add(&y, &beside.forward(&normed, size)?)?;
        }
        self.mlp.forward_add(&self.norms[1].forward(&y)?, &y)
    }
}

#[derive(Debug)]
struct Group {
    blocks: Vec<Block>,
    overlapping: Option<Overlapping>,
    convs: Convs,
}

impl Group {
    fn load(weights: &Weights, width: usize, window: &mut Side) -> Result<Self> {
        let inner = weights.at("residual_group");
        let blocks = numbered(&inner.at("blocks"), "norm1.weight");
        let blocks = blocks.iter().map(|part| Block::load(part, width, window)).collect::<Result<_>>()?;
        let overlapping = inner.at("overlap_attn");
        Ok(Self {
            blocks,
            overlapping: if overlapping.has("qkv.weight") {
                Some(Overlapping::load(&overlapping, width, window.known(weights)?)?)
            } else {
                None
            },
            convs: Convs::load(&weights.at("conv"))?,
        })
    }

    fn forward(&self, given: &Tensor, turns: &Turns<'_>) -> Result<Tensor> {
        let mut x = turns.walk(given.clone(), &self.blocks, |x, block, cut| block.forward(&x, turns.size, cut))?;
        if let Some(overlapping) = &self.overlapping {
            turns.go_on()?;
            x = overlapping.forward(&x, turns.unshifted())?;
        }
        self.convs.forward_add(&x, turns.size, given)
    }
}

/// The network.
#[derive(Debug)]
pub(super) struct SwinIr {
    frame: Frame,
    groups: Vec<Group>,
    window: usize,
}

impl SwinIr {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        if !weights.has("conv_first.weight") {
            return Err(weights.corrupt("SwinIR that begins with smaller pictures is not supported"));
        }
        let [_, width] = widths(weights)?;
        let mut window = Side::default();
        let groups = numbered(&weights.at("layers"), "residual_group.blocks.0.norm1.weight");
        let groups: Vec<Group> = groups
            .iter()
            .map(|part| Group::load(part, width, &mut window))
            .collect::<Result<_>>()?;
        let window = window.known(weights)?;
        let is_hat = groups.iter().any(|group| group.overlapping.is_some());
        let range = if is_hat { 1.0 } else { range_of(window) };
        Ok(Self {
            frame: Frame::load(weights, "patch_embed.norm", window, range)?,
            groups,
            window,
        })
    }
}

impl Network for SwinIr {
    fn shape(&self) -> Shape {
        self.frame.shape()
    }

    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor> {
        self.frame.forward_groups(x, self.window, &self.groups, Group::forward, between)
    }
}
