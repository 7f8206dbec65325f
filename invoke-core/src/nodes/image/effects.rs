//! Blurs, sharpening, noise and enhancers.

use invoke_macros::Node;
use serde::Deserialize;

use super::{load, store};
use crate::{
    domain::shape::choices,
    imaging::{
        Mode, Picture, adjust, box_blur, chops, effects, gaussian_blur,
        noise::{AddNoise, NoiseKind},
    },
    nodes::{Invoke, NodeCx, NodeEntry, NodeError, entry, fields::ImageField, outputs::ImageOutput},
};

pub(in crate::nodes) const NODES: &[NodeEntry] = &[
    entry::<ImageBlur>(),
    entry::<UnsharpMask>(),
    entry::<OklabUnsharpMask>(),
    entry::<ImageNoise>(),
    entry::<InvokeImageEnhance>(),
];

choices! {
    enum BlurType { Gaussian = "gaussian", Box = "box" }
}

/// A picture blurred with regard to its opacity. The result is RGBA.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_blur", title = "Blur Image", version = "1.2.2", category = "image", tags("image", "blur"), output = ImageOutput, board, metadata)]
struct ImageBlur {
    image: ImageField,
    #[field(default = 8.0, ge = 0)]
    radius: f64,
    #[field(default = "gaussian")]
    blur_type: BlurType,
}

impl Invoke for ImageBlur {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let radius = self.radius as f32;
        store(
            cx,
            effects::blur_with_opacity(&load(cx, &self.image)?, |image| match self.blur_type {
                BlurType::Gaussian => gaussian_blur(image, radius),
                BlurType::Box => box_blur(image, radius),
            }),
        )
    }
}

/// A picture sharpened by its difference to a blurred copy.
#[derive(Debug, Deserialize, Node)]
#[node(id = "unsharp_mask", title = "Unsharp Mask", version = "1.2.2", category = "image", tags("image", "unsharp_mask"), output = ImageOutput, board, metadata)]
struct UnsharpMask {
    image: ImageField,
    #[field(default = 2, gt = 0)]
    radius: f64,
    #[field(default = 50, ge = 0)]
    strength: f64,
}

impl Invoke for UnsharpMask {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        store(
            cx,
            effects::unsharp_mask(&load(cx, &self.image)?, self.radius as f32, self.strength),
        )
    }
}

/// A picture sharpened in Oklab's lightness alone.
#[derive(Debug, Deserialize, Node)]
#[node(id = "unsharp_mask_oklab", title = "Unsharp Mask (Oklab)", version = "1.0.0", category = "image", tags("image", "unsharp_mask", "oklab"), output = ImageOutput, board, metadata)]
struct OklabUnsharpMask {
    image: ImageField,
    #[field(default = 2, gt = 0)]
    radius: f64,
    #[field(default = 50, ge = 0)]
    strength: f64,
}

impl Invoke for OklabUnsharpMask {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        store(
            cx,
            effects::unsharp_mask_oklab(&load(cx, &self.image)?, self.radius as f32, self.strength),
        )
    }
}

choices! {
    enum NoiseType { Gaussian = "gaussian", SaltAndPepper = "salt_and_pepper" }
}

/// A picture with noise over it, where the mask is black. The result is RGBA.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_noise", title = "Add Image Noise", version = "1.1.0", category = "image", tags("image", "noise"), output = ImageOutput, board, metadata)]
struct ImageNoise {
    image: ImageField,
    mask: Option<ImageField>,
    #[field(default = 0, ge = 0, le = u32::MAX)]
    seed: i64,
    #[field(default = "gaussian")]
    noise_type: NoiseType,
    #[field(default = 0.1, ge = 0, le = 1)]
    amount: f64,
    #[field(default = true)]
    noise_color: bool,
    #[field(default = 1, ge = 1)]
    size: i64,
}

impl Invoke for ImageNoise {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load(cx, &self.image)?;
        let mask = self.mask.map(|mask| load(cx, &mask)).transpose()?;
        let grain = usize::try_from(self.size).unwrap_or(1);
        if image.width() < grain || image.height() < grain {
            return Err(NodeError::value("size must not be larger than the picture"));
        }
        let noise = AddNoise {
            kind: match self.noise_type {
                NoiseType::Gaussian => NoiseKind::Gaussian,
                NoiseType::SaltAndPepper => NoiseKind::SaltAndPepper,
            },
            seed: self.seed as u64,
            amount: self.amount,
            color: self.noise_color,
            size: grain,
        };
        store(cx, noise.apply(&image, mask.as_ref())?)
    }
}

/// A picture turned round if asked to, then its colour, contrast, brightness and sharpness changed by factors.
#[derive(Debug, Deserialize, Node)]
#[node(id = "invokeai_img_enhance", title = "Enhance Image", version = "1.2.1", category = "image", tags("enhance", "image"), output = ImageOutput, board, metadata)]
struct InvokeImageEnhance {
    image: ImageField,
    #[field(default = false)]
    invert: bool,
    #[field(default = 1.0, ge = 0)]
    color: f64,
    #[field(default = 1.0, ge = 0)]
    contrast: f64,
    #[field(default = 1.0, ge = 0)]
    brightness: f64,
    #[field(default = 1.0, ge = 0)]
    sharpness: f64,
}

impl Invoke for InvokeImageEnhance {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let mut image = load(cx, &self.image)?;
        if self.invert {
            if !matches!(image.mode(), Mode::L | Mode::Rgb) {
                image = image.convert(Mode::Rgb);
            }
            image = chops::invert(&image);
        }
        type Enhance = fn(&Picture, f32) -> Picture;
        let steps: [(Enhance, f64); 4] = [
            (adjust::color, self.color),
            (adjust::contrast, self.contrast),
            (adjust::brightness, self.brightness),
            (adjust::sharpness, self.sharpness),
        ];
        for (enhance, factor) in steps {
            if (factor - 1.0).abs() > 0.0 {
                image = enhance(&image, factor as f32);
            }
        }
        store(cx, image)
    }
}
