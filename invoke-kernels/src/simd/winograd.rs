//! Convolution of 3x3 by Winograd's F(4x4, 3x3): an output tile of 4x4 from an input tile of 6x6 with 36 multiplications instead of
//! 144.
//!
//! The interpolation points are 0, ±1/√2, ±√2 and infinity, whose transforms lose less precision than the usual small integers.
//! Input, weights and output are transformed with vectors of channels; in between stand 36 matrix products over channels.

use super::gemm::{Target, panel_rows};
use super::{Isa, Kernel, Simd};
use crate::buffer::Shared;

/// Products for each tile.
pub(crate) const POINTS: usize = 36;
const ROOT: f32 = std::f32::consts::SQRT_2;

/// The tiles of a convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TileGrid {
    /// Pictures.
    pub(crate) batch: usize,
    /// Height and width of the stored input.
    pub(crate) stored: [usize; 2],
    /// The input is read as if each stored pixel were `2^scale` pixels wide and high.
    pub(crate) scale: usize,
    /// Channels of the input.
    pub(crate) channels: usize,
    /// Rows above and columns left of the input.
    pub(crate) before: [usize; 2],
    /// Whether the input wraps around, vertically and horizontally.
    pub(crate) wrap: [bool; 2],
    /// Height and width of the output.
    pub(crate) output: [usize; 2],
}

impl TileGrid {
    /// Rows and columns of tiles of one picture.
    fn counts(&self) -> [usize; 2] {
        self.output.map(|n| n.div_ceil(4))
    }

    /// Tiles of all pictures.
    pub(crate) fn tiles(&self) -> usize {
        let [rows, columns] = self.counts();
        self.batch * rows * columns
    }

    /// Picture, and first output row and column, of a tile.
    #[inline(always)]
    fn place(&self, tile: usize) -> [usize; 3] {
        let [rows, columns] = self.counts();
        [tile / (rows * columns), tile / columns % rows * 4, tile % columns * 4]
    }

    /// The stored row (or column) at a position counted from the start of the padding; `None` beyond the edge.
    #[inline(always)]
    pub(crate) fn source(&self, axis: usize, at: usize) -> Option<usize> {
        let n = self.stored[axis] << self.scale;
        let before = self.before[axis];
        if at >= before && at < n + before {
            Some((at - before) >> self.scale)
        } else if self.wrap[axis] {
            Some(((at + n - before % n) % n) >> self.scale)
        } else {
            None
        }
    }

    /// Where the six input rows (or columns) of a tile lie along an axis.
    #[inline(always)]
    fn along(&self, axis: usize, first: usize) -> [Option<usize>; 6] {
        let mut all = [None; 6];
        for (i, slot) in all.iter_mut().enumerate() {
            *slot = self.source(axis, first + i);
        }
        all
    }
}

/// Transforms the input of some tiles.
pub(crate) struct InputTiles<'a> {
    /// Where tiles lie.
    pub(crate) grid: TileGrid,
    /// The input, channels last.
    pub(crate) x: &'a [f32],
    /// The tiles of the block.
    pub(crate) tiles: std::ops::Range<usize>,
    /// Those of them to transform.
    pub(crate) some: std::ops::Range<usize>,
    /// Channels in a group.
    pub(crate) depth: usize,
    /// `[group of channels][point][tile of the block][channel of the group]`; the last group may be narrower.
    pub(crate) out: Shared,
}

/// Transforms the input of some tiles of a block.
///
/// # Safety
/// `out` must have room for all tiles of the block, and no other thread may touch the parts of those in `some`.
pub(crate) unsafe fn input_tiles(isa: Isa, tiles: InputTiles<'_>) {
    let g = &tiles.grid;
    assert!(
        tiles.x.len() >= g.batch * g.stored[0] * g.stored[1] * g.channels,
        "input of a convolution"
    );
    assert!(
        tiles.some.start >= tiles.tiles.start && tiles.some.end <= tiles.tiles.end && tiles.tiles.end <= g.tiles(),
        "tiles"
    );
    isa.run(tiles);
}

impl Kernel for InputTiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let g = &self.grid;
        let zeros = [0.0_f32; 16];
        let count = self.tiles.len();
        for tile in self.some.clone() {
            let [picture, y, x] = g.place(tile);
            let (rows, columns) = (g.along(0, y), g.along(1, x));
            // Offsets of the 36 pixels; those beyond the edge stay where zeros are.
            let mut at = [usize::MAX; POINTS];
            let mut inside = true;
            for (i, row) in rows.iter().enumerate() {
                for (j, column) in columns.iter().enumerate() {
                    match (row, column) {
                        (Some(row), Some(column)) => at[i * 6 + j] = ((picture * g.stored[0] + row) * g.stored[1] + column) * g.channels,
                        _ => inside = false,
                    }
                }
            }
            for group in (0..g.channels).step_by(self.depth) {
                let width = self.depth.min(g.channels - group);
                for channel in (0..width).step_by(S::LANES) {
                    let n = width - channel;
                    // SAFETY: the offsets are those of pixels within the input (checked in `input_tiles`), or the zeros are read;
                    // the output has room by the caller's word.
                    unsafe {
                        let mut d = [s.zero(); POINTS];
                        if inside && n >= S::LANES {
                            for i in 0..POINTS {
                                d[i] = s.load(self.x.as_ptr().add(at[i] + group + channel));
                            }
                        } else {
                            for i in 0..POINTS {
                                let p = if at[i] == usize::MAX {
                                    zeros.as_ptr()
                                } else {
                                    self.x.as_ptr().add(at[i] + group + channel)
                                };
                                d[i] = s.load_some(p, n);
                            }
                        }
                        let out = self.out.at(group * POINTS * count + (tile - self.tiles.start) * width + channel);
                        transform_input(s, &d, out, count * width, n);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn input_1d<S: Simd>(s: S, d: [S::V; 6]) -> [S::V; 6] {
    let [d0, d1, d2, d3, d4, d5] = d;
    let e1 = s.fnma(d2, s.splat(2.0), d4);
    let o1 = s.mul(s.fnma(d1, s.splat(2.0), d3), s.splat(ROOT / 2.0));
    let e2 = s.fnma(d2, s.splat(0.5), d4);
    let o2 = s.mul(s.fnma(d1, s.splat(0.5), d3), s.splat(ROOT));
    [
        s.fnma(d2, s.splat(2.5), s.add(d0, d4)),
        s.add(e1, o1),
        s.sub(e1, o1),
        s.add(e2, o2),
        s.sub(e2, o2),
        s.fnma(d3, s.splat(2.5), s.add(d1, d5)),
    ]
}

#[inline(always)]
unsafe fn transform_input<S: Simd>(s: S, d: &[S::V; POINTS], out: *mut f32, stride: usize, n: usize) {
    let mut t = [s.zero(); POINTS];
    for j in 0..6 {
        let column = input_1d(s, [d[j], d[6 + j], d[12 + j], d[18 + j], d[24 + j], d[30 + j]]);
        for i in 0..6 {
            t[i * 6 + j] = column[i];
        }
    }
    for i in 0..6 {
        let row = input_1d(s, [t[i * 6], t[i * 6 + 1], t[i * 6 + 2], t[i * 6 + 3], t[i * 6 + 4], t[i * 6 + 5]]);
        for (j, x) in row.into_iter().enumerate() {
            // SAFETY: the caller's word.
            unsafe { s.store_some(out.add((i * 6 + j) * stride), x, n) };
        }
    }
}

#[inline(always)]
fn weights_1d<S: Simd>(s: S, g: [S::V; 3]) -> [S::V; 6] {
    let [g0, g1, g2] = g;
    let third = s.splat(1.0 / 3.0);
    // -(2 g0 + g2) / 3 -+ √2 g1 / 3, and (g0 / 2 + g2) / 3 +- √2 g1 / 6.
    let e1 = s.mul(s.fma(g0, s.splat(2.0), g2), s.splat(-1.0 / 3.0));
    let o1 = s.mul(g1, s.splat(ROOT / 3.0));
    let e2 = s.mul(s.fma(g0, s.splat(0.5), g2), third);
    let o2 = s.mul(g1, s.splat(ROOT / 6.0));
    [g0, s.sub(e1, o1), s.add(e1, o1), s.add(e2, o2), s.sub(e2, o2), g2]
}

/// Transforms `from..to` of the channels of one panel of weights `[9][channels][PANEL]` to `[36][to - from][PANEL]`. With `HALVES` the weights are half
/// floats, pairs of rows that follow each other side by side.
#[inline(always)]
unsafe fn panel_weights<S: Simd, const HALVES: bool>(s: S, panel: *const f32, channels: usize, from: usize, to: usize, out: *mut f32) {
    for channel in from..to {
        for half in 0..2 {
            // SAFETY: the channel lies within the panel, and the output has room for it.
            unsafe {
                let tap = |i: usize| {
                    let row = i * channels + channel;
                    if !HALVES {
                        return s.load(panel.add(row * S::PANEL + half * S::LANES));
                    }
                    let pair = s.load(panel.add(row / 2 * S::PANEL + half * S::LANES));
                    if row.is_multiple_of(2) {
                        s.low_halves(pair)
                    } else {
                        s.high_halves(pair)
                    }
                };
                let mut t = [s.zero(); 18];
                for j in 0..3 {
                    let column = weights_1d(s, [tap(j), tap(3 + j), tap(6 + j)]);
                    for i in 0..6 {
                        t[i * 3 + j] = column[i];
                    }
                }
                let out = out.add((channel - from) * S::PANEL + half * S::LANES);
                for i in 0..6 {
                    let row = weights_1d(s, [t[i * 3], t[i * 3 + 1], t[i * 3 + 2]]);
                    for (j, x) in row.into_iter().enumerate() {
                        s.store(out.add((i * 6 + j) * (to - from) * S::PANEL), x);
                    }
                }
            }
        }
    }
}

/// Rows of floats, or of pairs of half floats, of a panel of weights.
#[inline(always)]
const fn rows_of_panel(channels: usize, halves: bool) -> usize {
    if halves { (9 * channels).div_ceil(2) } else { 9 * channels }
}

struct Weights<'a> {
    panels: &'a [f32],
    channels: usize,
    depth: usize,
    out: &'a mut [f32],
}

/// Transforms all panels `[panel][9][channels][PANEL]` to `[panel][group of channels][36][channel of the group][PANEL]`.
pub(crate) fn transform_weights(isa: Isa, panels: &[f32], channels: usize, depth: usize, out: &mut [f32]) {
    assert!(
        panels.len().is_multiple_of(9 * channels * isa.panel()) && out.len() == panels.len() * 4,
        "weights of a convolution"
    );
    isa.run(Weights {
        panels,
        channels,
        depth,
        out,
    });
}

impl Kernel for Weights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let size = self.channels * S::PANEL;
        let panels = self.panels.chunks_exact(9 * size);
        for (panel, out) in panels.zip(self.out.chunks_exact_mut(POINTS * size)) {
            for from in (0..self.channels).step_by(self.depth) {
                let to = self.channels.min(from + self.depth);
                // SAFETY: both chunks hold one panel.
                unsafe {
                    panel_weights::<S, false>(
                        s,
                        panel.as_ptr(),
                        self.channels,
                        from,
                        to,
                        out.as_mut_ptr().add(from * POINTS * S::PANEL),
                    );
                };
            }
        }
    }
}

/// Products and output of a block of tiles, for some panels of weights.
pub(crate) struct OutputTiles<'a> {
    /// Where tiles lie.
    pub(crate) grid: TileGrid,
    /// The tiles of the block.
    pub(crate) tiles: std::ops::Range<usize>,
    /// Their transformed input.
    pub(crate) input: &'a [f32],
    /// Channels in a group.
    pub(crate) depth: usize,
    /// The weights, `[panel][9][channels][PANEL]`.
    pub(crate) panels: &'a [f32],
    /// They are half floats, two rows side by side.
    pub(crate) halves: bool,
    /// The transformed weights, where they are kept.
    pub(crate) transformed: Option<&'a [f32]>,
    /// Which panel.
    pub(crate) panel: usize,
    /// Room for `36 * PANEL * (tiles + depth)` floats.
    pub(crate) room: &'a mut [f32],
    /// Channels of the output.
    pub(crate) outputs: usize,
    /// Added to every pixel.
    pub(crate) bias: Option<&'a [f32]>,
    /// Added to every pixel of a picture, `[batch][outputs]`.
    pub(crate) per_picture: Option<&'a [f32]>,
    /// Added to each result.
    pub(crate) residual: Option<&'a [f32]>,
    /// The output, channels last.
    pub(crate) out: Shared,
}

/// Computes the output of a block of tiles for the channels of one panel.
///
/// # Safety
/// `out` must have room for the whole output, and no other thread may touch this block's part.
pub(crate) unsafe fn output_tiles(isa: Isa, block: OutputTiles<'_>) {
    let g = &block.grid;
    let panels = block.outputs.div_ceil(isa.panel());
    let size = g.channels * isa.panel();
    assert!(
        block.panel < panels && block.panels.len() >= panels * rows_of_panel(g.channels, block.halves) * isa.panel(),
        "weights of a convolution"
    );
    assert!(
        block.transformed.is_none_or(|t| t.len() >= panels * POINTS * size),
        "transformed weights"
    );
    assert!(block.input.len() >= POINTS * block.tiles.len() * g.channels, "transformed input");
    assert!(
        block.room.len() >= POINTS * isa.panel() * (block.tiles.len() + block.depth),
        "room to work"
    );
    assert!(block.tiles.end <= g.tiles(), "tiles");
    let pixels = g.batch * g.output[0] * g.output[1];
    assert!(block.bias.is_none_or(|b| b.len() == block.outputs), "a bias for each output");
    assert!(
        block.per_picture.is_none_or(|b| b.len() == g.batch * block.outputs),
        "a bias for each picture and output"
    );
    assert!(
        block.residual.is_none_or(|r| r.len() == pixels * block.outputs),
        "a residual of the output's size"
    );
    isa.run(block);
}

impl Kernel for OutputTiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (count, channels) = (self.tiles.len(), self.grid.channels);
        let room = std::mem::take(&mut self.room);
        let columns = S::PANEL.min(self.outputs - self.panel * S::PANEL);
        let (sums, spare) = room.split_at_mut(POINTS * S::PANEL * count);
        // SAFETY: the lengths were checked in `output_tiles`; the output is this block's own by its caller's word.
        unsafe {
            for group in (0..channels).step_by(self.depth) {
                let width = self.depth.min(channels - group);
                let weights = if let Some(all) = self.transformed {
                    all.as_ptr().add((self.panel * channels + group) * POINTS * S::PANEL)
                } else {
                    let panel = self
                        .panels
                        .as_ptr()
                        .add(self.panel * rows_of_panel(channels, self.halves) * S::PANEL);
                    if self.halves {
                        panel_weights::<S, true>(s, panel, channels, group, group + width, spare.as_mut_ptr());
                    } else {
                        panel_weights::<S, false>(s, panel, channels, group, group + width, spare.as_mut_ptr());
                    }
                    spare.as_ptr()
                };
                for point in 0..POINTS {
                    let input = self.input.as_ptr().add((group * POINTS + point * width) * count);
                    let target = Target::plain(sums.as_mut_ptr().add(point * count * S::PANEL), S::PANEL, group > 0);
                    let wide = if columns <= S::LANES { S::LANES } else { S::PANEL };
                    panel_rows(
                        s,
                        input,
                        width,
                        count,
                        width,
                        weights.add(point * width * S::PANEL),
                        wide,
                        target,
                        false,
                    );
                }
            }
            for tile in self.tiles.clone() {
                for column in (0..columns).step_by(S::LANES) {
                    let sums = sums.as_ptr().add((tile - self.tiles.start) * S::PANEL + column);
                    self.transform_output(s, tile, sums, count * S::PANEL, self.panel * S::PANEL + column, columns - column);
                }
            }
        }
    }
}

#[inline(always)]
fn output_1d<S: Simd>(s: S, m: [S::V; 6]) -> [S::V; 4] {
    let (p, q) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    let (r, u) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
    [
        s.add(m[0], s.add(p, r)),
        s.fma(q, s.splat(ROOT / 2.0), s.mul(u, s.splat(ROOT))),
        s.fma(p, s.splat(0.5), s.mul(r, s.splat(2.0))),
        s.fma(q, s.splat(ROOT / 4.0), s.fma(u, s.splat(2.0 * ROOT), m[5])),
    ]
}

impl OutputTiles<'_> {
    #[inline(always)]
    unsafe fn transform_output<S: Simd>(&self, s: S, tile: usize, sums: *const f32, stride: usize, channel: usize, n: usize) {
        let g = &self.grid;
        let [picture, y, x] = g.place(tile);
        // SAFETY: the caller's word; only pixels within the output are written.
        unsafe {
            let mut t = [s.zero(); 24];
            for j in 0..6 {
                let m = |i: usize| s.load(sums.add((i * 6 + j) * stride));
                let column = output_1d(s, [m(0), m(1), m(2), m(3), m(4), m(5)]);
                for i in 0..4 {
                    t[i * 6 + j] = column[i];
                }
            }
            let mut bias = s.zero();
            if let Some(b) = self.bias {
                bias = s.load_some(b.as_ptr().add(channel), n);
            }
            if let Some(b) = self.per_picture {
                bias = s.add(bias, s.load_some(b.as_ptr().add(picture * self.outputs + channel), n));
            }
            let (rows, columns) = (4.min(g.output[0] - y), 4.min(g.output[1] - x));
            for i in 0..4 {
                if i >= rows {
                    break;
                }
                let row = output_1d(s, [t[i * 6], t[i * 6 + 1], t[i * 6 + 2], t[i * 6 + 3], t[i * 6 + 4], t[i * 6 + 5]]);
                let at = ((picture * g.output[0] + y + i) * g.output[1] + x) * self.outputs + channel;
                for (j, value) in row.into_iter().enumerate() {
                    if j >= columns {
                        break;
                    }
                    let at = at + j * self.outputs;
                    let mut value = s.add(value, bias);
                    if let Some(r) = self.residual {
                        value = s.add(value, s.load_some(r.as_ptr().add(at), n));
                    }
                    s.store_some(self.out.at(at), value, n);
                }
            }
        }
    }
}
