//! `DRCT`: groups of five transformers of SwinIR's kind, each of which sees what those before it made.

use candle_core::{D, Tensor};

use super::{
    Network, Shape,
    frame::{Frame, Side, numbered, widths},
    swin::Block,
    walk::{Between, Turns},
};
use crate::diffusion::{
    Result,
    ops::{Linear, add, leaky_relu_owned, scaled},
    weights::Weights,
};

/// How much of a group is added to what it was given.
const RESIDUAL: f32 = 0.2;
/// Slope of the activation below zero.
const SLOPE: f32 = 0.2;
/// Transformers of a group.
const BLOCKS: usize = 5;

/// Transformers, and what each hands on.
#[derive(Debug)]
struct Group(Vec<(Block, Linear)>);

impl Group {
    fn load(weights: &Weights, width: usize, window: &mut Side) -> Result<Self> {
        let mut blocks = Vec::new();
        let mut wide = width;
        for number in 1..=BLOCKS {
            let adjust = weights.at(format_args!("adjust{number}"));
            let handed = if number == BLOCKS {
                width
            } else {
                adjust.require("weight")?.first().copied().unwrap_or_default()
            };
            let block = Block::load(&weights.at(format_args!("swin{number}")), wide, window)?;
            blocks.push((block, adjust.linear(wide, handed)?));
            wide = wide.saturating_add(handed);
        }
        Ok(Self(blocks))
    }

    fn forward(&self, given: &Tensor, turns: &Turns<'_>) -> Result<Tensor> {
        let start = (Vec::new(), given.clone());
        let (_, made) = turns.walk(start, &self.0, |(mut seen, made), (block, adjust), cut| {
            // What the group was given is seen as it is.
            seen.push(if seen.is_empty() { made } else { leaky_relu_owned(made, SLOPE)? });
            let all = Tensor::cat(&seen, D::Minus1)?;
            Ok((seen, adjust.forward(&block.forward(&all, turns.size, cut)?)?))
        })?;
        Ok(add(&scaled(&made, RESIDUAL)?, given)?)
    }
}

/// The network.
#[derive(Debug)]
pub(super) struct Drct {
    frame: Frame,
    groups: Vec<Group>,
    window: usize,
}

impl Drct {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let [_, width] = widths(weights)?;
        let mut window = Side::default();
        let groups = numbered(&weights.at("layers"), "swin1.norm1.weight");
        let groups = groups.iter().map(|part| Group::load(part, width, &mut window));
        let groups = groups.collect::<Result<_>>()?;
        let window = window.known(weights)?;
        Ok(Self {
            frame: Frame::load(weights, "patch_embed.norm", window, 1.0)?,
            groups,
            window,
        })
    }
}

impl Network for Drct {
    fn shape(&self) -> Shape {
        Shape {
            multiple: 16,
            ..self.frame.shape()
        }
    }

    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor> {
        self.frame.forward_groups(x, self.window, &self.groups, Group::forward, between)
    }
}
