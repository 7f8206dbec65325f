//! Latents as the transformer sees them: two by two of 16 channels as one token of 64.

use candle_core::{DType, Device, Tensor};

use crate::diffusion::error::{ModelError, Result};
use crate::diffusion::latents::{Interpolation, resize};
use crate::diffusion::noise::latent_noise;

/// Channels of latents.
pub const LATENT_CHANNELS: usize = 16;

/// `[1, c, h, w]` with even sides to `[1, h/2 * w/2, 4 c]`, row by row.
pub fn pack(x: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    if h % 2 != 0 || w % 2 != 0 {
        return Err(ModelError::Input(format!(
            "latents are {w}×{h}, expected even sides (pictures whose sides are multiples of 16)"
        )));
    }
    let split = x.reshape(&[b, c, h / 2, 2, w / 2, 2][..])?.permute([0, 2, 4, 1, 3, 5].as_slice())?;
    Ok(split.contiguous()?.reshape((b, h / 2 * (w / 2), 4 * c))?)
}

/// Undoes [`pack`] for latents of `h` by `w`.
pub fn unpack(x: &Tensor, (h, w): (usize, usize)) -> Result<Tensor> {
    let (b, n, packed) = x.dims3()?;
    if h % 2 != 0 || w % 2 != 0 || n != h / 2 * (w / 2) || packed % 4 != 0 {
        return Err(ModelError::Input(format!(
            "{n} tokens of {packed} channels are no latents of {w}×{h}"
        )));
    }
    let split = x
        .reshape(&[b, h / 2, w / 2, packed / 4, 2, 2][..])?
        .permute([0, 3, 1, 4, 2, 5].as_slice())?;
    Ok(split.contiguous()?.reshape((b, packed / 4, h, w))?)
}

/// Noise of a seed for a picture of these pixels, `[1, 16, h, w]`: drawn as half floats are, then rounded to bfloat16, in which the original keeps it.
pub fn noise(seed: u64, width: usize, height: usize) -> Result<Tensor> {
    let drawn = latent_noise(seed, LATENT_CHANNELS, 2 * height.div_ceil(16), 2 * width.div_ceil(16))?;
    in_half(&drawn.to_dtype(DType::F16)?)
}

/// Rounded to bfloat16, in single floats on the CPU: what the original hands to its model and starts from.
pub fn in_half(x: &Tensor) -> Result<Tensor> {
    Ok(x.to_device(&Device::Cpu)?.to_dtype(DType::BF16)?.to_dtype(DType::F32)?)
}

/// A mask of a picture, `[1, 1, h, w]` with 1 at what is to be filled, as channels of latent tokens: the eight by eight pixels of a latent are 64
/// channels. Its sides are multiples of 16.
pub fn pack_mask(mask: &Tensor) -> Result<Tensor> {
    let (b, one, h, w) = mask.dims4()?;
    if one != 1 || h % 16 != 0 || w % 16 != 0 {
        return Err(ModelError::Input(format!(
            "the mask is {:?}, expected sides that are multiples of 16",
            mask.dims()
        )));
    }
    let split = mask
        .reshape(&[b, h / 8, 8, w / 8, 8][..])?
        .permute([0, 2, 4, 1, 3].as_slice())?
        .contiguous()?;
    pack(&split.reshape((b, 64, h / 8, w / 8))?)
}

/// Resized to `h` by `w` by linear interpolation between the nearest.
pub(super) fn resized(x: &Tensor, (h, w): (usize, usize)) -> Result<Tensor> {
    Ok(resize(x, h, w, Interpolation::Bilinear, false)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latents_are_packed_and_unpacked() {
        let x = Tensor::arange(0f32, 16.0, &Device::Cpu).unwrap().reshape((1, 2, 2, 4)).unwrap();
        let packed = pack(&x).unwrap();
        // Left token first; for each channel its upper row, then its lower one.
        assert_eq!(
            packed.to_vec3::<f32>().unwrap(),
            [[
                [0.0, 1.0, 4.0, 5.0, 8.0, 9.0, 12.0, 13.0],
                [2.0, 3.0, 6.0, 7.0, 10.0, 11.0, 14.0, 15.0]
            ]]
        );
        let back = unpack(&packed, (2, 4)).unwrap();
        assert_eq!(
            back.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            (0..16).map(|i| i as f32).collect::<Vec<_>>()
        );
        assert!(pack(&Tensor::zeros((1, 2, 3, 4), DType::F32, &Device::Cpu).unwrap()).is_err());
        assert!(unpack(&packed, (4, 4)).is_err());
    }

    #[test]
    fn a_masks_pixels_are_channels() {
        let mut pixels = vec![0f32; 256];
        // Row 9, column 10: the lower right latent, its pixel (1, 2), channel 10.
        pixels[9 * 16 + 10] = 1.0;
        let mask = Tensor::from_vec(pixels, (1, 1, 16, 16), &Device::Cpu).unwrap();
        let packed = pack_mask(&mask).unwrap();
        assert_eq!(packed.dims(), [1, 1, 256]);
        let values: Vec<f32> = packed.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(values.iter().position(|v| *v == 1.0), Some(10 * 4 + 3));
    }
}
