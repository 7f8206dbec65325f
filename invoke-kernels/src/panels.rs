//! Products by panels of weights in single or half floats, and the work cut into blocks.

use std::ops::Range;

use half::bf16;

use crate::buffer::{Aligned, Shared, scratch};
use crate::parallel::{run_if, split, threads};
use crate::simd::{Gemm, Isa, gemm, pack_pairs, pack_panels};

/// Multiplications worth a second thread.
const WORTH: usize = 400_000;
/// Floats to round worth a second thread.
const WORTH_ROUNDING: usize = 1 << 16;
/// Floats of activations that may be read once for each block of columns, so that the weights are read once only.
const FEW: usize = 1 << 20;
/// Floats of activations of a block of rows, if there are many rows.
const BLOCK: usize = 1 << 17;

/// Weights packed as panels of columns, `[panel][input][column of the panel]`, or, of half floats, `[panel][pair of inputs][column of the panel][2]`.
#[derive(Debug, Clone)]
pub(crate) struct PanelWeights {
    packed: Aligned,
    inputs: usize,
    columns: usize,
    isa: Isa,
    halves: bool,
}

/// What a product of rows is joined with, see [`Gemm`].
#[derive(Clone, Copy)]
pub(crate) struct Joined<'a> {
    /// Added to every row.
    pub(crate) bias: Option<&'a [f32]>,
    /// Added to each result.
    pub(crate) residual: Option<&'a [f32]>,
    /// Columns are values and gates.
    pub(crate) gated: bool,
}

impl PanelWeights {
    /// From rows of `inputs` floats, one for each column.
    pub(crate) fn new(isa: Isa, weight: &[f32], inputs: usize) -> Self {
        let columns = weight.len() / inputs;
        let mut packed = Aligned::zeros(columns.next_multiple_of(isa.panel()) * inputs);
        pack_panels(columns, inputs, inputs, weight, isa.panel(), packed.as_mut_slice());
        Self {
            packed,
            inputs,
            columns,
            isa,
            halves: false,
        }
    }

    /// From rows of `inputs` half floats, one for each column. Activations are rounded to half floats before they are multiplied; sums are single floats.
    pub(crate) fn of_halves(isa: Isa, weight: &[bf16], inputs: usize) -> Self {
        let depth = inputs.div_ceil(2);
        let pairs: Vec<f32> = weight
            .chunks_exact(inputs)
            .flat_map(|row| row.chunks(2))
            .map(|pair| f32::from_bits(u32::from(pair[0].to_bits()) | pair.get(1).map_or(0, |x| u32::from(x.to_bits()) << 16)))
            .collect();
        Self {
            inputs,
            halves: true,
            ..Self::new(isa, &pairs, depth)
        }
    }

    /// Floats, or pairs of half floats, of a row.
    fn depth(&self) -> usize {
        if self.halves { self.inputs.div_ceil(2) } else { self.inputs }
    }

    /// Whether the weights are half floats.
    pub(crate) fn halves(&self) -> bool {
        self.halves
    }

    /// The packed weights.
    pub(crate) fn packed(&self) -> &[f32] {
        self.packed.as_slice()
    }

    /// Multiplies `rows` rows `x` of `inputs` floats that follow each other.
    ///
    /// # Safety
    /// `out` must have room for as many rows of `out_stride` floats, which no other thread may touch.
    pub(crate) unsafe fn multiply(&self, x: &[f32], rows: usize, joined: Joined<'_>, out: Shared, out_stride: usize) {
        let x = &x[..rows * self.inputs];
        let plan = Plan::new(rows, self.columns, self.depth(), self.isa);
        let worth = rows * self.columns * self.inputs > WORTH;
        if self.halves && plan.takes_all_columns() {
            // Each block rounds its own rows, which are in its cache then.
            run_if(worth, plan.count(), |i| {
                let (some, _) = plan.block(i);
                let at = some.start * out_stride;
                let joined = Joined {
                    residual: joined.residual.map(|r| &r[at..]),
                    ..joined
                };
                let x = &x[some.start * self.inputs..some.end * self.inputs];
                // SAFETY: the plan's blocks do not overlap.
                unsafe { self.multiply_here(x, some.len(), joined, out.clone_at(at), out_stride) };
            });
            return;
        }
        self.rounded(x, true, |x| {
            run_if(worth, plan.count(), |i| {
                let (rows, columns) = plan.block(i);
                // SAFETY: the plan's blocks do not overlap.
                unsafe { self.rounded_block(x, rows, columns, joined, out, out_stride) };
            });
        });
    }

    /// All columns of some rows of a product, on this thread.
    ///
    /// # Safety
    /// As for [`multiply`](Self::multiply).
    pub(crate) unsafe fn multiply_here(&self, x: &[f32], rows: usize, joined: Joined<'_>, out: Shared, out_stride: usize) {
        self.rounded(&x[..rows * self.inputs], false, |x| {
            // SAFETY: passed on.
            unsafe { self.rounded_block(x, 0..rows, 0..self.columns, joined, out, out_stride) };
        });
    }

    /// Lends rows of activations as the weights want them; rounded by several threads if they are `many`.
    fn rounded<R>(&self, x: &[f32], many: bool, work: impl FnOnce(&[f32]) -> R) -> R {
        if !self.halves {
            return work(x);
        }
        let (rows, depth) = (x.len() / self.inputs, self.depth());
        scratch(rows * depth, |pairs| {
            let shared = Shared::new(pairs);
            let (parts, range) = split(rows, 1, 2);
            run_if(many && x.len() > WORTH_ROUNDING, parts, |i| {
                let some = range(i);
                // SAFETY: each task has its own rows.
                let to = unsafe { std::slice::from_raw_parts_mut(shared.at(some.start * depth), some.len() * depth) };
                pack_pairs(self.isa, &x[some.start * self.inputs..some.end * self.inputs], self.inputs, to);
            });
            work(pairs)
        })
    }

    /// Some rows and columns of a product of rows that are as the weights want them.
    ///
    /// # Safety
    /// The block must lie within the results behind `out`, and no other thread may touch it.
    unsafe fn rounded_block(
        &self,
        x: &[f32],
        rows: Range<usize>,
        columns: Range<usize>,
        joined: Joined<'_>,
        out: Shared,
        out_stride: usize,
    ) {
        let block = Gemm {
            a: x,
            a_stride: self.depth(),
            rows,
            depth: self.depth(),
            panels: self.packed.as_slice(),
            columns,
            bias: joined.bias,
            residual: joined.residual,
            out,
            out_stride,
            gated: joined.gated,
            halves: self.halves,
        };
        // SAFETY: passed on.
        unsafe { gemm(self.isa, block) };
    }
}

/// How a product is cut into blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
}

impl Plan {
    /// For `rows x columns` results of sums over `depth`.
    pub(crate) fn new(rows: usize, columns: usize, depth: usize, isa: Isa) -> Self {
        let panels = columns.div_ceil(isa.panel()).max(1);
        let parts = threads() * 3;
        // Few rows: each block takes them all and some of the weights, so that those are read from memory once.
        let (row_parts, panel_parts) = if rows * depth <= FEW {
            let panel_parts = panels.min(parts);
            (parts.div_ceil(panel_parts).min(rows.div_ceil(isa.rows())), panel_parts)
        } else {
            let blocks = (rows * depth).div_ceil(BLOCK);
            (blocks.next_multiple_of(threads()), 1)
        };
        let row_step = rows.div_ceil(row_parts.max(1)).next_multiple_of(isa.rows());
        Self {
            rows,
            columns,
            row_step,
            column_step: panels.div_ceil(panel_parts) * isa.panel(),
        }
    }

    fn row_blocks(&self) -> usize {
        self.rows.div_ceil(self.row_step.max(1))
    }

    /// Whether each block has all columns of its rows.
    fn takes_all_columns(&self) -> bool {
        self.column_step >= self.columns
    }

    /// Number of blocks.
    pub(crate) fn count(&self) -> usize {
        self.row_blocks() * self.columns.div_ceil(self.column_step)
    }

    /// Rows and columns of a block.
    pub(crate) fn block(&self, i: usize) -> (Range<usize>, Range<usize>) {
        let (row, column) = (i % self.row_blocks() * self.row_step, i / self.row_blocks() * self.column_step);
        (
            row..(row + self.row_step).min(self.rows),
            column..(column + self.column_step).min(self.columns),
        )
    }
}
