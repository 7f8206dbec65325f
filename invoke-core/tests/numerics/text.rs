//! Prompts to embeddings.

use std::collections::BTreeMap;

use candle_core::{DType, Device};
use invoke_core::diffusion::text::compel::{Encoder, encode, encode_pooled};
use invoke_core::diffusion::text::{ClipTextModel, HiddenState, Tokenizer};

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
    let built = Tokenizer::open(folder.path()).unwrap();
    assert_eq!(
        (built.bos, built.eos, built.pad, built.max_length),
        (whole.bos, whole.eos, whole.pad, whole.max_length)
    );
    for (name, prompt) in prompts() {
        assert_eq!(built.ids(&prompt, None).unwrap(), whole.ids(&prompt, None).unwrap(), "{name}");
    }
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
