//! AMX: products of tiles of 16 x 32 half floats (bfloat16) with sums in single floats.
//!
//! A single float is split into two bfloat16 (`x = high + low`, 17 bits of precision and more); `a b` is then
//! `a_high b_high + a_low b_high + a_high b_low` to about 4e-6 of `|a| |b|`, rounded to either side. Three products of tiles take a
//! fifth of the time that the same work takes with vectors of single floats.

use std::arch::asm;
use std::arch::x86_64::{
    __cpuid, __cpuid_count, __m512, __m512i, _mm256_storeu_si256, _mm512_add_epi32, _mm512_and_si512, _mm512_castps_si512,
    _mm512_castsi512_ps, _mm512_cvtepi32_epi16, _mm512_set1_epi32, _mm512_srli_epi32, _mm512_sub_ps,
};

use super::avx512::Avx512;
use super::tiles::{SIDE, STEP, TileProduct};
use super::{Kernel, Simd, math};

/// Steps that are done with all rows before the next: their weights stay in the first-level cache.
const STEPS_TOGETHER: usize = 5;

/// Proof that the processor has AMX with bfloat16 and that the system lets this process use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Amx(());

impl Amx {
    /// Asks the processor and the system.
    #[cfg(target_os = "linux")]
    pub(super) fn detect(_with: Avx512) -> Option<Self> {
        if __cpuid(0).eax < 7 {
            return None;
        }
        // Tiles and bfloat16 tile products; the system saves tile registers (bits 17 and 18 of XCR0).
        let features = __cpuid_count(7, 0).edx;
        if features & (1 << 22) == 0 || features & (1 << 24) == 0 || __cpuid(1).ecx & (1 << 27) == 0 {
            return None;
        }
        let (low, refused): (u32, i64);
        // SAFETY: the processor has XGETBV (OSXSAVE, asked above). The system call (arch_prctl, ARCH_REQ_XCOMP_PERM, tile data) asks
        // for the right to use tile registers; it changes no memory, and is refused where there is no such right.
        unsafe {
            asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _, options(nomem, nostack));
            if low & (3 << 17) != 3 << 17 {
                return None;
            }
            asm!("syscall", inlateout("rax") 158_i64 => refused, in("rdi") 0x1023_i64, in("rsi") 18_i64, out("rcx") _, out("r11") _,
                options(nostack));
        }
        (refused == 0).then_some(Self(()))
    }

    /// Other systems do not hand out the tile registers this way.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn detect(_with: Avx512) -> Option<Self> {
        None
    }
}

/// Tile registers: all eight of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration([u8; 64]);

/// Holds the tile registers configured.
pub(super) struct Tiles;

impl Tiles {
    /// Configures them; nothing else on this thread may use them until the value is dropped.
    pub(super) fn configure(_: Amx) -> Self {
        let mut configuration = Configuration([0; 64]);
        configuration.0[0] = 1;
        for tile in 0..8 {
            configuration.0[16 + 2 * tile] = 64;
            configuration.0[48 + tile] = 16;
        }
        // SAFETY: the proof says that there are tile registers; the compiler uses none.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack)) };
        Self
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: they were configured.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// Splits 16 floats: the high halves in the upper bits of each lane, and what is left, rounded, in the upper bits too.
#[inline(always)]
pub(super) fn split(_: Avx512, x: __m512) -> [__m512i; 2] {
    // SAFETY: the proof of AVX-512.
    unsafe {
        let mask = _mm512_set1_epi32(0xFFFF_0000_u32 as i32);
        let half = _mm512_set1_epi32(0x8000);
        let high = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(x), half), mask);
        let low = _mm512_sub_ps(x, _mm512_castsi512_ps(high));
        [high, _mm512_add_epi32(_mm512_castps_si512(low), half)]
    }
}

/// Splits runs of `len` floats that follow each other into two planes, where they are `stride` apart, each filled up with zeros to a
/// multiple of 32.
///
/// # Safety
/// Both planes must have room for that.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) unsafe fn split_runs(s: Avx512, x: &[f32], len: usize, stride: usize, high: *mut u16, low: *mut u16) {
    let wide = len.next_multiple_of(SIDE);
    for (run, x) in x.chunks_exact(len).enumerate() {
        for i in (0..wide).step_by(16) {
            // SAFETY: the caller's word.
            unsafe {
                let n = len.saturating_sub(i);
                let x = if n == 0 { s.zero() } else { s.load_some(x.as_ptr().add(i), n) };
                let [upper, lower] = split(s, x);
                let at = run * stride + i;
                _mm256_storeu_si256(high.add(at).cast(), _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(upper)));
                _mm256_storeu_si256(low.add(at).cast(), _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(lower)));
            }
        }
    }
}

struct Part<'a> {
    amx: Amx,
    product: TileProduct<'a>,
    blocks: std::ops::Range<usize>,
    panels: std::ops::Range<usize>,
    sums: &'a mut [f32],
}

/// Computes some blocks of rows (counted through all pictures) and some panels of columns. `sums` holds 1024 floats for each block.
///
/// # Safety
/// The activations must be readable for whole blocks of 32 rows, the output must have room for all rows, and no other thread may touch
/// this part of it.
pub(super) unsafe fn tile_product(
    s: Avx512,
    amx: Amx,
    product: TileProduct<'_>,
    blocks: std::ops::Range<usize>,
    panels: std::ops::Range<usize>,
    sums: &mut [f32],
) {
    assert!(sums.len() >= blocks.len() * SIDE * SIDE, "room for sums");
    let steps = product.taps.len() * product.steps;
    assert!(
        product.weights.len() >= panels.end * steps * STEP && panels.end <= product.columns.div_ceil(SIDE),
        "packed weights"
    );
    let last = blocks.end.saturating_sub(1);
    if let Some(tap) = product.taps.iter().max().filter(|_| !blocks.is_empty()) {
        let start = last / product.blocks() * product.picture_stride + last % product.blocks() * SIDE * product.stride;
        let end = start + tap + (SIDE - 1) * product.stride + product.steps * SIDE;
        assert!(product.high.len() >= end && product.low.len() >= end, "rows of activations");
    }
    s.call(Part {
        amx,
        product,
        blocks,
        panels,
        sums,
    });
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let p = self.product;
        let tiles = Tiles::configure(self.amx);
        let steps = p.taps.len() * p.steps;
        for panel in self.panels.clone() {
            let weights = &p.weights[panel * steps * STEP..][..steps * STEP];
            let narrow = p.columns - panel * SIDE <= 16;
            for first in (0..steps).step_by(STEPS_TOGETHER) {
                let some = first..steps.min(first + STEPS_TOGETHER);
                for (sums, block) in self.sums.chunks_exact_mut(SIDE * SIDE).zip(self.blocks.clone()) {
                    let (picture, row) = (block / p.blocks(), block % p.blocks() * SIDE);
                    let start = picture * p.picture_stride + row * p.stride;
                    let count = SIDE.min(p.rows - row);
                    // SAFETY: `tile_product` checked the lengths for the last block.
                    unsafe {
                        load_sums(if first == 0 { std::ptr::null() } else { sums.as_ptr() });
                        for step in some.clone() {
                            let at = start + p.taps[step / p.steps] + step % p.steps * SIDE;
                            let planes = [p.high.as_ptr().add(at), p.low.as_ptr().add(at)];
                            step_of_two_planes(planes, p.stride, weights.as_ptr().add(step * STEP), count > 16, narrow);
                        }
                        store_sums(sums.as_mut_ptr());
                        if some.end == steps {
                            finish(s, &p, picture, row, count, panel, sums.as_ptr());
                        }
                    }
                }
            }
        }
        drop(tiles);
    }
}

/// Loads the sums of a block from 1024 floats, or zeros from nowhere.
///
/// # Safety
/// The floats must be readable; tiles are configured.
#[inline(always)]
pub(super) unsafe fn load_sums(sums: *const f32) {
    // SAFETY: the caller's word. Tile registers are used by nothing else.
    unsafe {
        if sums.is_null() {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nostack, nomem)
            );
        } else {
            asm!("tileloadd tmm0, [{c}+{s}]", "tileloadd tmm1, [{c}+{s}+64]", "tileloadd tmm2, [{c}+{s}+2048]",
                "tileloadd tmm3, [{c}+{s}+2112]", c = in(reg) sums, s = in(reg) 128_usize, options(nostack, readonly));
        }
    }
}

/// Stores the sums of a block.
///
/// # Safety
/// 1024 floats must be writable; tiles are configured.
#[inline(always)]
pub(super) unsafe fn store_sums(sums: *mut f32) {
    // SAFETY: the caller's word.
    unsafe {
        asm!("tilestored [{c}+{s}], tmm0", "tilestored [{c}+{s}+64], tmm1", "tilestored [{c}+{s}+2048], tmm2",
            "tilestored [{c}+{s}+2112], tmm3", c = in(reg) sums, s = in(reg) 128_usize, options(nostack));
    }
}

/// Adds one step to the sums of a block: rows of two planes, `row` half floats apart, times a step's weights. Without `tall`, only the
/// upper 16 rows; if `narrow`, only the left 16 columns.
///
/// # Safety
/// 32 (or 16) rows and the step must be readable; tiles are configured.
#[inline(always)]
pub(super) unsafe fn step_of_two_planes([high, low]: [*const u16; 2], row: usize, b: *const u16, tall: bool, narrow: bool) {
    let stride = 2 * row;
    // SAFETY: the caller's word.
    unsafe {
        match (tall, narrow) {
            (true, false) => {
                asm!(
                    "tileloadd tmm6, [{b}+{w}]",
                    "tileloadd tmm4, [{h0}+{s}]",
                    "tileloadd tmm7, [{b}+{w}+1024]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{h1}+{s}]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm4, [{l0}+{s}]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "tileloadd tmm5, [{l1}+{s}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm4, [{h0}+{s}]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tileloadd tmm6, [{b}+{w}+2048]",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "tileloadd tmm7, [{b}+{w}+3072]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{h1}+{s}]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    b = in(reg) b, w = in(reg) 64_usize, s = in(reg) stride,
                    h0 = in(reg) high, h1 = in(reg) high.add(16 * row), l0 = in(reg) low, l1 = in(reg) low.add(16 * row),
                    options(nostack, readonly)
                );
            }
            (false, false) => {
                asm!(
                    "tileloadd tmm6, [{b}+{w}]",
                    "tileloadd tmm4, [{h0}+{s}]",
                    "tileloadd tmm7, [{b}+{w}+1024]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{l0}+{s}]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm0, tmm5, tmm6",
                    "tileloadd tmm6, [{b}+{w}+2048]",
                    "tdpbf16ps tmm1, tmm5, tmm7",
                    "tileloadd tmm7, [{b}+{w}+3072]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    b = in(reg) b, w = in(reg) 64_usize, s = in(reg) stride, h0 = in(reg) high, l0 = in(reg) low,
                    options(nostack, readonly)
                );
            }
            (true, true) => {
                asm!(
                    "tileloadd tmm6, [{b}+{w}]",
                    "tileloadd tmm4, [{h0}+{s}]",
                    "tileloadd tmm5, [{h1}+{s}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{b}+{w}+2048]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm0, tmm4, tmm7",
                    "tileloadd tmm4, [{l0}+{s}]",
                    "tdpbf16ps tmm2, tmm5, tmm7",
                    "tileloadd tmm5, [{l1}+{s}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    b = in(reg) b, w = in(reg) 64_usize, s = in(reg) stride,
                    h0 = in(reg) high, h1 = in(reg) high.add(16 * row), l0 = in(reg) low, l1 = in(reg) low.add(16 * row),
                    options(nostack, readonly)
                );
            }
            (false, true) => {
                asm!(
                    "tileloadd tmm6, [{b}+{w}]",
                    "tileloadd tmm4, [{h0}+{s}]",
                    "tileloadd tmm7, [{b}+{w}+2048]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{l0}+{s}]",
                    "tdpbf16ps tmm0, tmm4, tmm7",
                    "tdpbf16ps tmm0, tmm5, tmm6",
                    b = in(reg) b, w = in(reg) 64_usize, s = in(reg) stride, h0 = in(reg) high, l0 = in(reg) low,
                    options(nostack, readonly)
                );
            }
        }
    }
}

/// Writes the sums of a block.
///
/// # Safety
/// `sums` holds 1024 floats, the output has room for the block.
#[inline(always)]
unsafe fn finish<S: Simd>(s: S, p: &TileProduct<'_>, picture: usize, row: usize, count: usize, panel: usize, sums: *const f32) {
    let f = &p.finish;
    let column = panel * SIDE;
    for half in (0..SIDE).step_by(S::LANES) {
        let (column, to) = if f.gated {
            (column + half, panel * 16 + half)
        } else {
            (column + half, column + half)
        };
        if column >= p.columns || to >= p.out_stride || (f.gated && half >= 16) {
            break;
        }
        let n = p.out_stride - to;
        // SAFETY: columns and rows lie within the slices, whose lengths the caller of the product checked.
        unsafe {
            let load = |from: &[f32], at: usize, n: usize| s.load_some(from.as_ptr().add(at), n);
            let mut constant = f.bias.map_or(s.zero(), |b| load(b, column, p.columns - column));
            if let Some(terms) = f.per_picture {
                constant = s.add(constant, load(terms, picture * p.out_stride + to, n));
            }
            let gates = if f.gated {
                f.bias.map_or(s.zero(), |b| load(b, column + 16, p.columns - column - 16))
            } else {
                s.zero()
            };
            for i in 0..count {
                let (line, place) = ((row + i) / p.period, (row + i) % p.period);
                if place >= p.valid {
                    continue;
                }
                let at = (picture * p.out_rows + line * p.valid + place) * p.out_stride + to;
                let mut y = s.add(s.load(sums.add(i * SIDE + half)), constant);
                if f.gated {
                    y = s.mul(y, math::gelu(s, s.add(s.load(sums.add(i * SIDE + half + 16)), gates)));
                }
                if let Some(residual) = f.residual {
                    y = s.add(y, load(residual, at, n));
                }
                s.store_some(p.out.at(at), y, n);
            }
        }
    }
}
