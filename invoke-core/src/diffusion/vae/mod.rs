//! The autoencoder of Stable Diffusion 1, 2 and XL (diffusers' `AutoencoderKL`): pictures to latents and back.
//!
//! Pictures are `[b, 3, h, w]` in -1 to 1. Latents are *unscaled* inside the network; [`Vae::decode`] and [`Vae::encode`] take
//! and give them as the denoiser has them, that is multiplied by the config's `scaling_factor`.

mod config;
mod decoder;
mod encoder;
mod mid;
mod tiling;

use std::path::Path;

use candle_core::{DType, Device, Tensor};

pub use config::VaeConfig;
pub use tiling::{Tiling, to_rgb};

use decoder::Decoder;
use encoder::Encoder;

use super::blocks::{LARGE, Seamless, strip_rows};
use super::error::{ModelError, Result};
use super::ops::{Conv2d, ConvConfig};
use super::weights::{Weights, open_weights};

/// An autoencoder with its weights.
#[derive(Debug, Clone)]
pub struct Vae {
    config: VaeConfig,
    encoder: Encoder,
    decoder: Decoder,
    quant: Option<Conv2d>,
    post_quant: Option<Conv2d>,
    dtype: DType,
    device: Device,
}

/// What the encoder says of a picture's latents: a normal distribution at each point, unscaled.
#[derive(Debug, Clone)]
pub struct Posterior {
    /// Means, `[b, latent channels, h, w]`.
    pub mean: Tensor,
    /// Logarithms of the variances, clamped to -30 to 20, of the same shape.
    pub log_variance: Tensor,
}

impl Posterior {
    /// The mean plus `noise` (standard normal, of the mean's shape) times the standard deviation.
    pub fn sample(&self, noise: &Tensor) -> Result<Tensor> {
        let deviation = (&self.log_variance * 0.5)?.exp()?;
        Ok((&self.mean + (deviation * noise.to_dtype(self.mean.dtype())?)?)?)
    }
}

impl Vae {
    /// Reads a folder with `config.json` and safetensors weights, in `dtype`, onto `device`.
    pub fn open(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config = VaeConfig::read(&folder.join("config.json"))?;
        Self::load(config, &Weights::new(open_weights(folder)?, dtype, device))
    }

    /// Reads the weights of an autoencoder of the given shapes.
    pub fn load(config: VaeConfig, weights: &Weights) -> Result<Self> {
        let latent = config.latent_channels;
        let one_by_one = ConvConfig::padded(0);
        let quant = if config.use_quant_conv {
            Some(weights.at("quant_conv").conv(latent * 2, latent * 2, 1, one_by_one)?)
        } else {
            None
        };
        let post_quant = if config.use_post_quant_conv {
            Some(weights.at("post_quant_conv").conv(latent, latent, 1, one_by_one)?)
        } else {
            None
        };
        Ok(Self {
            encoder: Encoder::load(&weights.at("encoder"), &config)?,
            decoder: Decoder::load(&weights.at("decoder"), &config)?,
            quant,
            post_quant,
            dtype: weights.computes_in(),
            device: weights.device().clone(),
            config,
        })
    }

    /// The model's shapes.
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// The device the model computes on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The data type the model computes in.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Tiles of the size given in pixels, or of the model's own size for 0. See [`Tiling`].
    pub fn tiling(&self, tile_size: usize) -> Result<Tiling> {
        Tiling::new(tile_size, self.config.sample_size, self.config.scale())
    }

    /// Whether the layers of a picture of `h` by `w` pixels are so large that they are worked on in strips of rows: at its full size at least. A
    /// picture that wraps around from top to bottom is not.
    pub fn works_in_strips(&self, h: usize, w: usize, seamless: Seamless) -> bool {
        let widest = self.config.block_out_channels.iter().take(2).max().copied().unwrap_or(1);
        strip_rows((1, widest, h, w), seamless.modes(), LARGE).is_some()
    }

    /// Latents as the denoiser leaves them, `[b, latent channels, h, w]`, to a picture `[b, 3, h*8, w*8]` around -1 to 1, not
    /// clamped. With `tiling`, latents larger than a tile are decoded in overlapping tiles that are blended.
    pub fn decode(&self, latents: &Tensor, seamless: Seamless, tiling: Option<&Tiling>) -> Result<Tensor> {
        let (_, channels, h, w) = latents.dims4()?;
        if channels != self.config.latent_channels {
            let expected = self.config.latent_channels;
            return Err(ModelError::Input(format!(
                "the latents have {channels} channels, this autoencoder takes {expected}"
            )));
        }
        let mut z = (latents.to_dtype(self.dtype)? / self.config.scaling_factor)?;
        if self.config.shift_factor != 0.0 {
            z = (z + self.config.shift_factor)?;
        }
        match tiling {
            Some(tiling) if Tiling::is_needed(h, w, tiling.latent) => Ok(Tiling::run(&z, tiling.latent, tiling.pixels, |tile| {
                self.decode_whole(tile, seamless)
            })?),
            _ => Ok(self.decode_whole(&z, seamless)?),
        }
    }

    /// A picture `[b, 3, h, w]` in -1 to 1, its sides multiples of 8, to the distribution of its *unscaled* latents.
    pub fn posterior(&self, picture: &Tensor, tiling: Option<&Tiling>) -> Result<Posterior> {
        let (_, channels, h, w) = picture.dims4()?;
        let scale = self.config.scale();
        if channels != self.config.in_channels || h % scale != 0 || w % scale != 0 || h * w == 0 {
            let expected = self.config.in_channels;
            return Err(ModelError::Input(format!(
                "the picture is {channels}×{h}×{w}, this autoencoder takes {expected} channels and sides that are multiples of {scale}"
            )));
        }
        let x = picture.to_dtype(self.dtype)?;
        let moments = match tiling {
            Some(tiling) if Tiling::is_needed(h, w, tiling.pixels) => {
                Tiling::run(&x, tiling.pixels, tiling.latent, |tile| self.encode_whole(tile))?
            }
            _ => self.encode_whole(&x)?,
        };
        let halves = moments.chunk(2, 1)?;
        Ok(Posterior {
            mean: halves[0].contiguous()?,
            log_variance: halves[1].contiguous()?.clamp(-30f64, 20f64)?,
        })
    }

    /// Like [`Self::posterior`], then a draw with `noise` (or the mean without), scaled as the denoiser wants it.
    pub fn encode(&self, picture: &Tensor, noise: Option<&Tensor>, tiling: Option<&Tiling>) -> Result<Tensor> {
        let posterior = self.posterior(picture, tiling)?;
        let z = match noise {
            Some(noise) => posterior.sample(noise)?,
            None => posterior.mean,
        };
        Ok(((z - self.config.shift_factor)? * self.config.scaling_factor)?)
    }

    fn decode_whole(&self, z: &Tensor, seamless: Seamless) -> candle_core::Result<Tensor> {
        match &self.post_quant {
            Some(conv) => self.decoder.forward(&conv.forward(z)?, seamless.modes(), LARGE),
            None => self.decoder.forward(z, seamless.modes(), LARGE),
        }
    }

    fn encode_whole(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let moments = self.encoder.forward(x, LARGE)?;
        match &self.quant {
            Some(conv) => conv.forward(&moments),
            None => Ok(moments),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ops::PaddingMode;
    use super::super::ops::twin::noise;
    use super::*;

    #[test]
    fn a_picture_in_strips_is_the_whole() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/models/invoke-tiny/vae");
        let vae = Vae::open(&folder, DType::F32, &Device::Cpu).unwrap();
        let far = |a: &Tensor, b: &Tensor| {
            assert_eq!(a.dims(), b.dims());
            let most = (a - b).unwrap().abs().unwrap().max_all().unwrap();
            most.to_scalar::<f32>().unwrap()
        };
        let latents = noise(&[1, vae.config.latent_channels, 7, 5]).unwrap();
        for mode in [[PaddingMode::Zeros; 2], [PaddingMode::Zeros, PaddingMode::Circular]] {
            let whole = vae.decoder.forward(&latents, mode, usize::MAX).unwrap();
            // From the first level on, and from later ones.
            for large in [1, 1 << 13, 1 << 15, 1 << 16] {
                assert!(far(&vae.decoder.forward(&latents, mode, large).unwrap(), &whole) < 1e-4, "{large}");
            }
        }
        let picture = noise(&[1, 3, 56, 40]).unwrap();
        let whole = vae.encoder.forward(&picture, usize::MAX).unwrap();
        for large in [1, 1 << 14] {
            assert!(far(&vae.encoder.forward(&picture, large).unwrap(), &whole) < 1e-4, "{large}");
        }
    }
}
