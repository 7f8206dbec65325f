//! Lightness of colours: equivalent achromatic lightness, thresholds, and working on CIELAB's L* alone.

use std::f32::consts::{FRAC_PI_2, PI, TAU};

use super::{
    Mode, Picture,
    color::{byte, unit},
    effects::restore,
};

/// For every pixel of a Lab picture its lightness with the Helmholtz-Kohlrausch effect of the *whole* picture added (High, Green and
/// Nussbaum, 2023, as the nodes compute it: the chroma term is summed over all pixels), scaled back to 0..=1.
pub fn equivalent(picture: &Picture) -> Vec<f32> {
    const K: [f32; 4] = [0.1644, 0.0603, 0.1307, 0.0060];
    debug_assert_eq!(picture.mode(), Mode::Lab);
    let mut sum = 0.0f64;
    for p in picture.data().chunks_exact(3) {
        let (a, b) = (unit(p[1]) * 2.0 - 1.0, unit(p[2]) * 2.0 - 1.0);
        let chroma = (a * a + b * b).sqrt();
        let hue = b.atan2(a);
        let turned = (hue - FRAC_PI_2 + 3.0 * PI).rem_euclid(TAU) - PI;
        let blue_yellow = K[0] * (turned / 2.0).sin().abs() + K[1];
        let red = if (-FRAC_PI_2..=FRAC_PI_2).contains(&hue) {
            K[2] * hue.cos().abs() + K[3]
        } else {
            0.0
        };
        sum += f64::from((blue_yellow + red) * chroma);
    }
    let shift = sum as f32;
    let span = (1.0 + shift) - shift;
    picture
        .data()
        .chunks_exact(3)
        .map(|p| ((unit(p[0]) + shift) - shift) / span)
        .collect()
}

/// [`equivalent`] as a grey picture.
pub fn equivalent_picture(picture: &Picture) -> Picture {
    let rgb = if picture.mode() == Mode::L {
        picture.convert(Mode::Rgb)
    } else {
        picture.clone()
    };
    let data = equivalent(&rgb.convert(Mode::Lab)).into_iter().map(byte).collect();
    Picture::trusted(Mode::L, picture.width(), picture.height(), data)
}

/// The picture with CIELAB's L* replaced by `f` of it; mode and opacity stay.
pub fn on_lightness(picture: &Picture, f: impl FnOnce(&Picture) -> Picture) -> Result<Picture, super::ImagingError> {
    let lab = picture.convert(Mode::Rgb).convert(Mode::Lab);
    let light = f(&lab.band(0));
    let lab = Picture::merge(Mode::Lab, &[&light, &lab.band(1), &lab.band(2)])?;
    Ok(restore(lab.convert(Mode::Rgb), picture))
}

/// What is set to black and white.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// From here on, white (black if inverted).
    pub upper: f32,
    /// Below, black (white if inverted).
    pub lower: f32,
    /// Black and white exchanged.
    pub invert: bool,
    /// What lies between is stretched to 0..=1.
    pub renormalize: bool,
}

impl Thresholds {
    fn value(self, v: f32) -> f32 {
        let (high, low) = (v >= self.upper, v < self.lower);
        let (ones, zeros) = if self.invert { (low, high) } else { (high, low) };
        if zeros {
            return 0.0;
        }
        if ones {
            return 1.0;
        }
        let between = v >= self.lower && v < self.upper;
        if !(between && self.renormalize) {
            return v;
        }
        let (min, max) = (self.upper.min(self.lower), self.upper.max(self.lower));
        let share = (v - min) / (max - min);
        if self.invert { 1.0 - share } else { share }
    }

    /// All samples of the picture, opacity included, put through the thresholds.
    pub fn apply(self, picture: &Picture) -> Picture {
        picture.clone().map(|v| byte(self.value(unit(v))))
    }
}
