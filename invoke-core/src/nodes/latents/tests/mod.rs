//! Whole runs of the nodes, held to what diffusers and InvokeAI made of the same models (`tests/numerics`).

pub(in crate::nodes) mod checkpoints;
mod offload;
mod rows;
mod steering;

use std::{collections::HashMap, path::PathBuf};

use candle_core::Tensor;
use serde_json::{Value, json};

use crate::{
    diffusion::weights::{SafetensorsFile, Source},
    nodes::testing::{TestCx, run_in},
};

/// The project's folder.
pub(in crate::nodes) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Recorded arrays.
pub(in crate::nodes) struct Recorded(SafetensorsFile);

impl Recorded {
    pub(in crate::nodes) fn open(name: &str) -> Self {
        Self(SafetensorsFile::open(&root().join("tests/numerics").join(format!("{name}.safetensors"))).unwrap())
    }

    pub(in crate::nodes) fn tensor(&self, name: &str) -> Tensor {
        self.0.read(name).unwrap().to_dtype(candle_core::DType::F32).unwrap()
    }

    /// Norm of the difference over the norm of the recording.
    pub(in crate::nodes) fn error(&self, name: &str, got: &Tensor) -> f64 {
        let want = self.tensor(name);
        assert_eq!(want.dims(), got.dims(), "{name}");
        let norm = |t: &Tensor| -> f64 { f64::from(t.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap()).sqrt() };
        norm(&(&want - got).unwrap()) / norm(&want)
    }
}

/// A context with models at places.
pub(in crate::nodes) fn with_models(models: Vec<(Value, PathBuf)>) -> TestCx {
    let mut cx = TestCx::default();
    for (record, path) in models {
        cx.paths.insert(record["key"].as_str().unwrap().to_owned(), path);
        cx.models.push(record);
    }
    cx
}

/// A model's record, which serves as its identifier.
pub(in crate::nodes) fn model(key: &str, base: &str, kind: &str) -> Value {
    json!({"key": key, "hash": "h", "name": key, "base": base, "type": kind, "submodel_type": null})
}

/// Settings of a run.
struct Run<'a> {
    base: &'a str,
    prompts: [&'a str; 2],
    seed: u32,
    /// Pixels across and down.
    size: (usize, usize),
    /// More inputs of the denoiser.
    denoise: Value,
}

/// Makes a picture with model `m`: its latents, and its pixels as `[1, 3, h, w]`.
fn picture(cx: &TestCx, run: &Run<'_>) -> Result<(Tensor, Tensor), crate::nodes::NodeError> {
    let (loader, encoder) = match run.base {
        "sdxl" => ("sdxl_model_loader", "sdxl_compel_prompt"),
        _ => ("main_model_loader", "compel"),
    };
    let record = cx.models.iter().find(|record| record["key"] == "m").unwrap();
    let parts = run_in(cx, loader, json!({"model": record}))?;
    let mut conditioning = HashMap::new();
    for (name, prompt) in ["positive_conditioning", "negative_conditioning"].into_iter().zip(run.prompts) {
        let mut inputs = json!({"prompt": prompt, "clip": parts["clip"]});
        if run.base == "sdxl" {
            inputs["clip2"] = parts["clip2"].clone();
        }
        conditioning.insert(name, run_in(cx, encoder, inputs)?["conditioning"].clone());
    }
    let noise = run_in(cx, "noise", json!({"seed": run.seed, "width": run.size.0, "height": run.size.1}))?;
    let mut inputs = json!({"unet": parts["unet"], "noise": noise["noise"]});
    for (name, value) in conditioning
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .chain(run.denoise.as_object().unwrap().clone())
    {
        inputs[name] = value;
    }
    let latents = run_in(cx, "denoise_latents", inputs)?;
    let kept = crate::nodes::workbench::tensor(cx, latents["latents"]["latents_name"].as_str().unwrap())?;
    let image = run_in(cx, "l2i", json!({"latents": latents["latents"], "vae": parts["vae"]}))?;
    let pixels = cx
        .images
        .lock()
        .iter()
        .find(|(name, ..)| image["image"]["image_name"] == name.as_str())
        .unwrap()
        .1
        .to_rgb8();
    let (w, h) = (pixels.width() as usize, pixels.height() as usize);
    let pixels = Tensor::from_vec(pixels.into_raw(), (1, h, w, 3), &candle_core::Device::Cpu).unwrap();
    let pixels = pixels
        .permute((0, 3, 1, 2))
        .unwrap()
        .to_dtype(candle_core::DType::F32)
        .unwrap()
        .contiguous()
        .unwrap();
    Ok((kept, pixels))
}
