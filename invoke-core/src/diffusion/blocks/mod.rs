//! Pieces that several models are made of.

mod feed_forward;
mod resnet;
mod sampling;
mod seamless;
mod strips;
mod time;
mod transformer;

pub(crate) use feed_forward::FeedForward;
pub(crate) use resnet::{ResnetBlock, ResnetShape};
pub(crate) use sampling::{Downsample, Upsample};
pub use seamless::Seamless;
pub(crate) use strips::{LARGE, Strips, strip_rows};
pub(crate) use time::{TimeEmbedding, sinusoids};
pub(crate) use transformer::{CrossLayers, Transformer2d, TransformerShape};
