//! Adapters, image prompts, HiDiffusion and textual inversion, against InvokeAI's pictures of the same models (`tests/pictures`).

use std::{collections::HashMap, path::Path, sync::Arc};

use serde_json::{Value, json};

use super::{
    Run,
    checkpoints::{weight, write},
    model, picture, root, with_models,
};
use crate::nodes::testing::{TestCx, run_in};

/// The setting of most cases.
const PROMPTS: [&str; 2] = ["a (photo)1.2 of a cat, by the sea", "blurry"];

/// Writes an adapter of `models.py`: its weights, and a config beside them if it is a folder.
fn adapter(folder: &Path, name: &str, config: Option<Value>) -> std::path::PathBuf {
    let listed: HashMap<String, HashMap<String, Vec<usize>>> =
        serde_json::from_slice(&std::fs::read(root().join("tests/pictures/adapters.json")).unwrap()).unwrap();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = listed[name]
        .iter()
        .map(|(tensor, shape)| (tensor.clone(), shape.clone(), weight(tensor, shape)))
        .collect();
    match config {
        None => {
            let path = folder.join(format!("{name}.safetensors"));
            super::checkpoints::safetensors(&path, tensors);
            path
        }
        Some(config) => {
            let path = folder.join(name);
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("config.json"), config.to_string()).unwrap();
            super::checkpoints::safetensors(&path.join("diffusion_pytorch_model.safetensors"), tensors);
            path
        }
    }
}

/// A context with the small model of a base, and add-ons.
fn cx(folder: &Path, base: &str, add_ons: Vec<(Value, std::path::PathBuf)>) -> TestCx {
    let path = folder.join("m.safetensors");
    write(base, &path, |_| true);
    let mut models = vec![(model("m", base, "main"), path)];
    models.extend(add_ons);
    let cx = with_models(models);
    for name in [
        "drawing 128x192",
        "drawing 200x150",
        "gradient 256x256",
        "gradient 300x240",
        "gradient 128x192",
    ] {
        let pixels = image::open(root().join(format!("tests/pictures/inputs/{name}.png"))).unwrap();
        cx.images.lock().push((name.to_owned(), Arc::new(pixels), None));
    }
    cx
}

/// Runs a case and holds the picture to the recorded one.
fn check(cx: &TestCx, base: &str, case: &str, prompts: [&str; 2], more: Value) {
    let mut denoise = json!({"steps": 10, "cfg_scale": 5.0, "scheduler": if base == "sdxl" { "euler" } else { "ddim" }});
    denoise.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let run = Run {
        base,
        prompts,
        seed: 7,
        size: (128, 192),
        denoise,
    };
    let (_, pixels) = picture(cx, &run).unwrap();
    let want = image::open(root().join(format!("tests/pictures/reference/{case}.png")))
        .unwrap()
        .to_rgb8();
    let got: Vec<f32> = pixels.permute((0, 2, 3, 1)).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(got.len(), want.as_raw().len(), "{case}");
    let squares = got.iter().zip(want.as_raw()).map(|(a, b)| f64::from(a - f32::from(*b)).powi(2));
    let mean = squares.sum::<f64>() / got.len() as f64;
    let psnr = 10.0 * (255.0 * 255.0 / mean.max(1e-9)).log10();
    assert!(psnr > 45.0, "{case}: {psnr} dB");
}

fn t2i_config(kind: &str, channels: [usize; 4], factor: usize) -> Value {
    json!({"adapter_type": kind, "channels": channels, "downscale_factor": factor, "in_channels": 3, "num_res_blocks": 1})
}

#[test]
fn t2i_adapters_steer_as_in_invokeai() {
    let folder = tempfile::tempdir().unwrap();
    let config = t2i_config("light_adapter", [32, 64, 96, 96], 8);
    let a = model("a", "sd-1", "t2i_adapter");
    let cx = cx(
        folder.path(),
        "sd-1",
        vec![(a.clone(), adapter(folder.path(), "small-t2i", Some(config)))],
    );
    let inputs =
        json!({"t2i_adapter_model": a, "image": {"image_name": "gradient 256x256"}, "weight": 0.7, "resize_mode": "just_resize_simple"});
    let field = run_in(&cx, "t2i_adapter", inputs).unwrap();
    let mut cx = cx;
    for sequential in [false, true] {
        cx.workbench.0.options.sequential = sequential;
        let more = json!({"t2i_adapter": field["t2i_adapter"]});
        check(&cx, "sd-1", "sd-1 T2I-Adapter", PROMPTS, more);
    }
}

#[test]
fn sdxls_t2i_adapters_see_blue_first() {
    let folder = tempfile::tempdir().unwrap();
    let config = t2i_config("full_adapter_xl", [64, 128, 192, 192], 16);
    let a = model("a", "sdxl", "t2i_adapter");
    let cx = cx(
        folder.path(),
        "sdxl",
        vec![(a.clone(), adapter(folder.path(), "small-t2i-xl", Some(config)))],
    );
    let field = run_in(
        &cx,
        "t2i_adapter",
        json!({"t2i_adapter_model": a, "image": {"image_name": "drawing 128x192"}, "weight": 0.7}),
    )
    .unwrap();
    check(
        &cx,
        "sdxl",
        "sdxl T2I-Adapter",
        PROMPTS,
        json!({"t2i_adapter": field["t2i_adapter"]}),
    );
}

#[test]
fn pictures_are_prompts_as_in_invokeai() {
    let folder = tempfile::tempdir().unwrap();
    let vision = json!({
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 224, "patch_size": 32,
        "projection_dim": 20, "hidden_act": "gelu",
    });
    let (plain, plus) = (model("a", "sd-1", "ip_adapter"), model("b", "sd-1", "ip_adapter"));
    let mut encoder = model("e", "any", "clip_vision");
    encoder["name"] = json!("IP Adapter SD1.5 Image Encoder");
    let add_ons = vec![
        (plain.clone(), adapter(folder.path(), "small-ip", None)),
        (plus.clone(), adapter(folder.path(), "small-ip-plus", None)),
        (encoder, adapter(folder.path(), "IP Adapter SD1.5 Image Encoder", Some(vision))),
    ];
    let cx = cx(folder.path(), "sd-1", add_ons);
    let ip = |inputs: Value| run_in(&cx, "ip_adapter", inputs).unwrap()["ip_adapter"].clone();
    let one = ip(json!({"ip_adapter_model": plain, "image": {"image_name": "gradient 300x240"}, "weight": 0.8}));
    check(&cx, "sd-1", "sd-1 IP-Adapter", PROMPTS, json!({"ip_adapter": one}));
    let mask = run_in(
        &cx,
        "rectangle_mask",
        json!({"width": 128, "height": 192, "x_left": 0, "y_top": 0, "rectangle_width": 64, "rectangle_height": 192}),
    )
    .unwrap();
    let several = [
        ip(json!({
            "ip_adapter_model": plus, "image": {"image_name": "drawing 128x192"}, "weight": 0.9, "mask": mask["mask"], "method": "style_precise",
            "begin_step_percent": 0.1,
        })),
        ip(json!({"ip_adapter_model": plain, "image": {"image_name": "gradient 128x192"}, "weight": 0.5})),
    ];
    let mut cx = cx;
    for sequential in [false, true] {
        cx.workbench.0.options.sequential = sequential;
        let more = json!({"ip_adapter": several});
        check(&cx, "sd-1", "sd-1 IP-Adapter plus, mask, style", PROMPTS, more);
    }
}

#[test]
fn control_nets_may_be_single_files() {
    let folder = tempfile::tempdir().unwrap();
    let net = model("c", "sd-1", "controlnet");
    let cx = cx(
        folder.path(),
        "sd-1",
        vec![(net.clone(), adapter(folder.path(), "small-control", None))],
    );
    let inputs = json!({
        "control_model": net, "image": {"image_name": "drawing 200x150"}, "control_weight": 0.5, "control_mode": "more_prompt", "resize_mode": "crop_resize",
    });
    let field = run_in(&cx, "controlnet", inputs).unwrap();
    let mut cx = cx;
    for sequential in [false, true] {
        cx.workbench.0.options.sequential = sequential;
        check(&cx, "sd-1", "sd-1 ControlNet", PROMPTS, json!({"control": field["control"]}));
    }
}

#[test]
fn hidiffusion_makes_invokeais_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let settings = json!({"hidiffusion": true, "hidiffusion_t1_ratio": 0.5, "hidiffusion_t2_ratio": 0.3});
    check(
        &cx(folder.path(), "sd-1", Vec::new()),
        "sd-1",
        "sd-1 HiDiffusion",
        PROMPTS,
        settings,
    );
    let settings = json!({"hidiffusion": true, "hidiffusion_t1_ratio": 0.6});
    check(
        &cx(folder.path(), "sdxl", Vec::new()),
        "sdxl",
        "sdxl HiDiffusion",
        PROMPTS,
        settings,
    );
}

#[test]
fn triggers_in_prompts_are_textual_inversions() {
    let folder = tempfile::tempdir().unwrap();
    let mut style = model("t", "sdxl", "embedding");
    style["name"] = json!("small-style-xl");
    let cx = cx(folder.path(), "sdxl", vec![(style, adapter(folder.path(), "small-style-xl", None))]);
    // The style differs from the prompt here, so the encoder is asked for itself.
    let parts = run_in(&cx, "sdxl_model_loader", json!({"model": cx.models[0]})).unwrap();
    let encode = |prompt: &str, style: &str| {
        let inputs = json!({"prompt": prompt, "style": style, "clip": parts["clip"], "clip2": parts["clip2"]});
        run_in(&cx, "sdxl_compel_prompt", inputs).unwrap()["conditioning"].clone()
    };
    let denoise = json!({"positive_conditioning": encode("a cat, <small-style-xl>", "<small-style-xl> photo")});
    check(&cx, "sdxl", "sdxl style, inversion", ["", "blurry"], denoise);
}

#[test]
fn what_is_no_inversion_stays_text() {
    let folder = tempfile::tempdir().unwrap();
    let (mut other, mut twin) = (model("o", "sdxl", "embedding"), model("p", "sd-1", "embedding"));
    other["name"] = json!("x");
    twin["name"] = json!("x");
    let cx = cx(folder.path(), "sd-1", vec![(other, "gone".into()), (twin, "gone".into())]);
    let parts = run_in(&cx, "main_model_loader", json!({"model": cx.models[0]})).unwrap();
    // By key of another base, by a name whose file is gone, of no known name, of a model that is no inversion.
    for prompt in ["a <o>", "a <x>", "a <nobody>", "a <m>"] {
        run_in(&cx, "compel", json!({"prompt": prompt, "clip": parts["clip"]})).unwrap();
    }
}

#[test]
fn the_denoiser_says_what_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let mut cx = cx(folder.path(), "sd-1", Vec::new());
    let mut frame = crate::nodes::Frame::of("exec", "source", &Value::Null);
    frame.metadata = Some(json!({"app": "x", "steps": 1}));
    cx.frame = Some(frame);
    let parts = run_in(&cx, "main_model_loader", json!({"model": cx.models[0]})).unwrap();
    let prompt = run_in(&cx, "compel", json!({"prompt": "a", "clip": parts["clip"]})).unwrap()["conditioning"].clone();
    let noise = run_in(&cx, "noise", json!({"seed": 3, "width": 64, "height": 64})).unwrap();
    let inputs = json!({"positive_conditioning": prompt, "negative_conditioning": prompt, "unet": parts["unet"], "noise": noise["noise"], "steps": 2});
    let output = run_in(&cx, "denoise_latents_meta", inputs).unwrap();
    let metadata = &output["metadata"];
    assert_eq!(
        (&metadata["app"], &metadata["steps"], &metadata["seed"]),
        (&json!("x"), &json!(2), &json!(3))
    );
    assert_eq!(
        (&metadata["width"], &metadata["scheduler"], &metadata["model"]["submodel_type"]),
        (&json!(64), &json!("euler"), &json!("unet"))
    );
    assert!(metadata.get("controlnets").is_none() && output["latents"]["latents_name"].is_string());
}

/// No room at all once something was asked for, and room for small things.
fn with_free(cx: &mut TestCx, free: fn() -> Option<u64>) {
    cx.workbench.0.memory.free = Arc::new(free);
}

#[test]
fn too_little_memory_is_an_error_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    let mut cx = cx(folder.path(), "sd-1", Vec::new());
    with_free(&mut cx, || Some(1 << 30));
    let huge = run_in(&cx, "noise", json!({"seed": 3, "width": 8_000_000, "height": 8_000_000}))
        .unwrap_err()
        .to_string();
    assert!(
        huge.starts_with("OutOfMemoryError: There is too little memory: noise for 8000000×8000000 pixels takes about"),
        "{huge}"
    );
    with_free(&mut cx, || Some(1 << 20));
    let parts = run_in(&cx, "main_model_loader", json!({"model": cx.models[0]})).unwrap();
    let load = run_in(&cx, "compel", json!({"prompt": "a", "clip": parts["clip"]}))
        .unwrap_err()
        .to_string();
    assert!(
        load.contains("the text_encoder of m takes about") && load.contains("1 MB are free"),
        "{load}"
    );
    assert!(cx.workbench.0.cache.models().is_empty());
}

#[test]
fn a_picture_too_large_for_the_memory_is_decoded_in_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let mut cx = cx(folder.path(), "sd-1", Vec::new());
    let parts = run_in(&cx, "main_model_loader", json!({"model": cx.models[0]})).unwrap();
    let latents = run_in(&cx, "noise", json!({"seed": 3, "width": 1024, "height": 768})).unwrap()["noise"].clone();
    let decode = |cx: &TestCx, tiled: bool| {
        let image = run_in(cx, "l2i", json!({"latents": latents, "vae": parts["vae"], "tiled": tiled})).unwrap();
        cx.images
            .lock()
            .iter()
            .find(|(name, ..)| image["image"]["image_name"] == name.as_str())
            .unwrap()
            .1
            .to_rgb8()
    };
    let tiled = decode(&cx, true);
    // The configuration may ask for tiles whatever the node says.
    cx.workbench.0.options.tiled = true;
    assert_eq!(decode(&cx, false).as_raw(), tiled.as_raw());
    cx.workbench.0.options.tiled = false;
    assert_ne!(decode(&cx, false).as_raw(), tiled.as_raw());
    // The whole takes 768 × 1024 × 384 bytes, 300 million; a tile of 512 × 512 a third of that.
    with_free(&mut cx, || Some(200_000_000));
    assert_eq!(decode(&cx, false).as_raw(), tiled.as_raw());
}

#[test]
fn previews_of_the_shipped_model_have_its_pictures_colours() {
    use crate::diffusion::{
        preview::{LatentRgb, Preview},
        vae::Vae,
    };
    let shipped = root().join("assets/models/invoke-tiny");
    let picture = image::open(root().join("tests/contract/pictures/reference/ddim.png")).unwrap();
    let vae = Vae::open(&shipped.join("vae"), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    let pixels = ((super::super::codec::to_grid(&picture).unwrap() * 2.0).unwrap() - 1.0).unwrap();
    let latents = vae.encode(&pixels, None, None).unwrap();
    let small = picture.resize_exact(32, 32, image::imageops::FilterType::Triangle).to_rgb8();
    let difference = |colours: &LatentRgb| {
        let preview = Preview::new(&latents, colours).unwrap();
        let pairs = preview.rgb.iter().zip(small.as_raw());
        pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / small.as_raw().len() as f64
    };
    let own = LatentRgb::read(&shipped.join("latent_rgb.json")).unwrap();
    let (own, others) = (difference(&own), difference(&LatentRgb::of_base("sd-1")));
    assert!(own < 30.0 && own < others, "own {own}, Stable Diffusion 1's {others}");
}
