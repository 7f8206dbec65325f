//! Pictures that steer the denoiser through T2I-Adapters, and pictures as prompts through IP-Adapters.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::{control, load};
use crate::{
    diffusion::{
        control::{ClipVisionModel, ImageFeatures, IpAdapter, IpTarget},
        denoise::{AdapterInput, ImageInput, Window},
        latents::{Interpolation, resize},
        unet::UNet,
    },
    imaging::{Mode, Picture, Resample},
    nodes::{
        NodeCx, NodeError,
        fields::{IPAdapterField, ImageField, OneOrMany, T2IAdapterField},
        workbench::tensor,
    },
};

/// Pixels of a side that image encoders of IP-Adapters see.
const SEEN: usize = 224;

/// States of the T2I-Adapters of a run whose latents are `h` by `w`.
pub(super) fn t2i(cx: &dyn NodeCx, fields: &[T2IAdapterField], (h, w): (usize, usize)) -> Result<Vec<AdapterInput>, NodeError> {
    fields.iter().map(|field| t2i_states(cx, field, (h, w))).collect()
}

fn t2i_states(cx: &dyn NodeCx, field: &T2IAdapterField, (h, w): (usize, usize)) -> Result<AdapterInput, NodeError> {
    let record = load::installed(cx, &field.t2i_adapter_model)?.record;
    let mut picture = control::rgb(cx, &field.image)?;
    // How far the denoiser shrinks latents inside. SDXL's adapters were trained on pictures with blue first.
    let shrinks = match record["base"].as_str().unwrap_or_default() {
        "sd-1" => 8,
        "sdxl" => {
            let (width, height) = picture.size();
            let mut data = picture.into_data();
            data.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| pixel.swap(0, 2));
            picture = Picture::from_samples(Mode::Rgb, width, height, data).map_err(NodeError::runtime)?;
            4
        }
        other => return Err(NodeError::value(format!("Unexpected T2I-Adapter base model type: '{other}'."))),
    };
    let adapter = load::t2i_adapter(cx, &field.t2i_adapter_model)?;
    let picture = control::planes(cx, control::fitted(&picture, w * 8, h * 8, &field.resize_mode)?)?;
    let channels = adapter.picture_channels();
    if !(1..=3).contains(&channels) {
        return Err(NodeError::value(format!("Cannot achieve the target of num_channels={channels}.")));
    }
    let (rows, columns) = (h / shrinks * adapter.multiple(), w / shrinks * adapter.multiple());
    if rows == 0 || columns == 0 {
        return Err(NodeError::value(format!(
            "t2i_adapter: a picture of {}×{} is too small, expected {} pixels a side at least",
            w * 8,
            h * 8,
            shrinks * 8
        )));
    }
    let picture = picture
        .narrow(1, 0, channels)?
        .narrow(2, 0, rows.min(h * 8))?
        .narrow(3, 0, columns.min(w * 8))?
        .contiguous()?;
    let states = adapter.forward(&picture)?;
    let states = states
        .iter()
        .map(|state| state.to_dtype(DType::F32))
        .collect::<candle_core::Result<_>>()?;
    Ok(AdapterInput {
        states,
        window: Window {
            weight: control::weight(&field.weight),
            begin: field.begin_step_percent,
            end: field.end_step_percent,
        },
    })
}

/// The image prompts of a run of `unet` whose latents are `h` by `w`.
pub(super) fn images(cx: &dyn NodeCx, fields: &[IPAdapterField], unet: &UNet, size: (usize, usize)) -> Result<Vec<ImageInput>, NodeError> {
    fields.iter().map(|field| image(cx, field, unet, size)).collect()
}

fn image(cx: &dyn NodeCx, field: &IPAdapterField, unet: &UNet, (h, w): (usize, usize)) -> Result<ImageInput, NodeError> {
    let adapter = load::ip_adapter(cx, &field.ip_adapter_model)?;
    let encoder = load::clip_vision(cx, &field.image_encoder_model)?;
    let pictures: &[ImageField] = match &field.image {
        OneOrMany::One(one) => std::slice::from_ref(one),
        OneOrMany::Many(many) => many,
    };
    if pictures.is_empty() {
        return Err(NodeError::value("ip_adapter.image: none given, expected one or more"));
    }
    let pictures: Vec<Tensor> = pictures.iter().map(|picture| seen(cx, picture)).collect::<Result<_, _>>()?;
    let embeds = embeds(&adapter, &encoder, &Tensor::cat(&pictures, 0)?)?;
    let mask = match &field.mask {
        None => None,
        Some(mask) => Some(at_latent_size(&tensor(cx, &mask.tensor_name)?, (h, w))?),
    };
    let blocks: Vec<&str> = field.target_blocks.iter().map(String::as_str).collect();
    let target = IpTarget {
        blocks: &blocks,
        precise: field.method == "style_precise",
    };
    Ok(ImageInput {
        prompt: adapter.prompt(unet, &embeds, target, mask.as_ref())?,
        window: Window {
            weight: control::weight(&field.weight),
            begin: field.begin_step_percent,
            end: field.end_step_percent,
        },
    })
}

/// A picture as the encoder sees it: its shorter side brought to 224 pixels and the middle cut out.
fn seen(cx: &dyn NodeCx, image: &ImageField) -> Result<Tensor, NodeError> {
    let picture = control::rgb(cx, image)?;
    let (w, h) = picture.size();
    let longer = |long: usize, short: usize| (SEEN * long / short).max(SEEN);
    let (width, height) = if w <= h { (SEEN, longer(h, w)) } else { (longer(w, h), SEEN) };
    let picture = if (w, h) == (width, height) {
        picture
    } else {
        picture.resize(width, height, Resample::Bicubic)
    };
    let (left, top) = (((width - SEEN) / 2) as i64, ((height - SEEN) / 2) as i64);
    control::planes(cx, picture.crop(left, top, left + SEEN as i64, top + SEEN as i64))
}

/// What the unconditional and the conditional half see, `[2, tokens, context]`, the tokens of several pictures one after another.
fn embeds(adapter: &Arc<IpAdapter>, encoder: &ClipVisionModel, pictures: &Tensor) -> Result<Tensor, NodeError> {
    if encoder.image_size() != SEEN {
        return Err(NodeError::value(format!(
            "the image encoder takes pictures of {} pixels a side, expected {SEEN}",
            encoder.image_size()
        )));
    }
    let pictures = encoder.normalise(pictures)?;
    let features = adapter.features();
    let seen = encoder.encode(&pictures, features)?;
    // Nothing is zeros: in place of the whole picture's embedding, or of the picture itself.
    let nothing = match features {
        ImageFeatures::Pooled => seen.zeros_like()?,
        ImageFeatures::Penultimate => encoder.encode(&pictures.zeros_like()?, features)?,
    };
    let joined = |features: &Tensor| -> Result<Tensor, NodeError> {
        let tokens = adapter.embed(features)?;
        let (_, _, width) = tokens.dims3()?;
        Ok(tokens.reshape((1, (), width))?)
    };
    Ok(Tensor::cat(&[joined(&nothing)?, joined(&seen)?], 0)?)
}

/// A mask `[h, w]`, `[1, h, w]` or `[1, 1, h, w]` at the latents' size, `[h, w]`.
fn at_latent_size(mask: &Tensor, (h, w): (usize, usize)) -> Result<Tensor, NodeError> {
    let mask = match *mask.dims() {
        [height, width] | [1, height, width] | [1, 1, height, width] => mask.to_dtype(DType::F32)?.reshape((1, 1, height, width))?,
        ref dims => {
            return Err(NodeError::value(format!(
                "ip_adapter.mask has the shape {dims:?}, expected [height, width] with ones before it"
            )));
        }
    };
    Ok(resize(&mask, h, w, Interpolation::Nearest, false)?.reshape((h, w))?)
}
