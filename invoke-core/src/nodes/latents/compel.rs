//! Encoding prompts.

use invoke_macros::Node;
use serde::Deserialize;

use super::load;
use crate::{
    diffusion::text::{
        Conditioning, HiddenState, Inversion, Inversions, SdxlConditioning, SdxlSizes,
        compel::{self, Encoder},
        encode_sdxl, trigger_names,
    },
    nodes::{
        Invoke, ModelQuery, NodeCx, NodeEntry, NodeError, entry,
        fields::{CLIPField, ConditioningField, ModelIdentifierField, TensorField},
        outputs::ConditioningOutput,
        workbench::keep_object,
    },
};

pub(super) const NODES: &[NodeEntry] = &[entry::<Compel>(), entry::<SDXLCompelPrompt>(), entry::<SDXLRefinerCompelPrompt>()];

fn kept(cx: &dyn NodeCx, conditioning: Conditioning, mask: Option<TensorField>) -> ConditioningOutput {
    let bytes = conditioning.embeds.elem_count() * 4;
    ConditioningField {
        conditioning_name: keep_object(cx, conditioning, bytes),
        mask,
    }
    .into()
}

/// Encodes a prompt.
#[derive(Debug, Deserialize, Node)]
#[node(id = "compel", title = "Prompt - SD1.5", version = "1.2.1", category = "prompt", tags("prompt", "compel"), output = ConditioningOutput)]
struct Compel {
    #[field(default = "", component = "textarea")]
    prompt: String,
    clip: CLIPField,
    mask: Option<TensorField>,
}

impl Invoke for Compel {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ConditioningOutput, NodeError> {
        let encoder = load::text_encoder(cx, &self.clip)?;
        cx.progress("Building conditioning", None, None);
        let skip = skipped(&self.clip)?;
        let known = triggered(cx, &self.prompt, &self.clip)?;
        let inversions = inversions(&encoder, &known)?;
        let embeds = compel::encode(
            &self.prompt,
            Encoder {
                tokenizer: &encoder.tokenizer,
                model: &encoder.model,
                state: HiddenState::Last,
                skip,
                inversions: Some(&inversions),
            },
        )?;
        Ok(kept(cx, Conditioning { embeds, sdxl: None }, self.mask))
    }
}

/// The textual inversions that a prompt names between angle brackets: by key, or else by name among those of the text encoder's base. What is none,
/// is of another base or cannot be read is left to stand as text, as in the original.
fn triggered(cx: &dyn NodeCx, prompt: &str, clip: &CLIPField) -> Result<Vec<Inversion>, NodeError> {
    let names = trigger_names(prompt);
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let base = load::installed(cx, &clip.text_encoder)?.record["base"].clone();
    let mut found = Vec::new();
    for name in names {
        let record = match cx.model(&name)? {
            Some(by_key) => by_key.record,
            None => {
                let query = ModelQuery {
                    name: Some(&name),
                    base: base.as_str(),
                    kind: Some("embedding"),
                };
                let mut named = cx.find_models(query)?;
                match (named.pop(), named.is_empty()) {
                    (Some(only), true) => only,
                    (None, _) => continue,
                    (Some(_), false) => {
                        tracing::warn!(trigger = name, "several textual inversions have this name");
                        continue;
                    }
                }
            }
        };
        if record["type"] != "embedding" || record["base"] != base {
            tracing::warn!(trigger = name, "is no textual inversion for this text encoder");
            continue;
        }
        let model: ModelIdentifierField = serde_json::from_value(record).map_err(NodeError::runtime)?;
        match load::inversion(cx, &model, &name) {
            Ok(inversion) => found.push(inversion.as_ref().clone()),
            Err(NodeError::Canceled) => return Err(NodeError::Canceled),
            Err(error) => tracing::warn!(trigger = name, "a textual inversion cannot be read: {error}"),
        }
    }
    Ok(found)
}

/// Makes triggers ready for an encoder.
fn inversions(encoder: &load::TextEncoder, known: &[Inversion]) -> Result<Inversions, NodeError> {
    Ok(Inversions::new(&encoder.tokenizer, known, encoder.model.config().hidden_size)?)
}

fn skipped(clip: &CLIPField) -> Result<usize, NodeError> {
    usize::try_from(clip.skipped_layers)
        .map_err(|_| NodeError::value(format!("skipped_layers is {}, expected 0 or more", clip.skipped_layers)))
}

/// Encodes a prompt with both text encoders of SDXL.
#[derive(Debug, Deserialize, Node)]
#[node(id = "sdxl_compel_prompt", title = "Prompt - SDXL", version = "1.2.1", category = "prompt", tags("sdxl", "compel", "prompt"), output = ConditioningOutput)]
struct SDXLCompelPrompt {
    #[field(default = "", component = "textarea")]
    prompt: String,
    #[field(default = "", component = "textarea")]
    style: String,
    #[field(default = 1024)]
    original_width: i64,
    #[field(default = 1024)]
    original_height: i64,
    #[field(default = 0)]
    crop_top: i64,
    #[field(default = 0)]
    crop_left: i64,
    #[field(default = 1024)]
    target_width: i64,
    #[field(default = 1024)]
    target_height: i64,
    #[field(input = connection, title = "CLIP 1")]
    clip: CLIPField,
    #[field(input = connection)]
    clip2: CLIPField,
    mask: Option<TensorField>,
}

impl Invoke for SDXLCompelPrompt {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ConditioningOutput, NodeError> {
        let first = load::text_encoder(cx, &self.clip)?;
        let second = load::text_encoder(cx, &self.clip2)?;
        cx.progress("Building conditioning", None, None);
        let style = if self.style.trim().is_empty() { &self.prompt } else { &self.style };
        let known = [triggered(cx, &self.prompt, &self.clip)?, triggered(cx, style, &self.clip2)?];
        let inversions = [inversions(&first, &known[0])?, inversions(&second, &known[1])?];
        let one = Encoder {
            tokenizer: &first.tokenizer,
            model: &first.model,
            state: HiddenState::Penultimate,
            skip: skipped(&self.clip)?,
            inversions: Some(&inversions[0]),
        };
        let two = Encoder {
            tokenizer: &second.tokenizer,
            model: &second.model,
            skip: skipped(&self.clip2)?,
            inversions: Some(&inversions[1]),
            ..one
        };
        let sizes = SdxlSizes {
            original: (self.original_height as f32, self.original_width as f32),
            crop: (self.crop_top as f32, self.crop_left as f32),
            target: Some((self.target_height as f32, self.target_width as f32)),
            aesthetic_score: None,
        };
        Ok(kept(cx, encode_sdxl(&self.prompt, &self.style, one, two, &sizes)?, self.mask))
    }
}

/// Encodes a prompt for SDXL's refiner.
#[derive(Debug, Deserialize, Node)]
#[node(id = "sdxl_refiner_compel_prompt", title = "Prompt - SDXL Refiner", version = "1.1.2", category = "prompt", tags("sdxl", "compel", "prompt"), output = ConditioningOutput)]
struct SDXLRefinerCompelPrompt {
    #[field(default = "", component = "textarea")]
    style: String,
    #[field(default = 1024)]
    original_width: i64,
    #[field(default = 1024)]
    original_height: i64,
    #[field(default = 0)]
    crop_top: i64,
    #[field(default = 0)]
    crop_left: i64,
    #[field(default = 6.0)]
    aesthetic_score: f64,
    #[field(input = connection)]
    clip2: CLIPField,
}

impl Invoke for SDXLRefinerCompelPrompt {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ConditioningOutput, NodeError> {
        let second = load::text_encoder(cx, &self.clip2)?;
        cx.progress("Building conditioning", None, None);
        let inversions = inversions(&second, &triggered(cx, &self.style, &self.clip2)?)?;
        let encoder = Encoder {
            tokenizer: &second.tokenizer,
            model: &second.model,
            state: HiddenState::Penultimate,
            skip: skipped(&self.clip2)?,
            inversions: Some(&inversions),
        };
        let sizes = SdxlSizes {
            original: (self.original_height as f32, self.original_width as f32),
            crop: (self.crop_top as f32, self.crop_left as f32),
            target: None,
            aesthetic_score: Some(self.aesthetic_score as f32),
        };
        let embeds = compel::encode(&self.style, encoder)?;
        let pooled = compel::encode_pooled(&self.style, encoder)?;
        let time_ids = sizes.time_ids(&pooled)?;
        Ok(kept(
            cx,
            Conditioning {
                embeds,
                sdxl: Some(SdxlConditioning { pooled, time_ids }),
            },
            None,
        ))
    }
}
