//! Convolution by panels of weights.
//!
//! 3x3 ones of stride 1 go through Winograd's transform, block of tiles by block of tiles; the weights are transformed on the way, panel
//! by panel, unless they are so few that both forms may be kept; the transform and its products are in single floats, whatever the
//! weights are, since it magnifies what rounding leaves. All others gather the input pixels of some output pixels into rows
//! and multiply those.

use std::ops::Range;

use super::{Added, Geometry, add_per_picture};
use crate::buffer::{Aligned, Shared, scratch};
use crate::panels::{Joined, PanelWeights};
use crate::parallel::{run_if, split, threads};
use crate::simd::{InputTiles, Isa, OutputTiles, POINTS, TileGrid, input_tiles, output_tiles, transform_weights};
use crate::weight::Weight;

/// Channels transformed and multiplied together.
const DEPTH: usize = 64;
/// Transformed weights of at most this many floats are kept.
const KEPT: usize = 160 * 1024;
/// Transformed input of at most this many floats stands in memory at once.
const STANDING: usize = 4 << 20;
/// Tiles of a block of products: their sums (36 x 32 floats a tile) share the second-level cache with a group of weights.
const TILES: usize = 64;
/// Fewest tiles for which the transform pays.
const FEW_TILES: usize = 6;
/// Floats gathered at once by a convolution without transform.
const GATHERED: usize = 1 << 16;
/// Multiplications worth a second thread.
const WORTH: usize = 400_000;

/// Weights for panels of single floats, and for Winograd's transform.
#[derive(Debug, Clone)]
pub(super) struct PanelConv {
    weights: PanelWeights,
    transformed: Option<Aligned>,
    channels: usize,
    outputs: usize,
    geometry: Geometry,
    isa: Isa,
}

impl PanelConv {
    /// From torch's layout `[outputs, channels, height, width]`.
    pub(super) fn new<W: Weight>(isa: Isa, weight: &[W], channels: usize, geometry: Geometry) -> Self {
        let taps = geometry.kernel[0] * geometry.kernel[1];
        let inputs = channels * taps;
        let mut rows = vec![W::default(); weight.len()];
        for (from, to) in weight.chunks_exact(inputs).zip(rows.chunks_exact_mut(inputs)) {
            for (channel, from) in from.chunks_exact(taps).enumerate() {
                for (tap, x) in from.iter().enumerate() {
                    to[tap * channels + channel] = *x;
                }
            }
        }
        let weights = W::pack(isa, &rows, inputs).0;
        let mut conv = Self {
            weights,
            transformed: None,
            channels,
            outputs: weight.len() / inputs,
            geometry,
            isa,
        };
        let len = 4 * conv.weights.packed().len();
        if conv.suits_transform() && len <= KEPT && !conv.weights.halves() {
            let mut all = Aligned::zeros(len);
            transform_weights(isa, conv.weights.packed(), channels, DEPTH, all.as_mut_slice());
            conv.transformed = Some(all);
        }
        conv
    }

    fn suits_transform(&self) -> bool {
        self.geometry.kernel == [3, 3] && self.geometry.stride == 1 && self.channels >= 8
    }

    /// Convolves pictures, whose size was checked.
    ///
    /// # Safety
    /// `out` must have room for the whole output.
    pub(super) unsafe fn forward(&self, grid: &TileGrid, x: &[f32], added: Added<'_>, out: Shared) {
        if grid.output.contains(&0) || grid.batch == 0 {
            return;
        }
        // SAFETY: passed on.
        unsafe {
            if self.suits_transform() && grid.tiles() >= FEW_TILES {
                self.by_transform(grid, x, added, out);
            } else {
                self.by_gathering(grid, x, added, out);
            }
        }
    }

    /// # Safety
    /// `out` must have room for the whole output.
    unsafe fn by_transform(&self, grid: &TileGrid, x: &[f32], added: Added<'_>, out: Shared) {
        let tiles = grid.tiles();
        let panels = self.outputs.div_ceil(self.isa.panel());
        let per_tile = POINTS * self.channels;
        // Blocks of equal size; when there are few panels, enough blocks for all threads.
        let blocks = tiles.div_ceil(TILES).max((2 * threads()).div_ceil(panels).min(tiles.div_ceil(8)));
        let block = tiles.div_ceil(blocks);
        let standing = (STANDING / per_tile / block).clamp(1, blocks);
        let worth = tiles * per_tile * self.outputs > WORTH;
        scratch(standing * block * per_tile, |room| {
            for first in (0..blocks).step_by(standing) {
                let count = standing.min(blocks - first);
                let tiles_of = |i: usize| ((first + i) * block).min(tiles)..((first + i + 1) * block).min(tiles);
                let shared = Shared::new(room);
                let parts = if worth {
                    (4 * threads()).div_ceil(count).min(block.div_ceil(4))
                } else {
                    1
                };
                run_if(worth, count * parts, |i| {
                    let all = tiles_of(i / parts);
                    let part = |n: usize| all.start + all.len() * n / parts;
                    let some = part(i % parts)..part(i % parts + 1);
                    // SAFETY: each task has its own tiles, each block its own part of the room.
                    unsafe {
                        let out = shared.clone_at(i / parts * block * per_tile);
                        input_tiles(
                            self.isa,
                            InputTiles {
                                grid: *grid,
                                x,
                                tiles: all.clone(),
                                some,
                                depth: DEPTH,
                                out,
                            },
                        );
                    }
                });
                let room = &*room;
                run_if(worth, count * panels, |i| {
                    let (i, panel) = (i % count, i / count);
                    let tiles = tiles_of(i);
                    scratch(POINTS * self.isa.panel() * (tiles.len() + DEPTH), |work| {
                        let part = OutputTiles {
                            grid: *grid,
                            tiles: tiles.clone(),
                            input: &room[i * block * per_tile..],
                            depth: DEPTH,
                            panels: self.weights.packed(),
                            halves: self.weights.halves(),
                            transformed: self.transformed.as_ref().map(Aligned::as_slice),
                            panel,
                            room: work,
                            outputs: self.outputs,
                            bias: added.bias,
                            per_picture: added.per_picture,
                            residual: added.residual,
                            out,
                        };
                        // SAFETY: each task has its own tiles and channels of the output.
                        unsafe { output_tiles(self.isa, part) };
                    });
                });
            }
        });
    }

    /// # Safety
    /// `out` must have room for the whole output.
    unsafe fn by_gathering(&self, grid: &TileGrid, x: &[f32], added: Added<'_>, out: Shared) {
        let depth = self.channels * self.geometry.kernel[0] * self.geometry.kernel[1];
        let per_picture = grid.output[0] * grid.output[1];
        let pixels = grid.batch * per_picture;
        let joined = Joined {
            bias: added.bias,
            residual: added.residual,
            gated: false,
        };
        if pixels * depth <= 4 * GATHERED {
            // Few pixels: gather all, then share the weights among the threads.
            scratch(pixels * depth, |rows| {
                let shared = Shared::new(rows);
                let (parts, range) = split(pixels, 1, 2);
                run_if(pixels * depth > 1 << 14, parts, |i| {
                    // SAFETY: each task has its own rows.
                    unsafe { self.gather(grid, x, range(i), shared.at(range(i).start * depth)) };
                });
                // SAFETY: the output is the caller's word.
                unsafe { self.weights.multiply(rows, pixels, joined, out, self.outputs) };
            });
        } else {
            let step = (GATHERED / depth)
                .next_multiple_of(self.isa.rows())
                .min(pixels.div_ceil(threads()))
                .max(1);
            run_if(pixels * depth * self.outputs > WORTH, pixels.div_ceil(step), |i| {
                let some = i * step..pixels.min((i + 1) * step);
                let at = some.start * self.outputs;
                scratch(some.len() * depth, |rows| {
                    let shared = Shared::new(rows);
                    let joined = Joined {
                        residual: joined.residual.map(|r| &r[at..]),
                        ..joined
                    };
                    // SAFETY: the rows are this task's own, and so are the pixels of the output.
                    unsafe {
                        self.gather(grid, x, some.clone(), shared.at(0));
                        self.weights.multiply_here(rows, some.len(), joined, out.clone_at(at), self.outputs);
                    }
                });
            });
        }
        if let Some(terms) = added.per_picture {
            // SAFETY: all was written above, and no task runs any more.
            let all = unsafe { std::slice::from_raw_parts_mut(out.at(0), pixels * self.outputs) };
            add_per_picture(all, terms, grid.batch, self.outputs);
        }
    }

    /// Writes, for each of some output pixels, the input pixels under the kernel one after another.
    ///
    /// # Safety
    /// `to` must have room for a row of `kernel height * kernel width * channels` floats for each.
    unsafe fn gather(&self, grid: &TileGrid, x: &[f32], pixels: Range<usize>, to: *mut f32) {
        let [kh, kw] = self.geometry.kernel;
        let c = self.channels;
        let [oh, ow] = grid.output;
        let mut to = to;
        for pixel in pixels {
            let (image, oy, ox) = (pixel / (oh * ow), pixel / ow % oh, pixel % ow);
            let first = ox * self.geometry.stride;
            // Columns that lie within the picture without wrapping or doubling are copied together.
            let whole = grid.scale == 0 && first >= grid.before[1] && first + kw <= grid.stored[1] + grid.before[1];
            for ky in 0..kh {
                let row = grid.source(0, oy * self.geometry.stride + ky);
                let line = |row: usize, column: usize| ((image * grid.stored[0] + row) * grid.stored[1] + column) * c;
                // SAFETY: rows of the room follow each other; `source` gives pixels within the picture, whose size was checked.
                unsafe {
                    match row {
                        None => to.write_bytes(0, kw * c),
                        Some(row) if whole => {
                            to.copy_from_nonoverlapping(x[line(row, first - grid.before[1])..][..kw * c].as_ptr(), kw * c);
                        }
                        Some(row) => {
                            for kx in 0..kw {
                                match grid.source(1, first + kx) {
                                    None => to.add(kx * c).write_bytes(0, c),
                                    Some(column) => to.add(kx * c).copy_from_nonoverlapping(x[line(row, column)..][..c].as_ptr(), c),
                                }
                            }
                        }
                    }
                    to = to.add(kw * c);
                }
            }
        }
    }
}
