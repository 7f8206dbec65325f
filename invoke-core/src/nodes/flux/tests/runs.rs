//! Runs.

use candle_core::{DType, Device, Tensor};
use image::{DynamicImage, Rgb, RgbImage};
use serde_json::{Value, json};

use super::{House, Recorded, apart, told};
use crate::{
    diffusion::{flux::FluxConditioning, preview::LatentRgb},
    nodes::{
        NodeCx, NodeError,
        fields::VAEField,
        flux::{codec, load},
        workbench::keep,
    },
};

fn text_of(error: NodeError) -> String {
    error.to_string()
}

#[test]
fn prompts_become_the_originals_picture() {
    let house = House::new("dev", "dev");
    let recorded = Recorded::open("flux");
    let prompt = house.prompt("a red circle by the sea", None);
    let name = prompt["conditioning_name"].as_str().unwrap();
    let kept = house.cx.workbench().store.get::<FluxConditioning>(house.cx.owner(), name).unwrap();
    assert!(recorded.error("node embeds", &kept.tokens) < 1e-4);
    assert!(recorded.error("node pooled", &kept.pooled) < 1e-4);
    let latents = house.denoised(json!({})).unwrap();
    let error = recorded.error("node latents", &latents);
    assert!(error < 1e-3, "{error}");
    let name = keep(&house.cx, latents);
    let made = house
        .run("flux_vae_decode", json!({"latents": {"latents_name": name}, "vae": House::vae()}))
        .unwrap();
    assert_eq!((&made["width"], &made["height"]), (&json!(96), &json!(64)));
    let picture = house
        .cx
        .load_image(made["image"]["image_name"].as_str().unwrap())
        .unwrap()
        .to_rgb8();
    let pixels = Tensor::from_vec(picture.into_raw(), (64, 96, 3), &Device::Cpu).unwrap();
    let pixels = pixels
        .permute((2, 0, 1))
        .unwrap()
        .to_dtype(DType::F32)
        .unwrap()
        .unsqueeze(0)
        .unwrap();
    let worst: f32 = (recorded.tensor("node picture") - pixels)
        .unwrap()
        .abs()
        .unwrap()
        .max_all()
        .unwrap()
        .to_scalar()
        .unwrap();
    assert!(worst <= 2.0, "pixels differ by {worst}");
}

#[test]
fn pictures_are_encoded_with_the_noise_of_seed_zero() {
    let house = House::new("dev", "dev");
    let vae = load::vae(&house.cx, &serde_json::from_value::<VAEField>(House::vae()).unwrap()).unwrap();
    let wave = |i: usize| ((i as f64 * 0.739_085_1 + (i * i) as f64 * 0.000_123_4 + 13.0).sin()) as f32;
    let pixels = Tensor::from_vec((0..3 * 48 * 32).map(wave).collect(), (1, 3, 48, 32), &Device::Cpu).unwrap();
    let recorded = Recorded::open("flux");
    for (name, draws) in [("vae drawn", true), ("vae mean", false)] {
        let error = recorded.error(name, &codec::encode(&house.cx, &vae, &pixels, draws).unwrap());
        assert!(error < 1e-4, "{name}: {error}");
    }
}

/// A picture that is stored, red but for some columns.
fn stored(house: &House, size: (u32, u32)) -> Value {
    let pixels = RgbImage::from_fn(size.0, size.1, |x, y| {
        if x < size.0 / 2 {
            Rgb([200, 40, 30])
        } else {
            Rgb([10, (y * 3 % 256) as u8, 90])
        }
    });
    let mut images = house.cx.images.lock();
    let name = format!("stored-{}", images.len());
    images.push((name.clone(), DynamicImage::ImageRgb8(pixels).into(), None));
    json!({"image_name": name})
}

#[test]
fn a_picture_is_kept_where_its_mask_says_so() {
    let house = House::new("dev", "dev");
    let encoded = house
        .run("flux_vae_encode", json!({"image": stored(&house, (96, 64)), "vae": House::vae()}))
        .unwrap();
    let latents = encoded["latents"].clone();
    let original = crate::nodes::workbench::tensor(&house.cx, latents["latents_name"].as_str().unwrap()).unwrap();
    let halves: Vec<f32> = (0..64 * 96).map(|i| f32::from(i % 96 < 48)).collect();
    let mask = keep(&house.cx, Tensor::from_vec(halves, (1, 1, 64, 96), &Device::Cpu).unwrap());
    let inputs = json!({"latents": latents, "denoise_mask": {"mask_name": mask, "gradient": false}, "denoising_start": 0.2});
    let made = house.denoised(inputs).unwrap();
    let (left, right) = (|t: &Tensor| t.narrow(3, 0, 6).unwrap(), |t: &Tensor| t.narrow(3, 6, 6).unwrap());
    // Up to the rounding to bfloat16.
    assert!(apart(&left(&made), &left(&original)) < 4e-3);
    assert!(apart(&right(&made), &right(&original)) > 0.1);
    // Without noise nothing but the model changes the picture; without a step nothing at all.
    let whole = house
        .denoised(json!({"latents": latents, "denoising_start": 1.0, "add_noise": false}))
        .unwrap();
    assert!(apart(&whole, &original) < 4e-3);
}

#[test]
fn runs_repeat_and_differ_by_what_steers_them() {
    let house = House::new("dev", "dev");
    let plain = house.denoised(json!({})).unwrap();
    assert!(apart(&house.denoised(json!({})).unwrap(), &plain) < 1e-9);
    let other = |more: Value| apart(&house.denoised(more).unwrap(), &plain);
    let half = keep(
        &house.cx,
        Tensor::from_vec((0..96u8).map(|i| u8::from(i < 48)).collect(), (1, 1, 96), &Device::Cpu).unwrap(),
    );
    let region = house.prompt("a green star", Some(&half));
    let differing = [
        json!({"seed": 8}),
        json!({"guidance": 8.0}),
        json!({"scheduler": "heun"}),
        json!({"scheduler": "lcm"}),
        json!({"denoising_end": 0.5, "num_steps": 6}),
        json!({"positive_text_conditioning": [region, house.prompt("a red circle by the sea", None)]}),
        json!({"cfg_scale": [1.0, 3.0, 1.0, 1.0], "negative_text_conditioning": house.prompt("night", None)}),
        json!({"kontext_conditioning": {"image": stored(&house, (40, 50))}, "controlnet_vae": House::vae()}),
    ];
    for more in differing {
        let difference = other(more.clone());
        assert!(difference > 1e-3, "{more}: {difference}");
    }
    // Guidance of no strength, and the noise that would be drawn anyway.
    assert!(other(json!({"cfg_scale": 1.0, "negative_text_conditioning": house.prompt("night", None)})) < 1e-9);
    let noise = house
        .run("noise", json!({"noise_type": "FLUX", "seed": 7, "width": 96, "height": 64}))
        .unwrap();
    assert!(other(json!({"noise": noise["noise"], "seed": 1})) < 1e-2);
}

#[test]
fn models_made_to_fill_see_the_picture_and_its_mask() {
    let house = House::new("fill", "dev_fill");
    let half = keep(
        &house.cx,
        Tensor::from_vec((0..96u8).map(|i| u8::from(i < 48)).collect(), (1, 1, 96), &Device::Cpu).unwrap(),
    );
    let fill = house
        .run(
            "flux_fill",
            json!({"image": stored(&house, (100, 70)), "mask": {"tensor_name": half}}),
        )
        .unwrap();
    let given = json!({"fill_conditioning": fill["fill_cond"], "controlnet_vae": House::vae()});
    let made = house.denoised(given).unwrap();
    assert!(made.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|v| v.is_finite()));
    assert!(text_of(house.denoised(json!({})).unwrap_err()).contains("fill_conditioning"));
    assert!(text_of(house.denoised(json!({"fill_conditioning": fill["fill_cond"]})).unwrap_err()).contains("controlnet_vae"));
}

#[test]
fn inputs_that_make_no_sense_are_refused_by_name() {
    let house = House::new("dev", "dev");
    let latents = json!({"latents_name": keep(&house.cx, Tensor::zeros((1, 4, 8, 12), DType::F32, &Device::Cpu).unwrap())});
    let identifier = crate::nodes::latents::tests::model("x", "flux", "controlnet");
    let image = json!({"image_name": "x"});
    let window = json!({"begin_step_percent": 0.0, "end_step_percent": 1.0});
    let within = |mut field: Value| {
        field.as_object_mut().unwrap().extend(window.as_object().unwrap().clone());
        field
    };
    let control = within(json!({"image": image, "control_model": identifier, "control_weight": 1.0, "resize_mode": "just_resize"}));
    let adapter = json!({
        "image": image, "ip_adapter_model": identifier, "image_encoder_model": identifier, "weight": 1.0, "target_blocks": [], "method": "full",
    });
    for (more, field) in [
        (json!({"num_steps": 0}), "num_steps is 0"),
        (json!({"width": 8}), "width is 8"),
        (json!({"height": -16}), "height is -16"),
        (json!({"denoising_start": 0.5}), "denoising_start"),
        (json!({"denoising_start": 0.5, "denoising_end": 0.4}), "denoising_end"),
        (json!({"cfg_scale": 2.0}), "Negative text conditioning"),
        (json!({"cfg_scale": [2.0]}), "cfg_scale has 1 entries"),
        (json!({"cfg_scale_start_step": 4}), "cfg_scale_start_step"),
        (json!({"latents": latents}), "latents: its shape is [1, 4, 8, 12]"),
        (json!({"noise": latents}), "noise: its shape is [1, 4, 8, 12]"),
        (
            json!({"denoise_mask": {"mask_name": latents["latents_name"], "gradient": false}}),
            "denoise_mask",
        ),
        (json!({"positive_text_conditioning": []}), "no prompt"),
        (
            json!({"positive_text_conditioning": {"conditioning_name": "gone"}}),
            "no conditioning named gone",
        ),
        (json!({"kontext_conditioning": {"image": image}}), "controlnet_vae"),
        (json!({"control": control}), "control: "),
        (
            json!({"control_lora": {"lora": identifier, "weight": 1.0, "img": image}}),
            "control_lora: ",
        ),
        (
            json!({"redux_conditioning": {"conditioning": {"tensor_name": "x"}}}),
            "redux_conditioning: ",
        ),
        (json!({"ip_adapter": [within(adapter)]}), "ip_adapter: "),
    ] {
        let error = text_of(house.denoised(more.clone()).unwrap_err());
        assert!(error.contains(field), "{more}: {error}");
    }
}

#[test]
fn a_run_ends_between_blocks() {
    let mut house = House::new("dev", "dev");
    let prompt = house.prompt("a red circle by the sea", None);
    let run = |house: &House| {
        let inputs = json!({"transformer": House::transformer(), "positive_text_conditioning": prompt, "width": 96, "height": 64});
        house.run("flux_denoise", inputs)
    };
    run(&house).unwrap();
    let asked = house.cx.asked.load(std::sync::atomic::Ordering::Relaxed);
    run(&house).unwrap();
    let again = house.cx.asked.load(std::sync::atomic::Ordering::Relaxed);
    // Four steps of two double and two single blocks.
    assert!(again - asked >= 16, "asked {} times", again - asked);
    house.cx.ends_at = Some(again + 9);
    assert_eq!(run(&house).unwrap_err(), NodeError::Canceled);
    let ended = house.cx.asked.load(std::sync::atomic::Ordering::Relaxed);
    assert!(ended <= again + 12, "{ended} {again}");
}

#[test]
fn previews_have_the_autoencoders_colours() {
    let house = House::new("dev", "dev");
    let model = serde_json::from_value(House::transformer()["transformer"].clone()).unwrap();
    let colours = load::latent_rgb(&house.cx, &model, None).unwrap();
    assert_eq!(colours.factors.len(), 16);
    let vae = load::vae(&house.cx, &serde_json::from_value::<VAEField>(House::vae()).unwrap()).unwrap();
    assert_eq!(colours, LatentRgb::measured(&vae).unwrap());
    assert!(colours.factors.iter().flatten().any(|v| v.abs() > 1e-3));
    let mut without = House::new("dev", "dev");
    without.cx.models.retain(|record| record["type"] != "vae");
    assert_eq!(load::latent_rgb(&without.cx, &model, None), None);
    without.denoised(json!({"num_steps": 1})).unwrap();
}

#[test]
fn metadata_says_with_what() {
    let house = House::new("schnell", "schnell");
    let inputs = json!({
        "transformer": House::transformer(), "positive_text_conditioning": house.prompt("night", None), "width": 96, "height": 64, "num_steps": 1, "seed": 3,
    });
    let made = house.run("flux_denoise_meta", inputs).unwrap();
    let metadata = &made["metadata"];
    for (key, value) in [
        ("width", json!(96)),
        ("steps", json!(1)),
        ("seed", json!(3)),
        ("cfg_scale_end_step", json!(-1)),
        ("guidance", json!(4.0)),
    ] {
        assert_eq!(metadata[key], value, "{key}");
    }
    assert_eq!(metadata["model"]["key"], "m");
    assert!(told()["shapes"]["schnell"]["guidance_in.in_layer.weight"].is_null());
}

#[test]
fn what_comes_over_edges_is_held_to_what_there_is() {
    let house = House::new("dev", "dev");
    // Another family's autoencoder is never kept as FLUX', nor would others be given it.
    let latents = keep(&house.cx, Tensor::zeros((1, 16, 2, 2), DType::F32, &Device::Cpu).unwrap());
    let sd = json!({"vae": House::part("sd", "sd-1", "main", "vae"), "seamless_axes": []});
    let decoded = house.run("flux_vae_decode", json!({"latents": {"latents_name": latents}, "vae": sd}));
    let error = decoded.unwrap_err().to_string();
    assert!(error.contains("vae: ") && error.contains("channels"), "{error}");

    for (tokenizer, length, wanted) in [
        ("tokenizer_2", 300, "t5_max_seq_len is 300"),
        ("../tokenizer_2", 256, "submodel_type is ../tokenizer_2"),
    ] {
        let mut inputs = House::encoder(tokenizer);
        inputs["t5_max_seq_len"] = length.into();
        let error = house.run("flux_text_encoder", inputs).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }

    let odd = keep(&house.cx, Tensor::zeros((1, 16, 8, 11), DType::F32, &Device::Cpu).unwrap());
    let error = house
        .denoised(json!({"latents": {"latents_name": odd}, "add_noise": false}))
        .unwrap_err()
        .to_string();
    assert!(error.contains("latents") && error.contains("even sides"), "{error}");
}
