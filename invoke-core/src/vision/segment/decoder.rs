//! From features of a picture and tokens of a prompt to masks.

use candle_core::Tensor;

use super::encoder::norm_pixels;
use crate::{
    diffusion::{
        Result,
        ops::{AttentionMask, Conv2d, LayerNorm, Linear, add, attention, gelu, pixels_as_tokens, relu, tokens_as_pixels},
        weights::Weights,
    },
    vision::layers::{Enlarging, conv},
};

const EPS: f64 = 1e-6;
/// Of the last normalisation, and in the second model of all between the layers.
const OTHER_EPS: f64 = 1e-5;
const HEADS: usize = 8;

#[derive(Debug)]
struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
}

impl Attention {
    fn load(weights: &Weights, width: usize) -> Result<Self> {
        let inner = weights.require("q_proj.weight")?.first().copied().unwrap_or_default();
        Ok(Self {
            q: weights.at("q_proj").linear(width, inner)?,
            k: weights.at("k_proj").linear(width, inner)?,
            v: weights.at("v_proj").linear(width, inner)?,
            // The second model's files have the shorter name.
            out: weights
                .at(if weights.has("o_proj.weight") { "o_proj" } else { "out_proj" })
                .linear(inner, width)?,
        })
    }

    /// Added to `residual`, if there is one.
    fn forward(&self, q: &Tensor, k: &Tensor, v: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        let (q, k, v) = (self.q.forward(q)?, self.k.forward(k)?, self.v.forward(v)?);
        let seen = attention(&q, &k, &v, HEADS, AttentionMask::None)?;
        Ok(match residual {
            Some(residual) => self.out.forward_add(&seen, residual)?,
            None => self.out.forward(&seen)?,
        })
    }
}

#[derive(Debug)]
struct Layer {
    own: Attention,
    to_image: Attention,
    to_tokens: Attention,
    mlp: [Linear; 2],
    norms: [LayerNorm; 4],
}

/// Products with activations between.
#[derive(Debug)]
struct Mlp(Vec<Linear>);

impl Mlp {
    fn load(weights: &Weights) -> Result<Self> {
        let one = |part: Weights| -> Result<Linear> {
            match part.require("weight")?.as_slice() {
                [outputs, inputs] => part.linear(*inputs, *outputs),
                other => Err(weights.corrupt(format!("`{}.weight` has shape {other:?}", part.path()))),
            }
        };
        let mut layers = vec![one(weights.at("proj_in"))?];
        while weights.has(&format!("layers.{}.weight", layers.len() - 1)) {
            layers.push(one(weights.at("layers").at(layers.len() - 1))?);
        }
        layers.push(one(weights.at("proj_out"))?);
        Ok(Self(layers))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for (i, layer) in self.0.iter().enumerate() {
            if i > 0 {
                x = relu(&x)?;
            }
            x = layer.forward(&x)?;
        }
        Ok(x)
    }
}

/// The decoder.
#[derive(Debug)]
pub(super) struct Decoder {
    /// One for how good the masks are, one for a single mask, one for each of the guesses: `[n, c]`; the second model has one before them for whether
    /// there is anything at all.
    own_tokens: Tensor,
    /// Tokens before those of the guesses.
    before: usize,
    /// To the features of a quarter and of an eighth of the picture's size.
    fine: Option<[Conv2d; 2]>,
    layers: Vec<Layer>,
    last: Attention,
    last_norm: LayerNorm,
    enlarge: [Enlarging; 2],
    enlarge_norm: LayerNorm,
    /// One for each guess.
    masks: Vec<Mlp>,
}

impl Decoder {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let (iou, masks) = (weights.read("iou_token.weight")?, weights.read("mask_tokens.weight")?);
        let (count, width) = masks.dims2()?;
        let mut own_tokens = vec![iou, masks];
        let is_second = weights.has("obj_score_token.weight");
        let (between, mlp) = if is_second {
            own_tokens.insert(0, weights.read("obj_score_token.weight")?);
            (OTHER_EPS, ["mlp.proj_in", "mlp.proj_out"])
        } else {
            (EPS, ["mlp.lin1", "mlp.lin2"])
        };
        let transformer = weights.at("transformer");
        let mut layers = Vec::new();
        while transformer.has(&format!("layers.{}.self_attn.q_proj.weight", layers.len())) {
            let part = transformer.at("layers").at(layers.len());
            let inner = part.require(&format!("{}.weight", mlp[0]))?.first().copied().unwrap_or_default();
            let norm = |n: usize| part.at(format_args!("layer_norm{n}")).layer_norm(width, between);
            layers.push(Layer {
                own: Attention::load(&part.at("self_attn"), width)?,
                to_image: Attention::load(&part.at("cross_attn_token_to_image"), width)?,
                to_tokens: Attention::load(&part.at("cross_attn_image_to_token"), width)?,
                mlp: [part.at(mlp[0]).linear(width, inner)?, part.at(mlp[1]).linear(inner, width)?],
                norms: [norm(1)?, norm(2)?, norm(3)?, norm(4)?],
            });
        }
        let mask = |n: usize| Mlp::load(&weights.at("output_hypernetworks_mlps").at(n));
        Ok(Self {
            before: own_tokens.len(),
            own_tokens: Tensor::cat(&own_tokens, 0)?,
            fine: if is_second {
                Some([conv(&weights.at("conv_s0"))?, conv(&weights.at("conv_s1"))?])
            } else {
                None
            },
            layers,
            last: Attention::load(&transformer.at("final_attn_token_to_image"), width)?,
            last_norm: transformer.at("layer_norm_final_attn").layer_norm(width, OTHER_EPS)?,
            enlarge: [
                Enlarging::squares(&weights.at("upscale_conv1"))?,
                Enlarging::squares(&weights.at("upscale_conv2"))?,
            ],
            enlarge_norm: weights.at("upscale_layer_norm").layer_norm(width / 4, EPS)?,
            masks: (1..count).map(mask).collect::<Result<_>>()?,
        })
    }

    /// Finer features, as [`forward`](Self::forward) takes them.
    pub(super) fn narrowed(&self, quarter: &Tensor, eighth: &Tensor) -> Result<Option<[Tensor; 2]>> {
        Ok(match &self.fine {
            Some([first, second]) => Some([first.forward(quarter)?, second.forward(eighth)?]),
            None => None,
        })
    }

    /// Scores `[guesses, 4 h, 4 w]` for features `[1, c, h, w]`, waves of their places `[1, h * w, c]` and tokens of a prompt `[n, c]`; `fine` are
    /// features four times and twice as fine.
    pub(super) fn forward(&self, features: &Tensor, fine: Option<&[Tensor; 2]>, places: &Tensor, prompt: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = features.dims4()?;
        let tokens = Tensor::cat(&[&self.own_tokens, prompt], 0)?.unsqueeze(0)?;
        let mut image = pixels_as_tokens(features)?;
        let mut queries = tokens.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            let Layer {
                own,
                to_image,
                to_tokens,
                mlp,
                norms,
            } = layer;
            // The first layer sees the tokens for the first time: they are not added to themselves.
            let seen = if i == 0 {
                own.forward(&queries, &queries, &queries, None)?
            } else {
                let with = add(&queries, &tokens)?;
                own.forward(&with, &with, &queries, Some(&queries))?
            };
            queries = norms[0].forward(&seen)?;
            let keys = add(&image, places)?;
            let seen = to_image.forward(&add(&queries, &tokens)?, &keys, &image, Some(&queries))?;
            queries = norms[1].forward(&seen)?;
            let inner = relu(&mlp[0].forward(&queries)?)?;
            queries = norms[2].forward(&mlp[1].forward_add(&inner, &queries)?)?;
            let with = add(&queries, &tokens)?;
            image = norms[3].forward(&to_tokens.forward(&keys, &with, &queries, Some(&image))?)?;
        }
        let keys = add(&image, places)?;
        let seen = self.last.forward(&add(&queries, &tokens)?, &keys, &image, Some(&queries))?;
        let queries = self.last_norm.forward(&seen)?;
        let [first, second] = &self.enlarge;
        let mut large = first.forward(&tokens_as_pixels(&image, h, w)?)?;
        if let Some([_, eighth]) = fine {
            large = add(&large, eighth)?;
        }
        let mut large = second.forward(&gelu(&norm_pixels(&self.enlarge_norm, &large)?)?)?;
        if let Some([quarter, _]) = fine {
            large = add(&large, quarter)?;
        }
        let large = gelu(&large)?;
        let (_, _, tall, broad) = large.dims4()?;
        let mut weights = Vec::new();
        for (i, mask) in self.masks.iter().enumerate() {
            weights.push(mask.forward(&queries.narrow(1, self.before + i, 1)?.squeeze(1)?.contiguous()?)?);
        }
        let weights = Tensor::cat(&weights, 0)?;
        let scores = weights.matmul(&pixels_as_tokens(&large)?.squeeze(0)?.t()?)?;
        Ok(scores.reshape((self.masks.len(), tall, broad))?)
    }
}
