//! Pictures cut, padded, turned and resized: what models do between their layers.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::cpu;

/// What lies beyond the edges of a padded picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// Zeros.
    Zeros,
    /// The picture mirrored, its edge not repeated.
    Reflect,
    /// Its edge, repeated.
    Replicate,
}

/// The picture whose pixel `(y, x)` is `picture`'s pixel `(rows[y], columns[x])`.
pub fn pick(picture: &Tensor, rows: &[usize], columns: &[usize]) -> Result<Tensor> {
    let (b, c, h, w) = picture.dims4()?;
    if rows.iter().any(|y| *y >= h) || columns.iter().any(|x| *x >= w) {
        candle_core::bail!("rows or columns beyond a picture of {:?} were asked for", picture.dims());
    }
    let (oh, ow) = (rows.len(), columns.len());
    if !cpu::suits(picture) || b * c * oh * ow == 0 {
        let indices = |list: &[usize]| Tensor::from_vec(list.iter().map(|i| *i as u32).collect::<Vec<_>>(), list.len(), picture.device());
        let picked = picture.contiguous()?.index_select(&indices(rows)?, 2)?;
        return picked.index_select(&indices(columns)?, 3);
    }
    let last = cpu::channels_last(picture)?;
    let floats = cpu::floats(&last)?;
    let from = floats.slice()?;
    let mut to = vec![0.0; b * oh * ow * c];
    to.par_chunks_mut(ow * c).enumerate().for_each(|(row, pixels)| {
        let start = (row / oh * h + rows[row % oh]) * w * c;
        for (pixel, x) in pixels.chunks_exact_mut(c).zip(columns) {
            pixel.copy_from_slice(&from[start + x * c..][..c]);
        }
    });
    cpu::picture(to, (b, c, oh, ow))
}

/// `picture` with pixels added at its edges: top, bottom, left, right. A mirror needs more pixels than are added.
pub fn pad(picture: &Tensor, [top, bottom, left, right]: [usize; 4], border: Border) -> Result<Tensor> {
    let (_, _, h, w) = picture.dims4()?;
    if border == Border::Zeros {
        return pad_with_zeros(picture, [top, bottom, left, right]);
    }
    let most = |n: usize| {
        if border == Border::Reflect {
            n.saturating_sub(1)
        } else {
            usize::MAX
        }
    };
    if h * w == 0 || top.max(bottom) > most(h) || left.max(right) > most(w) {
        candle_core::bail!(
            "a picture of {:?} cannot be padded by {top}, {bottom}, {left}, {right}",
            picture.dims()
        );
    }
    let places = |n: usize, before: usize, after: usize| -> Vec<usize> {
        (0..before + n + after)
            .map(|i| {
                let at = i as isize - before as isize;
                let end = n as isize - 1;
                let at = match border {
                    Border::Zeros | Border::Replicate => at.clamp(0, end),
                    Border::Reflect if at < 0 => -at,
                    Border::Reflect if at > end => 2 * end - at,
                    Border::Reflect => at,
                };
                at as usize
            })
            .collect()
    };
    pick(picture, &places(h, top, bottom), &places(w, left, right))
}

fn pad_with_zeros(picture: &Tensor, [top, bottom, left, right]: [usize; 4]) -> Result<Tensor> {
    let (b, c, h, w) = picture.dims4()?;
    if !cpu::suits(picture) || picture.elem_count() == 0 {
        return picture.pad_with_zeros(2, top, bottom)?.pad_with_zeros(3, left, right);
    }
    let (oh, ow) = (top + h + bottom, left + w + right);
    let last = cpu::channels_last(picture)?;
    let floats = cpu::floats(&last)?;
    let from = floats.slice()?;
    let mut to = vec![0.0; b * oh * ow * c];
    to.par_chunks_mut(ow * c).enumerate().for_each(|(row, pixels)| {
        let y = row % oh;
        if (top..top + h).contains(&y) {
            let source = &from[(row / oh * h + y - top) * w * c..][..w * c];
            pixels[left * c..][..w * c].copy_from_slice(source);
        }
    });
    cpu::picture(to, (b, c, oh, ow))
}

/// The top left `h`×`w` pixels.
pub fn crop(picture: &Tensor, h: usize, w: usize) -> Result<Tensor> {
    pick(picture, &(0..h).collect::<Vec<_>>(), &(0..w).collect::<Vec<_>>())
}

/// Nearest-neighbour enlargement by a whole number.
pub fn enlarge_nearest(picture: &Tensor, times: usize) -> Result<Tensor> {
    let (_, _, h, w) = picture.dims4()?;
    let places = |n: usize| (0..n * times).map(|i| i / times).collect::<Vec<_>>();
    pick(picture, &places(h), &places(w))
}

/// Pixels from channels: `[b, c r², h, w]` to `[b, c, h r, w r]`.
pub fn pixel_shuffle(x: &Tensor, r: usize) -> Result<Tensor> {
    let (b, wide, h, w) = x.dims4()?;
    if r == 0 || wide % (r * r) != 0 {
        candle_core::bail!("{wide} channels do not divide into squares of {r} pixels");
    }
    let c = wide / (r * r);
    if !cpu::suits(x) || x.elem_count() == 0 {
        return x
            .contiguous()?
            .reshape(&[b, c, r, r, h, w][..])?
            .permute(vec![0, 1, 4, 2, 5, 3])?
            .reshape((b, c, h * r, w * r));
    }
    let last = cpu::channels_last(x)?;
    let floats = cpu::floats(&last)?;
    let from = floats.slice()?;
    let mut to = vec![0.0; from.len()];
    to.par_chunks_mut(w * r * c).enumerate().for_each(|(row, pixels)| {
        let (i, source) = (row % r, &from[row / r * w * wide..]);
        for (x, pixel) in pixels.chunks_exact_mut(c).enumerate() {
            let all = &source[x / r * wide..];
            let part = i * r + x % r;
            pixel.iter_mut().enumerate().for_each(|(k, v)| *v = all[k * r * r + part]);
        }
    });
    cpu::picture(to, (b, c, h * r, w * r))
}

/// Channels from pixels: `[b, c, h r, w r]` to `[b, c r², h, w]`.
pub fn pixel_unshuffle(x: &Tensor, r: usize) -> Result<Tensor> {
    let (b, c, tall, broad) = x.dims4()?;
    if r == 0 || tall % r != 0 || broad % r != 0 {
        candle_core::bail!("a picture of {:?} does not divide into squares of {r} pixels", x.dims());
    }
    let (h, w) = (tall / r, broad / r);
    x.contiguous()?
        .reshape(&[b, c, h, r, w, r][..])?
        .permute(vec![0, 1, 3, 5, 2, 4])?
        .reshape((b, c * r * r, h, w))
}

/// The largest value of each 2×2 square.
pub fn max_pool_2x2(x: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    let (oh, ow) = (h / 2, w / 2);
    if !cpu::suits(x) || b * c * oh * ow == 0 {
        return x.max_pool2d(2);
    }
    let last = cpu::channels_last(x)?;
    let floats = cpu::floats(&last)?;
    let from = floats.slice()?;
    let mut to = vec![0.0; b * oh * ow * c];
    to.par_chunks_mut(ow * c).enumerate().for_each(|(row, pixels)| {
        let start = (row / oh * h + row % oh * 2) * w * c;
        for (x, pixel) in pixels.chunks_exact_mut(c).enumerate() {
            let corner = start + x * 2 * c;
            for (k, v) in pixel.iter_mut().enumerate() {
                let at = |offset: usize| from[corner + offset + k];
                *v = at(0).max(at(c)).max(at(w * c)).max(at((w + 1) * c));
            }
        }
    });
    cpu::picture(to, (b, c, oh, ow))
}

/// How resizing places pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// The corner pixels' centres stay in the corners (`align_corners=True`).
    Corners,
    /// The pictures' edges coincide (`align_corners=False`).
    Edges,
}

/// For each new pixel of an axis the two old ones around it and the second's weight.
fn between(n: usize, new: usize, align: Align) -> Vec<(usize, usize, f32)> {
    (0..new)
        .map(|i| {
            let at = match align {
                Align::Corners if new > 1 => i as f32 * ((n - 1) as f32 / (new - 1) as f32),
                Align::Corners => 0.0,
                Align::Edges => ((i as f32 + 0.5) * (n as f32 / new as f32) - 0.5).max(0.0),
            };
            let first = (at as usize).min(n - 1);
            (first, (first + 1).min(n - 1), at - first as f32)
        })
        .collect()
}

/// Linear resizing without smoothing, as torch's `interpolate` does it.
pub fn resize_bilinear(x: &Tensor, oh: usize, ow: usize, align: Align) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    if x.elem_count() == 0 || oh * ow == 0 {
        candle_core::bail!("a picture of {:?} cannot become one of {oh}x{ow}", x.dims());
    }
    let (rows, columns) = (between(h, oh, align), between(w, ow, align));
    if !cpu::suits(x) {
        let split = |list: &[(usize, usize, f32)]| -> (Vec<usize>, Vec<usize>, Vec<f32>) {
            (
                list.iter().map(|p| p.0).collect(),
                list.iter().map(|p| p.1).collect(),
                list.iter().map(|p| p.2).collect(),
            )
        };
        let ((y0, y1, fy), (x0, x1, fx)) = (split(&rows), split(&columns));
        let weight = |f: Vec<f32>, shape: (usize, usize, usize, usize)| Tensor::from_vec(f, shape, x.device())?.to_dtype(x.dtype());
        let mix = |a: Tensor, b: Tensor, f: &Tensor| -> Result<Tensor> { &a + (b - &a)?.broadcast_mul(f)? };
        let (fy, fx) = (weight(fy, (1, 1, oh, 1))?, weight(fx, (1, 1, 1, ow))?);
        let upper = mix(pick(x, &y0, &x0)?, pick(x, &y0, &x1)?, &fx)?;
        let lower = mix(pick(x, &y1, &x0)?, pick(x, &y1, &x1)?, &fx)?;
        return mix(upper, lower, &fy);
    }
    let last = cpu::channels_last(x)?;
    let floats = cpu::floats(&last)?;
    let from = floats.slice()?;
    let mut to = vec![0.0; b * oh * ow * c];
    to.par_chunks_mut(ow * c).enumerate().for_each(|(row, pixels)| {
        let (y0, y1, fy) = rows[row % oh];
        let line = |y: usize| &from[(row / oh * h + y) * w * c..][..w * c];
        let (upper, lower) = (line(y0), line(y1));
        for (pixel, (x0, x1, fx)) in pixels.chunks_exact_mut(c).zip(&columns) {
            for (k, v) in pixel.iter_mut().enumerate() {
                let mix = |line: &[f32]| line[x0 * c + k] * (1.0 - fx) + line[x1 * c + k] * fx;
                *v = mix(upper) * (1.0 - fy) + mix(lower) * fy;
            }
        }
    });
    cpu::picture(to, (b, c, oh, ow))
}

/// Cubic resizing without smoothing, as torch's `interpolate` and `cv2.resize` do it (a = -0.75, the picture's edge repeated beyond it).
pub fn resize_bicubic(x: &Tensor, oh: usize, ow: usize) -> Result<Tensor> {
    const A: f32 = -0.75;
    let (_, _, h, w) = x.dims4()?;
    if x.elem_count() == 0 || oh * ow == 0 {
        candle_core::bail!("a picture of {:?} cannot become one of {oh}x{ow}", x.dims());
    }
    // For each new pixel of an axis the four old ones around it and their weights, one list for each of the four.
    let taps = |n: usize, new: usize| {
        let (mut places, mut weights) = ([const { Vec::new() }; 4], [const { Vec::new() }; 4]);
        for i in 0..new {
            let at = (i as f32 + 0.5) * (n as f32 / new as f32) - 0.5;
            let t = at - at.floor();
            let near = |t: f32| ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0;
            let far = |t: f32| ((A * t - 5.0 * A) * t + 8.0 * A) * t - 4.0 * A;
            for (k, weight) in [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)].into_iter().enumerate() {
                places[k].push((at.floor() as isize + k as isize - 1).clamp(0, n as isize - 1) as usize);
                weights[k].push(weight);
            }
        }
        (places, weights)
    };
    let along = |x: &Tensor, axis: usize, new: usize| -> Result<Tensor> {
        let (places, weights) = taps(x.dim(axis)?, new);
        let mut sum: Option<Tensor> = None;
        for (places, weights) in places.into_iter().zip(weights) {
            let indices = Tensor::from_vec(places.into_iter().map(|p| p as u32).collect::<Vec<_>>(), new, x.device())?;
            let mut shape = [1; 4];
            shape[axis] = new;
            let weights = Tensor::from_vec(weights, &shape[..], x.device())?.to_dtype(x.dtype())?;
            let part = x.index_select(&indices, axis)?.broadcast_mul(&weights)?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
        sum.ok_or_else(|| candle_core::Error::Msg("four taps make a sum".into()))
    };
    let x = x.contiguous()?;
    let x = if ow == w { x } else { along(&x, 3, ow)? };
    if oh == h { Ok(x) } else { along(&x, 2, oh) }
}

/// A convolution of each channel by itself, with zeros beyond the edges: `weight [c, k, k]`, odd `k`, and `bias [c]`.
#[derive(Debug, Clone)]
pub struct Depthwise {
    /// `[k * k, c]`
    weight: Tensor,
    bias: Option<Tensor>,
    kernel: usize,
    dilation: usize,
}

impl Depthwise {
    /// From torch's layout: `weight [c, 1, k, k]`, `bias [c]`. What lies `dilation` pixels apart is taken together.
    pub fn new(weight: &Tensor, bias: Option<Tensor>, dilation: usize) -> Result<Self> {
        let (c, one, kernel, width) = weight.dims4()?;
        if one != 1 || kernel != width || kernel % 2 == 0 || dilation == 0 || bias.as_ref().is_some_and(|b| b.dims() != [c]) {
            candle_core::bail!("a convolution by channels of {:?}", weight.dims());
        }
        Ok(Self {
            weight: weight.reshape((c, kernel * kernel))?.t()?.contiguous()?,
            bias,
            kernel,
            dilation,
        })
    }

    /// Convolve `x [b, c, h, w]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (b, c, h, w) = x.dims4()?;
        let (k, step) = (self.kernel, self.dilation);
        if self.weight.dims() != [k * k, c] {
            candle_core::bail!("a convolution of {} channels got {:?}", self.weight.dim(1)?, x.dims());
        }
        if !cpu::suits(x) || !cpu::suits(&self.weight) || x.elem_count() == 0 {
            let weight = self.weight.t()?.contiguous()?.reshape((c, 1, k, k))?;
            let y = x.contiguous()?.conv2d(&weight, k / 2 * step, 1, step, c)?;
            return match &self.bias {
                Some(bias) => y.broadcast_add(&bias.reshape((1, c, 1, 1))?),
                None => Ok(y),
            };
        }
        let last = cpu::channels_last(x)?;
        let (floats, weight) = (cpu::floats(&last)?, cpu::floats(&self.weight)?);
        let bias = match &self.bias {
            Some(bias) => bias.to_vec1::<f32>()?,
            None => vec![0.0; c],
        };
        let (from, weight) = (floats.slice()?, weight.slice()?);
        let reach = (k / 2 * step) as isize;
        let mut to = vec![0.0; from.len()];
        to.par_chunks_mut(w * c).enumerate().for_each(|(row, pixels)| {
            let (picture, y) = (row / h, (row % h) as isize);
            for (x, pixel) in pixels.chunks_exact_mut(c).enumerate() {
                pixel.copy_from_slice(&bias);
                for tap in 0..k * k {
                    let sy = y + (tap / k * step) as isize - reach;
                    let sx = x as isize + (tap % k * step) as isize - reach;
                    if sy < 0 || sx < 0 || sy >= h as isize || sx >= w as isize {
                        continue;
                    }
                    let source = &from[((picture * h + sy as usize) * w + sx as usize) * c..][..c];
                    let weight = &weight[tap * c..][..c];
                    for ((v, s), f) in pixel.iter_mut().zip(source).zip(weight) {
                        *v += s * f;
                    }
                }
            }
        });
        cpu::picture(to, (b, c, h, w))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::super::twin::{close, noise, pictures};
    use super::*;

    /// The way that other devices take, by way of doubles.
    fn elsewhere(x: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        f(&x.to_dtype(DType::F64)?.contiguous()?)?.to_dtype(DType::F32)
    }

    #[test]
    fn kernels_agree_with_candle() -> Result<()> {
        let [first, last] = pictures(2, 8, 6, 4)?;
        type Op = fn(&Tensor) -> Result<Tensor>;
        let ops: [Op; 11] = [
            |x| pad(x, [1, 2, 3, 0], Border::Reflect),
            |x| pad(x, [7, 0, 1, 9], Border::Replicate),
            |x| pad(x, [0, 2, 1, 3], Border::Zeros),
            |x| resize_bicubic(x, 5, 9),
            |x| crop(x, 5, 2),
            |x| enlarge_nearest(x, 3),
            |x| pixel_shuffle(x, 2),
            |x| pixel_unshuffle(x, 2),
            max_pool_2x2,
            |x| resize_bilinear(x, 9, 3, Align::Edges),
            |x| resize_bilinear(x, 1, 11, Align::Corners),
        ];
        for op in ops {
            let want = elsewhere(&first, op)?;
            close(&op(&first)?, &want, 1e-6)?;
            close(&op(&last)?, &want, 1e-6)?;
        }
        close(&pixel_unshuffle(&pixel_shuffle(&last, 2)?, 2)?, &first, 0.0)?;
        for (kernel, dilation) in [(3, 1), (3, 4), (5, 1), (1, 1)] {
            let (weight, bias) = (noise(&[8, 1, kernel, kernel])?, noise(&[8])?);
            let conv = Depthwise::new(&weight, Some(bias.clone()), dilation)?;
            let want = first
                .conv2d(&weight, kernel / 2 * dilation, 1, dilation, 8)?
                .broadcast_add(&bias.reshape((1, 8, 1, 1))?)?;
            close(&conv.forward(&last)?, &want, 1e-5)?;
        }
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_refused() -> Result<()> {
        let x = noise(&[1, 3, 4, 5])?;
        assert!(pad(&x, [4, 0, 0, 0], Border::Reflect).is_err());
        assert!(pick(&x, &[4], &[0]).is_err());
        assert!(pixel_shuffle(&x, 2).is_err() && pixel_unshuffle(&x, 2).is_err());
        assert!(resize_bilinear(&x, 0, 2, Align::Edges).is_err());
        assert!(Depthwise::new(&noise(&[3, 1, 2, 2])?, None, 1).is_err());
        Ok(())
    }
}
