//! Colours in floating point: sRGB and linear light, HSL, Oklab and the spaces built on it.
//!
//! All in `f32`, in the order of operations of the nodes that people's workflows were made with; results agree with theirs to a few units
//! in the last place, which after truncation to bytes is at most one level.

mod gamut;
mod okhsl;
mod oklab;

pub use gamut::gamut_clip;
pub use okhsl::{okhsl_from_srgb, okhsv_from_srgb, srgb_from_okhsl, srgb_from_okhsv};
pub use oklab::{linear_from_oklab, oklab_from_linear, oklab_from_oklch, oklch_from_oklab};

/// Three coordinates of a colour.
pub type Color = [f32; 3];

/// The largest of three, or not a number where one is not.
pub(crate) fn max3(c: Color) -> f32 {
    maximum(maximum(c[0], c[1]), c[2])
}

/// The smallest of three, or not a number where one is not.
pub(crate) fn min3(c: Color) -> f32 {
    minimum(minimum(c[0], c[1]), c[2])
}

/// The larger, or not a number where one is not.
pub(crate) fn maximum(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) }
}

/// The smaller, or not a number where one is not.
pub(crate) fn minimum(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() { f32::NAN } else { a.min(b) }
}

/// Gamma-coded sRGB to linear light.
pub fn linear_from_srgb(c: Color) -> Color {
    c.map(|v| {
        if v <= 0.040_448_237 {
            v / 12.92
        } else {
            ((v + 0.055) / 1.055).powf(2.4)
        }
    })
}

/// Linear light to gamma-coded sRGB, clamped to 0..=1 before.
pub fn srgb_from_linear(c: Color) -> Color {
    c.map(|v| {
        let v = v.clamp(0.0, 1.0);
        if v <= 0.003_130_8 {
            v * 12.92
        } else {
            1.055 * v.powf(1.0 / 2.4) - 0.055
        }
    })
}

/// As [`srgb_from_linear`], after bringing colours outside the gamut back by [`gamut_clip`] where `alpha` is above 0.
pub fn srgb_from_linear_clipped(c: Color, alpha: f32, steps: usize) -> Color {
    srgb_from_linear(if alpha > 0.0 { gamut_clip(c, alpha, steps) } else { c })
}

/// sRGB to hue in degrees, saturation and lightness.
#[expect(clippy::float_cmp, reason = "the largest of three is one of the three")]
pub fn hsl_from_srgb(c: Color) -> Color {
    let max = max3(c);
    let min = min3(c);
    let l = (max + min) * 0.5;
    if max == min {
        return [0.0, 0.0, l];
    }
    let range = max - min;
    let s = if l < 0.5 {
        range / (max + min)
    } else {
        range / (2.0 - (max + min))
    };
    let away = c.map(|v| (max - v) / range);
    let h = if c[0] == max {
        away[2] - away[1]
    } else if c[1] == max {
        2.0 + (away[0] - away[2])
    } else {
        4.0 + (away[1] - away[0])
    };
    [((h / 6.0).rem_euclid(1.0) * 360.0).rem_euclid(360.0), s, l]
}

/// The inverse of [`hsl_from_srgb`]; saturation and lightness are clamped to 0..=1.
pub fn srgb_from_hsl(c: Color) -> Color {
    let (s, l) = (c[1].clamp(0.0, 1.0), c[2].clamp(0.0, 1.0));
    let high = if l <= 0.5 { l * (s + 1.0) } else { (l + s) - l * s };
    let low = l * 2.0 - high;
    let hue = c[0].rem_euclid(360.0) / 360.0;
    [hue + 1.0 / 3.0, hue, hue - 1.0 / 3.0].map(|h| {
        let h = h.rem_euclid(1.0);
        if h < 1.0 / 6.0 {
            low + (high - low) * (h * 6.0)
        } else if h < 0.5 {
            high
        } else if h < 2.0 / 3.0 {
            low + (high - low) * ((2.0 / 3.0 - h) * 6.0)
        } else {
            low
        }
    })
}

/// A value in 0..=1 as a byte, truncated; what lies outside wraps round, as PyTorch's conversion does.
pub fn byte(v: f32) -> u8 {
    (v * 255.0) as i32 as u8
}

/// A byte as a value in 0..=1.
pub fn unit(v: u8) -> f32 {
    f32::from(v) / 255.0
}
