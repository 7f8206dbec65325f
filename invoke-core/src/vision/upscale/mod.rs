//! Models from picture to picture, most of them upscalers: told apart by the names of their weights.

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
mod walk;

use std::{path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor};

use crate::{
    diffusion::{
        ModelError, Result,
        ops::{Border, crop, pad},
        weights::{Change, Renamed, Source, Weights, open_weights},
    },
    models::upscalers::{Family, Kind, training_prefix},
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
use walk::Between;

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
    /// The result for `x [1, channels, h, w]` in 0 to 1. Before each of its blocks it asks `between` whether to go on, and ends with its error if not.
    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor>;
}

/// A model from picture to picture.
#[derive(Debug)]
pub struct Upscaler {
    family: &'static Family,
    network: Box<dyn Network>,
    dtype: DType,
    bytes: u64,
}

/// The same tensors without the prefixes that training frameworks put before all names.
pub(super) fn without_prefixes(source: Arc<dyn Source>) -> Arc<dyn Source> {
    let names = source.names();
    match training_prefix(names.iter().map(String::as_str)).len() {
        0 => source,
        length => Arc::new(Renamed::new(source, |name| vec![(name[length..].to_owned(), Change::None)])),
    }
}

/// The network of a kind.
fn network_of(kind: Kind, weights: &Weights) -> Result<Box<dyn Network>> {
    Ok(match kind {
        Kind::Atd => Box::new(Atd::load(weights)?),
        Kind::Compact => Box::new(Compact::load(weights)?),
        Kind::Cugan => Box::new(Cugan::load(weights)?),
        Kind::Dat => Box::new(Dat::load(weights)?),
        Kind::Drct => Box::new(Drct::load(weights)?),
        Kind::Esrgan(names) => Box::new(Rrdb::load(weights, names)?),
        Kind::Mosr => Box::new(Mosr::load(weights)?),
        Kind::Omni => Box::new(OmniSr::load(weights)?),
        Kind::Plksr => Box::new(Plksr::load(weights)?),
        Kind::Rgt => Box::new(Rgt::load(weights)?),
        Kind::ScuNet => Box::new(ScuNet::load(weights)?),
        Kind::Span => Box::new(Span::load(weights)?),
        Kind::Swin2Sr => Box::new(Swin2Sr::load(weights)?),
        Kind::SwinIr => Box::new(SwinIr::load(weights)?),
    })
}

/// The names of all architectures, for messages.
fn known() -> String {
    let mut names: Vec<&str> = Family::all().iter().map(Family::name).collect();
    names.sort_by_key(|name| name.to_lowercase());
    names.dedup();
    names.join(", ")
}

/// The upper left `h` by `w` pixels of a result, in 0 to 1.
fn finished(y: Tensor, h: usize, w: usize) -> Result<Tensor> {
    let (_, _, tall, broad) = y.dims4()?;
    let y = if (tall, broad) == (h, w) { y } else { crop(&y, h, w)? };
    Ok(y.clamp(0f32, 1f32)?)
}

impl Upscaler {
    /// Opens a file of weights.
    pub fn open(path: &Path, dtype: DType, device: &Device) -> Result<Self> {
        Self::load(open_weights(path)?, dtype, device)
    }

    /// From weights under the names of one of the known architectures.
    pub fn load(source: Arc<dyn Source>, dtype: DType, device: &Device) -> Result<Self> {
        let names = source.names();
        let axes = |name: &str| source.info(name).map(|info| info.shape.len());
        let family = Family::of(names.iter().map(String::as_str), axes);
        let weights = Weights::new(without_prefixes(source), dtype, device);
        let Some(family) = family else {
            return Err(weights.corrupt(format!("its weights are of none of the known upscalers ({})", known())));
        };
        let weights = if family.is_wide() { weights.wide() } else { weights };
        let network = network_of(family.kind(), &weights)?;
        let scale = network.shape().scale;
        if !(1..=MOST_TIMES).contains(&scale) {
            return Err(weights.corrupt(format!(
                "it would make pictures {scale} times as large, expected 1 to {MOST_TIMES} times"
            )));
        }
        Ok(Self {
            family,
            network,
            dtype: weights.dtype(),
            bytes: weights.bytes_loaded(),
        })
    }

    /// Its architecture.
    pub fn family(&self) -> &'static Family {
        self.family
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Pixels of the result for each one of the picture, along a side.
    pub fn scale(&self) -> usize {
        self.network.shape().scale
    }

    /// The result for `x [1, 3, h, w]` in 0 to 1, before it is brought into that range. `between` is asked before each block whether to go on.
    ///
    /// # Errors
    /// [`ModelError::Input`] if the picture is not one that the model takes, and what `between` fails with.
    pub fn forward(&self, x: &Tensor, between: &dyn Fn() -> Result<()>) -> Result<Tensor> {
        let Shape { channels, scale, .. } = self.network.shape();
        let (b, c, h, w) = x.dims4()?;
        if c != channels {
            return Err(ModelError::Input(format!(
                "the model takes pictures of {channels} channels, this one has {c}"
            )));
        }
        let y = self.network.forward(&x.to_dtype(self.dtype)?, between)?.to_dtype(x.dtype())?;
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
    /// enlarged to the right and below, and the result cut. `between` is asked as in [`forward`](Self::forward), whose errors these are too.
    pub fn run(&self, x: &Tensor, between: &dyn Fn() -> Result<()>) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let y = self.forward(&self.enlarged(x)?, between)?;
        finished(y, h * self.scale(), w * self.scale())
    }

    /// A picture made one that the network takes, to the right and below: mirrored, its edge repeated where it is too small for that.
    fn enlarged(&self, x: &Tensor) -> Result<Tensor> {
        let Shape { minimum, multiple, .. } = self.network.shape();
        let (_, _, h, w) = x.dims4()?;
        let wanted = |n: usize| n.max(minimum.next_multiple_of(multiple)).next_multiple_of(multiple);
        let (tall, broad) = (wanted(h), wanted(w));
        if (tall, broad) == (h, w) {
            return Ok(x.clone());
        }
        let mirrored = [(tall - h).min(h - 1), (broad - w).min(w - 1)];
        let x = pad(x, [0, mirrored[0], 0, mirrored[1]], Border::Reflect)?;
        Ok(pad(&x, [0, tall - h - mirrored[0], 0, broad - w - mirrored[1]], Border::Replicate)?)
    }
}
