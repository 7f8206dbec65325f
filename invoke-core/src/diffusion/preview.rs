//! Small pictures of unfinished latents.

use std::io::Cursor;

use candle_core::{DType, Tensor};

use super::error::{ModelError, Result};

/// Which base's latents a preview is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreviewBase {
    /// Stable Diffusion 1 and 2.
    Sd,
    /// SDXL and its refiner.
    Sdxl,
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
    pub fn new(latents: &Tensor, base: PreviewBase) -> Result<Self> {
        let (_, channels, h, w) = latents.dims4()?;
        if channels != 4 {
            return Err(ModelError::Input(format!("a preview is made of 4 latent channels, not {channels}")));
        }
        let matrix = match base {
            PreviewBase::Sd => SD,
            PreviewBase::Sdxl => SDXL,
        };
        let planes: Vec<Vec<f32>> = latents.get(0)?.to_dtype(DType::F32)?.flatten_from(1)?.to_vec2()?;
        let mut colours: [Vec<f32>; 3] = std::array::from_fn(|colour| {
            let value = |i: usize| planes.iter().zip(&matrix).map(|(plane, row)| plane[i] * row[colour]).sum();
            (0..h * w).map(value).collect()
        });
        if base == PreviewBase::Sdxl {
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
        let preview = Preview::new(&latents(&[1.0, 0.0, 0.0, 0.0, 0.0, -20.0, 0.0, 0.0], 1, 2), PreviewBase::Sd).unwrap();
        assert_eq!((preview.width, preview.height), (2, 1));
        // (0.3444 + 1) / 2 * 255 = 171.4; 20 * 0.3192 is beyond white, -20 * 0.2513 beyond black.
        assert_eq!(preview.rgb, [171, 145, 136, 255, 0, 0]);
        assert_eq!(preview.jpeg().unwrap()[..2], [0xff, 0xd8]);
    }

    #[test]
    fn sdxl_is_smoothed() {
        let mut values = vec![0.0; 4 * 9];
        values[4] = 1.0;
        let preview = Preview::new(&latents(&values, 3, 3), PreviewBase::Sdxl).unwrap();
        let red = |i: usize| preview.rgb[3 * i];
        assert_eq!([red(4), red(1), red(0), red(8)], [150, 132, 129, 129]);
    }

    #[test]
    fn other_latents_are_refused() {
        let wide = Tensor::zeros((1, 16, 2, 2), DType::F32, &Device::Cpu).unwrap();
        assert!(Preview::new(&wide, PreviewBase::Sd).unwrap_err().to_string().contains("not 16"));
    }
}
