//! Products by tiles of half floats: how their operands lie in memory. Only AMX computes with them.
//!
//! Weights are packed in blocks of 32 inputs x 32 outputs: four tiles of 1 KiB, high left, high right, low left, low right, each
//! `[16 pairs of inputs][16 outputs][2]`.

use super::{Isa, Level};
use crate::buffer::Shared;

/// Rows of activations and columns of weights of a block of sums, and inputs of a step.
pub(crate) const SIDE: usize = 32;
/// Half floats of a step's weights.
pub(super) const STEP: usize = 4 * 512;

/// Packs weights `[outputs][inputs]` for the tiles: `[panel of 32 outputs][tap][step of 32 inputs][4 tiles]`. The inputs of a row are
/// `taps` times `depth`.
pub(crate) fn pack_tiles(weight: impl Fn(usize, usize, usize) -> f32, outputs: usize, taps: usize, depth: usize, to: &mut [u16]) {
    let steps = depth.div_ceil(SIDE);
    assert_eq!(to.len(), outputs.div_ceil(SIDE) * taps * steps * STEP, "room for packed weights");
    for (block, to) in to.chunks_exact_mut(STEP).enumerate() {
        let (panel, tap, step) = (block / steps / taps, block / steps % taps, block % steps);
        let (high, low) = to.split_at_mut(STEP / 2);
        for (i, (high, low)) in high.iter_mut().zip(low).enumerate() {
            let output = panel * SIDE + i / 512 * 16 + i / 2 % 16;
            let input = step * SIDE + i % 512 / 32 * 2 + i % 2;
            let x = if output < outputs && input < depth {
                weight(output, tap, input)
            } else {
                0.0
            };
            let rounded = x.to_bits().wrapping_add(0x8000) & 0xFFFF_0000;
            *high = (rounded >> 16) as u16;
            *low = ((x - f32::from_bits(rounded)).to_bits().wrapping_add(0x8000) >> 16) as u16;
        }
    }
}

/// Half floats of packed weights.
pub(crate) fn packed_tiles_len(outputs: usize, taps: usize, depth: usize) -> usize {
    outputs.div_ceil(SIDE) * taps * depth.div_ceil(SIDE) * STEP
}

/// What becomes of the sums.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a> {
    /// Added to every row.
    pub(crate) bias: Option<&'a [f32]>,
    /// Added to every row of a picture, `[picture][outputs]` from the first picture on.
    pub(crate) per_picture: Option<&'a [f32]>,
    /// Added to each result, from the first row of output on.
    pub(crate) residual: Option<&'a [f32]>,
    /// Columns are 16 values and their 16 gates in turn; the result is `value * gelu(gate)`.
    pub(crate) gated: bool,
}

/// A product of split rows with packed weights, for all rows of some pictures. Within a picture, rows of activations follow each other
/// at one distance; of each `period` of them, the first `valid` are rows of the output.
#[derive(Clone, Copy)]
pub(crate) struct TileProduct<'a> {
    /// High halves.
    pub(crate) high: &'a [u16],
    /// Low halves.
    pub(crate) low: &'a [u16],
    /// Half floats between rows.
    pub(crate) stride: usize,
    /// Half floats between pictures.
    pub(crate) picture_stride: usize,
    /// Rows of a picture, those that are not valid included.
    pub(crate) rows: usize,
    /// See above.
    pub(crate) period: usize,
    /// See above.
    pub(crate) valid: usize,
    /// Where the activations of each tap start, in half floats from the row's start.
    pub(crate) taps: &'a [usize],
    /// Steps of each tap.
    pub(crate) steps: usize,
    /// From `pack_tiles`.
    pub(crate) weights: &'a [u16],
    /// Columns of the weights.
    pub(crate) columns: usize,
    /// What becomes of the sums.
    pub(crate) finish: Finish<'a>,
    /// The first row of output of the first picture.
    pub(crate) out: Shared,
    /// Columns of the output.
    pub(crate) out_stride: usize,
    /// Rows of output of a picture.
    pub(crate) out_rows: usize,
}

impl TileProduct<'_> {
    /// Blocks of rows of a picture.
    pub(crate) fn blocks(&self) -> usize {
        self.rows.div_ceil(SIDE)
    }
}

/// Splits runs of `len` floats that follow each other into two planes of half floats, where they are `stride` apart, each filled up
/// with zeros to a multiple of 32.
///
/// # Safety
/// Both planes must have room for that, and no other thread may touch it.
pub(crate) unsafe fn split_runs(isa: Isa, x: &[f32], len: usize, stride: usize, high: *mut u16, low: *mut u16) {
    match isa.0 {
        // SAFETY: the value proves the instructions; the room is the caller's word.
        #[cfg(target_arch = "x86_64")]
        Level::Amx(simd, _) => unsafe { super::amx::split_runs(simd, x, len, stride, high, low) },
        _ => unreachable!("only a processor with tiles is given products by tiles"),
    }
}

/// Computes some blocks of rows (counted through all pictures) and some panels of columns. `sums` holds 1024 floats for each block.
///
/// # Safety
/// The output must have room for all rows of all pictures, and no other thread may touch this part of it.
pub(crate) unsafe fn tile_product(
    isa: Isa,
    product: TileProduct<'_>,
    blocks: std::ops::Range<usize>,
    panels: std::ops::Range<usize>,
    sums: &mut [f32],
) {
    match isa.0 {
        // SAFETY: the value proves the instructions; the output is the caller's word.
        #[cfg(target_arch = "x86_64")]
        Level::Amx(simd, amx) => unsafe { super::amx::tile_product(simd, amx, product, blocks, panels, sums) },
        _ => unreachable!("only a processor with tiles is given products by tiles"),
    }
}

impl Isa {
    /// Whether it computes products by tiles.
    pub(crate) fn has_tiles(self) -> bool {
        self != self.without_tiles()
    }
}
