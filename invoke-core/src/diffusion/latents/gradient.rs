//! Masks whose edge fades, so that new content grows into what is kept.

/// How the edge of a mask is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoherenceMode {
    /// Fades as a bell curve.
    GaussianBlur,
    /// Fades in a straight line.
    BoxBlur,
    /// Keeps the mask's own edge and only lifts it to the least denoising.
    Staged,
}

impl std::str::FromStr for CoherenceMode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "Gaussian Blur" => Ok(Self::GaussianBlur),
            "Box Blur" => Ok(Self::BoxBlur),
            "Staged" => Ok(Self::Staged),
            other => Err(format!("coherence_mode: `{other}`, expected Gaussian Blur, Box Blur or Staged")),
        }
    }
}

/// A mask at latent size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GradientMask {
    /// 255 keeps, 0 denoises from the start, values between join later.
    pub mask: Vec<u8>,
    /// 0 wherever anything may change, 255 elsewhere.
    pub expanded: Vec<u8>,
}

/// Spreads a mask's edge. `mask` is in rows of `width` at latent size, 255 keeps; `edge_radius` is in latent pixels;
/// `minimum_denoise` (0 to 1) is the least share of denoising that a changed pixel gets.
pub fn gradient_mask(mask: &[u8], width: usize, edge_radius: usize, mode: CoherenceMode, minimum_denoise: f64) -> GradientMask {
    let faded: Vec<f32> = if edge_radius == 0 {
        mask.iter().map(|&v| f32::from(v)).collect()
    } else {
        let spread = spread(mask, width, edge_radius, mode);
        let threshold = ((1.0 - minimum_denoise) * 255.0) as f32;
        let lift = |(&kept, spread): (&u8, f32)| {
            let kept = f32::from(kept);
            let value = match mode {
                CoherenceMode::Staged if spread < kept && kept > threshold => threshold,
                CoherenceMode::Staged => kept,
                CoherenceMode::GaussianBlur | CoherenceMode::BoxBlur => spread,
            };
            if value > threshold && value < 255.0 { threshold } else { value }
        };
        mask.iter().zip(spread).map(lift).collect()
    };
    let mask: Vec<u8> = faded.iter().map(|v| v.clamp(0.0, 255.0) as u8).collect();
    let expanded = mask.iter().map(|&v| if v < 255 { 0 } else { 255 }).collect();
    GradientMask { mask, expanded }
}

/// Darkens every pixel by the darkest pixel near it, weighted by distance.
fn spread(mask: &[u8], width: usize, radius: usize, mode: CoherenceMode) -> Vec<f32> {
    let height = mask.len() / width.max(1);
    let sigma = radius as f64 / 2.5;
    let reach = radius as isize;
    let weight = |dx: isize, dy: isize| {
        let square = (dx * dx + dy * dy) as f64;
        if square.sqrt() > radius as f64 {
            return 0.0;
        }
        match mode {
            CoherenceMode::BoxBlur => (1.0 - square.sqrt() / radius as f64) as f32,
            CoherenceMode::GaussianBlur | CoherenceMode::Staged => (-square / (2.0 * sigma * sigma)).exp() as f32,
        }
    };
    let mut darkness = vec![0f32; mask.len()];
    for dy in -reach..=reach {
        for dx in -reach..=reach {
            let weight = weight(dx, dy);
            if weight <= 0.0 {
                continue;
            }
            for y in 0..height {
                let Some(from_y) = y.checked_add_signed(dy).filter(|&v| v < height) else {
                    continue;
                };
                for x in 0..width {
                    let Some(from_x) = x.checked_add_signed(dx).filter(|&v| v < width) else {
                        continue;
                    };
                    let dark = (255.0 - f32::from(mask[from_y * width + from_x])) * weight;
                    let cell = &mut darkness[y * width + x];
                    *cell = cell.max(dark);
                }
            }
        }
    }
    darkness.into_iter().map(|dark| 255.0 - dark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_fades_and_no_further_than_its_radius() {
        let mut mask = vec![255; 15];
        mask[7] = 0;
        let faded = gradient_mask(&mask, 15, 3, CoherenceMode::GaussianBlur, 0.0);
        assert_eq!(faded.mask[3..12], [255, 243, 191, 74, 0, 74, 191, 243, 255]);
        assert_eq!(faded.expanded.iter().filter(|&&v| v == 0).count(), 7);
    }

    #[test]
    fn least_denoising_caps_the_fade() {
        let mut mask = vec![255; 15];
        mask[7] = 0;
        let faded = gradient_mask(&mask, 15, 3, CoherenceMode::BoxBlur, 0.5);
        assert_eq!(faded.mask[4..11], [255, 127, 85, 0, 85, 127, 255]);
        let staged = gradient_mask(&mask, 15, 3, CoherenceMode::Staged, 0.5);
        assert_eq!(staged.mask[4..11], [127, 127, 127, 0, 127, 127, 127]);
        let untouched = gradient_mask(&mask, 15, 0, CoherenceMode::Staged, 0.5);
        assert_eq!(untouched.mask, mask);
    }
}
