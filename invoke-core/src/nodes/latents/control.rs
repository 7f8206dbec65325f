//! Pictures that steer the denoiser through ControlNets.

use std::{str::FromStr, sync::Arc};

use candle_core::{DType, Device, Tensor};

use super::load;
use crate::{
    diffusion::{
        control::ControlNet,
        denoise::{ControlInput, ControlMode, Weight, Window},
    },
    imaging::{Mode, Picture, Resample, heuristic_resize},
    nodes::{
        NodeCx, NodeError,
        fields::{ControlField, ImageField, OneOrMany, ResizeMode},
    },
};

/// A ControlNet in memory with its picture.
pub(super) struct Loaded {
    net: Arc<ControlNet>,
    picture: Tensor,
    field: ControlField,
}

/// Loads the ControlNets of a run whose picture is `width` by `height` pixels.
pub(super) fn load_all(cx: &dyn NodeCx, fields: Vec<ControlField>, width: usize, height: usize) -> Result<Vec<Loaded>, NodeError> {
    fields
        .into_iter()
        .map(|field| {
            let picture = rgb(cx, &field.image)?;
            let picture = planes(cx, fitted(&picture, width, height, &field.resize_mode)?)?;
            let net = load::control_net(cx, &field.control_model)?;
            Ok(Loaded { net, picture, field })
        })
        .collect()
}

/// The colours of a stored picture.
pub(super) fn rgb(cx: &dyn NodeCx, image: &ImageField) -> Result<Picture, NodeError> {
    let rgb = cx.load_image(&image.image_name)?.to_rgb8();
    let (w, h) = (rgb.width() as usize, rgb.height() as usize);
    Picture::from_samples(Mode::Rgb, w, h, rgb.into_raw()).map_err(NodeError::runtime)
}

/// A picture of three bands as `[1, 3, h, w]` in 0 to 1, on the engine's device.
pub(super) fn planes(cx: &dyn NodeCx, picture: Picture) -> Result<Tensor, NodeError> {
    let (width, height) = picture.size();
    let plane = Tensor::from_vec(picture.into_data(), (height, width, 3), &Device::Cpu)?;
    let plane = (plane.permute((2, 0, 1))?.contiguous()?.to_dtype(DType::F32)? / 255.0)?;
    Ok(plane.unsqueeze(0)?.to_device(&cx.workbench().device)?)
}

/// A weight as the loop takes it.
pub(super) fn weight(weight: &OneOrMany<f64>) -> Weight {
    match weight {
        OneOrMany::One(weight) => Weight::Fixed(*weight),
        OneOrMany::Many(weights) => Weight::PerStep(weights.clone()),
    }
}

/// A picture at the size of the result.
pub(super) fn fitted(picture: &Picture, width: usize, height: usize, mode: &ResizeMode) -> Result<Picture, NodeError> {
    if picture.size() == (width, height) {
        return Ok(picture.clone());
    }
    Ok(match mode {
        ResizeMode::JustResizeSimple => picture.resize(width, height, Resample::Lanczos),
        ResizeMode::JustResize => heuristic_resize(picture, width, height),
        ResizeMode::CropResize | ResizeMode::FillResize => {
            let ratio = |a: usize, b: usize| a as f64 / b as f64;
            let (across, down) = (ratio(width, picture.width()), ratio(height, picture.height()));
            let crop = matches!(mode, ResizeMode::CropResize);
            let factor = if crop { across.max(down) } else { across.min(down) };
            let size = |n: usize| ((n as f64 * factor).round() as usize).max(1);
            let scaled = heuristic_resize(picture, size(picture.width()), size(picture.height()));
            let (left, top) = (
                (scaled.width() as i64 - width as i64) / 2,
                (scaled.height() as i64 - height as i64) / 2,
            );
            // Cropping beyond the edges fills with black.
            scaled.crop(left, top, left + width as i64, top + height as i64)
        }
    })
}

/// What the loop takes of them.
pub(super) fn inputs(loaded: &[Loaded]) -> Result<Vec<ControlInput<'_>>, NodeError> {
    loaded
        .iter()
        .map(|loaded| {
            let mode = serde_json::to_value(loaded.field.control_mode).map_err(NodeError::runtime)?;
            let mode = ControlMode::from_str(mode.as_str().unwrap_or_default()).map_err(NodeError::value)?;
            Ok(ControlInput {
                net: &loaded.net,
                picture: loaded.picture.clone(),
                window: Window {
                    weight: weight(&loaded.field.control_weight),
                    begin: loaded.field.begin_step_percent,
                    end: loaded.field.end_step_percent,
                },
                mode,
            })
        })
        .collect()
}
