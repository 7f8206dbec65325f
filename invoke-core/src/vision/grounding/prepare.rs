//! How pictures are prepared.

use candle_core::{DType, Device, Tensor};
use serde_json::Value;

use crate::{
    diffusion::Result,
    imaging::{Mode, Picture, Resample},
    vision::{of_colours, to_tensor},
};

/// Sides that a picture may be brought to, in pixels.
const SIDES: std::ops::RangeInclusive<u64> = 16..=4096;

/// How pictures are prepared, from `preprocessor_config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Preparation {
    /// What the shorter side is brought to, in pixels.
    pub shortest: usize,
    /// What the longer side is at most.
    pub longest: usize,
    /// Means of red, green and blue in 0 to 1.
    pub mean: [f32; 3],
    /// Their deviations.
    pub deviation: [f32; 3],
}

impl Default for Preparation {
    fn default() -> Self {
        Self {
            shortest: 800,
            longest: 1333,
            mean: [0.485, 0.456, 0.406],
            deviation: [0.229, 0.224, 0.225],
        }
    }
}

impl Preparation {
    /// From the JSON of a processor; what it does not say, or says out of all reason, is as it usually is.
    pub fn from_json(value: &Value) -> Self {
        let usual = Self::default();
        let side = |key: &str, usual: usize| match value["size"][key].as_u64() {
            Some(n) if SIDES.contains(&n) => n as usize,
            _ => usual,
        };
        Self {
            shortest: side("shortest_edge", usual.shortest),
            longest: side("longest_edge", usual.longest),
            mean: of_colours(value, "image_mean", usual.mean),
            deviation: of_colours(value, "image_std", usual.deviation),
        }
    }

    /// Width and height that a picture of at least one pixel is resized to, its shape kept; at least one pixel.
    pub fn resized(&self, width: usize, height: usize) -> (usize, usize) {
        let (short, long) = (width.min(height) as f64, width.max(height) as f64);
        let (mut side, mut exact) = (self.shortest, self.shortest as f64);
        if long / short * side as f64 > self.longest as f64 {
            exact = self.longest as f64 * short / long;
            side = exact.round_ties_even() as usize;
        }
        // The longer side follows from the shorter one before that is rounded.
        let other = |long: usize, short: usize| (exact * long as f64 / short as f64) as usize;
        let (w, h) = if width.min(height) == side {
            (width, height)
        } else if width < height {
            (side, other(height, width))
        } else {
            (other(width, height), side)
        };
        (w.max(1), h.max(1))
    }

    /// A picture as `[1, 3, h, w]`, resized, with means of about 0 and deviations of about 1.
    ///
    /// # Errors
    /// If the device fails.
    pub fn pixels(&self, picture: &Picture, dtype: DType, device: &Device) -> Result<Tensor> {
        let picture = if picture.mode() == Mode::Rgb {
            picture.clone()
        } else {
            picture.convert(Mode::Rgb)
        };
        let (w, h) = self.resized(picture.width(), picture.height());
        let bytes = to_tensor(&picture.resize(w, h, Resample::Bilinear), DType::F32, device, |v| v)?;
        let column = |values: &[f32; 3]| Tensor::from_slice(&values.map(|v| v * 255.0), (1, 3, 1, 1), device);
        let pixels = bytes
            .broadcast_sub(&column(&self.mean)?)?
            .broadcast_div(&column(&self.deviation)?)?;
        Ok(pixels.to_dtype(dtype)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_processor_says_is_taken() {
        let said = Preparation::from_json(&json!({
            "size": {"shortest_edge": 64, "longest_edge": 100}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3],
        }));
        let expected = Preparation {
            shortest: 64,
            longest: 100,
            mean: [0.5, 0.4, 0.3],
            deviation: [0.1, 0.2, 0.3],
        };
        assert_eq!(said, expected);
        let unsaid = json!({"size": {"shortest_edge": 1_u64 << 40, "longest_edge": -1}, "image_mean": [0.5], "image_std": [0.0, 0.1, 0.1]});
        assert_eq!(Preparation::from_json(&unsaid), Preparation::default());
        assert_eq!(Preparation::from_json(&Value::Null), Preparation::default());
    }
}
