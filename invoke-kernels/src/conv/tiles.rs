//! Convolution by tiles of half floats.
//!
//! The padded input is split into two planes of half floats. With stride 1, the input pixels of one place of the kernel are then rows at
//! one distance, read where they stand: output pixels are counted through the padded width, and those that fall on the padding are not
//! written. With other strides, the pixels under the kernel are written one after another for each output pixel.

use std::ops::Range;

use super::{Added, Geometry};
use crate::buffer::Shared;
use crate::parallel::{run, run_if, threads};
use crate::simd::{Finish, Isa, SIDE, TileGrid};
use crate::tiles::{Planes, RowLayout, TileWeights};
use crate::weight::Weight;

/// Rows that are few however long they are.
const FEW_ROWS: usize = 640;

/// Weights for tiles.
#[derive(Debug, Clone)]
pub(super) struct TileConv {
    weights: TileWeights,
    channels: usize,
    outputs: usize,
    geometry: Geometry,
    isa: Isa,
}

/// A part of the output: some lines of some pictures (of one picture, if not all lines).
#[derive(Debug, Clone)]
struct Band {
    pictures: Range<usize>,
    lines: Range<usize>,
}

impl TileConv {
    /// From torch's layout `[outputs, channels, height, width]`.
    pub(super) fn new<W: Weight>(isa: Isa, weight: &[W], channels: usize, geometry: Geometry) -> Self {
        let taps = geometry.kernel[0] * geometry.kernel[1];
        let outputs = weight.len() / channels / taps;
        let at = |output: usize, tap: usize, channel: usize| weight[(output * channels + channel) * taps + tap].single();
        Self {
            weights: TileWeights::new(isa, outputs, taps, channels, at),
            channels,
            outputs,
            geometry,
            isa,
        }
    }

    /// Convolves pictures, whose size was checked.
    ///
    /// # Safety
    /// `out` must have room for the whole output.
    pub(super) unsafe fn forward(&self, grid: &TileGrid, x: &[f32], added: Added<'_>, out: Shared) {
        let [lines, columns] = grid.output;
        if lines * columns * grid.batch == 0 {
            return;
        }
        let bands = self.bands(grid);
        run(bands.len(), |i| {
            let band = &bands[i];
            let at = (band.pictures.start * lines + band.lines.start) * columns * self.outputs;
            let finish = Finish {
                bias: added.bias,
                per_picture: added.per_picture.map(|p| &p[band.pictures.start * self.outputs..]),
                residual: added.residual.map(|r| &r[at..]),
                gated: false,
            };
            let rows = self.rows(grid, band);
            Planes::lend(rows.planes_len(self.channels), |planes| {
                // SAFETY: the planes are written before they are multiplied; the output is the caller's word.
                unsafe {
                    if self.geometry.stride == 1 {
                        self.write_padded(grid, x, band, planes);
                    } else {
                        self.write_gathered(grid, x, band, planes);
                    }
                    self.weights.multiply(planes, &rows, finish, out.clone_at(at), self.outputs);
                }
            });
        });
    }

    /// Everything at once if it is little; else as many lines as stay in a thread's cache.
    fn bands(&self, grid: &TileGrid) -> Vec<Band> {
        let lines = grid.output[0];
        let width = if self.geometry.stride == 1 {
            self.padded_width(grid)
        } else {
            grid.output[1]
        };
        let most = TileWeights::cached_blocks(self.row_stride()) * SIDE;
        if grid.batch * lines * width <= most.max(FEW_ROWS) {
            return vec![Band {
                pictures: 0..grid.batch,
                lines: 0..lines,
            }];
        }
        let per_picture = (lines * width).div_ceil(most);
        let per_picture = if grid.batch.is_multiple_of(threads()) {
            per_picture
        } else {
            per_picture.next_multiple_of(threads())
        };
        let step = lines.div_ceil(per_picture);
        let of_picture = |picture: usize| {
            (0..lines).step_by(step).map(move |i| Band {
                pictures: picture..picture + 1,
                lines: i..lines.min(i + step),
            })
        };
        (0..grid.batch).flat_map(of_picture).collect()
    }

    /// Half floats between rows of activations.
    fn row_stride(&self) -> usize {
        self.weights.stride(if self.geometry.stride == 1 { 1 } else { self.taps() })
    }

    /// Width of the padded input.
    fn padded_width(&self, grid: &TileGrid) -> usize {
        (grid.output[1] - 1) * self.geometry.stride + self.geometry.kernel[1]
    }

    fn taps(&self) -> usize {
        self.geometry.kernel[0] * self.geometry.kernel[1]
    }

    /// How the rows of a band lie in the planes.
    fn rows(&self, grid: &TileGrid, band: &Band) -> RowLayout {
        let (stride, columns, lines, pictures) = (self.row_stride(), grid.output[1], band.lines.len(), band.pictures.len());
        if self.geometry.stride == 1 {
            let width = self.padded_width(grid);
            let [kh, kw] = self.geometry.kernel;
            return RowLayout {
                pictures,
                stride,
                picture_stride: (lines + kh - 1) * width * stride,
                rows: (lines - 1) * width + columns,
                period: width,
                valid: columns,
                taps: (0..kh).flat_map(|y| (0..kw).map(move |x| (y * width + x) * stride)).collect(),
            };
        }
        let rows = lines * columns;
        let taps = (0..self.taps()).map(|tap| tap * self.weights.wide()).collect();
        RowLayout {
            pictures,
            stride,
            picture_stride: rows * stride,
            rows,
            period: rows,
            valid: rows,
            taps,
        }
    }

    /// Splits the padded input lines of a band.
    ///
    /// # Safety
    /// The planes must have room for the band, and be this call's alone.
    unsafe fn write_padded(&self, grid: &TileGrid, x: &[f32], band: &Band, planes: Planes) {
        let (stride, width) = (self.row_stride(), self.padded_width(grid));
        let lines = band.lines.len() + self.geometry.kernel[0] - 1;
        let [before, inside] = [grid.before[1].min(width), grid.stored[1].min(width.saturating_sub(grid.before[1]))];
        let plain = grid.scale == 0 && !grid.wrap[1];
        run_if(lines * width * self.channels > 1 << 15, band.pictures.len() * lines, |i| {
            let (picture, line) = (band.pictures.start + i / lines, band.lines.start + i % lines);
            let at = i * width * stride;
            // SAFETY: each task has its own line of the planes.
            unsafe {
                match grid.source(0, line) {
                    None => planes.clear(at, width * stride),
                    Some(row) if plain => {
                        let from = (picture * grid.stored[0] + row) * grid.stored[1] * self.channels;
                        let pixels = &x[from..from + inside * self.channels];
                        planes.clear(at, before * stride);
                        planes.write(self.isa, at + before * stride, pixels, self.channels, stride);
                        planes.clear(at + (before + inside) * stride, (width - before - inside) * stride);
                    }
                    Some(row) => (0..width).for_each(|c| self.write_pixel(grid, x, [picture, row, c], planes, at + c * stride)),
                }
            }
        });
    }

    /// Splits the pixels under the kernel for each output pixel of a band.
    ///
    /// # Safety
    /// As for `write_padded`.
    unsafe fn write_gathered(&self, grid: &TileGrid, x: &[f32], band: &Band, planes: Planes) {
        let (wide, columns) = (self.weights.wide(), grid.output[1]);
        let [kh, kw] = self.geometry.kernel;
        let lines = band.lines.len();
        run_if(
            lines * columns * self.taps() * self.channels > 1 << 15,
            band.pictures.len() * lines,
            |i| {
                let (picture, line) = (band.pictures.start + i / lines, band.lines.start + i % lines);
                for column in 0..columns {
                    for ky in 0..kh {
                        let at = (i * columns + column) * self.row_stride() + ky * kw * wide;
                        // SAFETY: each task has its own line of the planes.
                        unsafe {
                            match grid.source(0, line * self.geometry.stride + ky) {
                                None => planes.clear(at, kw * wide),
                                Some(row) => (0..kw).for_each(|kx| {
                                    let column = column * self.geometry.stride + kx;
                                    self.write_pixel(grid, x, [picture, row, column], planes, at + kx * wide);
                                }),
                            }
                        }
                    }
                }
            },
        );
    }

    /// Splits the pixel of a padded column.
    ///
    /// # Safety
    /// As for `write_padded`.
    unsafe fn write_pixel(&self, grid: &TileGrid, x: &[f32], [picture, row, column]: [usize; 3], planes: Planes, at: usize) {
        // SAFETY: passed on.
        unsafe {
            match grid.source(1, column) {
                None => planes.clear(at, self.weights.wide()),
                Some(column) => {
                    let from = ((picture * grid.stored[0] + row) * grid.stored[1] + column) * self.channels;
                    planes.write(self.isa, at, &x[from..from + self.channels], self.channels, 0);
                }
            }
        }
    }
}
