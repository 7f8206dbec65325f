//! Prompts written by language models. None of them is run yet by this server: who asks for one that is installed is told so, and
//! everything that is checked before that is checked.

use serde_json::Value;

use super::Utilities;
use crate::{
    authz::{Actor, acts, authorize_global},
    domain::{Error, ModelKey, Result},
    events::Event,
    models::ModelRecord,
    repo::models,
};

/// Names of the kinds of models in the text that says what was found.
const KIND_NAMES: &[(&str, &str)] = &[
    ("onnx", "ONNX"),
    ("main", "Main"),
    ("vae", "VAE"),
    ("lora", "LoRA"),
    ("control_lora", "ControlLoRa"),
    ("controlnet", "ControlNet"),
    ("embedding", "TextualInversion"),
    ("ip_adapter", "IPAdapter"),
    ("clip_vision", "CLIPVision"),
    ("clip_embed", "CLIPEmbed"),
    ("t2i_adapter", "T2IAdapter"),
    ("t5_encoder", "T5Encoder"),
    ("qwen3_encoder", "Qwen3Encoder"),
    ("qwen_vl_encoder", "QwenVLEncoder"),
    ("qwen3_vl_encoder", "Qwen3VLEncoder"),
    ("mistral_encoder", "MistralEncoder"),
    ("wan_t5_encoder", "WanT5Encoder"),
    ("gemma2_encoder", "Gemma2Encoder"),
    ("spandrel_image_to_image", "SpandrelImageToImage"),
    ("siglip", "SigLIP"),
    ("flux_redux", "FluxRedux"),
    ("llava_onevision", "LlavaOnevision"),
    ("text_llm", "TextLLM"),
    ("external_image_generator", "ExternalImageGenerator"),
    ("pid_decoder", "PiDDecoder"),
];

impl Utilities {
    /// A longer prompt from a short one, by a text model. `task` names the client's task in the events about it.
    ///
    /// # Errors
    /// No such model, or one that is none for texts; every model that is one, as none can be run.
    pub fn expand_prompt(&self, actor: &Actor, key: &ModelKey, task: Option<&str>) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        let outcome = self.refuse(actor, key, "text_llm", "TextLLM");
        self.told(actor, task, outcome)
    }

    /// A prompt that describes a picture which the caller may see, by a model for pictures and texts.
    ///
    /// # Errors
    /// As of [`Self::expand_prompt`], and for the picture.
    pub fn image_to_prompt(&self, actor: &Actor, image_name: &str, key: &ModelKey, task: Option<&str>) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        self.shared.maintenance.refuse_if_active()?;
        match crate::service::images::readable(&self.shared, actor, image_name) {
            // An administrator's question is answered by the model first.
            Err(Error::NotFound(_)) if actor.is_admin() => {}
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        let outcome = self.refuse(actor, key, "llava_onevision", "LLaVA OneVision");
        self.told(actor, task, outcome)
    }

    /// Why this model does not write a prompt.
    fn refuse(&self, actor: &Actor, key: &ModelKey, kind: &str, kind_name: &str) -> Result<Value> {
        let leave = authorize_global::<acts::ReadModels>(actor)?;
        let record = self.shared.db.read(|tx| models::get(tx, &leave, key.as_str()))?;
        let Some(record) = record.as_deref().and_then(ModelRecord::parse) else {
            return Err(Error::NotFound(format!("Model '{key}' not found")));
        };
        let found = record.model_type();
        if found != kind {
            let shown = KIND_NAMES
                .iter()
                .find(|(wire, _)| *wire == found)
                .map_or("Unknown", |(_, shown)| shown);
            return Err(Error::Unprocessable(format!(
                "Model '{key}' is not a {kind_name} model (got ModelType.{shown})"
            )));
        }
        Err(Error::Unprocessable(format!(
            "Model '{key}' cannot be run: this server runs no language models"
        )))
    }

    /// Tells the client of the task's end.
    fn told(&self, actor: &Actor, task: Option<&str>, outcome: Result<Value>) -> Result<Value> {
        if let (Some(task), Err(error)) = (task, &outcome) {
            let error = match error {
                Error::NotFound(_) => "Model not found".to_owned(),
                other => other.to_string(),
            };
            self.shared.bus.publish(
                self.shared.env.now(),
                Event::LlmTaskError {
                    task_id: task.to_owned(),
                    user_id: actor.user_id().clone(),
                    error,
                },
            );
        }
        outcome
    }
}
