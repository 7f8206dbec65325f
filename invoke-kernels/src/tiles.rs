//! Products by tiles of half floats: weights packed for them, and the work cut into parts.

use std::ops::Range;

use crate::buffer::{Aligned, Shared, filled, scratch};
use crate::parallel::{run, run_if, split, threads};
use crate::simd::{Finish, Isa, SIDE, TileProduct, pack_tiles, packed_tiles_len, split_runs, tile_product};

/// Rows that are few however long they are.
const FEW_ROWS: usize = 512;
/// Half floats of a row of activations times blocks of rows that stay in the second-level cache.
const CACHED: usize = 8192;
/// Multiplications worth a second thread.
const WORTH: usize = 1_500_000;

/// Weights packed for tiles: for each output, `taps` times `depth` inputs.
#[derive(Debug, Clone)]
pub(crate) struct TileWeights {
    packed: Aligned,
    columns: usize,
    taps: usize,
    depth: usize,
    isa: Isa,
}

/// Two planes of half floats in scratch memory.
#[derive(Clone, Copy)]
pub(crate) struct Planes {
    high: Shared,
    low: Shared,
    len: usize,
}

impl Planes {
    /// Lends planes of `len` half floats.
    pub(crate) fn lend<R>(len: usize, work: impl FnOnce(Self) -> R) -> R {
        let half = len.div_ceil(2);
        scratch(2 * half, |room| {
            let (high, low) = room.split_at_mut(half);
            work(Self {
                high: Shared::new(high),
                low: Shared::new(low),
                len,
            })
        })
    }

    /// Splits runs of `len` floats into the planes from a place on, `stride` apart.
    ///
    /// # Safety
    /// The runs must fit, and no other thread may touch their place.
    pub(crate) unsafe fn write(self, isa: Isa, at: usize, x: &[f32], len: usize, stride: usize) {
        // SAFETY: passed on; the planes were made for half floats.
        unsafe {
            let [high, low] = [self.high, self.low].map(|plane| plane.at(0).cast::<u16>().add(at));
            split_runs(isa, x, len, stride, high, low);
        }
    }

    /// Writes zeros.
    ///
    /// # Safety
    /// As for [`write`](Self::write).
    pub(crate) unsafe fn clear(self, at: usize, len: usize) {
        for plane in [self.high, self.low] {
            // SAFETY: passed on.
            unsafe { plane.at(0).cast::<u16>().add(at).write_bytes(0, len) };
        }
    }

    /// The planes, read.
    ///
    /// # Safety
    /// Nobody may write to them any more.
    unsafe fn slices<'a>(self) -> [&'a [u16]; 2] {
        // SAFETY: both planes hold `len` half floats; scratch memory is initialised, if with stale numbers.
        [self.high, self.low].map(|plane| unsafe { std::slice::from_raw_parts(plane.at(0).cast::<u16>().cast_const(), self.len) })
    }
}

/// How rows of activations lie in the planes, see [`TileProduct`].
#[derive(Debug, Clone)]
pub(crate) struct RowLayout {
    pub(crate) pictures: usize,
    pub(crate) stride: usize,
    pub(crate) picture_stride: usize,
    pub(crate) rows: usize,
    pub(crate) period: usize,
    pub(crate) valid: usize,
    pub(crate) taps: Vec<usize>,
}

impl RowLayout {
    /// Half floats that the planes need: whole blocks of rows are read.
    pub(crate) fn planes_len(&self, depth: usize) -> usize {
        let tap = self.taps.iter().max().copied().unwrap_or(0);
        let last = (self.pictures - 1) * self.picture_stride + self.rows.next_multiple_of(SIDE) * self.stride;
        last + tap + depth.next_multiple_of(SIDE)
    }
}

impl TileWeights {
    /// Packs `weight(output, tap, input)`.
    pub(crate) fn new(isa: Isa, columns: usize, taps: usize, depth: usize, weight: impl Fn(usize, usize, usize) -> f32) -> Self {
        let len = packed_tiles_len(columns, taps, depth);
        let mut packed = Aligned::zeros(len / 2);
        pack_tiles(weight, columns, taps, depth, packed.as_mut_halves());
        Self {
            packed,
            columns,
            taps,
            depth,
            isa,
        }
    }

    /// Inputs of a tap, rounded up to whole steps.
    pub(crate) fn wide(&self) -> usize {
        self.depth.next_multiple_of(SIDE)
    }

    /// Half floats between rows of activations: so many that 16 rows do not crowd into a few sets of the first-level cache.
    pub(crate) fn stride(&self, taps: usize) -> usize {
        let lines = taps * self.wide() / SIDE;
        (lines + usize::from(lines.is_multiple_of(2))) * SIDE
    }

    /// Blocks of 32 rows, `stride` apart, that stay in the second-level cache.
    pub(crate) fn cached_blocks(stride: usize) -> usize {
        (CACHED / stride).max(4)
    }

    /// Multiplies rows that stand in the planes.
    ///
    /// # Safety
    /// `out` must have room for the pictures' rows of `out_stride` columns. The slices of `finish` must hold what the output takes.
    pub(crate) unsafe fn multiply(&self, planes: Planes, rows: &RowLayout, finish: Finish<'_>, out: Shared, out_stride: usize) {
        // SAFETY: the planes were written before.
        let [high, low] = unsafe { planes.slices() };
        let product = TileProduct {
            high,
            low,
            stride: rows.stride,
            picture_stride: rows.picture_stride,
            rows: rows.rows,
            period: rows.period,
            valid: rows.valid,
            taps: &rows.taps,
            steps: self.wide() / SIDE,
            weights: self.packed.as_halves(),
            columns: self.columns,
            finish,
            out,
            out_stride,
            out_rows: rows.rows.div_ceil(rows.period) * rows.valid,
        };
        let blocks = product.blocks() * rows.pictures;
        let panels = self.columns.div_ceil(SIDE);
        let parts = threads() * 3;
        let most = Self::cached_blocks(rows.stride);
        // Few rows: each part takes all of them and some of the weights, so that those are read from memory once.
        let (block_parts, panel_parts) = if blocks <= most.max(16) {
            let panel_parts = panels.min(parts);
            (parts.div_ceil(panel_parts).min(blocks), panel_parts)
        } else {
            (blocks.div_ceil(most).next_multiple_of(threads()), 1)
        };
        let (block_step, panel_step) = (blocks.div_ceil(block_parts.max(1)), panels.div_ceil(panel_parts));
        let block_parts = blocks.div_ceil(block_step.max(1));
        let range = |i: usize, step: usize, end: usize| -> Range<usize> { i * step..end.min((i + 1) * step) };
        let worth = blocks * SIDE * self.columns * self.taps * self.depth > WORTH;
        run_if(worth, block_parts * panels.div_ceil(panel_step), |i| {
            let blocks = range(i % block_parts, block_step, blocks);
            let panels = range(i / block_parts, panel_step, panels);
            scratch(blocks.len() * SIDE * SIDE, |sums| {
                // SAFETY: each part has its own rows and columns of the output.
                unsafe { tile_product(self.isa, product, blocks, panels, sums) };
            });
        });
    }

    /// Rows of `depth` floats times the weights (of one tap).
    pub(crate) fn product(&self, x: &[f32], finish: Finish<'_>, outputs: usize) -> Vec<f32> {
        let total = x.len() / self.depth;
        let stride = self.stride(1);
        // Few rows stand in memory together; of many, each thread takes as many as stay in its cache.
        let most = Self::cached_blocks(stride) * SIDE;
        let parts = if total <= most.max(FEW_ROWS) {
            1
        } else {
            total.div_ceil(most).next_multiple_of(threads())
        };
        let step = total.div_ceil(parts).next_multiple_of(SIDE);
        // SAFETY: all rows are written, each part's by one task.
        unsafe {
            filled(total * outputs, |out| {
                run(total.div_ceil(step.max(1)), |i| {
                    let first = i * step;
                    let count = step.min(total - first);
                    let rows = RowLayout {
                        pictures: 1,
                        stride,
                        picture_stride: 0,
                        rows: count,
                        period: count,
                        valid: count,
                        taps: vec![0],
                    };
                    Planes::lend(rows.planes_len(self.depth), |planes| {
                        let (parts, range) = split(count, 1, 2);
                        run_if(count * self.depth > 1 << 15, parts, |i| {
                            let (from, to) = (range(i).start, range(i).end);
                            let some = &x[(first + from) * self.depth..(first + to) * self.depth];
                            planes.write(self.isa, from * stride, some, self.depth, stride);
                        });
                        let finish = Finish {
                            residual: finish.residual.map(|r| &r[first * outputs..]),
                            ..finish
                        };
                        self.multiply(planes, &rows, finish, out.clone_at(first * outputs), outputs);
                    });
                });
            })
        }
    }
}
