//! Models from picture to picture, most of them upscalers: told apart by their weights' names, as spandrel does.

mod atd;
mod compact;
mod cugan;
mod dat;
mod drct;
mod frame;
mod hat;
mod mosr;
mod omni;
mod plksr;
mod rgt;
mod rrdb;
mod scunet;
mod span;
mod swin;
mod swin2;

use std::{path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor};

use crate::diffusion::{
    ModelError, Result,
    ops::{Border, crop, pad},
    weights::{Change, Renamed, Source, Weights, open_weights},
};

use atd::Atd;
use compact::Compact;
use cugan::Cugan;
use dat::Dat;
use drct::Drct;
use mosr::Mosr;
use omni::OmniSr;
use plksr::Plksr;
use rgt::Rgt;
use rrdb::Rrdb;
use scunet::ScuNet;
use span::Span;
use swin::SwinIr;
use swin2::Swin2Sr;

/// The architectures that are known, for messages.
const KNOWN: &str = "ATD, DAT, DRCT, ESRGAN, HAT, MoSR, OmniSR, PLKSR, RealCUGAN, Real-ESRGAN Compact, RGT, SCUNet, SPAN, Swin2SR, SwinIR";

/// Most times that a network makes a picture larger along a side.
const MOST_TIMES: usize = 256;

/// What sizes a network takes and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// Pixels of the result for each one of the picture, along a side.
    scale: usize,
    /// Channels of the picture.
    channels: usize,
    /// Smallest side.
    minimum: usize,
    /// What the sides must be multiples of.
    multiple: usize,
}

/// A network from picture to picture.
trait Network: Send + Sync + std::fmt::Debug {
    /// What sizes it takes and gives.
    fn shape(&self) -> Shape;
    /// The result for `x [1, channels, h, w]` in 0 to 1.
    fn forward(&self, x: &Tensor) -> Result<Tensor>;
}

/// A model from picture to picture.
#[derive(Debug)]
pub struct Upscaler {
    network: Box<dyn Network>,
    dtype: DType,
    bytes: u64,
}

/// Prefixes of training frameworks, taken off where all names have them.
const PREFIXES: &[&str] = &["module.", "netG."];

/// The same tensors without the prefixes that training frameworks put before all names.
pub(super) fn without_prefixes(mut source: Arc<dyn Source>) -> Arc<dyn Source> {
    for prefix in PREFIXES {
        let names = source.names();
        if !names.is_empty() && names.iter().all(|name| name.starts_with(prefix)) {
            source = Arc::new(Renamed::new(source, |name| vec![(name[prefix.len()..].to_owned(), Change::None)]));
        }
    }
    source
}

impl Upscaler {
    /// Opens a file of weights.
    pub fn open(path: &Path, dtype: DType, device: &Device) -> Result<Self> {
        Self::load(open_weights(path)?, dtype, device)
    }

    /// From weights under the names of one of the known architectures.
    pub fn load(source: Arc<dyn Source>, dtype: DType, device: &Device) -> Result<Self> {
        let weights = Weights::new(without_prefixes(source), dtype, device);
        // What attends to pixels, divides by a norm or multiplies by its own results may leave the range of float16.
        let wide = weights.wide();
        let network: Box<dyn Network> = if weights.has("body.0.weight") && weights.has("body.1.weight") {
            Box::new(Compact::load(&weights)?)
        } else if let Some(names) = rrdb::Names::of(&weights) {
            Box::new(Rrdb::load(&weights, &names)?)
        } else if plksr::matches(&weights) {
            Box::new(Plksr::load(&wide)?)
        } else if mosr::matches(&weights) {
            Box::new(Mosr::load(&weights)?)
        } else if span::matches(&weights) {
            Box::new(Span::load(&wide)?)
        } else if rgt::matches(&weights) {
            Box::new(Rgt::load(&wide)?)
        } else if dat::matches(&weights) {
            Box::new(Dat::load(&wide)?)
        } else if atd::matches(&weights) {
            Box::new(Atd::load(&wide)?)
        } else if drct::matches(&weights) {
            Box::new(Drct::load(&wide)?)
        } else if swin::matches(&weights) {
            Box::new(SwinIr::load(&wide)?)
        } else if swin2::matches(&weights) {
            Box::new(Swin2Sr::load(&wide)?)
        } else if scunet::matches(&weights) {
            Box::new(ScuNet::load(&wide)?)
        } else if cugan::matches(&weights) {
            Box::new(Cugan::load(&weights)?)
        } else if omni::matches(&weights) {
            Box::new(OmniSr::load(&wide)?)
        } else {
            return Err(weights.corrupt(format!("its weights are of none of the known upscalers ({KNOWN})")));
        };
        let scale = network.shape().scale;
        if !(1..=MOST_TIMES).contains(&scale) {
            return Err(weights.corrupt(format!(
                "it would make pictures {scale} times as large, expected 1 to {MOST_TIMES} times"
            )));
        }
        let is_wide = wide.bytes_loaded() > 0;
        let weights = if is_wide { wide } else { weights };
        Ok(Self {
            network,
            dtype: weights.dtype(),
            bytes: weights.bytes_loaded(),
        })
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Pixels of the result for each one of the picture, along a side.
    pub fn scale(&self) -> usize {
        self.network.shape().scale
    }

    /// The result for `x [1, 3, h, w]` in 0 to 1, before it is brought into that range.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let Shape { channels, scale, .. } = self.network.shape();
        let (b, c, h, w) = x.dims4()?;
        if c != channels {
            return Err(ModelError::Input(format!(
                "the model takes pictures of {channels} channels, this one has {c}"
            )));
        }
        let y = self.network.forward(&x.to_dtype(self.dtype)?)?.to_dtype(x.dtype())?;
        if y.dims() != [b, c, h * scale, w * scale] {
            return Err(ModelError::Input(format!(
                "the model makes {:?} of a picture of {:?}, expected one {scale} times as large",
                y.dims(),
                x.dims()
            )));
        }
        Ok(y)
    }

    /// The result for `x [1, 3, h, w]` in 0 to 1: in that range, `scale` times as large. A picture of a size that the network does not take is
    /// enlarged to the right and below, and the result cut.
    pub fn run(&self, x: &Tensor) -> Result<Tensor> {
        let Shape {
            scale, minimum, multiple, ..
        } = self.network.shape();
        let (_, _, h, w) = x.dims4()?;
        let wanted = |n: usize| n.max(minimum.next_multiple_of(multiple)).next_multiple_of(multiple);
        let (tall, broad) = (wanted(h), wanted(w));
        if (tall, broad) == (h, w) {
            return Ok(self.forward(x)?.clamp(0f32, 1f32)?);
        }
        let mirrored = [(tall - h).min(h - 1), (broad - w).min(w - 1)];
        let x = pad(x, [0, mirrored[0], 0, mirrored[1]], Border::Reflect)?;
        let x = pad(&x, [0, tall - h - mirrored[0], 0, broad - w - mirrored[1]], Border::Replicate)?;
        Ok(crop(&self.forward(&x)?, h * scale, w * scale)?.clamp(0f32, 1f32)?)
    }
}
