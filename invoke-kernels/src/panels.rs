//! Products by panels of weights in single floats, and the work cut into blocks.

use std::ops::Range;

use crate::buffer::{Aligned, Shared};
use crate::parallel::{run_if, threads};
use crate::simd::{Gemm, Isa, gemm, pack_panels};

/// Multiplications worth a second thread.
const WORTH: usize = 400_000;
/// Floats of activations that may be read once for each block of columns, so that the weights are read once only.
const FEW: usize = 1 << 20;
/// Floats of activations of a block of rows, if there are many rows.
const BLOCK: usize = 1 << 17;

/// Weights packed as panels of columns, `[panel][input][column of the panel]`.
#[derive(Debug, Clone)]
pub(crate) struct PanelWeights {
    packed: Aligned,
    inputs: usize,
    columns: usize,
    isa: Isa,
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
        }
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
        let plan = Plan::new(rows, self.columns, self.inputs, self.isa);
        run_if(rows * self.columns * self.inputs > WORTH, plan.count(), |i| {
            let (rows, columns) = plan.block(i);
            // SAFETY: the plan's blocks do not overlap.
            unsafe { self.block(x, rows, columns, joined, out, out_stride) };
        });
    }

    /// Some rows and columns of a product.
    ///
    /// # Safety
    /// The block must lie within the results behind `out`, and no other thread may touch it.
    pub(crate) unsafe fn block(
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
            a_stride: self.inputs,
            rows,
            depth: self.inputs,
            panels: self.packed.as_slice(),
            columns,
            bias: joined.bias,
            residual: joined.residual,
            out,
            out_stride,
            gated: joined.gated,
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
