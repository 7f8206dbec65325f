//! Boxes: those pixels that are most like the text propose some, and a decoder moves each to where a thing is.

use candle_core::Tensor;

use super::{
    config::Config,
    layers::{Attention, Deformable, FeedForward, Head, to_rows, waves},
    neck::Scene,
};
use crate::diffusion::{
    ModelError, Result,
    ops::{AttentionMask, LayerNorm, Linear},
    weights::Weights,
};

/// The most boxes that a file may have the decoder look for.
const MOST_QUERIES: usize = 1 << 14;
/// Proposals nearer than this to an edge of the picture, or as small or large, do not count.
const MARGIN: f32 = 0.01;
/// Side of what a pixel of the largest picture proposes; those of the next are twice as large.
const PROPOSED: f32 = 0.05;
/// Keeps what is turned back into scores off 0 and 1.
const NEAR: f32 = 1e-5;
/// The longest wave of the boxes' positions.
const TEMPERATURE: f32 = 10000.0;

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The other way round.
fn logit(x: f32) -> f32 {
    let x = x.clamp(NEAR, 1.0 - NEAR);
    (x / (1.0 - x)).ln()
}

/// How much `x [n, width]` is like each of `tokens [1, m, width]`: `[n, m]`.
fn likeness(x: &Tensor, tokens: &Tensor) -> Result<Tensor> {
    Ok(x.matmul(&tokens.squeeze(0)?.t()?)?)
}

/// Which pixels propose boxes, and which ones.
#[derive(Debug)]
struct Proposals {
    out: Linear,
    norm: LayerNorm,
    head: Head,
}

impl Proposals {
    /// Rows of `count` boxes: x and y of the centre, width and height, as shares of the picture's.
    fn choose(&self, scene: &Scene, tokens: &Tensor, count: usize) -> Result<Vec<f32>> {
        let (proposed, counts) = Self::grid(&scene.sizes);
        let n = counts.len();
        if n < count {
            return Err(ModelError::Input(format!(
                "the picture is too narrow to look for things: {n} places are seen of it, expected at least {count}"
            )));
        }
        let device = scene.pixels.device();
        let counts = Tensor::from_vec(counts, (1, n, 1), device)?.to_dtype(scene.pixels.dtype())?;
        let pixels = self
            .norm
            .forward(&self.out.forward(&scene.pixels.broadcast_mul(&counts)?)?)?
            .squeeze(0)?;
        let best = to_rows(&likeness(&pixels, tokens)?.max(1)?)?;
        let mut order: Vec<u32> = (0..n as u32).collect();
        order.sort_by(|a, b| best[*b as usize].total_cmp(&best[*a as usize]));
        order.truncate(count);
        let chosen = pixels.index_select(&Tensor::new(order.as_slice(), device)?, 0)?;
        let moved = to_rows(&self.head.forward(&chosen)?)?;
        let places = order.iter().flat_map(|i| &proposed[*i as usize]);
        Ok(moved.iter().zip(places).map(|(by, place)| sigmoid(by + place)).collect())
    }

    /// For each pixel the box that it proposes, as scores, and 1 if it counts, 0 else.
    fn grid(sizes: &[[usize; 2]]) -> (Vec<[f32; 4]>, Vec<f32>) {
        let (mut boxes, mut counts) = (Vec::new(), Vec::new());
        for (level, &[h, w]) in sizes.iter().enumerate() {
            let side = PROPOSED * f32::powi(2.0, level as i32);
            for i in 0..h * w {
                let place = [(i % w) as f32 + 0.5, (i / w) as f32 + 0.5];
                let proposed = [place[0] / w as f32, place[1] / h as f32, side, side];
                let valid = proposed.iter().all(|v| *v > MARGIN && *v < 1.0 - MARGIN);
                boxes.push(if valid {
                    proposed.map(|v| (v / (1.0 - v)).ln())
                } else {
                    [f32::INFINITY; 4]
                });
                counts.push(f32::from(u8::from(valid)));
            }
        }
        (boxes, counts)
    }
}

#[derive(Debug)]
struct Layer {
    compare: Attention,
    read: Attention,
    look: Deformable,
    recognise: FeedForward,
}

impl Layer {
    fn load(weights: &Weights, width: usize, levels: usize, config: &Config) -> Result<Self> {
        let (heads, eps) = (config.decoder_attention_heads, config.layer_norm_eps);
        let attention = |name: &str| Attention::load(&weights.at(name), &weights.at(format!("{name}_layer_norm")), width, heads, eps);
        let norm = weights.at("encoder_attn_layer_norm");
        Ok(Self {
            compare: attention("self_attn")?,
            read: attention("encoder_attn_text")?,
            look: Deformable::load(&weights.at("encoder_attn"), &norm, width, heads, levels, eps)?,
            recognise: FeedForward::load(weights, "final_layer_norm", width, eps)?,
        })
    }

    /// `x [1, n, width]` at `boxes [n, 4]`, whose waves are `positions [1, n, width]`.
    fn forward(&self, x: &Tensor, positions: &Tensor, boxes: &Tensor, scene: &Scene, tokens: &Tensor) -> Result<Tensor> {
        let queries = (x + positions)?;
        let x = self.compare.forward(x, &queries, &queries, x, AttentionMask::None)?;
        let x = self.read.forward(&x, &(&x + positions)?, tokens, tokens, AttentionMask::None)?;
        let queries = (&x + positions)?;
        let x = self.look.forward(&x, &queries, boxes, &scene.pixels, &scene.sizes)?;
        self.recognise.forward(&x)
    }
}

/// What the decoder found.
#[derive(Debug)]
pub struct Candidates {
    /// How much each box is like each token of the text, as a logit: `[boxes, tokens]`.
    pub logits: Tensor,
    /// For each box x and y of its centre, width and height, as shares of the picture's width and height: `[boxes, 4]`.
    pub boxes: Tensor,
}

/// The decoder.
#[derive(Debug)]
pub(super) struct Decoder {
    proposals: Proposals,
    /// `[1, n, width]`: what looks for things at first.
    queries: Tensor,
    positions: Head,
    layers: Vec<Layer>,
    /// Of each layer.
    refine: Vec<Head>,
    norm: LayerNorm,
}

impl Decoder {
    /// `weights` is the whole model's.
    pub(super) fn load(weights: &Weights, width: usize, levels: usize, config: &Config) -> Result<Self> {
        const QUERIES: &str = "query_position_embeddings.weight";
        let (model, eps) = (weights.at("model"), config.layer_norm_eps);
        let own = model.at("decoder");
        let count_of_queries = match model.require(QUERIES)?.as_slice() {
            [n, _] if (1..=MOST_QUERIES).contains(n) => *n,
            other => {
                return Err(weights.corrupt(format!(
                    "`model.{QUERIES}` has shape {other:?}, expected 1 to {MOST_QUERIES} rows of {width}"
                )));
            }
        };
        let layers = (0..config.decoder_layers)
            .map(|i| Layer::load(&own.at("layers").at(i), width, levels, config))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            proposals: Proposals {
                out: model.at("enc_output").linear(width, width)?,
                norm: model.at("enc_output_norm").layer_norm(width, eps)?,
                head: Head::load(&model.at("encoder_output_bbox_embed"), width, 4, 3)?,
            },
            queries: model.get(QUERIES, &[count_of_queries, width])?.unsqueeze(0)?,
            positions: Head::load(&own.at("reference_points_head"), 2 * width, width, 2)?,
            refine: Self::heads(weights, width, layers.len(), config.decoder_bbox_embed_share)?,
            layers,
            norm: own.at("layer_norm").layer_norm(width, eps)?,
        })
    }

    /// The heads that move boxes, one for each layer. What is one for all layers, or has two names, is in a file under any of its names.
    fn heads(weights: &Weights, width: usize, layers: usize, shared: bool) -> Result<Vec<Head>> {
        let named = |i: usize| ["bbox_embed", "model.decoder.bbox_embed"].map(|name| weights.at(name).at(i));
        let there = |weights: &Weights| weights.has("layers.0.weight");
        let load = |weights: &Weights| Head::load(weights, width, 4, 3);
        if shared {
            let found = (0..layers).flat_map(named).find(there);
            return Ok(vec![load(&found.unwrap_or_else(|| weights.at("bbox_embed.0")))?; layers]);
        }
        let head = |i: usize| {
            let [first, second] = named(i);
            load(if !there(&first) && there(&second) { &second } else { &first })
        };
        (0..layers).map(head).collect()
    }

    /// Boxes in `scene` and how much they are like `tokens [1, m, width]`. `between` is asked before each layer whether to go on.
    pub(super) fn forward<E: From<ModelError>>(
        &self,
        scene: &Scene,
        tokens: &Tensor,
        between: &dyn Fn() -> Result<(), E>,
    ) -> Result<Candidates, E> {
        let mut boxes = self.propose(scene, tokens)?;
        let mut x = self.queries.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            between()?;
            x = self.step(layer, &x, &boxes, scene, tokens)?;
            if i + 1 < self.layers.len() {
                boxes = self.moved(i, &x, &boxes)?;
            }
        }
        Ok(self.finish(&x, &boxes, tokens)?)
    }

    fn propose(&self, scene: &Scene, tokens: &Tensor) -> Result<Vec<f32>> {
        self.proposals.choose(scene, tokens, self.queries.dim(1)?)
    }

    fn step(&self, layer: &Layer, x: &Tensor, boxes: &[f32], scene: &Scene, tokens: &Tensor) -> Result<Tensor> {
        let (_, n, width) = x.dims3()?;
        let mut rows = Vec::with_capacity(n * 2 * width);
        for place in boxes.chunks_exact(4) {
            for at in [place[1], place[0], place[2], place[3]] {
                waves(at * std::f32::consts::TAU, width / 2, TEMPERATURE, &mut rows);
            }
        }
        let made = |rows: Vec<f32>, columns: usize| Tensor::from_vec(rows, (n, columns), x.device())?.to_dtype(x.dtype());
        let positions = self.positions.forward(&made(rows, 2 * width)?.unsqueeze(0)?)?;
        layer.forward(x, &positions, &made(boxes.to_vec(), 4)?, scene, tokens)
    }

    /// Boxes moved by what layer `i` says of `x [1, n, width]`.
    fn moved(&self, i: usize, x: &Tensor, boxes: &[f32]) -> Result<Vec<f32>> {
        let by = to_rows(&self.refine[i].forward(x)?)?;
        Ok(by.iter().zip(boxes).map(|(by, place)| sigmoid(by + logit(*place))).collect())
    }

    fn finish(&self, x: &Tensor, boxes: &[f32], tokens: &Tensor) -> Result<Candidates> {
        let x = self.norm.forward(x)?;
        let boxes = self.moved(self.layers.len() - 1, &x, boxes)?;
        Ok(Candidates {
            logits: likeness(&x.squeeze(0)?, tokens)?,
            boxes: Tensor::from_vec(boxes, ((), 4), x.device())?,
        })
    }
}
