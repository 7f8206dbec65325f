//! The edge of the sRGB gamut in Oklab, and bringing colours back inside it (Ottosson, "sRGB gamut clipping", 2021), with the nodes' own
//! number of refinement steps.

use super::{
    Color, max3, min3,
    oklab::{RGB, ROOTS, linear_from_oklab, oklab_from_linear},
};

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The cone-response slopes of a hue, given as a unit vector in the a-b plane.
fn slopes([a, b]: [f32; 2]) -> [f32; 3] {
    ROOTS.map(|row| row[1] * a + row[2] * b)
}

/// The largest chroma over lightness that stays in the gamut at a hue.
fn max_saturation(unit: [f32; 2], steps: usize) -> f32 {
    const FITS: [[f32; 5]; 3] = [
        [1.190_862_8, 1.765_767_3, 0.596_626_4, 0.755_152, 0.567_712_4],
        [0.739_565_15, -0.459_544_94, 0.082_854_27, 0.125_410_7, 0.145_032_04],
        [1.357_336_5, -0.009_157_99, -1.151_302_1, -0.505_596_06, 0.006_921_67],
    ];
    let [a, b] = unit;
    // Which of red, green and blue goes below zero first.
    let first = if -1.881_703_3 * a + -0.809_364_9 * b > 1.0 {
        0
    } else if 1.814_441 * a + -1.194_452_8 * b > 1.0 {
        1
    } else {
        2
    };
    let fit = FITS[first];
    let mut s = fit[0] + fit[1] * a + fit[2] * b + fit[3] * (a * a) + fit[4] * (a * b);
    let k = slopes(unit);
    for _ in 0..steps {
        let root = k.map(|k| k * s + 1.0);
        let value = dot(RGB[first], root.map(|r| r * r * r));
        let first_derivative = dot(RGB[first], std::array::from_fn(|i| k[i] * (root[i] * root[i]) * 3.0));
        let second_derivative = dot(RGB[first], std::array::from_fn(|i| (k[i] * k[i]) * root[i] * 6.0));
        s -= value * first_derivative / (first_derivative * first_derivative - value * second_derivative * 0.5);
    }
    s
}

/// Lightness and chroma of the most saturated colour of a hue.
pub(super) fn cusp(unit: [f32; 2], steps: usize) -> [f32; 2] {
    let s = max_saturation(unit, steps);
    let rgb = linear_from_oklab([1.0, s * unit[0], s * unit[1]]);
    let l = (1.0 / max3(rgb)).powf(1.0 / 3.0);
    [l, l * s]
}

/// How far along the line from (`l0`, chroma 0) to (`l1`, `c1`) the gamut ends, as a share of the line.
pub(super) fn intersection(unit: [f32; 2], l1: f32, c1: f32, l0: f32, steps: usize, cusp: [f32; 2]) -> f32 {
    let [cusp_l, cusp_c] = cusp;
    let upper = (l1 - l0) * cusp_c - (cusp_l - l0) * c1;
    if upper <= 0.0 {
        return cusp_c * l0 / (c1 * cusp_l + cusp_c * (l0 - l1));
    }
    let mut t = cusp_c * (l0 - 1.0) / (c1 * (cusp_l - 1.0) + cusp_c * (l0 - l1));
    if upper.is_nan() {
        return t;
    }
    let k = slopes(unit);
    let speed = k.map(|k| k * c1 + (l1 - l0));
    for _ in 0..steps {
        let l = l0 * (1.0 - t) + t * l1;
        let c = t * c1;
        let root = k.map(|k| k * c + l);
        let cubes = root.map(|r| r * r * r);
        let first: [f32; 3] = std::array::from_fn(|i| (root[i] * root[i]) * speed[i] * 3.0);
        let second: [f32; 3] = std::array::from_fn(|i| (speed[i] * speed[i]) * root[i] * 6.0);
        let candidates = RGB.map(|row| {
            let value = dot(row, cubes) - 1.0;
            let slope = dot(row, first);
            let u = slope / (slope * slope - value * dot(row, second) * 0.5);
            if u < 0.0 { f32::MAX } else { -value * u }
        });
        t += min3(candidates);
    }
    t
}

/// A linear colour brought into the gamut if it lies outside, towards a grey that depends on its lightness and, by `alpha`, its chroma:
/// a larger `alpha` keeps more chroma and gives up more lightness.
pub fn gamut_clip(rgb: Color, alpha: f32, steps: usize) -> Color {
    if !(max3(rgb) > 1.0 || min3(rgb) < 0.0) {
        return rgb;
    }
    let [l, a, b] = oklab_from_linear(rgb);
    let chroma = (a * a + b * b).sqrt();
    let chroma = if chroma < 0.00001 { 0.00001 } else { chroma };
    let unit = [a / chroma, b / chroma];
    let away = l - 0.5;
    let e = away.abs() + chroma * alpha + 0.5;
    let sign = if away == 0.0 { 0.0 } else { away.signum() };
    let l0 = (sign * (e - (e * e - away.abs() * 2.0).sqrt()) + 1.0) * 0.5;
    let t = intersection(unit, l, chroma, l0, steps, cusp(unit, steps));
    let c = t * chroma;
    linear_from_oklab([l0 * (1.0 - t) + t * l, c * unit[0], c * unit[1]])
}
