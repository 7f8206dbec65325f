//! What goes into a run beside latents and prompts: pictures to refer to, and pictures to fill.

use candle_core::{DType, Device, Tensor};
use image::DynamicImage;

use super::{codec, load};
use crate::{
    diffusion::{
        flux::{Reference, in_half, pack, pack_mask},
        latents::{Interpolation, resize},
    },
    imaging::{Mode, Picture, Resample},
    nodes::{
        NodeCx, NodeError,
        fields::{FluxFillConditioningField, FluxKontextConditioningField, VAEField},
        workbench::{make_room, tensor},
    },
};

/// Samples of three colours as `[1, 3, h, w]` in -1 to 1.
fn signed(samples: Vec<u8>, (w, h): (usize, usize)) -> Result<Tensor, NodeError> {
    let plane = Tensor::from_vec(samples, (h, w, 3), &Device::Cpu)?
        .permute((2, 0, 1))?
        .contiguous()?;
    Ok(((plane.to_dtype(DType::F32)? / 127.5)? - 1.0)?.unsqueeze(0)?)
}

/// Pictures that a run refers to, encoded.
pub(super) fn references(
    cx: &dyn NodeCx,
    fields: &[FluxKontextConditioningField],
    vae: Option<&VAEField>,
) -> Result<Option<Reference>, NodeError> {
    if fields.is_empty() {
        return Ok(None);
    }
    let vae = vae.ok_or_else(|| NodeError::value("A VAE (e.g., controlnet_vae) must be provided to use Kontext conditioning."))?;
    let vae = load::vae(cx, vae)?;
    let mut latents = Vec::with_capacity(fields.len());
    for field in fields {
        let picture = cx.load_image(&field.image.image_name)?.to_rgb8();
        // Latents stand for eight by eight pixels; what is beyond the last of them is left out.
        let (w, h) = (picture.width() / 8 * 8, picture.height() / 8 * 8);
        if w == 0 || h == 0 {
            return Err(NodeError::value(format!(
                "kontext_conditioning: a picture is {}×{}, expected at least 8×8",
                picture.width(),
                picture.height()
            )));
        }
        let picture = DynamicImage::ImageRgb8(picture).crop_imm(0, 0, w, h).to_rgb8();
        let pixels = signed(picture.into_raw(), (w as usize, h as usize))?;
        latents.push(in_half(&codec::encode(cx, &vae, &pixels, false)?)?);
    }
    Ok(Reference::of(&latents)?)
}

/// The channels that models made to fill see beside latents, for a picture of `width` by `height` pixels: `[1, n, 320]`.
pub(super) fn fill(
    cx: &dyn NodeCx,
    field: Option<&FluxFillConditioningField>,
    vae: Option<&VAEField>,
    (width, height): (usize, usize),
) -> Result<Tensor, NodeError> {
    let field = field.ok_or_else(|| NodeError::value("A FLUX Fill model is being used without fill_conditioning."))?;
    let vae = vae.ok_or_else(|| NodeError::value("A FLUX Fill model is being used without controlnet_vae."))?;
    make_room(cx, (width as u64 * height as u64).saturating_mul(60), "the picture to fill")?;
    let picture = cx.load_image(&field.image.image_name)?.to_rgb8();
    let size = (picture.width() as usize, picture.height() as usize);
    let picture = Picture::from_samples(Mode::Rgb, size.0, size.1, picture.into_raw()).map_err(NodeError::runtime)?;
    let picture = picture.resize(width, height, Resample::Bicubic);
    let pixels = in_half(&signed(picture.into_data(), (width, height))?)?;
    let mask = tensor(cx, &field.mask.tensor_name)?;
    let dims = mask.dims().to_vec();
    let [1, h, w] = dims[..] else {
        return Err(NodeError::value(format!(
            "fill_conditioning: its mask is {dims:?}, expected one picture"
        )));
    };
    let mask = mask.to_dtype(DType::F32)?.reshape((1, 1, h, w))?.gt(0.5)?.to_dtype(DType::F32)?;
    let mask = resize(&mask, height, width, Interpolation::Nearest, false)?;
    let kept = pixels.broadcast_mul(&mask.affine(-1.0, 1.0)?)?;
    let vae = load::vae(cx, vae)?;
    let latents = codec::encode(cx, &vae, &kept, true)?;
    Ok(in_half(&Tensor::cat(&[pack(&latents)?, pack_mask(&mask)?], 2)?)?)
}
