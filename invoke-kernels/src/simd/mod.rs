//! Kernels written once over [`Simd`], and its implementations.
//!
//! A value of a type that implements `Simd` proves that the processor has the instructions: [`Isa`] makes one only after asking the
//! processor, and enters the kernel through a function compiled for those instructions. Everything a kernel calls is inlined into
//! that function, or it would be compiled without them.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod amx_attention;
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod elementwise;
mod gemm;
mod layout;
mod math;
mod norm;
mod portable;
mod tiles;
mod winograd;

pub(crate) use attention::{Form, HeadTile, attend, head_room, pack_head, packed_len, queries};
pub(crate) use elementwise::{Unary, binary_add, gated, unary};
pub(crate) use gemm::{Gemm, gemm, pack_pairs, pack_panels};
pub(crate) use layout::transpose;
pub(crate) use norm::{moments, normalise_rows, scale_shift};
pub(crate) use tiles::{Finish, SIDE, TileProduct, pack_tiles, packed_tiles_len, split_runs, tile_product};
pub(crate) use winograd::{InputTiles, OutputTiles, POINTS, TileGrid, input_tiles, output_tiles, transform_weights};

/// Vectors of floats and what can be done with them.
pub(crate) trait Simd: Copy + Send + Sync {
    /// A vector.
    type V: Copy;
    /// Floats in a vector.
    const LANES: usize;
    /// Most rows of a matrix product that are worked on together, with [`PANEL`](Self::PANEL) columns.
    const ROWS: usize;
    /// Columns of a panel of packed weights: two vectors.
    const PANEL: usize = 2 * Self::LANES;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// # Safety
    /// `LANES` floats must be readable.
    unsafe fn load(self, p: *const f32) -> Self::V;
    /// # Safety
    /// `LANES` floats must be writable.
    unsafe fn store(self, p: *mut f32, x: Self::V);
    /// The first `n < LANES` lanes, the others zero.
    /// # Safety
    /// `n` floats must be readable.
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V;
    /// The first `n < LANES` lanes.
    /// # Safety
    /// `n` floats must be writable.
    unsafe fn store_first(self, p: *mut f32, x: Self::V, n: usize);
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c - a * b`.
    fn fnma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    fn abs(self, a: Self::V) -> Self::V;
    /// `a` with the sign of `sign`, `a` being without one.
    fn with_sign(self, a: Self::V, sign: Self::V) -> Self::V;
    /// To the nearest whole number, for magnitudes below 2^22.
    fn round(self, a: Self::V) -> Self::V;
    /// 2 to the power of a whole number in -126..=127.
    fn exp2(self, a: Self::V) -> Self::V;
    /// The floats of which each lane's lower half is the upper half, the rest being zero.
    fn low_halves(self, a: Self::V) -> Self::V;
    /// The same of the upper halves.
    fn high_halves(self, a: Self::V) -> Self::V;
    fn sum(self, a: Self::V) -> f32;
    fn largest(self, a: Self::V) -> f32;

    /// Runs a kernel as a call of its own, so that its code exists once however many places use it.
    fn call<K: Kernel>(self, kernel: K) -> K::Output;

    /// Pairs of half floats, `low` in the lower halves of the lanes and `high` in the upper ones; both finite, and rounded to the nearest.
    fn join_halves(self, low: Self::V, high: Self::V) -> Self::V;
    /// `c` and, lane by lane, the products of both half floats of `a` and `b`.
    #[inline(always)]
    fn dot_pairs(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        dot_widened(self, a, b, c)
    }
    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(0.0)
    }
    /// The first `min(n, LANES)` lanes, the others zero.
    /// # Safety
    /// That many floats must be readable.
    #[inline(always)]
    unsafe fn load_some(self, p: *const f32, n: usize) -> Self::V {
        // SAFETY: passed on.
        unsafe { if n >= Self::LANES { self.load(p) } else { self.load_first(p, n) } }
    }
    /// The first `min(n, LANES)` lanes.
    /// # Safety
    /// That many floats must be writable.
    #[inline(always)]
    unsafe fn store_some(self, p: *mut f32, x: Self::V, n: usize) {
        // SAFETY: passed on.
        unsafe {
            if n >= Self::LANES {
                self.store(p, x);
            } else {
                self.store_first(p, x, n);
            }
        }
    }
}

/// [`Simd::dot_pairs`] without an instruction for it: halves are widened and multiplied as single floats.
#[inline(always)]
fn dot_widened<S: Simd>(s: S, a: S::V, b: S::V, c: S::V) -> S::V {
    let high = s.fma(s.high_halves(a), s.high_halves(b), c);
    s.fma(s.low_halves(a), s.low_halves(b), high)
}

/// Something computed with vectors.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;
    /// Compute. Must be inlined, with all it calls.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    /// AVX-512, with products of pairs of half floats.
    #[cfg(target_arch = "x86_64")]
    Dots(avx512::Avx512, avx512::Avx512<true>),
    /// AVX-512, with tiles for products.
    #[cfg(target_arch = "x86_64")]
    Amx(avx512::Avx512, amx::Amx),
}

/// An instruction set that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Level);

impl Isa {
    /// The fastest one.
    pub fn best() -> Self {
        Self::available()[0]
    }

    /// All that this processor has, the fastest first.
    pub fn available() -> Vec<Self> {
        let mut all = Vec::with_capacity(5);
        #[cfg(target_arch = "x86_64")]
        {
            let wide = avx512::Avx512::detect();
            all.extend(wide.and_then(|simd| amx::Amx::detect(simd).map(|amx| Level::Amx(simd, amx))));
            all.extend(wide.and_then(|simd| avx512::Avx512::detect_dots(simd).map(|dots| Level::Dots(simd, dots))));
            all.extend(wide.map(Level::Avx512));
            all.extend(avx2::Avx2::detect().map(Level::Avx2));
        }
        all.push(Level::Portable);
        all.into_iter().map(Self).collect()
    }

    /// Its name, for reports.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Level::Dots(..) => "avx512_bf16",
            #[cfg(target_arch = "x86_64")]
            Level::Amx(..) => "amx",
        }
    }

    /// The same without tiles for products.
    pub(crate) fn without_tiles(self) -> Self {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Amx(simd, _) => Self(Level::Avx512(simd)),
            _ => self,
        }
    }

    /// Columns of a panel of packed weights.
    pub(crate) fn panel(self) -> usize {
        match self.0 {
            Level::Portable => portable::Portable::PANEL,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => avx2::Avx2::PANEL,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) | Level::Dots(..) | Level::Amx(..) => avx512::Avx512::<false>::PANEL,
        }
    }

    /// Most rows of a matrix product that are worked on together.
    pub(crate) fn rows(self) -> usize {
        match self.0 {
            Level::Portable => portable::Portable::ROWS,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => avx2::Avx2::ROWS,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) | Level::Dots(..) | Level::Amx(..) => avx512::Avx512::<false>::ROWS,
        }
    }

    /// Runs a kernel.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Level::Portable => kernel.run(portable::Portable),
            // SAFETY: the value proves the instructions.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(simd) => unsafe { avx2::enter(simd, kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(simd) | Level::Dots(simd, _) | Level::Amx(simd, _) => unsafe { avx512::enter(simd, kernel) },
        }
    }

    /// Runs a kernel of half floats.
    pub(crate) fn run_halves<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            // SAFETY: the value proves the instructions.
            #[cfg(target_arch = "x86_64")]
            Level::Dots(_, simd) => unsafe { avx512::enter_dots(simd, kernel) },
            _ => self.run(kernel),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation on one vector, next to plain arithmetic.
    struct Operations<'a>(&'a [f32], &'a [f32]);

    impl Kernel for Operations<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let check = |v: S::V, want: &dyn Fn(f32, f32) -> f32| {
                let mut got = [0.0; 16];
                // SAFETY: 16 floats hold any vector.
                unsafe { s.store(got.as_mut_ptr(), v) };
                for i in 0..S::LANES {
                    let want = want(self.0[i], self.1[i]);
                    assert!((got[i] - want).abs() <= 1e-6 * want.abs(), "{} {want}", got[i]);
                }
            };
            assert!(S::LANES <= 16 && self.0.len() == 16 && self.1.len() == 16);
            // SAFETY: both slices hold 16 floats.
            let (a, b) = unsafe { (s.load(self.0.as_ptr()), s.load(self.1.as_ptr())) };
            check(s.add(a, b), &|a, b| a + b);
            check(s.sub(a, b), &|a, b| a - b);
            check(s.mul(a, b), &|a, b| a * b);
            check(s.div(a, b), &|a, b| a / b);
            check(s.max(a, b), &f32::max);
            check(s.min(a, b), &f32::min);
            check(s.fma(a, b, a), &|a, b| a.mul_add(b, a));
            check(s.fnma(a, b, b), &|a, b| (-a).mul_add(b, b));
            check(s.abs(a), &|a, _| a.abs());
            check(s.with_sign(s.abs(b), a), &|a, b| b.abs().copysign(a));
            check(s.round(a), &|a, _| a.round_ties_even());
            check(s.exp2(s.round(a)), &|a, _| a.round_ties_even().exp2());
            let halves = |x: f32| [x.to_bits() << 16, x.to_bits() & 0xFFFF_0000].map(f32::from_bits);
            check(s.low_halves(a), &|a, _| halves(a)[0]);
            check(s.high_halves(a), &|a, _| halves(a)[1]);
            let rounded = |x: f32| f32::from_bits(x.to_bits().wrapping_add(0x8000) & 0xFFFF_0000);
            check(s.low_halves(s.join_halves(a, b)), &|a, _| rounded(a));
            check(s.high_halves(s.join_halves(a, b)), &|_, b| rounded(b));
            let pairs = s.join_halves(a, b);
            check(s.dot_pairs(pairs, pairs, s.abs(a)), &|a, b| {
                rounded(a) * rounded(a) + rounded(b) * rounded(b) + a.abs()
            });
            assert!((s.sum(a) - self.0[..S::LANES].iter().sum::<f32>()).abs() < 1e-4);
            assert_eq!(s.largest(a), self.0[..S::LANES].iter().copied().fold(f32::MIN, f32::max));
            for n in 1..S::LANES {
                let mut got = [7.0; 16];
                // SAFETY: n is below 16.
                unsafe { s.store_first(got.as_mut_ptr(), s.load_first(self.0.as_ptr(), n), n) };
                assert_eq!(got[..n], self.0[..n]);
                assert!(got[n..].iter().all(|x| *x == 7.0));
                // SAFETY: as above.
                unsafe { s.store(got.as_mut_ptr(), s.load_first(self.0.as_ptr(), n)) };
                assert!(got[n..S::LANES].iter().all(|x| *x == 0.0));
            }
        }
    }

    #[test]
    fn operations_agree_with_plain_arithmetic() {
        let a: Vec<f32> = (0..16).map(|i| i as f32 * 1.37 - 9.2).collect();
        let b: Vec<f32> = (0..16).map(|i| 3.1 - i as f32 * 0.71).collect();
        for isa in Isa::available() {
            isa.run(Operations(&a, &b));
            isa.run_halves(Operations(&a, &b));
        }
    }
}
