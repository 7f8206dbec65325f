//! Layers that several parts of the detector have.

use candle_core::{DType, Device, Tensor};

use crate::diffusion::{
    Result,
    ops::{AttentionMask, LayerNorm, Linear, attention, relu, sample_places},
    weights::Weights,
};

/// The most places that a file may have a query look at, all heads together.
const MOST_TAPS: usize = 1 << 12;

/// First axis of the weight of the product `name`: how many outputs it has.
pub(super) fn outputs(weights: &Weights, name: &str) -> Result<usize> {
    Ok(weights.at(name).require("weight")?.first().copied().unwrap_or_default())
}

/// Refuses a width that does not divide into heads.
pub(super) fn divides(weights: &Weights, width: usize, heads: usize) -> Result<()> {
    if width == 0 || heads == 0 || !width.is_multiple_of(heads) {
        return Err(weights.corrupt(format!("`{}`: {width} channels do not divide into {heads} heads", weights.path())));
    }
    Ok(())
}

/// Two products with an activation between, added to what they were given and normalised.
#[derive(Debug)]
pub(super) struct FeedForward {
    widen: Linear,
    narrow: Linear,
    norm: LayerNorm,
}

impl FeedForward {
    /// `weights` has `fc1`, `fc2` and the normalisation `norm`.
    pub(super) fn load(weights: &Weights, norm: &str, width: usize, eps: f64) -> Result<Self> {
        let inner = outputs(weights, "fc1")?;
        Ok(Self {
            widen: weights.at("fc1").linear(width, inner)?,
            narrow: weights.at("fc2").linear(inner, width)?,
            norm: weights.at(norm).layer_norm(width, eps)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inner = relu(&self.widen.forward(x)?)?;
        Ok(self.norm.forward(&self.narrow.forward_add(&inner, x)?)?)
    }
}

/// Attention of many heads, added to what looks and normalised.
#[derive(Debug)]
pub(super) struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    norm: LayerNorm,
    heads: usize,
}

impl Attention {
    /// `weights` has `query`, `key`, `value` and `out_proj`.
    pub(super) fn load(weights: &Weights, norm: &Weights, width: usize, heads: usize, eps: f64) -> Result<Self> {
        divides(weights, width, heads)?;
        let part = |name: &str| weights.at(name).linear(width, width);
        Ok(Self {
            query: part("query")?,
            key: part("key")?,
            value: part("value")?,
            out: part("out_proj")?,
            norm: norm.layer_norm(width, eps)?,
            heads,
        })
    }

    /// `x [1, n, width]` looks with `queries [1, n, width]` for `keys` of `values [1, m, width]`.
    pub(super) fn forward(&self, x: &Tensor, queries: &Tensor, keys: &Tensor, values: &Tensor, mask: AttentionMask<'_>) -> Result<Tensor> {
        let (q, k, v) = (self.query.forward(queries)?, self.key.forward(keys)?, self.value.forward(values)?);
        let seen = attention(&q, &k, &v, self.heads, mask)?;
        Ok(self.norm.forward(&self.out.forward_add(&seen, x)?)?)
    }
}

/// Attention at a few places of pictures of several sizes, added to what looks and normalised.
#[derive(Debug)]
pub(super) struct Deformable {
    offsets: Linear,
    scores: Linear,
    values: Linear,
    out: Linear,
    norm: LayerNorm,
    heads: usize,
}

impl Deformable {
    /// `weights` has `sampling_offsets`, `attention_weights`, `value_proj` and `output_proj`.
    pub(super) fn load(weights: &Weights, norm: &Weights, width: usize, heads: usize, levels: usize, eps: f64) -> Result<Self> {
        divides(weights, width, heads)?;
        let taps = outputs(weights, "attention_weights")?;
        if taps == 0 || taps > MOST_TAPS || !taps.is_multiple_of(heads * levels) {
            return Err(weights.corrupt(format!(
                "`{}.attention_weights` has {taps} outputs for {heads} heads and {levels} sizes",
                weights.path()
            )));
        }
        Ok(Self {
            offsets: weights.at("sampling_offsets").linear(width, 2 * taps)?,
            scores: weights.at("attention_weights").linear(width, taps)?,
            values: weights.at("value_proj").linear(width, width)?,
            out: weights.at("output_proj").linear(width, width)?,
            norm: norm.layer_norm(width, eps)?,
            heads,
        })
    }

    /// `x [1, n, width]` looks with `queries [1, n, width]` around `places [n, 2 or 4]` at `pixels [1, m, width]` of pictures of these sizes.
    pub(super) fn forward(&self, x: &Tensor, queries: &Tensor, places: &Tensor, pixels: &Tensor, sizes: &[[usize; 2]]) -> Result<Tensor> {
        let values = self.values.forward(pixels)?.squeeze(0)?;
        let (offsets, scores) = (
            self.offsets.forward(queries)?.squeeze(0)?,
            self.scores.forward(queries)?.squeeze(0)?,
        );
        let seen = sample_places(&values, sizes, self.heads, places, &offsets, &scores)?;
        Ok(self.norm.forward(&self.out.forward_add(&seen.unsqueeze(0)?, x)?)?)
    }
}

/// Products with an activation between each two.
#[derive(Debug, Clone)]
pub(super) struct Head(Vec<Linear>);

impl Head {
    /// `weights` has `layers.0` and on, all but the last of as many outputs as the first.
    pub(super) fn load(weights: &Weights, inputs: usize, outputs: usize, layers: usize) -> Result<Self> {
        let inner = self::outputs(weights, "layers.0")?;
        let width = |i: usize, end: usize, at_end: usize| if i == end { at_end } else { inner };
        let layer = |i: usize| {
            weights
                .at("layers")
                .at(i)
                .linear(width(i, 0, inputs), width(i, layers - 1, outputs))
        };
        Ok(Self((0..layers).map(layer).collect::<Result<_>>()?))
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for (i, layer) in self.0.iter().enumerate() {
            x = layer.forward(&if i == 0 { x } else { relu(&x)? })?;
        }
        Ok(x)
    }
}

/// Sines and cosines of a number at `width` wavelengths up to `temperature`, one after the other.
pub(super) fn waves(at: f32, width: usize, temperature: f32, out: &mut Vec<f32>) {
    out.extend((0..width).map(|i| {
        let angle = at / temperature.powf((2 * (i / 2)) as f32 / width as f32);
        if i % 2 == 0 { angle.sin() } else { angle.cos() }
    }));
}

/// Rows of single floats of `[..., n]`, on the CPU.
pub(super) fn to_rows(x: &Tensor) -> Result<Vec<f32>> {
    Ok(x.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?)
}
