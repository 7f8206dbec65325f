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

/// The most scores that candle computes at a time: with what is made of them on the way, a gigabyte.
const MOST_SCORES: usize = 1 << 26;

fn on_candle(all: [&Tensor; 3], heads: usize, mask: AttentionMask<'_>) -> Result<Tensor> {
    by_parts(all, heads, mask, MOST_SCORES)
}

/// As many queries at a time as have no more than so many scores.
fn by_parts(all: [&Tensor; 3], heads: usize, mask: AttentionMask<'_>, most: usize) -> Result<Tensor> {
    let ((b, n, width), m) = (all[0].dims3()?, all[1].dim(1)?);
    let dim = width / heads;
    let split = |t: &Tensor| t.reshape((b, (), heads, dim))?.transpose(1, 2)?.contiguous();
    let (q, k, v) = (split(all[0])?, split(all[1])?.transpose(2, 3)?, split(all[2])?);
    let at_once = (most / (b * heads * m).max(1)).clamp(1, n.max(1));
    let some = |start: usize| {
        let count = at_once.min(n - start);
        some_queries([&q.narrow(2, start, count)?, &k, &v], start, mask)
    };
    let parts = (0..n.max(1)).step_by(at_once).map(some).collect::<Result<Vec<_>>>()?;
    let all = if let [one] = &parts[..] {
        one.clone()
    } else {
        Tensor::cat(&parts, 2)?
    };
    all.transpose(1, 2)?.reshape((b, n, width))
}

/// What the queries from `start` on find, all as `[b, heads, .., dim]` but `k`, whose last two axes have changed places. Products in the type of what comes,
/// scores and their weights in single floats: a bias is one, and sums of exponentials say little in bfloat16.
fn some_queries([q, k, v]: [&Tensor; 3], start: usize, mask: AttentionMask<'_>) -> Result<Tensor> {
    let (n, m, dim) = (q.dim(2)?, k.dim(3)?, q.dim(3)?);
    let scores = q.contiguous()?.matmul(k)?.to_dtype(DType::F32)?;
    let mut scores = (scores * (1.0 / (dim as f64).sqrt()))?;
    match mask {
        AttentionMask::None => {}
        AttentionMask::Causal => {
            let bias: Vec<f32> = (start..start + n)
                .flat_map(|i| (0..m).map(move |j| if j > i { f32::NEG_INFINITY } else { 0.0 }))
                .collect();
            scores = scores.broadcast_add(&Tensor::from_vec(bias, (1, 1, n, m), scores.device())?)?;
        }
        AttentionMask::Bias(bias) => {
            let own = if bias.dim(1)? == 1 {
                bias.clone()
            } else {
                bias.narrow(1, start, n)?
            };
            scores = scores.broadcast_add(&own.to_dtype(DType::F32)?.unsqueeze(1)?)?;
        }
    }
    let peak = scores.max_keepdim(D::Minus1)?;
    let weights = scores.broadcast_sub(&peak)?.exp()?;
    let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
    weights.to_dtype(v.dtype())?.matmul(v)
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

    #[test]
    fn many_queries_go_by_parts() -> Result<()> {
        let (q, k, v) = (noise(&[2, 30, 16])?, noise(&[2, 30, 16])?, noise(&[2, 30, 16])?);
        let (each, all) = (noise(&[2, 30, 30])?, noise(&[1, 1, 30])?);
        let masks = [
            AttentionMask::Bias(&each),
            AttentionMask::Bias(&all),
            AttentionMask::Causal,
            AttentionMask::None,
        ];
        for (mask, most) in masks.into_iter().flat_map(|mask| [1, 840, 3600].map(|most| (mask, most))) {
            let whole = attention(&q, &k, &v, 2, mask)?;
            close(&by_parts([&q, &k, &v], 2, mask, most)?, &whole, 1e-5)?;
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
