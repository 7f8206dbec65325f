//! Patches, and the names of single-file checkpoints.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use invoke_core::diffusion::lora::{Lora, Part, patch};
use invoke_core::diffusion::unet::{Added, CrossBias, StepInputs, UNet, UNetConfig};
use invoke_core::diffusion::vae::VaeConfig;
use invoke_core::diffusion::weights::{Change, Checkpoint, Renamed, SafetensorsFile, Source, TextPart, Weights, open_weights};

use super::shapes::sdxl_added;
use super::{Recorded, random, recordings, tiny, wave};

fn lora(name: &str) -> Arc<Lora> {
    Arc::new(Lora::read(&SafetensorsFile::open(&random("lora").join(format!("{name}.safetensors"))).unwrap()).unwrap())
}

fn patched(name: &str, strength: f64) -> Arc<dyn Source> {
    patch(open_weights(&random("sdxl/unet")).unwrap(), Part::UNet, &[(lora(name), strength)])
}

fn predict(source: Arc<dyn Source>) -> Tensor {
    let config = UNetConfig::read(&random("sdxl/unet/config.json")).unwrap();
    let unet = UNet::load(config, &Weights::new(source, DType::F32, &Device::Cpu)).unwrap();
    let (pooled, time_ids) = sdxl_added();
    let added = Added {
        pooled: &pooled,
        time_ids: &time_ids,
    };
    let context = unet.prepare(&wave(&[2, 77, 40], 1.0, 1.0), CrossBias::None, Some(added)).unwrap();
    unet.forward(&wave(&[2, 4, 16, 12], 0.0, 1.0), 601.0, &context, &StepInputs::default())
        .unwrap()
}

#[test]
fn every_kind_of_layer() {
    let recorded = Recorded::open("lora");
    for file in ["kohya", "stability"] {
        let source = patched(file, 0.5);
        for name in recorded.names().filter(|n| n.contains('.')) {
            recorded.check(name, &source.read(name).unwrap());
        }
        recorded.check("result", &predict(source));
    }
    let peft = patched("peft", 0.5)
        .read("down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k.weight")
        .unwrap();
    recorded.check("peft", &peft);
}

#[test]
fn strength_zero_and_other_parts_change_nothing() {
    let plain = open_weights(&random("sdxl/unet")).unwrap();
    let name = "conv_out.weight";
    let values = |source: &dyn Source| {
        source
            .read(name)
            .unwrap()
            .to_dtype(DType::F32)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap()
    };
    assert_eq!(values(&*patched("kohya", 0.0)), values(&*plain));
    let other = patch(plain.clone(), Part::Text, &[(lora("kohya"), 1.0)]);
    assert_eq!(values(&*other), values(&*plain));
    assert_eq!(lora("kohya").layers(Part::UNet), 10);
}

#[test]
fn single_file_names_lead_to_the_same_model() {
    let names: HashMap<String, HashMap<String, String>> =
        serde_json::from_slice(&std::fs::read(recordings().join("names.json")).unwrap()).unwrap();
    for (model, names) in names.iter().filter(|(model, _)| *model != "vae") {
        let folder = random(model).join("unet");
        let config = UNetConfig::read(&folder.join("config.json")).unwrap();
        let old: HashMap<&str, &str> = names.iter().map(|(old, new)| (new.as_str(), old.as_str())).collect();
        let source = open_weights(&folder).unwrap();
        let file = Renamed::new(source.clone(), |new| vec![(old[new].to_owned(), Change::None)]);
        let checkpoint = Checkpoint::new(Arc::new(file));
        assert!(checkpoint.context_width().is_some() && checkpoint.latent_channels().is_some());
        let unet = checkpoint.unet(&config).unwrap();
        let (mut found, mut expected) = (unet.names(), source.names());
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{model}");
        for name in expected {
            assert_eq!(unet.info(&name), source.info(&name), "{model}: {name}");
        }
    }
    let old: HashMap<&str, &str> = names["vae"].iter().map(|(old, new)| (new.as_str(), old.as_str())).collect();
    let source = open_weights(&tiny("vae")).unwrap();
    let file = Renamed::new(source.clone(), |new| vec![(old[new].to_owned(), Change::None)]);
    let vae = Checkpoint::new(Arc::new(file))
        .vae(&VaeConfig::read(&tiny("vae/config.json")).unwrap())
        .unwrap();
    assert!(source.names().iter().all(|name| vae.info(name) == source.info(name)));
}

#[test]
fn open_clip_in_a_single_file_is_the_same_encoder() {
    let file = Checkpoint::new(open_weights(&random("openclip.safetensors")).unwrap());
    let found = file.text(TextPart::Second).unwrap();
    let expected = open_weights(&random("sdxl/text_encoder_2")).unwrap();
    let values = |source: &dyn Source, name: &str| {
        let weight = source.read(name).unwrap().to_dtype(DType::F32).unwrap();
        weight.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(found.names().len(), expected.names().len());
    for name in expected.names() {
        assert_eq!(values(&*found, &name), values(&*expected, &name), "{name}");
    }
    assert!(
        file.text(TextPart::First)
            .unwrap_err()
            .to_string()
            .contains("holds no text encoder")
    );
}

#[test]
fn layers_for_another_shape_are_skipped_without_being_multiplied_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.safetensors");
    // A million by a million: four terabytes.
    let long = || Tensor::zeros((1 << 20, 1), DType::U8, &Device::Cpu).unwrap();
    let wide = || long().reshape((1, 1 << 20)).unwrap();
    let tensors = HashMap::from([
        ("lora_unet_conv_in.lora_up.weight", long()),
        ("lora_unet_conv_in.lora_down.weight", wide()),
        ("lora_unet_conv_out.lokr_w1", long()),
        ("lora_unet_conv_out.lokr_w2", wide()),
        ("lora_unet_time_embedding_linear_1.hada_w1_a", long()),
        ("lora_unet_time_embedding_linear_1.hada_w1_b", wide()),
        ("lora_unet_time_embedding_linear_1.hada_w2_a", long()),
        ("lora_unet_time_embedding_linear_1.hada_w2_b", wide()),
        ("lora_unet_time_embedding_linear_2.diff", long()),
    ]);
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let lora = Arc::new(Lora::read(&SafetensorsFile::open(&path).unwrap()).unwrap());
    let plain = open_weights(&random("sdxl/unet")).unwrap();
    let patched = patch(plain.clone(), Part::UNet, &[(lora, 1.0)]);
    for name in ["conv_in", "conv_out", "time_embedding.linear_1", "time_embedding.linear_2"] {
        let values = |source: &dyn Source| {
            let weight = source.read(&format!("{name}.weight")).unwrap().to_dtype(DType::F32).unwrap();
            weight.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(values(&*patched), values(&*plain), "{name}");
    }
}
