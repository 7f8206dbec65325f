//! Scaled dot-product attention over many heads.

use candle_core::{D, Result, Tensor};

/// What a query may look at.
#[derive(Debug, Clone, Copy)]
pub enum AttentionMask<'a> {
    /// Everything.
    None,
    /// Itself and what came before (text encoders).
    Causal,
    /// An additive bias `[batch or 1, queries or 1, keys]`, the same for all heads.
    Bias(&'a Tensor),
}

/// `softmax(q kᵀ / sqrt(dim) + mask) v` for `q [b, n, heads*dim]`, `k, v [b, m, heads*dim]`; returns `[b, n, heads*dim]`.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, mask: AttentionMask<'_>) -> Result<Tensor> {
    let (b, n, width) = q.dims3()?;
    let m = k.dim(1)?;
    let dim = width / heads;
    let split = |t: &Tensor, len: usize| t.reshape((b, len, heads, dim))?.transpose(1, 2)?.contiguous();
    let (q, k, v) = (split(q, n)?, split(k, m)?, split(v, m)?);
    let mut scores = (q.matmul(&k.transpose(2, 3)?)? * (1.0 / (dim as f64).sqrt()))?;
    match mask {
        AttentionMask::None => {}
        AttentionMask::Causal => {
            let bias: Vec<f32> = (0..n)
                .flat_map(|i| (0..m).map(move |j| if j > i { f32::NEG_INFINITY } else { 0.0 }))
                .collect();
            scores = scores.broadcast_add(&Tensor::from_vec(bias, (1, 1, n, m), scores.device())?)?;
        }
        AttentionMask::Bias(bias) => scores = scores.broadcast_add(&bias.unsqueeze(1)?)?,
    }
    let peak = scores.max_keepdim(D::Minus1)?;
    let weights = scores.broadcast_sub(&peak)?.exp()?;
    let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
    weights.matmul(&v)?.transpose(1, 2)?.reshape((b, n, width))
}
