//! Turning hue in a choice of colour spaces.

use std::f32::consts::{PI, TAU};

use super::{
    LabPrecision, Mode, Picture,
    color::{
        byte, linear_from_oklab, linear_from_srgb, okhsl_from_srgb, okhsv_from_srgb, oklab_from_linear, oklab_from_oklch, oklch_from_oklab,
        srgb_from_linear_clipped, srgb_from_okhsl, srgb_from_okhsv, unit,
    },
    effects::restore,
};

/// Where hue is turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HueSpace {
    /// HSV, through bytes.
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

/// How hue is turned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TurnHue {
    /// Where.
    pub space: HueSpace,
    /// By how much.
    pub degrees: f32,
    /// CIELAB's lightness is put back afterwards.
    pub preserve_lightness: bool,
    /// How much chroma is kept at the cost of lightness when a colour leaves the gamut (Oklch).
    pub adaptive_gamut: f32,
    /// Three steps of refinement instead of one where the gamut's edge is sought.
    pub high_precision: bool,
}

fn bytes(c: [f32; 3]) -> [u8; 3] {
    c.map(byte)
}

impl TurnHue {
    /// The picture with its hue turned; mode and opacity stay.
    pub fn apply(self, picture: &Picture) -> Picture {
        let rgb = picture.convert(Mode::Rgb);
        let steps = if self.high_precision { 3 } else { 1 };
        let lab = |p: &Picture| p.convert_with(Mode::Lab, LabPrecision::High);
        let turn = |h: f32| (h + self.degrees).rem_euclid(360.0);
        let turned = match self.space {
            HueSpace::Hsv => rgb
                .convert(Mode::Hsv)
                .each::<3, 3>(Mode::Hsv, |[h, s, v]| {
                    [byte(turn(unit(h) * 360.0) / 360.0), byte(unit(s)), byte(unit(v))]
                })
                .convert(Mode::Rgb),
            HueSpace::Okhsl => rgb.each::<3, 3>(Mode::Rgb, |p| {
                let [h, s, l] = okhsl_from_srgb(p.map(unit), steps);
                bytes(srgb_from_okhsl([turn(h), s, l], 0.0, 1))
            }),
            HueSpace::Okhsv => rgb.each::<3, 3>(Mode::Rgb, |p| {
                let [h, s, v] = okhsv_from_srgb(p.map(unit), steps);
                bytes(srgb_from_okhsv([turn(h), s, v], 0.0, 1))
            }),
            HueSpace::Oklch => rgb.each::<3, 3>(Mode::Rgb, |p| {
                let [l, c, h] = oklch_from_oklab(oklab_from_linear(linear_from_srgb(p.map(unit))));
                let linear = linear_from_oklab(oklab_from_oklch([l, c, turn(h)]));
                bytes(srgb_from_linear_clipped(linear, self.adaptive_gamut, steps))
            }),
            HueSpace::Lch => {
                let turn = (f64::from(self.degrees) / 180.0 * std::f64::consts::PI) as f32;
                lab(&rgb)
                    .each::<3, 3>(Mode::Lab, |[l, a, b]| {
                        let (a, b) = (unit(a) * 2.0 - 1.0, unit(b) * 2.0 - 1.0);
                        let chroma = (a * a + b * b).sqrt();
                        let h = (b.atan2(a) + turn + PI).rem_euclid(TAU) - PI;
                        let axis = |v: f32| byte((v + 1.0) * 0.5);
                        [l, axis(chroma * h.cos()), axis(chroma * h.sin())]
                    })
                    .convert_with(Mode::Rgb, LabPrecision::High)
            }
        };
        let turned = if self.preserve_lightness && self.space != HueSpace::Lch {
            let (before, mut after) = (lab(&rgb), lab(&turned));
            for (to, from) in after.data_mut().iter_mut().step_by(3).zip(before.data().iter().step_by(3)) {
                *to = *from;
            }
            after.convert_with(Mode::Rgb, LabPrecision::High)
        } else {
            turned
        };
        restore(turned, picture)
    }
}
