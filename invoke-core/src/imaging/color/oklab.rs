//! Oklab (Ottosson, 2020) and its polar form.

use super::Color;

const LMS: [[f32; 3]; 3] = [
    [0.412_221_46, 0.536_332_55, 0.051_445_995],
    [0.211_903_5, 0.680_699_5, 0.107_396_96],
    [0.088_302_46, 0.281_718_85, 0.629_978_7],
];
const LAB: [[f32; 3]; 3] = [
    [0.210_454_26, 0.793_617_8, -0.004_072_047],
    [1.977_998_5, -2.428_592_2, 0.450_593_7],
    [0.025_904_037, 0.782_771_77, -0.808_675_77],
];
/// Rows of the matrix from Oklab to the cube roots of cone responses.
pub(super) const ROOTS: [[f32; 3]; 3] = [
    [1.0, 0.396_337_78, 0.215_803_76],
    [1.0, -0.105_561_346, -0.063_854_17],
    [1.0, -0.089_484_18, -1.291_485_5],
];
/// Rows of the matrix from cone responses to linear sRGB.
pub(super) const RGB: [[f32; 3]; 3] = [
    [4.076_741_7, -3.307_711_6, 0.230_969_93],
    [-1.268_438, 2.609_757_4, -0.341_319_4],
    [-0.004_196_086_3, -0.703_418_6, 1.707_614_7],
];

/// a x b + c with one rounding, as the fused instruction of matrix libraries has it (but for rare double rounding). Whether a grey comes out
/// with no chroma at all depends on it.
fn fused(a: f32, b: f32, c: f32) -> f32 {
    (f64::from(a) * f64::from(b) + f64::from(c)) as f32
}

pub(super) fn apply(m: &[[f32; 3]; 3], c: Color) -> Color {
    m.map(|row| fused(row[2], c[2], fused(row[1], c[1], row[0] * c[0])))
}

fn cube_root(v: f32) -> f32 {
    if v == 0.0 { 0.0 } else { v.signum() * v.abs().powf(1.0 / 3.0) }
}

/// Linear sRGB to Oklab.
pub fn oklab_from_linear(c: Color) -> Color {
    apply(&LAB, apply(&LMS, c).map(cube_root))
}

/// Oklab to linear sRGB; colours outside the gamut leave 0..=1.
pub fn linear_from_oklab(c: Color) -> Color {
    apply(&RGB, apply(&ROOTS, c).map(|v| v * v * v))
}

/// Oklab to lightness, chroma and hue in degrees.
pub fn oklch_from_oklab([l, a, b]: Color) -> Color {
    [l, (a * a + b * b).sqrt(), b.atan2(a).to_degrees().rem_euclid(360.0)]
}

/// The inverse of [`oklch_from_oklab`].
pub fn oklab_from_oklch([l, c, h]: Color) -> Color {
    let h = h.to_radians();
    [l, c * h.cos(), c * h.sin()]
}
