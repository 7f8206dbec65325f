//! Attention by tiles: some queries against some keys at a time, with a running maximum and sum, so that the scores of a tile stay in
//! the cache and the whole matrix of scores never exists.

#[cfg(target_arch = "x86_64")]
use super::amx_attention;
use super::gemm::{Target, pack_panels, panel_rows};
use super::{Isa, Kernel, Level, Simd, math};

/// Queries of a tile.
const QUERIES: usize = 48;
/// Keys of a tile.
const KEYS: usize = 128;

/// Most queries of a tile.
pub(crate) fn queries(isa: Isa) -> usize {
    match isa.0 {
        #[cfg(target_arch = "x86_64")]
        Level::Amx(..) => amx_attention::QUERIES,
        _ => QUERIES,
    }
}

/// Floats that the packed keys (and values) of a head take.
pub(crate) fn packed_len(isa: Isa, keys: usize, dim: usize) -> [usize; 2] {
    match isa.0 {
        #[cfg(target_arch = "x86_64")]
        Level::Amx(..) => amx_attention::packed_len(keys, dim),
        _ => [keys.next_multiple_of(isa.panel()) * dim, dim.next_multiple_of(isa.panel()) * keys],
    }
}

/// Floats of room that [`attend`] needs.
pub(crate) fn head_room(isa: Isa, dim: usize) -> usize {
    match isa.0 {
        #[cfg(target_arch = "x86_64")]
        Level::Amx(..) => amx_attention::room(dim),
        _ => QUERIES * (dim + KEYS + dim.next_multiple_of(isa.panel()) + 2),
    }
}

/// Packs a head's keys as panels of keys `[dim][PANEL]`, and its values as panels of dimensions `[keys][PANEL]`; both are rows of `dim`
/// floats, some distance apart.
pub(crate) fn pack_head(
    isa: Isa,
    [keys, values]: [&[f32]; 2],
    [key_stride, value_stride]: [usize; 2],
    count: usize,
    dim: usize,
    [packed_keys, packed_values]: [&mut [f32]; 2],
) {
    let [key_len, value_len] = packed_len(isa, count, dim);
    assert!(
        packed_keys.len() >= key_len && packed_values.len() >= value_len,
        "room for packed keys and values"
    );
    assert!(
        count > 0 && keys.len() >= (count - 1) * key_stride + dim && values.len() >= (count - 1) * value_stride + dim,
        "keys and values"
    );
    #[cfg(target_arch = "x86_64")]
    if let Level::Amx(simd, _) = isa.0 {
        // SAFETY: the value proves the instructions; the lengths were checked.
        return unsafe {
            amx_attention::pack_head(
                simd,
                [keys, values],
                [key_stride, value_stride],
                count,
                dim,
                [packed_keys, packed_values],
            );
        };
    }
    let width = isa.panel();
    pack_panels(count, dim, key_stride, keys, width, packed_keys);
    for (p, panel) in packed_values.chunks_exact_mut(count * width).enumerate() {
        let used = width.min(dim - p * width);
        for (key, row) in panel.chunks_exact_mut(width).enumerate() {
            row[..used].copy_from_slice(&values[key * value_stride + p * width..][..used]);
            row[used..].fill(0.0);
        }
    }
}

/// Some queries of one head against all its keys.
pub(crate) struct HeadTile<'a> {
    /// Queries, rows of `dim` floats, `stride` apart.
    pub(crate) queries: &'a [f32],
    /// Floats between queries.
    pub(crate) stride: usize,
    /// Number of queries, at most [`queries`].
    pub(crate) count: usize,
    /// Position of the first, for a causal mask.
    pub(crate) first: usize,
    /// From `pack_head`.
    pub(crate) keys: &'a [f32],
    /// From `pack_head`.
    pub(crate) values: &'a [f32],
    /// Number of keys.
    pub(crate) length: usize,
    /// Floats of a head.
    pub(crate) dim: usize,
    /// No query looks past its own position.
    pub(crate) causal: bool,
    /// Added to the scores: for each query a row of `length` floats, `bias_stride` apart (0: one row for all).
    pub(crate) bias: Option<&'a [f32]>,
    /// Floats between rows of the bias.
    pub(crate) bias_stride: usize,
    /// Room to work, see [`head_room`].
    pub(crate) room: &'a mut [f32],
    /// The first result.
    pub(crate) out: *mut f32,
    /// Floats between rows of results.
    pub(crate) out_stride: usize,
}

/// Computes the output of some queries.
///
/// # Safety
/// `out` must have room for `count` rows of `dim` floats, `out_stride` apart, and no other thread may touch them.
pub(crate) unsafe fn attend(isa: Isa, head: HeadTile<'_>) {
    let [keys, values] = packed_len(isa, head.length, head.dim);
    assert!(
        head.count > 0 && head.count <= queries(isa) && head.length > 0,
        "queries and keys of a tile"
    );
    assert!(head.queries.len() >= (head.count - 1) * head.stride + head.dim, "queries");
    assert!(head.keys.len() >= keys && head.values.len() >= values, "packed keys and values");
    assert!(
        head.bias
            .is_none_or(|b| b.len() >= (head.count - 1) * head.bias_stride + head.length),
        "bias of the scores"
    );
    assert!(head.room.len() >= head_room(isa, head.dim), "room to work");
    match isa.0 {
        // SAFETY: the value proves the instructions; the lengths were checked, the output is the caller's word.
        #[cfg(target_arch = "x86_64")]
        Level::Amx(simd, amx) => unsafe { amx_attention::attend(simd, amx, head) },
        _ => isa.run(head),
    }
}

impl Kernel for HeadTile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let wide = self.dim.next_multiple_of(S::PANEL);
        let (queries, rest) = self.room.split_at_mut(QUERIES * self.dim);
        let (scores, rest) = rest.split_at_mut(QUERIES * KEYS);
        let (sums, rest) = rest.split_at_mut(QUERIES * wide);
        let (peaks, totals) = rest.split_at_mut(QUERIES);
        peaks.fill(-1e30);
        totals[..QUERIES].fill(0.0);
        sums.fill(0.0);
        // Powers of two are cheaper than of e.
        let scale = std::f32::consts::LOG2_E / (self.dim as f32).sqrt();
        for (row, to) in queries.chunks_exact_mut(self.dim).enumerate().take(self.count) {
            to.iter_mut()
                .zip(&self.queries[row * self.stride..][..self.dim])
                .for_each(|(to, x)| *to = x * scale);
        }
        let length = if self.causal {
            self.length.min(self.first + self.count)
        } else {
            self.length
        };
        for key in (0..length).step_by(KEYS) {
            let keys = KEYS.min(length - key);
            // SAFETY: `attend` checked the slices; panels start within them, and `scores` has KEYS columns, a multiple of any PANEL.
            unsafe {
                for column in (0..keys).step_by(S::PANEL) {
                    let panel = self.keys.as_ptr().add((key + column) * self.dim);
                    let target = Target::plain(scores.as_mut_ptr().add(column), KEYS, false);
                    let columns = if keys - column <= S::LANES { S::LANES } else { S::PANEL };
                    panel_rows(s, queries.as_ptr(), self.dim, self.count, self.dim, panel, columns, target, false);
                }
                for row in 0..self.count {
                    let scores = scores.as_mut_ptr().add(row * KEYS);
                    let seen = if self.causal {
                        keys.min((self.first + row + 1).saturating_sub(key))
                    } else {
                        keys
                    };
                    let mut peak = s.splat(peaks[row]);
                    for i in (0..keys).step_by(S::LANES) {
                        let mut x = s.load(scores.add(i));
                        if let Some(bias) = self.bias {
                            let n = keys - i;
                            let bias = s.load_some(bias.as_ptr().add(row * self.bias_stride + key + i), n);
                            x = s.fma(bias, s.splat(std::f32::consts::LOG2_E), x);
                            s.store(scores.add(i), x);
                        }
                        if seen < i + S::LANES {
                            for j in seen.saturating_sub(i)..S::LANES {
                                *scores.add(i + j) = f32::NEG_INFINITY;
                            }
                            x = s.load(scores.add(i));
                        }
                        peak = s.max(peak, x);
                    }
                    let peak = s.largest(peak);
                    let shift = s.splat(peak);
                    let mut total = s.zero();
                    for i in (0..keys).step_by(S::LANES) {
                        let p = math::exp2_of_negative(s, s.sub(s.load(scores.add(i)), shift));
                        total = s.add(total, p);
                        s.store(scores.add(i), p);
                    }
                    if peak > peaks[row] {
                        let factor = (peaks[row] - peak).exp2();
                        totals[row] *= factor;
                        let factor = s.splat(factor);
                        let sums = sums.as_mut_ptr().add(row * wide);
                        for i in (0..wide).step_by(S::LANES) {
                            s.store(sums.add(i), s.mul(s.load(sums.add(i)), factor));
                        }
                        peaks[row] = peak;
                    }
                    totals[row] += s.sum(total);
                }
                for column in (0..self.dim).step_by(S::PANEL) {
                    let panel = self.values.as_ptr().add(column * self.length + key * S::PANEL);
                    let target = Target::plain(sums.as_mut_ptr().add(column), wide, true);
                    let columns = if self.dim - column <= S::LANES { S::LANES } else { S::PANEL };
                    panel_rows(s, scores.as_ptr(), KEYS, self.count, keys, panel, columns, target, false);
                }
            }
        }
        for row in 0..self.count {
            let factor = s.splat(1.0 / totals[row]);
            for i in (0..self.dim).step_by(S::LANES) {
                // SAFETY: the sums have `wide` floats a row; the output is the caller's word.
                unsafe {
                    let x = s.mul(s.load(sums.as_ptr().add(row * wide + i)), factor);
                    s.store_some(self.out.add(row * self.out_stride + i), x, self.dim - i);
                }
            }
        }
    }
}
