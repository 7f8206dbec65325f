//! The diffusion models held to diffusers, transformers and compel by arrays that `tests/numerics/record.py` recorded.
//!
//! Inputs are the script's formulas. A result passes if it differs from the recording by at most [`TOLERANCE`] in f32, measured
//! as the norm of the difference over the norm of the recording.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod drawn;
mod flux;
mod flux_lora;
mod grounding;
mod lora;
mod pictures;
pub mod shapes;
mod text;
mod unet;
mod vae;
mod vision;

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};

/// Largest relative error. Most lie below 1e-6, the deepest random models at 2e-5.
pub const TOLERANCE: f64 = 1e-4;

/// The folder of the shipped model.
pub fn tiny(part: &str) -> PathBuf {
    root().join("assets/models/invoke-tiny").join(part)
}

/// The folder of one of the script's random models.
pub fn random(path: &str) -> PathBuf {
    recordings().join("models").join(path)
}

/// The folder of recordings.
pub fn recordings() -> PathBuf {
    root().join("tests/numerics")
}

/// The top of the project.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One file of recorded arrays.
pub struct Recorded(HashMap<String, Tensor>);

impl Recorded {
    /// Reads `tests/numerics/<name>.safetensors`.
    pub fn open(name: &str) -> Self {
        Self(candle_core::safetensors::load(recordings().join(format!("{name}.safetensors")), &Device::Cpu).unwrap())
    }

    /// A recorded array as it is.
    pub fn values(&self, name: &str) -> Vec<f32> {
        self.0[name].flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Names of all recordings.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Holds `found` to the recording `name`.
    #[track_caller]
    pub fn check(&self, name: &str, found: &Tensor) {
        let error = self.error(name, found);
        assert!(error <= TOLERANCE, "{name}: relative error {error:.2e}");
    }

    /// Relative error of `found` against the recording `name`.
    #[track_caller]
    pub fn error(&self, name: &str, found: &Tensor) -> f64 {
        let recorded = self.values(name);
        let thinned = [1500, 200, 60].map(|keep| thin(found, keep));
        let found = thinned.iter().find(|t| t.len() == recorded.len());
        let found = found.unwrap_or_else(|| panic!("{name}: another number of elements than {}", recorded.len()));
        let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
        let difference = norm(&mut found.iter().zip(&recorded).map(|(a, b)| f64::from(a - b)));
        difference / norm(&mut recorded.iter().map(|b| f64::from(*b)))
    }
}

/// The script's `thin`: some of the elements, at an odd stride.
fn thin(t: &Tensor, keep: usize) -> Vec<f32> {
    let all: Vec<f32> = t.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let stride = all.len().div_ceil(keep).max(1) | 1;
    all.into_iter().step_by(stride).collect()
}

/// The script's `wave`.
pub fn wave(shape: &[usize], phase: f64, scale: f64) -> Tensor {
    let n: usize = shape.iter().product();
    let value = |i: f64| ((i * 0.7390851 + i * i * 0.0001234 + phase).sin() * scale) as f32;
    Tensor::from_vec((0..n).map(|i| value(i as f64)).collect(), shape, &Device::Cpu).unwrap()
}
