//! Holistically nested edges: five depths of one network each guess where edges are.

use std::{path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor};

use crate::{
    diffusion::{
        Result,
        ops::{Align, Conv2d, max_pool_2x2, relu, resize_bilinear},
        weights::{Source, Weights, open_weights},
    },
    vision::layers::{at_least, conv},
};

/// Convolutions at each depth.
const DEPTHS: [usize; 5] = [2, 2, 3, 3, 3];
/// Smallest side of a picture: it is halved four times.
const LEAST: usize = 16;

/// The network.
#[derive(Debug)]
pub struct Hed {
    /// What is taken from red, green and blue: `[1, 3, 1, 1]`.
    mean: Tensor,
    depths: Vec<(Vec<Conv2d>, Conv2d)>,
    dtype: DType,
    bytes: u64,
}

impl Hed {
    /// Opens a file of weights.
    pub fn open(path: &Path, dtype: DType, device: &Device) -> Result<Self> {
        Self::load(open_weights(path)?, dtype, device)
    }

    /// From weights.
    pub fn load(source: Arc<dyn Source>, dtype: DType, device: &Device) -> Result<Self> {
        let weights = Weights::new(source, dtype, device);
        let depth = |(i, count): (usize, &usize)| -> Result<_> {
            let part = weights.at(format_args!("block{}", i + 1));
            let convs = (0..*count).map(|k| conv(&part.at(format_args!("convs.{k}"))));
            Ok((convs.collect::<Result<_>>()?, conv(&part.at("projection"))?))
        };
        Ok(Self {
            mean: weights.get("norm", &[1, 3, 1, 1])?,
            depths: DEPTHS.iter().enumerate().map(depth).collect::<Result<_>>()?,
            dtype,
            bytes: weights.bytes_loaded(),
        })
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How likely each pixel is an edge, in -∞ to ∞ before the logistic function, for `x [1, 3, h, w]` in 0 to 255.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (h, w) = at_least(LEAST, x)?;
        let mut x = x.to_dtype(self.dtype)?.broadcast_sub(&self.mean)?;
        let mut sum: Option<Tensor> = None;
        for (i, (convs, projection)) in self.depths.iter().enumerate() {
            if i > 0 {
                x = max_pool_2x2(&x)?;
            }
            for conv in convs {
                x = relu(&conv.forward(&x)?)?;
            }
            let guess = resize_bilinear(&projection.forward(&x)?, h, w, Align::Edges)?.to_dtype(DType::F32)?;
            sum = Some(match sum {
                Some(sum) => (sum + guess)?,
                None => guess,
            });
        }
        let sum = sum.ok_or_else(|| candle_core::Error::Msg("five depths make a sum".into()))?;
        Ok((sum / DEPTHS.len() as f64)?)
    }
}
