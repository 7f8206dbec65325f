//! Okhsl and Okhsv (Ottosson, "Okhsv and Okhsl", 2021), hue in degrees.

use std::f32::consts::PI;

use super::{
    Color,
    gamut::{cusp, gamut_clip, intersection},
    linear_from_srgb, max3, maximum, minimum,
    oklab::{linear_from_oklab, oklab_from_linear},
    srgb_from_linear,
};

const K1: f32 = 0.206;
const K2: f32 = 0.03;
const K3: f32 = (1.0 + K1) / (1.0 + K2);

/// Lightness with a reference white, from Oklab's.
fn toe(l: f32) -> f32 {
    let x = l * K3 - K1;
    (x + (x * x + l * K3 * K2 * 4.0).sqrt()) * 0.5
}

/// The inverse of [`toe`].
fn toe_inverse(l: f32) -> f32 {
    (l * l + l * K1) / ((l + K2) * K3)
}

/// Chroma over lightness, and chroma over what is missing to white, of a hue's cusp.
fn saturations([l, c]: [f32; 2]) -> [f32; 2] {
    [c / l, c / (1.0 - l)]
}

fn unit_of_hue(degrees: f32) -> [f32; 2] {
    let turn = degrees.rem_euclid(360.0) / 360.0 * (2.0 * PI);
    [turn.cos(), turn.sin()]
}

fn hue_of(a: f32, b: f32) -> f32 {
    (((-b).atan2(-a) * 0.5 / PI + 0.5) * 360.0).rem_euclid(360.0)
}

fn zero_if_nan(c: Color) -> Color {
    c.map(|v| if v.is_nan() { 0.0 } else { v })
}

/// The lightness factor that puts a colour's brightest channel at 1.
fn scale_of(l: f32, c: f32, unit: [f32; 2]) -> f32 {
    let rgb = linear_from_oklab([l, unit[0] * c, unit[1] * c]);
    (1.0 / maximum(max3(rgb), 0.0)).powf(1.0 / 3.0)
}

fn finish(linear: Color, alpha: f32, steps: usize) -> Color {
    zero_if_nan(srgb_from_linear(gamut_clip(linear, alpha, steps))).map(|v| v.clamp(0.0, 1.0))
}

/// Okhsv to sRGB.
pub fn srgb_from_okhsv([h, s, v]: Color, alpha: f32, steps: usize) -> Color {
    let (s, v) = (s.clamp(0.0, 1.0), v.clamp(0.0, 1.0));
    let unit = unit_of_hue(h);
    let [s_max, t_max] = saturations(cusp(unit, steps));
    let k = 1.0 - 0.5 / s_max;
    let base = 0.5 + (t_max - t_max * (k * s));
    let l_v = 1.0 - s * 0.5 / base;
    let c_v = s * t_max * 0.5 / base;
    let (l, c) = (v * l_v, v * c_v);
    let l_vt = toe_inverse(l_v);
    let c_vt = c_v * (l_vt / l_v);
    let l_new = toe_inverse(l);
    let c = c * (l_new / l);
    let scale = scale_of(l_vt, c_vt, unit);
    let (l, c) = (l_new * scale, c * scale);
    finish(linear_from_oklab([l, unit[0] * c, unit[1] * c]), alpha, steps)
}

/// sRGB to Okhsv.
pub fn okhsv_from_srgb(rgb: Color, steps: usize) -> Color {
    let [l, a, b] = oklab_from_linear(linear_from_srgb(rgb));
    let c = (a * a + b * b).sqrt();
    let unit = [a / c, b / c];
    let [s_max, t_max] = saturations(cusp(unit, steps));
    let k = 1.0 - 0.5 / s_max;
    let t = t_max / (c + l * t_max);
    let (l_v, c_v) = (t * l, t * c);
    let l_vt = toe_inverse(l_v);
    let c_vt = c_v * (l_vt / l_v);
    let scale = scale_of(l_vt, c_vt, unit);
    let l = toe(l / scale);
    let v = l / l_v;
    let s = (0.5 + t_max) * c_v / (t_max * 0.5 + t_max * (k * c_v));
    let [h, s, v] = zero_if_nan([hue_of(a, b), s, v]);
    [h, s.clamp(0.0, 1.0), v.clamp(0.0, 1.0)]
}

/// A smooth approximation of the saturations in the middle of a hue's triangle.
fn middle_saturations([a, b]: [f32; 2]) -> [f32; 2] {
    let s = 0.115_169_93
        + 1.0
            / (7.447_789_7
                + (b * 4.159_012_4
                    + a * (-2.195_573_5
                        + (b * 1.751_984 + a * (-2.137_049_4 + (b * -10.023_01 + a * (-4.248_945_7 + (b * 5.387_708 + a * 4.698_91))))))));
    let t = 0.112_396_42
        + 1.0
            / (1.613_203_2
                + (b * -0.681_243_8
                    + a * (0.403_706_13
                        + (b * 0.901_481_2
                            + a * (-0.270_879_42 + (b * 0.612_239_9 + a * (0.002_992_15 + (b * -0.453_995_68 + a * -0.146_618_72))))))));
    [s, t]
}

/// Chroma at saturations 0 (its slope), 0.8 and 1, for a lightness and hue.
fn chromas(l: f32, unit: [f32; 2], steps: usize) -> [f32; 3] {
    let peak = cusp(unit, steps);
    let c_max = intersection(unit, l, 1.0, l, steps, peak);
    let [s_max, t_max] = saturations(peak);
    let k = c_max / minimum(l * s_max, (1.0 - l) * t_max);
    let [s_mid, t_mid] = middle_saturations(unit);
    let (a, b) = (l * s_mid, (1.0 - l) * t_mid);
    let c_mid = k * (1.0 / (1.0 / a.powi(4) + 1.0 / b.powi(4))).sqrt().sqrt() * 0.9;
    let (a, b) = (l * 0.4, (1.0 - l) * 0.8);
    let c_0 = (1.0 / (1.0 / (a * a) + 1.0 / (b * b))).sqrt();
    [c_0, c_mid, c_max]
}

const MID: f32 = 0.8;
const MID_INVERSE: f32 = 1.25;

/// Okhsl to sRGB.
#[expect(clippy::float_cmp, reason = "black and white are exactly 0 and 1")]
pub fn srgb_from_okhsl([h, s, l]: Color, alpha: f32, steps: usize) -> Color {
    let (s, l) = (s.clamp(0.0, 1.0), l.clamp(0.0, 1.0));
    if l == 0.0 || l == 1.0 {
        return finish([l; 3], alpha, steps);
    }
    let unit = unit_of_hue(h);
    let l = toe_inverse(l);
    let [c_0, c_mid, c_max] = chromas(l, unit, steps);
    let c = if s < MID {
        let t = s * MID_INVERSE;
        let k1 = c_0 * MID;
        let k2 = 1.0 - k1 / c_mid;
        t * k1 / (1.0 - k2 * t)
    } else {
        let t = (s - MID) / (1.0 - MID);
        let k1 = (c_mid * c_mid) * (MID_INVERSE * MID_INVERSE) * (1.0 - MID) / c_0;
        let k2 = 1.0 - k1 / (c_max - c_mid);
        c_mid + t * k1 / (1.0 - k2 * t)
    };
    finish(linear_from_oklab([l, c * unit[0], c * unit[1]]), alpha, steps)
}

/// sRGB to Okhsl.
pub fn okhsl_from_srgb(rgb: Color, steps: usize) -> Color {
    let [l, a, b] = oklab_from_linear(linear_from_srgb(rgb));
    let c = (a * a + b * b).sqrt();
    let unit = [a / c, b / c];
    let [c_0, c_mid, c_max] = chromas(l, unit, steps);
    let s = if c < c_mid {
        let k1 = c_0 * MID;
        let k2 = 1.0 - k1 / c_mid;
        c / (k1 + k2 * c) * MID
    } else {
        let k1 = (c_mid * c_mid) * (MID_INVERSE * MID_INVERSE) * (1.0 - MID) / c_0;
        let k2 = 1.0 - k1 / (c_max - c_mid);
        let t = (c - c_mid) / (k1 + k2 * (c - c_mid));
        t * (1.0 - MID) + MID
    };
    let [h, s, l] = zero_if_nan([hue_of(a, b), s, toe(l)]);
    [h, s.clamp(0.0, 1.0), l.clamp(0.0, 1.0)]
}
