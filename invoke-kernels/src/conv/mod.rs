//! Two-dimensional convolution of channels-last pictures.
//!
//! 1x1 convolutions are matrix products over pixels. With tiles of half floats ([`tiles`]) the rest are sums of such products, one for
//! each place of the kernel; without ([`panels`]), 3x3 ones of stride 1 go through Winograd's transform.

mod panels;
mod tiles;

use self::panels::PanelConv;
use self::tiles::TileConv;
use crate::buffer::filled;
use crate::layout::upsample_2x;
use crate::matrix::Matrix;
use crate::simd::{Isa, TileGrid};
use crate::weight::Weight;

/// Fewest channels in and out for which tiles of half floats, which take 32 at a time, are not mostly padding.
const FEW_CHANNELS: usize = 24;

/// What is added to a convolution's sums.
#[derive(Clone, Copy)]
struct Added<'a> {
    bias: Option<&'a [f32]>,
    per_picture: Option<&'a [f32]>,
    residual: Option<&'a [f32]>,
}

/// What lies beyond the edges of a picture along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Edges {
    /// Zeros.
    #[default]
    Zeros,
    /// The opposite edge.
    Wrap,
}

/// Geometry of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Step between output pixels.
    pub stride: usize,
    /// Pixels added at the top, bottom, left and right.
    pub padding: [usize; 4],
}

/// Pictures to convolve.
#[derive(Debug, Clone, Copy)]
pub struct ConvInput<'a> {
    /// `[batch, height, width, channels]`.
    pub pixels: &'a [f32],
    /// Number of pictures.
    pub batch: usize,
    /// Stored height and width.
    pub size: [usize; 2],
    /// Read each pixel as 2 x 2 pixels (nearest-neighbour doubling).
    pub doubled: bool,
    /// Vertical and horizontal edges.
    pub edges: [Edges; 2],
}

/// What is added to the result, besides the bias.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// For every pixel of a picture, `[batch, outputs]`.
    pub per_picture: Option<&'a [f32]>,
    /// For each pixel, of the output's size.
    pub residual: Option<&'a [f32]>,
}

/// A convolution with its weights packed for the processor at hand.
#[derive(Debug, Clone)]
pub struct Conv {
    weights: Weights,
    bias: Option<Vec<f32>>,
    channels: usize,
    outputs: usize,
    geometry: Geometry,
}

/// The weights of an output are `[kernel row][kernel column][channel]`.
#[derive(Debug, Clone)]
enum Weights {
    /// One pixel at a time.
    Pointwise(Matrix),
    Tiles(TileConv),
    Panels(PanelConv),
}

impl Conv {
    /// From torch's layout `[outputs, channels, height, width]`.
    pub fn new<W: Weight>(weight: &[W], channels: usize, geometry: Geometry, bias: Option<&[f32]>) -> Self {
        Self::for_isa(weight, channels, geometry, bias, Isa::best())
    }

    /// As [`new`](Self::new), for a given instruction set.
    pub fn for_isa<W: Weight>(weight: &[W], channels: usize, geometry: Geometry, bias: Option<&[f32]>, isa: Isa) -> Self {
        let taps = geometry.kernel[0] * geometry.kernel[1];
        let inputs = channels * taps;
        assert!(
            inputs > 0 && geometry.stride > 0 && weight.len().is_multiple_of(inputs),
            "weights of {channels} channels"
        );
        let outputs = weight.len() / inputs;
        assert!(bias.is_none_or(|b| b.len() == outputs), "a bias for each of {outputs} outputs");
        let weights = if geometry
            == (Geometry {
                kernel: [1, 1],
                stride: 1,
                padding: [0; 4],
            }) {
            Weights::Pointwise(Matrix::for_isa(weight, channels, bias, isa))
        } else if isa.has_tiles() && channels >= FEW_CHANNELS && outputs >= FEW_CHANNELS {
            Weights::Tiles(TileConv::new(isa, weight, channels, geometry))
        } else {
            Weights::Panels(PanelConv::new(isa.without_tiles(), weight, channels, geometry))
        };
        Self {
            weights,
            bias: bias.map(<[f32]>::to_vec),
            channels,
            outputs,
            geometry,
        }
    }

    /// Channels of the output.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Channels of the input.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Height and width of the output for an input of `size` (after doubling).
    pub fn output_size(&self, size: [usize; 2]) -> [usize; 2] {
        let [top, bottom, left, right] = self.geometry.padding;
        let along = |n: usize, pad: usize, kernel: usize| (n + pad).checked_sub(kernel).map_or(0, |n| n / self.geometry.stride + 1);
        [
            along(size[0], top + bottom, self.geometry.kernel[0]),
            along(size[1], left + right, self.geometry.kernel[1]),
        ]
    }

    /// The convolution, plus its bias and the epilogue, `[batch, height, width, outputs]`.
    pub fn forward(&self, input: ConvInput<'_>, epilogue: Epilogue<'_>) -> Vec<f32> {
        let scale = usize::from(input.doubled);
        let output = self.output_size(input.size.map(|n| n << scale));
        let pixels = input.batch * output[0] * output[1];
        assert_eq!(
            input.pixels.len(),
            input.batch * input.size[0] * input.size[1] * self.channels,
            "pictures to convolve"
        );
        assert!(
            epilogue.residual.is_none_or(|r| r.len() == pixels * self.outputs),
            "a residual of the output's size"
        );
        assert!(
            epilogue.per_picture.is_none_or(|p| p.len() == input.batch * self.outputs),
            "a term for each picture and output"
        );
        let [top, _, left, _] = self.geometry.padding;
        let grid = TileGrid {
            batch: input.batch,
            stored: input.size,
            scale,
            channels: self.channels,
            before: [top, left],
            wrap: input.edges.map(|e| e == Edges::Wrap),
            output,
        };
        let joined = Added {
            bias: self.bias.as_deref(),
            per_picture: epilogue.per_picture,
            residual: epilogue.residual,
        };
        // SAFETY: both write every pixel.
        unsafe {
            match &self.weights {
                Weights::Pointwise(matrix) => {
                    let doubled = input
                        .doubled
                        .then(|| upsample_2x(input.pixels, input.size[0], input.size[1], self.channels));
                    let mut y = matrix.product(doubled.as_deref().unwrap_or(input.pixels), epilogue.residual);
                    if let Some(terms) = epilogue.per_picture {
                        add_per_picture(&mut y, terms, input.batch, self.outputs);
                    }
                    y
                }
                Weights::Tiles(tiles) => filled(pixels * self.outputs, |out| tiles.forward(&grid, input.pixels, joined, out)),
                Weights::Panels(panels) => filled(pixels * self.outputs, |out| panels.forward(&grid, input.pixels, joined, out)),
            }
        }
    }
}

/// Adds a term for each picture and output.
pub(super) fn add_per_picture(y: &mut [f32], terms: &[f32], batch: usize, outputs: usize) {
    let size = y.len() / batch.max(1);
    for (picture, terms) in y.chunks_exact_mut(size.max(1)).zip(terms.chunks_exact(outputs)) {
        picture
            .chunks_exact_mut(outputs)
            .for_each(|pixel| pixel.iter_mut().zip(terms).for_each(|(y, t)| *y += t));
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::layout::upsample_2x;
    use crate::twin::{self, close, noise};

    struct Case {
        dims: [usize; 4],
        outputs: usize,
        geometry: Geometry,
        edges: [Edges; 2],
        doubled: bool,
    }

    fn check(isa: Isa, case: &Case) {
        let Case {
            dims: [b, h, w, c],
            outputs,
            geometry,
            edges,
            doubled,
        } = *case;
        let taps = geometry.kernel[0] * geometry.kernel[1];
        let (x, weight, bias) = (noise(b * h * w * c, 1), noise(outputs * c * taps, 2), noise(outputs, 3));
        let conv = Conv::for_isa(&weight, c, geometry, Some(&bias), isa);
        let scaled = if doubled { upsample_2x(&x, h, w, c) } else { x.clone() };
        let dims = if doubled { [b, 2 * h, 2 * w, c] } else { [b, h, w, c] };
        let wrap = edges.map(|e| e == Edges::Wrap);
        let (plain, size) = twin::conv(&scaled, dims, &weight, geometry.kernel, geometry.stride, geometry.padding, wrap);
        assert_eq!(conv.output_size([dims[1], dims[2]]), size);
        let (per_picture, residual) = (noise(b * outputs, 4), noise(plain.len(), 5));
        let per = size[0] * size[1] * outputs;
        let want: Vec<f32> = plain
            .iter()
            .enumerate()
            .map(|(i, y)| y + bias[i % outputs] + per_picture[i / per * outputs + i % outputs] + residual[i])
            .collect();
        let input = ConvInput {
            pixels: &x,
            batch: b,
            size: [h, w],
            doubled,
            edges,
        };
        let got = conv.forward(
            input,
            Epilogue {
                per_picture: Some(&per_picture),
                residual: Some(&residual),
            },
        );
        close(&got, &want, 6e-6);
        let bare = Conv::for_isa(&weight, c, geometry, None, isa).forward(input, Epilogue::default());
        close(&bare, &plain, 6e-6);
        // Half floats: of what is rounded already, so that only the order of the sums differs.
        let rounded = |x: &[f32]| -> Vec<bf16> { x.iter().copied().map(bf16::from_f32).collect() };
        let wide = |x: &[bf16]| -> Vec<f32> { x.iter().map(|x| x.to_f32()).collect() };
        let (halves, pixels) = (rounded(&weight), wide(&rounded(&x)));
        let scaled = if doubled { upsample_2x(&pixels, h, w, c) } else { pixels.clone() };
        let (want, _) = twin::conv(
            &scaled,
            dims,
            &wide(&halves),
            geometry.kernel,
            geometry.stride,
            geometry.padding,
            wrap,
        );
        let input = ConvInput { pixels: &pixels, ..input };
        let got = Conv::for_isa(&halves, c, geometry, None, isa).forward(input, Epilogue::default());
        close(&got, &want, 6e-6);
    }

    #[test]
    fn convolutions_of_odd_shapes() {
        let square = |kernel: usize, stride: usize, padding: [usize; 4]| Geometry {
            kernel: [kernel; 2],
            stride,
            padding,
        };
        let same = square(3, 1, [1; 4]);
        let cases = [
            ([1, 1, 1, 1], 1, square(1, 1, [0; 4])),
            ([2, 5, 7, 20], 33, square(1, 1, [0; 4])),
            ([2, 9, 6, 5], 7, same),
            ([1, 8, 8, 16], 32, same),
            ([2, 13, 18, 40], 50, same),
            ([2, 9, 8, 9], 40, same),
            ([1, 33, 31, 200], 16, same),
            ([2, 4, 4, 160], 70, same),
            ([1, 40, 24, 9], 3, square(3, 1, [0, 2, 1, 0])),
            ([2, 16, 15, 24], 40, square(3, 2, [1; 4])),
            ([1, 17, 8, 64], 33, square(3, 2, [0, 1, 0, 1])),
            ([1, 70, 70, 32], 32, square(3, 2, [1; 4])),
            (
                [1, 9, 11, 6],
                5,
                Geometry {
                    kernel: [5, 2],
                    stride: 3,
                    padding: [2, 1, 0, 3],
                },
            ),
        ];
        for isa in Isa::available() {
            for (dims, outputs, geometry) in cases {
                for edges in [[Edges::Zeros; 2], [Edges::Wrap, Edges::Zeros], [Edges::Wrap; 2]] {
                    check(
                        isa,
                        &Case {
                            dims,
                            outputs,
                            geometry,
                            edges,
                            doubled: false,
                        },
                    );
                }
                check(
                    isa,
                    &Case {
                        dims,
                        outputs,
                        geometry,
                        edges: [Edges::Zeros, Edges::Wrap],
                        doubled: true,
                    },
                );
            }
        }
    }

    #[test]
    fn more_input_than_stands_in_memory_at_once() {
        let geometry = Geometry {
            kernel: [3; 2],
            stride: 1,
            padding: [1; 4],
        };
        for isa in Isa::available() {
            let dims = [1, 150, 140, 96];
            check(
                isa,
                &Case {
                    dims,
                    outputs: 8,
                    geometry,
                    edges: [Edges::Zeros; 2],
                    doubled: false,
                },
            );
        }
    }

    #[test]
    fn an_input_smaller_than_the_kernel_gives_nothing() {
        let conv = Conv::new(
            &noise(9 * 8, 1),
            8,
            Geometry {
                kernel: [3; 2],
                stride: 1,
                padding: [0; 4],
            },
            None,
        );
        let input = ConvInput {
            pixels: &noise(2 * 2 * 8, 2),
            batch: 1,
            size: [2, 2],
            doubled: false,
            edges: [Edges::Zeros; 2],
        };
        assert!(conv.forward(input, Epilogue::default()).is_empty());
    }
}
