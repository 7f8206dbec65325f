//! Pictures on pictures.

use invoke_macros::Node;
use serde::Deserialize;

use super::{css_color, load, load_as, place, store};
use crate::{
    domain::shape::choices,
    imaging::{
        Mode, alpha_composite,
        blend::{Blend, BlendMode, BlendSpace},
        key,
        layout::{self, FitTo},
    },
    nodes::{Invoke, NodeCx, NodeEntry, NodeError, entry, fields::ImageField, outputs::ImageOutput},
};

pub(in crate::nodes) const NODES: &[NodeEntry] = &[entry::<InvokeImageBlend>(), entry::<InvokeImageCompositor>()];

choices! {
    enum ModeName { Normal = "Normal", LightenOnly = "Lighten Only", DarkenOnly = "Darken Only", LightenOnlyEal = "Lighten Only (EAL)", DarkenOnlyEal = "Darken Only (EAL)", Hue = "Hue", Saturation = "Saturation", Color = "Color", Luminosity = "Luminosity", LinearDodge = "Linear Dodge (Add)", Subtract = "Subtract", Multiply = "Multiply", Divide = "Divide", Screen = "Screen", Overlay = "Overlay", LinearBurn = "Linear Burn", Difference = "Difference", HardLight = "Hard Light", SoftLight = "Soft Light", VividLight = "Vivid Light", LinearLight = "Linear Light", ColorBurn = "Color Burn", ColorDodge = "Color Dodge" }
}

choices! {
    enum SpaceName { Rgb = "RGB", Linear = "Linear RGB", Hsl = "HSL (RGB)", Hsv = "HSV (RGB)", Okhsl = "Okhsl", Okhsv = "Okhsv", Oklch = "Oklch (Oklab)", Lch = "LCh (CIELab)" }
}

impl From<ModeName> for BlendMode {
    fn from(name: ModeName) -> Self {
        match name {
            ModeName::Normal => Self::Normal,
            ModeName::LightenOnly => Self::LightenOnly,
            ModeName::DarkenOnly => Self::DarkenOnly,
            ModeName::LightenOnlyEal => Self::LightenOnlyEal,
            ModeName::DarkenOnlyEal => Self::DarkenOnlyEal,
            ModeName::Hue => Self::Hue,
            ModeName::Saturation => Self::Saturation,
            ModeName::Color => Self::Color,
            ModeName::Luminosity => Self::Luminosity,
            ModeName::LinearDodge => Self::LinearDodge,
            ModeName::Subtract => Self::Subtract,
            ModeName::Multiply => Self::Multiply,
            ModeName::Divide => Self::Divide,
            ModeName::Screen => Self::Screen,
            ModeName::Overlay => Self::Overlay,
            ModeName::LinearBurn => Self::LinearBurn,
            ModeName::Difference => Self::Difference,
            ModeName::HardLight => Self::HardLight,
            ModeName::SoftLight => Self::SoftLight,
            ModeName::VividLight => Self::VividLight,
            ModeName::LinearLight => Self::LinearLight,
            ModeName::ColorBurn => Self::ColorBurn,
            ModeName::ColorDodge => Self::ColorDodge,
        }
    }
}

impl From<SpaceName> for BlendSpace {
    fn from(name: SpaceName) -> Self {
        match name {
            SpaceName::Rgb => Self::Rgb,
            SpaceName::Linear => Self::Linear,
            SpaceName::Hsl => Self::Hsl,
            SpaceName::Hsv => Self::Hsv,
            SpaceName::Okhsl => Self::Okhsl,
            SpaceName::Okhsv => Self::Okhsv,
            SpaceName::Oklch => Self::Oklch,
            SpaceName::Lch => Self::Lch,
        }
    }
}

/// A picture on another by a blend mode, where the mask is black. The result has the base's mode.
#[derive(Debug, Deserialize, Node)]
#[node(id = "invokeai_img_blend", title = "Image Layer Blend", version = "1.2.0", category = "image", tags("image", "blend", "layer", "alpha", "composite", "dodge", "burn"), output = ImageOutput, board, metadata)]
struct InvokeImageBlend {
    #[field(order = 1)]
    layer_upper: ImageField,
    #[field(default = "Normal", order = 2)]
    blend_mode: ModeName,
    #[field(default = 1.0, ge = 0, order = 3)]
    opacity: f64,
    #[field(order = 4)]
    mask: Option<ImageField>,
    #[field(default = false, order = 5)]
    fit_to_width: bool,
    #[field(default = true, order = 6)]
    fit_to_height: bool,
    #[field(order = 7)]
    layer_base: ImageField,
    #[field(default = "RGB", order = 8)]
    color_space: SpaceName,
    #[field(default = 0.0, ge = 0, order = 9)]
    adaptive_gamut: f64,
    #[field(default = true, order = 10)]
    high_precision: bool,
}

impl Invoke for InvokeImageBlend {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let upper = load(cx, &self.layer_upper)?;
        let base = load(cx, &self.layer_base)?;
        let mask = self.mask.map(|mask| load(cx, &mask)).transpose()?;
        let blend = Blend {
            mode: self.blend_mode.into(),
            space: self.color_space.into(),
            opacity: self.opacity as f32,
            fit: FitTo {
                width: self.fit_to_width,
                height: self.fit_to_height,
            },
            adaptive_gamut: self.adaptive_gamut as f32,
            high_precision: self.high_precision,
        };
        store(cx, blend.apply(&upper, &base, mask.as_ref())?)
    }
}

/// A subject taken out of its plain backdrop and laid on a background. The result is RGBA.
#[derive(Debug, Deserialize, Node)]
#[node(id = "invokeai_img_composite", title = "Image Compositor", version = "1.2.0", category = "image", tags("image", "compose", "chroma", "key"), output = ImageOutput, board, metadata)]
struct InvokeImageCompositor {
    image_subject: ImageField,
    image_background: ImageField,
    #[field(default = "")]
    chroma_key: String,
    #[field(default = 50, ge = 0)]
    threshold: i64,
    #[field(default = false)]
    fill_x: bool,
    #[field(default = true)]
    fill_y: bool,
    #[field(default = 0)]
    x_offset: i64,
    #[field(default = 0)]
    y_offset: i64,
}

impl Invoke for InvokeImageCompositor {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let background = load_as(cx, &self.image_background, Mode::Rgba)?;
        let subject = load_as(cx, &self.image_subject, Mode::Rgba)?;
        let key = self.chroma_key.trim();
        let subject = if key.is_empty() {
            key::remove_from_corners(&subject, u32::try_from(self.threshold).unwrap_or(u32::MAX))
        } else {
            let color = css_color::parse(key).ok_or_else(|| {
                NodeError::value(format!(
                    "chroma_key: expected a colour name, #rrggbb, rgb(r, g, b) or (r, g, b), got {key:?}"
                ))
            })?;
            key::remove_color(&subject, color, self.threshold as f64)
        };
        let fit = FitTo {
            width: self.fill_x,
            height: self.fill_y,
        };
        let subject = fit.apply(&subject, background.width(), background.height());
        let subject = layout::offset(&subject, place(self.x_offset), place(-place(self.y_offset)));
        store(cx, alpha_composite(&background, &subject)?)
    }
}
