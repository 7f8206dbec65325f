//! Masks that say where to denoise: white keeps the picture, black makes it anew.

use candle_core::{DType, Device, Tensor};
use image::{DynamicImage, GrayImage};
use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize};

use super::{codec, grey, load};
use crate::{
    domain::shape::choices,
    imaging::{Picture, Resample},
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError,
        cx::Picture as NewPicture,
        entry,
        fields::{DenoiseMaskField, ImageField, UNetField, VAEField},
        outputs::DenoiseMaskOutput,
        workbench::keep,
    },
};

pub(super) const NODES: &[NodeEntry] = &[entry::<CreateDenoiseMask>(), entry::<CreateGradientMask>()];

/// Grey samples as `[1, 1, h, w]` in 0 to 1.
fn to_tensor(mask: &Picture) -> Result<Tensor, NodeError> {
    let plane = Tensor::from_slice(mask.data(), (1, 1, mask.height(), mask.width()), &Device::Cpu)?;
    Ok((plane.to_dtype(DType::F32)? / 255.0)?)
}

/// Latents of a picture with everything cut out that is to be made anew.
fn masked_latents(cx: &dyn NodeCx, image: &ImageField, mask: &Tensor, vae: &VAEField, tiled: bool) -> Result<String, NodeError> {
    let pixels = codec::to_grid(&*cx.load_image(&image.image_name)?)?;
    let (_, _, h, w) = pixels.dims4()?;
    let mask = if mask.dims()[2..] == [h, w] {
        mask.clone()
    } else {
        mask.interpolate2d(h, w)?
    };
    let kept = mask.ge(0.5)?.to_dtype(DType::F32)?;
    // In -1 to 1 what is cut out becomes 0, the middle grey.
    let signed = ((pixels * 2.0)? - 1.0)?.broadcast_mul(&kept)?;
    let vae = load::vae(cx, vae)?;
    let latents = codec::encode(cx, &vae, &((signed + 1.0)? / 2.0)?, tiled.then_some(0))?;
    Ok(keep(cx, latents))
}

/// Takes a mask as it is.
#[derive(Debug, Deserialize, Node)]
#[node(id = "create_denoise_mask", title = "Create Denoise Mask", version = "1.0.2", category = "mask", tags("mask", "denoise"), output = DenoiseMaskOutput)]
struct CreateDenoiseMask {
    #[field(input = connection, order = 0)]
    vae: VAEField,
    #[field(order = 1)]
    image: Option<ImageField>,
    #[field(order = 2)]
    mask: ImageField,
    #[field(default = false, order = 3)]
    tiled: bool,
    #[field(default = false, order = 4)]
    #[serde(rename = "fp32")]
    _fp32: bool,
}

impl Invoke for CreateDenoiseMask {
    fn invoke(self, cx: &dyn NodeCx) -> Result<DenoiseMaskOutput, NodeError> {
        let mask = grey(&*cx.load_image(&self.mask.image_name)?)?.resize_to_grid(8);
        let mask = to_tensor(&mask)?;
        let masked_latents_name = match &self.image {
            Some(image) => Some(masked_latents(cx, image, &mask, &self.vae, self.tiled)?),
            None => None,
        };
        Ok(DenoiseMaskField {
            mask_name: keep(cx, mask),
            masked_latents_name,
            gradient: false,
        }
        .into())
    }
}

choices! {
    /// How a mask's edge falls off.
    enum CoherenceMode { Gaussian = "Gaussian Blur", Box = "Box Blur", Staged = "Staged" }
}

/// A mask with soft edges.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "gradient_mask_output")]
struct GradientMaskOutput {
    denoise_mask: DenoiseMaskField,
    expanded_mask_area: ImageField,
}

/// Lets a mask's edge fall off, so that what is made anew goes over into what stays.
#[derive(Debug, Deserialize, Node)]
#[node(id = "create_gradient_mask", title = "Create Gradient Mask", version = "1.3.0", category = "mask", tags("mask", "denoise"), output = GradientMaskOutput)]
struct CreateGradientMask {
    #[field(order = 1)]
    mask: ImageField,
    #[field(default = 16, ge = 0, order = 2)]
    edge_radius: i64,
    #[field(default = "Gaussian Blur", order = 3)]
    coherence_mode: CoherenceMode,
    #[field(default = 0.0, ge = 0, le = 1, order = 4)]
    minimum_denoise: f64,
    #[field(order = 6, title = "[OPTIONAL] Image")]
    image: Option<ImageField>,
    #[field(input = connection, order = 5, title = "[OPTIONAL] UNet")]
    unet: Option<UNetField>,
    #[field(input = connection, order = 7, title = "[OPTIONAL] VAE")]
    vae: Option<VAEField>,
    #[field(default = false, order = 8)]
    tiled: bool,
    #[field(default = false, order = 9)]
    #[serde(rename = "fp32")]
    _fp32: bool,
}

/// Weights of the falling edge for a radius: 1 in the middle, 0 outside.
fn kernel(radius: i64, mode: &CoherenceMode) -> Vec<(i64, i64, f32)> {
    let sigma = radius as f64 / 2.5;
    let mut cells = Vec::new();
    for dy in -radius..=radius {
        for dx in -radius..=radius {
            let distance = ((dx * dx + dy * dy) as f64).sqrt();
            if distance > radius as f64 {
                continue;
            }
            let weight = match mode {
                CoherenceMode::Box => 1.0 - distance / radius as f64,
                CoherenceMode::Gaussian | CoherenceMode::Staged => (-(distance * distance) / (2.0 * sigma * sigma)).exp(),
            };
            cells.push((dx, dy, weight as f32));
        }
    }
    cells
}

/// `255 - max(weight * (255 - mask))` around each sample; beyond the edge nothing is to be made anew.
fn dilated(mask: &Picture, radius: i64, mode: &CoherenceMode) -> Vec<f32> {
    let (w, h) = (mask.width() as i64, mask.height() as i64);
    let cells = kernel(radius, mode);
    let anew: Vec<f32> = mask.data().iter().map(|&v| 255.0 - f32::from(v)).collect();
    let mut out = Vec::with_capacity(anew.len());
    for y in 0..h {
        for x in 0..w {
            let mut most = 0.0_f32;
            for &(dx, dy, weight) in &cells {
                let (sx, sy) = (x + dx, y + dy);
                if sx >= 0 && sy >= 0 && sx < w && sy < h {
                    most = most.max(weight * anew[(sy * w + sx) as usize]);
                }
            }
            out.push(255.0 - most);
        }
    }
    out
}

impl CreateGradientMask {
    /// The mask at latent size, 255 where the picture stays.
    fn gradient(&self, small: &Picture) -> Vec<u8> {
        let radius = self.edge_radius / 8;
        if radius == 0 {
            return small.data().to_vec();
        }
        let threshold = (1.0 - self.minimum_denoise as f32) * 255.0;
        let soft = dilated(small, radius, &self.coherence_mode);
        let staged = matches!(self.coherence_mode, CoherenceMode::Staged);
        soft.iter()
            .zip(small.data())
            .map(|(&soft, &original)| {
                let original = f32::from(original);
                let value = if !staged {
                    soft
                } else if soft < original {
                    threshold
                } else {
                    original
                };
                if value > threshold && value < 255.0 {
                    threshold as u8
                } else {
                    value as u8
                }
            })
            .collect()
    }
}

impl Invoke for CreateGradientMask {
    fn invoke(self, cx: &dyn NodeCx) -> Result<GradientMaskOutput, NodeError> {
        let mask = grey(&*cx.load_image(&self.mask.image_name)?)?;
        let (w, h) = (mask.width() / 8, mask.height() / 8);
        if w == 0 || h == 0 {
            return Err(NodeError::value(format!(
                "the mask is {}×{}, expected at least 8×8",
                mask.width(),
                mask.height()
            )));
        }
        let small = mask.resize(w, h, Resample::Bilinear);
        let samples = self.gradient(&small);
        let area: Vec<u8> = samples.iter().map(|&v| if v < 255 { 0 } else { 255 }).collect();
        let large = |samples: Vec<u8>| -> Result<Picture, NodeError> {
            let picture = Picture::from_samples(crate::imaging::Mode::L, w, h, samples).map_err(NodeError::runtime)?;
            Ok(picture.resize(w * 8, h * 8, Resample::Nearest))
        };
        let area = large(area)?;
        let pixels = GrayImage::from_raw(area.width() as u32, area.height() as u32, area.into_data())
            .ok_or_else(|| NodeError::runtime("the mask has the wrong number of pixels"))?;
        let tensor = to_tensor(&large(samples)?)?;
        let masked_latents_name = match (&self.image, &self.unet, &self.vae) {
            (Some(image), Some(unet), Some(vae)) => {
                let record = load::installed(cx, &unet.unet)?.record;
                let is_inpainting = record["variant"] == "inpaint";
                if is_inpainting {
                    Some(masked_latents(cx, image, &tensor, vae, self.tiled)?)
                } else {
                    None
                }
            }
            _ => None,
        };
        // Last, or it would be there twice if what comes before is tried twice.
        let saved = cx.save_image(NewPicture {
            pixels: std::sync::Arc::new(DynamicImage::ImageLuma8(pixels)),
            category: crate::domain::image::ImageCategory::Mask,
            metadata: None,
            board: None,
        })?;
        Ok(GradientMaskOutput {
            denoise_mask: DenoiseMaskField {
                mask_name: keep(cx, tensor),
                masked_latents_name,
                gradient: true,
            },
            expanded_mask_area: ImageField {
                image_name: saved.image_name,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::Mode;

    #[test]
    fn an_edge_falls_off_within_the_radius() {
        let mut samples = vec![255; 81];
        samples[40] = 0;
        let mask = Picture::from_samples(Mode::L, 9, 9, samples).unwrap();
        let soft = dilated(&mask, 2, &CoherenceMode::Box);
        assert_eq!(soft[40], 0.0);
        assert_eq!(soft[41], 127.5);
        assert_eq!(soft[42], 255.0);
    }
}
