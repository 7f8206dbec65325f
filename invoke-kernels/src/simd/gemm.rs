//! Matrix products: rows of activations times panels of packed weights.
//!
//! A panel holds [`Simd::PANEL`] columns of the weights, `[k][PANEL]`. The kernel keeps a tile of `M x PANEL` results in registers;
//! for each k it loads the panel's row (two vectors), spreads one float of each of the M rows of activations, and adds `2 M` products.
//!
//! With half floats all is the same, but for what a float of activations and of weights is: a pair of half floats, one after the other in depth.

use super::{Kernel, Simd, math};
use crate::buffer::Shared;

/// Rows of weights summed before the results go back to memory: a panel of that many stays in the second-level cache.
const DEPTH: usize = 1024;

/// Where results go and what is added to them.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// First result; rows are `stride` apart.
    pub(crate) out: *mut f32,
    /// Floats between rows of results (and of the residual).
    pub(crate) stride: usize,
    /// Added to every row, one float a column; may be null.
    pub(crate) bias: *const f32,
    /// Added to each result, laid out like the results; may be null.
    pub(crate) residual: *const f32,
    /// Add to what is there.
    pub(crate) accumulate: bool,
}

impl Target {
    /// Plain results.
    pub(super) fn plain(out: *mut f32, stride: usize, accumulate: bool) -> Self {
        Self {
            out,
            stride,
            bias: std::ptr::null(),
            residual: std::ptr::null(),
            accumulate,
        }
    }
}

impl Target {
    #[inline(always)]
    fn is_plain(&self) -> bool {
        self.bias.is_null() && self.residual.is_null() && !self.accumulate
    }
}

/// Floats of the largest tile of sums.
const MOST_SUMS: usize = 12 * 32;

/// `rows x columns` results from one panel.
#[derive(Clone, Copy)]
struct PanelRows {
    a: *const f32,
    a_stride: usize,
    rows: usize,
    depth: usize,
    panel: *const f32,
    columns: usize,
    target: Target,
    halves: bool,
}

/// `target[0..rows][0..columns] = a[0..rows][0..depth] * panel[0..depth][0..columns]`, `columns <= PANEL`.
///
/// # Safety
/// `a` must hold `rows` rows of `depth` floats (or, with `halves`, pairs of half floats), `a_stride` apart; `panel` `depth * PANEL` of them; the target `rows`
/// rows of `columns` floats.
#[expect(clippy::too_many_arguments, reason = "a matrix product has that many")]
#[inline(always)]
pub(super) unsafe fn panel_rows<S: Simd>(
    s: S,
    a: *const f32,
    a_stride: usize,
    rows: usize,
    depth: usize,
    panel: *const f32,
    columns: usize,
    target: Target,
    halves: bool,
) {
    s.call(PanelRows {
        a,
        a_stride,
        rows,
        depth,
        panel,
        columns,
        target,
        halves,
    });
}

impl Kernel for PanelRows {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: `panel_rows`, the only maker, has the caller's word for the pointers.
        unsafe {
            match (self.columns <= S::LANES, self.halves) {
                (true, false) => self.all_rows::<S, 1, false>(s),
                (false, false) => self.all_rows::<S, 2, false>(s),
                (true, true) => self.all_rows::<S, 1, true>(s),
                (false, true) => self.all_rows::<S, 2, true>(s),
            }
        }
    }
}

impl PanelRows {
    /// The rows in blocks of nearly equal height.
    #[inline(always)]
    unsafe fn all_rows<S: Simd, const N: usize, const HALVES: bool>(&self, s: S) {
        let blocks = self.rows.div_ceil(S::ROWS);
        let mut row = 0;
        for i in 1..=blocks {
            let end = self.rows * i / blocks;
            // SAFETY: `row..end` lies within the rows.
            unsafe {
                match end - row {
                    1 => self.tile::<S, 1, N, HALVES>(s, row),
                    2 => self.tile::<S, 2, N, HALVES>(s, row),
                    3 => self.tile::<S, 3, N, HALVES>(s, row),
                    4 if S::ROWS >= 4 => self.tile::<S, 4, N, HALVES>(s, row),
                    5 if S::ROWS >= 5 => self.tile::<S, 5, N, HALVES>(s, row),
                    6 if S::ROWS >= 6 => self.tile::<S, 6, N, HALVES>(s, row),
                    7 if S::ROWS >= 7 => self.tile::<S, 7, N, HALVES>(s, row),
                    8 if S::ROWS >= 8 => self.tile::<S, 8, N, HALVES>(s, row),
                    9 if S::ROWS >= 9 => self.tile::<S, 9, N, HALVES>(s, row),
                    10 if S::ROWS >= 10 => self.tile::<S, 10, N, HALVES>(s, row),
                    11 if S::ROWS >= 11 => self.tile::<S, 11, N, HALVES>(s, row),
                    12 if S::ROWS >= 12 => self.tile::<S, 12, N, HALVES>(s, row),
                    _ => unreachable!("a block has at most ROWS rows"),
                }
            }
            row = end;
        }
    }

    /// `M` rows from `row` on, `N` vectors wide.
    #[inline(always)]
    unsafe fn tile<S: Simd, const M: usize, const N: usize, const HALVES: bool>(&self, s: S, row: usize) {
        // SAFETY: the rows lie within `a` and the target, the k-th row of the panel within the panel.
        unsafe {
            let mut rows = [self.a; M];
            for (i, r) in rows.iter_mut().enumerate() {
                *r = self.a.add((row + i) * self.a_stride);
            }
            let mut acc = [[s.zero(); N]; M];
            let mut panel = self.panel;
            for k in 0..self.depth {
                let mut b = [s.zero(); N];
                for (j, b) in b.iter_mut().enumerate() {
                    *b = s.load(panel.add(j * S::LANES));
                }
                for i in 0..M {
                    let x = s.splat(*rows[i].add(k));
                    for j in 0..N {
                        acc[i][j] = if HALVES {
                            s.dot_pairs(x, b[j], acc[i][j])
                        } else {
                            s.fma(x, b[j], acc[i][j])
                        };
                    }
                }
                panel = panel.add(S::PANEL);
            }
            let out = self.target.out.add(row * self.target.stride);
            if self.target.is_plain() && self.columns == N * S::LANES {
                for i in 0..M {
                    for j in 0..N {
                        s.store(out.add(i * self.target.stride + j * S::LANES), acc[i][j]);
                    }
                }
                return;
            }
            // The sums leave the registers by constant indices only, or the compiler would keep them in memory all along.
            let mut sums = [0.0_f32; MOST_SUMS];
            for i in 0..M {
                for j in 0..N {
                    s.store(sums.as_mut_ptr().add((i * N + j) * S::LANES), acc[i][j]);
                }
            }
            self.finish(s, &sums, N, row, M);
        }
    }

    /// Adds what is to be added to `count` rows of sums, `n` vectors each, and writes them.
    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, s: S, sums: &[f32; MOST_SUMS], n: usize, row: usize, count: usize) {
        let t = &self.target;
        // SAFETY: the rows lie within the target.
        unsafe {
            for i in 0..count {
                for j in 0..n {
                    let column = j * S::LANES;
                    let left = self.columns - column;
                    let at = (row + i) * t.stride + column;
                    let mut sum = s.load(sums.as_ptr().add((i * n + j) * S::LANES));
                    if !t.bias.is_null() {
                        sum = s.add(sum, s.load_some(t.bias.add(column), left));
                    }
                    if !t.residual.is_null() {
                        sum = s.add(sum, s.load_some(t.residual.add(at), left));
                    }
                    if t.accumulate {
                        sum = s.add(sum, s.load_some(t.out.add(at), left));
                    }
                    s.store_some(t.out.add(at), sum, left);
                }
            }
        }
    }
}

/// A block of a product: some rows by some columns.
pub(crate) struct Gemm<'a> {
    /// Activations, rows `a_stride` apart.
    pub(crate) a: &'a [f32],
    /// Floats between rows of `a`.
    pub(crate) a_stride: usize,
    /// Rows to compute.
    pub(crate) rows: std::ops::Range<usize>,
    /// Floats summed.
    pub(crate) depth: usize,
    /// All panels of the weights.
    pub(crate) panels: &'a [f32],
    /// Columns to compute, from the start of a panel.
    pub(crate) columns: std::ops::Range<usize>,
    /// Added to every row, one float for each column of the whole matrix.
    pub(crate) bias: Option<&'a [f32]>,
    /// Added to each result.
    pub(crate) residual: Option<&'a [f32]>,
    /// Results; `out_stride` floats a row, starting at row and column 0 of the whole product.
    pub(crate) out: Shared,
    /// Floats between rows of results.
    pub(crate) out_stride: usize,
    /// The panels hold as many values as gates (see `pack_panels`); the result is `value * gelu(gate)`.
    pub(crate) gated: bool,
    /// Each float of activations and weights is a pair of half floats.
    pub(crate) halves: bool,
}

/// Computes a block.
///
/// # Safety
/// The block must lie within the results behind `out`, and no other thread may touch it.
pub(crate) unsafe fn gemm(isa: super::Isa, block: Gemm<'_>) {
    let panel = isa.panel();
    assert!(block.columns.start.is_multiple_of(panel), "a block starts with a panel");
    assert!(
        block.rows.is_empty() || block.a.len() >= (block.rows.end - 1) * block.a_stride + block.depth,
        "rows of a product"
    );
    assert!(
        block.panels.len() >= block.columns.end.next_multiple_of(panel) * block.depth,
        "weights of a product"
    );
    assert!(block.bias.is_none_or(|b| b.len() >= block.columns.end), "bias of a product");
    let ends = block.rows.end.saturating_sub(1) * block.out_stride + block.columns.end;
    assert!(block.residual.is_none_or(|r| r.len() >= ends), "residual of a product");
    if block.halves {
        isa.run_halves(block);
    } else {
        isa.run(block);
    }
}

impl Kernel for Gemm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.rows.len();
        // SAFETY: `gemm` checked the lengths of the slices and has the caller's word for the results.
        unsafe {
            let a = self.a.as_ptr().add(self.rows.start * self.a_stride);
            for start in self.columns.clone().step_by(S::PANEL) {
                let columns = S::PANEL.min(self.columns.end - start);
                let panel = self.panels.as_ptr().add(start * self.depth);
                let bias = self.bias.map_or(std::ptr::null(), |b| b.as_ptr().add(start));
                if self.gated {
                    gated_panel(s, &self, a, panel, bias, start);
                    continue;
                }
                let offset = self.rows.start * self.out_stride + start;
                for k in (0..self.depth.max(1)).step_by(DEPTH) {
                    let depth = DEPTH.min(self.depth - k);
                    let last = k + depth == self.depth;
                    let target = Target {
                        out: self.out.at(offset),
                        stride: self.out_stride,
                        bias: if last { bias } else { std::ptr::null() },
                        residual: self.residual.filter(|_| last).map_or(std::ptr::null(), |r| r.as_ptr().add(offset)),
                        accumulate: k > 0,
                    };
                    panel_rows(
                        s,
                        a.add(k),
                        self.a_stride,
                        rows,
                        depth,
                        panel.add(k * S::PANEL),
                        columns,
                        target,
                        self.halves,
                    );
                }
            }
        }
    }
}

/// Most rows of a gated product computed before the gate is applied.
const GATED_ROWS: usize = 48;

/// The rows of a gated product from one panel (one vector of values, one of gates).
#[inline(always)]
unsafe fn gated_panel<S: Simd>(s: S, g: &Gemm<'_>, a: *const f32, panel: *const f32, bias: *const f32, start: usize) {
    let mut tile = [0.0_f32; GATED_ROWS * 32];
    let rows = g.rows.len();
    let column = start / 2;
    // The last panel may be filled up.
    let n = g.out_stride - column;
    for row in (0..rows).step_by(GATED_ROWS) {
        let count = GATED_ROWS.min(rows - row);
        // SAFETY: the tile holds 48 rows of at most 32 floats; the rest as in `run`.
        unsafe {
            let target = Target {
                bias,
                ..Target::plain(tile.as_mut_ptr(), S::PANEL, false)
            };
            panel_rows(
                s,
                a.add(row * g.a_stride),
                g.a_stride,
                count,
                g.depth,
                panel,
                S::PANEL,
                target,
                g.halves,
            );
            for i in 0..count {
                let from = tile.as_ptr().add(i * S::PANEL);
                let gate = math::gelu(s, s.load(from.add(S::LANES)));
                let at = (g.rows.start + row + i) * g.out_stride + column;
                s.store_some(g.out.at(at), s.mul(s.load(from), gate), n);
            }
        }
    }
}

/// Packs `rows` rows of `k` floats, `stride` apart, as columns of panels: `out[panel][k][width]`, filled up with zeros.
pub(crate) fn pack_panels(rows: usize, k: usize, stride: usize, from: &[f32], width: usize, out: &mut [f32]) {
    for (p, panel) in out.chunks_exact_mut(width * k).take(rows.div_ceil(width)).enumerate() {
        for j in 0..width {
            let row = p * width + j;
            let column = panel.iter_mut().skip(j).step_by(width);
            if row < rows {
                column.zip(&from[row * stride..][..k]).for_each(|(to, x)| *to = *x);
            } else {
                column.for_each(|to| *to = 0.0);
            }
        }
    }
}

/// The bits of a half float nearest to `x`, the even one of two that are as near.
#[inline(always)]
fn half_bits(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16;
    if x.is_nan() { bits >> 16 | 0x40 } else { rounded }
}

/// Two numbers, rounded to half floats, as one float is stored.
#[inline(always)]
pub(super) fn pair_of(low: f32, high: f32) -> f32 {
    f32::from_bits(half_bits(low) | half_bits(high) << 16)
}

struct Pairs<'a> {
    x: &'a [f32],
    len: usize,
    to: &'a mut [f32],
}

/// Rounds rows of `len` floats to half floats and lays them out in pairs; the last of an odd number is paired with zero.
pub(crate) fn pack_pairs(isa: super::Isa, x: &[f32], len: usize, to: &mut [f32]) {
    assert_eq!(to.len(), x.len() / len * len.div_ceil(2), "room for pairs");
    isa.run(Pairs { x, len, to });
}

impl Kernel for Pairs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (row, to) in self.x.chunks_exact(self.len).zip(self.to.chunks_exact_mut(self.len.div_ceil(2))) {
            let (pairs, odd) = row.as_chunks::<2>();
            for (pair, to) in pairs.iter().zip(&mut *to) {
                *to = pair_of(pair[0], pair[1]);
            }
            if let ([x], Some(to)) = (odd, to.last_mut()) {
                *to = pair_of(*x, 0.0);
            }
        }
    }
}
