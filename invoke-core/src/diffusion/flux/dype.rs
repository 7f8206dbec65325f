//! Dynamic position extrapolation (DyPE): pictures beyond the size that the model was trained on, by slower waves of places while much is still noise.

/// Pixels of a side that the model was trained on.
const TRAINED: f64 = 1024.0;
/// The largest strength.
const STRONGEST: f64 = 8.0;

/// How the strength is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DyPePreset {
    /// Not at all.
    Off,
    /// As given, by default as [`Auto`](Self::Auto), at every size.
    Manual,
    /// By the longer side, beyond one and a half times the trained one.
    Auto,
    /// By the area.
    Area,
    /// One strength, made for 4096 pixels.
    FourK,
}

/// Strength and how it falls off: at noise level `t` the exponent is `scale * t^exponent`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DyPe {
    /// The strength at the beginning.
    pub scale: f64,
    /// How fast it falls off.
    pub exponent: f64,
    /// How much larger than trained the longer side is.
    pub ratio: f64,
}

impl DyPe {
    /// For a picture of these pixels; `scale` and `exponent` count for [`DyPePreset::Manual`] alone. `None` where nothing is changed.
    pub fn of(preset: DyPePreset, (width, height): (usize, usize), scale: Option<f64>, exponent: Option<f64>) -> Option<Self> {
        let longer = width.max(height) as f64;
        let ratio = longer / TRAINED;
        let by_side = (2.0 * ratio).min(STRONGEST);
        let (scale, exponent) = match preset {
            DyPePreset::Off => return None,
            DyPePreset::Manual => (scale.unwrap_or(by_side), exponent.unwrap_or(2.0)),
            DyPePreset::Auto if longer <= 1.5 * TRAINED => return None,
            DyPePreset::Auto => (by_side, 2.0),
            DyPePreset::Area => by_area(width as f64, height as f64)?,
            DyPePreset::FourK => (2.0, 2.0),
        };
        // A picture no larger than trained is left alone.
        (ratio > 1.0).then_some(Self { scale, exponent, ratio })
    }
}

/// Strength and fall-off by the side of a square of the same area; long pictures get less.
fn by_area(width: f64, height: f64) -> Option<(f64, f64)> {
    let area = width * height;
    if area <= TRAINED * TRAINED {
        return None;
    }
    let side = (area / (TRAINED * TRAINED)).sqrt();
    let aspect = width.max(height) / width.min(height);
    let damped = if aspect <= 2.0 { 1.0 } else { 2.0 / aspect };
    let scale = (2.4 * side * damped).clamp(0.0, STRONGEST);
    Some((scale, 1.25 + 0.75 * (side - 1.0).clamp(0.0, 1.0)))
}

/// How the waves of places are stretched at one noise level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stretch {
    ratio: f64,
    exponent: f64,
}

impl Stretch {
    /// Not at all.
    pub(super) const NONE: Self = Self { ratio: 1.0, exponent: 0.0 };

    /// At the noise level `t`, 1 to 0.
    pub(super) fn at(dype: Option<&DyPe>, t: f64) -> Self {
        dype.map_or(Self::NONE, |dype| Self {
            ratio: dype.ratio,
            exponent: if dype.scale > 0.0 {
                dype.scale * t.clamp(0.0, 1.0).powf(dype.exponent)
            } else {
                0.0
            },
        })
    }

    /// The base of the lengths of waves over so many channels.
    pub(super) fn theta(self, theta: f64, channels: usize) -> f64 {
        if self.exponent == 0.0 || channels <= 2 {
            return theta;
        }
        theta * self.ratio.powf(channels as f64 / (channels - 2) as f64 * self.exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_ask_for_their_sizes() {
        let of = |preset, size| DyPe::of(preset, size, Some(3.0), None).map(|d| (d.scale, d.exponent));
        assert_eq!(of(DyPePreset::Off, (4096, 4096)), None);
        assert_eq!(of(DyPePreset::Auto, (1536, 1024)), None);
        assert_eq!(of(DyPePreset::Auto, (2048, 1024)), Some((4.0, 2.0)));
        assert_eq!(of(DyPePreset::Manual, (2048, 1024)), Some((3.0, 2.0)));
        assert_eq!(of(DyPePreset::Manual, (512, 512)), None);
        assert_eq!(of(DyPePreset::FourK, (4096, 2048)), Some((2.0, 2.0)));
        assert_eq!(of(DyPePreset::Area, (1024, 1024)), None);
        assert_eq!(of(DyPePreset::Area, (2048, 2048)), Some((4.8, 2.0)));
        let (scale, _) = of(DyPePreset::Area, (4096, 1024)).unwrap();
        assert!((scale - 2.4).abs() < 1e-12);
    }

    #[test]
    fn waves_grow_longer_with_noise() {
        let dype = DyPe::of(DyPePreset::FourK, (4096, 4096), None, None).unwrap();
        let theta = |t| Stretch::at(Some(&dype), t).theta(10_000.0, 56);
        assert!(theta(1.0) > theta(0.5) && theta(0.5) > 10_000.0);
        assert!((theta(0.0) - 10_000.0).abs() < 1e-9);
        assert!((theta(1.0) - 10_000.0 * 4_f64.powf(2.0 * 56.0 / 54.0)).abs() < 1e-6);
        assert_eq!(Stretch::at(None, 1.0), Stretch::NONE);
    }
}
