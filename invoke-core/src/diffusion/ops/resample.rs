//! Pictures in other shapes: doubled, joined, as sequences.

use candle_core::{Device, Result, Tensor};

use super::cpu;

/// Nearest-neighbour doubling of `[b, c, h, w]`. Before a convolution, [`Conv2d::forward_fused`](super::Conv2d::forward_fused) does
/// it without the larger picture's being stored.
pub fn upsample_nearest_2x(x: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    if !cpu::suits(x) || x.elem_count() == 0 {
        return x.upsample_nearest2d(h * 2, w * 2);
    }
    let x = cpu::channels_last(x)?;
    cpu::picture(
        invoke_kernels::upsample_2x(cpu::floats(&x)?.slice()?, h, w, c),
        (b, c, 2 * h, 2 * w),
    )
}

/// Joins the channels of two pictures `[b, c1, h, w]` and `[b, c2, h, w]`.
pub fn cat_channels(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let ((b, c, h, w), (b2, c2, h2, w2)) = (x.dims4()?, y.dims4()?);
    if !cpu::suits(x) || !cpu::suits(y) || (b, h, w) != (b2, h2, w2) || b * h * w * c * c2 == 0 {
        return Tensor::cat(&[x, y], 1);
    }
    let (x, y) = (cpu::channels_last(x)?, cpu::channels_last(y)?);
    let joined = invoke_kernels::concat_channels(cpu::floats(&x)?.slice()?, cpu::floats(&y)?.slice()?, [c, c2]);
    cpu::picture(joined, (b, c + c2, h, w))
}

/// Strips of one picture, `[1, c, rows, w]` each, one below the other.
pub fn cat_rows(strips: &[Tensor]) -> Result<Tensor> {
    let [first, rest @ ..] = strips else {
        candle_core::bail!("there are no strips to join");
    };
    if rest.is_empty() {
        return Ok(first.clone());
    }
    let (_, c, _, w) = first.dims4()?;
    if !strips
        .iter()
        .all(|x| cpu::suits(x) && x.elem_count() > 0 && x.dims()[..2] == [1, c] && x.dims()[3] == w)
    {
        return Tensor::cat(strips, 2);
    }
    let mut joined = Vec::with_capacity(strips.iter().map(Tensor::elem_count).sum());
    for strip in strips {
        let last = cpu::channels_last(strip)?;
        joined.extend_from_slice(cpu::floats(&last)?.slice()?);
    }
    let rows = joined.len() / c / w;
    cpu::picture(joined, (1, c, rows, w))
}

/// The mean of 2×2 pixels of `[b, c, h, w]`; what is left over at an odd edge is averaged on its own.
pub fn halve(x: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    // Repeating the last row or column gives the partial means that rounding up asks for.
    let x = if h % 2 == 1 {
        Tensor::cat(&[x, &x.narrow(2, h - 1, 1)?], 2)?
    } else {
        x.clone()
    };
    let x = if w % 2 == 1 {
        Tensor::cat(&[&x, &x.narrow(3, w - 1, 1)?], 3)?
    } else {
        x
    };
    let (h, w) = (h.div_ceil(2), w.div_ceil(2));
    x.contiguous()?.reshape(&[b, c, h, 2, w, 2][..])?.mean(vec![3, 5])
}

/// Every second pixel of both axes, beginning with the first: `[b, c, h, w]` to `[b, c, ceil(h/2), ceil(w/2)]`.
pub fn every_second(x: &Tensor) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let even = |n: usize| Tensor::arange_step(0u32, n as u32, 2, x.device());
    channels_first(x)?.index_select(&even(h)?, 2)?.index_select(&even(w)?, 3)
}

/// A picture `[b, c, h, w]` as a sequence of its pixels `[b, h*w, c]`; without a copy where the picture's memory is channels-last.
pub fn pixels_as_tokens(x: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    if cpu::suits(x) && x.elem_count() > 0 {
        return cpu::channels_last(x)?.reshape((b, h * w, c));
    }
    x.flatten_from(2)?.transpose(1, 2)?.contiguous()
}

/// A sequence of pixels `[b, h*w, c]` as a picture `[b, c, h, w]`.
pub fn tokens_as_pixels(x: &Tensor, h: usize, w: usize) -> Result<Tensor> {
    let (b, _, c) = x.dims3()?;
    if cpu::suits(x) {
        return x.contiguous()?.reshape((b, h, w, c))?.permute((0, 3, 1, 2));
    }
    x.transpose(1, 2)?.contiguous()?.reshape((b, c, h, w))
}

/// The same picture with its memory in candle's usual order (`[b, c, h, w]` contiguous), for code that reads it so.
pub fn channels_first(x: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    if !cpu::suits(x) || x.is_contiguous() || x.elem_count() == 0 {
        return x.contiguous();
    }
    let last = cpu::channels_last(x)?;
    Tensor::from_vec(
        invoke_kernels::to_channels_first(cpu::floats(&last)?.slice()?, b, c),
        (b, c, h, w),
        &Device::Cpu,
    )
}

#[cfg(test)]
mod tests {
    use super::super::twin::{close, noise, pictures};
    use super::*;

    #[test]
    fn kernels_agree_with_candle() -> Result<()> {
        let [first, last] = pictures(2, 5, 4, 3)?;
        let other = noise(&[2, 7, 4, 3])?;
        for x in [&first, &last] {
            close(&upsample_nearest_2x(x)?, &first.upsample_nearest2d(8, 6)?, 0.0)?;
            close(&cat_channels(x, &other)?, &Tensor::cat(&[&first, &other], 1)?, 0.0)?;
            let tokens = pixels_as_tokens(x)?;
            close(&tokens, &first.flatten_from(2)?.transpose(1, 2)?, 0.0)?;
            close(&tokens_as_pixels(&tokens, 4, 3)?, &first, 0.0)?;
            let back = channels_first(x)?;
            assert!(back.is_contiguous());
            close(&back, &first, 0.0)?;
        }
        assert!(cat_channels(&first, &noise(&[2, 5, 3, 4])?).is_err());
        let small = Tensor::arange(0f32, 15.0, &Device::Cpu)?.reshape((1, 1, 3, 5))?;
        assert_eq!(
            every_second(&small)?.flatten_all()?.to_vec1::<f32>()?,
            [0.0, 2.0, 4.0, 10.0, 12.0, 14.0]
        );
        assert_eq!(halve(&small)?.flatten_all()?.to_vec1::<f32>()?, [3.0, 5.0, 6.5, 10.5, 12.5, 14.0]);
        Ok(())
    }
}
