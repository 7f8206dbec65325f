//! Between pictures and latents.

use candle_core::{DType, Device, Tensor};
use image::{DynamicImage, RgbImage};
use invoke_macros::Node;
use serde::Deserialize;

use super::load;
use crate::{
    diffusion::{
        Seamless,
        noise::{TorchGenerator, randn},
        vae::Vae,
    },
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{ImageField, LatentsField, VAEField},
        latents::codec::{latents_output, rgb, seamless, tiles_that_fit, to_grid},
        outputs::{ImageOutput, LatentsOutput},
        save,
        workbench::tensor,
    },
};

pub(super) const NODES: &[NodeEntry] = &[entry::<FluxVaeEncode>(), entry::<FluxVaeDecode>()];

/// Latents of `pixels [1, 3, h, w]` in -1 to 1, sides multiples of 8: drawn from what the encoder says with the noise of seed 0, or their mean.
pub(super) fn encode(cx: &dyn NodeCx, vae: &Vae, pixels: &Tensor, draws: bool) -> Result<Tensor, NodeError> {
    cx.check_canceled()?;
    cx.progress("Running VAE", None, None);
    let (_, _, h, w) = pixels.dims4()?;
    let tiling = tiles_that_fit(cx, vae, Seamless::default(), (h, w), cx.workbench().options.tiled.then_some(0))?;
    let tiling = tiling.map(|size| vae.tiling(size)).transpose()?;
    let pixels = pixels.to_device(vae.device())?;
    let scale = vae.config().scale();
    let noise = if draws {
        let shape = [1, vae.config().latent_channels, h / scale, w / scale];
        Some(randn(&shape, &mut TorchGenerator::new(0), vae.device())?)
    } else {
        None
    };
    let latents = vae.encode(&pixels, noise.as_ref(), tiling.as_ref())?;
    Ok(latents.to_dtype(DType::F32)?.to_device(&Device::Cpu)?)
}

/// Encodes a picture.
#[derive(Debug, Deserialize, Node)]
#[node(id = "flux_vae_encode", title = "Image to Latents - FLUX", version = "1.0.1", category = "latents", tags("latents", "image", "vae", "i2l", "flux"), output = LatentsOutput)]
struct FluxVaeEncode {
    image: ImageField,
    #[field(input = connection)]
    vae: VAEField,
}

impl Invoke for FluxVaeEncode {
    fn invoke(self, cx: &dyn NodeCx) -> Result<LatentsOutput, NodeError> {
        let pixels = to_grid(&*cx.load_image(&self.image.image_name)?)?;
        let vae = load::vae(cx, &self.vae)?;
        let latents = encode(cx, &vae, &((pixels * 2.0)? - 1.0)?, true)?;
        latents_output(cx, latents, None)
    }
}

/// Decodes latents to a picture.
#[derive(Debug, Deserialize, Node)]
#[node(id = "flux_vae_decode", title = "Latents to Image - FLUX", version = "1.0.2", category = "latents", tags("latents", "image", "vae", "l2i", "flux"), output = ImageOutput, board, metadata)]
struct FluxVaeDecode {
    #[field(input = connection)]
    latents: LatentsField,
    #[field(input = connection)]
    vae: VAEField,
}

impl Invoke for FluxVaeDecode {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let latents = tensor(cx, &self.latents.latents_name)?;
        let vae = load::vae(cx, &self.vae)?;
        cx.check_canceled()?;
        cx.progress("Running VAE", None, None);
        let (count, _, h, w) = latents.dims4()?;
        if count == 0 {
            return Err(NodeError::value("latents: there are none, expected those of one picture"));
        }
        let scale = vae.config().scale();
        let size = (h.saturating_mul(scale), w.saturating_mul(scale));
        let wraps = seamless(&self.vae.seamless_axes);
        let tiling = tiles_that_fit(cx, &vae, wraps, size, cx.workbench().options.tiled.then_some(0))?;
        let tiling = tiling.map(|size| vae.tiling(size)).transpose()?;
        let first = latents.narrow(0, 0, 1)?.to_device(vae.device())?;
        let decoded = vae.decode(&first, wraps, tiling.as_ref())?;
        cx.check_canceled()?;
        save(cx, DynamicImage::ImageRgb8(to_picture(&decoded)?))
    }
}

/// `[1, 3, h, w]` around -1 to 1 to 8 bits, rounded down.
fn to_picture(decoded: &Tensor) -> Result<RgbImage, NodeError> {
    rgb(&((decoded.to_dtype(DType::F32)?.clamp(-1f32, 1f32)? + 1.0)? * 127.5)?.floor()?)
}
