//! Noise as torch's CPU generator makes it, so that a seed gives the picture that it gives elsewhere.
#![expect(clippy::float_cmp, reason = "times are rounded to a grid, and noise is compared bit for bit")]

mod box_muller;
mod brownian;
mod generator;

pub use brownian::BrownianTree;
pub use generator::TorchGenerator;

use candle_core::{Device, Result, Tensor};

/// Standard normal noise of the given shape, drawn on the CPU in f32 and then moved, as `torch.randn` with a CPU generator.
pub fn randn(shape: &[usize], generator: &mut TorchGenerator, device: &Device) -> Result<Tensor> {
    let values = generator.randn(shape.iter().product());
    Tensor::from_vec(values, shape, &Device::Cpu)?.to_device(device)
}

/// The noise of a `noise` node for Stable Diffusion latents: `[1, channels, height, width]`, sizes in latent pixels.
/// Only the low 32 bits of the seed count.
pub fn latent_noise(seed: u64, channels: usize, height: usize, width: usize) -> Result<Tensor> {
    randn(&[1, channels, height, width], &mut TorchGenerator::new(seed), &Device::Cpu)
}
