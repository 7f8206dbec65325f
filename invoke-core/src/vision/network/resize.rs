//! Pictures of another size.

use candle_core::{DType, Result, Tensor};

use super::{Nearest, Place, Resize, elements, integers};
use crate::diffusion::ops::{Align, pick, resize_bilinear, upsample_nearest_2x};

/// One axis: how long it was and becomes, and by what places are counted.
struct Along {
    from: usize,
    to: usize,
    scale: f64,
}

/// `x [b, c, h, w]` in another height and width.
pub(super) fn forward(x: &Tensor, how: &Resize, inputs: &[Option<&Tensor>]) -> Result<Tensor> {
    let (b, c, _, _) = x.dims4()?;
    if x.dtype() != DType::F32 || x.elem_count() == 0 {
        candle_core::bail!("{:?} of {:?} cannot be resized", x.dtype(), x.dims());
    }
    let input = |i: usize| inputs.get(i).copied().flatten().filter(|t| t.elem_count() > 0);
    let scales = match (&how.scales, input(how.scales_input)) {
        (Some(scales), _) => Some(scales.clone()),
        (None, Some(t)) if t.dtype() == DType::F32 => Some(t.flatten_all()?.to_vec1()?),
        (None, Some(t)) => candle_core::bail!("scales are floats, not {:?}", t.dtype()),
        (None, None) => None,
    };
    let axes: Vec<Along> = match (scales, input(how.scales_input + 1)) {
        (_, Some(sizes)) => {
            let sizes = integers(sizes)?;
            let one = |(from, to): (&usize, i64)| {
                let to = usize::try_from(to).unwrap_or(usize::MAX);
                let scale = to as f64 / *from as f64;
                Along { from: *from, to, scale }
            };
            x.dims().iter().zip(sizes).map(one).collect()
        }
        (Some(scales), None) => {
            let one = |(from, scale): (&usize, f32)| {
                let to = (*from as f64 * f64::from(scale)).floor() as usize;
                let scale = f64::from(scale);
                Along { from: *from, to, scale }
            };
            x.dims().iter().zip(scales).map(one).collect()
        }
        (None, None) => candle_core::bail!("neither scales nor sizes are given"),
    };
    let [batch, channels, down, across] = axes.as_slice() else {
        candle_core::bail!("{} numbers for the four axes of a picture", axes.len());
    };
    if batch.to != b || channels.to != c {
        candle_core::bail!("only the rows and columns of a picture can become more or fewer");
    }
    if elements(&[b, c, down.to, across.to])? == 0 || axes.iter().any(|a| !a.scale.is_finite() || a.scale <= 0.0) {
        candle_core::bail!("a picture of {:?} cannot become one of {}x{}", x.dims(), down.to, across.to);
    }
    if how.linear {
        return linear(x, how.place, down, across);
    }
    let twice = |a: &Along| a.to == 2 * a.from && a.scale == 2.0;
    if twice(down) && twice(across) && how.place == Place::Asymmetric && how.nearest == Nearest::Floor {
        return upsample_nearest_2x(x);
    }
    let places = |a: &Along| {
        (0..a.to)
            .map(|i| nearest(place(i, a, how.place), how.nearest, a.from))
            .collect::<Vec<_>>()
    };
    pick(x, &places(down), &places(across))
}

fn linear(x: &Tensor, place: Place, down: &Along, across: &Along) -> Result<Tensor> {
    // What computes this goes by lengths; where a scale says something else, it would be wrong.
    let exact = |a: &Along| (a.from as f64 * a.scale - a.to as f64).abs() < 1e-3;
    let align = match place {
        Place::AlignCorners => Align::Corners,
        Place::HalfPixel if exact(down) && exact(across) => Align::Edges,
        Place::PytorchHalfPixel if exact(down) && exact(across) && down.to > 1 && across.to > 1 => Align::Edges,
        _ => candle_core::bail!(
            "mixing pixels by {place:?} from {}x{} to {}x{}",
            down.from,
            across.from,
            down.to,
            across.to
        ),
    };
    resize_bilinear(x, down.to, across.to, align)
}

/// Which place of the old axis a new pixel has.
fn place(i: usize, along: &Along, place: Place) -> f32 {
    let (i, scale) = (i as f32, along.scale as f32);
    match place {
        Place::PytorchHalfPixel if along.to == 1 => 0.0,
        Place::HalfPixel | Place::PytorchHalfPixel => (i + 0.5) / scale - 0.5,
        Place::Asymmetric => i / scale,
        Place::AlignCorners if along.to == 1 => 0.0,
        Place::AlignCorners => i * (along.from - 1) as f32 / (along.to - 1) as f32,
    }
}

fn nearest(at: f32, how: Nearest, side: usize) -> usize {
    let at = match how {
        Nearest::RoundPreferFloor => (at - 0.5).ceil(),
        Nearest::RoundPreferCeil => (at + 0.5).floor(),
        Nearest::Floor => at.floor(),
        Nearest::Ceil => at.ceil(),
    };
    (at.max(0.0) as usize).min(side - 1)
}
