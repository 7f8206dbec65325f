//! Picture and text get to know each other: in each layer they look at each other, the text looks at itself, and each pixel at a few places.

use candle_core::Tensor;

use super::{
    config::Config,
    layers::{Attention, Deformable, FeedForward, divides, outputs, waves},
    neck::Scene,
    text::Phrases,
};
use crate::diffusion::{
    ModelError, Result,
    ops::{AttentionMask, LayerNorm, Linear, attention},
    weights::Weights,
};

/// The longest wave of the text's positions.
const TEMPERATURE: f32 = 10000.0;

/// What the text is.
#[derive(Debug)]
pub(super) struct Words {
    /// `[1, n, width]`
    pub(super) tokens: Tensor,
    /// Where each token lies within its phrase: `[1, n, width]`.
    positions: Tensor,
    /// Which tokens see each other: `[1, n, n]`.
    mask: Tensor,
}

impl Words {
    /// `tokens [1, n, width]` of phrases, `mask` being theirs.
    pub(super) fn new(tokens: Tensor, phrases: &Phrases, mask: Tensor) -> Result<Self> {
        let (_, n, width) = tokens.dims3()?;
        let mut rows = Vec::with_capacity(n * width);
        for place in &phrases.places {
            waves(*place as f32 * std::f32::consts::TAU, width, TEMPERATURE, &mut rows);
        }
        let positions = Tensor::from_vec(rows, (1, n, width), tokens.device())?.to_dtype(tokens.dtype())?;
        Ok(Self { tokens, positions, mask })
    }
}

/// A product whose outputs are scaled by `scale [outputs]`.
fn scaled(weights: &Weights, inputs: usize, scale: &Tensor) -> Result<Linear> {
    let outputs = scale.elem_count();
    let weight = weights.get("weight", &[outputs, inputs])?.broadcast_mul(&scale.unsqueeze(1)?)?;
    Ok(Linear::new(weight, Some((weights.get("bias", &[outputs])? * scale)?))?)
}

/// Picture and text look at each other.
#[derive(Debug)]
struct Fusion {
    norms: [LayerNorm; 2],
    /// What is compared, and what is seen: of the picture, of the text.
    inner: [Linear; 2],
    out: [Linear; 2],
    heads: usize,
}

impl Fusion {
    fn load(weights: &Weights, width: usize, heads: usize, eps: f64) -> Result<Self> {
        let attn = weights.at("attn");
        let inner = outputs(&attn, "vision_proj")?;
        divides(&attn, inner, heads)?;
        let scale = |name: &str| weights.get(name, &[width]);
        Ok(Self {
            norms: [
                weights.at("layer_norm_vision").layer_norm(width, eps)?,
                weights.at("layer_norm_text").layer_norm(width, eps)?,
            ],
            inner: [
                attn.joint(&["vision_proj", "values_vision_proj"], width, inner)?,
                attn.joint(&["text_proj", "values_text_proj"], width, inner)?,
            ],
            out: [
                scaled(&attn.at("out_vision_proj"), inner, &scale("vision_param")?)?,
                scaled(&attn.at("out_text_proj"), inner, &scale("text_param")?)?,
            ],
            heads,
        })
    }

    fn forward(&self, pixels: &Tensor, tokens: &Tensor) -> Result<(Tensor, Tensor)> {
        let (pixels, tokens) = (self.norms[0].forward(pixels)?, self.norms[1].forward(tokens)?);
        let (picture, text) = (self.inner[0].forward(&pixels)?, self.inner[1].forward(&tokens)?);
        let width = picture.dim(2)? / 2;
        let part = |x: &Tensor, i: usize| x.narrow(2, i * width, width);
        let look = |from: &Tensor, to: &Tensor| attention(&part(from, 0)?, &part(to, 0)?, &part(to, 1)?, self.heads, AttentionMask::None);
        let (seen, read) = (look(&picture, &text)?, look(&text, &picture)?);
        Ok((self.out[0].forward_add(&seen, &pixels)?, self.out[1].forward_add(&read, &tokens)?))
    }
}

#[derive(Debug)]
struct Layer {
    fusion: Fusion,
    read: Attention,
    understand: FeedForward,
    look: Deformable,
    recognise: FeedForward,
}

impl Layer {
    fn load(weights: &Weights, width: usize, levels: usize, config: &Config) -> Result<Self> {
        let (heads, eps) = (config.encoder_attention_heads, config.layer_norm_eps);
        let (text, picture) = (weights.at("text_enhancer_layer"), weights.at("deformable_layer"));
        let norm = picture.at("self_attn_layer_norm");
        Ok(Self {
            fusion: Fusion::load(&weights.at("fusion_layer"), width, heads / 2, eps)?,
            read: Attention::load(&text.at("self_attn"), &text.at("layer_norm_before"), width, heads / 2, eps)?,
            understand: FeedForward::load(&text, "layer_norm_after", width, eps)?,
            look: Deformable::load(&picture.at("self_attn"), &norm, width, heads, levels, eps)?,
            recognise: FeedForward::load(&picture, "final_layer_norm", width, eps)?,
        })
    }

    fn forward(&self, scene: &mut Scene, words: &mut Words) -> Result<()> {
        let (pixels, tokens) = self.fusion.forward(&scene.pixels, &words.tokens)?;
        let queries = (&tokens + &words.positions)?;
        let mask = AttentionMask::Bias(&words.mask);
        let tokens = self.read.forward(&tokens, &queries, &queries, &tokens, mask)?;
        words.tokens = self.understand.forward(&tokens)?;
        let queries = (&pixels + &scene.positions)?;
        let pixels = self.look.forward(&pixels, &queries, &scene.places, &pixels, &scene.sizes)?;
        scene.pixels = self.recognise.forward(&pixels)?;
        Ok(())
    }
}

/// The encoder.
#[derive(Debug)]
pub(super) struct Encoder(Vec<Layer>);

impl Encoder {
    pub(super) fn load(weights: &Weights, width: usize, levels: usize, config: &Config) -> Result<Self> {
        let layer = |i: usize| Layer::load(&weights.at("layers").at(i), width, levels, config);
        Ok(Self((0..config.encoder_layers).map(layer).collect::<Result<_>>()?))
    }

    /// Changes both. `between` is asked before each layer whether to go on.
    pub(super) fn forward<E: From<ModelError>>(
        &self,
        scene: &mut Scene,
        words: &mut Words,
        between: &dyn Fn() -> Result<(), E>,
    ) -> Result<(), E> {
        for layer in &self.0 {
            between()?;
            layer.forward(scene, words)?;
        }
        Ok(())
    }
}
