//! Attention by AMX tiles, with the running maximum and sum of the vector kernel.
//!
//! The scores of a key are a product over `[high | low | high]` of the query and `[high | high | low]` of the key, laid end to end, so that a
//! head's dimension is rounded up to a multiple of 32 once and not three times. Weights and values are split in two planes.

use std::arch::asm;
use std::arch::x86_64::{
    __m512i, _mm256_storeu_si256, _mm512_and_si512, _mm512_cvtepi32_epi16, _mm512_or_si512, _mm512_set1_epi32, _mm512_srli_epi32,
    _mm512_storeu_si512,
};

use super::amx::{Amx, Tiles, load_sums, split, step_of_two_planes, store_sums};
use super::attention::HeadTile;
use super::avx512::Avx512;
use super::tiles::{SIDE, STEP};
use super::{Simd, math};

/// Queries of a tile.
pub(super) const QUERIES: usize = 64;
/// Keys of a tile.
const KEYS: usize = 128;
/// Half floats of a step's keys: two tiles.
const KEY_STEP: usize = 1024;

/// Steps of the scores' sum.
fn score_steps(dim: usize) -> usize {
    (3 * dim).div_ceil(SIDE)
}

/// Floats that the packed keys (or values) of a head take.
pub(super) fn packed_len(keys: usize, dim: usize) -> [usize; 2] {
    let panels = keys.div_ceil(SIDE);
    [panels * score_steps(dim) * KEY_STEP / 2, dim.div_ceil(SIDE) * panels * STEP / 2]
}

/// Floats of room that [`attend`] needs.
pub(super) fn room(dim: usize) -> usize {
    // Queries (half floats), scores, weights (two planes of half floats), sums, peaks and totals.
    QUERIES * (score_steps(dim) * SIDE / 2 + KEYS + KEYS + dim.next_multiple_of(SIDE) + 2)
}

/// Sixteen half floats from the upper bits of the lanes.
#[inline(always)]
unsafe fn store_halves(_: Avx512, to: *mut u16, x: __m512i) {
    // SAFETY: the proof of AVX-512; the room is the caller's word.
    unsafe { _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(x))) };
}

/// Writes a row's high and low halves to three places each (`[high, low, high]` for queries, `[high, high, low]` for keys).
#[inline(always)]
unsafe fn split_thrice(s: Avx512, x: &[f32], scale: f32, order: [usize; 3], to: *mut u16) {
    let dim = x.len();
    for i in (0..dim).step_by(16) {
        let n = dim - i;
        // SAFETY: the caller has made room for three rows of `dim` and 16 more; a later place is written after an earlier one's excess.
        unsafe {
            let parts = split(s, s.mul(s.load_some(x.as_ptr().add(i), n), s.splat(scale)));
            let mut halves = [[0_u16; 16]; 2];
            for (halves, part) in halves.iter_mut().zip(parts) {
                store_halves(s, halves.as_mut_ptr(), part);
            }
            for (place, part) in order.into_iter().enumerate() {
                to.add(place * dim + i).copy_from_nonoverlapping(halves[part].as_ptr(), n.min(16));
            }
        }
    }
}

/// Packs a head's keys and values, rows of `dim` floats at some distances.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) unsafe fn pack_head(
    s: Avx512,
    [keys, values]: [&[f32]; 2],
    [key_stride, value_stride]: [usize; 2],
    count: usize,
    dim: usize,
    [packed_keys, packed_values]: [&mut [f32]; 2],
) {
    let steps = score_steps(dim);
    let panels = count.div_ceil(SIDE);
    let mut row = [0_u32; MOST_ROW / 2];
    packed_keys[(panels - 1) * steps * KEY_STEP / 2..].fill(0.0);
    let to = packed_keys.as_mut_ptr().cast::<u32>();
    for key in 0..count {
        // SAFETY: the row has room for the longest head; the packed keys for all steps of all panels.
        unsafe {
            split_thrice(s, &keys[key * key_stride..][..dim], 1.0, [0, 0, 1], row.as_mut_ptr().cast());
            let to = to.add(key / SIDE * steps * KEY_STEP / 2 + key % SIDE / 16 * 256 + key % 16);
            for pair in 0..steps * SIDE / 2 {
                *to.add(pair / 16 * (KEY_STEP / 2) + pair % 16 * 16) = row[pair];
            }
        }
    }
    let to = packed_values.as_mut_ptr().cast::<u16>();
    // SAFETY: the proof of AVX-512; rows and dimensions lie within the values, the packed values hold all steps of all panels.
    unsafe {
        let upper = _mm512_set1_epi32(0xFFFF_0000_u32 as i32);
        for column in (0..dim.next_multiple_of(SIDE)).step_by(16) {
            for pair in 0..panels * SIDE / 2 {
                let load = |key: usize| {
                    if key < count && column < dim {
                        s.load_some(values.as_ptr().add(key * value_stride + column), dim - column)
                    } else {
                        s.zero()
                    }
                };
                let (even, odd) = (split(s, load(2 * pair)), split(s, load(2 * pair + 1)));
                let step = to.add((column / SIDE * panels + pair / 16) * STEP + column % SIDE * 32 + pair % 16 * 32);
                for plane in 0..2 {
                    let both = _mm512_or_si512(_mm512_srli_epi32::<16>(even[plane]), _mm512_and_si512(odd[plane], upper));
                    _mm512_storeu_si512(step.add(plane * STEP / 2).cast(), both);
                }
            }
        }
    }
}

/// Half floats of the longest row of scores' sums, with what a store may write past it.
const MOST_ROW: usize = 3 * MOST_DIM + 32 + 16;
/// The largest head.
pub(super) const MOST_DIM: usize = 1024;

/// Adds one step of scores.
#[inline(always)]
unsafe fn score_step(queries: *const u16, stride: usize, keys: *const u16, tall: bool) {
    // SAFETY: the caller's word for the pointers; tiles are configured.
    unsafe {
        if tall {
            asm!(
                "tileloadd tmm6, [{b}+{w}]",
                "tileloadd tmm4, [{a}+{s}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b}+{w}+1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{c}+{s}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                a = in(reg) queries, c = in(reg) queries.byte_add(16 * stride), s = in(reg) stride, b = in(reg) keys, w = in(reg) 64_usize,
                options(nostack, readonly)
            );
        } else {
            asm!(
                "tileloadd tmm6, [{b}+{w}]",
                "tileloadd tmm4, [{a}+{s}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b}+{w}+1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                a = in(reg) queries, s = in(reg) stride, b = in(reg) keys, w = in(reg) 64_usize,
                options(nostack, readonly)
            );
        }
    }
}

/// Some queries of one head against all its keys; see the vector kernel.
///
/// # Safety
/// As for the vector kernel: the caller checked the lengths, the output is its own.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) unsafe fn attend(s: Avx512, amx: Amx, head: HeadTile<'_>) {
    let HeadTile { dim, count, .. } = head;
    let (steps, wide) = (score_steps(dim), dim.next_multiple_of(SIDE));
    let width = steps * SIDE;
    let (queries, rest) = head.room.split_at_mut(QUERIES * width / 2);
    let (scores, rest) = rest.split_at_mut(QUERIES * KEYS);
    let (weights, rest) = rest.split_at_mut(QUERIES * KEYS);
    let (sums, rest) = rest.split_at_mut(QUERIES * wide);
    let (peaks, totals) = rest.split_at_mut(QUERIES);
    peaks.fill(-1e30);
    totals[..QUERIES].fill(0.0);
    queries.fill(0.0);
    let queries = queries.as_mut_ptr().cast::<u16>();
    let [high, low] = [
        weights.as_mut_ptr().cast::<u16>(),
        weights[QUERIES * KEYS / 2..].as_mut_ptr().cast::<u16>(),
    ];
    let scale = std::f32::consts::LOG2_E / (dim as f32).sqrt();
    let mut row = [0_u16; MOST_ROW];
    for i in 0..count {
        // SAFETY: rows of the room have `width` half floats.
        unsafe {
            split_thrice(s, &head.queries[i * head.stride..][..dim], scale, [0, 1, 0], row.as_mut_ptr());
            queries.add(i * width).copy_from_nonoverlapping(row.as_ptr(), width);
        }
    }
    let blocks = count.div_ceil(SIDE);
    let tall = |block: usize| count - block * SIDE > 16;
    let length = if head.causal {
        head.length.min(head.first + count)
    } else {
        head.length
    };
    let panels = head.length.div_ceil(SIDE);
    let tiles = Tiles::configure(amx);
    for key in (0..length).step_by(KEYS) {
        let keys = KEYS.min(length - key);
        let parts = keys.div_ceil(SIDE);
        // SAFETY: packed keys and values hold all panels, the room all blocks of a tile (checked by the caller).
        unsafe {
            for block in 0..blocks {
                for part in 0..parts {
                    load_sums(std::ptr::null());
                    let packed = head.keys.as_ptr().cast::<u16>().add((key / SIDE + part) * steps * KEY_STEP);
                    for step in 0..steps {
                        let from = queries.add(block * SIDE * width + step * SIDE).cast_const();
                        score_step(from, 2 * width, packed.add(step * KEY_STEP), tall(block));
                    }
                    store_sums(scores.as_mut_ptr().add((block * KEYS / SIDE + part) * SIDE * SIDE));
                }
            }
            for row in 0..count {
                let scores = scores.as_mut_ptr().add(row / SIDE * KEYS * SIDE + row % SIDE * SIDE);
                let at = |i: usize| scores.add(i / SIDE * SIDE * SIDE + i % SIDE);
                let seen = if head.causal {
                    keys.min((head.first + row + 1).saturating_sub(key))
                } else {
                    keys
                };
                let mut peak = s.splat(peaks[row]);
                for i in (0..parts * SIDE).step_by(16) {
                    let mut x = s.load(at(i));
                    if let Some(bias) = head.bias.filter(|_| i < keys) {
                        let bias = s.load_some(bias.as_ptr().add(row * head.bias_stride + key + i), keys - i);
                        x = s.fma(bias, s.splat(std::f32::consts::LOG2_E), x);
                        s.store(at(i), x);
                    }
                    if seen < i + 16 {
                        s.store(at(i), x);
                        for j in seen.saturating_sub(i)..16 {
                            *at(i).add(j) = f32::NEG_INFINITY;
                        }
                        x = s.load(at(i));
                    }
                    peak = s.max(peak, x);
                }
                let peak = s.largest(peak);
                let shift = s.splat(peak);
                let mut total = s.zero();
                for i in (0..parts * SIDE).step_by(16) {
                    let p = math::exp2_of_negative(s, s.sub(s.load(at(i)), shift));
                    total = s.add(total, p);
                    let [upper, lower] = split(s, p);
                    store_halves(s, high.add(row * KEYS + i), upper);
                    store_halves(s, low.add(row * KEYS + i), lower);
                }
                if peak > peaks[row] {
                    if key > 0 {
                        let factor = (peaks[row] - peak).exp2();
                        totals[row] *= factor;
                        let factor = s.splat(factor);
                        for i in (0..wide).step_by(16) {
                            let sum = sums
                                .as_mut_ptr()
                                .add((row / SIDE * wide + i / SIDE * SIDE) * SIDE + row % SIDE * SIDE + i % SIDE);
                            s.store(sum, s.mul(s.load(sum), factor));
                        }
                    }
                    peaks[row] = peak;
                }
                totals[row] += s.sum(total);
            }
            for block in 0..blocks {
                for panel in 0..wide / SIDE {
                    let sums = sums.as_mut_ptr().add((block * wide + panel * SIDE) * SIDE);
                    load_sums(if key == 0 { std::ptr::null() } else { sums });
                    let narrow = dim - panel * SIDE <= 16;
                    for part in 0..parts {
                        let values = head.values.as_ptr().cast::<u16>().add((panel * panels + key / SIDE + part) * STEP);
                        let at = block * SIDE * KEYS + part * SIDE;
                        step_of_two_planes([high.add(at), low.add(at)], KEYS, values, tall(block), narrow);
                    }
                    store_sums(sums);
                }
            }
        }
    }
    drop(tiles);
    for row in 0..count {
        let factor = s.splat(1.0 / totals[row]);
        for i in (0..dim).step_by(16) {
            // SAFETY: the output is the caller's word.
            unsafe {
                let sum = sums
                    .as_ptr()
                    .add((row / SIDE * wide + i / SIDE * SIDE) * SIDE + row % SIDE * SIDE + i % SIDE);
                s.store_some(head.out.add(row * head.out_stride + i), s.mul(s.load(sum), factor), dim - i);
            }
        }
    }
}
