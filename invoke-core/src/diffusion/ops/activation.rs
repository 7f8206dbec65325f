//! Element-wise activations.

use candle_core::{Result, Tensor};

/// `x * sigmoid(x)`.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    x.silu()
}

/// GELU by the error function (what torch calls `gelu` with `approximate="none"`).
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    x.gelu_erf()
}

/// `x * sigmoid(1.702 x)`, CLIP's approximation.
pub fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    x * ((x * 1.702)?.neg()?.exp()? + 1.0)?.recip()?
}

/// Gated GELU: the last axis holds `[value, gate]`; returns `value * gelu(gate)`.
pub fn geglu(x: &Tensor) -> Result<Tensor> {
    let halves = x.chunk(2, candle_core::D::Minus1)?;
    halves[0].contiguous()? * gelu(&halves[1].contiguous()?)?
}
