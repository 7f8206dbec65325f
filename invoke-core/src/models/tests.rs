//! What is true of the models that the repository holds.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::*;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[test]
fn the_shipped_model_and_the_add_ons_are_recognised() {
    let cases = [
        ("assets/models/invoke-tiny", "main", "diffusers"),
        ("tests/contract/pictures/addons/tiny-lora.safetensors", "lora", "lycoris"),
        ("tests/contract/pictures/addons/tiny-control", "controlnet", "diffusers"),
    ];
    for (path, kind, format) in cases {
        let found = identify(&repository(path)).unwrap();
        assert_eq!(
            (&found.class["type"], &found.class["format"], &found.class["base"]),
            (&json!(kind), &json!(format), &json!("sd-1")),
            "{path}"
        );
    }
}

#[test]
fn hashes_are_those_of_the_original() {
    for (path, hash) in [
        (
            "tests/contract/pictures/addons/tiny-lora.safetensors",
            "blake3:5887025b2ad51ea1acdc62b6dc4ade6b86652fbdf5f1c2b6d6e01a989da03974",
        ),
        (
            "tests/contract/pictures/addons/tiny-control",
            "blake3:93e501772698bf8efa4a4ac8a5a5108ef3de98487330e86c44ab99bbc404bcc8",
        ),
    ] {
        assert_eq!(hash_path(&repository(path)).unwrap(), hash);
    }
}

#[test]
fn broken_files_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(repository("tests/contract/pictures/addons/tiny-lora.safetensors")).unwrap();
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("short.safetensors", whole[..4].to_vec(), "shorter than the 8 bytes"),
        ("cut.safetensors", whole[..whole.len() - 1].to_vec(), "its tensors end at byte"),
        ("huge.safetensors", u64::MAX.to_le_bytes().to_vec(), "its header claims"),
        ("cut.ckpt", vec![0x80, 2], "shorter than any file of tensors"),
        ("cut.pth", b"PK\x03\x04 and no more".to_vec(), "its archive is damaged"),
        (
            "program.pt",
            b"cposix\nsystem\n(S'true'\ntR.".to_vec(),
            "no file of tensors as torch saves them",
        ),
    ];
    for (name, bytes, words) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = identify(&path).unwrap_err().to_string();
        assert!(error.contains(words), "{name}: {error}");
    }
}
