//! Scaled dot-product attention over many heads.

use candle_core::{D, DType, Device, Result, Tensor};
use invoke_kernels::{AttentionShape, Mask};

use super::cpu;

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

/// `softmax(q kᵀ / sqrt(dim) + mask) v` for `q [b, n, heads*dim]`, `k, v [b, m, heads*dim]`; returns `[b, n, heads*dim]`. The three
/// may be parts of one product's last axis (`narrow`); on the CPU they are read in place.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, mask: AttentionMask<'_>) -> Result<Tensor> {
    attention_in([q, k, v], heads, mask, false)
}

/// As [`attention`] for `[q, k, v]`; with `halves`, single floats on the CPU are rounded to half floats before they are multiplied, as layers of half
/// floats do ([`Linear::of_halves`](super::Linear::of_halves)).
pub fn attention_in([q, k, v]: [&Tensor; 3], heads: usize, mask: AttentionMask<'_>, halves: bool) -> Result<Tensor> {
    let (b, n, width) = q.dims3()?;
    let m = k.dim(1)?;
    if heads == 0 || width % heads != 0 || k.dims() != [b, m, width] || v.dims() != [b, m, width] {
        candle_core::bail!(
            "attention of {heads} heads: queries {:?}, keys {:?}, values {:?}",
            q.dims(),
            k.dims(),
            v.dims()
        );
    }
    let all = [q, k, v];
    if all.iter().all(|x| cpu::suits(x)) && b * n * m * width > 0 {
        on_cpu(all, heads, mask, halves)
    } else {
        on_candle(all, heads, mask)
    }
}

fn on_cpu(all: [&Tensor; 3], heads: usize, mask: AttentionMask<'_>, halves: bool) -> Result<Tensor> {
    let (b, n, width) = all[0].dims3()?;
    let m = all[1].dim(1)?;
    if let Some(uneven) = all.iter().position(|x| !matches!(cpu::rows(x), Ok(Some(_)))) {
        let whole = all[uneven].contiguous()?;
        let mut all = all;
        all[uneven] = &whole;
        return on_cpu(all, heads, mask, halves);
    }
    let bias = match mask {
        AttentionMask::Bias(bias) => Some(bias.contiguous()?),
        _ => None,
    };
    let guard = bias
        .as_ref()
        .map(|bias| Ok::<_, candle_core::Error>((cpu::floats(bias)?, bias.dims3()?)))
        .transpose()?;
    let mask = match (&guard, mask) {
        (Some((floats, (rows, queries, keys))), _) => {
            if (*rows != 1 && *rows != b) || (*queries != 1 && *queries != n) || *keys != m {
                candle_core::bail!("attention: a bias of {rows} x {queries} x {keys} for scores of {b} x {n} x {m}");
            }
            Mask::Bias(floats.slice()?, [*rows, *queries])
        }
        (None, AttentionMask::Causal) => Mask::Causal,
        (None, _) => Mask::None,
    };
    let [Some((q, q_stride)), Some((k, k_stride)), Some((v, v_stride))] = [cpu::rows(all[0])?, cpu::rows(all[1])?, cpu::rows(all[2])?]
    else {
        candle_core::bail!("attention: rows were made even above");
    };
    let shape = AttentionShape {
        strides: [q_stride, k_stride, v_stride],
        halves,
        ..AttentionShape::dense(b, n, m, heads, width / heads)
    };
    Tensor::from_vec(
        invoke_kernels::attention(q.slice()?, k.slice()?, v.slice()?, shape, mask),
        (b, n, width),
        &Device::Cpu,
    )
}

/// Products in the type of what comes, scores and their weights in single floats: a bias is one, and sums of exponentials say little in bfloat16.
fn on_candle([q, k, v]: [&Tensor; 3], heads: usize, mask: AttentionMask<'_>) -> Result<Tensor> {
    let (b, n, width) = q.dims3()?;
    let m = k.dim(1)?;
    let dim = width / heads;
    let split = |t: &Tensor, len: usize| t.reshape((b, len, heads, dim))?.transpose(1, 2)?.contiguous();
    let (q, k, v) = (split(q, n)?, split(k, m)?, split(v, m)?);
    let scores = q.matmul(&k.transpose(2, 3)?)?.to_dtype(DType::F32)?;
    let mut scores = (scores * (1.0 / (dim as f64).sqrt()))?;
    match mask {
        AttentionMask::None => {}
        AttentionMask::Causal => {
            let bias: Vec<f32> = (0..n)
                .flat_map(|i| (0..m).map(move |j| if j > i { f32::NEG_INFINITY } else { 0.0 }))
                .collect();
            scores = scores.broadcast_add(&Tensor::from_vec(bias, (1, 1, n, m), scores.device())?)?;
        }
        AttentionMask::Bias(bias) => scores = scores.broadcast_add(&bias.to_dtype(DType::F32)?.unsqueeze(1)?)?,
    }
    let peak = scores.max_keepdim(D::Minus1)?;
    let weights = scores.broadcast_sub(&peak)?.exp()?;
    let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
    weights.to_dtype(v.dtype())?.matmul(&v)?.transpose(1, 2)?.reshape((b, n, width))
}

#[cfg(test)]
mod tests {
    use super::super::twin::{close, noise};
    use super::*;

    /// As on an accelerator: what comes is of few bits, and a bias of single floats.
    #[test]
    fn few_bits_with_a_bias_of_single_floats() -> Result<()> {
        let (q, k, v, bias) = (
            noise(&[2, 30, 80])?,
            noise(&[2, 77, 80])?,
            noise(&[2, 77, 80])?,
            noise(&[2, 30, 77])?,
        );
        let want = attention(&q, &k, &v, 2, AttentionMask::Bias(&bias))?;
        for (dtype, tolerance) in [(DType::F16, 2e-3), (DType::BF16, 1e-2)] {
            let [q, k, v] = [&q, &k, &v].map(|x| x.to_dtype(dtype));
            let y = attention(&q?, &k?, &v?, 2, AttentionMask::Bias(&bias))?;
            assert_eq!(y.dtype(), dtype);
            close(&y.to_dtype(DType::F32)?, &want, tolerance)?;
        }
        Ok(())
    }

    /// With half floats something is rounded, where the processor has use for them.
    #[test]
    fn half_floats_round() -> Result<()> {
        let (q, k, v) = (noise(&[1, 300, 64])?, noise(&[1, 150, 64])?, noise(&[1, 150, 64])?);
        let exact = attention(&q, &k, &v, 1, AttentionMask::None)?;
        let rounded = attention_in([&q, &k, &v], 1, AttentionMask::None, true)?;
        close(&rounded, &exact, 1e-2)?;
        let apart = (rounded - exact)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert_eq!(apart > 1e-5, invoke_kernels::holds_halves(), "{apart}");
        Ok(())
    }

    #[test]
    fn kernels_agree_with_candle() -> Result<()> {
        for (b, n, m, heads, dim) in [(1, 1, 1, 1, 8), (2, 30, 77, 2, 20), (2, 70, 70, 3, 40), (1, 300, 150, 1, 64)] {
            let width = heads * dim;
            let (q, k, v) = ((noise(&[b, n, width])? * 4.0)?, noise(&[b, m, width])?, noise(&[b, m, width])?);
            let (whole, row) = (noise(&[b, n, m])?, noise(&[1, 1, m])?);
            let mut masks = vec![AttentionMask::None, AttentionMask::Bias(&whole), AttentionMask::Bias(&row)];
            if n == m {
                masks.push(AttentionMask::Causal);
            }
            for mask in masks {
                close(&attention(&q, &k, &v, heads, mask)?, &on_candle([&q, &k, &v], heads, mask)?, 1e-5)?;
            }
            let wide = noise(&[b, m, 2 * width])?;
            let parts = [wide.narrow(2, 0, width)?, wide.narrow(2, width, width)?];
            let want = on_candle([&q, &parts[0], &parts[1]], heads, AttentionMask::None)?;
            close(&attention(&q, &parts[0], &parts[1], heads, AttentionMask::None)?, &want, 1e-5)?;
            let turned = noise(&[b, width, m])?.transpose(1, 2)?;
            let want = on_candle([&q, &turned, &turned], heads, AttentionMask::None)?;
            close(&attention(&q, &turned, &turned, heads, AttentionMask::None)?, &want, 1e-5)?;
        }
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() -> Result<()> {
        let (q, k) = (noise(&[1, 4, 10])?, noise(&[1, 4, 10])?);
        assert!(attention(&q, &k, &k, 3, AttentionMask::None).is_err());
        assert!(attention(&q, &k, &noise(&[1, 5, 10])?, 2, AttentionMask::None).is_err());
        assert!(attention(&q, &k, &k, 2, AttentionMask::Bias(&noise(&[1, 3, 4])?)).is_err());
        Ok(())
    }
}
