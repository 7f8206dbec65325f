//! Functions of two values of one shape.

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use super::cpu;

/// Elements that one thread takes at a time.
const PIECE: usize = 1 << 14;

/// `f` of each two elements of `x` and `y`, which have the same shape: in the order that they have in memory on the CPU; `other` computes it
/// on other devices.
pub fn pairwise(
    x: &Tensor,
    y: &Tensor,
    f: impl Fn(f32, f32) -> f32 + Sync,
    other: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    if x.dims() != y.dims() {
        candle_core::bail!("values of shapes {:?} and {:?}", x.dims(), y.dims());
    }
    if !cpu::suits(x) || !cpu::suits(y) {
        return other(x, y);
    }
    let both = |x: &Tensor, y: &Tensor| -> Result<Vec<f32>> {
        let (x, y) = (cpu::floats(x)?, cpu::floats(y)?);
        let (mut to, y) = (x.slice()?.to_vec(), y.slice()?);
        to.par_chunks_mut(PIECE)
            .zip(y.par_chunks(PIECE))
            .for_each(|(to, y)| to.iter_mut().zip(y).for_each(|(v, y)| *v = f(*v, *y)));
        Ok(to)
    };
    match *x.dims() {
        _ if x.is_contiguous() && y.is_contiguous() => Tensor::from_vec(both(x, y)?, x.shape(), &Device::Cpu),
        [b, c, h, w] if x.elem_count() > 0 => cpu::picture(both(&cpu::channels_last(x)?, &cpu::channels_last(y)?)?, (b, c, h, w)),
        _ => Tensor::from_vec(both(&x.contiguous()?, &y.contiguous()?)?, x.shape(), &Device::Cpu),
    }
}

#[cfg(test)]
mod tests {
    use super::super::twin::{close, noise, pictures};
    use super::*;

    #[test]
    fn all_layouts_agree_with_candle() -> Result<()> {
        let [first, last] = pictures(2, 5, 6, 4)?;
        let other = (noise(&[2, 5, 6, 4])? * 0.5)?;
        let never = |_: &Tensor, _: &Tensor| candle_core::bail!("this is the CPU");
        for x in [&first, &last] {
            close(
                &pairwise(x, &other, |a, b| a * b + a, never)?,
                &((&first * &other)? + &first)?,
                1e-6,
            )?;
        }
        let turned = noise(&[4, 3])?.t()?;
        close(&pairwise(&turned, &turned, |a, b| a + b, never)?, &(&turned + &turned)?, 1e-6)?;
        assert!(pairwise(&first, &turned, |a, _| a, never).is_err());
        Ok(())
    }
}
