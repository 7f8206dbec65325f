//! Scaled dot-product attention.

use crate::buffer::{Shared, filled, scratch};
use crate::parallel::run_if;
use crate::simd::{Form, HeadTile, Isa, attend, head_room, pack_head, packed_len};

/// Fewest scores of a head that tiles are used for.
const FEW_SCORES: usize = 16_384;
/// The largest head that tiles are used for.
const MOST_DIM: usize = 1024;
/// Multiplications worth a second thread.
const WORTH: usize = 200_000;

/// Shape of an attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Independent sequences.
    pub batch: usize,
    /// Queries of each.
    pub queries: usize,
    /// Keys (and values) of each.
    pub keys: usize,
    /// Heads.
    pub heads: usize,
    /// Floats of a head.
    pub dim: usize,
    /// Floats between queries, between keys and between values: `heads * dim`, or more where they are parts of wider rows.
    pub strides: [usize; 3],
    /// Round all to half floats before it is multiplied, where the processor gains by that; sums are single floats.
    pub halves: bool,
}

impl AttentionShape {
    /// Queries, keys and values each in rows of `heads * dim`.
    pub const fn dense(batch: usize, queries: usize, keys: usize, heads: usize, dim: usize) -> Self {
        Self {
            batch,
            queries,
            keys,
            heads,
            dim,
            strides: [heads * dim; 3],
            halves: false,
        }
    }
}

/// What a query may look at.
#[derive(Debug, Clone, Copy)]
pub enum Mask<'a> {
    /// Everything.
    None,
    /// Itself and what came before.
    Causal,
    /// Added to the scores of all heads: `[batch or 1, queries or 1, keys]`, with these first two sizes.
    Bias(&'a [f32], [usize; 2]),
}

/// `softmax(q kᵀ / sqrt(dim) + mask) v`, heads side by side in each row; the result has rows of `heads * dim`.
pub fn attention(q: &[f32], k: &[f32], v: &[f32], shape: AttentionShape, mask: Mask<'_>) -> Vec<f32> {
    attention_for_isa(q, k, v, shape, mask, Isa::best())
}

fn attention_for_isa(q: &[f32], k: &[f32], v: &[f32], shape: AttentionShape, mask: Mask<'_>, isa: Isa) -> Vec<f32> {
    let AttentionShape {
        batch,
        queries,
        keys,
        heads,
        dim,
        strides: [q_stride, k_stride, v_stride],
        halves,
    } = shape;
    let width = heads * dim;
    assert!(batch * keys * width > 0, "attention needs keys and heads");
    let holds = |x: &[f32], rows: usize, stride: usize| stride >= width && x.len() + stride >= batch * rows * stride + width;
    assert!(
        queries == 0 || holds(q, queries, q_stride),
        "queries of {batch} x {queries} x {width}"
    );
    assert!(
        holds(k, keys, k_stride) && holds(v, keys, v_stride),
        "keys and values of {batch} x {keys} x {width}"
    );
    if let Mask::Bias(bias, [b, n]) = mask {
        assert!(
            (b == 1 || b == batch) && (n == 1 || n == queries) && bias.len() == b * n * keys,
            "a bias for the scores"
        );
    }
    // Few scores are sooner done than put into tiles; heads beyond any model's are left to the vector kernel.
    let form = Form {
        isa: if dim > MOST_DIM || queries * keys < FEW_SCORES {
            isa.without_tiles()
        } else {
            isa
        },
        halves: halves && !isa.has_tiles(),
    };
    let isa = form.isa;
    let [key_len, value_len] = packed_len(form, keys, dim);
    let head_len = key_len + value_len;
    let tiles = queries.div_ceil(crate::simd::queries(form));
    let tile = queries.div_ceil(tiles.max(1)).max(1);
    let worth = batch * queries * keys * width > WORTH;
    scratch(batch * heads * head_len, |packed| {
        let shared = Shared::new(packed);
        run_if(worth, batch * heads, |i| {
            let (image, head) = (i / heads, i % heads);
            // SAFETY: each head has its own part.
            let own = unsafe { std::slice::from_raw_parts_mut(shared.at(i * head_len), head_len) };
            let (to_keys, to_values) = own.split_at_mut(key_len);
            let from = [
                &k[image * keys * k_stride + head * dim..],
                &v[image * keys * v_stride + head * dim..],
            ];
            pack_head(form, from, [k_stride, v_stride], keys, dim, [to_keys, to_values]);
        });
        let packed = &*packed;
        // SAFETY: the tiles cover all queries of all heads, each once.
        unsafe {
            filled(batch * queries * width, |out| {
                run_if(worth, batch * heads * tiles, |i| {
                    let (image, head, first) = (i / tiles / heads, i / tiles % heads, i % tiles * tile);
                    if first >= queries {
                        return;
                    }
                    let (own_keys, own_values) = packed[i / tiles * head_len..][..head_len].split_at(key_len);
                    let (bias, bias_stride) = match mask {
                        Mask::Bias(bias, [b, n]) => {
                            let row = if b == 1 { 0 } else { image * n } + if n == 1 { 0 } else { first };
                            (Some(&bias[row * keys..]), if n == 1 { 0 } else { keys })
                        }
                        _ => (None, 0),
                    };
                    scratch(head_room(form, dim), |room| {
                        attend(
                            isa,
                            HeadTile {
                                queries: &q[(image * queries + first) * q_stride + head * dim..],
                                stride: q_stride,
                                count: tile.min(queries - first),
                                first,
                                keys: own_keys,
                                values: own_values,
                                length: keys,
                                dim,
                                halves: form.halves,
                                causal: matches!(mask, Mask::Causal),
                                bias,
                                bias_stride,
                                room,
                                out: out.at((image * queries + first) * width + head * dim),
                                out_stride: width,
                            },
                        );
                    });
                });
            })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twin::{close, noise};

    fn naive(q: &[f32], k: &[f32], v: &[f32], shape: AttentionShape, mask: Mask<'_>) -> Vec<f32> {
        let AttentionShape {
            batch,
            queries,
            keys,
            heads,
            dim,
            strides,
            ..
        } = shape;
        let mut out = vec![0.0; batch * queries * heads * dim];
        for (b, h, i) in (0..batch).flat_map(|b| (0..heads).flat_map(move |h| (0..queries).map(move |i| (b, h, i)))) {
            let row = |x: &[f32], at: usize, stride: usize| x[at * stride + h * dim..][..dim].to_vec();
            let query = row(q, b * queries + i, strides[0]);
            let scores: Vec<f64> = (0..keys)
                .map(|j| {
                    let dot: f64 = query
                        .iter()
                        .zip(row(k, b * keys + j, strides[1]))
                        .map(|(a, b)| f64::from(*a) * f64::from(b))
                        .sum();
                    let mask = match mask {
                        Mask::Causal if j > i => f64::NEG_INFINITY,
                        Mask::Bias(bias, [bs, ns]) => f64::from(bias[((b % bs) * ns + i % ns) * keys + j]),
                        _ => 0.0,
                    };
                    dot / (dim as f64).sqrt() + mask
                })
                .collect();
            let peak = scores.iter().copied().fold(f64::MIN, f64::max);
            let total: f64 = scores.iter().map(|s| (s - peak).exp()).sum();
            for d in 0..dim {
                let sum: f64 = scores
                    .iter()
                    .enumerate()
                    .map(|(j, s)| (s - peak).exp() * f64::from(row(v, b * keys + j, strides[2])[d]))
                    .sum();
                out[(b * queries + i) * heads * dim + h * dim + d] = (sum / total) as f32;
            }
        }
        out
    }

    #[test]
    fn attention_of_odd_shapes() {
        for isa in Isa::available() {
            for (batch, queries, keys, heads, dim) in [
                (1, 1, 1, 1, 1),
                (2, 7, 5, 3, 20),
                (1, 100, 77, 2, 40),
                (2, 50, 300, 1, 33),
                (1, 257, 257, 2, 64),
                (2, 16, 16, 4, 40),
            ] {
                let shape = AttentionShape::dense(batch, queries, keys, heads, dim);
                let width = heads * dim;
                let loud = |len, seed| noise(len, seed).iter().map(|x| x * 4.0).collect::<Vec<_>>();
                let (q, k, v) = (
                    loud(batch * queries * width, 1),
                    loud(batch * keys * width, 2),
                    noise(batch * keys * width, 3),
                );
                let bias = noise(batch * queries * keys, 4);
                let mut masks = vec![
                    Mask::None,
                    Mask::Bias(&bias, [batch, queries]),
                    Mask::Bias(&bias[..keys], [1, 1]),
                    Mask::Bias(&bias[..batch * keys], [batch, 1]),
                ];
                if queries == keys {
                    masks.push(Mask::Causal);
                }
                for mask in masks {
                    let want = naive(&q, &k, &v, shape, mask);
                    close(&attention_for_isa(&q, &k, &v, shape, mask, isa), &want, 4e-5);
                    // Scores of up to some tens are rounded to one part in 256.
                    let shape = AttentionShape { halves: true, ..shape };
                    let rounded = attention_for_isa(&q, &k, &v, shape, mask, isa);
                    close(&rounded, &want, 0.15);
                    let apart = rounded.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert_eq!(apart > 1e-4, !isa.has_tiles(), "{apart} at {shape:?}");
                }
            }
        }
    }

    #[test]
    fn half_floats() {
        // Queries so quiet that all weights are nearly alike: what differs is the rounding of values and weights alone.
        for isa in Isa::available() {
            for (queries, keys, dim) in [(1, 1, 1), (50, 300, 33), (100, 77, 40), (7, 145, 64)] {
                let shape = AttentionShape {
                    halves: true,
                    ..AttentionShape::dense(2, queries, keys, 2, dim)
                };
                let quiet: Vec<f32> = noise(4 * queries * dim, 1).iter().map(|x| x * 0.1).collect();
                let (k, v) = (noise(4 * keys * dim, 2), noise(4 * keys * dim, 3));
                let want = naive(&quiet, &k, &v, shape, Mask::None);
                close(&attention_for_isa(&quiet, &k, &v, shape, Mask::None, isa), &want, 6e-3);
            }
        }
    }

    #[test]
    fn parts_of_wider_rows() {
        let (batch, n, heads, dim) = (2, 60, 2, 24);
        let width = heads * dim;
        let shape = AttentionShape {
            strides: [3 * width; 3],
            ..AttentionShape::dense(batch, n, n, heads, dim)
        };
        let qkv = noise(batch * n * 3 * width, 1);
        let (q, k, v) = (&qkv[..], &qkv[width..], &qkv[2 * width..]);
        close(&attention(q, k, v, shape, Mask::None), &naive(q, k, v, shape, Mask::None), 1e-5);
    }

    #[test]
    fn keys_hidden_by_an_infinite_bias_do_not_count() {
        let shape = AttentionShape::dense(1, 4, 6, 1, 8);
        let (q, k, v) = (noise(32, 1), noise(48, 2), noise(48, 3));
        let bias: Vec<f32> = (0..6).map(|j| if j < 4 { 0.0 } else { f32::NEG_INFINITY }).collect();
        let want = naive(&q, &k[..32], &v[..32], AttentionShape::dense(1, 4, 4, 1, 8), Mask::None);
        close(&attention(&q, &k, &v, shape, Mask::Bias(&bias, [1, 1])), &want, 1e-5);
    }
}
