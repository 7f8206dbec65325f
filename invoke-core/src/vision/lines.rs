//! M-LSD: straight lines, by a small network that says where the middles of lines are and how far their ends.

use std::{path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor};

use super::layers::{Dilated, Norm, conv, conv_norm, depthwise_norm, multiples_of};
use crate::diffusion::{
    ModelError, Result,
    ops::{Align, Conv2d, ConvConfig, Depthwise, add, cat_channels, pick, relu, relu6, resize_bilinear},
    weights::{Source, Weights, open_weights},
};

const EPS: f64 = 1e-5;
/// Blocks of the first network whose results the second sees, and which of them halve.
const SEEN: [usize; 5] = [1, 3, 6, 10, 13];
const HALVING: [usize; 3] = [2, 4, 7];
/// Channels of the last layer before those that are read: scores and displacements.
const SKIPPED: usize = 7;
/// Most lines of a picture.
const MOST_LINES: usize = 200;
/// What the sides of pictures must be multiples of.
pub const MULTIPLE: usize = 64;

/// A block of `MobileNetV2`.
#[derive(Debug)]
struct Inverted {
    widen: Option<Conv2d>,
    apart: Depthwise,
    narrow: Conv2d,
    halves: bool,
    residual: bool,
}

impl Inverted {
    fn load(weights: &Weights, halves: bool) -> Result<Self> {
        let body = weights.at("conv");
        let bare = ConvConfig::padded(0);
        // The first block of all does not widen.
        let widens = body.has("1.0.weight");
        let layer = |index: usize| (body.at(index).at(0), body.at(index).at(1));
        let (apart, narrow) = if widens { (1, 2) } else { (0, 1) };
        let widen = if widens {
            let (conv, norm) = layer(0);
            Some(conv_norm(&conv, &norm, EPS, bare)?)
        } else {
            None
        };
        let (conv, norm) = layer(apart);
        let inputs = if widens {
            body.at("0.0").require("weight")?.get(1).copied()
        } else {
            conv.require("weight")?.first().copied()
        };
        let narrow = conv_norm(&body.at(narrow), &body.at(narrow + 1), EPS, bare)?;
        Ok(Self {
            widen,
            apart: depthwise_norm(&conv, &norm, EPS)?,
            residual: !halves && inputs == Some(narrow.out_channels()),
            narrow,
            halves,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let wide = match &self.widen {
            Some(conv) => relu6(&conv.forward(x)?)?,
            None => x.clone(),
        };
        let mut y = self.apart.forward(&wide)?;
        if self.halves {
            // As if one row and column were added below and to the right, and every second place computed.
            let (_, _, h, w) = y.dims4()?;
            let odd = |n: usize| (1..n).step_by(2).collect::<Vec<_>>();
            y = pick(&y, &odd(h), &odd(w))?;
        }
        let y = self.narrow.forward(&relu6(&y)?)?;
        Ok(if self.residual { add(&y, x)? } else { y })
    }
}

/// Joins a finer and a coarser picture and thinks about both.
#[derive(Debug)]
struct Joint {
    coarse: Conv2d,
    fine: Conv2d,
    doubles: bool,
    think: [Conv2d; 2],
}

impl Joint {
    fn load(weights: &Weights, index: usize, doubles: bool) -> Result<Self> {
        let normed = |part: Weights, padding: usize| conv_norm(&part.at(0), &part.at(1), EPS, ConvConfig::padded(padding));
        let (join, think) = (
            weights.at(format_args!("block{index}")),
            weights.at(format_args!("block{}", index + 1)),
        );
        Ok(Self {
            coarse: normed(join.at("conv1"), 0)?,
            fine: normed(join.at("conv2"), 0)?,
            doubles,
            think: [normed(think.at("conv1"), 1)?, normed(think.at("conv2"), 1)?],
        })
    }

    fn forward(&self, fine: &Tensor, coarse: &Tensor) -> Result<Tensor> {
        let mut coarse = relu(&self.coarse.forward(coarse)?)?;
        let fine = relu(&self.fine.forward(fine)?)?;
        if self.doubles {
            let (_, _, h, w) = coarse.dims4()?;
            coarse = resize_bilinear(&coarse, h * 2, w * 2, Align::Corners)?;
        }
        let x = cat_channels(&fine, &coarse)?;
        let [first, second] = &self.think;
        let x = add(&relu(&first.forward(&x)?)?, &x)?;
        Ok(relu(&second.forward(&x)?)?)
    }
}

/// A straight line from one point to another, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Across and down.
    pub start: (f32, f32),
    /// Across and down.
    pub end: (f32, f32),
}

/// The network.
#[derive(Debug)]
pub struct LineDetector {
    first: Conv2d,
    blocks: Vec<Inverted>,
    joints: Vec<Joint>,
    last: (Dilated, Conv2d, Conv2d),
    dtype: DType,
    bytes: u64,
}

impl LineDetector {
    /// Opens a file of weights.
    pub fn open(path: &Path, dtype: DType, device: &Device) -> Result<Self> {
        Self::load(open_weights(path)?, dtype, device)
    }

    /// From weights.
    pub fn load(source: Arc<dyn Source>, dtype: DType, device: &Device) -> Result<Self> {
        let weights = Weights::new(source, dtype, device);
        let features = weights.at("backbone.features");
        let halving = ConvConfig {
            stride: 2,
            padding: [0, 1, 0, 1],
        };
        let block = |index: usize| Inverted::load(&features.at(index), HALVING.contains(&index));
        let joints = [(15, false), (17, true), (19, true), (21, true)];
        let last = weights.at("block23");
        let (far, shift) = Norm::load(&last.at("conv1.1"), EPS)?.into_weights(&last.at("conv1.0"), 0)?;
        Ok(Self {
            first: conv_norm(&features.at("0.0"), &features.at("0.1"), EPS, halving)?,
            blocks: (1..=SEEN[4]).map(block).collect::<Result<_>>()?,
            joints: joints
                .iter()
                .map(|(index, doubles)| Joint::load(&weights, *index, *doubles))
                .collect::<Result<_>>()?,
            last: (
                Dilated::new(&far, Some(shift), 5)?,
                conv_norm(&last.at("conv2.0"), &last.at("conv2.1"), EPS, ConvConfig::padded(1))?,
                conv(&last.at("conv3"))?,
            ),
            dtype,
            bytes: weights.bytes_loaded(),
        })
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// For `x [1, 4, h, w]` (red, green, blue and ones, brought from 0..255 to -1..1; sides multiples of [`MULTIPLE`]) at half the size: whether
    /// a line's middle is there, before the logistic function, then the way to its start and its end, across and down.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        multiples_of(MULTIPLE, x)?;
        let mut x = relu6(&self.first.forward(&x.to_dtype(self.dtype)?)?)?;
        let mut seen = Vec::new();
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x)?;
            if SEEN.contains(&(i + 1)) {
                seen.push(x.clone());
            }
        }
        for (joint, fine) in self.joints.iter().zip(seen[..4].iter().rev()) {
            x = joint.forward(fine, &x)?;
        }
        let (far, near, last) = &self.last;
        let y = last.forward(&relu(&near.forward(&relu(&far.forward(&x)?)?)?)?)?;
        Ok(y.narrow(1, SKIPPED, y.dim(1)?.saturating_sub(SKIPPED))?)
    }

    /// The lines of a picture whose middle is likelier than `score` and that are longer than `length` half pixels. `samples` are its red, green and
    /// blue, `width`×`height` of them.
    pub fn lines(&self, samples: &[u8], width: usize, height: usize, score: f32, length: f32, device: &Device) -> Result<Vec<Line>> {
        let pixels = width * height;
        let scale = |v: f32| v / 127.5 - 1.0;
        let mut planes: Vec<f32> = (0..3)
            .flat_map(|band| samples.iter().skip(band).step_by(3).map(move |v| scale(f32::from(*v))))
            .collect();
        planes.resize(4 * pixels, scale(1.0));
        let x = Tensor::from_vec(planes, (1, 4, height, width), &Device::Cpu)?.to_device(device)?;
        let map = self.forward(&x)?.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
        let (_, channels, h, w) = map.dims4()?;
        if channels < 5 {
            return Err(ModelError::Input(format!(
                "the network gives {channels} channels, expected 5 and more"
            )));
        }
        let map: Vec<f32> = map.contiguous()?.flatten_all()?.to_vec1()?;
        Ok(read_lines(&map, h, w, score, length))
    }
}

/// Lines in a map of scores and displacements.
fn read_lines(map: &[f32], h: usize, w: usize, score: f32, length: f32) -> Vec<Line> {
    let heat: Vec<f32> = map[..h * w].iter().map(|v| 1.0 / (1.0 + (-v).exp())).collect();
    let is_peak = |y: usize, x: usize| {
        let rows = y.saturating_sub(1)..(y + 2).min(h);
        rows.into_iter().all(|row| {
            heat[row * w..][x.saturating_sub(1)..(x + 2).min(w)]
                .iter()
                .all(|v| *v <= heat[y * w + x])
        })
    };
    let mut peaks: Vec<(f32, usize)> = (0..h * w)
        .filter(|at| heat[*at] > score && is_peak(at / w, at % w))
        .map(|at| (heat[at], at))
        .collect();
    peaks.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    peaks.truncate(MOST_LINES);
    let at = |channel: usize, place: usize| map[channel * h * w + place];
    let mut lines = Vec::new();
    for (_, place) in peaks {
        let [sx, sy, ex, ey] = [1, 2, 3, 4].map(|channel| at(channel, place));
        if ((sx - ex).powi(2) + (sy - ey).powi(2)).sqrt() > length {
            let (x, y) = ((place % w) as f32, (place / w) as f32);
            lines.push(Line {
                start: (2.0 * (x + sx), 2.0 * (y + sy)),
                end: (2.0 * (x + ex), 2.0 * (y + ey)),
            });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_from_peaks() {
        let (h, w) = (4, 5);
        let mut map = vec![0.0; 5 * h * w];
        map[..h * w].fill(-9.0);
        // Two neighbours of which the larger counts, and one alone whose line is too short.
        (map[7], map[8], map[15]) = (1.0, 2.0, 3.0);
        for (channel, value) in [(1, -10.0), (2, 0.5), (3, 12.0), (4, -0.5)] {
            map[channel * h * w + 8] = value;
        }
        let lines = read_lines(&map, h, w, 0.1, 20.0);
        assert_eq!(
            lines,
            [Line {
                start: (2.0 * (3.0 - 10.0), 2.0 * 1.5),
                end: (2.0 * 15.0, 2.0 * 0.5),
            }]
        );
        assert_eq!(read_lines(&map, h, w, 0.1, -1.0).len(), 2);
        assert!(read_lines(&map, h, w, 0.99, 20.0).is_empty());
    }
}
