//! Operations that move elements and compute none.

use candle_core::{DType, Device, Result, Tensor};

use super::{Element, PadMode, Ranges, axis, broadcast, elements, integers};
use crate::diffusion::ops::{self, Border, cat_channels, channels_first, pick};

/// What an attribute says, or else an input.
pub(super) fn numbers(attribute: Option<&Vec<i64>>, input: Option<&Tensor>) -> Result<Option<Vec<i64>>> {
    match attribute {
        Some(numbers) => Ok(Some(numbers.clone())),
        None => input.map(integers).transpose(),
    }
}

/// In candle's usual order.
fn whole(x: &Tensor) -> Result<Tensor> {
    if x.rank() == 4 { channels_first(x) } else { x.contiguous() }
}

/// All inputs behind one another.
pub(super) fn concat(inputs: &[Option<&Tensor>], along: i64) -> Result<Tensor> {
    let all: Vec<&Tensor> = inputs.iter().copied().flatten().collect();
    let Some((first, rest)) = all.split_first() else {
        candle_core::bail!("nothing to put together");
    };
    let along = axis(along, first.rank())?;
    let mut shape = first.dims().to_vec();
    for part in rest {
        let fits = part.dtype() == first.dtype()
            && part.rank() == first.rank()
            && (0..shape.len()).all(|i| i == along || part.dims()[i] == first.dims()[i]);
        if !fits {
            candle_core::bail!("{:?} and {:?} cannot be put together along axis {along}", first.dims(), part.dims());
        }
        shape[along] = shape[along].saturating_add(part.dims()[along]);
    }
    elements(&shape)?;
    if along == 1 && shape.len() == 4 && first.dtype() == DType::F32 && rest.len() < 4 {
        return rest.iter().try_fold((*first).clone(), |joined, part| cat_channels(&joined, part));
    }
    Tensor::cat(&all, along)
}

/// The same elements in another shape.
pub(super) fn reshape(x: &Tensor, shape: &Tensor, allow_zero: bool) -> Result<Tensor> {
    let wanted = integers(shape)?;
    let mut sides = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (i, side) in wanted.iter().enumerate() {
        sides.push(match *side {
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            0 if !allow_zero => match x.dims().get(i) {
                Some(side) => *side,
                None => candle_core::bail!("{:?} has no axis {i} whose length could stay", x.dims()),
            },
            side => match usize::try_from(side) {
                Ok(side) => side,
                Err(_) => candle_core::bail!("{wanted:?} is no shape"),
            },
        });
    }
    let (count, all) = (elements(&sides)?, x.elem_count());
    if let Some(open) = open {
        if count == 0 || all % count != 0 {
            candle_core::bail!("{:?} cannot have the shape {wanted:?}", x.dims());
        }
        sides[open] = all / count;
    } else if count != all {
        candle_core::bail!("{:?} cannot have the shape {wanted:?}", x.dims());
    }
    whole(x)?.reshape(sides)
}

/// Axes in another order.
pub(super) fn transpose(x: &Tensor, order: Option<&[i64]>) -> Result<Tensor> {
    let rank = x.rank();
    let order = match order {
        Some(order) => order.iter().map(|a| axis(*a, rank)).collect::<Result<Vec<_>>>()?,
        None => (0..rank).rev().collect(),
    };
    if order.len() != rank || (0..rank).any(|axis| !order.contains(&axis)) {
        candle_core::bail!("{order:?} is no order of the axes of {:?}", x.dims());
    }
    if rank < 2 { Ok(x.clone()) } else { x.permute(order) }
}

/// Elements added before and after each axis, or taken away.
pub(super) fn pad(x: &Tensor, mode: PadMode, pads: &[i64], axes: Option<&[i64]>, value: f32) -> Result<Tensor> {
    let rank = x.rank();
    let axes = match axes {
        Some(axes) => axes.iter().map(|a| axis(*a, rank)).collect::<Result<Vec<_>>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        candle_core::bail!("{} numbers for {} axes", pads.len(), axes.len());
    }
    let mut edges = vec![(0_i64, 0_i64); rank];
    for (i, axis) in axes.iter().enumerate() {
        edges[*axis] = (pads[i], pads[axes.len() + i]);
    }
    // What is taken away goes first.
    let mut y = x.clone();
    for (axis, (before, after)) in edges.iter_mut().enumerate() {
        let (less, more) = (cut(*before), cut(*after));
        let side = y.dim(axis)?;
        if less.saturating_add(more) > side {
            candle_core::bail!("{less} and {more} cannot be taken of {side}");
        }
        if less + more > 0 {
            y = y.narrow(axis, less, side - less - more)?;
        }
        (*before, *after) = ((*before).max(0), (*after).max(0));
    }
    let sides = edges.iter().zip(y.dims()).map(|((before, after), side)| {
        let added = usize::try_from(before.saturating_add(*after)).unwrap_or(usize::MAX);
        side.saturating_add(added)
    });
    elements(&sides.collect::<Vec<_>>())?;
    let edges: Vec<(usize, usize)> = edges.iter().map(|(a, b)| (*a as usize, *b as usize)).collect();
    if edges.iter().all(|e| *e == (0, 0)) {
        return Ok(y);
    }
    if rank == 4 && edges[0] == (0, 0) && edges[1] == (0, 0) && y.dtype() == DType::F32 {
        let around = [edges[2].0, edges[2].1, edges[3].0, edges[3].1];
        match mode {
            PadMode::Constant if value == 0.0 => return ops::pad(&y, around, Border::Zeros),
            PadMode::Reflect => return ops::pad(&y, around, Border::Reflect),
            PadMode::Edge => return ops::pad(&y, around, Border::Replicate),
            PadMode::Constant => {}
        }
    }
    if mode != PadMode::Constant {
        candle_core::bail!(
            "only the rows and columns of pictures can be padded with what is there, not {:?}",
            x.dims()
        );
    }
    for (axis, (before, after)) in edges.into_iter().enumerate() {
        let more = |count: usize| -> Result<Tensor> {
            let mut shape = y.dims().to_vec();
            shape[axis] = count;
            Tensor::full(value, shape, y.device())?.to_dtype(y.dtype())
        };
        if before + after > 0 {
            y = Tensor::cat(&[more(before)?, y.clone(), more(after)?], axis)?;
        }
    }
    Ok(y)
}

/// How much is taken away where less than nothing is added.
fn cut(pad: i64) -> usize {
    usize::try_from(pad.saturating_neg()).unwrap_or(0)
}

/// A part of some axes, which attributes or the inputs behind the first tell.
pub(super) fn slice(ranges: Option<&Ranges>, inputs: &[Option<&Tensor>]) -> Result<Tensor> {
    let input = |i: usize| inputs.get(i).copied().flatten();
    let Some(x) = input(0) else {
        candle_core::bail!("the input 0 is missing");
    };
    let (ranges, steps) = match ranges {
        Some(ranges) => (ranges.clone(), None),
        None => {
            let list = |i: usize| input(i).map(integers).transpose();
            let ranges = Ranges {
                starts: list(1)?.unwrap_or_default(),
                ends: list(2)?.unwrap_or_default(),
                axes: list(3)?,
            };
            (ranges, list(4)?)
        }
    };
    let count = ranges.starts.len();
    let axes = ranges.axes.unwrap_or_else(|| (0..count as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; count]);
    if ranges.ends.len() != count || axes.len() != count || steps.len() != count {
        candle_core::bail!(
            "{count} starts, {} ends, {} axes and {} steps",
            ranges.ends.len(),
            axes.len(),
            steps.len()
        );
    }
    let mut places: Vec<Option<(usize, usize, i64)>> = vec![None; x.rank()];
    for (i, along) in axes.iter().enumerate() {
        let along = axis(*along, x.rank())?;
        let found = places_of(ranges.starts[i], ranges.ends[i], steps[i], x.dims()[along] as i64)?;
        if places[along].replace(found).is_some() {
            candle_core::bail!("axis {along} is there twice");
        }
    }
    let listed = |(first, count, step): (usize, usize, i64)| -> Vec<usize> {
        (0..count).map(|i| (first as i64 + i as i64 * step) as usize).collect()
    };
    if let ([None, None, rows, columns], DType::F32, [_, _, h, w]) = (places.as_slice(), x.dtype(), x.dims()) {
        let list = |part: &Option<(usize, usize, i64)>, side: usize| part.map_or_else(|| (0..side).collect(), listed);
        return pick(x, &list(rows, *h), &list(columns, *w));
    }
    let mut y = x.clone();
    for (along, part) in places.into_iter().enumerate() {
        y = match part {
            Some((first, count, 1)) => part_of(&y, along, first, count)?,
            Some(part) => index(&y, along, &listed(part))?,
            None => y,
        };
    }
    Ok(y)
}

/// Places of an axis that follow each other: a copy, so that a small part does not keep the memory of a large value. That of pictures stays in the order
/// that kernels like.
fn part_of(x: &Tensor, along: usize, first: usize, count: usize) -> Result<Tensor> {
    let part = x.narrow(along, first, count)?;
    match part.rank() {
        _ if count == x.dims()[along] => Ok(part),
        4 => part.permute((0, 2, 3, 1))?.force_contiguous()?.permute((0, 3, 1, 2)),
        _ => part.force_contiguous(),
    }
}

/// First place, number of places and step of a range of `side` places.
fn places_of(start: i64, end: i64, step: i64, side: i64) -> Result<(usize, usize, i64)> {
    if step == 0 || step == i64::MIN {
        candle_core::bail!("a step of {step}");
    }
    let counted = |at: i64| if at < 0 { at.saturating_add(side) } else { at };
    let (start, end) = if step > 0 {
        (counted(start).clamp(0, side), counted(end).clamp(0, side))
    } else {
        (counted(start).clamp(-1, side - 1), counted(end).clamp(-1, side - 1))
    };
    let room = if step > 0 { end - start } else { start - end };
    let step_size = step.unsigned_abs() as usize;
    let count = usize::try_from(room).unwrap_or(0).div_ceil(step_size);
    // A step may be as large as it likes where only one is taken.
    Ok((start.max(0) as usize, count, if count > 1 { step } else { 1 }))
}

/// Places of an axis.
fn index(x: &Tensor, along: usize, places: &[usize]) -> Result<Tensor> {
    let indices: Vec<u32> = places.iter().map(|i| *i as u32).collect();
    whole(x)?.index_select(&Tensor::from_vec(indices, places.len(), x.device())?, along)
}

/// Parts along an axis.
pub(super) fn split(x: &Tensor, along: i64, sizes: Option<&[i64]>, outputs: usize) -> Result<Vec<Tensor>> {
    let along = axis(along, x.rank())?;
    let side = x.dims()[along];
    let sizes = match sizes {
        Some(sizes) => sizes.iter().map(|n| usize::try_from(*n).unwrap_or(usize::MAX)).collect(),
        None if outputs > 0 => {
            let each = side.div_ceil(outputs);
            (0..outputs).map(|i| each.min(side.saturating_sub(i * each))).collect::<Vec<_>>()
        }
        None => Vec::new(),
    };
    if sizes.len() != outputs || sizes.iter().fold(0_usize, |sum, n| sum.saturating_add(*n)) != side {
        candle_core::bail!("parts of {sizes:?} for {outputs} outputs of {side}");
    }
    let mut first = 0;
    let part = |size: usize| {
        let part = part_of(x, along, first, size);
        first += size;
        part
    };
    sizes.into_iter().map(part).collect()
}

/// Two axes: all before `first` and all from it on.
pub(super) fn flatten(x: &Tensor, first: i64) -> Result<Tensor> {
    let first = if first == x.rank() as i64 {
        x.rank()
    } else {
        axis(first, x.rank())?
    };
    let sides = x.dims();
    let (rows, columns) = (sides[..first].iter().product::<usize>(), sides[first..].iter().product::<usize>());
    whole(x)?.reshape((rows, columns))
}

/// Axes of length 1 removed.
pub(super) fn squeeze(x: &Tensor, axes: Option<&[i64]>) -> Result<Tensor> {
    let gone = match axes {
        Some(axes) => axes.iter().map(|a| axis(*a, x.rank())).collect::<Result<Vec<_>>>()?,
        None => (0..x.rank()).filter(|i| x.dims()[*i] == 1).collect(),
    };
    if let Some(long) = gone.iter().find(|i| x.dims()[**i] != 1) {
        candle_core::bail!("axis {long} of {:?} is longer than 1", x.dims());
    }
    let kept: Vec<usize> = (0..x.rank()).filter(|i| !gone.contains(i)).map(|i| x.dims()[i]).collect();
    whole(x)?.reshape(kept)
}

/// Axes of length 1 added.
pub(super) fn unsqueeze(x: &Tensor, axes: &[i64]) -> Result<Tensor> {
    let rank = x.rank() + axes.len();
    elements(&vec![1; rank])?;
    let new = axes.iter().map(|a| axis(*a, rank)).collect::<Result<Vec<_>>>()?;
    if (1..new.len()).any(|i| new[..i].contains(&new[i])) {
        candle_core::bail!("{axes:?} names an axis twice");
    }
    let mut old = x.dims().iter();
    let sides: Vec<usize> = (0..rank)
        .map(|i| if new.contains(&i) { 1 } else { old.next().copied().unwrap_or(1) })
        .collect();
    elements(&sides)?;
    whole(x)?.reshape(sides)
}

/// The lengths of axes.
pub(super) fn shape(x: &Tensor, start: i64, end: Option<i64>) -> Result<Tensor> {
    let rank = x.rank() as i64;
    let counted = |at: i64| if at < 0 { at.saturating_add(rank) } else { at }.clamp(0, rank) as usize;
    let (start, end) = (counted(start), counted(end.unwrap_or(rank)));
    let sides: Vec<i64> = x.dims()[start.min(end)..end].iter().map(|n| *n as i64).collect();
    let count = sides.len();
    Tensor::from_vec(sides, count, &Device::Cpu)
}

/// Places of one axis, by whole numbers of any shape, which takes the axis' place.
pub(super) fn gather(x: &Tensor, indices: &Tensor, along: i64) -> Result<Tensor> {
    let along = axis(along, x.rank())?;
    let side = x.dims()[along] as i64;
    let place = |i: i64| {
        let counted = if i < 0 { i.saturating_add(side) } else { i };
        if !(0..side).contains(&counted) {
            candle_core::bail!("there is no place {i} of {side}");
        }
        Ok(counted as usize)
    };
    let places = integers(indices)?.into_iter().map(place).collect::<Result<Vec<_>>>()?;
    let shape = [&x.dims()[..along], indices.dims(), &x.dims()[along + 1..]].concat();
    if elements(&shape)? == 0 {
        return Tensor::zeros(shape, x.dtype(), x.device());
    }
    index(x, along, &places)?.reshape(shape)
}

/// A value of one number.
pub(super) fn filled(shape: &Tensor, element: Element, device: &Device) -> Result<Tensor> {
    let sides: Vec<usize> = integers(shape)?
        .into_iter()
        .map(|n| usize::try_from(n).unwrap_or(usize::MAX))
        .collect();
    elements(&sides)?;
    match element {
        Element::Float(v) => Tensor::full(v, sides, device),
        Element::Int(v) => Tensor::full(v, sides, &Device::Cpu),
        Element::Bool(v) => Tensor::full(u8::from(v), sides, &Device::Cpu),
    }
}

/// Broadcast to a shape.
pub(super) fn expand(x: &Tensor, shape: &Tensor) -> Result<Tensor> {
    let sides: Vec<usize> = integers(shape)?
        .into_iter()
        .map(|n| usize::try_from(n).unwrap_or(usize::MAX))
        .collect();
    x.broadcast_as(broadcast(x.dims(), &sides)?)?.contiguous()
}
