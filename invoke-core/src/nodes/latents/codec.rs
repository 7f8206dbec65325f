//! Between pictures and latents.

use candle_core::{DType, Device, Tensor};
use image::{DynamicImage, RgbImage};
use invoke_macros::Node;
use serde::Deserialize;

use super::load;
use crate::{
    diffusion::{Seamless, vae::Vae},
    domain::shape::choices,
    imaging::{Mode, Picture, Resample},
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{ImageField, LatentsField, VAEField},
        outputs::{ImageOutput, LatentsOutput},
        save,
        workbench::{keep, make_room, tensor},
    },
};

pub(super) const NODES: &[NodeEntry] = &[entry::<ImageToLatents>(), entry::<LatentsToImage>()];

/// Axes as the fields write them.
pub(in crate::nodes) fn seamless(axes: &[String]) -> Seamless {
    Seamless {
        x: axes.iter().any(|axis| axis == "x"),
        y: axes.iter().any(|axis| axis == "y"),
    }
}

/// A picture's pixels as `[1, 3, h, w]` in 0 to 1, its sides cut down to multiples of 8 by resampling.
pub(in crate::nodes) fn to_grid(picture: &DynamicImage) -> Result<Tensor, NodeError> {
    let rgb = picture.to_rgb8();
    let (w, h) = (rgb.width() / 8 * 8, rgb.height() / 8 * 8);
    if w == 0 || h == 0 {
        return Err(NodeError::value(format!(
            "the picture is {}×{}, expected at least 8×8",
            rgb.width(),
            rgb.height()
        )));
    }
    let (from_w, from_h) = (rgb.width() as usize, rgb.height() as usize);
    let samples = Picture::from_samples(Mode::Rgb, from_w, from_h, rgb.into_raw()).map_err(NodeError::runtime)?;
    let samples = samples.resize(w as usize, h as usize, Resample::Lanczos);
    let plane = Tensor::from_vec(samples.into_data(), (h as usize, w as usize, 3), &Device::Cpu)?;
    Ok((plane.permute((2, 0, 1))?.contiguous()?.to_dtype(DType::F32)? / 255.0)?.unsqueeze(0)?)
}

/// Latents of `[1, 3, h, w]` in 0 to 1: the mean of what the encoder says, which is what the original's random draw varies around.
pub(super) fn encode(cx: &dyn NodeCx, vae: &Vae, pixels: &Tensor, tiling: Option<usize>) -> Result<Tensor, NodeError> {
    cx.check_canceled()?;
    cx.progress("Running VAE encoder", None, None);
    let (_, _, h, w) = pixels.dims4()?;
    let tiling = tiles_that_fit(cx, vae, Seamless::default(), (h, w), tiling)?;
    let pixels = ((pixels * 2.0)? - 1.0)?.to_device(&cx.workbench().device)?;
    let tiling = tiling.map(|size| vae.tiling(size)).transpose()?;
    Ok(vae
        .encode(&pixels, None, tiling.as_ref())?
        .to_dtype(DType::F32)?
        .to_device(&Device::Cpu)?)
}

/// Bytes that an autoencoder takes for `h` by `w` pixels at once: its widest layer at full size, three times, or twice where the machine's own
/// memory holds it in strips. Accelerators' convolutions need room besides.
fn vae_bytes(cx: &dyn NodeCx, vae: &Vae, wraps: Seamless, h: usize, w: usize) -> u64 {
    let widest = vae.config().block_out_channels.iter().take(2).max().copied().unwrap_or(1);
    let times = if cx.workbench().device.is_cpu() && vae.works_in_strips(h, w, wraps) {
        2
    } else {
        3
    };
    (h as u64).saturating_mul(w as u64).saturating_mul(4 * times * widest as u64)
}

/// Pixels of a side of the tiles where memory is short even for a model's own.
const SMALL_TILE: usize = 512;

/// The tiles to work in: those asked for, or, where memory does not do for the whole of `h` by `w` pixels, the model's own. An error if not even a
/// tile fits.
pub(in crate::nodes) fn tiles_that_fit(
    cx: &dyn NodeCx,
    vae: &Vae,
    wraps: Seamless,
    (h, w): (usize, usize),
    asked: Option<usize>,
) -> Result<Option<usize>, NodeError> {
    let what = format!("a picture of {w}×{h} pixels");
    let tile = |size: usize| if size == 0 { vae.config().sample_size } else { size };
    let one = |size: usize| vae_bytes(cx, vae, wraps, tile(size).min(h), tile(size).min(w));
    match asked {
        Some(size) => make_room(cx, one(size), &what).map(|()| asked),
        None if make_room(cx, vae_bytes(cx, vae, wraps, h, w), &what).is_ok() => Ok(None),
        None => {
            // A model's own tile may be as large as the picture.
            let size = if make_room(cx, one(0), &what).is_ok() { 0 } else { SMALL_TILE };
            make_room(cx, one(size), &what)?;
            tracing::warn!("there is too little memory for {what} at once: it is worked on in tiles");
            Ok(Some(size))
        }
    }
}

/// What a node says of tiles: none, or tiles of a size in pixels, 0 for the model's own.
pub(super) fn tiles(tiled: bool, tile_size: i64) -> Result<Option<usize>, NodeError> {
    match (tiled, usize::try_from(tile_size)) {
        (false, _) => Ok(None),
        (true, Ok(size)) => Ok(Some(size)),
        (true, Err(_)) => Err(NodeError::value(format!("tile_size is {tile_size}, expected 0 or more"))),
    }
}

/// Pixels of the picture that latents stand for.
pub(in crate::nodes) fn latents_output(cx: &dyn NodeCx, latents: Tensor, seed: Option<i64>) -> Result<LatentsOutput, NodeError> {
    let dims = latents.dims();
    let [.., h, w] = *dims else {
        return Err(NodeError::runtime("latents have at least two axes"));
    };
    let latents_name = keep(cx, latents);
    Ok(LatentsOutput {
        latents: LatentsField { latents_name, seed },
        width: w as i64 * 8,
        height: h as i64 * 8,
    })
}

choices! {
    /// Which model's shift of colours is undone before encoding.
    enum ColorCompensation { None = "None", Sdxl = "SDXL" }
}

/// Encodes a picture.
#[derive(Debug, Deserialize, Node)]
#[node(id = "i2l", title = "Image to Latents - SD1.5, SDXL", version = "1.2.0", category = "latents", tags("latents", "image", "vae", "i2l"), output = LatentsOutput)]
struct ImageToLatents {
    image: ImageField,
    #[field(input = connection)]
    vae: VAEField,
    #[field(default = false)]
    tiled: bool,
    #[field(default = 0, multiple_of = 8)]
    tile_size: i64,
    #[field(default = false)]
    #[serde(rename = "fp32")]
    _fp32: bool,
    #[field(default = "None")]
    color_compensation: ColorCompensation,
}

impl Invoke for ImageToLatents {
    fn invoke(self, cx: &dyn NodeCx) -> Result<LatentsOutput, NodeError> {
        let picture = cx.load_image(&self.image.image_name)?;
        let vae = load::vae(cx, &self.vae)?;
        let mut pixels = to_grid(&picture)?;
        if matches!(self.color_compensation, ColorCompensation::Sdxl) && self.vae.vae.base == "sdxl" {
            // In -1 to 1: x * 1.015 - 0.002.
            let signed = ((pixels * 2.0)? - 1.0)?;
            pixels = ((((signed * 1.015)? - 0.002)? + 1.0)? / 2.0)?;
        }
        let latents = encode(
            cx,
            &vae,
            &pixels,
            tiles(self.tiled || cx.workbench().options.tiled, self.tile_size)?,
        )?;
        latents_output(cx, latents, None)
    }
}

/// Decodes latents to a picture.
#[derive(Debug, Deserialize, Node)]
#[node(id = "l2i", title = "Latents to Image - SD1.5, SDXL", version = "1.3.2", category = "latents", tags("latents", "image", "vae", "l2i"), output = ImageOutput, board, metadata)]
struct LatentsToImage {
    #[field(input = connection)]
    latents: LatentsField,
    #[field(input = connection)]
    vae: VAEField,
    #[field(default = false)]
    tiled: bool,
    #[field(default = 0, multiple_of = 8)]
    tile_size: i64,
    #[field(default = false)]
    #[serde(rename = "fp32")]
    _fp32: bool,
}

impl Invoke for LatentsToImage {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let latents = tensor(cx, &self.latents.latents_name)?;
        let vae = load::vae(cx, &self.vae)?;
        cx.check_canceled()?;
        cx.progress("Running VAE decoder", None, None);
        let (count, _, h, w) = latents.dims4()?;
        let size = (h.saturating_mul(vae.config().scale()), w.saturating_mul(vae.config().scale()));
        let wraps = seamless(&self.vae.seamless_axes);
        let asked = tiles(self.tiled || cx.workbench().options.tiled, self.tile_size)?;
        let tiling = tiles_that_fit(cx, &vae, wraps, size, asked)?;
        let tiling = tiling.map(|size| vae.tiling(size)).transpose()?;
        let latents = latents.to_device(&cx.workbench().device)?;
        let mut pictures = Vec::with_capacity(count);
        for at in 0..count {
            let decoded = vae.decode(&latents.narrow(0, at, 1)?, wraps, tiling.as_ref())?;
            cx.check_canceled()?;
            pictures.push(to_picture(&decoded)?);
        }
        // Each of several pictures is kept, once all are there; the first one is what the node returns.
        let mut first = None;
        for picture in pictures {
            cx.progress("Saving image", None, None);
            let saved = save(cx, DynamicImage::ImageRgb8(picture))?;
            first.get_or_insert(saved);
        }
        first.ok_or_else(|| NodeError::value("latents: there are none, expected those of one picture or more"))
    }
}

/// `[1, 3, h, w]` around -1 to 1 to 8 bits, rounded.
fn to_picture(decoded: &Tensor) -> Result<RgbImage, NodeError> {
    rgb(&((((decoded.to_dtype(DType::F32)? / 2.0)? + 0.5)?.clamp(0f32, 1f32)? * 255.0)?.round()?))
}

/// A picture of whole numbers, `[1, 3, h, w]` in 0 to 255.
pub(in crate::nodes) fn rgb(levels: &Tensor) -> Result<RgbImage, NodeError> {
    let (_, channels, h, w) = levels.dims4()?;
    if channels != 3 {
        return Err(NodeError::runtime(format!("the decoder gives {channels} channels, expected 3")));
    }
    let bytes = levels
        .to_dtype(DType::U8)?
        .squeeze(0)?
        .permute((1, 2, 0))?
        .flatten_all()?
        .to_device(&Device::Cpu)?
        .to_vec1::<u8>()?;
    RgbImage::from_raw(w as u32, h as u32, bytes).ok_or_else(|| NodeError::runtime("the decoded picture has the wrong number of pixels"))
}
