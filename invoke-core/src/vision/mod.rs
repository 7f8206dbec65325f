//! Models of pictures that are not diffusion: upscalers, fillers of holes, detectors of edges, lines, depth, normals, faces, poses, segments and named things,
//! the checker of pictures' safety; and networks that come as lists of operations.
//!
//! One file or folder an architecture. Each reads its weights under the names that the published files have, takes its shapes from them or from the
//! config beside them, and computes with [`ops`](crate::diffusion::ops). Pictures are `[1, c, h, w]`; which values they hold is said where a model takes them.

pub mod depth;
pub mod edges;
pub mod face;
pub mod grounding;
pub mod lama;
mod layers;
pub mod lines;
pub mod network;
pub mod normals;
pub mod pose;
pub mod safety;
pub mod segment;
#[cfg(test)]
pub(crate) mod testing;
pub mod upscale;
mod windows;

use candle_core::{DType, Device, Result, Tensor};
use serde_json::Value;

use crate::imaging::Picture;

/// Three numbers above 0 and at most 1 that a processor's JSON says of red, green and blue; the usual ones if it says none, or others.
fn of_colours(processor: &Value, key: &str, usual: [f32; 3]) -> [f32; 3] {
    let said = || {
        let list = processor[key].as_array().filter(|list| list.len() == 3)?;
        let mut out = usual;
        for (to, from) in out.iter_mut().zip(list) {
            // What is above 0 may be 0 as a single float, by which nothing can be divided.
            *to = from.as_f64().map(|v| v as f32).filter(|v| *v > 0.0 && *v <= 1.0)?;
        }
        Some(out)
    };
    said().unwrap_or(usual)
}

/// A picture's samples, each made a number by `number` (from 0 to 255), as `[1, bands, h, w]`.
pub fn to_tensor(picture: &Picture, dtype: DType, device: &Device, number: impl Fn(f32) -> f32) -> Result<Tensor> {
    let samples: Vec<f32> = picture.data().iter().map(|v| number(f32::from(*v))).collect();
    Tensor::from_vec(samples, (1, picture.height(), picture.width(), picture.bands()), &Device::Cpu)?
        .permute((0, 3, 1, 2))?
        .to_dtype(dtype)?
        .to_device(device)
}

/// The samples of `[1, c, h, w]`, pixel by pixel, in single floats.
pub fn to_samples(x: &Tensor) -> Result<Vec<f32>> {
    x.to_dtype(DType::F32)?
        .to_device(&Device::Cpu)?
        .squeeze(0)?
        .permute((1, 2, 0))?
        .flatten_all()?
        .to_vec1()
}
