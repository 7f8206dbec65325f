//! Noise over a picture, from a seed.

use super::{ImagingError, Mode, Picture, Resample, chops, paste};
use crate::numeric_rng::RandomState;

/// Which noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoiseKind {
    /// Normal numbers times 255, wrapped into a byte.
    Gaussian,
    /// White with the probability of the amount, else black.
    SaltAndPepper,
}

/// How noise is added.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AddNoise {
    /// Which.
    pub kind: NoiseKind,
    /// The generator's seed.
    pub seed: u64,
    /// Share of the noise in the mix, 0..=1.
    pub amount: f64,
    /// A grain for each channel rather than a grey one.
    pub color: bool,
    /// Side of a grain in pixels.
    pub size: usize,
}

impl AddNoise {
    /// The noise alone, in RGB. Neither side of the size may be below a grain's.
    fn grains(self, width: usize, height: usize) -> Picture {
        let (columns, rows) = (width / self.size, height / self.size);
        let mut rng = RandomState::from_sequence(self.seed);
        let mut grain = || match self.kind {
            NoiseKind::Gaussian => (rng.normal() * 255.0) as i64 as u8,
            NoiseKind::SaltAndPepper => {
                // The bounds of the two choices are sums of probabilities, scaled so that the last is 1.
                let first = 1.0 - self.amount;
                if rng.random() < first / (first + self.amount) { 0 } else { 255 }
            }
        };
        let mut data = Vec::with_capacity(columns * rows * 3);
        for _ in 0..columns * rows {
            if self.color {
                data.extend([grain(), grain(), grain()]);
            } else {
                data.extend([grain(); 3]);
            }
        }
        Picture::trusted(Mode::Rgb, columns, rows, data).resize(width, height, Resample::Nearest)
    }

    /// The picture in RGBA with noise, its opacity kept, where `mask` is black.
    pub fn apply(self, picture: &Picture, mask: Option<&Picture>) -> Result<Picture, ImagingError> {
        let rgba = picture.convert(Mode::Rgba);
        let alpha = rgba.alpha().expect("RGBA has opacity");
        let (width, height) = rgba.size();
        let noise = self.grains(width, height);
        let noisy = chops::blend(&rgba.convert(Mode::Rgb), &noise, self.amount as f32)?.convert(Mode::Rgba);
        let out = match mask {
            None => noisy,
            Some(mask) => {
                let mask = mask.convert(Mode::L).resize(width, height, Resample::Lanczos);
                let mut out = rgba;
                paste(&mut out, &noisy, 0, 0, Some(&chops::invert(&mask)))?;
                out
            }
        };
        out.with_alpha(&alpha)
    }
}
