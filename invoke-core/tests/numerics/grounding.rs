//! Grounding DINO held to transformers, by `tests/numerics/record_grounding.py`.

use std::{collections::HashMap, sync::Arc};

use candle_core::{DType, Device, Tensor};
use invoke_core::{
    diffusion::{ModelError, Result},
    imaging::{Mode, Picture},
    vision::grounding::{Detector, Preparation, WordPieces},
};
use serde_json::Value;

use crate::{
    Recorded,
    drawn::Drawn,
    recordings, thin,
    vision::{noise, weight},
};

/// Largest relative error of the networks; boxes lie at 3e-6, logits at 1e-5.
const TOLERANCE: f64 = 5e-5;
/// The recorder's tokens: "a cat. red dogs? bird and", the last phrase without an end.
const IDS: [u32; 11] = [101, 200, 201, 1012, 204, 203, 202, 1029, 214, 213, 102];

/// What the recorder told.
fn told() -> Value {
    serde_json::from_slice(&std::fs::read(recordings().join("vision/grounding.json")).unwrap()).unwrap()
}

fn draw(name: &str, shape: &[usize]) -> Tensor {
    let scale = if name.starts_with("model.decoder.layer_norm.") { 0.1 } else { 1.0 };
    (weight(name, shape) * scale).unwrap()
}

/// Config and weights of one of the recorder's models.
fn model(name: &str) -> (Value, Drawn) {
    let told = told();
    let shapes = serde_json::from_value(told["shapes"][name].clone()).unwrap();
    (told["configs"][name].clone(), Drawn::new(shapes, draw))
}

fn load(config: &Value, source: Drawn) -> Result<Detector> {
    Detector::load(config, Arc::new(source), DType::F32, &Device::Cpu)
}

fn picture() -> Tensor {
    (noise("picture", &[1, 3, 70, 90]) * 2.0).unwrap()
}

fn go_on() -> Result<()> {
    Ok(())
}

#[test]
fn candidates_agree_with_transformers() {
    let recorded = Recorded::open("vision/grounding");
    for name in ["small", "apart"] {
        let (config, source) = model(name);
        let detector = load(&config, source).unwrap();
        assert!(detector.bytes() > 100_000);
        let found = detector.forward(&picture(), &IDS, &go_on).unwrap();
        for (part, found) in [("logits", &found.logits), ("boxes", &found.boxes)] {
            let error = recorded.error(&format!("{name}.{part}"), found);
            assert!(error <= TOLERANCE, "{name}.{part}: relative error {error:.2e}");
        }
    }
}

/// A weight that has several names is in a file under any of them.
#[test]
fn boxes_are_moved_by_weights_of_any_name() {
    let (config, mut source) = model("small");
    let expected = load(&config, source.clone()).unwrap().bytes();
    let heads: Vec<String> = source
        .shapes
        .keys()
        .filter(|name| name.starts_with("bbox_embed.0"))
        .cloned()
        .collect();
    for name in heads {
        let shape = source.shapes.remove(&name).unwrap();
        source
            .shapes
            .insert(name.replace("bbox_embed.0", "model.decoder.bbox_embed.1"), shape);
    }
    assert_eq!(load(&config, source).unwrap().bytes(), expected);
}

#[test]
fn what_cannot_be_looked_for_is_refused() {
    let (config, source) = model("small");
    let detector = load(&config, source).unwrap();
    let error = |pixels: &Tensor, ids: &[u32]| detector.forward(pixels, ids, &go_on).unwrap_err().to_string();
    assert!(error(&picture(), &[101; 257]).contains("257 tokens, expected 1 to 256"));
    assert!(error(&picture(), &[]).contains("0 tokens"));
    assert!(error(&picture(), &[101, 1040, 102]).contains("token 1040 is beyond"));
    // A phrase of more tokens than the text encoder has places.
    assert!(error(&picture(), &[&[101][..], &[200; 50], &[1012, 102]].concat()).contains("place 40 is beyond"));
    let narrow = Tensor::zeros((1, 3, 4, 16), DType::F32, &Device::Cpu).unwrap();
    assert!(error(&narrow, &IDS).contains("too narrow"));
    let stopped = detector.forward(&picture(), &IDS, &|| Err(ModelError::Input("stopped".into())));
    assert_eq!(stopped.unwrap_err().to_string(), "stopped");
}

/// Files of models are whatever people put there: a weight that is missing or of another shape, or a config that is out of its range, is an error.
#[test]
fn damaged_models_are_refused() {
    let (config, source) = model("small");
    for name in source.shapes.keys() {
        let mut damaged = source.clone();
        damaged.shapes.remove(name);
        // A product without a bias is still one.
        assert!(load(&config, damaged).is_err() || name.ends_with("bias"), "{name} is missing");
        let shape = &source.shapes[name];
        let others: [Vec<usize>; 4] = [
            [shape.as_slice(), &[2]].concat(),
            shape[1..].to_vec(),
            vec![0; shape.len()],
            shape.iter().map(|n| n + 1).collect(),
        ];
        for other in others {
            let mut damaged = source.clone();
            damaged.shapes.insert(name.clone(), other.clone());
            assert!(load(&config, damaged).is_err(), "{name}: {other:?}");
        }
    }
    // Few weights that would make much of themselves.
    let large = [
        (
            "model.backbone.conv_encoder.model.encoder.layers.0.blocks.0.attention.self.relative_position_bias_table",
            [127 * 127, 16],
        ),
        (
            "model.encoder.layers.0.deformable_layer.self_attn.attention_weights.weight",
            [1 << 13, 32],
        ),
        ("model.query_position_embeddings.weight", [1 << 15, 32]),
    ];
    for (name, shape) in large {
        let mut damaged = source.clone();
        damaged.shapes.insert(name.to_owned(), shape.to_vec());
        let error = load(&config, damaged).unwrap_err().to_string();
        assert!(error.contains(name.trim_end_matches(".weight")), "{error}");
    }
    let edits = [
        (
            "/encoder_attention_heads",
            vec![0.into(), 3.into(), 5.into(), 1e9.into(), (-1).into(), "8".into()],
        ),
        ("/decoder_attention_heads", vec![0.into(), 3.into(), (1_u64 << 60).into()]),
        ("/layer_norm_eps", vec![0.into(), (-1).into(), "x".into()]),
        ("/max_text_len", vec![0.into(), (1_u64 << 60).into()]),
        ("/positional_embedding_temperature", vec![0.into(), 1e30.into()]),
        ("/activation_function", vec!["gelu".into(), Value::Null]),
        ("/position_embedding_type", vec!["learned".into()]),
        ("/two_stage", vec![false.into()]),
        ("/encoder_layers", vec![0.into(), 3.into(), (1_u64 << 60).into()]),
        ("/decoder_layers", vec![0.into(), 3.into(), (1_u64 << 60).into()]),
        ("/text_config/num_hidden_layers", vec![0.into(), 3.into(), (1_u64 << 60).into()]),
        (
            "/backbone_config/depths",
            vec![
                Value::Array(vec![]),
                vec![2].into(),
                vec![2, 2, 2].into(),
                vec![2, 3].into(),
                vec![1_u64 << 60].into(),
            ],
        ),
        ("/text_config", vec![7.into()]),
        ("/text_config/model_type", vec!["roberta".into()]),
        ("/text_config/num_attention_heads", vec![0.into(), 5.into()]),
        ("/backbone_config/model_type", vec!["resnet".into()]),
        ("/backbone_config/use_absolute_embeddings", vec![true.into()]),
    ];
    for (field, values) in edits {
        for value in values {
            let mut other = config.clone();
            *other.pointer_mut(field).unwrap() = value.clone();
            assert!(load(&other, source.clone()).is_err(), "{field}: {value}");
        }
    }
}

#[test]
fn texts_are_cut_as_transformers_cuts_them() {
    let told = told();
    let words: HashMap<String, String> = serde_json::from_value(told["words"].clone()).unwrap();
    let word = |i: usize| words.get(&i.to_string()).cloned().unwrap_or_else(|| format!("[unused{i}]"));
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    // A list of words, or a whole tokenizer as transformers saves it.
    let list: String = (0..1040).map(|i| word(i) + "\n").collect();
    std::fs::write(folders[0].path().join("vocab.txt"), list).unwrap();
    let mut whole = told["tokenizer"].clone();
    whole["model"]["vocab"] = (0..1040).map(|i| (word(i), Value::from(i))).collect();
    std::fs::write(folders[1].path().join("tokenizer.json"), whole.to_string()).unwrap();
    for folder in folders {
        let tokenizer = WordPieces::open(folder.path()).unwrap();
        let cases = told["tokens"].as_array().unwrap();
        assert!(cases.len() > 10);
        for case in cases {
            let (text, ids): (String, Vec<u32>) = serde_json::from_value(case.clone()).unwrap();
            assert_eq!(tokenizer.ids(&text).unwrap(), ids, "{text:?}");
        }
    }
}

#[test]
fn pictures_are_prepared_as_transformers_prepares_them() {
    let told = told();
    for case in told["sizes"].as_array().unwrap() {
        let [w, h, wide, tall]: [usize; 4] = serde_json::from_value(case.clone()).unwrap();
        assert_eq!(Preparation::default().resized(w, h), (wide.max(1), tall.max(1)), "{w}x{h}");
    }
    let preparation = Preparation {
        shortest: 64,
        longest: 100,
        ..Preparation::default()
    };
    let recorded = Recorded::open("vision/grounding");
    for (name, h, w) in [("larger", 40, 50), ("smaller", 130, 170), ("narrow", 60, 200)] {
        let samples = noise(name, &[h, w, 3]).flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let samples = samples
            .into_iter()
            .map(|v| ((v * 0.5 + 0.5) * 255.0).round_ties_even() as u8)
            .collect();
        let picture = Picture::from_samples(Mode::Rgb, w, h, samples).unwrap();
        let pixels = preparation.pixels(&picture, DType::F32, &Device::Cpu).unwrap();
        let (found, expected) = (thin(&pixels, 1500), recorded.values(&format!("pixels.{name}")));
        assert_eq!(found.len(), expected.len());
        let apart: Vec<f32> = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).collect();
        // Torch rounds some samples the other way than Pillow, by which pictures are resized here: one of 255 steps.
        let most = apart.iter().copied().fold(0.0, f32::max);
        let differ = apart.iter().filter(|v| **v > 1e-5).count();
        assert!(most <= 1.01 / (255.0 * 0.224), "{name}: {most}");
        assert!(differ * 100 <= apart.len(), "{name}: {differ} of {}", apart.len());
    }
}
