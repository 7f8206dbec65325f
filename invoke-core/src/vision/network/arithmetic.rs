//! Operations on elements: one by one, two by two, many made one, and products.

use candle_core::{D, DType, Device, Result, Tensor};

use super::{Binary, Reduce, Unary, axis, broadcast, elements, integers};
use crate::{
    diffusion::ops::{self, channels_first, pairwise, pixels_as_tokens, tokens_as_pixels},
    vision::layers,
};

/// One of the bounds and other single numbers that operations take as inputs.
pub(super) fn number(x: &Tensor) -> Result<f32> {
    if x.elem_count() != 1 {
        candle_core::bail!("one number was expected, not {:?}", x.dims());
    }
    x.flatten_all()?.to_dtype(DType::F32)?.get(0)?.to_scalar()
}

fn need_floats(x: &Tensor) -> Result<()> {
    match x.dtype() {
        DType::F32 => Ok(()),
        other => candle_core::bail!("floats were expected, not {other:?}"),
    }
}

/// A function of each element.
pub(super) fn unary(unary: Unary, x: &Tensor) -> Result<Tensor> {
    if unary == Unary::Not {
        if x.dtype() != DType::U8 {
            candle_core::bail!("truth values were expected, not {:?}", x.dtype());
        }
        return x.eq(0_u8);
    }
    if x.dtype() == DType::I64 && matches!(unary, Unary::Identity | Unary::Neg | Unary::Abs) {
        let numbers = integers(x)?.into_iter();
        let numbers = match unary {
            Unary::Neg => numbers.map(i64::wrapping_neg).collect(),
            Unary::Abs => numbers.map(i64::wrapping_abs).collect(),
            _ => numbers.collect::<Vec<_>>(),
        };
        return Tensor::from_vec(numbers, x.dims(), &Device::Cpu);
    }
    need_floats(x)?;
    match unary {
        Unary::Identity => Ok(x.clone()),
        Unary::Relu => ops::relu(x),
        Unary::LeakyRelu { alpha } if (0.0..=1.0).contains(&alpha) => ops::leaky_relu(x, alpha),
        Unary::LeakyRelu { alpha } => ops::relu(x)? + (x.minimum(0.0)? * f64::from(alpha))?,
        Unary::Sigmoid => ops::sigmoid(x),
        Unary::HardSigmoid { alpha, beta } => x.affine(f64::from(alpha), f64::from(beta))?.clamp(0_f32, 1_f32),
        Unary::Tanh => ops::tanh(x),
        Unary::Sqrt => x.sqrt(),
        Unary::Exp => x.exp(),
        Unary::Log => x.log(),
        Unary::Neg => x.neg(),
        Unary::Abs => x.abs(),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Reciprocal => x.recip(),
        Unary::Erf => x.erf(),
        Unary::Not => candle_core::bail!("truth values were answered above"),
    }
}

/// A function of two elements; of more inputs (`Max`, `Min`) one after the other.
pub(super) fn binary(binary: Binary, inputs: &[Option<&Tensor>]) -> Result<Tensor> {
    let all: Vec<&Tensor> = inputs.iter().copied().flatten().collect();
    match (all.as_slice(), binary) {
        ([x, y], _) => pair(binary, x, y),
        ([x, rest @ ..], Binary::Max | Binary::Min) => rest.iter().try_fold((*x).clone(), |x, y| pair(binary, &x, y)),
        _ => candle_core::bail!("two inputs were expected, not {}", all.len()),
    }
}

fn pair(binary: Binary, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let shape = broadcast(x.dims(), y.dims())?;
    match (x.dtype(), y.dtype()) {
        (DType::I64, DType::I64) => whole(binary, x, y, &shape),
        (DType::F32, DType::F32) => floats(binary, x, y, &shape),
        (a, b) => candle_core::bail!("{a:?} and {b:?} do not go together"),
    }
}

fn whole(binary: Binary, x: &Tensor, y: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let all = |t: &Tensor| integers(&t.broadcast_as(shape)?);
    let pairs = all(x)?.into_iter().zip(all(y)?);
    let test = |f: fn(&i64, &i64) -> bool, pairs: std::iter::Zip<_, std::vec::IntoIter<i64>>| {
        let truths: Vec<u8> = pairs.map(|(a, b): (i64, i64)| u8::from(f(&a, &b))).collect();
        Tensor::from_vec(truths, shape, &Device::Cpu)
    };
    let f = match binary {
        Binary::Equal => return test(i64::eq, pairs),
        Binary::Less => return test(i64::lt, pairs),
        Binary::Greater => return test(i64::gt, pairs),
        Binary::Add => i64::checked_add,
        Binary::Sub => i64::checked_sub,
        Binary::Mul => i64::checked_mul,
        Binary::Div => i64::checked_div,
        Binary::Max => |a: i64, b: i64| Some(a.max(b)),
        Binary::Min => |a: i64, b: i64| Some(a.min(b)),
        Binary::Pow => |a: i64, b: i64| a.checked_pow(u32::try_from(b).ok()?),
    };
    let numbers: Option<Vec<i64>> = pairs.map(|(a, b)| f(a, b)).collect();
    match numbers {
        Some(numbers) => Tensor::from_vec(numbers, shape, &Device::Cpu),
        None => candle_core::bail!("whole numbers whose {binary:?} is none"),
    }
}

fn floats(binary: Binary, x: &Tensor, y: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let truth = |x: Result<Tensor>| x?.to_device(&Device::Cpu);
    match binary {
        Binary::Equal => return truth(x.broadcast_eq(y)),
        Binary::Less => return truth(x.broadcast_lt(y)),
        Binary::Greater => return truth(x.broadcast_gt(y)),
        Binary::Pow if y.elem_count() == 1 && y.rank() <= x.rank() => {
            return match number(y)? {
                2.0 => x.sqr(),
                0.5 => x.sqrt(),
                exponent => x.powf(f64::from(exponent)),
            };
        }
        _ => {}
    }
    if x.dims() == y.dims() || binary == Binary::Pow {
        let (x, y) = (x.broadcast_as(shape)?, y.broadcast_as(shape)?);
        let f: fn(f32, f32) -> f32 = match binary {
            Binary::Add => |a, b| a + b,
            Binary::Sub => |a, b| a - b,
            Binary::Mul => |a, b| a * b,
            Binary::Div => |a, b| a / b,
            Binary::Max => f32::max,
            Binary::Min => f32::min,
            _ => f32::powf,
        };
        return pairwise(&x, &y, f, |x, y| candle_pair(binary, x, y));
    }
    // Of a picture and something smaller, in the order that the picture has in memory.
    let picture = if x.dims() == shape { x } else { y };
    if picture.dims() == shape && shape.len() == 4 && !picture.is_contiguous() {
        let turned = |t: &Tensor| {
            let mut sides = vec![1; 4 - t.rank()];
            sides.extend_from_slice(t.dims());
            let t = if t.rank() == 4 { t.clone() } else { t.reshape(sides)? };
            t.permute((0, 2, 3, 1))
        };
        return candle_pair(binary, &turned(x)?, &turned(y)?)?.permute((0, 3, 1, 2));
    }
    candle_pair(binary, x, y)
}

fn candle_pair(binary: Binary, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    match binary {
        Binary::Add => x.broadcast_add(y),
        Binary::Sub => x.broadcast_sub(y),
        Binary::Mul => x.broadcast_mul(y),
        Binary::Div => x.broadcast_div(y),
        Binary::Max => x.broadcast_maximum(y),
        Binary::Min => x.broadcast_minimum(y),
        Binary::Pow => x.broadcast_pow(y),
        Binary::Equal | Binary::Less | Binary::Greater => candle_core::bail!("comparisons are answered before"),
    }
}

/// `x` where positive, `slope x` elsewhere.
pub(super) fn prelu(x: &Tensor, slope: &Tensor) -> Result<Tensor> {
    need_floats(x)?;
    need_floats(slope)?;
    if broadcast(x.dims(), slope.dims())? != x.dims() {
        candle_core::bail!("slopes of shape {:?} for {:?}", slope.dims(), x.dims());
    }
    let by_channels = match (x.dims(), slope.dims()) {
        ([_, c, _, _], [1, n, 1, 1] | [n, 1, 1]) => n == c || *n == 1,
        ([_, _, _, _], sides) => sides.iter().all(|n| *n == 1),
        _ => false,
    };
    if by_channels {
        return ops::prelu(x, slope);
    }
    let negative = x.minimum(&x.zeros_like()?)?.broadcast_mul(slope)?;
    ops::relu(x)?.add(&negative)
}

/// Between two bounds.
pub(super) fn clip(x: &Tensor, min: Option<f32>, max: Option<f32>) -> Result<Tensor> {
    if x.dtype() == DType::I64 {
        let (min, max) = (min.unwrap_or(f32::MIN) as i64, max.unwrap_or(f32::MAX) as i64);
        let numbers = integers(x)?.into_iter().map(|v| v.max(min).min(max)).collect();
        return Tensor::from_vec(numbers, x.dims(), &Device::Cpu);
    }
    need_floats(x)?;
    match (min, max) {
        (Some(0.0), Some(6.0)) => ops::relu6(x),
        (Some(min), Some(max)) => x.maximum(min)?.minimum(max),
        (Some(0.0), None) => ops::relu(x),
        (Some(min), None) => x.maximum(min),
        (None, Some(max)) => x.minimum(max),
        (None, None) => Ok(x.clone()),
    }
}

/// `x` where `truth`, `y` elsewhere.
pub(super) fn choose(truth: &Tensor, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    if truth.dtype() != DType::U8 || x.dtype() != y.dtype() {
        candle_core::bail!("{:?} chooses between {:?} and {:?}", truth.dtype(), x.dtype(), y.dtype());
    }
    let shape = broadcast(&broadcast(truth.dims(), x.dims())?, y.dims())?;
    let whole = |t: &Tensor| t.broadcast_as(shape.as_slice())?.contiguous();
    whole(truth)?.to_device(x.device())?.where_cond(&whole(x)?, &whole(y)?)
}

/// The mean of each channel.
pub(super) fn mean_of_channels(x: &Tensor) -> Result<Tensor> {
    need_floats(x)?;
    let (_, _, h, w) = x.dims4()?;
    if x.elem_count() == 0 {
        candle_core::bail!("there is no mean of {:?}", x.dims());
    }
    let mean = (pixels_as_tokens(x)?.sum_keepdim(1)? / (h * w) as f64)?;
    tokens_as_pixels(&mean, 1, 1)
}

/// Many elements made one.
pub(super) fn reduce(x: &Tensor, how: Reduce, axes: Option<&[i64]>, keep: bool, none_if_empty: bool) -> Result<Tensor> {
    need_floats(x)?;
    let axes = axes.unwrap_or_default();
    if axes.is_empty() && none_if_empty {
        return Ok(x.clone());
    }
    let mut all = axes.iter().map(|a| axis(*a, x.rank())).collect::<Result<Vec<_>>>()?;
    if axes.is_empty() {
        all = (0..x.rank()).collect();
    }
    all.sort_unstable();
    all.dedup();
    if x.elem_count() == 0 {
        candle_core::bail!("nothing of {:?} becomes one", x.dims());
    }
    let y = match how {
        Reduce::Mean if x.rank() == 4 && all == [2, 3] => mean_of_channels(x)?,
        Reduce::Mean => x.mean_keepdim(all.as_slice())?,
        Reduce::Sum => x.sum_keepdim(all.as_slice())?,
        Reduce::L2 => x.sqr()?.sum_keepdim(all.as_slice())?.sqrt()?,
        Reduce::Max => all.iter().try_fold(x.clone(), |x, axis| x.max_keepdim(*axis))?,
        Reduce::Min => all.iter().try_fold(x.clone(), |x, axis| x.min_keepdim(*axis))?,
    };
    if keep {
        return Ok(y);
    }
    all.iter().rev().try_fold(y, |y, axis| y.squeeze(*axis))
}

/// Exponentials that sum to 1, along one axis or all from it on.
pub(super) fn softmax(x: &Tensor, along: i64, to_the_end: bool) -> Result<Tensor> {
    need_floats(x)?;
    let along = axis(along, x.rank())?;
    if x.elem_count() == 0 {
        return Ok(x.clone());
    }
    if !to_the_end || along + 1 == x.rank() {
        return layers::softmax(x, along);
    }
    let rows: usize = x.dims()[..along].iter().product();
    let x2 = if x.rank() == 4 { channels_first(x)? } else { x.contiguous()? };
    layers::softmax(&x2.reshape((rows, ()))?, 1)?.reshape(x.dims())
}

/// The matrix product of the last two axes.
pub(super) fn product(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    need_floats(x)?;
    need_floats(y)?;
    if x.rank() == 0 || y.rank() == 0 {
        candle_core::bail!("a product of single numbers");
    }
    let (single_x, single_y) = (x.rank() == 1, y.rank() == 1);
    let x = if single_x { x.unsqueeze(0)? } else { x.clone() };
    let y = if single_y { y.unsqueeze(1)? } else { y.clone() };
    let (n, inner) = (x.dim(D::Minus2)?, x.dim(D::Minus1)?);
    let (inner_y, m) = (y.dim(D::Minus2)?, y.dim(D::Minus1)?);
    if inner != inner_y || inner == 0 {
        candle_core::bail!("a product of {:?} and {:?}", x.dims(), y.dims());
    }
    let mut shape = broadcast(&x.dims()[..x.rank() - 2], &y.dims()[..y.rank() - 2])?;
    shape.extend([n, m]);
    elements(&shape)?;
    let (batch_x, batch_y) = (
        [&shape[..shape.len() - 2], &[n, inner]].concat(),
        [&shape[..shape.len() - 2], &[inner, m]].concat(),
    );
    elements(&batch_x)?;
    elements(&batch_y)?;
    // As three axes: kernels know one for all that comes before.
    let flat =
        |t: &Tensor, shape: Vec<usize>, rows: usize, columns: usize| t.broadcast_as(shape)?.contiguous()?.reshape(((), rows, columns));
    let result = if shape.iter().product::<usize>() == 0 {
        Tensor::zeros(shape.as_slice(), DType::F32, x.device())?
    } else {
        flat(&x, batch_x, n, inner)?
            .matmul(&flat(&y, batch_y, inner, m)?)?
            .reshape(shape.as_slice())?
    };
    let result = if single_x { result.squeeze(D::Minus2)? } else { result };
    if single_y { result.squeeze(D::Minus1) } else { Ok(result) }
}

/// `alpha a b + beta c`, for matrices.
pub(super) fn gemm(a: Tensor, b: Tensor, c: Option<&Tensor>, alpha: f32, beta: f32) -> Result<Tensor> {
    a.dims2()?;
    b.dims2()?;
    let mut y = product(&a, &b)?;
    if alpha != 1.0 {
        y = (y * f64::from(alpha))?;
    }
    let Some(c) = c.filter(|_| beta != 0.0) else {
        return Ok(y);
    };
    need_floats(c)?;
    if broadcast(y.dims(), c.dims())? != y.dims() {
        candle_core::bail!("{:?} cannot be added to a product of {:?}", c.dims(), y.dims());
    }
    y.broadcast_add(&(c * f64::from(beta))?)
}

/// Another kind of number: floats to whole ones are cut, anything but zero is true. Whole numbers and truth values go to the CPU.
pub(super) fn cast(x: &Tensor, to: DType, device: &Device) -> Result<Tensor> {
    match (x.dtype(), to) {
        (from, to) if from == to => Ok(x.clone()),
        (_, DType::F32) => x.to_dtype(DType::F32)?.to_device(device),
        (_, DType::U8) => x.ne(&x.zeros_like()?)?.to_device(&Device::Cpu),
        (_, DType::I64) => x.to_device(&Device::Cpu)?.to_dtype(DType::I64),
        (from, to) => candle_core::bail!("{from:?} cannot become {to:?}"),
    }
}
