//! A picture from a prompt, for programs: the common path through a graph, the queue and an engine in one call.

use std::sync::mpsc::{self, RecvTimeoutError};

use image::DynamicImage;
use serde_json::{Value, json};

use super::{
    images::Images,
    models::Models,
    queue::{ASKED_EVERY, Queue},
};
use crate::{
    authz::Actor,
    domain::{Error, ImageName, ItemId, QueueId, Result, page::Direction, queue_item::ItemStatus},
    events::Event,
    files::decode_picture,
    repo::models::ModelFilter,
};

/// What to draw, and how.
#[derive(Debug, Clone)]
pub struct TextToImage {
    /// What to show, in compel's syntax.
    pub prompt: String,
    /// What to keep away from.
    pub negative_prompt: String,
    /// Name of an installed Stable Diffusion 1 or 2 model; the first of them by name if none is given.
    pub model: Option<String>,
    /// Pixels across, a multiple of 8; the model's own size if none is given.
    pub width: Option<u32>,
    /// Pixels down, a multiple of 8; the model's own size if none is given.
    pub height: Option<u32>,
    /// Steps of the sampler, 1 and more.
    pub steps: u32,
    /// How strongly the prompt pulls, 1 and more.
    pub cfg_scale: f64,
    /// Name of the sampler (`ddim`, `euler_a`, `dpmpp_3m_k` …).
    pub scheduler: String,
    /// Seed of the noise; the same seed gives the same picture.
    pub seed: u32,
}

impl TextToImage {
    /// A prompt with settings that suit most models.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            prompt: prompt.into(),
            negative_prompt: String::new(),
            model: None,
            width: None,
            height: None,
            steps: 20,
            cfg_scale: 5.0,
            scheduler: "ddim".into(),
            seed: 0,
        }
    }

    fn graph(&self, model: &Value, width: u64, height: u64) -> Value {
        let identifier: serde_json::Map<String, Value> = ["key", "hash", "name", "base", "type"]
            .into_iter()
            .map(|key| (key.to_owned(), model[key].clone()))
            .collect();
        let edge = |from: &str, output: &str, to: &str, input: &str| json!({"source": {"node_id": from, "field": output}, "destination": {"node_id": to, "field": input}});
        json!({
            "id": "text_to_image",
            "nodes": {
                "model": {"id": "model", "type": "main_model_loader", "model": identifier},
                "positive": {"id": "positive", "type": "compel", "prompt": self.prompt},
                "negative": {"id": "negative", "type": "compel", "prompt": self.negative_prompt},
                "noise": {"id": "noise", "type": "noise", "seed": self.seed, "width": width, "height": height},
                "denoise": {
                    "id": "denoise", "type": "denoise_latents", "steps": self.steps, "cfg_scale": self.cfg_scale, "scheduler": self.scheduler,
                },
                "metadata": {
                    "id": "metadata", "type": "core_metadata", "generation_mode": "txt2img", "positive_prompt": self.prompt,
                    "negative_prompt": self.negative_prompt, "width": width, "height": height, "seed": self.seed, "steps": self.steps,
                    "cfg_scale": self.cfg_scale, "scheduler": self.scheduler, "model": identifier,
                },
                "picture": {"id": "picture", "type": "l2i", "is_intermediate": false, "use_cache": false},
            },
            "edges": [
                edge("model", "clip", "positive", "clip"), edge("model", "clip", "negative", "clip"), edge("model", "unet", "denoise", "unet"),
                edge("positive", "conditioning", "denoise", "positive_conditioning"),
                edge("negative", "conditioning", "denoise", "negative_conditioning"),
                edge("noise", "noise", "denoise", "noise"), edge("denoise", "latents", "picture", "latents"), edge("model", "vae", "picture", "vae"),
                edge("metadata", "metadata", "picture", "metadata"),
            ],
        })
    }
}

/// A picture that was made.
#[derive(Debug, Clone)]
pub struct Generated {
    /// Its name in the gallery.
    pub image_name: ImageName,
    /// Its pixels.
    pub pixels: DynamicImage,
}

/// What happens to the item that is waited for.
enum News {
    Progress(Option<f64>, String),
    Made(String),
    Ended(ItemStatus, Option<String>),
}

/// The services that the path goes through.
pub(crate) struct Path<'a> {
    pub(crate) queue: &'a Queue,
    pub(crate) images: &'a Images,
    pub(crate) models: &'a Models,
}

impl Path<'_> {
    fn model(&self, actor: &Actor, request: &TextToImage) -> Result<Value> {
        let filter = ModelFilter {
            bases: vec!["sd-1".into(), "sd-2".into()],
            model_type: Some("main".into()),
            name: request.model.clone(),
            ..ModelFilter::default()
        };
        let found = self.models.list(actor, &filter, "name", Direction::Asc)?.into_iter().next();
        found.ok_or_else(|| match &request.model {
            Some(name) => Error::NotFound(format!("model: no Stable Diffusion 1 or 2 model named {name} is installed")),
            None => Error::NotFound("model: no Stable Diffusion 1 or 2 model is installed".into()),
        })
    }

    /// Makes a picture as this actor's job; blocks until it is there. `progress` is told a share from 0 to 1, where one is known, and what is being done.
    /// `goes_on` is asked several times a second; once it says no the job is canceled.
    pub(crate) fn run(
        &self,
        actor: &Actor,
        request: &TextToImage,
        mut progress: impl FnMut(Option<f64>, &str),
        mut goes_on: impl FnMut() -> bool,
    ) -> Result<Generated> {
        let model = self.model(actor, request)?;
        let own = |side: &str| model["default_settings"][side].as_u64().unwrap_or(512);
        let width = request.width.map_or_else(|| own("width"), u64::from);
        let height = request.height.map_or_else(|| own("height"), u64::from);
        let queue_id = QueueId::new("default");
        let (tell, news) = mpsc::channel::<(ItemId, News)>();
        // Listening begins before the job does, so that nothing of it is missed.
        let listening = self.queue.shared.bus.subscribe(move |published| {
            let told = match &*published.event {
                Event::InvocationProgress {
                    base, message, percentage, ..
                } => (base.item_id, News::Progress(*percentage, message.clone())),
                Event::InvocationComplete { base, result } if base.invocation_source_id == "picture" => (
                    base.item_id,
                    News::Made(result["image"]["image_name"].as_str().unwrap_or_default().to_owned()),
                ),
                Event::QueueItemStatusChanged(change) if change.status.is_terminal() => {
                    let text = change
                        .error_type
                        .as_ref()
                        .zip(change.error_message.as_ref())
                        .map(|(kind, text)| format!("{kind}: {text}"));
                    (change.item_id, News::Ended(change.status, text))
                }
                _ => return,
            };
            // Nobody listens any more: the picture came, or the caller gave up.
            let _ = tell.send(told);
        });
        let batch = json!({"graph": request.graph(&model, width, height), "origin": "library", "destination": "library"});
        let enqueued = self.queue.enqueue_batch(actor, &queue_id, batch, false)?;
        let Some(item) = enqueued["item_ids"][0].as_i64() else {
            return Err(Error::Conflict("the queue is full".into()));
        };
        let (mut made, mut going_on) = (String::new(), true);
        loop {
            if going_on && !goes_on() {
                going_on = false;
                self.queue.cancel_item(actor, &queue_id, item)?;
            }
            let news = match news.recv_timeout(ASKED_EVERY) {
                Ok((item_id, news)) if item_id == item => news,
                Ok(_) | Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Err(Error::internal("making a picture", "the events have ended")),
            };
            match news {
                News::Progress(share, text) => progress(share, &text),
                News::Made(name) => made = name,
                News::Ended(ItemStatus::Completed, _) => break,
                News::Ended(ItemStatus::Canceled, _) => return Err(Error::Conflict("the job was canceled".into())),
                News::Ended(_, text) => return Err(Error::internal("making a picture", text.unwrap_or_else(|| "it failed".into()))),
            }
        }
        drop(listening);
        let image_name = ImageName::parse(&made).map_err(|error| Error::internal("making a picture", error))?;
        let bytes = self.images.full(actor, &image_name)?.read_all()?;
        let pixels = decode_picture(&bytes).map_err(|error| Error::internal("reading a picture", error))?;
        Ok(Generated { image_name, pixels })
    }
}
