//! Plain arrays, which the compiler turns into whatever vectors the target has in its base set (NEON on aarch64, SSE2 on x86-64).

use super::{Kernel, Simd};

/// Needs no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Portable;

type V = [f32; 8];

#[inline(always)]
fn each(f: impl Fn(usize) -> f32) -> V {
    std::array::from_fn(f)
}

impl Simd for Portable {
    type V = V;
    const LANES: usize = 8;
    const ROWS: usize = if cfg!(target_arch = "aarch64") { 6 } else { 3 };

    #[inline(never)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
    #[inline(always)]
    fn splat(self, x: f32) -> V {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> V {
        // SAFETY: an array of floats is no more aligned than they are; the caller vouches for eight of them.
        unsafe { p.cast::<V>().read() }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, x: V) {
        // SAFETY: as above.
        unsafe { p.cast::<V>().write(x) }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> V {
        // SAFETY: the caller vouches for the first n.
        each(|i| if i < n { unsafe { p.add(i).read() } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, x: V, n: usize) {
        for (i, x) in x.into_iter().enumerate().take(n) {
            // SAFETY: the caller vouches for the first n.
            unsafe { p.add(i).write(x) };
        }
    }
    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        each(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        each(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        each(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: V, b: V) -> V {
        each(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        each(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn fma(self, a: V, b: V, c: V) -> V {
        // Without the instruction `mul_add` is a call of the C library.
        each(|i| {
            if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                a[i].mul_add(b[i], c[i])
            } else {
                a[i] * b[i] + c[i]
            }
        })
    }
    #[inline(always)]
    fn fnma(self, a: V, b: V, c: V) -> V {
        self.fma(each(|i| -a[i]), b, c)
    }
    #[inline(always)]
    fn abs(self, a: V) -> V {
        each(|i| a[i].abs())
    }
    #[inline(always)]
    fn with_sign(self, a: V, sign: V) -> V {
        each(|i| a[i].copysign(sign[i]))
    }
    #[inline(always)]
    fn round(self, a: V) -> V {
        // Adding 1.5 * 2^23 leaves no bits for a fraction.
        each(|i| (a[i] + 12_582_912.0) - 12_582_912.0)
    }
    #[inline(always)]
    fn exp2(self, a: V) -> V {
        each(|i| f32::from_bits(((a[i] as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    fn low_halves(self, a: V) -> V {
        each(|i| f32::from_bits(a[i].to_bits() << 16))
    }
    #[inline(always)]
    fn high_halves(self, a: V) -> V {
        each(|i| f32::from_bits(a[i].to_bits() & 0xFFFF_0000))
    }
    #[inline(always)]
    fn join_halves(self, low: V, high: V) -> V {
        let rounded = |x: f32| x.to_bits().wrapping_add(0x8000);
        each(|i| f32::from_bits(rounded(low[i]) >> 16 | rounded(high[i]) & 0xFFFF_0000))
    }
    #[inline(always)]
    fn sum(self, a: V) -> f32 {
        ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
    }
    #[inline(always)]
    fn largest(self, a: V) -> f32 {
        a.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}
