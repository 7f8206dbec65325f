//! Products with a matrix of weights that is packed once.

use crate::buffer::filled;
use crate::panels::{Joined, PanelWeights};
use crate::simd::{Finish, Isa};
use crate::tiles::TileWeights;
use crate::weight::Weight;

/// A matrix of weights with its bias, packed for the processor at hand.
#[derive(Debug, Clone)]
pub struct Matrix {
    weights: Weights,
    bias: Option<Vec<f32>>,
    inputs: usize,
    outputs: usize,
    gated: bool,
}

#[derive(Debug, Clone)]
enum Weights {
    Panels(PanelWeights),
    Tiles(TileWeights),
}

impl Matrix {
    /// From rows of `inputs` numbers, one for each output (torch's layout of a linear layer).
    pub fn new<W: Weight>(weight: &[W], inputs: usize, bias: Option<&[f32]>) -> Self {
        Self::for_isa(weight, inputs, bias, Isa::best())
    }

    /// As [`new`](Self::new), for a given instruction set.
    pub fn for_isa<W: Weight>(weight: &[W], inputs: usize, bias: Option<&[f32]>, isa: Isa) -> Self {
        assert!(inputs > 0 && weight.len().is_multiple_of(inputs), "weights are rows of {inputs}");
        let outputs = weight.len() / inputs;
        assert!(bias.is_none_or(|b| b.len() == outputs), "a bias for each of {outputs} outputs");
        let weights = if isa.has_tiles() {
            Weights::Tiles(TileWeights::new(isa, outputs, 1, inputs, |output, _, input| {
                weight[output * inputs + input].single()
            }))
        } else {
            Weights::Panels(W::pack(isa, weight, inputs).0)
        };
        Self {
            weights,
            bias: bias.map(<[f32]>::to_vec),
            inputs,
            outputs,
            gated: false,
        }
    }

    /// A gated layer: `weight` (and the bias) holds the rows of the values, then as many rows of gates; the product is
    /// `value * gelu(gate)`, half as wide.
    pub fn gated<W: Weight>(weight: &[W], inputs: usize, bias: Option<&[f32]>) -> Self {
        Self::gated_for_isa(weight, inputs, bias, Isa::best())
    }

    /// As [`gated`](Self::gated), for a given instruction set.
    pub fn gated_for_isa<W: Weight>(weight: &[W], inputs: usize, bias: Option<&[f32]>, isa: Isa) -> Self {
        assert!(
            inputs > 0 && weight.len().is_multiple_of(2 * inputs),
            "gated weights are two halves of rows of {inputs}"
        );
        let half = weight.len() / inputs / 2;
        assert!(
            bias.is_none_or(|b| b.len() == 2 * half),
            "a bias for each of {half} values and gates"
        );
        let lanes = isa.panel() / 2;
        let bias = bias.map(|b| interleaved(b, half, lanes));
        let packed = Self::for_isa(&interleaved(weight, half, lanes), inputs, bias.as_deref(), isa);
        Self {
            outputs: half,
            gated: true,
            ..packed
        }
    }

    /// Whether the weights are half floats, and are computed with as such.
    pub fn of_halves(&self) -> bool {
        matches!(&self.weights, Weights::Panels(panels) if panels.halves())
    }

    /// Floats in a row of input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Floats in a row of output.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// `x Wᵀ + bias + residual` for rows `x` of `inputs` floats.
    pub fn product(&self, x: &[f32], residual: Option<&[f32]>) -> Vec<f32> {
        assert!(x.len().is_multiple_of(self.inputs), "input in rows of {}", self.inputs);
        let rows = x.len() / self.inputs;
        assert!(
            residual.is_none_or(|r| r.len() == rows * self.outputs && !self.gated),
            "a residual of the output's size"
        );
        match &self.weights {
            // SAFETY: all rows are written.
            Weights::Panels(panels) => unsafe {
                let joined = Joined {
                    bias: self.bias.as_deref(),
                    residual,
                    gated: self.gated,
                };
                filled(rows * self.outputs, |out| panels.multiply(x, rows, joined, out, self.outputs))
            },
            Weights::Tiles(tiles) => {
                let finish = Finish {
                    bias: self.bias.as_deref(),
                    per_picture: None,
                    residual,
                    gated: self.gated,
                };
                tiles.product(x, finish, self.outputs)
            }
        }
    }
}

/// `half` rows of values and as many of gates, put together in panels of a vector of values and one of their gates, `lanes` wide.
fn interleaved<W: Weight>(from: &[W], half: usize, lanes: usize) -> Vec<W> {
    let width = from.len() / half.max(1) / 2;
    let mut out = vec![W::default(); half.next_multiple_of(lanes) * 2 * width];
    for row in 0..half {
        let at = (row / lanes * 2 * lanes + row % lanes) * width;
        out[at..at + width].copy_from_slice(&from[row * width..][..width]);
        out[at + lanes * width..][..width].copy_from_slice(&from[(half + row) * width..][..width]);
    }
    out
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::twin::{close, gelu, noise};

    fn naive(x: &[f32], w: &[f32], k: usize, bias: Option<&[f32]>, residual: Option<&[f32]>) -> Vec<f32> {
        let n = w.len() / k;
        let sum = |r: usize, c: usize| {
            x[r * k..][..k]
                .iter()
                .zip(&w[c * k..][..k])
                .map(|(x, w)| f64::from(*x) * f64::from(*w))
                .sum::<f64>()
        };
        let all = (0..x.len() / k).flat_map(|r| (0..n).map(move |c| (r, c)));
        all.map(|(r, c)| sum(r, c) as f32 + bias.map_or(0.0, |b| b[c]) + residual.map_or(0.0, |y| y[r * n + c]))
            .collect()
    }

    #[test]
    fn products_of_odd_shapes() {
        for isa in Isa::available() {
            for (rows, k, n) in [
                (1, 1, 1),
                (2, 7, 3),
                (13, 32, 33),
                (25, 100, 64),
                (77, 2100, 17),
                (300, 40, 160),
                (2050, 520, 40),
            ] {
                let (x, w, b, y) = (noise(rows * k, 1), noise(n * k, 2), noise(n, 3), noise(rows * n, 4));
                let matrix = Matrix::for_isa(&w, k, Some(&b), isa);
                assert_eq!((matrix.inputs(), matrix.outputs()), (k, n));
                close(&matrix.product(&x, Some(&y)), &naive(&x, &w, k, Some(&b), Some(&y)), 1e-5);
                let plain = Matrix::for_isa(&w, k, None, isa);
                close(&plain.product(&x, None), &naive(&x, &w, k, None, None), 1e-5);
            }
        }
    }

    #[test]
    fn gated_products() {
        for isa in Isa::available() {
            for (rows, k, half) in [(1, 3, 1), (50, 32, 16), (99, 20, 37), (7, 64, 128)] {
                let (x, w, b) = (noise(rows * k, 1), noise(2 * half * k, 2), noise(2 * half, 3));
                let both = naive(&x, &w, k, Some(&b), None);
                let want: Vec<f32> = both
                    .chunks(2 * half)
                    .flat_map(|row| (0..half).map(|i| row[i] * gelu(row[half + i])))
                    .collect();
                close(&Matrix::gated_for_isa(&w, k, Some(&b), isa).product(&x, None), &want, 1e-5);
            }
        }
    }

    #[test]
    fn half_floats() {
        for isa in Isa::available() {
            for (rows, k, n) in [
                (1, 1, 1),
                (2, 7, 3),
                (13, 32, 33),
                (25, 101, 64),
                (77, 2101, 17),
                (300, 40, 160),
                (2050, 1030, 40),
            ] {
                // What is a half float already is rounded nowhere, so that only the order of the sums differs.
                let rounded = |x: Vec<f32>| -> Vec<bf16> { x.into_iter().map(bf16::from_f32).collect() };
                let wide = |x: &[bf16]| -> Vec<f32> { x.iter().map(|x| x.to_f32()).collect() };
                let (x, w, b, y) = (
                    rounded(noise(rows * k, 1)),
                    rounded(noise(n * k, 2)),
                    noise(n, 3),
                    noise(rows * n, 4),
                );
                let matrix = Matrix::for_isa(&w, k, Some(&b), isa);
                let want = naive(&wide(&x), &wide(&w), k, Some(&b), Some(&y));
                close(&matrix.product(&wide(&x), Some(&y)), &want, 1e-5);
                // Anything else is rounded first, one part in 512 at most.
                let x = noise(rows * k, 5);
                close(&matrix.product(&x, None), &naive(&x, &wide(&w), k, Some(&b), None), 4e-3);
                if n.is_multiple_of(2) {
                    let both = naive(&x, &wide(&w), k, Some(&b), None);
                    let want: Vec<f32> = both
                        .chunks(n)
                        .flat_map(|row| (0..n / 2).map(|i| row[i] * gelu(row[n / 2 + i])))
                        .collect();
                    close(&Matrix::gated_for_isa(&w, k, Some(&b), isa).product(&x, None), &want, 1e-2);
                }
            }
        }
    }

    #[test]
    fn no_rows_give_nothing() {
        assert!(Matrix::new(&noise(12, 1), 4, None).product(&[], None).is_empty());
    }
}
