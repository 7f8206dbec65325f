//! FLUX.1 held to InvokeAI's own modules, and T5 to transformers', on weights drawn from their names (`tests/numerics/record_flux.py`).

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use invoke_core::diffusion::Result;
use invoke_core::diffusion::denoise::Outcome;
use invoke_core::diffusion::flux::{
    Conditions, DyPe, DyPePreset, Flux, FluxConditioning, FluxConfig, FluxText, Inpaint, Reference, RegionalPrompt, Sampler, Sampling,
    clipped, guidance_by_step, join, noise, open_flux_vae, pack, places_of, schedule, unpack,
};
use invoke_core::diffusion::text::{T5Config, T5Encoder, T5Tokenizer};
use invoke_core::diffusion::vae::{Vae, VaeConfig};
use invoke_core::diffusion::weights::{Checkpoint, Source, Weights};
use serde_json::Value;

use super::{Recorded, drawn::Drawn, recordings, wave};

const CPU: Device = Device::Cpu;

/// What the script told that is no array.
fn told() -> Value {
    serde_json::from_slice(&std::fs::read(recordings().join("flux.json")).unwrap()).unwrap()
}

/// The script's model of that name.
fn drawn(name: &str) -> Drawn {
    let draw = |name: &str, shape: &[usize]| {
        let drawn = weight(&name.replace(".scale", ".weight"), shape);
        // The script's distances tell more.
        let scale = if name.ends_with("relative_attention_bias.weight") {
            4.0
        } else {
            1.0
        };
        (drawn * scale).unwrap()
    };
    Drawn::new(serde_json::from_value(told()["shapes"][name].clone()).unwrap(), draw)
}

fn weights_of(drawn: &Drawn) -> Weights {
    Weights::new(Arc::new(drawn.clone()), DType::F32, &CPU)
}

/// The weights of `record_checkpoints.py`: a hash of name and element, which repeats after 65,521 elements.
fn weight(name: &str, shape: &[usize]) -> Tensor {
    let seed = name
        .bytes()
        .fold(0x811c_9dc5_u32, |h, byte| (h ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let spread = (3.0 / shape.iter().skip(1).product::<usize>() as f64).sqrt();
    let one = |i: usize| {
        let mut h = (i as u32 % 65_521).wrapping_mul(2_654_435_761).wrapping_add(seed);
        h ^= h >> 15;
        h = h.wrapping_mul(2_246_822_519);
        h ^= h >> 13;
        let u = f64::from(h) / f64::from(1u32 << 31) - 1.0;
        let value = match (shape.len(), name.ends_with(".weight")) {
            (2.., _) => u * spread,
            (_, true) => 1.0 + u * 0.1,
            (_, false) => u * 0.1,
        };
        value as f32
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(one).collect();
    let drawn = Tensor::from_vec(values, shape, &CPU).unwrap();
    drawn.to_dtype(DType::F16).unwrap().to_dtype(DType::F32).unwrap()
}

fn flux(name: &str) -> Flux {
    let drawn = drawn(name);
    Flux::load(FluxConfig::of(&drawn).unwrap(), &weights_of(&drawn)).unwrap()
}

/// A prompt of the script's.
fn prompt(tokens: usize, phases: [f64; 2], mask: Option<Tensor>) -> RegionalPrompt {
    RegionalPrompt {
        conditioning: FluxConditioning {
            tokens: wave(&[1, tokens, 48], phases[0], 1.0),
            pooled: wave(&[1, 768], phases[1], 1.0),
        },
        mask,
    }
}

/// The script's prompts for a picture of four by six tokens.
fn text(flux: &Flux, more: Vec<RegionalPrompt>) -> FluxText {
    let mut prompts = more;
    prompts.push(prompt(7, [1.0, 2.0], None));
    flux.prepare(&join(&prompts, (4, 6)).unwrap()).unwrap()
}

fn go_on() -> Result<()> {
    Ok(())
}

fn conditions(level: f64) -> Conditions<'static> {
    Conditions {
        time: level as f32 * 1000.0,
        guidance: 3500.0,
        dype: None,
        between: &go_on,
    }
}

/// A mask over some columns of a picture of 16 by 24 pixels, from the sixth row down.
fn columns(from: usize, to: usize) -> Tensor {
    let covered = |i: usize| i / 24 >= 5 && (from..to).contains(&(i % 24));
    Tensor::from_vec((0..16 * 24).map(|i| u8::from(covered(i))).collect(), (1, 16, 24), &CPU).unwrap()
}

#[test]
fn transformers_predict_as_the_original() {
    let recorded = Recorded::open("flux");
    let places = places_of(0, (4, 6), (0, 0));
    for name in ["dev", "schnell", "fill"] {
        let flux = flux(name);
        let config = flux.config();
        assert_eq!((config.guidance, config.in_channels == 64), (name != "schnell", name != "fill"));
        let tokens = wave(&[1, 24, config.in_channels], 3.0, 1.0);
        let y = flux.forward(&tokens, &places, &text(&flux, vec![]), &conditions(0.7)).unwrap();
        recorded.check(name, &y);
    }
}

#[test]
fn regions_references_and_stretched_places() {
    let recorded = Recorded::open("flux");
    let flux = flux("dev");
    let (tokens, places) = (wave(&[1, 24, 64], 3.0, 1.0), places_of(0, (4, 6), (0, 0)));
    let regions = vec![
        prompt(5, [4.0, 4.0], Some(columns(0, 13))),
        prompt(3, [5.0, 5.0], Some(columns(9, 24))),
    ];
    let joined = join(&[&regions[..], &[prompt(7, [1.0, 2.0], None)]].concat(), (4, 6)).unwrap();
    let seen: Vec<f32> = joined.mask.unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let seen: Vec<f32> = seen.into_iter().map(|bias| f32::from(bias == 0.0)).collect();
    assert_eq!(seen, recorded.values("regions"));
    let y = flux.forward(&tokens, &places, &text(&flux, regions), &conditions(0.7)).unwrap();
    recorded.check("dev regions", &y);

    // Latents of which the recorded tokens are what is packed.
    let latents = |phase, (h, w): (usize, usize)| unpack(&wave(&[1, h * w / 4, 64], phase, 1.0), (h, w)).unwrap();
    let reference = Reference::of(&[latents(6.0, (4, 4)), latents(7.0, (2, 6))]).unwrap().unwrap();
    let all = Tensor::cat(&[&tokens, &reference.tokens], 1).unwrap();
    let places = [places, reference.places].concat();
    let y = flux.forward(&all, &places, &text(&flux, vec![]), &conditions(0.7)).unwrap();
    recorded.check("dev reference", &y);

    let dype = DyPe::of(DyPePreset::FourK, (4096, 2048), None, None).unwrap();
    let stretched = Conditions {
        dype: Some((&dype, 0.7)),
        ..conditions(0.7)
    };
    let y = flux.forward(&tokens, &places[..24], &text(&flux, vec![]), &stretched).unwrap();
    recorded.check("dev dype", &y);
}

#[test]
fn presets_of_dype_are_the_originals() {
    let number = |v: &Value| v.as_f64();
    for row in told()["dype"].as_array().unwrap() {
        let preset = match row[0].as_str().unwrap() {
            "off" => DyPePreset::Off,
            "manual" => DyPePreset::Manual,
            "auto" => DyPePreset::Auto,
            "area" => DyPePreset::Area,
            "4k" => DyPePreset::FourK,
            other => panic!("{other}"),
        };
        let size = (row[1].as_u64().unwrap() as usize, row[2].as_u64().unwrap() as usize);
        let found = DyPe::of(preset, size, number(&row[3]), number(&row[4]));
        // A picture no larger than trained is not changed by the original either.
        let expected = number(&row[5]).zip(number(&row[6])).filter(|_| size.0.max(size.1) > 1024);
        assert_eq!(found.is_some(), expected.is_some(), "{row}");
        if let (Some(found), Some((scale, exponent))) = (found, expected) {
            assert!(
                (found.scale - scale).abs() < 1e-9 && (found.exponent - exponent).abs() < 1e-9,
                "{row}"
            );
        }
    }
}

#[test]
fn schedules_and_noise_are_the_originals() {
    let close = |found: &[f64], expected: &Value, what: &Value| {
        let expected: Vec<f64> = serde_json::from_value(expected.clone()).unwrap();
        assert_eq!(found.len(), expected.len(), "{what}: {found:?} {expected:?}");
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() <= 2e-7, "{what}: {a} instead of {b}");
        }
    };
    for row in told()["schedules"].as_array().unwrap() {
        let number = |i: usize| row[i].as_u64().unwrap() as usize;
        let levels = schedule(number(0), number(1), row[2].as_bool().unwrap());
        close(&levels, &row[3], &row[0]);
        for clip in row[4].as_array().unwrap() {
            let (start, end) = (clip[0].as_f64().unwrap(), clip[1].as_f64().unwrap());
            close(&clipped(&levels, start, end).unwrap(), &clip[2], clip);
        }
    }
    let drawn: Vec<f32> = noise(698_760_390, 112, 144).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(drawn, Recorded::open("flux").values("noise"));
}

#[test]
fn whole_runs_end_where_the_originals_end() {
    let recorded = Recorded::open("flux");
    let flux = flux("dev");
    let positive = text(&flux, vec![]);
    let negative = flux.prepare(&join(&[prompt(4, [8.0, 9.0], None)], (4, 6)).unwrap()).unwrap();
    let (start, init) = (wave(&[1, 16, 8, 12], 10.0, 1.0), wave(&[1, 16, 8, 12], 11.0, 1.0));
    let places = places_of(0, (4, 6), (0, 0));
    let levels = schedule(4, 24, true);
    let run = |sampler, start: &Tensor, levels: &[f64], scales: &[f64], inpaint: Option<&Inpaint>| {
        let scales = if let [one] = scales {
            vec![*one; levels.len() - 1]
        } else {
            scales.to_vec()
        };
        let by_step = guidance_by_step(&scales, levels.len() - 1, (0, -1)).unwrap();
        let sampling = Sampling {
            sampler,
            levels,
            inpaint,
            seed: 0,
            size: (8, 12),
            watcher: &(),
        };
        let outcome = sampling.run(&pack(start).unwrap(), |tokens, at| {
            let predict = |text| flux.forward(tokens, &places, text, &conditions(at.level));
            let (scale, wanted) = (by_step[at.step], predict(&positive)?);
            if scale == 1.0 {
                return Ok(wanted);
            }
            let other = predict(&negative)?;
            Ok((&other + ((wanted - &other)? * scale)?)?)
        });
        match outcome.unwrap() {
            Outcome::Done(latents) => latents,
            Outcome::Cancelled => panic!("nobody asked for that"),
        }
    };
    let part = clipped(&levels, 0.3, 0.8).unwrap();
    let noised = ((&start * part[0]).unwrap() + (&init * (1.0 - part[0])).unwrap()).unwrap();
    // The script's mask is one of changes, ours of what stays.
    let mask = wave(&[1, 1, 64, 96], 12.0, 1.0).clamp(0.0, 1.0).unwrap();
    let inpaint = Inpaint::new(&mask, &init, &start).unwrap();
    for (name, sampler) in [("euler", Sampler::Euler), ("heun", Sampler::Heun)] {
        recorded.check(name, &run(sampler, &start, &levels, &[1.0], None));
        let guided = run(sampler, &start, &levels, &[1.0, 3.0, 2.0, 1.0], None);
        recorded.check(&format!("{name} guided"), &guided);
        let inpainted = run(sampler, &noised, &part, &[1.0], Some(&inpaint));
        recorded.check(&format!("{name} inpaint"), &inpainted);
    }
}

#[test]
fn an_autoencoder_of_sixteen_channels() {
    let recorded = Recorded::open("flux");
    let drawn = drawn("vae");
    let config = r#"{"block_out_channels": [32, 64, 64, 64], "layers_per_block": 2, "norm_num_groups": 32, "latent_channels": 16, "scaling_factor": 0.3611,
        "shift_factor": 0.1159, "use_quant_conv": false, "use_post_quant_conv": false}"#;
    let config = VaeConfig::parse(config).unwrap();
    let source = Checkpoint::new(Arc::new(drawn)).vae(&config).unwrap();
    let vae = Vae::load(config, &Weights::new(source, DType::F32, &CPU)).unwrap();
    let picture = wave(&[1, 3, 48, 32], 13.0, 1.0);
    recorded.check("vae mean", &vae.encode(&picture, None, None).unwrap());
    let decoded = vae.decode(&wave(&[1, 16, 4, 6], 14.0, 1.0), invoke_core::diffusion::Seamless::default(), None);
    recorded.check("vae decoded", &decoded.unwrap());
}

#[test]
fn an_autoencoders_file_tells_its_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ae.safetensors");
    let drawn = drawn("vae");
    let tensors: HashMap<String, Tensor> = drawn.shapes.keys().map(|name| (name.clone(), drawn.read(name).unwrap())).collect();
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let (config, _) = open_flux_vae(&path).unwrap();
    assert_eq!(config.block_out_channels, [32, 64, 64, 64]);
    assert_eq!((config.latent_channels, config.use_quant_conv), (16, false));
    assert!((config.scaling_factor - 0.3611).abs() < 1e-12 && (config.shift_factor - 0.1159).abs() < 1e-12);
}

#[test]
fn t5_encodes_as_transformers_does() {
    let told = told();
    let tokens = recordings().join("models/t5/tokenizer_2");
    let alone = tempfile::tempdir().unwrap();
    std::fs::copy(tokens.join("spiece.model"), alone.path().join("spiece.model")).unwrap();
    let both = [
        ("tokenizer.json", T5Tokenizer::open(&tokens).unwrap()),
        ("spiece.model", T5Tokenizer::open(alone.path()).unwrap()),
    ];
    let prompts: Vec<String> = serde_json::from_value(told["prompts"].clone()).unwrap();
    for (form, tokenizer) in &both {
        let recorded: Vec<Vec<u32>> = serde_json::from_value(told["tokens"][form].clone()).unwrap();
        for (prompt, expected) in prompts.iter().zip(recorded) {
            assert_eq!(tokenizer.sequence(prompt, 256).unwrap(), expected, "{form}: {prompt:?}");
        }
    }
    let recorded = Recorded::open("flux");
    let drawn = drawn("t5");
    let model = T5Encoder::load(T5Config::parse(&told["t5"].to_string()).unwrap(), &weights_of(&drawn)).unwrap();
    assert_eq!(T5Config::of(&drawn).unwrap(), *model.config());
    for (length, prompt) in [(256, &prompts[0]), (512, &prompts[6])] {
        let ids = both[0].1.sequence(prompt, length).unwrap();
        recorded.check(&format!("t5 {length}"), &model.encode(&ids, &go_on).unwrap());
    }
    let beyond = model.encode(&[0, 9999], &go_on).unwrap_err().to_string();
    assert!(beyond.contains("token 9999 is beyond the 150"), "{beyond}");
}

#[test]
fn files_of_other_shapes_are_refused_by_name() {
    let refused = |change: &dyn Fn(&mut HashMap<String, Vec<usize>>)| {
        let mut drawn = drawn("dev");
        change(&mut drawn.shapes);
        let config = FluxConfig::of(&drawn).map_err(|e| e.to_string());
        config
            .and_then(|config| Flux::load(config, &weights_of(&drawn)).map_err(|e| e.to_string()))
            .unwrap_err()
    };
    let gone = |name: &'static str| refused(&move |shapes| drop(shapes.remove(name)));
    for name in [
        "img_in.bias",
        "txt_in.weight",
        "double_blocks.0.img_attn.qkv.weight",
        "double_blocks.1.txt_mlp.2.weight",
        "single_blocks.1.linear2.weight",
        "final_layer.linear.weight",
    ] {
        assert!(gone(name).contains(name), "{name}: {}", gone(name));
    }
    let odd = refused(&|shapes| drop(shapes.insert("double_blocks.0.img_attn.norm.query_norm.scale".into(), vec![20])));
    assert!(odd.contains("heads are 20 wide"), "{odd}");
    let wrong = refused(&|shapes| drop(shapes.insert("double_blocks.0.img_attn.proj.weight".into(), vec![64, 32])));
    assert!(
        wrong.contains("`double_blocks.0.img_attn.proj.weight` has shape [64, 32], expected [64, 64]"),
        "{wrong}"
    );
    let empty = refused(&|shapes| drop(shapes.insert("img_in.weight".into(), vec![0, 64])));
    assert!(empty.contains("img_in.weight"), "{empty}");
}
