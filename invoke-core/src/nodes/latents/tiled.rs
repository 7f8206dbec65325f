//! Denoising in tiles that are merged after every step.

use invoke_macros::Node;
use serde::Deserialize;

use super::{control, denoise, load, watch::Follower};
use crate::{
    diffusion::{
        Seamless,
        denoise::{Job, Plan, UNetDenoiser, denoise_tiled, tiles_with_overlap},
    },
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{ConditioningField, ControlField, LatentsField, OneOrMany, SchedulerName, UNetField},
        outputs::LatentsOutput,
        workbench::make_room,
    },
};

pub(super) const NODES: &[NodeEntry] = &[entry::<TiledMultiDiffusion>()];

/// Denoises latents in tiles.
#[derive(Debug, Deserialize, Node)]
#[node(id = "tiled_multi_diffusion_denoise_latents", check = denoise::check_guidance, schema = "TiledMultiDiffusionDenoiseLatents", title = "Tiled Multi-Diffusion Denoise - SD1.5, SDXL", version = "1.0.1", category = "latents", tags("upscale", "denoise"), output = LatentsOutput)]
struct TiledMultiDiffusion {
    #[field(input = connection)]
    positive_conditioning: ConditioningField,
    #[field(input = connection)]
    negative_conditioning: ConditioningField,
    #[field(input = connection)]
    noise: Option<LatentsField>,
    #[field(input = connection)]
    latents: Option<LatentsField>,
    #[field(default = 1024, gt = 0, multiple_of = 8)]
    tile_height: i64,
    #[field(default = 1024, gt = 0, multiple_of = 8)]
    tile_width: i64,
    #[field(default = 32, gt = 0, multiple_of = 8)]
    tile_overlap: i64,
    #[field(default = 18, gt = 0)]
    steps: i64,
    #[field(default = 6.0)]
    cfg_scale: OneOrMany<f64>,
    #[field(default = 0.0, ge = 0, le = 1)]
    denoising_start: f64,
    #[field(default = 1.0, ge = 0, le = 1)]
    denoising_end: f64,
    #[field(default = "euler", ui_type = "SchedulerField")]
    scheduler: SchedulerName,
    #[field(input = connection)]
    unet: UNetField,
    #[field(default = 0, ge = 0, lt = 1)]
    cfg_rescale_multiplier: f64,
    #[field(input = connection)]
    control: Option<OneOrMany<ControlField>>,
}

impl Invoke for TiledMultiDiffusion {
    fn invoke(self, cx: &dyn NodeCx) -> Result<LatentsOutput, NodeError> {
        let (latents, noise, seed) = denoise::start(cx, self.latents.as_ref(), self.noise.as_ref())?;
        let shape = latents.as_ref().or(noise.as_ref()).map(candle_core::Tensor::dims4).transpose()?;
        let (_, _, h, w) = shape.ok_or_else(|| NodeError::value("'latents' or 'noise' must be provided!"))?;
        let size = ((self.tile_height / 8) as usize, (self.tile_width / 8) as usize);
        let tiles = tiles_with_overlap(h, w, size, (self.tile_overlap / 8) as usize)?;
        let config = load::scheduler_config(cx, &self.unet)?;
        let unet = load::unet(cx, &self.unet)?;
        make_room(cx, denoise::unet_bytes(&unet, size.0.min(h), size.1.min(w)), "denoising in tiles")?;
        let nets = control::load_all(cx, self.control.map(OneOrMany::into_vec).unwrap_or_default(), w * 8, h * 8)?;
        let plan = Plan {
            scheduler: denoise::sampler(&self.scheduler),
            config: &config,
            steps: denoise::steps(self.steps)?,
            start: self.denoising_start,
            end: self.denoising_end,
        };
        let job = Job {
            latents,
            noise,
            seed,
            positive: denoise::prompts(cx, &[self.positive_conditioning])?,
            negative: denoise::prompts(cx, &[self.negative_conditioning])?,
            guidance: denoise::guidance(self.cfg_scale, self.cfg_rescale_multiplier),
            mask: None,
            controls: control::inputs(&nets)?,
            adapters: Vec::new(),
            images: Vec::new(),
            watcher: &Follower::new(cx, Some(load::latent_rgb(cx, &self.unet.unet))),
        };
        let denoiser = UNetDenoiser {
            unet: &unet,
            seamless: Seamless::default(),
            free_u: None,
            hidiffusion: None,
            sequential: cx.workbench().options.sequential,
        };
        denoise::finish(cx, Some(denoise_tiled(&denoiser, &plan, &job, &tiles)?))
    }
}
