//! `PLKSR` and `RealPLKSR`: blocks in which a part of the channels sees far, by one large kernel.

use candle_core::{DType, Device, Tensor};

use super::{
    Network, Shape,
    compact::scale_of,
    walk::{Between, walk},
};
use crate::{
    diffusion::{
        Result,
        ops::{
            Conv2d, GroupNorm, LayerNorm, add, cat_channels, channels_first, enlarge_nearest, gelu, mish, pixel_shuffle, pixels_as_tokens,
            sigmoid, tokens_as_pixels,
        },
        weights::Weights,
    },
    vision::layers::conv,
};

/// Groups of the normalisation that ends the blocks of `RealPLKSR`; the files do not say.
const GROUPS: usize = 4;

#[derive(Debug)]
struct Block {
    norm_in: Option<LayerNorm>,
    mixers: [Conv2d; 2],
    far: Conv2d,
    attention: Option<Conv2d>,
    refine: Conv2d,
    norm_out: Option<GroupNorm>,
    /// `RealPLKSR` has Mish where the first has GELU.
    is_real: bool,
}

impl Block {
    fn load(weights: &Weights, width: usize, is_real: bool) -> Result<Self> {
        // The first network's files spell it so.
        let mixer = weights.at(if is_real { "channel_mixer" } else { "channe_mixer" });
        let far = conv(&weights.at("lk.conv"))?;
        if far.out_channels() > width {
            return Err(weights.corrupt("its large kernels have more channels than there are"));
        }
        let (norm_in, norm_out, attention) = (weights.at("layer_norm"), weights.at("norm"), weights.at("attn.f.0"));
        Ok(Self {
            norm_in: norm_in.has("weight").then(|| norm_in.layer_norm(width, 1e-6)).transpose()?,
            mixers: [conv(&mixer.at(0))?, conv(&mixer.at(2))?],
            far,
            attention: attention.has("weight").then(|| conv(&attention)).transpose()?,
            refine: conv(&weights.at("refine"))?,
            norm_out: norm_out
                .has("weight")
                .then(|| norm_out.group_norm(GROUPS, width, 1e-5))
                .transpose()?,
            is_real,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, width, h, w) = x.dims4()?;
        let start = match &self.norm_in {
            Some(norm) => tokens_as_pixels(&norm.forward(&pixels_as_tokens(x)?)?, h, w)?,
            None => x.clone(),
        };
        let mixed = self.mixers[0].forward(&start)?;
        let mixed = if self.is_real { mish(&mixed)? } else { gelu(&mixed)? };
        let mut y = self.mixers[1].forward(&mixed)?;
        let part = self.far.out_channels();
        let far = self.far.forward(&y.narrow(1, 0, part)?)?;
        y = if part < width {
            cat_channels(&far, &y.narrow(1, part, width - part)?)?
        } else {
            far
        };
        if let Some(attention) = &self.attention {
            y = (sigmoid(&attention.forward(&y)?)? * &y)?;
        }
        y = self.refine.forward(&y)?;
        if let Some(norm) = &self.norm_out {
            y = norm.forward(&y)?;
        }
        Ok(add(&y, x)?)
    }
}

/// Enlarges by looking, for each new pixel, at a place that it was taught to look at (`DySample`).
#[derive(Debug)]
pub(super) struct Sampler {
    offset: Conv2d,
    scope: Conv2d,
    /// Where each new pixel of a pixel looks at first.
    start: Vec<f32>,
    groups: usize,
    last: Option<Conv2d>,
}

impl Sampler {
    pub(super) fn load(weights: &Weights, scale: usize) -> Result<Self> {
        let offset = conv(&weights.at("offset"))?;
        let groups = offset.out_channels() / (2 * scale * scale).max(1);
        let start: Vec<f32> = weights.read("init_pos")?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let inputs = weights.require("offset.weight")?[1];
        if groups == 0 || !inputs.is_multiple_of(groups) || start.len() != offset.out_channels() {
            return Err(weights.corrupt(format!("`{}` does not divide into groups", weights.path())));
        }
        let last = weights.at("end_conv");
        Ok(Self {
            offset,
            scope: conv(&weights.at("scope"))?,
            start,
            groups,
            last: last.has("weight").then(|| conv(&last)).transpose()?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, scale: usize) -> Result<Tensor> {
        let (_, c, h, w) = x.dims4()?;
        let offsets = (self.offset.forward(x)? * sigmoid(&self.scope.forward(x)?)?)?;
        let flat = |x: &Tensor| -> Result<Vec<f32>> {
            let x = channels_first(&x.to_dtype(DType::F32)?.to_device(&Device::Cpu)?)?;
            Ok(x.flatten_all()?.to_vec1()?)
        };
        let (offsets, from) = (flat(&offsets)?, flat(x)?);
        let (tall, broad, each) = (h * scale, w * scale, c / self.groups);
        let mut to = vec![0.0; c * tall * broad];
        for group in 0..self.groups {
            for y in 0..tall {
                for x in 0..broad {
                    let (row, column) = (y / scale, x / scale);
                    let place = |axis: usize, at: usize, most: usize| {
                        let channel = (axis * self.groups + group) * scale * scale + y % scale * scale + x % scale;
                        let offset = offsets[(channel * h + row) * w + column] * 0.5 + self.start[channel];
                        (at as f32 + offset).clamp(0.0, most as f32 - 1.0)
                    };
                    let (px, py) = (place(0, column, w), place(1, row, h));
                    let (left, top) = (px as usize, py as usize);
                    let (right, bottom) = ((left + 1).min(w - 1), (top + 1).min(h - 1));
                    let (fx, fy) = (px - left as f32, py - top as f32);
                    for k in group * each..(group + 1) * each {
                        let at = |y: usize, x: usize| from[(k * h + y) * w + x];
                        let upper = at(top, left) * (1.0 - fx) + at(top, right) * fx;
                        let lower = at(bottom, left) * (1.0 - fx) + at(bottom, right) * fx;
                        to[(k * tall + y) * broad + x] = upper * (1.0 - fy) + lower * fy;
                    }
                }
            }
        }
        let y = Tensor::from_vec(to, (1, c, tall, broad), &Device::Cpu)?;
        let y = y.to_dtype(x.dtype())?.to_device(x.device())?;
        Ok(match &self.last {
            Some(last) => last.forward(&y)?,
            None => y,
        })
    }
}

/// The network.
#[derive(Debug)]
pub(super) struct Plksr {
    first: Conv2d,
    blocks: Vec<Block>,
    last: Conv2d,
    sampler: Option<Sampler>,
    shape: Shape,
}

impl Plksr {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let feats = weights.at("feats");
        let is_real = feats.has("1.channel_mixer.0.weight");
        let first = conv(&feats.at(0))?;
        let channels = feats.require("0.weight")?[1];
        let mut blocks = Vec::new();
        while feats.has(&format!("{}.lk.conv.weight", blocks.len() + 1)) {
            blocks.push(Block::load(&feats.at(blocks.len() + 1), first.out_channels(), is_real)?);
        }
        // A layer that drops channels in training stands before the last one of the second network.
        let last = conv(&feats.at(blocks.len() + if is_real { 2 } else { 1 }))?;
        let scale = scale_of(&last, channels, weights)?;
        let sampler = weights.at("to_img");
        Ok(Self {
            first,
            blocks,
            last,
            sampler: sampler.has("init_pos").then(|| Sampler::load(&sampler, scale)).transpose()?,
            shape: Shape {
                scale,
                channels,
                minimum: 0,
                multiple: 1,
            },
        })
    }
}

impl Network for Plksr {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn forward(&self, x: &Tensor, between: Between<'_>) -> Result<Tensor> {
        let scale = self.shape.scale;
        let y = walk(self.first.forward(x)?, &self.blocks, between, |y, block| block.forward(&y))?;
        between()?;
        let y = self.last.forward(&y)?;
        let Some(sampler) = &self.sampler else {
            return Ok(add(&pixel_shuffle(&y, scale)?, &enlarge_nearest(x, scale)?)?);
        };
        // Each channel of the picture for every new pixel.
        let copies: Vec<u32> = (0..y.dim(1)?).map(|i| (i / (scale * scale)) as u32).collect();
        let count = copies.len();
        let repeated = x.contiguous()?.index_select(&Tensor::from_vec(copies, count, x.device())?, 1)?;
        let y = add(&y, &repeated)?;
        between()?;
        sampler.forward(&y, scale)
    }
}
