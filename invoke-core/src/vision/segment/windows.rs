//! Grids of tokens cut into windows, zeros filling up the last ones.

use candle_core::Tensor;

use crate::diffusion::{
    Result,
    ops::{Border, crop, pad, pixels_as_tokens, tokens_as_pixels},
};

/// Tokens `[1, h * w, c]` by windows of `[n, m]`: `[windows, n * m, c]`, and the filled-up size.
pub(super) fn split(x: &Tensor, [h, w]: [usize; 2], [n, m]: [usize; 2]) -> Result<(Tensor, usize, usize)> {
    let (tall, broad) = (h.next_multiple_of(n), w.next_multiple_of(m));
    let framed = pad(&tokens_as_pixels(x, h, w)?, [0, tall - h, 0, broad - w], Border::Zeros)?;
    let c = framed.dim(1)?;
    let windows = pixels_as_tokens(&framed)?
        .reshape(&[tall / n, n, broad / m, m, c][..])?
        .permute(vec![0, 2, 1, 3, 4])?
        .contiguous()?
        .reshape((tall / n * (broad / m), n * m, c))?;
    Ok((windows, tall, broad))
}

/// The other way round: of a filled-up size to `[1, h * w, c]`.
pub(super) fn join(x: &Tensor, [tall, broad]: [usize; 2], [n, m]: [usize; 2], [h, w]: [usize; 2]) -> Result<Tensor> {
    let c = x.dim(2)?;
    let pixels = x
        .reshape(&[tall / n, broad / m, n, m, c][..])?
        .permute(vec![0, 2, 1, 3, 4])?
        .contiguous()?
        .reshape((1, tall * broad, c))?;
    Ok(pixels_as_tokens(&crop(&tokens_as_pixels(&pixels, tall, broad)?, h, w)?)?)
}
