//! Encoding prompts.

use invoke_macros::Node;
use serde::Deserialize;

use super::load;
use crate::{
    diffusion::text::{
        Conditioning, HiddenState, SdxlConditioning, SdxlSizes,
        compel::{self, Encoder},
        encode_sdxl,
    },
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{CLIPField, ConditioningField, TensorField},
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
        let embeds = compel::encode(
            &self.prompt,
            Encoder {
                tokenizer: &encoder.tokenizer,
                model: &encoder.model,
                state: HiddenState::Last,
                skip,
                inversions: None,
            },
        )?;
        Ok(kept(cx, Conditioning { embeds, sdxl: None }, self.mask))
    }
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
        let one = Encoder {
            tokenizer: &first.tokenizer,
            model: &first.model,
            state: HiddenState::Penultimate,
            skip: skipped(&self.clip)?,
            inversions: None,
        };
        let two = Encoder {
            tokenizer: &second.tokenizer,
            model: &second.model,
            skip: skipped(&self.clip2)?,
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
        let encoder = Encoder {
            tokenizer: &second.tokenizer,
            model: &second.model,
            state: HiddenState::Penultimate,
            skip: skipped(&self.clip2)?,
            inversions: None,
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
