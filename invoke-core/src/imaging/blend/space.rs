//! The spaces blend formulas are computed in.

use std::f32::consts::TAU;

use super::BlendMode;
use crate::imaging::{
    LabPrecision,
    color::{
        Color, byte, hsl_from_srgb, linear_from_oklab, linear_from_srgb, okhsl_from_srgb, okhsv_from_srgb, oklab_from_linear,
        oklab_from_oklch, oklch_from_oklab, srgb_from_hsl, srgb_from_okhsl, srgb_from_okhsv, unit,
    },
    hsv, lab,
};

/// A colour space to blend in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlendSpace {
    /// Gamma-coded sRGB.
    Rgb,
    /// Linear light.
    Linear,
    /// Hue, saturation, lightness.
    Hsl,
    /// Hue, saturation, value, through bytes.
    Hsv,
    /// Ottosson's HSL.
    Okhsl,
    /// Ottosson's HSV.
    Okhsv,
    /// Polar Oklab.
    Oklch,
    /// Polar CIELAB, through bytes.
    Lch,
}

fn polar([l, a, b]: Color) -> Color {
    [l, (a * a + b * b).sqrt(), b.atan2(a)]
}

impl BlendSpace {
    /// Where the hue modes are asked for in a space without hue, HSL stands in.
    pub(super) fn for_mode(self, mode: BlendMode) -> Self {
        let hueless = matches!(self, Self::Rgb | Self::Linear);
        let needs_hue = matches!(
            mode,
            BlendMode::Hue | BlendMode::Saturation | BlendMode::Color | BlendMode::Luminosity
        );
        if hueless && needs_hue { Self::Hsl } else { self }
    }

    /// Which coordinate is lightness, if one is.
    pub(super) fn lightness(self) -> Option<usize> {
        match self {
            Self::Rgb | Self::Linear => None,
            Self::Hsl | Self::Hsv | Self::Okhsl | Self::Okhsv => Some(2),
            Self::Oklch | Self::Lch => Some(0),
        }
    }

    /// Which coordinate is hue and how long its circle is, if one is.
    pub(super) fn hue(self) -> Option<(usize, f32)> {
        match self {
            Self::Rgb | Self::Linear => None,
            Self::Hsl | Self::Hsv | Self::Okhsl | Self::Okhsv => Some((0, 360.0)),
            Self::Oklch => Some((2, 360.0)),
            Self::Lch => Some((2, TAU)),
        }
    }

    /// From gamma-coded sRGB.
    pub(super) fn enter(self, rgb: Color, steps: usize) -> Color {
        let bytes = || rgb.map(|v| (v * 255.0 + 0.5) as u8);
        match self {
            Self::Rgb => rgb,
            Self::Linear => linear_from_srgb(rgb),
            Self::Hsl => hsl_from_srgb(rgb),
            Self::Hsv => {
                let [h, s, v] = hsv::from_rgb(bytes()).map(unit);
                [h * 360.0, s, v]
            }
            Self::Okhsl => okhsl_from_srgb(rgb, steps),
            Self::Okhsv => okhsv_from_srgb(rgb, steps),
            Self::Oklch => oklch_from_oklab(oklab_from_linear(linear_from_srgb(rgb))),
            Self::Lch => {
                let [l, a, b] = lab::from_rgb(LabPrecision::High)(bytes()).map(unit);
                polar([l, a * 2.0 - 1.0, b * 2.0 - 1.0])
            }
        }
    }

    /// To linear light.
    pub(super) fn leave(self, c: Color, gamut: f32, steps: usize) -> Color {
        match self {
            Self::Rgb => linear_from_srgb(c),
            Self::Linear => c,
            Self::Hsl => linear_from_srgb(srgb_from_hsl(c)),
            Self::Hsv => {
                let bytes = [
                    byte(c[0].rem_euclid(360.0) / 360.0),
                    byte(c[1].clamp(0.0, 1.0)),
                    byte(c[2].clamp(0.0, 1.0)),
                ];
                linear_from_srgb(hsv::to_rgb(bytes).map(unit))
            }
            Self::Okhsl => linear_from_srgb(srgb_from_okhsl(c, gamut, steps)),
            Self::Okhsv => linear_from_srgb(srgb_from_okhsv(c, gamut, steps)),
            Self::Oklch => linear_from_oklab(oklab_from_oklch(c)),
            Self::Lch => {
                let [l, chroma, h] = c;
                let axis = |v: f32| byte((v + 1.0) * 0.5);
                let bytes = [byte(l.clamp(0.0, 1.0)), axis(chroma * h.cos()), axis(chroma * h.sin())];
                linear_from_srgb(lab::to_rgb(LabPrecision::High)(bytes).map(unit))
            }
        }
    }
}
