//! Going through a network block by block, so that it can be stopped between two.
//!
//! A device that queues its work is behind the questions: they run ahead of it, since nothing here waits for a block's result. There a cancel takes effect when
//! the result is read, that is between two tiles, at the latest.

use candle_core::Device;

use crate::{diffusion::Result, vision::windows::Cut};

/// What is asked before each block of a network whether to go on: its error ends the network.
pub(super) type Between<'a> = &'a dyn Fn() -> Result<()>;

/// What blocks one after another make of `start`. `between` is asked before each.
pub(super) fn walk<S, B>(
    start: S,
    blocks: impl IntoIterator<Item = B>,
    between: Between<'_>,
    mut step: impl FnMut(S, B) -> Result<S>,
) -> Result<S> {
    blocks.into_iter().try_fold(start, |state, block| {
        between()?;
        step(state, block)
    })
}

/// A picture cut into windows of one size for blocks that take turns: without a shift, and shifted by half a window.
pub(super) struct Turns<'a> {
    /// The picture's height and width.
    pub(super) size: [usize; 2],
    cuts: [Cut; 2],
    between: Between<'a>,
}

impl<'a> Turns<'a> {
    /// For a picture whose height and width are multiples of `side`.
    pub(super) fn new(size: [usize; 2], side: usize, device: &Device, between: Between<'a>) -> Result<Self> {
        let [h, w] = size;
        Ok(Self {
            size,
            cuts: [Cut::new(h, w, side, 0, device)?, Cut::new(h, w, side, side / 2, device)?],
            between,
        })
    }

    /// The windows without a shift.
    pub(super) fn unshifted(&self) -> &Cut {
        &self.cuts[0]
    }

    /// Asks whether to go on, before something that is no block.
    pub(super) fn go_on(&self) -> Result<()> {
        (self.between)()
    }

    /// [`walk`] where each block is handed the windows whose turn it is.
    pub(super) fn walk<S, B>(&self, start: S, blocks: &[B], mut step: impl FnMut(S, &B, &Cut) -> Result<S>) -> Result<S> {
        let blocks = blocks.iter().zip(self.cuts.iter().cycle());
        walk(start, blocks, self.between, |state, (block, cut)| step(state, block, cut))
    }
}
