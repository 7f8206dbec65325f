//! The image encoder: a vision transformer that looks within windows, and in some layers at all of the picture.

use candle_core::{D, Tensor};

use super::windows::{join, split};
use crate::diffusion::{
    ModelError, Result,
    ops::{AttentionMask, Conv2d, ConvConfig, LayerNorm, Linear, add, attention, gelu, pixels_as_tokens, tokens_as_pixels},
    weights::Weights,
};
use crate::vision::layers::{conv, conv_with, side};

const EPS: f64 = 1e-6;
/// Biases that are made at a time: so many floats.
const AT_A_TIME: usize = 1 << 25;

#[derive(Debug)]
struct Layer {
    norms: [LayerNorm; 2],
    qkv: Linear,
    out: Linear,
    /// For each distance down and across, `[2 side - 1, width of a head]`, turned into `[side, side, width of a head]`.
    distances: [Tensor; 2],
    /// Side of the windows, or of the whole grid.
    window: usize,
    heads: usize,
    widen: Linear,
    narrow: Linear,
}

/// Distances from each place to each: `table [2 side - 1, c]` to `[side, side, c]`.
fn spread(table: &Tensor) -> Result<Tensor> {
    let (rows, c) = table.dims2()?;
    let n = rows.div_ceil(2);
    let places: Vec<u32> = (0..n * n).map(|i| (i / n + n - 1 - i % n) as u32).collect();
    let places = Tensor::from_vec(places, n * n, table.device())?;
    Ok(table.index_select(&places, 0)?.reshape((n, n, c))?)
}

impl Layer {
    fn load(weights: &Weights, width: usize) -> Result<Self> {
        let inner = weights.require("mlp.lin1.weight")?.first().copied().unwrap_or_default();
        let tables = [weights.read("attn.rel_pos_h")?, weights.read("attn.rel_pos_w")?];
        let (rows, each) = tables[0].dims2()?;
        if tables[1].dims() != [rows, each] || rows % 2 == 0 || each == 0 || !width.is_multiple_of(each) {
            return Err(weights.corrupt(format!("`{}.attn.rel_pos_h` has shape [{rows}, {each}]", weights.path())));
        }
        Ok(Self {
            norms: [
                weights.at("layer_norm1").layer_norm(width, EPS)?,
                weights.at("layer_norm2").layer_norm(width, EPS)?,
            ],
            qkv: weights.at("attn.qkv").linear(width, 3 * width)?,
            out: weights.at("attn.proj").linear(width, width)?,
            distances: [spread(&tables[0])?, spread(&tables[1])?],
            window: rows.div_ceil(2),
            heads: width / each,
            widen: weights.at("mlp.lin1").linear(width, inner)?,
            narrow: weights.at("mlp.lin2").linear(inner, width)?,
        })
    }

    /// `x [1, h * w, width]`.
    fn forward(&self, x: &Tensor, h: usize, w: usize) -> Result<Tensor> {
        let seen = self.attend(&self.norms[0].forward(x)?, h, w)?;
        let x = add(x, &seen)?;
        let inner = gelu(&self.widen.forward(&self.norms[1].forward(&x)?)?)?;
        Ok(self.narrow.forward_add(&inner, &x)?)
    }

    /// Attention within windows; zeros fill up the last ones.
    fn attend(&self, x: &Tensor, h: usize, w: usize) -> Result<Tensor> {
        let side = [self.window; 2];
        let (windows, tall, broad) = split(x, [h, w], side)?;
        join(&self.within(&windows)?, [tall, broad], side, [h, w])
    }

    /// `x [windows, n², width]`.
    fn within(&self, x: &Tensor) -> Result<Tensor> {
        let (count, pixels, width) = x.dims3()?;
        let (heads, each) = (self.heads, width / self.heads);
        let qkv = self.qkv.forward(x)?.reshape(&[count, pixels, 3, heads, each][..])?;
        let qkv = qkv
            .permute(vec![2, 0, 3, 1, 4])?
            .contiguous()?
            .reshape((3, count * heads, pixels, each))?;
        let all = count * heads;
        let step = (AT_A_TIME / (pixels * pixels)).clamp(1, all);
        let mut done = Vec::new();
        for from in (0..all).step_by(step) {
            let some = step.min(all - from);
            let part = |i: usize| -> Result<Tensor> { Ok(qkv.get(i)?.narrow(0, from, some)?) };
            let q = part(0)?;
            let bias = self.bias(&q)?;
            done.push(attention(&q, &part(1)?, &part(2)?, 1, AttentionMask::Bias(&bias))?);
        }
        let seen = Tensor::cat(&done, 0)?
            .reshape((count, heads, pixels, each))?
            .permute((0, 2, 1, 3))?
            .contiguous()?
            .reshape((count, pixels, width))?;
        Ok(self.out.forward(&seen)?)
    }

    /// What distances add to the scores of queries `q [b, n², each]`: `[b, n², n²]`.
    fn bias(&self, q: &Tensor) -> Result<Tensor> {
        let (b, pixels, each) = q.dims3()?;
        let n = self.window;
        let q = q.reshape((b, n, n, each))?;
        // By rows of queries against rows of keys, then the same by columns.
        let down = q.permute((1, 0, 2, 3))?.contiguous()?.reshape((n, b * n, each))?;
        let down = down.matmul(&self.distances[0].transpose(1, 2)?.contiguous()?)?;
        let down = down.reshape((n, b, n, n))?.permute((1, 0, 2, 3))?.contiguous()?;
        let across = q.permute((2, 0, 1, 3))?.contiguous()?.reshape((n, b * n, each))?;
        let across = across.matmul(&self.distances[1].transpose(1, 2)?.contiguous()?)?;
        let across = across.reshape((n, b, n, n))?.permute((1, 2, 0, 3))?.contiguous()?;
        let both = down.unsqueeze(D::Minus1)?.broadcast_add(&across.unsqueeze(3)?)?;
        Ok(both.reshape((b, pixels, pixels))?)
    }
}

/// The encoder.
#[derive(Debug)]
pub(super) struct Encoder {
    patches: Conv2d,
    patch: usize,
    /// `[1, grid², width]`
    positions: Tensor,
    grid: usize,
    layers: Vec<Layer>,
    neck: [(Conv2d, LayerNorm); 2],
}

/// Normalises the channels of each pixel.
pub(super) fn norm_pixels(norm: &LayerNorm, x: &Tensor) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    Ok(tokens_as_pixels(&norm.forward(&pixels_as_tokens(x)?)?, h, w)?)
}

impl Encoder {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let projection = weights.at("patch_embed.projection");
        let patch = side(&projection)?;
        let config = ConvConfig {
            stride: patch,
            padding: [0; 4],
        };
        let patches = conv_with(&projection, config)?;
        let width = patches.out_channels();
        let grid = match weights.require("pos_embed")?.as_slice() {
            [1, h, w, c] if h == w && *c == width && *h > 0 => *h,
            other => return Err(weights.corrupt(format!("its positions have shape {other:?}"))),
        };
        let mut layers = Vec::new();
        while weights.has(&format!("layers.{}.attn.qkv.weight", layers.len())) {
            layers.push(Layer::load(&weights.at("layers").at(layers.len()), width)?);
        }
        let neck = weights.at("neck");
        let part = |conv_name: &str, norm: &str| -> Result<(Conv2d, LayerNorm)> {
            let conv = conv(&neck.at(conv_name))?;
            let norm = neck.at(norm).layer_norm(conv.out_channels(), EPS)?;
            Ok((conv, norm))
        };
        Ok(Self {
            positions: weights.read("pos_embed")?.reshape((1, grid * grid, width))?,
            patches,
            patch,
            grid,
            layers,
            neck: [part("conv1", "layer_norm1")?, part("conv2", "layer_norm2")?],
        })
    }

    /// Side in pixels of what it sees.
    pub(super) fn side(&self) -> usize {
        self.patch * self.grid
    }

    /// Features `[1, c, grid, grid]` of `x [1, 3, side, side]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        if (h, w) != (self.side(), self.side()) {
            return Err(ModelError::Input(format!("a picture of {w}x{h}, expected {0}x{0}", self.side())));
        }
        let x = x.to_dtype(self.positions.dtype())?;
        let mut x = add(&pixels_as_tokens(&self.patches.forward(&x)?)?, &self.positions)?;
        for layer in &self.layers {
            x = layer.forward(&x, self.grid, self.grid)?;
        }
        let mut x = tokens_as_pixels(&x, self.grid, self.grid)?;
        for (conv, norm) in &self.neck {
            x = norm_pixels(norm, &conv.forward(&x)?)?;
        }
        Ok(x)
    }
}
