//! Attention that looks at a few places of each of several pictures, wherever the query says (multi-scale deformable attention).

use candle_core::{D, DType, Device, Result, Tensor};
use rayon::prelude::*;

use super::cpu;

/// Weighted means of `values` at places between pixels, for each query and head.
///
/// `values [pixels, heads * dim]` are those of all pictures one after another, whose heights and widths are `sizes`; beyond a picture all is zero.
/// `offsets [queries, heads * sizes * points * 2]` tell right and down from each query's place, `scores [queries, heads * sizes * points]` become
/// weights by a softmax over pictures and points. A place is a point `[queries, 2]` (x, y), offsets being in pixels of each picture, or a box
/// `[queries, 4]` (x and y of the centre, width, height), offsets being in halves of the box, divided by the number of points. Places are shares
/// of the picture's width and height. Returns `[queries, heads * dim]`.
pub fn sample_places(
    values: &Tensor,
    sizes: &[[usize; 2]],
    heads: usize,
    places: &Tensor,
    offsets: &Tensor,
    scores: &Tensor,
) -> Result<Tensor> {
    let ((pixels, width), (queries, each)) = (values.dims2()?, places.dims2()?);
    let taps = scores.dim(1)?.checked_div(heads).unwrap_or(0);
    let points = taps.checked_div(sizes.len()).unwrap_or(0);
    let whole = points > 0 && width.is_multiple_of(heads) && sizes.iter().map(|[h, w]| h * w).sum::<usize>() == pixels;
    if !whole
        || (each != 2 && each != 4)
        || scores.dims() != [queries, heads * sizes.len() * points]
        || offsets.dims() != [queries, heads * sizes.len() * points * 2]
    {
        candle_core::bail!(
            "{heads} heads on pictures of {sizes:?} with values {:?}: places {:?}, offsets {:?}, scores {:?}",
            values.dims(),
            places.dims(),
            offsets.dims(),
            scores.dims()
        );
    }
    let shape = Shape { heads, points, width };
    let all = [values, places, offsets, scores];
    if all.iter().all(|x| cpu::suits(x)) {
        on_cpu(all, sizes, shape)
    } else {
        on_candle(all, sizes, shape)
    }
}

#[derive(Clone, Copy)]
struct Shape {
    heads: usize,
    points: usize,
    width: usize,
}

fn on_cpu(all: [&Tensor; 4], sizes: &[[usize; 2]], shape: Shape) -> Result<Tensor> {
    let Shape { heads, points, width } = shape;
    let whole = [
        all[0].contiguous()?,
        all[1].contiguous()?,
        all[2].contiguous()?,
        all[3].contiguous()?,
    ];
    let floats = [
        cpu::floats(&whole[0])?,
        cpu::floats(&whole[1])?,
        cpu::floats(&whole[2])?,
        cpu::floats(&whole[3])?,
    ];
    let [values, places, offsets, scores] = [floats[0].slice()?, floats[1].slice()?, floats[2].slice()?, floats[3].slice()?];
    let (queries, each) = whole[1].dims2()?;
    let (dim, taps) = (width / heads, sizes.len() * points);
    let mut out = vec![0.0_f32; queries * width];
    out.par_chunks_mut(width.max(1)).enumerate().for_each(|(query, row)| {
        let place = &places[query * each..][..each];
        let mut weights = vec![0.0_f32; taps];
        for (head, sum) in row.chunks_exact_mut(dim).enumerate() {
            let first = (query * heads + head) * taps;
            softmax(&scores[first..][..taps], &mut weights);
            let mut start = 0;
            for (level, &[h, w]) in sizes.iter().enumerate() {
                // From offsets to shares of the picture.
                let scale = match *place {
                    [_, _, across, down] => [across * 0.5 / points as f32, down * 0.5 / points as f32],
                    _ => [1.0 / w as f32, 1.0 / h as f32],
                };
                let picture = &values[start * width..][..h * w * width];
                for tap in level * points..(level + 1) * points {
                    let offset = &offsets[(first + tap) * 2..][..2];
                    let x = (place[0] + offset[0] * scale[0]) * w as f32 - 0.5;
                    let y = (place[1] + offset[1] * scale[1]) * h as f32 - 0.5;
                    // What is no number lies nowhere.
                    if !(x > -1.0 && y > -1.0 && x < w as f32 && y < h as f32) {
                        continue;
                    }
                    let (left, top) = (x.floor(), y.floor());
                    let (fx, fy) = (x - left, y - top);
                    for (dy, dx, share) in [
                        (0, 0, (1.0 - fy) * (1.0 - fx)),
                        (0, 1, (1.0 - fy) * fx),
                        (1, 0, fy * (1.0 - fx)),
                        (1, 1, fy * fx),
                    ] {
                        let (column, line) = (left as isize + dx, top as isize + dy);
                        if column < 0 || line < 0 || column >= w as isize || line >= h as isize {
                            continue;
                        }
                        let pixel = (line as usize * w + column as usize) * width + head * dim;
                        let share = share * weights[tap];
                        for (to, from) in sum.iter_mut().zip(&picture[pixel..][..dim]) {
                            *to += share * from;
                        }
                    }
                }
                start += h * w;
            }
        }
    });
    Tensor::from_vec(out, (queries, width), &Device::Cpu)
}

fn softmax(scores: &[f32], weights: &mut [f32]) {
    let peak = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (weight, score) in weights.iter_mut().zip(scores) {
        *weight = (score - peak).exp();
        sum += *weight;
    }
    weights.iter_mut().for_each(|weight| *weight /= sum);
}

fn on_candle(all: [&Tensor; 4], sizes: &[[usize; 2]], shape: Shape) -> Result<Tensor> {
    let Shape { heads, points, width } = shape;
    let [values, places, offsets, scores] = all;
    let (dtype, device) = (values.dtype(), values.device());
    let ((queries, each), levels, dim) = (places.dims2()?, sizes.len(), width / heads);
    let single = |x: &Tensor| x.to_dtype(DType::F32);
    let scores = single(scores)?.reshape((queries, heads, levels * points))?;
    let peak = scores.max_keepdim(D::Minus1)?;
    let weights = scores.broadcast_sub(&peak)?.exp()?;
    let weights = weights
        .broadcast_div(&weights.sum_keepdim(D::Minus1)?)?
        .reshape((queries, heads, levels, points))?;
    let offsets = single(offsets)?.reshape(&[queries, heads, levels, points, 2][..])?;
    let places = single(places)?;
    let column = |i: usize| places.narrow(1, i, 1)?.reshape((queries, 1, 1));
    // Each head's values are rows of their own.
    let rows = values.contiguous()?.reshape(((), dim))?;
    let head = Tensor::arange(0_u32, heads as u32, device)?
        .to_dtype(DType::F32)?
        .reshape((1, heads, 1))?;
    let mut sum = Tensor::zeros((queries, heads, dim), dtype, device)?;
    let mut start = 0;
    for (level, &[h, w]) in sizes.iter().enumerate() {
        // Along one axis: the pixel before each place, and how far beyond it the place lies.
        let along = |axis: usize, n: usize| -> Result<(Tensor, Tensor)> {
            let offset = offsets.narrow(2, level, 1)?.squeeze(2)?.narrow(3, axis, 1)?.squeeze(3)?;
            let offset = if each == 4 {
                offset.broadcast_mul(&(column(2 + axis)? * (0.5 / points as f64))?)?
            } else {
                (offset / n as f64)?
            };
            let at = ((offset.broadcast_add(&column(axis)?)? * n as f64)? - 0.5)?;
            // Beyond the edges all is zero, however far.
            let at = at.clamp(-2.0, n as f64 + 1.0)?;
            let first = at.floor()?;
            let beyond = (at - &first)?;
            Ok((first, beyond))
        };
        let ((left, fx), (top, fy)) = (along(0, w)?, along(1, h)?);
        let weight = weights.narrow(2, level, 1)?.squeeze(2)?;
        for (dy, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let (x, y) = ((&left + f64::from(dx))?, (&top + f64::from(dy))?);
            let part = |f: &Tensor, second: i32| if second == 1 { Ok(f.clone()) } else { f.affine(-1.0, 1.0) };
            let (near_x, near_y) = (x.clamp(0.0, w as f64 - 1.0)?, y.clamp(0.0, h as f64 - 1.0)?);
            let inside = (x.eq(&near_x)?.to_dtype(DType::F32)? * y.eq(&near_y)?.to_dtype(DType::F32)?)?;
            let share = (((part(&fx, dx)? * part(&fy, dy)?)? * inside)? * &weight)?;
            let pixel = ((near_y * w as f64)? + near_x)?.affine(heads as f64, (start * heads) as f64)?;
            let row = pixel.broadcast_add(&head)?.to_dtype(DType::U32)?.flatten_all()?;
            let found = rows.index_select(&row, 0)?.reshape((queries, heads, points, dim))?;
            let found = found.broadcast_mul(&share.to_dtype(dtype)?.unsqueeze(3)?)?;
            sum = (sum + found.sum(2)?)?;
        }
        start += h * w;
    }
    sum.reshape((queries, width))
}

#[cfg(test)]
mod tests {
    use super::super::twin::{close, noise};
    use super::*;

    #[test]
    fn kernels_agree_with_candle() -> Result<()> {
        let (sizes, heads, points, queries, width) = ([[5, 7], [3, 4], [1, 1]], 2, 3, 11, 8);
        let values = noise(&[5 * 7 + 3 * 4 + 1, width])?;
        let taps = heads * sizes.len() * points;
        // Some of the places lie far outside.
        let (offsets, scores) = ((noise(&[queries, taps * 2])? * 6.0)?, (noise(&[queries, taps])? * 3.0)?);
        for each in [2, 4] {
            let places = ((noise(&[queries, each])? * 0.6)? + 0.5)?;
            let shape = Shape { heads, points, width };
            let found = sample_places(&values, &sizes, heads, &places, &offsets, &scores)?;
            close(&found, &on_candle([&values, &places, &offsets, &scores], &sizes, shape)?, 1e-5)?;
        }
        Ok(())
    }

    #[test]
    fn pixels_are_found_where_they_are() -> Result<()> {
        let values = Tensor::arange(0_f32, 12.0, &Device::Cpu)?.reshape((12, 1))?;
        let places = Tensor::new(&[[2.5_f32 / 4.0, 1.5 / 3.0], [1.0, 1.0], [f32::NAN, 0.5]], &Device::Cpu)?;
        let (offsets, scores) = (
            Tensor::zeros((3, 2), DType::F32, &Device::Cpu)?,
            Tensor::zeros((3, 1), DType::F32, &Device::Cpu)?,
        );
        let found = sample_places(&values, &[[3, 4]], 1, &places, &offsets, &scores)?;
        // The pixel itself; a quarter of the last one, the others lying outside; nothing.
        assert_eq!(found.flatten_all()?.to_vec1::<f32>()?, [6.0, 11.0 / 4.0, 0.0]);
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() -> Result<()> {
        let (values, places) = (noise(&[12, 4])?, noise(&[3, 2])?);
        let (offsets, scores) = (noise(&[3, 8])?, noise(&[3, 4])?);
        let run = |sizes: &[[usize; 2]], heads, places: &Tensor, offsets: &Tensor| {
            sample_places(&values, sizes, heads, places, offsets, &scores).is_ok()
        };
        assert!(run(&[[3, 4]], 2, &places, &offsets));
        assert!(!run(&[[3, 5]], 2, &places, &offsets));
        assert!(!run(&[], 2, &places, &offsets));
        assert!(!run(&[[3, 4]], 0, &places, &offsets));
        assert!(!run(&[[3, 4]], 3, &places, &offsets));
        assert!(!run(&[[3, 4]], 2, &noise(&[3, 3])?, &offsets));
        assert!(!run(&[[3, 4]], 2, &places, &noise(&[3, 7])?));
        Ok(())
    }
}
