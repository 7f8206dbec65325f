//! Hue, histograms and lightness.

use invoke_macros::Node;
use serde::Deserialize;

use super::{load, load_as, store};
use crate::{
    domain::shape::choices,
    imaging::{
        Mode, Picture,
        cv::{self, Extreme},
        effects,
        histogram::{MatchIn, match_histogram},
        hue::{HueSpace, TurnHue},
        lightness::{self, Thresholds},
    },
    nodes::{Invoke, NodeCx, NodeEntry, NodeError, entry, fields::ImageField, outputs::ImageOutput},
};

/// Pictures are cut to multiples of this before their values are compared.
const GRID: usize = 8;

pub(in crate::nodes) const NODES: &[NodeEntry] = &[
    entry::<ImageHueAdjustment>(),
    entry::<OklchImageHueAdjustment>(),
    entry::<InvokeAdjustImageHuePlus>(),
    entry::<ColorCorrect>(),
    entry::<InvokeEquivalentAchromaticLightness>(),
    entry::<InvokeImageDilateOrErode>(),
    entry::<InvokeImageValueThresholds>(),
];

/// A picture with its hue turned. The result is RGBA and opaque.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_hue_adjust", title = "Adjust Image Hue", version = "1.2.2", category = "image", tags("image", "hue"), output = ImageOutput, board, metadata)]
struct ImageHueAdjustment {
    image: ImageField,
    #[field(default = 0)]
    hue: i64,
}

impl Invoke for ImageHueAdjustment {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        store(cx, effects::adjust_hue(&load(cx, &self.image)?, self.hue))
    }
}

/// A picture with its hue turned in Oklch.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_hue_adjust_oklch", title = "Adjust Image Hue (Oklch)", version = "1.0.0", category = "image", tags("image", "hue", "oklch"), output = ImageOutput, board, metadata)]
struct OklchImageHueAdjustment {
    image: ImageField,
    #[field(default = 0)]
    hue: i64,
}

impl Invoke for OklchImageHueAdjustment {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        store(cx, effects::adjust_hue_oklch(&load(cx, &self.image)?, self.hue))
    }
}

choices! {
    enum HueSpaceName { Hsv = "HSV / HSL / RGB", Okhsl = "Okhsl", Okhsv = "Okhsv", Oklch = "*Oklch / Oklab", Lch = "*LCh / CIELab", UpLab = "*UPLab (w/CIELab_to_UPLab.icc)" }
}

/// A picture with its hue turned in a choice of spaces.
#[derive(Debug, Deserialize, Node)]
#[node(id = "invokeai_img_hue_adjust_plus", title = "Adjust Image Hue Plus", version = "1.2.0", category = "image", tags("image", "hue", "oklab", "cielab", "uplab", "lch", "hsv", "hsl", "lab"), output = ImageOutput, board, metadata)]
struct InvokeAdjustImageHuePlus {
    image: ImageField,
    #[field(default = "HSV / HSL / RGB")]
    space: HueSpaceName,
    #[field(default = 0.0)]
    degrees: f64,
    #[field(default = false)]
    preserve_lightness: bool,
    #[field(default = 0.05, ge = 0)]
    ok_adaptive_gamut: f64,
    #[field(default = true)]
    ok_high_precision: bool,
}

impl Invoke for InvokeAdjustImageHuePlus {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let space = match self.space {
            HueSpaceName::Hsv => HueSpace::Hsv,
            HueSpaceName::Okhsl => HueSpace::Okhsl,
            HueSpaceName::Okhsv => HueSpace::Okhsv,
            HueSpaceName::Oklch => HueSpace::Oklch,
            HueSpaceName::Lch => HueSpace::Lch,
            HueSpaceName::UpLab => {
                return Err(NodeError::value(
                    "space: UPLab needs the colour profile CIELab_to_UPLab.icc, which this program does not carry",
                ));
            }
        };
        let turn = TurnHue {
            space,
            degrees: self.degrees as f32,
            preserve_lightness: self.preserve_lightness,
            adaptive_gamut: self.ok_adaptive_gamut as f32,
            high_precision: self.ok_high_precision,
        };
        store(cx, turn.apply(&load(cx, &self.image)?))
    }
}

choices! {
    enum MatchSpace { Rgb = "RGB", YCbCr = "YCbCr", Chroma = "YCbCr-Chroma", Luma = "YCbCr-Luma" }
}

/// A picture with its histograms matched to another's, where the mask is black. The result is RGBA.
#[derive(Debug, Deserialize, Node)]
#[node(id = "color_correct", title = "Color Correct", version = "2.0.0", category = "image", tags("image", "color"), output = ImageOutput, board, metadata)]
struct ColorCorrect {
    base_image: ImageField,
    color_reference: ImageField,
    mask: Option<ImageField>,
    #[field(default = "RGB")]
    colorspace: MatchSpace,
}

impl Invoke for ColorCorrect {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let base = load(cx, &self.base_image)?;
        let reference = load(cx, &self.color_reference)?;
        let mask = self.mask.map(|mask| load_as(cx, &mask, Mode::L)).transpose()?;
        let space = match self.colorspace {
            MatchSpace::Rgb => MatchIn::Rgb,
            MatchSpace::YCbCr => MatchIn::YCbCr,
            MatchSpace::Chroma => MatchIn::Chroma,
            MatchSpace::Luma => MatchIn::Luma,
        };
        store(cx, match_histogram(&base, &reference, space, mask.as_ref())?)
    }
}

/// The lightness of a picture with regard to its colours, in grey.
#[derive(Debug, Deserialize, Node)]
#[node(id = "invokeai_ealightness", title = "Equivalent Achromatic Lightness", version = "1.2.0", category = "image", tags("image", "channel", "mask", "cielab", "lab"), output = ImageOutput, board, metadata)]
struct InvokeEquivalentAchromaticLightness {
    image: ImageField,
}

impl Invoke for InvokeEquivalentAchromaticLightness {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        store(cx, lightness::equivalent_picture(&load(cx, &self.image)?))
    }
}

choices! {
    enum GrowMode { Dilate = "Dilate", Erode = "Erode" }
}

/// A picture with its light parts grown or shrunk by an ellipse, in all channels or in lightness alone.
#[derive(Debug, Deserialize, Node)]
#[node(id = "invokeai_img_dilate_erode", title = "Image Dilate or Erode", version = "1.3.0", category = "image", tags("image", "mask", "dilate", "erode", "expand", "contract", "mask"), output = ImageOutput, metadata)]
struct InvokeImageDilateOrErode {
    image: ImageField,
    #[field(default = false)]
    lightness_only: bool,
    #[field(default = 4, ge = 0)]
    radius_w: i64,
    #[field(default = 4, ge = 0)]
    radius_h: i64,
    #[field(default = "Dilate")]
    mode: GrowMode,
}

impl Invoke for InvokeImageDilateOrErode {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load(cx, &self.image)?;
        let which = match self.mode {
            GrowMode::Dilate => Extreme::Max,
            GrowMode::Erode => Extreme::Min,
        };
        let radius = |v: i64| usize::try_from(v).unwrap_or(0).min(image.width().max(image.height()));
        let (x, y) = (radius(self.radius_w), radius(self.radius_h));
        let out = if self.lightness_only {
            lightness::on_lightness(&image, |light| cv::ellipse(light, x, y, which))?
        } else {
            cv::ellipse(&image, x, y, which)
        };
        store(cx, out)
    }
}

/// A picture with its bright parts made white and its dark parts made black, in all channels or in lightness alone.
#[derive(Debug, Deserialize, Node)]
#[node(id = "invokeai_img_val_thresholds", title = "Image Value Thresholds", version = "1.2.0", category = "image", tags("image", "mask", "value", "threshold"), output = ImageOutput, board, metadata)]
struct InvokeImageValueThresholds {
    image: ImageField,
    #[field(default = false)]
    invert_output: bool,
    #[field(default = false)]
    renormalize_values: bool,
    #[field(default = false)]
    lightness_only: bool,
    #[field(default = 0.5)]
    threshold_upper: f64,
    #[field(default = 0.5)]
    threshold_lower: f64,
}

impl Invoke for InvokeImageValueThresholds {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load(cx, &self.image)?;
        if image.width() < GRID || image.height() < GRID {
            return Err(NodeError::value(format!("image must be at least {GRID} pixels wide and high")));
        }
        let thresholds = Thresholds {
            upper: self.threshold_upper as f32,
            lower: self.threshold_lower as f32,
            invert: self.invert_output,
            renormalize: self.renormalize_values,
        };
        let apply = |image: &Picture| thresholds.apply(&image.resize_to_grid(GRID));
        store(
            cx,
            if self.lightness_only {
                lightness::on_lightness(&image, apply)?
            } else {
                apply(&image)
            },
        )
    }
}
