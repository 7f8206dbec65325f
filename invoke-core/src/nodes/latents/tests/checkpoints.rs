//! Checkpoints of a single file.

use std::{collections::HashMap, io::Write, path::Path};

use candle_core::{DType, Device, Tensor};
use serde_json::json;

use super::{Recorded, Run, model, picture, root, with_models};
use crate::{
    diffusion::{
        open_unet,
        unet::{Added, CrossBias, StepInputs, UNet},
        weights::{SafetensorsFile, Source, Weights},
    },
    nodes::testing::run_in,
};

/// The weights of `record_checkpoints.py`, as bytes: a hash of name and element, which repeats after [`PERIOD`] elements.
pub(in crate::nodes) fn weight(name: &str, shape: &[usize]) -> Vec<u8> {
    const PERIOD: usize = 65_521;
    let seed = name
        .bytes()
        .fold(0x811c_9dc5_u32, |h, byte| (h ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let spread = (3.0 / shape.iter().skip(1).product::<usize>() as f64).sqrt();
    let count = shape.iter().product::<usize>();
    let one = |i: u32| {
        let mut h = i.wrapping_mul(2_654_435_761).wrapping_add(seed);
        h ^= h >> 15;
        h = h.wrapping_mul(2_246_822_519);
        h ^= h >> 13;
        let u = f64::from(h) / f64::from(1u32 << 31) - 1.0;
        let value = match (shape.len(), name.ends_with(".weight")) {
            (2.., _) => u * spread,
            (_, true) => 1.0 + u * 0.1,
            (_, false) => u * 0.1,
        };
        half::f16::from_f32(value as f32).to_le_bytes()
    };
    let period: Vec<u8> = (0..count.min(PERIOD) as u32).flat_map(one).collect();
    let mut bytes = period.repeat(count.div_ceil(PERIOD));
    bytes.truncate(2 * count);
    bytes
}

/// Writes the checkpoint of a kind; `keep` chooses its tensors.
pub(super) fn write(kind: &str, path: &Path, keep: impl Fn(&str) -> bool) {
    let listed: HashMap<String, HashMap<String, Vec<usize>>> =
        serde_json::from_slice(&std::fs::read(root().join("tests/numerics/checkpoints.json")).unwrap()).unwrap();
    let kept = listed[kind].iter().filter(|(name, _)| keep(name));
    safetensors(
        path,
        kept.map(|(name, shape)| (name.clone(), shape.clone(), weight(name, shape)))
            .collect(),
    );
}

/// Writes a file of tensors in half precision.
pub(in crate::nodes) fn safetensors(path: &Path, tensors: Vec<(String, Vec<usize>, Vec<u8>)>) {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape, values) in &tensors {
        let start = end;
        end += values.len();
        header.insert(name.clone(), json!({"dtype": "F16", "shape": shape, "data_offsets": [start, end]}));
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    for (.., values) in &tensors {
        file.write_all(values).unwrap();
    }
    file.flush().unwrap();
}

fn whole_run(kind: &str, more: serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    write(kind, &path, |_| true);
    let mut record = model("m", kind, "main");
    record["prediction_type"] = json!(if kind == "sd-2" { "v_prediction" } else { "epsilon" });
    let cx = with_models(vec![(record, path)]);
    let run = Run {
        base: kind,
        prompts: ["a (photo)1.2 of a cat, by the sea", "blurry"],
        seed: 5,
        size: (64, 128),
        denoise: more,
    };
    let (latents, pixels) = picture(&cx, &run).unwrap();
    let recorded = Recorded::open("checkpoints");
    let error = recorded.error(&format!("{kind} latents"), &latents);
    assert!(error < 1e-3, "{kind}: {error}");
    let worst: f32 = (recorded.tensor(kind) - pixels)
        .unwrap()
        .abs()
        .unwrap()
        .max_all()
        .unwrap()
        .to_scalar()
        .unwrap();
    assert!(worst <= 2.0, "{kind}: pixels differ by {worst}");
}

#[test]
fn a_checkpoint_of_stable_diffusion_1_makes_diffusers_picture() {
    whole_run("sd-1", json!({"steps": 4, "cfg_scale": 4.0, "scheduler": "ddim"}));
}

#[test]
fn a_checkpoint_of_stable_diffusion_2_makes_diffusers_picture() {
    whole_run("sd-2", json!({"steps": 4, "cfg_scale": 4.0, "scheduler": "ddim"}));
}

#[test]
fn a_checkpoint_of_sdxl_makes_diffusers_picture() {
    whole_run("sdxl", json!({"steps": 4, "cfg_scale": 4.0, "scheduler": "euler"}));
}

fn wave(shape: &[usize], phase: f64) -> Tensor {
    let n: usize = shape.iter().product();
    let value = |i: f64| (i * 0.739_085_1 + i * i * 0.000_123_4 + phase).sin() as f32;
    Tensor::from_vec((0..n).map(|i| value(i as f64)).collect(), shape, &Device::Cpu).unwrap()
}

#[test]
fn denoisers_for_inpainting_and_the_refiner_are_read_from_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, context) in [("inpaint", 768), ("refiner", 1280)] {
        let path = folder.path().join(format!("{kind}.safetensors"));
        write(kind, &path, |_| true);
        let (config, source) = open_unet(&path).unwrap();
        let channels = config.in_channels;
        let unet = UNet::load(config, &Weights::new(source, DType::F32, &Device::Cpu)).unwrap();
        let (pooled, ids) = (
            wave(&[1, 1280], 5.0),
            Tensor::new(&[[64f32, 64.0, 0.0, 0.0, 6.0]], &Device::Cpu).unwrap(),
        );
        let added = (kind == "refiner").then_some(Added {
            pooled: &pooled,
            time_ids: &ids,
        });
        let context = unet.prepare(&wave(&[1, 77, context], 1.0), CrossBias::None, added).unwrap();
        let output = unet
            .forward(&wave(&[1, channels, 16, 8], 0.0), 601.0, &context, &StepInputs::default())
            .unwrap();
        let error = Recorded::open("checkpoints").error(kind, &output);
        assert!(error < 1e-4, "{kind}: {error}");
    }
}

#[test]
fn a_vae_may_be_a_single_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("m.safetensors");
    write("sd-1", &whole, |name| {
        name.starts_with("first_stage_model.") || name.starts_with("model.")
    });
    // The same tensors without the beginning of their names.
    let source = SafetensorsFile::open(&whole).unwrap();
    let inner = source.names().into_iter().filter_map(|name| {
        let own = name.strip_prefix("first_stage_model.")?.to_owned();
        let tensor = source.read(&name).unwrap();
        let bytes = tensor
            .flatten_all()
            .unwrap()
            .to_vec1::<half::f16>()
            .unwrap()
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        Some((own, tensor.dims().to_vec(), bytes))
    });
    let own = folder.path().join("v.safetensors");
    safetensors(&own, inner.collect());
    let cx = with_models(vec![(model("m", "sd-1", "main"), whole), (model("v", "sd-1", "vae"), own)]);
    let parts = run_in(&cx, "main_model_loader", json!({"model": cx.models[0]})).unwrap();
    let vae = run_in(&cx, "vae_loader", json!({"vae_model": cx.models[1]})).unwrap();
    let latents = run_in(&cx, "noise", json!({"seed": 1, "width": 64, "height": 64})).unwrap();
    for vae in [&parts["vae"], &vae["vae"]] {
        run_in(&cx, "l2i", json!({"latents": latents["noise"], "vae": vae})).unwrap();
    }
    let images = cx.images.lock();
    assert_eq!(images[0].1.as_bytes(), images[1].1.as_bytes());
}

/// Writes the denoiser of a checkpoint as a GGUF file, as programs for such files do: bare names, convolutions with two axes and their shape beside
/// them, in halves.
fn gguf(kind: &str, path: &Path) {
    let prefix = "model.diffusion_model.";
    let whole = path.with_extension("safetensors");
    write(kind, &whole, |name| name.starts_with(prefix));
    let source = SafetensorsFile::open(&whole).unwrap();
    let names = source.names();
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    };
    let (mut shapes, mut tensors, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for name in &names {
        let (tensor, bare) = (source.read(name).unwrap(), name.strip_prefix(prefix).unwrap());
        let mut shape = tensor.dims().to_vec();
        if shape.len() == 4 {
            text(&mut shapes, &format!("comfy.gguf.orig_shape.{bare}"));
            shapes.extend(9u32.to_le_bytes());
            shapes.extend(5u32.to_le_bytes());
            shapes.extend(4u64.to_le_bytes());
            shape.iter().for_each(|axis| shapes.extend((*axis as u32).to_le_bytes()));
            shape = vec![tensor.elem_count() / shape[0], shape[0]];
        }
        text(&mut tensors, bare);
        tensors.extend((shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|axis| tensors.extend((*axis as u64).to_le_bytes()));
        tensors.extend(1u32.to_le_bytes());
        tensors.extend((data.len() as u64).to_le_bytes());
        let values = tensor.flatten_all().unwrap().to_vec1::<half::f16>().unwrap();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        data.resize(data.len().next_multiple_of(32), 0);
    }
    let convolutions = shapes.windows(4).filter(|four| four == b"comf").count() as u64;
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((names.len() as u64).to_le_bytes());
    out.extend((convolutions).to_le_bytes());
    out.extend(shapes);
    out.extend(tensors);
    out.resize(out.len().next_multiple_of(32), 0);
    out.extend(data);
    std::fs::write(path, out).unwrap();
}

#[test]
fn a_denoiser_of_its_own_borrows_the_rest_from_another_model_of_its_shape() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let run = Run {
        base: "sd-1",
        prompts: ["a (photo)1.2 of a cat, by the sea", "blurry"],
        seed: 5,
        size: (64, 128),
        denoise: json!({"steps": 4, "cfg_scale": 4.0, "scheduler": "ddim"}),
    };
    let whole = path("whole.safetensors");
    write("sd-1", &whole, |_| true);
    let file = path("m.gguf");
    gguf("sd-1", &file);
    let found = crate::models::identify(&file).unwrap();
    assert_eq!(
        (&found.class["base"], &found.class["type"], &found.class["variant"]),
        (&json!("sd-1"), &json!("main"), &json!("normal"))
    );
    let record = model("m", "sd-1", "main");
    // The one of another shape comes first by name and does not fit.
    let other = path("other");
    std::fs::create_dir(&other).unwrap();
    let alone = with_models(vec![(record.clone(), file.clone())]);
    let told = picture(&alone, &run).unwrap_err().to_string();
    assert!(told.contains("m holds no text encoder") && told.contains("sd-1"), "{told}");
    let cx = with_models(vec![
        (record, file),
        (model("a", "sd-1", "main"), other),
        (model("whole", "sd-1", "main"), whole),
    ]);
    let (latents, _) = picture(&cx, &run).unwrap();
    let error = Recorded::open("checkpoints").error("sd-1 latents", &latents);
    assert!(error < 1e-3, "{error}");
}

#[test]
fn what_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run {
        base: "sd-1",
        prompts: ["a", ""],
        seed: 5,
        size: (64, 64),
        denoise: json!({"steps": 1}),
    };
    let fails = |path: std::path::PathBuf| {
        let cx = with_models(vec![(model("m", "sd-1", "main"), path)]);
        picture(&cx, &run).unwrap_err().to_string()
    };
    let pickle = folder.path().join("m.ckpt");
    std::fs::write(&pickle, b"PK\x03\x04").unwrap();
    let told = fails(pickle);
    assert!(told.contains("m.ckpt"), "{told}");
    let bare = folder.path().join("bare.safetensors");
    write("inpaint", &bare, |_| true);
    assert!(fails(bare).contains("m holds no text encoder"));
    let cut = folder.path().join("cut.safetensors");
    std::fs::write(&cut, [9; 20]).unwrap();
    assert!(fails(cut).contains("its header claims"));
    let odd = folder.path().join("odd.safetensors");
    write("inpaint", &odd, |name| !name.contains("attn2"));
    assert!(fails(odd).contains("none of the bases"));
    assert!(fails(folder.path().join("gone.safetensors")).contains("cannot read"));
}
