//! Windows of a picture, each made one pixel.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::{add, cpu, pick};

/// What is made of a window's pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// The largest.
    Max,
    /// Their sum.
    Sum,
}

/// The picture whose pixel `(y, x)` is made of the pixels `rows[y]` × `columns[x]` of `picture [b, c, h, w]`; none of the lists may be empty.
pub fn pool(picture: &Tensor, rows: &[Vec<usize>], columns: &[Vec<usize>], which: Pool) -> Result<Tensor> {
    let (_, _, h, w) = picture.dims4()?;
    let fits = |lists: &[Vec<usize>], n: usize| lists.iter().all(|list| !list.is_empty() && list.iter().all(|at| *at < n));
    if !fits(rows, h) || !fits(columns, w) {
        candle_core::bail!("windows that do not lie on a picture of {:?}", picture.dims());
    }
    // One axis after the other: what a window takes together is a rectangle.
    let down = along(picture, rows, true, which)?;
    along(&down, columns, false, which)
}

fn along(picture: &Tensor, lists: &[Vec<usize>], down: bool, which: Pool) -> Result<Tensor> {
    let (b, c, h, w) = picture.dims4()?;
    if !cpu::suits(picture) || picture.elem_count() * lists.len() == 0 {
        return elsewhere(picture, lists, down, which);
    }
    let last = cpu::channels_last(picture)?;
    let floats = cpu::floats(&last)?;
    let from = floats.slice()?;
    let (oh, ow) = if down { (lists.len(), w) } else { (h, lists.len()) };
    let mut to = vec![0.0; b * oh * ow * c];
    to.par_chunks_mut(ow * c).enumerate().for_each(|(row, pixels)| {
        let (start, y) = (row / oh * h, row % oh);
        if down {
            let line = |y: usize| &from[(start + y) * w * c..][..w * c];
            fold(pixels, lists[y].iter().map(|y| line(*y)), which);
        } else {
            let line = &from[(start + y) * w * c..][..w * c];
            for (pixel, list) in pixels.chunks_exact_mut(c).zip(lists) {
                fold(pixel, list.iter().map(|x| &line[x * c..][..c]), which);
            }
        }
    });
    cpu::picture(to, (b, c, oh, ow))
}

fn fold<'a>(to: &mut [f32], mut parts: impl Iterator<Item = &'a [f32]>, which: Pool) {
    if let Some(first) = parts.next() {
        to.copy_from_slice(first);
    }
    for part in parts {
        let pairs = to.iter_mut().zip(part);
        match which {
            Pool::Max => pairs.for_each(|(v, new)| *v = v.max(*new)),
            Pool::Sum => pairs.for_each(|(v, new)| *v += new),
        }
    }
}

fn elsewhere(picture: &Tensor, lists: &[Vec<usize>], down: bool, which: Pool) -> Result<Tensor> {
    let (_, _, h, w) = picture.dims4()?;
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    let all = |n: usize| (0..n).collect::<Vec<_>>();
    let mut folded: Option<Tensor> = None;
    for k in 0..longest {
        // A list that is at its end repeats its last: the maximum stays. A sum needs zeros there.
        let places: Vec<usize> = lists.iter().map(|list| list[k.min(list.len() - 1)]).collect();
        let mut part = if down {
            pick(picture, &places, &all(w))?
        } else {
            pick(picture, &all(h), &places)?
        };
        if which == Pool::Sum && lists.iter().any(|list| k >= list.len()) {
            let there: Vec<f32> = lists.iter().map(|list| if k < list.len() { 1.0 } else { 0.0 }).collect();
            let shape = if down { (1, 1, lists.len(), 1) } else { (1, 1, 1, lists.len()) };
            let there = Tensor::from_vec(there, shape, picture.device())?.to_dtype(picture.dtype())?;
            part = part.broadcast_mul(&there)?;
        }
        folded = Some(match (folded, which) {
            (None, _) => part,
            (Some(before), Pool::Max) => before.maximum(&part)?,
            (Some(before), Pool::Sum) => add(&before, &part)?,
        });
    }
    folded.ok_or_else(|| candle_core::Error::Msg("a pool without windows".into()))
}

#[cfg(test)]
mod tests {
    use super::super::twin::{close, noise, pictures};
    use super::*;

    #[test]
    fn windows_agree_with_the_way_of_other_devices() -> Result<()> {
        let rows = [vec![0, 1], vec![0, 1, 2], vec![4, 5]];
        let columns = [vec![0], vec![1, 2, 3], vec![0, 3], vec![3]];
        let pictures = pictures(2, 5, 6, 4)?;
        for x in &pictures {
            for which in [Pool::Max, Pool::Sum] {
                let want = elsewhere(&elsewhere(&pictures[0], &rows, true, which)?, &columns, false, which)?;
                close(&pool(x, &rows, &columns, which)?, &want, 1e-6)?;
            }
        }
        // Against candle's own.
        let pairs = |n: usize| (0..n / 2).map(|i| vec![2 * i, 2 * i + 1]).collect::<Vec<_>>();
        close(
            &pool(&pictures[1], &pairs(6), &pairs(4), Pool::Max)?,
            &pictures[0].max_pool2d(2)?,
            0.0,
        )?;
        let mean = (pictures[0].avg_pool2d(2)? * 4.0)?;
        close(&pool(&pictures[1], &pairs(6), &pairs(4), Pool::Sum)?, &mean, 1e-6)?;
        assert!(pool(&noise(&[1, 1, 2, 2])?, &[vec![2]], &[vec![0]], Pool::Max).is_err());
        assert!(pool(&noise(&[1, 1, 2, 2])?, &[vec![]], &[vec![0]], Pool::Max).is_err());
        Ok(())
    }
}
