//! Small pictures of unfinished latents.

use std::io::Cursor;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use super::Seamless;
use super::error::{ModelError, Result, read_text};
use super::vae::Vae;

/// What colours latents stand for: a sum over the channels, and for SDXL a smoothing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LatentRgb {
    /// Red, green and blue that one of each latent channel adds, where -1 is black and 1 is white.
    pub factors: Vec<[f32; 3]>,
    /// Red, green and blue of latents of zero.
    #[serde(default)]
    pub bias: [f32; 3],
    /// Whether the picture is smoothed.
    #[serde(default)]
    pub smooth: bool,
}

impl LatentRgb {
    /// Of a base, by its name in records: SDXL's (and its refiner's) are one kind, all others count as Stable Diffusion 1's.
    pub fn of_base(base: &str) -> Self {
        let xl = base.starts_with("sdxl");
        Self {
            factors: if xl { SDXL } else { SD }.to_vec(),
            bias: [0.0; 3],
            smooth: xl,
        }
    }

    /// As an autoencoder shows them: each channel is decoded alone, at 1 and at -1 everywhere, and half of what lies between the two is its colour.
    pub fn measured(vae: &Vae) -> Result<Self> {
        /// Latents of a side: as many as the middle one needs around it.
        const SIDE: usize = 4;
        let channels = vae.config().latent_channels;
        let count = 2 * channels + 1;
        let mut values = vec![0f32; count * channels * SIDE * SIDE];
        for (row, picture) in values.chunks_exact_mut(channels * SIDE * SIDE).enumerate().take(2 * channels) {
            picture[row / 2 * SIDE * SIDE..][..SIDE * SIDE].fill(if row % 2 == 0 { 1.0 } else { -1.0 });
        }
        let latents = Tensor::from_vec(values, (count, channels, SIDE, SIDE), &Device::Cpu)?.to_device(vae.device())?;
        let decoded = vae.decode(&latents, Seamless::default(), None)?;
        let pixels = vae.config().scale();
        let middle = (SIDE / 2 - 1) * pixels;
        let middle = decoded.narrow(2, middle, 2 * pixels)?.narrow(3, middle, 2 * pixels)?;
        let means = middle.to_dtype(DType::F32)?.mean((2, 3))?.to_device(&Device::Cpu)?;
        let colours: Vec<[f32; 3]> = means
            .to_vec2::<f32>()?
            .iter()
            .filter_map(|colour| <[f32; 3]>::try_from(colour.as_slice()).ok())
            .collect();
        let (Some(bias), true) = (colours.last().copied(), colours.len() == count) else {
            return Err(ModelError::Input("a preview needs an autoencoder of three colours".into()));
        };
        let factor = |pair: &[[f32; 3]; 2]| std::array::from_fn(|i| (pair[0][i] - pair[1][i]) / 2.0);
        let factors: Vec<[f32; 3]> = colours.as_chunks::<2>().0.iter().map(factor).collect();
        if !factors.iter().flatten().chain(&bias).all(|v| v.is_finite()) {
            return Err(ModelError::Input("the autoencoder's colours are no numbers".into()));
        }
        Ok(Self {
            factors,
            bias,
            smooth: false,
        })
    }

    /// From a file of a model's own, JSON with these fields; `None` if there is none that can be used.
    pub fn read(path: &Path) -> Option<Self> {
        let text = if path.is_file() {
            read_text(path, 1 << 16).ok()?
        } else {
            return None;
        };
        let read: Self = serde_json::from_str(&text).ok()?;
        let finite = read.factors.iter().flatten().chain(&read.bias).all(|v| v.is_finite());
        finite.then_some(read)
    }
}

/// Red, green and blue that each latent channel adds.
const SD: [[f32; 3]; 4] = [
    [0.3444, 0.1385, 0.0670],
    [0.1247, 0.4027, 0.1494],
    [-0.3192, 0.2513, 0.2103],
    [-0.1307, -0.1874, -0.7445],
];
const SDXL: [[f32; 3]; 4] = [
    [0.3816, 0.4930, 0.5320],
    [-0.3753, 0.1631, 0.1739],
    [0.1770, 0.3588, -0.2048],
    [-0.4350, -0.2644, -0.4289],
];
/// What SDXL's previews are smoothed with.
const SMOOTH: [[f32; 3]; 3] = [[0.0358, 0.0964, 0.0358], [0.0964, 0.4711, 0.0964], [0.0358, 0.0964, 0.0358]];

/// A preview in RGB bytes, one pixel a latent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Rows of red, green, blue.
    pub rgb: Vec<u8>,
}

impl Preview {
    /// From the first of `latents [b, 4, h, w]`, as the denoiser has them.
    pub fn new(latents: &Tensor, colours: &LatentRgb) -> Result<Self> {
        let (_, channels, h, w) = latents.dims4()?;
        if channels != colours.factors.len() {
            let expected = colours.factors.len();
            return Err(ModelError::Input(format!(
                "a preview is made of {expected} latent channels, not {channels}"
            )));
        }
        let planes: Vec<Vec<f32>> = latents.get(0)?.to_dtype(DType::F32)?.flatten_from(1)?.to_vec2()?;
        let LatentRgb {
            factors,
            bias,
            smooth: smoothed,
        } = colours;
        let mut colours: [Vec<f32>; 3] = std::array::from_fn(|colour| {
            let sum = |i: usize| -> f32 { planes.iter().zip(factors).map(|(plane, row)| plane[i] * row[colour]).sum() };
            (0..h * w).map(|i| bias[colour] + sum(i)).collect()
        });
        if *smoothed {
            colours = colours.map(|colour| smooth(&colour, h, w));
        }
        let byte = |v: f32| f32::midpoint(v, 1.0).clamp(0.0, 1.0) * 255.0;
        let rgb = (0..h * w)
            .flat_map(|i| colours.each_ref().map(|colour| byte(colour[i]) as u8))
            .collect();
        Ok(Self {
            width: w as u32,
            height: h as u32,
            rgb,
        })
    }

    /// The preview as a JPEG file.
    pub fn jpeg(&self) -> Result<Vec<u8>> {
        let mut out = Cursor::new(Vec::new());
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, 75)
            .encode(&self.rgb, self.width, self.height, image::ExtendedColorType::Rgb8)
            .map_err(|e| ModelError::Input(format!("the preview cannot be encoded: {e}")))?;
        Ok(out.into_inner())
    }
}

/// A 3×3 convolution with zeros beyond the edges.
fn smooth(plane: &[f32], h: usize, w: usize) -> Vec<f32> {
    let mut out = vec![0.0; plane.len()];
    for (dy, row) in SMOOTH.iter().enumerate() {
        for (dx, weight) in row.iter().enumerate() {
            for y in 1usize.saturating_sub(dy)..h.min(h + 1 - dy) {
                for x in 1usize.saturating_sub(dx)..w.min(w + 1 - dx) {
                    out[y * w + x] += weight * plane[(y + dy - 1) * w + x + dx - 1];
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn latents(values: &[f32], h: usize, w: usize) -> Tensor {
        Tensor::from_slice(values, (1, 4, h, w), &Device::Cpu).unwrap()
    }

    #[test]
    fn channels_become_colours() {
        let preview = Preview::new(
            &latents(&[1.0, 0.0, 0.0, 0.0, 0.0, -20.0, 0.0, 0.0], 1, 2),
            &LatentRgb::of_base("sd-1"),
        )
        .unwrap();
        assert_eq!((preview.width, preview.height), (2, 1));
        // (0.3444 + 1) / 2 * 255 = 171.4; 20 * 0.3192 is beyond white, -20 * 0.2513 beyond black.
        assert_eq!(preview.rgb, [171, 145, 136, 255, 0, 0]);
        assert_eq!(preview.jpeg().unwrap()[..2], [0xff, 0xd8]);
    }

    #[test]
    fn sdxl_is_smoothed() {
        let mut values = vec![0.0; 4 * 9];
        values[4] = 1.0;
        let preview = Preview::new(&latents(&values, 3, 3), &LatentRgb::of_base("sdxl")).unwrap();
        let red = |i: usize| preview.rgb[3 * i];
        assert_eq!([red(4), red(1), red(0), red(8)], [150, 132, 129, 129]);
    }

    #[test]
    fn a_model_may_bring_its_own_colours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latent_rgb.json");
        assert_eq!(LatentRgb::read(&path), None);
        std::fs::write(
            &path,
            r#"{"factors": [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]], "bias": [0, 0, -1]}"#,
        )
        .unwrap();
        let preview = Preview::new(&latents(&[1.0, -1.0, 0.0, 9.0], 1, 1), &LatentRgb::read(&path).unwrap()).unwrap();
        assert_eq!(preview.rgb, [255, 0, 0]);
        std::fs::write(&path, "[]").unwrap();
        assert_eq!(LatentRgb::read(&path), None);
    }

    #[test]
    fn other_latents_are_refused() {
        let wide = Tensor::zeros((1, 16, 2, 2), DType::F32, &Device::Cpu).unwrap();
        assert!(
            Preview::new(&wide, &LatentRgb::of_base("sd-1"))
                .unwrap_err()
                .to_string()
                .contains("not 16")
        );
    }
}
