//! Encoding prompts.

use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize};

use super::load;
use crate::{
    diffusion::{ModelError, flux::FluxConditioning},
    domain::shape::Shape,
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{CLIPField, FluxConditioningField, T5EncoderField, TensorField},
        latents,
        workbench::{keep_object, make_room},
    },
};

pub(super) const NODES: &[NodeEntry] = &[entry::<FluxTextEncoder>()];

/// Tokens of a sequence that T5 is given.
const LENGTHS: Shape = Shape::IntEnum(&[256, 512]);

/// An encoded prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "flux_conditioning_output")]
struct FluxConditioningOutput {
    conditioning: FluxConditioningField,
}

/// Encodes a prompt.
#[derive(Debug, Deserialize, Node)]
#[node(id = "flux_text_encoder", title = "Prompt - FLUX", version = "1.1.2", category = "prompt", tags("prompt", "conditioning", "flux"), output = FluxConditioningOutput)]
struct FluxTextEncoder {
    #[field(input = connection, title = "CLIP")]
    clip: CLIPField,
    #[field(input = connection, title = "T5Encoder")]
    t5_encoder: T5EncoderField,
    #[field(shape = LENGTHS)]
    t5_max_seq_len: i64,
    #[field(component = "textarea")]
    prompt: String,
    mask: Option<TensorField>,
}

impl Invoke for FluxTextEncoder {
    fn invoke(self, cx: &dyn NodeCx) -> Result<FluxConditioningOutput, NodeError> {
        // What comes over an edge was held to no list.
        let length = [256, 512]
            .into_iter()
            .find(|length| i64::try_from(*length) == Ok(self.t5_max_seq_len));
        let length = length.ok_or_else(|| NodeError::value(format!("t5_max_seq_len is {}, expected 256 or 512", self.t5_max_seq_len)))?;
        // The larger one first, so that it may go when the other comes.
        let tokens = {
            let encoder = load::t5(cx, &self.t5_encoder)?;
            let ids = encoder.tokenizer.sequence(&self.prompt, length)?;
            let config = encoder.model.config();
            let numbers = 3 * config.num_heads * length * length + 6 * length * (config.d_ff + config.d_model);
            make_room(cx, 4 * numbers as u64, "encoding a prompt")?;
            cx.progress("Running T5 encoder", None, None);
            let between = || cx.check_canceled().map_err(|_| ModelError::Stopped);
            encoder.model.encode(&ids, &between)?.to_device(&candle_core::Device::Cpu)?
        };
        let pooled = {
            let encoder = latents::load::text_encoder(cx, &self.clip)?;
            cx.progress("Running CLIP encoder", None, None);
            let ids = encoder.tokenizer.sequence(&self.prompt, None)?;
            encoder.model.at_end(&[&ids], 0, None)?.to_device(&candle_core::Device::Cpu)?
        };
        let bytes = 4 * (tokens.elem_count() + pooled.elem_count());
        Ok(FluxConditioningOutput {
            conditioning: FluxConditioningField {
                conditioning_name: keep_object(cx, FluxConditioning { tokens, pooled }, bytes),
                mask: self.mask,
            },
        })
    }
}
