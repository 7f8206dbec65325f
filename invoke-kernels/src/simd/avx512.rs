//! AVX-512: 16 lanes, 32 registers.

#[cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "intrinsics"))]
use std::arch::x86_64::*;

use super::{Kernel, Simd, dot_widened};

/// Proof that the processor has AVX-512 F, BW, DQ and VL (and, with them, FMA); with `DOTS`, also BF16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx512<const DOTS: bool = false>(());

impl Avx512 {
    /// Asks the processor.
    pub(super) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        has.then_some(Self(()))
    }

    /// Asks it for products of half floats too.
    pub(super) fn detect_dots(_with: Self) -> Option<Avx512<true>> {
        is_x86_feature_detected!("avx512bf16").then_some(Avx512(()))
    }
}

/// Runs a kernel compiled for these instructions.
///
/// # Safety
/// None beyond holding `simd`, which proves the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
#[inline(never)]
pub(super) unsafe fn enter<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
    kernel.run(simd)
}

/// Runs a kernel compiled for these instructions and those of half floats.
///
/// # Safety
/// None beyond holding `simd`, which proves the instructions.
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
#[inline(never)]
pub(super) unsafe fn enter_dots<K: Kernel>(simd: Avx512<true>, kernel: K) -> K::Output {
    kernel.run(simd)
}

// SAFETY of all blocks below: `self` proves the instructions; what pointers must be valid for is the caller's to see to.
impl<const DOTS: bool> Simd for Avx512<DOTS> {
    type V = __m512;
    const LANES: usize = 16;
    const ROWS: usize = 12;

    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        unsafe {
            if DOTS {
                enter_dots(Avx512(()), kernel)
            } else {
                enter(Avx512(()), kernel)
            }
        }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, x: __m512) {
        unsafe { _mm512_storeu_ps(p, x) }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps((1 << n) - 1, p) }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, x: __m512, n: usize) {
        unsafe { _mm512_mask_storeu_ps(p, (1 << n) - 1, x) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn fnma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        unsafe { _mm512_abs_ps(a) }
    }
    #[inline(always)]
    fn with_sign(self, a: __m512, sign: __m512) -> __m512 {
        unsafe { _mm512_or_ps(a, _mm512_and_ps(sign, _mm512_set1_ps(-0.0))) }
    }
    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    fn exp2(self, a: __m512) -> __m512 {
        unsafe { _mm512_scalef_ps(_mm512_set1_ps(1.0), a) }
    }
    #[inline(always)]
    fn low_halves(self, a: __m512) -> __m512 {
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(a))) }
    }
    #[inline(always)]
    fn high_halves(self, a: __m512) -> __m512 {
        unsafe { _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(0xFFFF_0000_u32 as i32))) }
    }
    #[inline(always)]
    fn dot_pairs(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe {
            if DOTS {
                let [a, b] = [a, b].map(|x| std::mem::transmute::<__m512, __m512bh>(x));
                return _mm512_dpbf16_ps(c, a, b);
            }
        }
        dot_widened(self, a, b, c)
    }
    #[inline(always)]
    fn join_halves(self, low: __m512, high: __m512) -> __m512 {
        unsafe {
            let [low, high] = [low, high].map(|x| _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000)));
            _mm512_castsi512_ps(_mm512_mask_blend_epi16(0xAAAA_AAAA, _mm512_srli_epi32::<16>(low), high))
        }
    }
    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        unsafe { _mm512_reduce_add_ps(a) }
    }
    #[inline(always)]
    fn largest(self, a: __m512) -> f32 {
        unsafe { _mm512_reduce_max_ps(a) }
    }
}
