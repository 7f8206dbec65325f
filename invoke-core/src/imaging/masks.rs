//! Masks: edges, fades and selections. White keeps, black is worked on.

use super::{
    ImagingError, Mode, Picture, box_blur, chops,
    cv::{self, Extreme},
    gaussian_blur,
};

/// Where `color`'s Euclidean distance in RGBA is below `threshold`, white; elsewhere black.
pub fn from_color(picture: &Picture, color: [u8; 4], threshold: i64) -> Picture {
    picture.convert(Mode::Rgba).each::<4, 1>(Mode::L, |p| {
        let square: i64 = p.iter().zip(color).map(|(a, b)| (i64::from(*a) - i64::from(b)).pow(2)).sum();
        [if (square as f64).sqrt() < threshold as f64 { 255 } else { 0 }]
    })
}

/// The edges of a grey mask (half-tones and Canny's edges), widened by half of `size`, blurred by `blur` and turned round: black edges.
pub fn edge(mask: &Picture, size: i64, blur: i64, low: i64, high: i64) -> Picture {
    let mask = mask.convert(Mode::L);
    let limit = |v: i64| v.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
    let edges = cv::canny(&mask, limit(low), limit(high));
    // The sum of both wraps round in a byte.
    let tones = mask.map(|v| if v == 0 || v == 255 { 0 } else { 255 });
    let data = tones.data().iter().zip(edges.data()).map(|(a, b)| a.wrapping_add(*b)).collect();
    let both = Picture::trusted(Mode::L, tones.width(), tones.height(), data);
    let wide = cv::square(&both, 3, (size / 2).max(0) as usize, Extreme::Max);
    let soft = if blur > 0 { box_blur(&wide, blur as f32) } else { wide };
    chops::invert(&soft)
}

/// The inverse, in grey, of a mask whose dark parts were widened by 3 x `blur` pixels and blurred: white where something is pasted.
pub fn for_pasting(mask: &Picture, blur: usize) -> Picture {
    let mask = if blur > 0 {
        gaussian_blur(&cv::square(mask, blur, 3, Extreme::Min), blur as f32)
    } else {
        mask.clone()
    };
    chops::invert(&mask.convert(Mode::L))
}

/// Coefficients, highest power first, of the cubic that best fits the five points.
fn cubic_fit(points: [(f64, f64); 5]) -> [f64; 4] {
    // Normal equations, solved by elimination with pivoting.
    let mut m = [[0.0f64; 5]; 4];
    for (x, y) in points {
        let powers = [x * x * x, x * x, x, 1.0];
        for (row, p) in m.iter_mut().zip(powers) {
            for (v, q) in row.iter_mut().zip(powers) {
                *v += p * q;
            }
            row[4] += p * y;
        }
    }
    for i in 0..4 {
        let pivot = (i..4).max_by(|a, b| m[*a][i].abs().total_cmp(&m[*b][i].abs())).unwrap_or(i);
        m.swap(i, pivot);
        for r in 0..4 {
            if r != i {
                let factor = m[r][i] / m[i][i];
                let row = m[i];
                for (v, p) in m[r].iter_mut().zip(row) {
                    *v -= factor * p;
                }
            }
        }
    }
    std::array::from_fn(|i| m[i][4] / m[i][i])
}

/// A mask made of two tones at `threshold` (above is white), its white fading in over `fade` pixels from the black.
pub fn fade(mask: &Picture, threshold: u8, fade: usize) -> Picture {
    let mask = mask.convert(Mode::L);
    if fade == 0 {
        return mask;
    }
    let mut out = mask.map(|v| if v > threshold { 255 } else { 0 });
    let width = fade as f64;
    let curve = cubic_fit([(0.0, 0.0), (1.0 / width, 0.0), (0.2, 0.2), (0.8, 0.9), (1.0, 1.0)]).map(|c| c as f32);
    let distances = cv::distance_to_black(&out);
    for (v, distance) in out.data_mut().iter_mut().zip(distances) {
        if distance > 0.0 && distance < fade as f32 {
            let x = distance / fade as f32;
            let y = curve.iter().fold(0.0, |y, c| y * x + c);
            *v = (y.clamp(0.0, 1.0) * 255.0) as u8;
        }
    }
    out
}

/// The picture's opacity, or its last channel where it has none, as a mask.
pub fn from_last_band(picture: &Picture) -> Picture {
    picture.band(picture.bands() - 1)
}

/// The picture in RGBA with `mask`, in grey, for its opacity.
pub fn as_opacity(picture: &Picture, mask: &Picture) -> Result<Picture, ImagingError> {
    picture.convert(Mode::Rgba).with_alpha(&mask.convert(Mode::L))
}
