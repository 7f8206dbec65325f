//! Attention by tiles: some queries against some keys at a time, with a running maximum and sum, so that the scores of a tile stay in
//! the cache and the whole matrix of scores never exists.

#[cfg(target_arch = "x86_64")]
use super::amx_attention;
use super::gemm::{Target, pack_panels, pair_of, panel_rows};
use super::{Isa, Kernel, Level, Simd, math};

/// Queries of a tile.
const QUERIES: usize = 48;
/// Keys of a tile.
const KEYS: usize = 128;

/// The instructions that compute, and whether with half floats: then queries, keys, values and the weights of the values are rounded to them before
/// they are multiplied. A pair of halves takes the place of a float: two that follow each other in a query or a key; of the values, two keys as far
/// apart as a vector is wide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    /// Instructions.
    pub(crate) isa: Isa,
    /// With half floats. Not for tiles, which split single floats and are fast enough.
    pub(crate) halves: bool,
}

impl Form {
    /// Floats, or pairs of halves, of a query or a key.
    fn depth(self, dim: usize) -> usize {
        depth(self.halves, dim)
    }

    /// Rows of a panel of values.
    fn value_rows(self, keys: usize) -> usize {
        value_rows(self.halves, keys, self.isa.panel())
    }
}

/// Floats, or pairs of halves, of a query or a key.
#[inline(always)]
fn depth(halves: bool, dim: usize) -> usize {
    if halves { dim.div_ceil(2) } else { dim }
}

/// Rows of a panel of values, or of the values of some of its keys.
#[inline(always)]
fn value_rows(halves: bool, keys: usize, panel: usize) -> usize {
    if halves { keys.next_multiple_of(panel) / 2 } else { keys }
}

/// Most queries of a tile.
pub(crate) fn queries(form: Form) -> usize {
    match form.isa.0 {
        #[cfg(target_arch = "x86_64")]
        Level::Amx(..) => amx_attention::QUERIES,
        _ => QUERIES,
    }
}

/// Floats that the packed keys (and values) of a head take.
pub(crate) fn packed_len(form: Form, keys: usize, dim: usize) -> [usize; 2] {
    let panel = form.isa.panel();
    match form.isa.0 {
        #[cfg(target_arch = "x86_64")]
        Level::Amx(..) => amx_attention::packed_len(keys, dim),
        _ => [
            keys.next_multiple_of(panel) * form.depth(dim),
            dim.next_multiple_of(panel) * form.value_rows(keys),
        ],
    }
}

/// Floats of room that [`attend`] needs.
pub(crate) fn head_room(form: Form, dim: usize) -> usize {
    match form.isa.0 {
        #[cfg(target_arch = "x86_64")]
        Level::Amx(..) => amx_attention::room(dim),
        _ => QUERIES * (dim + KEYS + dim.next_multiple_of(form.isa.panel()) + 2),
    }
}

/// Packs a head's keys as panels of keys `[dim][PANEL]`, and its values as panels of dimensions `[keys][PANEL]` (with half floats, half as
/// many rows of pairs); both are rows of `dim` floats, some distance apart.
pub(crate) fn pack_head(
    form: Form,
    [keys, values]: [&[f32]; 2],
    [key_stride, value_stride]: [usize; 2],
    count: usize,
    dim: usize,
    [packed_keys, packed_values]: [&mut [f32]; 2],
) {
    let [key_len, value_len] = packed_len(form, count, dim);
    assert!(
        packed_keys.len() >= key_len && packed_values.len() >= value_len,
        "room for packed keys and values"
    );
    assert!(
        count > 0 && keys.len() >= (count - 1) * key_stride + dim && values.len() >= (count - 1) * value_stride + dim,
        "keys and values"
    );
    #[cfg(target_arch = "x86_64")]
    if let Level::Amx(simd, _) = form.isa.0 {
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
    let width = form.isa.panel();
    if !form.halves {
        pack_panels(count, dim, key_stride, keys, width, packed_keys);
        for (p, panel) in packed_values.chunks_exact_mut(count * width).enumerate() {
            let used = width.min(dim - p * width);
            for (key, row) in panel.chunks_exact_mut(width).enumerate() {
                row[..used].copy_from_slice(&values[key * value_stride + p * width..][..used]);
                row[used..].fill(0.0);
            }
        }
        return;
    }
    let depth = form.depth(dim);
    let pairs: Vec<f32> = (0..count)
        .flat_map(|key| keys[key * key_stride..][..dim].chunks(2))
        .map(|pair| pair_of(pair[0], pair.get(1).copied().unwrap_or(0.0)))
        .collect();
    pack_panels(count, depth, depth, &pairs, width, packed_keys);
    let (rows, lanes) = (form.value_rows(count), width / 2);
    for (p, panel) in packed_values.chunks_exact_mut(rows * width).enumerate() {
        let used = width.min(dim - p * width);
        let of = |key: usize| (key < count).then(|| &values[key * value_stride + p * width..][..used]);
        for (i, row) in panel.chunks_exact_mut(width).enumerate() {
            let key = i / lanes * width + i % lanes;
            row.fill(0.0);
            match (of(key), of(key + lanes)) {
                (Some(low), Some(high)) => {
                    let pairs = low.iter().zip(high);
                    row.iter_mut().zip(pairs).for_each(|(to, (low, high))| *to = pair_of(*low, *high));
                }
                (Some(low), None) => row.iter_mut().zip(low).for_each(|(to, low)| *to = pair_of(*low, 0.0)),
                _ => {}
            }
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
    /// Keys, values and their products are of half floats.
    pub(crate) halves: bool,
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
    let form = Form { isa, halves: head.halves };
    let [keys, values] = packed_len(form, head.length, head.dim);
    assert!(
        head.count > 0 && head.count <= queries(form) && head.length > 0,
        "queries and keys of a tile"
    );
    assert!(head.queries.len() >= (head.count - 1) * head.stride + head.dim, "queries");
    assert!(head.keys.len() >= keys && head.values.len() >= values, "packed keys and values");
    assert!(
        head.bias
            .is_none_or(|b| b.len() >= (head.count - 1) * head.bias_stride + head.length),
        "bias of the scores"
    );
    assert!(head.room.len() >= head_room(form, head.dim), "room to work");
    match isa.0 {
        // SAFETY: the value proves the instructions; the lengths were checked, the output is the caller's word.
        #[cfg(target_arch = "x86_64")]
        Level::Amx(simd, amx) => unsafe { amx_attention::attend(simd, amx, head) },
        _ if head.halves => isa.run_halves(head),
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
        let depth = depth(self.halves, self.dim);
        for (row, to) in queries.chunks_exact_mut(depth).enumerate().take(self.count) {
            let query = &self.queries[row * self.stride..][..self.dim];
            if self.halves {
                to.iter_mut()
                    .zip(query.chunks(2))
                    .for_each(|(to, x)| *to = pair_of(x[0] * scale, x.get(1).map_or(0.0, |x| x * scale)));
            } else {
                to.iter_mut().zip(query).for_each(|(to, x)| *to = x * scale);
            }
        }
        // Panels of values have a row for each key, or for each pair of keys.
        let share = if self.halves { 2 } else { 1 };
        let value_rows = value_rows(self.halves, self.length, S::PANEL);
        let length = if self.causal {
            self.length.min(self.first + self.count)
        } else {
            self.length
        };
        for key in (0..length).step_by(KEYS) {
            let keys = KEYS.min(length - key);
            let rows = self::value_rows(self.halves, keys, S::PANEL);
            // SAFETY: `attend` checked the slices; panels start within them, and `scores` has KEYS columns, a multiple of any PANEL.
            unsafe {
                for column in (0..keys).step_by(S::PANEL) {
                    let panel = self.keys.as_ptr().add((key + column) * depth);
                    let target = Target::plain(scores.as_mut_ptr().add(column), KEYS, false);
                    let columns = if keys - column <= S::LANES { S::LANES } else { S::PANEL };
                    panel_rows(s, queries.as_ptr(), depth, self.count, depth, panel, columns, target, self.halves);
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
                    if self.halves {
                        for (pair, i) in (0..keys).step_by(S::PANEL).enumerate() {
                            let high = i + S::LANES;
                            let high = if high < keys { s.load(scores.add(high)) } else { s.zero() };
                            s.store(scores.add(pair * S::LANES), s.join_halves(s.load(scores.add(i)), high));
                        }
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
                    let panel = self.values.as_ptr().add(column * value_rows + key / share * S::PANEL);
                    let target = Target::plain(sums.as_mut_ptr().add(column), wide, true);
                    let columns = if self.dim - column <= S::LANES { S::LANES } else { S::PANEL };
                    panel_rows(s, scores.as_ptr(), KEYS, self.count, rows, panel, columns, target, self.halves);
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
