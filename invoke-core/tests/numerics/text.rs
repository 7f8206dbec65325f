//! Prompts to embeddings.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use invoke_core::diffusion::text::compel::{Encoder, encode, encode_pooled};
use invoke_core::diffusion::text::{ClipTextModel, HiddenState, Inversion, Inversions, Tokenizer};
use invoke_core::diffusion::weights::open_weights;

use super::{Recorded, recordings, tiny};

fn prompts() -> BTreeMap<String, String> {
    serde_json::from_slice(&std::fs::read(recordings().join("prompts.json")).unwrap()).unwrap()
}

#[test]
fn prompts_encode_as_compel_encodes_them() {
    let tokenizer = Tokenizer::open(&tiny("tokenizer")).unwrap();
    let model = ClipTextModel::open(&tiny("text_encoder"), DType::F32, &Device::Cpu).unwrap();
    let encoder = Encoder {
        tokenizer: &tokenizer,
        model: &model,
        state: HiddenState::Last,
        skip: 0,
        inversions: None,
    };
    let recorded = Recorded::open("text");
    for (name, prompt) in prompts() {
        let embeds = encode(&prompt, encoder).unwrap();
        assert_eq!(
            embeds.dims()[1],
            recorded.values(&format!("{name}.tokens"))[0] as usize,
            "{name}: tokens"
        );
        recorded.check(&name, &embeds);
    }
    recorded.check("pooled", &encode_pooled(&prompts()["plain"], encoder).unwrap());
    assert!(
        encode("a", Encoder { skip: 2, ..encoder })
            .unwrap_err()
            .to_string()
            .contains("skipped_layers")
    );
}

#[test]
fn a_tokenizer_without_tokenizer_json_is_the_same() {
    let whole = Tokenizer::open(&tiny("tokenizer")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for file in ["vocab.json", "merges.txt"] {
        std::fs::copy(tiny("tokenizer").join(file), folder.path().join(file)).unwrap();
    }
    let built = [
        Tokenizer::open(folder.path()).unwrap(),
        Tokenizer::from_merges(
            &std::fs::read_to_string(tiny("tokenizer").join("merges.txt")).unwrap(),
            "<|endoftext|>",
        )
        .unwrap(),
    ];
    let special = |t: &Tokenizer| (t.bos, t.eos, t.pad, t.max_length);
    assert!(built.iter().all(|t| special(t) == special(&whole)));
    for (name, prompt) in prompts() {
        for built in &built {
            assert_eq!(built.ids(&prompt, None).unwrap(), whole.ids(&prompt, None).unwrap(), "{name}");
        }
    }
}

#[test]
fn clips_own_tokenizer_has_its_numbers() {
    let clip = Tokenizer::clip(false).unwrap();
    assert_eq!((clip.bos, clip.eos, clip.pad), (49406, 49407, 49407));
    // From OpenAI's own tokenizer.
    assert_eq!(clip.ids("a photo of a cat", None).unwrap(), [320, 1125, 539, 320, 2368]);
    assert_eq!(clip.ids("A diagram!", None).unwrap(), [320, 22697, 256]);
    let zero = Tokenizer::clip(true).unwrap();
    assert_eq!(zero.sequence("a cat", None).unwrap()[..6], [49406, 320, 2368, 49407, 0, 0]);
}

#[test]
fn a_padding_token_of_its_own_is_a_token_in_prompts_too() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["vocab.json", "merges.txt"] {
        std::fs::copy(tiny("tokenizer").join(file), folder.path().join(file)).unwrap();
    }
    std::fs::write(
        folder.path().join("tokenizer_config.json"),
        r#"{"pad_token": "!", "model_max_length": 77}"#,
    )
    .unwrap();
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    assert_eq!(tokenizer.pad, 0);
    // From transformers 5.5.4.
    assert_eq!(tokenizer.ids("hello! you!", None).unwrap(), [585, 530, 334, 0, 88, 78, 340, 0]);
    assert_eq!(tokenizer.sequence("a red circle", None).unwrap()[..6], [775, 320, 559, 584, 776, 0]);
}

#[test]
fn a_trigger_stands_for_its_vectors() {
    let tokenizer = Tokenizer::open(&tiny("tokenizer")).unwrap();
    let model = ClipTextModel::open(&tiny("text_encoder"), DType::F32, &Device::Cpu).unwrap();
    let table = open_weights(&tiny("text_encoder"))
        .unwrap()
        .read("text_model.embeddings.token_embedding.weight")
        .unwrap();
    // Two vectors that the model knows as words.
    let ids = tokenizer.ids("red circle", None).unwrap();
    let rows: Vec<Tensor> = ids
        .iter()
        .map(|id| table.get(*id as usize).unwrap().to_dtype(DType::F32).unwrap())
        .collect();
    let inversion = Inversion {
        name: "My-Style".into(),
        embedding: Tensor::stack(&rows, 0).unwrap(),
        second: None,
    };
    let inversions = Inversions::new(&tokenizer, std::slice::from_ref(&inversion), 768).unwrap();
    let plain = Encoder {
        tokenizer: &tokenizer,
        model: &model,
        state: HiddenState::Last,
        skip: 0,
        inversions: None,
    };
    let with = Encoder {
        inversions: Some(&inversions),
        ..plain
    };
    let (words, trigger) = (
        encode("a red circle at night", plain).unwrap(),
        encode("a <My-Style> at night", with).unwrap(),
    );
    let difference: f32 = (words - trigger).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap();
    assert!(difference < 1e-5, "{difference}");
    let wrong = Inversions::new(&tokenizer, &[inversion], 1024).unwrap_err().to_string();
    assert!(wrong.contains("<My-Style> is 768 wide, this text encoder takes 1024"), "{wrong}");
}
