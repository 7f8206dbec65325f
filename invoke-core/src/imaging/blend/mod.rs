//! Laying one picture on another by a blend mode in a colour space.
//!
//! Computed in `f32`; a result lies within one level of the original's, except at discontinuities of a space (hues of near-greys), where
//! rounding decides.

mod formula;
mod space;

use rayon::prelude::*;

pub use formula::BlendMode;
pub use space::BlendSpace;

use super::{
    ImagingError, Mode, PARALLEL_FROM, Picture,
    color::{byte, linear_from_srgb, srgb_from_linear_clipped, unit},
    layout::FitTo,
};

/// How two pictures are blended.
#[derive(Debug, Clone)]
pub struct Blend {
    /// The formula.
    pub mode: BlendMode,
    /// The space it is computed in.
    pub space: BlendSpace,
    /// The upper picture's opacity is multiplied by this, at least 0.
    pub opacity: f32,
    /// How the upper picture and the mask are brought to the base's size.
    pub fit: FitTo,
    /// Above 0, colours outside sRGB are brought back, keeping more chroma the larger it is; 0 clips them.
    pub adaptive_gamut: f32,
    /// Three steps of refinement instead of one where the gamut's edge is sought.
    pub high_precision: bool,
}

fn colours(picture: &Picture) -> Vec<[f32; 3]> {
    picture
        .convert(Mode::Rgb)
        .data()
        .chunks_exact(3)
        .map(|p| [unit(p[0]), unit(p[1]), unit(p[2])])
        .collect()
}

/// Opacity in 0..=1; only RGBA's counts.
fn opacities(picture: &Picture) -> Vec<f32> {
    match (picture.mode(), picture.alpha()) {
        (Mode::Rgba, Some(alpha)) => alpha.data().iter().map(|a| unit(*a)).collect(),
        _ => vec![1.0; picture.width() * picture.height()],
    }
}

impl Blend {
    fn steps(&self) -> usize {
        if self.high_precision { 3 } else { 1 }
    }

    /// `upper` on `base`, where `mask` is black; the result has the base's mode.
    pub fn apply(&self, upper: &Picture, base: &Picture, mask: Option<&Picture>) -> Result<Picture, ImagingError> {
        let (width, height) = base.size();
        let upper = self.fit.apply(upper, width, height);
        let mask = mask.map(|m| self.fit.apply(m, width, height).convert(Mode::L));
        for other in std::iter::once(&upper).chain(&mask) {
            if other.size() != base.size() {
                return Err(ImagingError::Size(base.size(), other.size()));
            }
        }
        let space = self.space.for_mode(self.mode);
        let (over, under) = (colours(&upper), colours(base));
        let (over_alpha, under_alpha) = (opacities(&upper), opacities(base));
        let lightness = self.mode.needs_equivalent_lightness().then(|| {
            let of = |p: &Picture| super::lightness::equivalent(&p.convert(Mode::Rgb).convert_with(Mode::Lab, super::LabPrecision::High));
            (of(&upper), of(base))
        });
        let pixel = |i: usize| {
            let linear = if self.mode == BlendMode::Normal && matches!(space, BlendSpace::Rgb) {
                linear_from_srgb(over[i])
            } else {
                let a = space.enter(over[i], self.steps());
                let b = space.enter(under[i], self.steps());
                let lighter = lightness.as_ref().map(|(u, l)| (u[i], l[i]));
                self.blend(space, a, b, lighter)
            };
            let colour = srgb_from_linear_clipped(linear, self.adaptive_gamut, self.steps());
            let colour = colour.map(|v| if v.is_nan() { f32::MAX } else { v });
            let mut alpha = over_alpha[i] * self.opacity;
            if let Some(mask) = &mask {
                alpha *= 1.0 - unit(mask.data()[i]);
            }
            let beneath = 1.0 - alpha;
            let total = alpha + under_alpha[i] * beneath;
            let c: [f32; 3] = std::array::from_fn(|k| (colour[k] * alpha + under[i][k] * under_alpha[i] * beneath) / total);
            [byte(c[0]), byte(c[1]), byte(c[2]), byte(total)]
        };
        let mut data = vec![0u8; width * height * 4];
        let row = |(y, row): (usize, &mut [u8])| {
            for (x, out) in row.chunks_exact_mut(4).enumerate() {
                out.copy_from_slice(&pixel(y * width + x));
            }
        };
        if data.len() < PARALLEL_FROM / 16 {
            data.chunks_mut((width * 4).max(1)).enumerate().for_each(row);
        } else {
            data.par_chunks_mut((width * 4).max(1)).enumerate().for_each(row);
        }
        Ok(Picture::trusted(Mode::Rgba, width, height, data).convert(base.mode()))
    }
}
