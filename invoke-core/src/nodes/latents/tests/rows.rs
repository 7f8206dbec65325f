//! Several pictures in one item.

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use super::{checkpoints::write, model, with_models};
use crate::nodes::{
    NodeError,
    testing::{TestCx, run_in},
    workbench::{keep, tensor},
};

fn house() -> (tempfile::TempDir, TestCx) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("m.safetensors");
    write("sd-1", &path, |_| true);
    let cx = with_models(vec![(model("m", "sd-1", "main"), path)]);
    (folder, cx)
}

fn denoised(cx: &TestCx, noise: Value, more: &Value) -> Result<Value, NodeError> {
    let parts = run_in(cx, "main_model_loader", json!({"model": cx.models[0]}))?;
    let prompt = |text: &str| run_in(cx, "compel", json!({"prompt": text, "clip": parts["clip"]})).map(|out| out["conditioning"].clone());
    let mut inputs = json!({
        "unet": parts["unet"], "noise": noise, "positive_conditioning": prompt("a cat")?, "negative_conditioning": prompt("")?,
        "steps": 3, "cfg_scale": 4.0, "scheduler": "ddim",
    });
    for (name, value) in more.as_object().unwrap() {
        inputs[name] = value.clone();
    }
    let latents = run_in(cx, "denoise_latents", inputs)?["latents"].clone();
    run_in(cx, "l2i", json!({"latents": latents, "vae": parts["vae"]}))?;
    Ok(latents)
}

#[test]
fn each_row_is_the_picture_that_it_is_alone() {
    let (_folder, cx) = house();
    let noises: Vec<Value> = (1..4)
        .map(|seed| run_in(&cx, "noise", json!({"seed": seed, "width": 64, "height": 64})).unwrap()["noise"].clone())
        .collect();
    let name = |value: &Value| value["latents_name"].as_str().unwrap().to_owned();
    let alone: Vec<Tensor> = noises
        .iter()
        .map(|noise| tensor(&cx, &name(&denoised(&cx, noise.clone(), &json!({})).unwrap())).unwrap())
        .collect();
    let rows: Vec<Tensor> = noises.iter().map(|noise| tensor(&cx, &name(noise)).unwrap()).collect();
    let all = json!({"latents_name": keep(&cx, Tensor::cat(&rows, 0).unwrap()), "seed": 1});
    let before = cx.images.lock().len();
    let latents = denoised(&cx, all.clone(), &json!({})).unwrap();
    assert_eq!(cx.images.lock().len(), before + 3, "each is kept as a picture");
    let together = tensor(&cx, &name(&latents)).unwrap();
    assert_eq!(together.dim(0).unwrap(), 3);
    for (at, alone) in alone.iter().enumerate() {
        let row = together.narrow(0, at, 1).unwrap();
        let worst: f32 = (row - alone).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap();
        assert!(worst < 1e-4, "{at}: {worst}");
    }
    // HiDiffusion goes with one at a time.
    let latents = denoised(&cx, all, &json!({"hidiffusion": true})).unwrap();
    assert_eq!(tensor(&cx, &name(&latents)).unwrap().dim(0).unwrap(), 3);
}

#[test]
fn no_picture_at_all_is_an_error() {
    let (_folder, cx) = house();
    let none = json!({"latents_name": keep(&cx, Tensor::zeros((0, 4, 8, 8), candle_core::DType::F32, &Device::Cpu).unwrap()), "seed": 1});
    assert!(denoised(&cx, none, &json!({})).is_err());
}
