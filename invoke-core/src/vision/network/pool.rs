//! The largest value or the mean of each window of a picture.

use candle_core::{Result, Tensor};

use super::{Window, elements, window::Along};
use crate::diffusion::ops::{Pool, pool};

/// What a pool gives of its windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Max,
    /// The mean, of what lies within the picture or of all.
    Mean {
        count_padding: bool,
    },
}

/// The pool of `x [b, c, h, w]`.
pub(super) fn forward(x: &Tensor, window: &Window, kind: Kind) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    let Some(kernel) = window.kernel else {
        candle_core::bail!("a pool without a kernel");
    };
    let [down, across] = window.over(kernel, [h, w])?;
    elements(&[b, c, down.places, across.places])?;
    elements(&[b, c, down.places, w])?;
    if x.elem_count() == 0 {
        candle_core::bail!("a pool of {:?}", x.dims());
    }
    let rows = taps(down, h);
    let columns = taps(across, w);
    if rows.iter().chain(&columns).any(Vec::is_empty) {
        candle_core::bail!("a window of a pool lies outside the picture");
    }
    // How many each window counts along an axis: of what is added, as much as is there.
    let counts = |along: Along, side: usize, taps: &[Vec<usize>]| -> Vec<usize> {
        let whole = side + along.before + along.after;
        let within = |i: usize| (0..along.kernel).filter(|k| i * along.stride + k * along.dilation < whole).count();
        match kind {
            Kind::Mean { count_padding: true } => (0..along.places).map(within).collect(),
            _ => taps.iter().map(Vec::len).collect(),
        }
    };
    let which = match kind {
        Kind::Max => Pool::Max,
        Kind::Mean { .. } => Pool::Sum,
    };
    let y = pool(x, &rows, &columns, which)?;
    if kind == Kind::Max {
        return Ok(y);
    }
    let share = |counts: Vec<usize>| counts.into_iter().map(|n| 1.0 / n as f32).collect::<Vec<_>>();
    let (rows, columns) = (share(counts(down, h, &rows)), share(counts(across, w, &columns)));
    let rows = Tensor::from_vec(rows, (1, 1, down.places, 1), x.device())?;
    let columns = Tensor::from_vec(columns, (1, 1, 1, across.places), x.device())?;
    y.broadcast_mul(&rows.broadcast_mul(&columns)?)
}

/// For each window the places of the picture within it.
fn taps(along: Along, side: usize) -> Vec<Vec<usize>> {
    let place = |i: usize, k: usize| {
        (i * along.stride + k * along.dilation)
            .checked_sub(along.before)
            .filter(|at| *at < side)
    };
    (0..along.places)
        .map(|i| (0..along.kernel).filter_map(|k| place(i, k)).collect())
        .collect()
}
