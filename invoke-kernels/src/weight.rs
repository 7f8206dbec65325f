//! What weights may be given in, and how each is packed.

use half::bf16;

use crate::panels::PanelWeights;
use crate::simd::Isa;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::bf16 {}
}

/// A number of a matrix of weights: `f32`, which is computed with as it is, or `bf16` (bfloat16), half as large in memory, with which activations are
/// rounded to bfloat16 before each product. Sums are single floats either way.
pub trait Weight: sealed::Sealed + Copy + Default + 'static {
    /// As a single float.
    fn single(self) -> f32;
    #[doc(hidden)]
    fn pack(isa: Isa, weight: &[Self], inputs: usize) -> Packed;
}

/// Weights packed in panels.
#[doc(hidden)]
#[derive(Debug)]
pub struct Packed(pub(crate) PanelWeights);

impl Weight for f32 {
    fn single(self) -> f32 {
        self
    }
    fn pack(isa: Isa, weight: &[Self], inputs: usize) -> Packed {
        Packed(PanelWeights::new(isa, weight, inputs))
    }
}

impl Weight for bf16 {
    fn single(self) -> f32 {
        self.to_f32()
    }
    fn pack(isa: Isa, weight: &[Self], inputs: usize) -> Packed {
        Packed(PanelWeights::of_halves(isa, weight, inputs))
    }
}

/// Whether layers of `bf16` weights are smaller here than those of `f32`, and computed with as such. With tiles they are not: those split single floats, and
/// would store the halves of what is half a float already.
pub fn holds_halves() -> bool {
    !Isa::best().has_tiles()
}
