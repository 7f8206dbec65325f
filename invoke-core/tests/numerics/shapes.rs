//! Models of other shapes than the shipped one's, with random weights, and what steers them.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use invoke_core::diffusion::control::{ClipVisionModel, ControlNet, ControlStrength, ImageFeatures, IpAdapter, IpTarget, T2iAdapter};
use invoke_core::diffusion::text::compel::Encoder;
use invoke_core::diffusion::text::{ClipTextModel, HiddenState, SdxlSizes, Tokenizer, encode_sdxl};
use invoke_core::diffusion::unet::{Added, Context, CrossBias, StepInputs, UNet};
use invoke_core::diffusion::weights::{Weights, open_weights};

use super::{Recorded, random, recordings, tiny, wave};

const CPU: Device = Device::Cpu;

fn view(folder: &Path) -> Weights {
    Weights::new(open_weights(folder).unwrap(), DType::F32, &CPU)
}

fn unet(name: &str) -> UNet {
    UNet::open(&random(name).join("unet"), DType::F32, &CPU).unwrap()
}

/// The script's SDXL conditioning: pooled text and time ids.
pub(crate) fn sdxl_added() -> (Tensor, Tensor) {
    let ids = [[1024f32, 768.0, 0.0, 16.0, 1024.0, 512.0], [64.0, 64.0, 8.0, 0.0, 64.0, 64.0]];
    (wave(&[2, 24], 5.0, 1.0), Tensor::new(&ids, &CPU).unwrap())
}

#[test]
fn linear_projections_and_nine_channels() {
    let recorded = Recorded::open("shapes");
    for (name, channels, width) in [("sd-2", 4, 24), ("inpaint", 9, 16)] {
        let unet = unet(name);
        let context = unet.prepare(&wave(&[2, 77, width], 1.0, 1.0), CrossBias::None, None).unwrap();
        let y = unet
            .forward(&wave(&[2, channels, 16, 12], 0.0, 1.0), 601.0, &context, &StepInputs::default())
            .unwrap();
        recorded.check(name, &y);
    }
}

fn sdxl_context(prepare: impl Fn(&Tensor, CrossBias, Option<Added<'_>>) -> invoke_core::diffusion::Result<Context>) -> Context {
    let (pooled, time_ids) = sdxl_added();
    prepare(
        &wave(&[2, 77, 40], 1.0, 1.0),
        CrossBias::None,
        Some(Added {
            pooled: &pooled,
            time_ids: &time_ids,
        }),
    )
    .unwrap()
}

fn picture(batch: usize) -> Tensor {
    wave(&[batch, 3, 128, 96], 2.0, 1.0).affine(0.5, 0.5).unwrap()
}

#[test]
fn sdxl_and_its_control_net() {
    let recorded = Recorded::open("shapes");
    let unet = unet("sdxl");
    let context = sdxl_context(|e, b, a| unet.prepare(e, b, a));
    let sample = wave(&[2, 4, 16, 12], 0.0, 1.0);
    recorded.check("sdxl", &unet.forward(&sample, 601.0, &context, &StepInputs::default()).unwrap());
    assert!(
        unet.prepare(&wave(&[2, 77, 40], 1.0, 1.0), CrossBias::None, None)
            .unwrap_err()
            .to_string()
            .contains("pooled")
    );

    let control = ControlNet::open(&random("sdxl/control"), DType::F32, &CPU).unwrap();
    let control_context = sdxl_context(|e, b, a| control.prepare(e, b, a));
    let embedded = control.embed_picture(&picture(2)).unwrap();
    for (name, ramp) in [("control", false), ("control ramp", true)] {
        let strength = ControlStrength { weight: 0.7, ramp };
        let residuals = control.forward(&sample, 601.0, &control_context, &embedded, strength).unwrap();
        for (i, residual) in residuals.down.iter().chain([&residuals.mid]).enumerate() {
            recorded.check(&format!("{name} {i}"), residual);
        }
        let inputs = StepInputs {
            control: Some(&residuals),
            ..StepInputs::default()
        };
        recorded.check(&format!("{name} result"), &unet.forward(&sample, 601.0, &context, &inputs).unwrap());
    }
    let small = control.embed_picture(&picture(1).narrow(2, 0, 64).unwrap()).unwrap();
    let strength = ControlStrength { weight: 1.0, ramp: false };
    assert!(
        control
            .forward(&sample, 1.0, &control_context, &small, strength)
            .unwrap_err()
            .to_string()
            .contains("12×8 latents")
    );
}

#[test]
fn t2i_adapters() {
    let recorded = Recorded::open("shapes");
    for kind in ["full_adapter", "full_adapter_xl", "light_adapter"] {
        let adapter = T2iAdapter::open(&random(kind), &view(&random(kind))).unwrap();
        for (i, state) in adapter.forward(&picture(1)).unwrap().iter().enumerate() {
            recorded.check(&format!("{kind} {i}"), state);
        }
    }
    let unet = unet("sdxl");
    let context = sdxl_context(|e, b, a| unet.prepare(e, b, a));
    let adapter = T2iAdapter::open(&random("full_adapter_xl"), &view(&random("full_adapter_xl"))).unwrap();
    let states = adapter.forward(&picture(2)).unwrap();
    let inputs = StepInputs {
        adapter: &states,
        ..StepInputs::default()
    };
    recorded.check(
        "adapter result",
        &unet.forward(&wave(&[2, 4, 16, 12], 0.0, 1.0), 601.0, &context, &inputs).unwrap(),
    );
}

#[test]
fn sdxl_prompts() {
    let recorded = Recorded::open("sdxl_text");
    let tokenizer = Tokenizer::open(&tiny("tokenizer")).unwrap();
    let first = ClipTextModel::open(&random("sdxl/text_encoder"), DType::F32, &CPU).unwrap();
    let second = ClipTextModel::open(&random("sdxl/text_encoder_2"), DType::F32, &CPU).unwrap();
    let encoder = |model| Encoder {
        tokenizer: &tokenizer,
        model,
        state: HiddenState::Penultimate,
        skip: 0,
        inversions: None,
    };
    let sizes = SdxlSizes {
        original: (1024.0, 768.0),
        crop: (0.0, 16.0),
        target: Some((1024.0, 512.0)),
        aesthetic_score: None,
    };
    let prompts: std::collections::BTreeMap<String, String> =
        serde_json::from_slice(&std::fs::read(recordings().join("prompts.json")).unwrap()).unwrap();
    for (name, prompt, style) in [("short", &prompts["weights"], ""), ("long", &prompts["long"], "a (blue)0.7 boat")] {
        let encoded = encode_sdxl(prompt, style, encoder(&first), encoder(&second), &sizes).unwrap();
        let sdxl = encoded.sdxl.unwrap();
        recorded.check(name, &encoded.embeds);
        recorded.check(&format!("{name} pooled"), &sdxl.pooled);
        assert_eq!(sdxl.time_ids.to_vec2::<f32>().unwrap(), [[1024.0, 768.0, 0.0, 16.0, 1024.0, 512.0]]);
    }
    let empty = encode_sdxl("", " ", encoder(&first), encoder(&second), &sizes).unwrap();
    assert_eq!(empty.embeds.dims(), [1, 77, 40]);
    assert!(
        empty
            .embeds
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap()
            .iter()
            .all(|v| *v == 0.0)
    );

    let sequence = tokenizer.sequence("a red circle", None).unwrap();
    recorded.check("first pooled", &first.pooled(&[&sequence], 0, None).unwrap());
    recorded.check("skipped", &first.encode(&[&sequence], None, HiddenState::Last, 1, None).unwrap());
}

#[test]
fn image_prompts() {
    let recorded = Recorded::open("ip_adapter");
    let vision = ClipVisionModel::open(&random("clip_vision"), &view(&random("clip_vision"))).unwrap();
    let pictures = wave(&[2, 3, 32, 32], 0.0, 1.0);
    recorded.check("pooled", &vision.encode(&pictures, ImageFeatures::Pooled).unwrap());
    recorded.check("penultimate", &vision.encode(&pictures, ImageFeatures::Penultimate).unwrap());
    let unet = unet("sd-2");
    let sample = wave(&[2, 4, 16, 12], 0.0, 1.0);
    let context = || unet.prepare(&wave(&[2, 77, 24], 1.0, 1.0), CrossBias::None, None).unwrap();
    let run = |context: &Context, scales: &[f64]| {
        unet.forward(
            &sample,
            601.0,
            context,
            &StepInputs {
                image_scales: scales,
                ..StepInputs::default()
            },
        )
        .unwrap()
    };
    for kind in ["plain", "full", "plus"] {
        let source = open_weights(&random("ip_adapter").join(format!("{kind}.safetensors"))).unwrap();
        let adapter = IpAdapter::load(&Weights::new(source, DType::F32, &CPU)).unwrap();
        let embeds = adapter.embed(&vision.encode(&pictures, adapter.features()).unwrap()).unwrap();
        recorded.check(kind, &embeds);
        let prompt = |method, mask| adapter.prompt(&unet, &embeds, method, mask).unwrap();
        recorded.check(
            &format!("{kind} result"),
            &run(&context().with_image(prompt(IpTarget::ALL, None)), &[0.6]),
        );
        // A mask of ones is none, a mask of zeros or a scale of 0 switches the picture off.
        let (ones, zeros) = (
            Tensor::ones((16, 12), DType::F32, &CPU).unwrap(),
            Tensor::zeros((16, 12), DType::F32, &CPU).unwrap(),
        );
        recorded.check(
            &format!("{kind} result"),
            &run(&context().with_image(prompt(IpTarget::ALL, Some(&ones))), &[0.6]),
        );
        let plain = Recorded::open("shapes");
        plain.check("sd-2", &run(&context().with_image(prompt(IpTarget::ALL, Some(&zeros))), &[0.6]));
        plain.check("sd-2", &run(&context().with_image(prompt(IpTarget::ALL, None)), &[0.0]));
        assert!(
            plain.error(
                "sd-2",
                &run(
                    &context().with_image(prompt(
                        IpTarget {
                            blocks: &["down_blocks.2", "mid_block"],
                            precise: false
                        },
                        None
                    )),
                    &[0.6]
                )
            ) > 1e-3
        );
    }
}
