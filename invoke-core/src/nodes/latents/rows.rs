//! Several pictures in one piece of latents: they are denoised as one batch, and each is decoded for itself.

use candle_core::Tensor;

use super::{
    denoise::finish,
    together::{Order, Task},
};
use crate::{
    diffusion::denoise::{self as sampling, ControlInput, DenoiseMask, ImageInput, Job, Outcome, Watcher},
    nodes::{NodeCx, NodeError, outputs::LatentsOutput, workbench::make_room},
};

/// Row `at` of a tensor that has one for each of `count` pictures, or the whole of one that is the same for all.
fn row(tensor: &Tensor, at: usize, count: usize) -> candle_core::Result<Tensor> {
    match tensor.dims().first() {
        Some(&rows) if rows == count => tensor.narrow(0, at, 1),
        _ => Ok(tensor.clone()),
    }
}

/// The order of one picture. It has a seed of its own: that of the first plus its place.
fn order_of(order: &Order, at: usize, count: usize) -> Result<Order, NodeError> {
    let part = |tensor: &Option<Tensor>| tensor.as_ref().map(|tensor| row(tensor, at, count)).transpose();
    let mask = order.mask.as_ref().map(|mask| -> candle_core::Result<_> {
        Ok(DenoiseMask {
            mask: row(&mask.mask, at, count)?,
            gradient: mask.gradient,
            masked_latents: part(&mask.masked_latents)?,
        })
    });
    Ok(Order {
        latents: part(&order.latents)?,
        noise: part(&order.noise)?,
        seed: order.seed.wrapping_add(at as u64),
        mask: mask.transpose()?,
        ..order.clone()
    })
}

/// Watches a picture of which nobody is told: it ends when its session does.
struct Beside<'a>(&'a dyn Watcher);

impl Watcher for Beside<'_> {
    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// Denoises `count` pictures; `watcher` is told of the first.
pub(super) fn denoise(
    cx: &dyn NodeCx,
    task: &Task<'_>,
    count: usize,
    (controls, images): (&[ControlInput<'_>], &[ImageInput]),
    watcher: &dyn Watcher,
) -> Result<LatentsOutput, NodeError> {
    if count == 0 {
        return Err(NodeError::value(
            "latents or noise: there are none, expected those of one picture or more",
        ));
    }
    if let Some(seat) = cx.seat() {
        seat.stay_away();
    }
    let orders = (0..count)
        .map(|at| order_of(&task.order, at, count))
        .collect::<Result<Vec<_>, _>>()?;
    let beside = Beside(watcher);
    let jobs: Vec<Job<'_>> = orders
        .iter()
        .enumerate()
        .map(|(at, order)| Job {
            controls: controls.to_vec(),
            images: images.to_vec(),
            ..order.job(if at == 0 { watcher } else { &beside })
        })
        .collect();
    // Image prompts and HiDiffusion go with one picture at a time; so do all where memory does not do for more.
    let alone = !images.is_empty() || task.denoiser.hidiffusion.is_some();
    let what = format!("denoising {count} pictures");
    let at_a_time = if alone || make_room(cx, task.bytes.saturating_mul(count as u64), &what).is_err() {
        1
    } else {
        count
    };
    let mut rows = Vec::with_capacity(count);
    for some in jobs.chunks(at_a_time) {
        for outcome in sampling::denoise(&task.denoiser, &task.plan, some)? {
            match outcome {
                Outcome::Done(latents) => rows.push(latents),
                Outcome::Cancelled => return finish(cx, Some(Outcome::Cancelled)),
            }
        }
    }
    finish(cx, Some(Outcome::Done(Tensor::cat(&rows, 0)?)))
}
