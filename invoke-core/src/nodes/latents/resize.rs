//! Sizes of latents: resizing, cutting out, blending, and the size a model likes.

use std::str::FromStr;

use candle_core::{DType, Device, Tensor};
use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize};

use super::{codec::latents_output, grey};
use crate::{
    diffusion::latents::{self, Interpolation},
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{ImageField, LatentsField, UNetField},
        outputs::LatentsOutput,
        workbench::{make_room, tensor},
    },
};

pub(super) const NODES: &[NodeEntry] = &[
    entry::<BlendLatents>(),
    entry::<CropLatentsCore>(),
    entry::<IdealSize>(),
    entry::<Latents>(),
    entry::<ResizeLatents>(),
    entry::<ScaleLatents>(),
];

crate::domain::shape::choices! {
    /// torch's names of ways to resize.
    enum ResizeLatentsMode {
        Nearest = "nearest",
        Linear = "linear",
        Bilinear = "bilinear",
        Bicubic = "bicubic",
        Trilinear = "trilinear",
        Area = "area",
        NearestExact = "nearest-exact",
    }
}

fn interpolation(mode: &ResizeLatentsMode) -> Result<Interpolation, NodeError> {
    let name = serde_json::to_value(mode).map_err(NodeError::runtime)?;
    Interpolation::from_str(name.as_str().unwrap_or_default()).map_err(|text| NodeError::new("NotImplementedError", text))
}

/// An error unless there is memory for latents like `x` of `h` by `w`.
fn room_for(cx: &dyn NodeCx, x: &Tensor, h: f64, w: f64) -> Result<(), NodeError> {
    let (batch, channels, ..) = x.dims4()?;
    let bytes = 8.0 * (batch * channels) as f64 * h * w;
    make_room(cx, bytes as u64, &format!("latents of {}×{}", w as u64, h as u64))
}

/// Latents to a size.
#[derive(Debug, Deserialize, Node)]
#[node(id = "lresize", title = "Resize Latents", version = "1.0.2", category = "latents", tags("latents", "resize"), output = LatentsOutput)]
struct ResizeLatents {
    #[field(input = connection)]
    latents: LatentsField,
    #[field(ge = 64, multiple_of = 8)]
    width: i64,
    #[field(ge = 64, multiple_of = 8)]
    height: i64,
    #[field(default = "bilinear")]
    mode: ResizeLatentsMode,
    #[field(default = false)]
    antialias: bool,
}

impl Invoke for ResizeLatents {
    fn invoke(self, cx: &dyn NodeCx) -> Result<LatentsOutput, NodeError> {
        let x = tensor(cx, &self.latents.latents_name)?;
        room_for(cx, &x, (self.height / 8) as f64, (self.width / 8) as f64)?;
        let x = latents::resize(
            &x,
            self.height as usize / 8,
            self.width as usize / 8,
            interpolation(&self.mode)?,
            self.antialias,
        )?;
        latents_output(cx, x, self.latents.seed)
    }
}

/// Latents by a factor.
#[derive(Debug, Deserialize, Node)]
#[node(id = "lscale", title = "Scale Latents", version = "1.0.2", category = "latents", tags("latents", "resize"), output = LatentsOutput)]
struct ScaleLatents {
    #[field(input = connection)]
    latents: LatentsField,
    #[field(gt = 0)]
    scale_factor: f64,
    #[field(default = "bilinear")]
    mode: ResizeLatentsMode,
    #[field(default = false)]
    antialias: bool,
}

impl Invoke for ScaleLatents {
    fn invoke(self, cx: &dyn NodeCx) -> Result<LatentsOutput, NodeError> {
        const MOST: f64 = 64.0;
        if self.scale_factor > MOST {
            return Err(NodeError::value(format!(
                "scale_factor is {}, expected at most {MOST}",
                self.scale_factor
            )));
        }
        let x = tensor(cx, &self.latents.latents_name)?;
        let (_, _, h, w) = x.dims4()?;
        room_for(cx, &x, h as f64 * self.scale_factor, w as f64 * self.scale_factor)?;
        let x = latents::scale(&x, self.scale_factor, interpolation(&self.mode)?, self.antialias)?;
        latents_output(cx, x, self.latents.seed)
    }
}

/// Two latents along the sphere between them.
#[derive(Debug, Deserialize, Node)]
#[node(id = "lblend", title = "Blend Latents", version = "1.1.0", category = "latents", tags("latents", "blend", "mask"), output = LatentsOutput)]
struct BlendLatents {
    #[field(input = connection)]
    latents_a: LatentsField,
    #[field(input = connection)]
    latents_b: LatentsField,
    mask: Option<ImageField>,
    #[field(default = 0.5, ge = 0)]
    alpha: f64,
}

impl Invoke for BlendLatents {
    fn invoke(self, cx: &dyn NodeCx) -> Result<LatentsOutput, NodeError> {
        let (a, mut b) = (tensor(cx, &self.latents_a.latents_name)?, tensor(cx, &self.latents_b.latents_name)?);
        if a.dims() != b.dims() {
            return Err(NodeError::value("Latents to blend must be the same size."));
        }
        if let Some(mask) = &self.mask {
            let mask = grey(&*cx.load_image(&mask.image_name)?)?;
            let mask = (Tensor::from_slice(mask.data(), (1, 1, mask.height(), mask.width()), &Device::Cpu)?.to_dtype(DType::F32)? / 255.0)?;
            b = latents::mix_by_mask(&a, &b, &mask)?;
        }
        latents_output(cx, latents::blend(&a, &b, self.alpha)?, None)
    }
}

/// A part of latents.
#[derive(Debug, Deserialize, Node)]
#[node(id = "crop_latents", title = "Crop Latents", version = "1.0.2", category = "latents", tags("latents", "crop"), output = LatentsOutput)]
struct CropLatentsCore {
    #[field(input = connection)]
    latents: LatentsField,
    #[field(ge = 0, multiple_of = 8)]
    x: i64,
    #[field(ge = 0, multiple_of = 8)]
    y: i64,
    #[field(ge = 1, multiple_of = 8)]
    width: i64,
    #[field(ge = 1, multiple_of = 8)]
    height: i64,
}

impl Invoke for CropLatentsCore {
    fn invoke(self, cx: &dyn NodeCx) -> Result<LatentsOutput, NodeError> {
        let x = tensor(cx, &self.latents.latents_name)?;
        let at = |pixels: i64| (pixels / 8) as usize;
        let x = latents::crop(&x, at(self.y), at(self.x), at(self.height), at(self.width))?;
        latents_output(cx, x, self.latents.seed)
    }
}

/// Passes latents on.
#[derive(Debug, Deserialize, Node)]
#[node(id = "latents", title = "Latents Primitive", version = "1.0.2", category = "primitives", tags("primitives", "latents"), output = LatentsOutput)]
struct Latents {
    #[field(input = connection)]
    latents: LatentsField,
}

impl Invoke for Latents {
    fn invoke(self, cx: &dyn NodeCx) -> Result<LatentsOutput, NodeError> {
        let x = tensor(cx, &self.latents.latents_name)?;
        let [.., h, w] = *x.dims() else {
            return Err(NodeError::runtime("latents have at least two axes"));
        };
        Ok(LatentsOutput {
            latents: self.latents,
            width: w as i64 * 8,
            height: h as i64 * 8,
        })
    }
}

/// A size in pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "ideal_size_output")]
struct IdealSizeOutput {
    width: i64,
    height: i64,
}

/// The size nearest to a model's own that has the proportions asked for.
#[derive(Debug, Deserialize, Node)]
#[node(id = "ideal_size", title = "Ideal Size - SD1.5, SDXL", version = "1.0.6", category = "latents", tags("latents", "math", "ideal_size"), output = IdealSizeOutput)]
struct IdealSize {
    #[field(default = 1024)]
    width: i64,
    #[field(default = 576)]
    height: i64,
    unet: UNetField,
    #[field(default = 1.0)]
    multiplier: f64,
}

impl Invoke for IdealSize {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<IdealSizeOutput, NodeError> {
        let base = self.unet.unet.base.as_str();
        let side = match base {
            "sd-1" => 512.0,
            "sd-2" => 768.0,
            "sdxl" | "flux" | "flux2" | "sd-3" => 1024.0,
            other => return Err(NodeError::value(format!("Unsupported model type: {other}"))),
        };
        if self.width < 1 || self.height < 1 || self.multiplier <= 0.0 {
            return Err(NodeError::value("width, height and multiplier: expected more than 0"));
        }
        let side = side * self.multiplier;
        let (aspect, least, area) = (self.width as f64 / self.height as f64, (side * 0.5).floor(), side * side);
        let (width, height) = if aspect > 1.0 {
            let height = least.max((area / aspect).sqrt());
            (height * aspect, height)
        } else {
            let width = least.max((area * aspect).sqrt());
            (width, width / aspect)
        };
        let trimmed = |x: f64| x.floor() as i64 / 8 * 8;
        Ok(IdealSizeOutput {
            width: trimmed(width),
            height: trimmed(height),
        })
    }
}
