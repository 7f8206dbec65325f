//! `SRVGGNetCompact` of Real-ESRGAN: convolutions at the picture's size, pixels from channels at the end, added to the enlarged picture.

use candle_core::Tensor;

use super::{
    Network, Shape,
    walk::{Between, walk},
};
use crate::{
    diffusion::{
        Result,
        ops::{Conv2d, add, enlarge_nearest, pixel_shuffle, prelu},
        weights::Weights,
    },
    vision::layers::conv,
};

/// The network.
#[derive(Debug)]
pub(super) struct Compact {
    /// Convolutions with the slopes that follow them.
    body: Vec<(Conv2d, Tensor)>,
    last: Conv2d,
    shape: Shape,
}

/// Side of the squares that `wide` channels are for each of `channels`.
pub(super) fn squares(wide: usize, channels: usize) -> Option<usize> {
    let squares = (channels > 0 && wide.is_multiple_of(channels)).then(|| wide / channels)?;
    let side = squares.isqrt();
    (side > 0 && side * side == squares).then_some(side)
}

/// Side of the squares and number of channels that `wide` channels divide into, the picture's own number before others.
fn scale_and_channels(wide: usize, channels: usize) -> Option<(usize, usize)> {
    [channels, 3, 4, 1].into_iter().find_map(|c| Some((squares(wide, c)?, c)))
}

/// How many times larger a network makes a picture of `channels`, whose last layer gives a square of pixels for each of its pixels.
pub(super) fn scale_of(last: &Conv2d, channels: usize, weights: &Weights) -> Result<usize> {
    match scale_and_channels(last.out_channels(), channels) {
        Some((scale, out)) if out == channels => Ok(scale),
        _ => Err(weights.corrupt(format!(
            "its last layer gives {} channels, no square of pixels",
            last.out_channels()
        ))),
    }
}

impl Compact {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let body = weights.at("body");
        let channels = body.require("0.weight")?.get(1).copied().unwrap_or_default();
        let mut layers = Vec::new();
        let mut index = 0;
        while body.has(&format!("{}.weight", index + 1)) {
            layers.push((conv(&body.at(index))?, body.read(&format!("{}.weight", index + 1))?));
            index += 2;
        }
        let last = conv(&body.at(index))?;
        let scale = scale_of(&last, channels, weights)?;
        Ok(Self {
            body: layers,
            last,
            shape: Shape {
                scale,
                channels,
                minimum: 0,
                multiple: 1,
            },
        })
    }
}

impl Network for Compact {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor> {
        let out = walk(x.clone(), &self.body, between, |out, (conv, slopes)| {
            Ok(prelu(&conv.forward(&out)?, slopes)?)
        })?;
        between()?;
        let out = pixel_shuffle(&self.last.forward(&out)?, self.shape.scale)?;
        Ok(add(&out, &enlarge_nearest(x, self.shape.scale)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_divide_into_squares() {
        assert_eq!(scale_and_channels(48, 3), Some((4, 3)));
        assert_eq!(scale_and_channels(12, 3), Some((2, 3)));
        assert_eq!(scale_and_channels(3, 3), Some((1, 3)));
        assert_eq!(scale_and_channels(4, 1), Some((2, 1)));
        assert_eq!(scale_and_channels(7, 3), None);
    }
}
