//! What `config.json` says of a detector. Widths are read from the weights.

use serde::Deserialize;
use serde_json::Value;

use crate::diffusion::{Result, weights::Weights};

/// The most attention heads that a config may ask for.
const MOST_HEADS: usize = 256;
/// The most layers of one kind that a config may ask for.
const MOST_LAYERS: usize = 64;
/// The longest text that a config may ask for, in tokens.
const LONGEST_TEXT: usize = 4096;

/// What `config.json` says; what it leaves out is as in the smaller published model.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    pub(super) encoder_layers: usize,
    pub(super) decoder_layers: usize,
    pub(super) encoder_attention_heads: usize,
    pub(super) decoder_attention_heads: usize,
    pub(super) layer_norm_eps: f64,
    /// The longest text, in tokens.
    pub(super) max_text_len: usize,
    pub(super) positional_embedding_temperature: f64,
    /// Whether all layers of the decoder refine boxes by the same weights.
    pub(super) decoder_bbox_embed_share: bool,
    activation_function: String,
    position_embedding_type: String,
    two_stage: bool,
    pub(super) text_config: TextConfig,
    pub(super) backbone_config: BackboneConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            encoder_layers: 6,
            decoder_layers: 6,
            encoder_attention_heads: 8,
            decoder_attention_heads: 8,
            layer_norm_eps: 1e-5,
            max_text_len: 256,
            positional_embedding_temperature: 20.0,
            decoder_bbox_embed_share: true,
            activation_function: "relu".into(),
            position_embedding_type: "sine".into(),
            two_stage: true,
            text_config: TextConfig::default(),
            backbone_config: BackboneConfig::default(),
        }
    }
}

/// The text encoder's part.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(super) struct TextConfig {
    model_type: String,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) layer_norm_eps: f64,
    hidden_act: String,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            model_type: "bert".into(),
            num_hidden_layers: 12,
            num_attention_heads: 12,
            layer_norm_eps: 1e-12,
            hidden_act: "gelu".into(),
        }
    }
}

/// The backbone's part.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(super) struct BackboneConfig {
    model_type: String,
    /// How many layers each stage has.
    pub(super) depths: Vec<usize>,
    pub(super) layer_norm_eps: f64,
    hidden_act: String,
    use_absolute_embeddings: bool,
}

impl Default for BackboneConfig {
    fn default() -> Self {
        Self {
            model_type: "swin".into(),
            depths: vec![2, 2, 6, 2],
            layer_norm_eps: 1e-5,
            hidden_act: "gelu".into(),
            use_absolute_embeddings: false,
        }
    }
}

impl Config {
    /// From the JSON of a model's config; `weights` are named in errors.
    pub(super) fn parse(config: &Value, weights: &Weights) -> Result<Self> {
        let config: Self = serde_json::from_value(config.clone()).map_err(|e| weights.corrupt(format!("config.json: {e}")))?;
        let refuse = |field: &str, expected: &str| Err(weights.corrupt(format!("config.json: `{field}` must be {expected}")));
        let (text, backbone) = (&config.text_config, &config.backbone_config);
        let texts = [
            ("activation_function", &config.activation_function, "relu"),
            ("position_embedding_type", &config.position_embedding_type, "sine"),
            ("text_config.model_type", &text.model_type, "bert"),
            ("text_config.hidden_act", &text.hidden_act, "gelu"),
            ("backbone_config.model_type", &backbone.model_type, "swin"),
            ("backbone_config.hidden_act", &backbone.hidden_act, "gelu"),
        ];
        if let Some((field, _, expected)) = texts.into_iter().find(|(_, found, expected)| found.as_str() != *expected) {
            return refuse(field, &format!("`{expected}`"));
        }
        if !config.two_stage {
            return refuse("two_stage", "true");
        }
        if backbone.use_absolute_embeddings {
            return refuse("backbone_config.use_absolute_embeddings", "false");
        }
        // Text and picture look at each other, and text at itself, with half as many heads.
        if !config.encoder_attention_heads.is_multiple_of(2) {
            return refuse("encoder_attention_heads", "even");
        }
        let heads = [
            ("encoder_attention_heads", config.encoder_attention_heads),
            ("decoder_attention_heads", config.decoder_attention_heads),
            ("text_config.num_attention_heads", text.num_attention_heads),
        ];
        if let Some((field, _)) = heads.into_iter().find(|(_, n)| !(1..=MOST_HEADS).contains(n)) {
            return refuse(field, &format!("from 1 to {MOST_HEADS}"));
        }
        let layers = [
            ("encoder_layers", config.encoder_layers),
            ("decoder_layers", config.decoder_layers),
            ("text_config.num_hidden_layers", text.num_hidden_layers),
            ("backbone_config.depths", backbone.depths.len()),
        ];
        let mut layers = layers
            .into_iter()
            .chain(backbone.depths.iter().map(|n| ("backbone_config.depths", *n)));
        if let Some((field, _)) = layers.find(|(_, n)| !(1..=MOST_LAYERS).contains(n)) {
            return refuse(field, &format!("from 1 to {MOST_LAYERS}"));
        }
        if !(1..=LONGEST_TEXT).contains(&config.max_text_len) {
            return refuse("max_text_len", &format!("from 1 to {LONGEST_TEXT}"));
        }
        let small = [
            ("layer_norm_eps", config.layer_norm_eps),
            ("text_config.layer_norm_eps", text.layer_norm_eps),
            ("backbone_config.layer_norm_eps", backbone.layer_norm_eps),
        ];
        if let Some((field, _)) = small.into_iter().find(|(_, eps)| !(*eps > 0.0 && *eps <= 1.0)) {
            return refuse(field, "above 0, at most 1");
        }
        if !(config.positional_embedding_temperature >= 1.0 && config.positional_embedding_temperature <= 1e6) {
            return refuse("positional_embedding_temperature", "from 1 to 1000000");
        }
        Ok(config)
    }
}
