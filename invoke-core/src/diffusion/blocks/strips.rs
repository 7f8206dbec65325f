//! A large picture in strips of rows, so that what passes between two layers is never all in memory twice.
//!
//! A layer takes one strip after the other, with the rows around it that its kernel reaches, and each strip goes as soon as nothing reaches it any
//! more: while a layer runs, its input shrinks as its output grows. The numbers are those of the whole picture: norms measure all strips before
//! they are applied to any. Both edges are zeros; a picture whose upper edge meets its lower one is not cut.

use std::collections::VecDeque;

use candle_core::{Result, Tensor};

use crate::diffusion::ops::{PaddingMode, cat_rows, channels_first};

/// Numbers of a layer from which on it is worked on in strips: 256 MB.
pub(crate) const LARGE: usize = 1 << 26;

/// Rows of a strip of a layer `[b, c, h, w]` that has `large` numbers or more, too many to stand in memory several times; `None` for a smaller one, or
/// one that cannot be cut. A strip has a quarter of `large`: enough that the rows which two strips share cost little, and all threads have work.
pub(crate) fn strip_rows((b, c, h, w): (usize, usize, usize, usize), mode: [PaddingMode; 2], large: usize) -> Option<usize> {
    let row = c.checked_mul(w).filter(|row| *row > 0)?;
    let is_large = row.checked_mul(h).is_none_or(|all| all >= large);
    (b == 1 && mode[0] == PaddingMode::Zeros && is_large).then(|| (large / 4 / row).next_multiple_of(2).max(2))
}

/// One picture, `[1, c, rows, w]` each strip, from top to bottom.
#[derive(Debug, Default)]
pub(crate) struct Strips {
    strips: VecDeque<Tensor>,
}

/// A strip on its way through a layer.
pub(crate) struct Window {
    /// The strip, and a row above and one below where the picture has them.
    pub(crate) around: Tensor,
    /// The strip itself.
    pub(crate) strip: Tensor,
    above: usize,
}

impl Window {
    /// What belongs to the strip of a layer's output for [`Self::around`], whose sides are `scale` times the input's.
    pub(crate) fn inner(&self, output: &Tensor, scale: usize) -> Result<Tensor> {
        output.narrow(2, self.above * scale, self.strip.dim(2)? * scale)
    }
}

impl Strips {
    /// A picture `[1, c, h, w]` in strips of so many rows, the last of what is left.
    pub(crate) fn cut(x: &Tensor, rows: usize) -> Result<Self> {
        let height = x.dim(2)?;
        let strips = (0..height)
            .step_by(rows)
            .map(|start| x.narrow(2, start, rows.min(height - start)))
            .collect::<Result<_>>()?;
        Ok(Self { strips })
    }

    /// Puts a strip below the others.
    pub(crate) fn push(&mut self, strip: Tensor) {
        self.strips.push_back(strip);
    }

    /// The strips.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tensor> {
        self.strips.iter()
    }

    /// The picture in one piece.
    pub(crate) fn join(self) -> Result<Tensor> {
        cat_rows(&self.strips.into_iter().collect::<Vec<_>>())
    }

    /// The picture that `work` makes of it, strip by strip.
    pub(crate) fn walk(mut self, mut work: impl FnMut(Window) -> Result<Tensor>) -> Result<Self> {
        let mut strips = VecDeque::with_capacity(self.strips.len());
        let mut above: Option<Tensor> = None;
        while let Some(strip) = self.strips.pop_front() {
            // A copy: a view would keep all of the strip.
            let last = channels_first(&strip.narrow(2, strip.dim(2)? - 1, 1)?)?.force_contiguous()?;
            let mut around = Vec::with_capacity(3);
            around.extend(above.replace(last));
            let above = around.len();
            around.push(strip.clone());
            if let Some(next) = self.strips.front() {
                around.push(next.narrow(2, 0, 1)?);
            }
            let window = Window {
                above,
                around: cat_rows(&around)?,
                strip,
            };
            drop(around);
            strips.push_back(work(window)?);
        }
        Ok(Self { strips })
    }

    /// The picture that `work` makes of it and of `other`, which has the same strips, strip by strip.
    pub(crate) fn walk_with(self, mut other: Self, mut work: impl FnMut(Window, Tensor) -> Result<Tensor>) -> Result<Self> {
        self.walk(|window| match other.strips.pop_front() {
            Some(strip) => work(window, strip),
            None => candle_core::bail!("two pictures are not cut alike"),
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn strips_see_the_rows_around_them_and_join_again() -> Result<()> {
        let x = Tensor::arange(0f32, 2.0 * 7.0 * 3.0, &Device::Cpu)?.reshape((1, 2, 7, 3))?;
        for rows in [1, 2, 3, 7, 9] {
            let mut at = 0;
            let walked = Strips::cut(&x, rows)?.walk(|window| {
                let (own, all) = (window.strip.dim(2)?, window.around.dim(2)?);
                let above = usize::from(at > 0);
                assert_eq!(all, above + own + usize::from(at + own < 7));
                let want = x.narrow(2, at - above, all)?;
                assert_eq!(
                    window.around.flatten_all()?.to_vec1::<f32>()?,
                    want.flatten_all()?.to_vec1::<f32>()?
                );
                at += own;
                window.inner(&window.around, 1)
            })?;
            assert_eq!(at, 7);
            assert_eq!(walked.join()?.flatten_all()?.to_vec1::<f32>()?, x.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(())
    }

    #[test]
    fn what_is_small_or_meets_itself_is_not_cut() {
        let zeros = [PaddingMode::Zeros; 2];
        assert_eq!(strip_rows((1, 256, 1024, 1024), zeros, LARGE), Some(64));
        assert_eq!(
            strip_rows((1, 256, 1024, 1024), [PaddingMode::Zeros, PaddingMode::Circular], LARGE),
            Some(64)
        );
        assert_eq!(
            strip_rows((1, 256, 1024, 1024), [PaddingMode::Circular, PaddingMode::Zeros], LARGE),
            None
        );
        assert_eq!(strip_rows((2, 256, 1024, 1024), zeros, LARGE), None);
        assert_eq!(strip_rows((1, 256, 256, 256), zeros, LARGE), None);
        assert_eq!(strip_rows((1, 1 << 30, 1, 1), zeros, LARGE), Some(2));
    }
}
